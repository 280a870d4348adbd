"""Rules about flags that say otherwise what a field of the spec says."""

from __future__ import annotations

import pytest

from tests.spec.sources import assert_starts, more_nodes, spec, warnings


def flag(component: str, name: str, value: str) -> str:
    return f"  {component}: {{extraArgs: [{{name: {name}, value: '{value}'}}]}}\n"


RANGE = "service-cluster-ip-range"
PODS = "  networking: {podSubnets: [10.244.0.0/16]}\n"
OTHERWISE = {
    "port": (
        flag("apiServer", "secure-port", "7443"),
        "7:54: spec.apiServer.extraArgs[0].value: is not the port that kubeconfigs and probes lead to (6443)",
    ),
    "address": (
        flag("apiServer", "advertise-address", "203.0.113.9"),
        "7:60: spec.apiServer.extraArgs[0].value: is no address of 'a', whose certificate lacks it",
    ),
    "services": (
        flag("apiServer", RANGE, "10.1.0.0/16"),
        "7:67: spec.apiServer.extraArgs[0].value: is not 10.96.0.0/12, the service subnets that certificates",
    ),
    "services of the controller manager": (
        flag("controllerManager", RANGE, "10.1.0.0/16") + PODS,
        "7:75: spec.controllerManager.extraArgs[0].value: is not 10.96.0.0/12, the service subnets that",
    ),
    "no subnet": (
        flag("apiServer", RANGE, "10.96.0.0"),
        "7:67: spec.apiServer.extraArgs[0].value: is not 10.96.0.0/12, the service subnets that certificates",
    ),
    "data": (
        flag("etcd", "data-dir", "/var/lib/etcd2"),
        "7:46: spec.etcd.extraArgs[0].value: is not in /var/lib/etcd, the only volume of etcd's Pod: what is",
    ),
    "log": (
        flag("etcd", "wal-dir", "/wal"),
        "7:45: spec.etcd.extraArgs[0].value: is not in /var/lib/etcd, the only volume of etcd's Pod: what is",
    ),
}
THE_SAME = {
    "variable port": flag("apiServer", "secure-port", "$(PORT)"),
    "variable address": flag("apiServer", "advertise-address", "$(HOST_IP)"),
    "variable services": flag("apiServer", RANGE, "$(SERVICES)"),
    "variable data": flag("etcd", "data-dir", "$(HOME)/data"),
    "variable mask": flag("controllerManager", "node-cidr-mask-size", "$(MASK)") + PODS,
    "port": flag("apiServer", "secure-port", "6443"),
    "address": flag("apiServer", "advertise-address", "192.0.2.1"),
    "services": flag("apiServer", RANGE, "10.96.0.0/12"),
    "services that the controller manager does not look at": flag("controllerManager", RANGE, "10.1.0.0/16"),
    "data": flag("etcd", "data-dir", "/var/lib/etcd/"),
    "data below": flag("etcd", "data-dir", "/var/lib/etcd/member-1"),
    "no log of its own": flag("etcd", "wal-dir", ""),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_otherwise(name: str) -> None:
    body, expected = OTHERWISE[name]
    assert_starts(warnings(spec(body)), (expected,))
    # What pkigen does not write may say so as well.
    assert not any("extraArgs" in told for told in warnings(spec(body + "  manage: [kubelet, addons]\n")))


@pytest.mark.parametrize("body", THE_SAME.values(), ids=THE_SAME)
def test_the_same(body: str) -> None:
    assert warnings(spec(body)) == []


def test_an_address_that_certificates_have_is_fine() -> None:
    more = (
        "  apiServer: {certSANs: [203.0.113.9], extraArgs: [{name: advertise-address, value: 203.0.113.9}]}\n"
    )
    assert warnings(spec(more)) == []


def test_units_have_the_hosts_files() -> None:
    body = flag("etcd", "wal-dir", "/wal") + "  runtime: systemd\n"
    assert warnings(spec(body)) == []


def test_every_port_of_every_node_counts() -> None:
    node = "    - {name: b, roles: [control-plane], addresses: [192.0.2.2], bindPort: 7443}\n"
    told = warnings(more_nodes(node + flag("apiServer", "secure-port", "7443")))
    assert any("lead to (6443, 7443)" in each for each in told)
