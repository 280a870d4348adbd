"""Rules about nodes: names, addresses, roles and ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.spec.findings import (
    EXTERNAL_ETCD,
    NODES,
    ROLES,
    Location,
    SpecFinding,
    no_effect,
    node_addresses,
    repeats,
    warning,
)
from pkigen.spec.model import ManagedFiles, Role
from pkigen.spec.translation import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pkigen.notation import IPAddress
    from pkigen.spec.model import ClusterSpec


# pkg/cluster/ports/ports.go; the scheduler's and those of etcd are in K/constants/constants.go.
_NODE_PORTS: Final = {
    10248: "the kubelet's health check",
    10249: "kube-proxy's metrics",
    10250: "the kubelet",
    10256: "kube-proxy's health check",
    10257: "the controller manager",
    10259: "the scheduler",
}
_ETCD_PORTS: Final = {2379: "etcd's clients", 2380: "etcd's peers", 2381: "etcd's metrics"}


def _node_names(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Every node has a name of its own."""
    first: dict[str, int] = {}
    for index, node in enumerate(spec.spec.nodes):
        before = first.setdefault(node.name, index)
        if before != index:
            yield SpecFinding(
                at=(*NODES, index, "name"),
                message=f"{quote(node.name)} is the name of an earlier node already: each needs its own",
            )


def _unique_addresses(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """No address is given twice, be it to one node."""
    first: dict[IPAddress, tuple[int, int]] = {}
    for node, index, address in node_addresses(spec):
        before = first.setdefault(address, (node, index))
        if before != (node, index):
            owner = "this node" if before[0] == node else f"the node {quote(spec.spec.nodes[before[0]].name)}"
            yield SpecFinding(
                at=(*NODES, node, "addresses", index), message=f"{address} is an address of {owner} already"
            )


def _addresses(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Nodes that others dial have an address."""
    members = {node.name for node in spec.etcd_members}
    for index, node in enumerate(spec.spec.nodes):
        at: Location = (*NODES, index, "addresses")
        if node.addresses:
            continue
        # The flag node-ip is no other node's business: it says only what the kubelet registers.
        if node.has(Role.CONTROL_PLANE) or node.name in members:
            message = "must not be empty: the other nodes reach this one at the first address"
            yield SpecFinding(at=at, message=message, given=((*NODES, index, "roles"),))
        elif not node.kubelet_addresses and spec.manages(ManagedFiles.KUBELET):
            yield warning(
                at,
                f"names no address of {quote(node.name)} (node-ip among the kubelet's flags), and so its "
                "serving certificate names none: `kubectl logs` and `exec` fail there until one is given",
                (*NODES, index, "roles"),
                (*NODES, index, "kubeletExtraArgs"),
            )


def _node_roles(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """There is a control plane, and no role or name twice; roles and ports fit together."""
    if spec.spec.nodes and not spec.control_plane:
        yield SpecFinding(
            at=NODES, message="no node has the role control-plane: give it to at least one", given=(ROLES,)
        )
    for index, node in enumerate(spec.spec.nodes):
        for place in repeats(node.roles):
            yield warning((*NODES, index, "roles", place), f"{node.roles[place]} is given twice: remove it")
        for place in repeats(node.cert_sans):
            yield warning(
                (*NODES, index, "certSANs", place),
                f"{quote(node.cert_sans[place])} is given twice: remove it",
            )
        if spec.spec.etcd.external is not None and node.has(Role.ETCD):
            yield SpecFinding(
                at=(*NODES, index, "roles", node.roles.index(Role.ETCD)),
                message="etcd is external (spec.etcd.external): no node can have the role etcd",
            )
        if node.bind_port is not None and not node.has(Role.CONTROL_PLANE):
            yield no_effect((*NODES, index, "bindPort"), "only control-plane nodes run an API server")


def _etcd_members(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """A quorum is more than half, so an even number of members adds nothing."""
    members = len(spec.etcd_members)
    if members and members % 2 == 0:
        yield warning(
            NODES,
            f"give {members} etcd members, an even number: they tolerate no more failures than {members - 1} "
            "would; add or remove one",
            ROLES,
            EXTERNAL_ETCD,
        )


def _ports(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """The API server's port is no other component's on the same host."""
    members = {node.name for node in spec.etcd_members}
    for index, node in enumerate(spec.spec.nodes):
        if not node.has(Role.CONTROL_PLANE):
            continue
        port = spec.api_port(node)
        owner = _NODE_PORTS.get(port) or (_ETCD_PORTS.get(port) if node.name in members else None)
        if owner is None:
            continue
        looked_at = ((*NODES, index, "roles"), *((EXTERNAL_ETCD,) if port in _ETCD_PORTS else ()))
        if node.bind_port is not None:
            yield SpecFinding(
                at=(*NODES, index, "bindPort"),
                message=f"{port} is the port of {owner} on this node",
                given=looked_at,
            )
            continue
        yield SpecFinding(
            at=("spec", "apiServer", "bindPort"),
            message=f"{port} is the port of {owner} on every control-plane node",
            given=(*looked_at, (*NODES, index, "bindPort")),
        )
        return


RULES: Final[tuple[Callable[[ClusterSpec], Iterator[SpecFinding]], ...]] = (
    _node_names,
    _addresses,
    _unique_addresses,
    _node_roles,
    _etcd_members,
    _ports,
)
