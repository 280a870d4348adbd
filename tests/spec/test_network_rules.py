"""Rules about subnets, and about addresses within them."""

from __future__ import annotations

import pytest

from tests.spec.sources import assert_starts, case, more_nodes, nodes, problems, spec, swapped, warnings

SINGLE = "podSubnets: [10.244.0.0/16]"
DUAL = 'serviceSubnets: [10.96.0.0/16, "fd00:1::/112"], podSubnets: [10.244.0.0/16, "fd00:2::/56"]'


def masks(subnets: str, *flags: str) -> str:
    arguments = ", ".join(f'{{name: {flag}, value: "25"}}' for flag in flags)
    return spec(f"  networking:\n    {{{subnets}}}\n  controllerManager: {{extraArgs: [{arguments}]}}\n")


REFUSED = [
    case(
        "endpoint-in-services",
        spec("  controlPlaneEndpoint: 10.96.0.5:6443\n"),
        "7:25: spec.controlPlaneEndpoint: is inside the service subnet 10.96.0.0/12, whose addresses",
    ),
    case(
        "same-family",
        spec("  networking: {serviceSubnets: [10.0.0.0/16, 10.1.0.0/16]}\n"),
        "7:46: spec.networking.serviceSubnets[1]: is IPv4 like 10.0.0.0/16: two subnets are for dual",
    ),
    case(
        "same-family-pods",
        spec("  networking: {podSubnets: [10.0.0.0/16, 10.1.0.0/16]}\n"),
        "7:42: spec.networking.podSubnets[1]: is IPv4 like 10.0.0.0/16: two subnets are for dual",
    ),
    case(
        "services-too-small",
        spec("  networking: {serviceSubnets: [10.0.0.0/29]}\n"),
        "7:33: spec.networking.serviceSubnets[0]: is too small, services need 10 addresses: use /28",
    ),
    case(
        "services-too-large",
        spec('  networking: {serviceSubnets: ["fd00::/64"]}\n'),
        "7:33: spec.networking.serviceSubnets[0]: is too large for the API server: use /108 or a",
    ),
    case(
        "pods-too-small",
        spec("  networking: {podSubnets: [10.0.0.0/29]}\n"),
        "7:29: spec.networking.podSubnets[0]: is too small: pods need 14 addresses",
    ),
    case(
        "pods-below-node-mask",
        spec("  networking: {podSubnets: [10.0.0.0/25]}\n"),
        "7:29: spec.networking.podSubnets[0]: is smaller than what one node gets from it (/24)",
    ),
    case(
        "pods-above-node-mask",
        spec('  networking: {podSubnets: ["fd00::/40"]}\n'),
        "7:29: spec.networking.podSubnets[0]: is too large to be divided into /64 for each node: use",
    ),
    case(
        "node-mask-is-no-number",
        spec(
            "  networking: {podSubnets: [10.0.0.0/16]}\n"
            "  controllerManager: {extraArgs: [{name: node-cidr-mask-size, value: big}]}\n"
        ),
        "8:70: spec.controllerManager.extraArgs[0].value: must be the prefix length of a node's",
    ),
    case(
        "one node mask for two families",
        masks(DUAL, "node-cidr-mask-size"),
        "9:42: spec.controllerManager.extraArgs[0].name: node-cidr-mask-size is for one pod subnet: give "
        "node-cidr-mask-size-ipv4 and node-cidr-mask-size-ipv6; otherwise the controller manager stops",
    ),
    case(
        "node mask of another family",
        masks(SINGLE, "node-cidr-mask-size-ipv6"),
        "9:42: spec.controllerManager.extraArgs[0].name: node-cidr-mask-size-ipv6 is for IPv6, of which",
    ),
    case(
        "two node masks",
        masks(SINGLE, "node-cidr-mask-size", "node-cidr-mask-size-ipv4"),
        "9:84: spec.controllerManager.extraArgs[1].name: node-cidr-mask-size-ipv4 cannot stand beside node",
    ),
    case(
        "node-mask-with-a-zero-in-front",
        spec(
            "  networking: {podSubnets: [10.0.0.0/16]}\n"
            '  controllerManager: {extraArgs: [{name: node-cidr-mask-size, value: "024"}]}\n'
        ),
        "8:70: spec.controllerManager.extraArgs[0].value: must be the prefix length of a node's",
    ),
    case(
        "node-mask-of-too-many-digits",
        spec(
            "  networking: {podSubnets: [10.0.0.0/16]}\n"
            '  controllerManager: {extraArgs: [{name: node-cidr-mask-size, value: "00000002499"}]}\n'
        ),
        "8:70: spec.controllerManager.extraArgs[0].value: must be the prefix length of a node's",
    ),
    case(
        "nothing to allocate",
        spec('  controllerManager: {extraArgs: [{name: allocate-node-cidrs, value: "true"}]}\n'),
        "7:70: spec.controllerManager.extraArgs[0].value: needs a pod subnet, and the controller manager",
    ),
    case(
        "long-domain",
        spec(f"  networking: {{dnsDomain: {'a.' * 115}b}}\n"),
        "7:27: spec.networking.dnsDomain: is too long: kubernetes.default.svc.<domain> would have 254",
    ),
    case(
        "overlap",
        spec("  networking: {podSubnets: [10.96.0.0/16]}\n"),
        "7:29: spec.networking.podSubnets[0]: overlaps the service subnet 10.96.0.0/12: pods and",
    ),
    case(
        "address-in-services",
        more_nodes("    - {name: b, roles: [worker], addresses: [10.96.0.7]}\n"),
        "8:46: spec.nodes[1].addresses[0]: is inside the service subnet 10.96.0.0/12, whose",
    ),
]

WARNED = [
    case(
        "endpoint-v6-port",
        spec("  controlPlaneEndpoint: fd00::1:6443\n"),
        "7:25: spec.controlPlaneEndpoint: is an IPv6 address without a port: if 6443 is meant as",
    ),
    case(
        "family-without-pods",
        spec('  networking: {serviceSubnets: [10.96.0.0/12, "fd00::/112"], podSubnets: [10.244.0.0/16]}\n'),
        "7:47: spec.networking.serviceSubnets[1]: no pod subnet is IPv6: services of this family",
    ),
    case(
        "subnets for nobody",
        spec(
            "  networking: {serviceSubnets: [224.0.0.0/16], podSubnets: [169.254.0.0/16]}\n"
            "  controllerManager: {extraArgs: [{name: allocate-node-cidrs, value: 'false'}]}\n"
        ),
        "7:33: spec.networking.serviceSubnets[0]: is multicast: nothing there could be reached",
        "7:61: spec.networking.podSubnets[0]: is link-local: nothing there could be reached",
    ),
    case(
        "an address that no API server publishes",
        swapped("192.0.2.1", "127.0.0.1"),
        "6:57: spec.nodes[0].addresses[0]: is loopback: the API server cannot publish it as its own",
    ),
    case(
        "ha-without-endpoint-even",
        more_nodes("    - {name: b, roles: [control-plane], addresses: [192.0.2.2]}\n"),
        "5:3: spec.controlPlaneEndpoint: is missing with 2 control-plane nodes: kubeconfigs name a",
        "7:5: spec.nodes: give 2 etcd members, an even number: they tolerate no more failures than 1",
    ),
    case(
        "wrong-family",
        more_nodes('    - {name: b, roles: [control-plane, etcd], addresses: ["fd00::2"]}\n'),
        "5:3: spec.controlPlaneEndpoint: is missing with 2 control-plane nodes: kubeconfigs name a",
        "8:59: spec.nodes[1].addresses[0]: is of another family than the first service subnet",
    ),
    case(
        "in-pods",
        spec("  networking: {podSubnets: [192.0.2.0/24]}\n"),
        "6:57: spec.nodes[0].addresses[0]: is inside the pod subnet 192.0.2.0/24: a pod may get the",
    ),
]

HARMLESS = {
    "allocation of a flag's subnet": spec(
        '  controllerManager: {extraArgs: [{name: allocate-node-cidrs, value: "true"}, '
        "{name: cluster-cidr, value: 10.1.0.0/16}]}\n"
    ),
    "the longest domain": spec(f"  networking: {{dnsDomain: {'a.' * 114}bc}}\n"),
    "controller manager does not allocate": spec(
        "  networking: {podSubnets: [10.244.0.0/26]}\n"
        '  controllerManager: {extraArgs: [{name: allocate-node-cidrs, value: "false"}]}\n'
    ),
    "smaller nodes": spec(
        "  networking: {podSubnets: [10.244.0.0/25]}\n"
        '  controllerManager: {extraArgs: [{name: node-cidr-mask-size-ipv4, value: "26"}]}\n'
    ),
    "the last flag counts": spec(
        "  networking: {podSubnets: [10.244.0.0/25]}\n  controllerManager:\n    extraArgs:\n"
        '    - {name: node-cidr-mask-size, value: "24"}\n    - {name: node-cidr-mask-size, value: "26"}\n'
    ),
    "a node mask for each family": masks(DUAL, "node-cidr-mask-size-ipv4").replace(
        "}]}", '}, {name: node-cidr-mask-size-ipv6, value: "72"}]}'
    ),
    "nodes' masks that are unset, or of nobody's": spec(
        "  networking: {podSubnets: [10.244.0.0/16]}\n  controllerManager:\n    extraArgs:\n"
        '    - {name: node-cidr-mask-size-ipv6, value: "0"}\n'
    ),
    "another family without reconciler": nodes(
        '    - {name: a, roles: [control-plane], addresses: ["2001:db8::1"]}\n'
        "  apiServer: {extraArgs: [{name: endpoint-reconciler-type, value: none}]}\n"
    ),
    "IPv6 endpoint without a port": spec('  controlPlaneEndpoint: "2001:db8::a"\n'),
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
