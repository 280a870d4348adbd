"""InitConfiguration and JoinConfigurations as the model's `nodes`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pkigen.spec.addresses import parse_address
from pkigen.spec.kubeadm.kubelet import kubelet_arguments
from pkigen.spec.kubeadm.treatments import INIT, JOIN
from pkigen.spec.model import Role
from pkigen.spec.translation import quote
from pkigen.spec.values import flag_name
from pkigen.spec.yaml_nodes import (
    MappingNode,
    ScalarNode,
    SequenceNode,
    YAMLNode,
    child,
    copy_entry,
    mapping,
    scalar,
    sequence,
    split_text,
)

if TYPE_CHECKING:
    from pkigen.spec.dialects import HostFacts
    from pkigen.spec.findings import Location
    from pkigen.spec.kubeadm.documents import Documents
    from pkigen.spec.kubeadm.notes import Notes

_DEFAULT_PORT: Final = 6443
_UNSPECIFIED: Final = ("0.0.0.0", "::")  # noqa: S104 -- compared with, not bound to
_ASKS_HOST = ", and kubeadm would ask the host: write the node's"


def nodes_of(cluster: MappingNode, found: Documents, host: HostFacts, notes: Notes) -> YAMLNode:
    """The model's `nodes`: the one of the InitConfiguration, then one for each JoinConfiguration."""
    nodes: list[YAMLNode] = []
    if found.init is not None or not found.joins:
        init = found.init or mapping({}, at=cluster, shown=INIT)
        nodes.append(_first_node(init, host, notes))
    else:
        what = (
            "is missing: it names the first control-plane node, for which kubeadm takes the host it runs on"
        )
        notes.add_problem(cluster, INIT, what)
    has_port = child(found.init, "localAPIEndpoint", "bindPort") is not None
    for join in found.joins:
        nodes.append(_joining_node(join, ("spec", "nodes", len(nodes)), notes, has_port=has_port))
    last = found.joins[-1] if found.joins else found.init
    return sequence(nodes, at=last or cluster, shown=JOIN if found.joins else INIT)


def _joining_node(join: MappingNode, place: Location, notes: Notes, *, has_port: bool) -> YAMLNode:
    """Where the first node has a port of its own, kubeadm's default must be said for the others."""
    entries = _registration(join, place, notes)
    if child(join, "controlPlane") is None:
        _add_worker(entries, join)
    else:
        _add_control_plane(entries, child(join, "controlPlane", "localAPIEndpoint"), join, place, notes)
        if "bindPort" not in entries and has_port:
            entries["bindPort"] = scalar(_DEFAULT_PORT, at=join)
    return mapping(entries, at=join, shown=JOIN)


def _first_node(init: MappingNode, host: HostFacts, notes: Notes) -> YAMLNode:
    """The node of an InitConfiguration, with what kubeadm would ask the host for."""
    place: Location = ("spec", "nodes", 0)
    entries = _registration(init, place, notes)
    _add_control_plane(entries, child(init, "localAPIEndpoint"), init, place, notes)
    entries.pop("bindPort", None)  # every API server's, in apiServer.bindPort
    name = (host.hostname or "").strip().lower()  # as GetHostname of component-helpers/node/util
    facts = {
        "name": (name, "nodeRegistration.name"),
        "addresses": (str(host.default_address or ""), "localAPIEndpoint.advertiseAddress"),
    }
    for key, (fact, path) in facts.items():
        if key not in entries and fact:
            shown = f"{INIT}.{path}"
            notes.add_warning(
                init, shown, f"is missing: taken from this host, {quote(fact)}, as kubeadm does"
            )
            value = scalar(fact, at=init, shown=shown)
            entries[key] = value if key == "name" else sequence([value], at=init, shown=shown)
    return mapping(entries, at=init, shown=INIT)


def _registration(document: MappingNode, place: Location, notes: Notes) -> dict[str, YAMLNode]:
    """What InitConfiguration and JoinConfiguration say alike of a node."""
    entries: dict[str, YAMLNode] = {}
    name = child(document, "nodeRegistration", "name")
    if name is None:
        notes.absences[*place, "name"] = (
            f"{document.shown}.nodeRegistration.name",
            f"is missing{_ASKS_HOST} name",
        )
    elif isinstance(name, ScalarNode) and isinstance(name.value, str):
        entries["name"] = replace(name, value=name.value.strip().lower())  # as GetHostname
    else:
        entries["name"] = name
    joins_as_worker = document.shown == JOIN and child(document, "controlPlane") is None
    arguments = kubelet_arguments(
        child(document, "nodeRegistration"),
        f"{document.shown}.nodeRegistration",
        control_plane=None if joins_as_worker else document,
        report=notes.add_problem,
    )
    if arguments is not None:
        entries["kubeletExtraArgs"] = arguments
    return entries


def _add_control_plane(
    entries: dict[str, YAMLNode],
    endpoint: YAMLNode | None,
    document: MappingNode,
    place: Location,
    notes: Notes,
) -> None:
    """Role, port and address of a control-plane node."""
    entries["roles"] = _only_role(Role.CONTROL_PLANE, document)
    copy_entry(endpoint, "bindPort", entries, "bindPort")
    address = child(endpoint, "advertiseAddress")
    if address is None or address.value in _UNSPECIFIED:
        where = "localAPIEndpoint" if document.shown == INIT else "controlPlane.localAPIEndpoint"
        path = f"{document.shown}.{where}.advertiseAddress"
        given = "is missing" if address is None else f"{address.value} is not a host's address"
        notes.absences[*place, "addresses"] = (path, f"{given}{_ASKS_HOST} address")
        return
    entries["addresses"] = sequence([address], at=address, shown=address.shown)
    if _is_loopback(address):
        what = "is a loopback address: kubeadm would look for another one on lo, pkigen takes it as it is"
        notes.add_warning(address, address.shown or "", what)


def _add_worker(entries: dict[str, YAMLNode], join: MappingNode) -> None:
    """Role and addresses of a worker, which kubeadm itself does not want to know."""
    entries["roles"] = _only_role(Role.WORKER, join)
    addresses = _node_ip(entries.get("kubeletExtraArgs"))
    if addresses:
        entries["addresses"] = sequence(addresses, at=addresses[0])
        return
    shown = f"{JOIN}.nodeRegistration.kubeletExtraArgs"
    # Empty and not left out: the model then says that addresses are missing, at the flag that would name
    # them.
    entries["addresses"] = sequence([], at=join, shown=shown)


def _only_role(role: Role, document: MappingNode) -> YAMLNode:
    return sequence([scalar(role, at=document)], at=document)


def _is_loopback(address: YAMLNode) -> bool:
    try:
        return parse_address(address.value).is_loopback
    except ValueError:
        return False  # the model says what is wrong


def _node_ip(arguments: YAMLNode | None) -> list[YAMLNode]:
    """The addresses of the last `node-ip` among the kubelet's flags; unspecified ones mean "find out"."""
    items = arguments.items if isinstance(arguments, SequenceNode) else []
    names = [(child(item, "name"), child(item, "value")) for item in items]
    given = [value for name, value in names if name and value and flag_name(str(name.value)) == "node-ip"]
    return [part for part in split_text(given[-1]) if part.value not in ("", *_UNSPECIFIED)] if given else []
