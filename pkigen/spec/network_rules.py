"""Rules about subnets, and about addresses within them."""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Final

from pkigen.spec.addresses import parse_host_address, split_host_port
from pkigen.spec.findings import EVERY, NODES, ROLES, Location, SpecFinding, last, node_addresses, warning
from pkigen.spec.model import Role
from pkigen.spec.values import has_variable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from pkigen.notation import IPAddress
    from pkigen.spec.addresses import IPNetwork
    from pkigen.spec.model import ClusterSpec


_FEWEST_SERVICE_ADDRESSES: Final = 10  # K/constants/constants.go, MinimumAddressesInServiceSubnet
_MOST_SERVICE_HOST_BITS: Final = 20  # MaximumBitsForServiceSubnet; the API server refuses larger ones too
_FEWEST_POD_ADDRESSES: Final = 14  # MinimumAddressesInPodSubnet
_MOST_NODE_MASK_BITS: Final = 16  # PodSubnetNodeMaskMaxDiff
_NODE_MASK_BITS: Final = {4: 24, 6: 64}  # K/apis/kubeadm/validation/validation.go, getClusterNodeMask
_LONGEST_DNS_NAME: Final = 253
_LONGEST_SERVICE: Final = "kubernetes.default.svc"
_MASK: Final = "node-cidr-mask-size"
_FAMILY_MASKS: Final = {version: f"{_MASK}-ipv{version}" for version in (4, 6)}
_LENGTH: Final = re.compile("[1-9][0-9]{0,2}")
# What people have API servers listen at: a last group with these digits is likely meant as a port.
_API_PORTS: Final = frozenset({443, 6443, 8443})


def _subnet_families(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Two subnets are of two families, and Services have Pods of their family."""
    networking = spec.spec.networking
    for key, subnets in (
        ("serviceSubnets", networking.service_subnets),
        ("podSubnets", networking.pod_subnets),
    ):
        if len(subnets) > 1 and subnets[0].version == subnets[1].version:
            yield SpecFinding(
                at=("spec", "networking", key, 1),
                message=f"is IPv{subnets[0].version} like {subnets[0]}: "
                "two subnets are for dual stack, one IPv4 and one IPv6",
            )
    pod_families = {subnet.version for subnet in networking.pod_subnets}
    for index, subnet in enumerate(networking.service_subnets):
        if pod_families and subnet.version not in pod_families:
            yield warning(
                ("spec", "networking", "serviceSubnets", index),
                f"no pod subnet is IPv{subnet.version}: services of this family would have no pods",
                ("spec", "networking", "podSubnets"),
            )


def _service_subnet_sizes(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """What kubeadm and the API server accept as a Service subnet."""
    # K/apis/kubeadm/validation/validation.go, ValidateIPNetFromString and ValidateServiceSubnetSize
    for index, subnet in enumerate(spec.spec.networking.service_subnets):
        at: Location = ("spec", "networking", "serviceSubnets", index)
        shortest = subnet.max_prefixlen - _MOST_SERVICE_HOST_BITS
        longest = subnet.max_prefixlen - _FEWEST_SERVICE_ADDRESSES.bit_length()
        if subnet.prefixlen < shortest:
            message = f"is too large for the API server: use /{shortest} or a longer prefix"
            yield SpecFinding(at=at, message=message)
        elif subnet.num_addresses < _FEWEST_SERVICE_ADDRESSES:
            message = f"is too small, services need {_FEWEST_SERVICE_ADDRESSES} addresses: use /{longest}"
            yield SpecFinding(at=at, message=message)


def _pod_subnet_sizes(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """What kubeadm accepts as a Pod subnet, and what the controller manager can divide."""
    # K/apis/kubeadm/validation/validation.go, ValidatePodSubnetNodeMask
    for index, subnet in enumerate(spec.spec.networking.pod_subnets):
        at: Location = ("spec", "networking", "podSubnets", index)
        if subnet.num_addresses < _FEWEST_POD_ADDRESSES:
            yield SpecFinding(at=at, message=f"is too small: pods need {_FEWEST_POD_ADDRESSES} addresses")
        elif _divides(spec):
            yield from _shares_of_nodes(spec, subnet, at)


def _shares_of_nodes(spec: ClusterSpec, subnet: IPNetwork, at: Location) -> Iterator[SpecFinding]:
    """The controller manager gives each node a part of a pod subnet: there must be enough of them."""
    arguments: Location = ("spec", "controllerManager", "extraArgs")
    flag = _node_mask_flag(spec, subnet)
    bits = _NODE_MASK_BITS[subnet.version]
    if flag is not None:
        text = spec.spec.controller_manager.extra_args[flag].value
        if has_variable(text):
            return  # a variable, which the kubelet puts in
        # No zero in front: pflag's int32 would read octal, and kubeadm's check decimals.
        if not _LENGTH.fullmatch(text) or int(text) > subnet.max_prefixlen:
            yield SpecFinding(
                at=(*arguments, flag, "value"),
                message=f"must be the prefix length of a node's pods, at most {subnet.max_prefixlen}",
            )
            return
        bits = int(text)
    if subnet.prefixlen > bits:
        message = f"is smaller than what one node gets from it (/{bits})"
        yield SpecFinding(at=at, message=message, given=(arguments,))
    elif bits - subnet.prefixlen > _MOST_NODE_MASK_BITS:
        yield SpecFinding(
            at=at,
            message=f"is too large to be divided into /{bits} for each node: "
            f"use /{bits - _MOST_NODE_MASK_BITS} or a longer prefix",
            given=(arguments,),
        )


def _node_mask_flag(spec: ClusterSpec, subnet: IPNetwork) -> int | None:
    """The place of the flag that says how long the prefix of a node's part of a subnet is."""
    arguments = spec.spec.controller_manager.extra_args
    flag = last(arguments, _FAMILY_MASKS[subnet.version])
    if flag is None and len(spec.spec.networking.pod_subnets) == 1:
        return last(arguments, _MASK)
    return flag


def _node_mask_flags(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """One flag says how much every node gets, or one for each family there is; else no controller starts."""
    # cmd/kube-controller-manager/app/core.go, setNodeCIDRMaskSizes
    arguments = spec.spec.controller_manager.extra_args
    if not spec.spec.networking.pod_subnets or not _divides(spec):
        return
    given = {name: last(arguments, name) for name in (_MASK, *_FAMILY_MASKS.values())}
    # As with the flag's default, 0 means unset.
    places = {name: at for name, at in given.items() if at is not None and arguments[at].value != "0"}
    faults = _faults_of_masks({subnet.version for subnet in spec.spec.networking.pod_subnets}, places)
    for name in places.keys() & faults.keys():
        yield SpecFinding(
            at=("spec", "controllerManager", "extraArgs", places[name], "name"),
            message=f"{name} {faults[name]}; otherwise the controller manager stops",
            given=(("spec", "networking", "podSubnets"),),
        )


def _faults_of_masks(families: set[int], given: Collection[str]) -> Mapping[str, str]:
    """What is wrong with flags for the size of nodes' subnets, should they be given."""
    if len(families) > 1:
        return {_MASK: f"is for one pod subnet: give {' and '.join(_FAMILY_MASKS.values())}"}
    if _MASK in given:
        return dict.fromkeys(_FAMILY_MASKS.values(), f"cannot stand beside {_MASK}: remove one of them")
    return {
        name: f"is for IPv{version}, of which there is no pod subnet: remove it"
        for version, name in _FAMILY_MASKS.items()
        if version not in families
    }


def _allocation(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Nodes get parts of a Pod subnet only where there is one (core.go, newNodeIpamController)."""
    arguments = spec.spec.controller_manager.extra_args
    place = last(arguments, "allocate-node-cidrs")
    if place is None or spec.spec.networking.pod_subnets or arguments[place].value != "true":
        return
    if last(arguments, "cluster-cidr") is None and last(arguments, "controllers") is None:
        yield SpecFinding(
            at=("spec", "controllerManager", "extraArgs", place, "value"),
            message="needs a pod subnet, and the controller manager stops without one: give podSubnets",
            given=(("spec", "networking", "podSubnets"),),
        )


def _divides(spec: ClusterSpec) -> bool:
    """Whether the controller manager gives each node a part of the pod subnets."""
    arguments = spec.spec.controller_manager.extra_args
    allocates = last(arguments, "allocate-node-cidrs")
    return allocates is None or arguments[allocates].value != "false"


def _domain_length(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """The longest name in the API server's certificate is still a DNS name (RFC 1123 2.1)."""
    longest = f"{_LONGEST_SERVICE}.{spec.spec.networking.dns_domain}"
    if len(longest) > _LONGEST_DNS_NAME:
        yield SpecFinding(
            at=("spec", "networking", "dnsDomain"),
            message=f"is too long: {_LONGEST_SERVICE}.<domain> would have {len(longest)} characters; a name "
            f"may have {_LONGEST_DNS_NAME}; use at most {_LONGEST_DNS_NAME - len(_LONGEST_SERVICE) - 1}",
        )


def _special_ranges(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Ranges that no Service, Pod or API server can be reached at."""
    # pkg/apis/core/validation/validation.go, ValidateEndpointIP: what no Endpoints or EndpointSlice may hold
    networking = spec.spec.networking
    places: list[tuple[Location, IPAddress | IPNetwork, str]] = [
        (("spec", "networking", key, index), subnet, "nothing there could be reached")
        for key, subnets in (
            ("serviceSubnets", networking.service_subnets),
            ("podSubnets", networking.pod_subnets),
        )
        for index, subnet in enumerate(subnets)
    ]
    # Since v1.37 the API server refuses to start with one (kubernetes#138102).
    what = "the API server cannot publish it as its own, and v1.37 does not start with it"
    places.extend(
        ((*NODES, index, "addresses", 0), node.advertise_address, what)
        for index, node in enumerate(spec.spec.nodes)
        if node.has(Role.CONTROL_PLANE) and node.addresses
    )
    for at, value, why in places:
        kinds = {
            "loopback": value.is_loopback,
            "link-local": value.is_link_local,
            "multicast": value.is_multicast,
        }
        for kind, applies in kinds.items():
            if applies:
                yield warning(at, f"is {kind}: {why}")


def _overlaps(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Pods and Services have addresses of their own."""
    for index, pods in enumerate(spec.spec.networking.pod_subnets):
        for place, service in enumerate(spec.spec.networking.service_subnets):
            if _overlap(pods, service):
                yield SpecFinding(
                    at=("spec", "networking", "podSubnets", index),
                    message=f"overlaps the service subnet {service}: pods and services need their own ranges",
                    given=(("spec", "networking", "serviceSubnets", place),),
                )


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    """Whether two networks share an address; those of two families never do."""
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.overlaps(other)
    return not isinstance(other, IPv4Network) and one.overlaps(other)


def _hosts_within_subnets(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """No host has an address that the cluster gives out itself."""
    hosts: list[tuple[Location, IPAddress | str]] = [
        ((*NODES, node, "addresses", index), address) for node, index, address in node_addresses(spec)
    ]
    if spec.spec.control_plane_endpoint:
        hosts.append((("spec", "controlPlaneEndpoint"), split_host_port(spec.spec.control_plane_endpoint)[0]))
    for at, host in hosts:
        if isinstance(host, str):
            continue
        for place, service in enumerate(spec.spec.networking.service_subnets):
            if host in service:
                yield SpecFinding(
                    at=at,
                    message=f"is inside the service subnet {service}, whose addresses only the cluster knows",
                    given=(("spec", "networking", "serviceSubnets", place),),
                )
        for pods in spec.spec.networking.pod_subnets:
            if host in pods:
                yield warning(at, f"is inside the pod subnet {pods}: a pod may get the same address")


def _control_plane_endpoint(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """An endpoint for several API servers, written so that its port is one."""
    endpoint = spec.spec.control_plane_endpoint
    at: Location = ("spec", "controlPlaneEndpoint")
    if endpoint is None:
        if len(spec.control_plane) > 1:
            first = spec.control_plane[0].name
            yield warning(
                at,
                f"is missing with {len(spec.control_plane)} control-plane nodes: kubeconfigs name "
                f"{first} alone, and stop working while it is down; name a load balancer",
                ROLES,
                (*NODES, EVERY, "name"),
            )
        return
    host, _ = split_host_port(endpoint)
    if ":" in endpoint and "[" not in endpoint and not isinstance(host, str) and host.version == 6:  # noqa: PLR2004
        before, _, group = endpoint.rpartition(":")
        address = f"{before}:" if before.endswith(":") else before  # of `::`, both belong to the address
        if group.isdecimal() and int(group) in _API_PORTS | {spec.spec.api_server.bind_port}:
            yield warning(
                at,
                f"is an IPv6 address without a port: if {group} is meant as one, "
                f"{_with_port(address, group)}",
            )


def _endpoint_without_nodes(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Where the nodes are another distribution's, nothing else says where people's kubeconfigs lead."""
    if spec.spec.nodes or spec.spec.control_plane_endpoint is not None:
        return
    if any(not each.keeps_key for each in spec.spec.users):
        yield SpecFinding(
            at=("spec", "controlPlaneEndpoint"),
            message="is missing without nodes: the kubeconfigs of users have to name a server",
            given=(NODES, ("spec", "users")),
        )


def _with_port(address: str, port: str) -> str:
    """What to write; of too few groups for an address, nobody can know the rest."""
    try:
        parse_host_address(address)
    except ValueError:
        return f"write the whole address in brackets, and :{port} behind them"
    return f"write [{address}]:{port}"


def _advertise_families(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """The API server's own address is of the first Service subnet's family, or it does not start."""
    # cmd/kube-apiserver/app/options/validation.go, validatePublicIPServiceClusterIPRangeIPFamilies; kubeadm
    # lets it pass, and with --endpoint-reconciler-type=none it is allowed.
    if last(spec.spec.api_server.extra_args, "endpoint-reconciler-type") is not None:
        return
    first = spec.spec.networking.service_subnets[0]
    for index, node in enumerate(spec.spec.nodes):
        if not node.has(Role.CONTROL_PLANE) or not node.addresses:
            continue
        if node.advertise_address.version != first.version:
            yield warning(
                (*NODES, index, "addresses", 0),
                f"is of another family than the first service subnet {first}, and so the API server does not "
                "start: change the order of one of them",
                ("spec", "networking", "serviceSubnets", 0),
                (*NODES, index, "roles"),
            )


RULES: Final[tuple[Callable[[ClusterSpec], Iterator[SpecFinding]], ...]] = (
    _subnet_families,
    _service_subnet_sizes,
    _pod_subnet_sizes,
    _node_mask_flags,
    _allocation,
    _domain_length,
    _special_ranges,
    _overlaps,
    _hosts_within_subnets,
    _control_plane_endpoint,
    _endpoint_without_nodes,
    _advertise_families,
)
