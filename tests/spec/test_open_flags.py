"""Flags that open a door, or that a field says already, are told, and stop nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pkigen.adoption.audit import audit
from pkigen.adoption.gathered import node_trees
from pkigen.adoption.inspection import inspect
from pkigen.adoption.severity import AuditSeverity
from tests.samples import NOW, World
from tests.spec.sources import loaded, spec, warnings

if TYPE_CHECKING:
    from pathlib import Path

FIRST = "https://127.0.0.1:2379"


def flags(component: str, *given: tuple[str, str], more: str = "") -> str:
    arguments = [{"name": name, "value": value} for name, value in given]
    return spec(f"{more}  {component}: {{extraArgs: {json.dumps(arguments)}}}\n")


OPEN = {
    "everything is allowed": flags("apiServer", ("authorization-mode", "Node,AlwaysAllow")),
    "etcd is dialled without TLS": flags("apiServer", ("etcd-servers", f"{FIRST},http://192.0.2.1:2378")),
    "clients of etcd without TLS": flags("etcd", ("listen-client-urls", f"{FIRST},http://192.0.2.1:2378")),
    "peers of etcd without TLS": flags("etcd", ("listen-peer-urls", "http://192.0.2.1:2380")),
    "any client of etcd": flags("etcd", ("trusted-ca-file", ""), ("client-cert-auth", "false")),
    "any peer of etcd": flags("etcd", ("peer-client-cert-auth", "false"), ("peer-trusted-ca-file", "")),
    "anybody at kubelets": flags("kubelet", ("anonymous-auth", "true")),
    "everything at kubelets": flags("kubelet", ("authorization-mode", "AlwaysAllow")),
    "Pods for all to read": flags("kubelet", ("read-only-port", "10255")),
}
ELSEWHERE = {
    "port": (
        flags("apiServer", ("secure-port", "7443")),
        "value: is not the port that kubeconfigs and probes lead to (6443): set bindPort",
    ),
    "Services": (
        flags("apiServer", ("service-cluster-ip-range", "10.50.0.0/16")),
        "value: is not 10.96.0.0/12, the service subnets that certificates and kubelets are made for",
    ),
    "data": (
        flags("etcd", ("data-dir", "/srv/etcd")),
        "value: is not in /var/lib/etcd, the only volume of etcd's Pod: what is stored there is lost",
    ),
}
HARMLESS = {
    "the fields' values": flags(
        "apiServer", ("secure-port", "6443"), ("service-cluster-ip-range", "10.96.0.0/12")
    ),
    "the last one counts": flags("etcd", ("data-dir", "/srv/x"), ("data-dir", "/var/lib/etcd")),
    "a mount of its own": flags("etcd", ("data-dir", "/srv/x"), more="  runtime: systemd\n"),
    "a CA is enough": flags("etcd", ("client-cert-auth", "false"), ("peer-client-cert-auth", "false")),
    "a CA that is asked for": flags("etcd", ("trusted-ca-file", ""), ("client-cert-auth", "true")),
    "only this node": flags("etcd", ("listen-client-urls", f"{FIRST},http://127.0.0.1:2378")),
    "locks": flags("kubelet", ("anonymous-auth", "false"), ("read-only-port", "0")),
    "modes": flags("apiServer", ("authorization-mode", "Node,RBAC")),
}


@pytest.mark.parametrize("source", OPEN.values(), ids=OPEN)
def test_an_open_door_is_told_as_on_foreign_nodes(source: str, tmp_path: Path) -> None:
    """What is found on somebody else's nodes is not passed over in silence on one's own."""
    assert len(warnings(source)) == 1
    world = World(root=tmp_path / "prod", cluster=loaded(source).spec)
    world.apply()
    found = audit(inspect(node_trees(world.path("nodes")), now=NOW))
    assert [each for each in found if each.severity is not AuditSeverity.INFORMATION] != []


@pytest.mark.parametrize(("source", "told"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_a_field_says_already_is_set_there(source: str, told: str) -> None:
    """A real API server was not up at its probes' port, and its certificate without its Service's address."""
    (warned,) = warnings(source)
    assert told in warned


@pytest.mark.parametrize("source", HARMLESS.values(), ids=HARMLESS)
def test_what_changes_nothing_is_not_told(source: str) -> None:
    assert warnings(source) == []


def test_a_node_of_its_own_port_and_kubelet() -> None:
    """Each node is looked at by itself."""
    node = "{name: b, roles: [control-plane], addresses: [192.0.2.2], bindPort: 7443, kubeletExtraArgs: "
    endpoint = "  controlPlaneEndpoint: api.example\n"
    text = flags("apiServer", ("secure-port", "6443"), more=endpoint).replace(
        "addresses: [192.0.2.1]}]",
        f"addresses: [192.0.2.1]}}, {node}[{{name: read-only-port, value: '1'}}]}}]",
    )
    told = [each for each in warnings(text) if "etcd members" not in each]
    assert len(told) == 2
    assert any("nodes[1].kubeletExtraArgs[0].value: the kubelet tells everybody" in each for each in told)
    assert any("lead to (6443, 7443): set" in each for each in told)
