"""InitConfiguration and JoinConfigurations as the model's nodes."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from pkigen.desired.certificates import CERTIFICATES
from pkigen.desired.inventory import derive
from pkigen.desired.rendering import flags
from pkigen.spec.dialects import HostFacts
from pkigen.spec.loader import load_text
from pkigen.spec.model import Role
from tests.spec.kubeadm.configurations import NEW
from tests.spec.sources import (
    CLUSTER,
    INIT,
    assert_starts,
    case,
    join,
    loaded,
    problems,
    spec,
    swapped_kubeadm,
    warnings,
)

REFUSED = [
    case(
        "cluster-only",
        ("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.36.2\n"),
        "1:1: InitConfiguration.nodeRegistration.name: is missing, and kubeadm would ask the host:",
        "1:1: InitConfiguration.localAPIEndpoint.advertiseAddress: is missing, and kubeadm would ask",
    ),
    case(
        "init-empty",
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n",
        "1:1: ClusterConfiguration.kubernetesVersion: is missing, and kubeadm would look it up on",
        "1:1: InitConfiguration.nodeRegistration.name: is missing, and kubeadm would ask the host:",
        "1:1: InitConfiguration.localAPIEndpoint.advertiseAddress: is missing, and kubeadm would ask",
    ),
    case(
        "name-number",
        swapped_kubeadm("cp1", "5"),
        '3:26: InitConfiguration.nodeRegistration.name: must be text: put it in quotes, "5"',
    ),
    case(
        "name-list",
        swapped_kubeadm("cp1", "[a]"),
        "3:26: InitConfiguration.nodeRegistration.name: must be text, not a list",
    ),
    case(
        "any-address",
        swapped_kubeadm("192.0.2.1", "0.0.0.0"),  # noqa: S104 -- a value to refuse
        "1:1: InitConfiguration.localAPIEndpoint.advertiseAddress: 0.0.0.0 is not a host's address, and "
        "kubeadm",
    ),
    case(
        "bad-address",
        swapped_kubeadm("192.0.2.1", "host"),
        "4:38: InitConfiguration.localAPIEndpoint.advertiseAddress: must be an IP address, not 'host'",
    ),
    case(
        "port-text",
        swapped_kubeadm("192.0.2.1", '192.0.2.1, bindPort: "1"'),
        "4:59: InitConfiguration.localAPIEndpoint.bindPort: must be a number: remove the quotes",
    ),
    case(
        "join-worker-empty",
        join(""),
        "10:1: JoinConfiguration.nodeRegistration.name: is missing, and kubeadm would ask the host:",
    ),
    case(
        "join-worker-bad-ip",
        join('nodeRegistration: {name: w1, kubeletExtraArgs: [{name: node-ip, value: "192.0.2.7,eth0"}]}\n'),
        "12:72: JoinConfiguration.nodeRegistration.kubeletExtraArgs[0].value: must be an IP address,",
        "12:83: JoinConfiguration.nodeRegistration.kubeletExtraArgs[0].value: must be an IP address,",
    ),
    case(
        "join-worker-wrong-ip-alone",
        join('nodeRegistration: {name: w1, kubeletExtraArgs: [{name: node-ip, value: "10:20"}]}\n'),
        "12:72: JoinConfiguration.nodeRegistration.kubeletExtraArgs[0].value: must be an IP address,",
        "12:73: JoinConfiguration.nodeRegistration.kubeletExtraArgs[0].value: must be an IP address,",
    ),
    case(
        "join-cp-empty",
        join("controlPlane: {}\n"),
        "10:1: JoinConfiguration.nodeRegistration.name: is missing, and kubeadm would ask the host:",
        "10:1: JoinConfiguration.controlPlane.localAPIEndpoint.advertiseAddress: is missing, and",
    ),
    case(
        "join-cp-same",
        join(
            "nodeRegistration: {name: cp1}\ncontrolPlane: {localAPIEndpoint: {advertiseAddress: 192.0.2.1}}\n"
        ),
        "12:26: JoinConfiguration.nodeRegistration.name: 'cp1' is the name of an earlier",
        "13:53: JoinConfiguration.controlPlane.localAPIEndpoint.advertiseAddress: 192.0.2.1 is an",
    ),
    case(
        "join-no-init",
        (
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n"
            "kubernetesVersion: v1.36.2\n---\napiVersion: kubeadm.k8s.io/v1beta4\n"
            "kind: JoinConfiguration\nnodeRegistration: {name: cp2}\n"
            "controlPlane: {localAPIEndpoint: {advertiseAddress: 192.0.2.2}}\n"
        ),
        "1:1: InitConfiguration: is missing: it names the first control-plane node, for which",
    ),
]

WARNED = [
    case(
        "loop",
        swapped_kubeadm("192.0.2.1", "127.0.0.1"),
        "4:38: InitConfiguration.localAPIEndpoint.advertiseAddress: is a loopback address: kubeadm",
        "4:38: InitConfiguration.localAPIEndpoint.advertiseAddress: is loopback: the API server cannot",
    ),
    case(
        "join-worker",
        join(
            "nodeRegistration: {name: w1, kubeletExtraArgs: [{name: node-ip, value: "
            '"192.0.2.7,fd00::7"}]}\ndiscovery: {bootstrapToken: {token: x}}\n'
        ),
        "13:1: JoinConfiguration.discovery: is not used: the node gets its kubeconfigs from pkigen",
    ),
    case(
        "join-cp",
        join(
            "nodeRegistration: {name: cp2}\n"
            "controlPlane: {localAPIEndpoint: {advertiseAddress: 192.0.2.2, bindPort: "
            "7443}, certificateKey: abc}\n"
        ),
        "6:1: ClusterConfiguration.controlPlaneEndpoint: is missing with 2 control-plane nodes:",
        "10:1: JoinConfiguration: give 2 etcd members, an even number: they tolerate no more failures",
        "13:81: JoinConfiguration.controlPlane.certificateKey: is not used: pkigen gives every node",
    ),
]


@pytest.mark.parametrize(("source", "expected"), REFUSED)
def test_problems(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


@pytest.mark.parametrize(("source", "expected"), WARNED)
def test_warnings(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(warnings(source), expected)


def test_a_worker_without_an_address_is_a_warning_with_a_way() -> None:
    text = join("nodeRegistration: {name: w1}\n")
    [told] = [each for each in warnings(text) if "w1" in each]
    assert told.startswith(
        "10:1: JoinConfiguration.nodeRegistration.kubeletExtraArgs: names no address of 'w1'"
    )
    assert told.endswith("`kubectl logs` and `exec` fail there until one is given")
    inventory = derive(loaded(text).spec)
    assert inventory.certificates["w1/kubelet-serving"].sans.texts() == ("w1",)
    given = {flag.name for flag in flags.kubelet(inventory.cluster, inventory.cluster.spec.nodes[1])}
    assert given == {"hostname-override"}
    # One that runs etcd or an API server is reached at its address.
    own = spec("").replace("addresses: [192.0.2.1]", "addresses: []")
    assert_starts(problems(own), ("6:56: spec.nodes[0].addresses: must not be empty: the other nodes reach",))


HOST = HostFacts(hostname=" CP-7.Example ", default_address=ip_address("192.0.2.7"))


def test_the_host_fills_in_what_is_left_out() -> None:
    found = load_text(CLUSTER.encode(), file="f", kinds=CERTIFICATES, host=HOST)
    node = found.spec.spec.nodes[0]
    assert (node.name, node.addresses, node.roles) == (
        "cp-7.example",
        (ip_address("192.0.2.7"),),
        (Role.CONTROL_PLANE,),
    )
    name, address = (str(warning) for warning in found.warnings)
    init = "f:1:1: InitConfiguration"
    taken = "is missing: taken from this host"
    assert name == f"{init}.nodeRegistration.name: {taken}, 'cp-7.example', as kubeadm does"
    assert address == f"{init}.localAPIEndpoint.advertiseAddress: {taken}, '192.0.2.7', as kubeadm does"


def test_the_host_is_not_asked_for_what_is_given() -> None:
    found = load_text((INIT + CLUSTER).encode(), file="f", kinds=CERTIFICATES, host=HOST)
    assert found.spec.spec.nodes[0].name == "cp1"
    assert found.warnings == ()


def test_an_unspecified_address_is_asked_for_like_a_missing_one() -> None:
    text = (INIT + CLUSTER).replace("192.0.2.1", '"::"').replace("cp1", '""')
    node = load_text(text.encode(), file="f", kinds=CERTIFICATES, host=HOST).spec.spec.nodes[0]
    assert (node.name, str(node.advertise_address)) == ("cp-7.example", "192.0.2.7")


def test_control_plane_nodes_join() -> None:
    spec = loaded(
        join(
            "nodeRegistration: {name: cp2}\ncontrolPlane: {localAPIEndpoint: {advertiseAddress: 192.0.2.2}}\n"
        )
    ).spec
    assert [(node.name, node.roles) for node in spec.spec.nodes] == [
        ("cp1", (Role.CONTROL_PLANE,)),
        ("cp2", (Role.CONTROL_PLANE,)),
    ]
    assert spec.spec.nodes[1].bind_port is None


def test_a_workers_last_node_ip_counts() -> None:
    spec = loaded(
        join(
            "nodeRegistration: {name: w1, kubeletExtraArgs: [{name: node-ip, value: 192.0.2.8}, "
            '{name: node-ip, value: "192.0.2.9,0.0.0.0"}]}\n'
        )
    ).spec
    assert spec.spec.nodes[1].addresses == (ip_address("192.0.2.9"),)
    assert spec.spec.nodes[1].kubelet_addresses == (ip_address("192.0.2.9"),)


def test_the_kubelet_is_found_at_both_its_addresses() -> None:
    first = loaded(NEW).spec.spec.nodes[0]
    assert [str(address) for address in first.addresses] == ["192.0.2.11"]
    assert [str(address) for address in first.kubelet_addresses] == ["192.0.2.11", "2001:db8::11"]
