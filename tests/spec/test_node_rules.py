"""Rules about nodes: names, addresses, roles, ports and flags."""

from __future__ import annotations

import pytest

from tests.spec.sources import assert_starts, case, header, more_nodes, nodes, problems, spec, warnings

REFUSED = [
    case(
        "etcd-role-and-external",
        header(
            "  nodes: [{name: a, roles: [control-plane, etcd], addresses: [192.0.2.1]}]\n"
            '  etcd: {external: {endpoints: ["https://e:2379"]}}\n'
        ),
        "6:44: spec.nodes[0].roles[1]: etcd is external (spec.etcd.external): no node can have the",
    ),
    case(
        "port-of-etcd",
        spec("  apiServer: {bindPort: 2379}\n"),
        "7:25: spec.apiServer.bindPort: 2379 is the port of etcd's clients on every control-plane",
    ),
    case(
        "port-of-kubelet",
        nodes("    - {name: a, roles: [control-plane], addresses: [192.0.2.1], bindPort: 10250}\n"),
        "7:75: spec.nodes[0].bindPort: 10250 is the port of the kubelet on this node",
    ),
    case(
        "node-twice",
        more_nodes("    - {name: a, roles: [worker], addresses: [192.0.2.2]}\n"),
        "8:14: spec.nodes[1].name: 'a' is the name of an earlier node already: each needs",
    ),
    case(
        "address-twice",
        more_nodes("    - {name: b, roles: [worker], addresses: [192.0.2.1]}\n"),
        "8:46: spec.nodes[1].addresses[0]: 192.0.2.1 is an address of the node 'a' already",
    ),
    case(
        "address-twice-same-node",
        more_nodes("    - {name: b, roles: [worker], addresses: [192.0.2.2, 192.0.2.2]}\n"),
        "8:57: spec.nodes[1].addresses[1]: 192.0.2.2 is an address of this node already",
    ),
    case(
        "address-v6-forms",
        more_nodes('    - {name: b, roles: [worker], addresses: ["fd00::1", "fd00:0::1"]}\n'),
        "8:57: spec.nodes[1].addresses[1]: fd00::1 is an address of this node already",
    ),
    case(
        "no-address-but-node-ip",
        nodes(
            "    - {name: a, roles: [control-plane], addresses: [], kubeletExtraArgs: "
            "[{name: node-ip, value: 192.0.2.1}]}\n"
        ),
        "7:52: spec.nodes[0].addresses: must not be empty: the other nodes reach this one at the first",
    ),
    case(
        "no-control-plane",
        nodes("    - {name: b, roles: [worker], addresses: [192.0.2.1]}\n"),
        "7:5: spec.nodes: no node has the role control-plane: give it to at least one",
    ),
    case(
        "node-ip",
        more_nodes(
            "    - {name: b, roles: [worker], addresses: [192.0.2.2], kubeletExtraArgs: "
            "[{name: node-ip, value: eth0}]}\n"
        ),
        "8:100: spec.nodes[1].kubeletExtraArgs[0].value: must be an IP address, not 'eth0'",
    ),
]

WARNED = [
    case(
        "role-twice",
        more_nodes(
            "    - {name: b, roles: [worker, worker], addresses: [192.0.2.2], certSANs: "
            "[x, x], bindPort: 1}\n"
        ),
        "8:33: spec.nodes[1].roles[1]: worker is given twice: remove it",
        "8:80: spec.nodes[1].certSANs[1]: 'x' is given twice: remove it",
        "8:84: spec.nodes[1].bindPort: has no effect: only control-plane nodes run an API server",
    ),
    case(
        "hostname-override",
        more_nodes(
            "    - {name: b, roles: [worker], addresses: [192.0.2.2], kubeletExtraArgs: "
            "[{name: hostname-override, value: c}]}\n"
        ),
        "8:110: spec.nodes[1].kubeletExtraArgs[0].value: the kubelet would register as 'c', but its",
    ),
]

HARMLESS = {
    "own port": nodes("    - {name: a, roles: [control-plane], addresses: [192.0.2.1], bindPort: 7443}\n"),
    "etcd's port where etcd is external": spec(
        '  apiServer: {bindPort: 2379}\n  etcd: {external: {endpoints: ["https://192.0.2.9:2379"]}}\n'
    ),
    "the node's own name": nodes(
        "    - name: a\n      roles: [control-plane]\n      addresses: [192.0.2.1]\n"
        "      kubeletExtraArgs: [{name: hostname-override, value: a}, {name: node-ip, value: 192.0.2.1}]\n"
    ),
}


@pytest.mark.parametrize(("source", "expected"), REFUSED)
def test_problems(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


@pytest.mark.parametrize(("source", "expected"), WARNED)
def test_warnings(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(warnings(source), expected)


@pytest.mark.parametrize("source", HARMLESS.values(), ids=HARMLESS)
def test_nothing_is_said_about(source: str) -> None:
    assert warnings(source) == []
