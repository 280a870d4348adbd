"""A spec with wrong values: the rest is judged, and nothing is concluded from what is left out."""

from __future__ import annotations

import pytest

from tests.spec.sources import assert_starts, case, more_nodes, nodes, problems, spec

REFUSED = [
    case(
        "everything-at-once",
        (
            "apiVersion: pkigen/v1\nkind: Cluster\nmetadata: {nme: t}\nspec:\n"
            "  kubernetesVersion: latest\n"
            "  networking: {serviceSubnets: [10.96.0.0/12, x], podSubnets: [10.96.0.0/16]}\n"
            "  nodes:\n    - {name: a, roles: [control-plane], addresses: [banana]}\n"
            "    - {name: b, roles: [worker], addresses: [192.0.2.2]}\n    - 7\n"
            "    - {name: b, roles: [worker], addresses: [192.0.2.2]}\n"
            "    - {roles: [worker], addresses: [192.0.2.2]}\n  users:\n"
            '    - {name: "system:x", validity: 1000000h}\n'
        ),
        "3:11: metadata.name: is missing",
        "3:12: metadata.nme: is not a key here; did you mean name?",
        "5:22: spec.kubernetesVersion: must be an exact version such as v1.36.2",
        "6:47: spec.networking.serviceSubnets[1]: must be a subnet such as 10.96.0.0/12, not 'x'",
        "6:64: spec.networking.podSubnets[0]: overlaps the service subnet 10.96.0.0/12: pods and",
        "8:53: spec.nodes[0].addresses[0]: must be an IP address, not 'banana'",
        "10:7: spec.nodes[2]: must be a mapping of keys to values, not '7'",
        "11:14: spec.nodes[3].name: 'b' is the name of an earlier node already: each needs",
        "11:46: spec.nodes[3].addresses[0]: 192.0.2.2 is an address of the node 'b' already",
        "12:7: spec.nodes[4].name: is missing",
        "12:37: spec.nodes[4].addresses[0]: 192.0.2.2 is an address of the node 'b' already",
        "14:14: spec.users[0].name: 'system:x' is reserved for Kubernetes: such a",
        "14:36: spec.users[0].validity: 1000000h is longer than the validity of the CA (87600h): no",
    ),
]


@pytest.mark.parametrize(("source", "expected"), REFUSED)
def test_problems(source: str | bytes, expected: tuple[str, ...]) -> None:
    assert_starts(problems(source), expected)


VOID = {
    "an endpoint that may be there": more_nodes(
        "    - {name: b, roles: [worker], addresses: [192.0.2.2]}\n  controlPlaneEndpoint: a_b\n"
    ),
    "a control-plane node that may be there": nodes("    - {name: b, roles: [cp], addresses: [192.0.2.2]}\n"),
    "the validity of a CA": spec(
        "  certificates: {caValidity: 20y, overrides: {apiserver: {validity: 100000h}}}\n"
    ),
    "CA keys of an authority that may be offline": spec("  certificates: {caKeys: offline, authority: 7}\n"),
    "a port of etcd that may be external": spec("  apiServer: {bindPort: 2379}\n  etcd: {external: 7}\n"),
    "the mask of nodes": spec(
        "  networking: {podSubnets: [10.0.0.0/26]}\n  controllerManager: {extraArgs: [{name: x, value: 7}]}\n"
    ),
    "a service subnet by default": spec("  networking: {serviceSubnets: 7, podSubnets: [10.96.0.0/16]}\n"),
}


@pytest.mark.parametrize("source", VOID.values(), ids=VOID)
def test_nothing_is_concluded_from_what_could_not_be_read(source: str) -> None:
    assert len(problems(source)) == 1
