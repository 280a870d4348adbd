"""kubeadm configurations, unchanged, to the same model.

InitConfiguration, ClusterConfiguration and JoinConfiguration documents of one file become a tree of the
model's shape whose values keep their old places and paths. What is not taken over is a warning, never
silence. Defaults and rules are kubeadm's (`cmd/kubeadm/app/util/config/` and `apis/kubeadm/` of Kubernetes
1.36). In one thing pkigen reads more than kubeadm: several JoinConfigurations, one for each further node.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from pkigen.crypto.keys import KeyAlgorithm
from pkigen.errors import Problem, SpecError
from pkigen.notation import format_duration
from pkigen.spec.builder import Source
from pkigen.spec.dialects import KUBEADM_GROUP, KUBEADM_NEWEST
from pkigen.spec.kubeadm_kubelet import kubelet_arguments
from pkigen.spec.kubeadm_types import (
    CLUSTER,
    INIT,
    JOIN,
    KNOWN_GATES,
    OTHER_KINDS,
    TYPE_META,
    TYPES,
    V1BETA3,
    Each,
    Fields,
    Flags,
    Gates,
    Ignored,
    Taken,
    TakenEvenEmpty,
)
from pkigen.spec.model import API_VERSION, KIND, Role
from pkigen.spec.translation import kind_of, nearest, quote, suggestion
from pkigen.spec.values import parse_address, parse_period
from pkigen.spec.yaml_nodes import MappingNode, ScalarNode, SequenceNode, YAMLNode, mapping, scalar, sequence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.spec.dialects import HostFacts
    from pkigen.spec.findings import Location

_COMPONENT_GROUPS: Final = ("kubelet.config.k8s.io", "kubeproxy.config.k8s.io")
_DEFAULT_PORT: Final = 6443
_DEFAULT_NAME: Final = "kubernetes"
_DEFAULT_CA_VALIDITY: Final = "87600h"
_EXAMPLE_VERSION: Final = "v1.36.2"
_RELEASE = re.compile(r"v?[0-9].*")
_GO_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|ns)")
_GO_DURATION = re.compile(rf"(?:{_GO_DURATION_PART.pattern})+")  # time.ParseDuration
_SECONDS: Final = {
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("1e-3"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ns": Decimal("1e-9"),
}
_LONGEST_DURATION: Final = 60
_MOST_SECONDS: Final = 10**10
_UNSPECIFIED: Final = ("0.0.0.0", "::")  # noqa: S104 -- compared with, not bound to
_LONGEST_LISTING: Final = 10

_ASKS_HOST = ", and kubeadm would ask the host: write the node's"
_ASKS_INTERNET = (
    f"kubeadm would look it up on the internet: write an exact version such as {_EXAMPLE_VERSION}"
)


@dataclass(slots=True, kw_only=True)
class _Notes:
    """What is noticed on the way."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    absences: dict[Location, tuple[str, str]] = field(default_factory=dict)

    def problem(self, node: YAMLNode, path: str, message: str) -> None:
        self.problems.append(self._at(node, path, message))

    def warning(self, node: YAMLNode, path: str, message: str) -> None:
        self.warnings.append(self._at(node, path, message))

    def _at(self, node: YAMLNode, path: str, message: str) -> Problem:
        return Problem(file=self.file, line=node.line, column=node.column, path=path, message=message)


@dataclass(slots=True, kw_only=True)
class _Documents:
    """The documents that describe the cluster, without what is not taken over."""

    init: MappingNode | None = None
    cluster: MappingNode | None = None
    joins: list[MappingNode] = field(default_factory=list)


def convert(documents: list[YAMLNode], *, file: str, host: HostFacts) -> Source:
    """Turn the documents of a kubeadm configuration into one tree of the model's shape.

    Raises:
        SpecError: They do not describe a cluster at all.
    """
    notes = _Notes(file=file)
    found = _Documents()
    for document in documents:
        _sort_in(document, found, notes)
    first = found.init or found.cluster
    if first is None:
        if not notes.problems:
            what = f"kubeadm needs an {INIT} or a {CLUSTER} in the file, and so does pkigen"
            notes.problem(documents[0], "", what)
        raise SpecError(notes.problems)
    cluster = found.cluster or mapping({}, at=first, shown=CLUSTER)
    name = _child(cluster, "clusterName") or scalar(_DEFAULT_NAME, at=cluster)
    root = mapping(
        {
            "apiVersion": scalar(API_VERSION, at=first),
            "kind": scalar(KIND, at=first),
            "metadata": mapping({"name": name}, at=cluster),
            "spec": _spec(cluster, found, host, notes),
        },
        at=first,
    )
    return Source(
        root=root, problems=tuple(notes.problems), warnings=tuple(notes.warnings), absences=notes.absences
    )


# Documents


def _sort_in(document: YAMLNode, found: _Documents, notes: _Notes) -> None:
    version, kind = _child(document, "apiVersion"), _child(document, "kind")
    if not isinstance(document, MappingNode) or version is None or kind is None:
        notes.problem(document, "", "every document of a kubeadm configuration needs apiVersion and kind")
        return
    if not isinstance(version.value, str):
        notes.problem(version, "apiVersion", f"must be text such as {KUBEADM_NEWEST}, not {kind_of(version)}")
        return
    name = str(kind.value)
    if version.value.partition("/")[0] != KUBEADM_GROUP:
        _note_foreign(document, version, name, notes)
        return
    fields = TYPES.get(version.value)
    if fields is None:
        notes.problem(
            version,
            "apiVersion",
            f"must be {KUBEADM_NEWEST} or v1beta3, not {quote(version.value)}; "
            "kubeadm config migrate makes the former of older ones",
        )
    elif name in OTHER_KINDS:
        notes.warning(kind, "kind", f"{name} is not used: it describes no cluster")
    else:
        if version.value == V1BETA3:
            what = "v1beta3 is deprecated: kubeadm config migrate makes v1beta4 of it"
            notes.warning(version, "apiVersion", what)
        if name not in fields:
            notes.problem(kind, "kind", f"{quote(name)} is unknown to kubeadm{suggestion(name, fields)}")
        meant = name if name in fields else nearest(name, fields)
        if meant is not None:
            content = _inspected(document, {**fields[meant], **TYPE_META}, meant, notes)
            _keep(content, meant, kind, found, notes)


def _note_foreign(document: MappingNode, version: YAMLNode, kind: str, notes: _Notes) -> None:
    """A document that kubeadm hands on to another component, or ignores."""
    group = str(version.value).partition("/")[0]
    if group == API_VERSION.partition("/")[0]:
        notes.problem(
            version, "apiVersion", "a pkigen spec cannot stand beside a kubeadm configuration: keep one"
        )
        return
    if group not in _COMPONENT_GROUPS:
        notes.warning(document, "apiVersion", f"{quote(version.value)} is not used, as with kubeadm")
        return
    keys = [key[:60] for key in document.entries if key not in TYPE_META]
    if keys:
        more = ", …" if len(keys) > _LONGEST_LISTING else ""
        listing = ", ".join(keys[:_LONGEST_LISTING]) + more
        notes.warning(document, kind[:60], f"is not used ({listing}): pkigen writes its own for every node")


def _keep(document: MappingNode, name: str, kind: YAMLNode, found: _Documents, notes: _Notes) -> None:
    before = {INIT: found.init, CLUSTER: found.cluster}.get(name)
    if before is not None:
        notes.problem(kind, "kind", f"{name} is given twice, first at line {before.line}: keep one")
    elif name == INIT:
        found.init = document
    elif name == CLUSTER:
        found.cluster = document
    else:
        found.joins.append(document)


def _inspected(node: MappingNode, fields: Fields, path: str, notes: _Notes) -> MappingNode:
    """What is to be taken over of a mapping; the rest becomes warnings.

    As in Go, null, empty text and 0 mean the same as leaving a field out.
    """
    kept: dict[str, YAMLNode] = {}
    for key, (key_node, value) in node.entries.items():
        here = f"{path}.{key[:60]}"
        treatment = fields.get(key)
        if treatment is None:
            what = f"is unknown to kubeadm and ignored, as there{suggestion(key, fields)}"
            notes.warning(key_node, here, what)
        elif isinstance(treatment, Ignored):
            if value.value not in (None, "", 0, False, {}, []):
                notes.warning(key_node, here, f"is not used: {treatment.why}")
        elif not _is_zero(value) or (isinstance(treatment, TakenEvenEmpty) and value.value == ""):
            taken = _taken(value, treatment, here, notes)
            if taken is not None:
                kept[key] = taken
    return mapping(kept, at=node, shown=path)


def _taken(
    value: YAMLNode, treatment: Taken | Each | Flags | Gates | Fields, path: str, notes: _Notes
) -> YAMLNode | None:
    if isinstance(treatment, Taken) or (isinstance(treatment, Gates) and isinstance(value, MappingNode)):
        return replace(value, shown=path)  # the model judges it
    if isinstance(treatment, Each) and isinstance(value, SequenceNode):
        items = [
            _inspected(item, treatment.fields, f"{path}[{index}]", notes)
            if isinstance(item, MappingNode)
            else item
            for index, item in enumerate(value.items)
        ]
        return sequence(items, at=value, shown=path)
    if isinstance(treatment, Flags) and isinstance(value, MappingNode):
        return _as_list(value, path)
    if isinstance(treatment, dict) and isinstance(value, MappingNode):
        return _inspected(value, treatment, path, notes)
    wanted = treatment.wanted if isinstance(treatment, Each | Flags) else "a mapping of keys to values"
    notes.problem(value, path, f"must be {wanted}, not {kind_of(value)}")
    return None


def _is_zero(node: YAMLNode) -> bool:
    return node.value is None or node.value == "" or (node.value == 0 and node.value is not False)


def _as_list(flags: MappingNode, path: str) -> YAMLNode:
    """v1beta3's mapping of flags as a list sorted by name (v1beta3/conversion.go, convertToArgs)."""
    items: list[YAMLNode] = []
    for name, (key, value) in sorted(flags.entries.items()):
        here = f"{path}.{name[:60]}"
        entries = {"name": scalar(name, at=key, shown=here), "value": replace(value, shown=here)}
        items.append(mapping(entries, at=key, shown=here))
    return sequence(items, at=flags, shown=path)


# ClusterConfiguration


def _spec(cluster: MappingNode, found: _Documents, host: HostFacts, notes: _Notes) -> YAMLNode:
    entries: dict[str, YAMLNode] = {}
    version = _version(cluster, notes)
    if version is not None:
        entries["kubernetesVersion"] = version
    for key in ("controlPlaneEndpoint", "imageRepository", "controllerManager", "scheduler"):
        _copy(cluster, key, entries, key)
    port = _child(found.init, "localAPIEndpoint", "bindPort")
    server = {key: value for key, (_, value) in _entries(_child(cluster, "apiServer"))}
    # v1beta3 has it in the API server's section, v1beta4 beside other timeouts; it is every component's.
    timeout = server.pop("timeoutForControlPlane", None) or _child(
        found.init, "timeouts", "controlPlaneComponentHealthCheck"
    )
    if timeout is not None:
        entries["startupTimeout"] = _in_whole_units(timeout)
    if port is not None:
        server["bindPort"] = port
    entries["apiServer"] = mapping(
        server, at=_child(cluster, "apiServer") or cluster, shown=f"{CLUSTER}.apiServer"
    )
    entries["networking"] = _networking(cluster)
    entries["etcd"] = _etcd(cluster, notes)
    entries["certificates"] = _certificates(cluster, notes)
    entries["nodes"] = _nodes(cluster, found, host, notes)
    return mapping(entries, at=cluster, shown=CLUSTER)


def _version(cluster: MappingNode, notes: _Notes) -> YAMLNode | None:
    version = _child(cluster, "kubernetesVersion")
    path = f"{CLUSTER}.kubernetesVersion"
    if version is None:
        notes.absences["spec", "kubernetesVersion"] = (path, f"is missing, and {_ASKS_INTERNET}")
    elif isinstance(version.value, str) and not _RELEASE.fullmatch(version.value):
        notes.problem(version, path, f"{quote(version.value)} is a label, and {_ASKS_INTERNET}")
        return scalar(_EXAMPLE_VERSION, at=version)
    return version


def _networking(cluster: MappingNode) -> YAMLNode:
    given = _child(cluster, "networking")
    entries: dict[str, YAMLNode] = {}
    _copy(given, "dnsDomain", entries, "dnsDomain")
    for old, new in (("serviceSubnet", "serviceSubnets"), ("podSubnet", "podSubnets")):
        subnets = _child(given, old)
        if subnets is not None:
            entries[new] = sequence(_split(subnets), at=subnets, shown=subnets.shown)
    return mapping(entries, at=given or cluster, shown=f"{CLUSTER}.networking")


def _etcd(cluster: MappingNode, notes: _Notes) -> YAMLNode:
    local, external = _child(cluster, "etcd", "local"), _child(cluster, "etcd", "external")
    if external is None:
        return local or mapping({}, at=cluster)
    if local is not None:
        notes.problem(
            external, f"{CLUSTER}.etcd.external", "cannot stand beside etcd.local: keep one of them"
        )
    return mapping({"external": external}, at=external)


def _certificates(cluster: MappingNode, notes: _Notes) -> YAMLNode:
    entries: dict[str, YAMLNode] = {"keyAlgorithm": scalar(KeyAlgorithm.RSA_2048, at=cluster)}
    _copy(cluster, "certificatesDir", entries, "directory")
    _copy(cluster, "encryptionAlgorithm", entries, "keyAlgorithm")
    for old, new in (
        ("caCertificateValidityPeriod", "caValidity"),
        ("certificateValidityPeriod", "validity"),
    ):
        period = _child(cluster, old)
        if period is not None:
            entries[new] = _in_whole_units(period)
    gates = _child(cluster, "featureGates")
    for name, (key, value) in _entries(gates):
        here = f"{CLUSTER}.featureGates.{name[:60]}"
        if not isinstance(value.value, bool):
            notes.problem(value, here, f"must be true or false, not {kind_of(value)}")
        elif name == "PublicKeysECDSA":
            entries["keyAlgorithm"] = _gated_algorithm(cluster, key, value, here, notes)
        else:
            near = "" if name in KNOWN_GATES else suggestion(name, KNOWN_GATES)
            notes.warning(key, here, f"is not used: it is about a run of kubeadm{near}")
    leaf, authority = entries.get("validity"), entries.get("caValidity")
    if leaf is not None and _is_longer(leaf, authority):
        what = "is longer than the CA's: no certificate outlives its CA, so the CA's counts"
        notes.warning(leaf, f"{CLUSTER}.certificateValidityPeriod", what)
        entries["validity"] = authority or scalar(_DEFAULT_CA_VALIDITY, at=leaf)
    return mapping(entries, at=cluster)


def _gated_algorithm(
    cluster: MappingNode, key: YAMLNode, gate: YAMLNode, path: str, notes: _Notes
) -> YAMLNode:
    """The deprecated gate counts more than the field, set either way (types.go, EncryptionAlgorithmType)."""
    meant = KeyAlgorithm.ECDSA_P256 if gate.value else KeyAlgorithm.RSA_2048
    field_ = _child(cluster, "encryptionAlgorithm")
    if field_ is not None and field_.value != meant:
        notes.warning(key, path, f"counts more than encryptionAlgorithm, as with kubeadm: keys are {meant}")
    return scalar(meant, at=gate, shown=path)


def _in_whole_units(period: YAMLNode) -> YAMLNode:
    """A Go duration such as `1.5h` or `60000ms` as the model writes it; anything else as it is."""
    text = period.value if isinstance(period.value, str) and len(period.value) <= _LONGEST_DURATION else ""
    if not _GO_DURATION.fullmatch(text):
        return period
    seconds = sum(Decimal(number) * _SECONDS[unit] for number, unit in _GO_DURATION_PART.findall(text))
    if seconds != int(seconds) or not 0 < seconds < _MOST_SECONDS:
        return period
    return replace(period, value=format_duration(timedelta(seconds=int(seconds))))


def _is_longer(leaf: YAMLNode, authority: YAMLNode | None) -> bool:
    try:
        return parse_period(leaf.value) > parse_period(
            _DEFAULT_CA_VALIDITY if authority is None else authority.value
        )
    except ValueError:
        return False  # the model says what is wrong


# InitConfiguration and JoinConfiguration


def _nodes(cluster: MappingNode, found: _Documents, host: HostFacts, notes: _Notes) -> YAMLNode:
    nodes: list[YAMLNode] = []
    if found.init is not None or not found.joins:
        init = found.init or mapping({}, at=cluster, shown=INIT)
        nodes.append(_first_node(init, host, notes))
    else:
        what = (
            "is missing: it names the first control-plane node, for which kubeadm takes the host it runs on"
        )
        notes.problem(cluster, INIT, what)
    has_port = _child(found.init, "localAPIEndpoint", "bindPort") is not None
    for join in found.joins:
        place: Location = ("spec", "nodes", len(nodes))
        entries = _registration(join, place, notes)
        if _child(join, "controlPlane") is None:
            _add_worker(entries, join, place, notes)
        else:
            _add_control_plane(entries, _child(join, "controlPlane", "localAPIEndpoint"), join, place, notes)
            if "bindPort" not in entries and has_port:
                entries["bindPort"] = scalar(_DEFAULT_PORT, at=join)
        nodes.append(mapping(entries, at=join, shown=JOIN))
    last = found.joins[-1] if found.joins else found.init
    return sequence(nodes, at=last or cluster, shown=JOIN if found.joins else INIT)


def _first_node(init: MappingNode, host: HostFacts, notes: _Notes) -> YAMLNode:
    place: Location = ("spec", "nodes", 0)
    entries = _registration(init, place, notes)
    _add_control_plane(entries, _child(init, "localAPIEndpoint"), init, place, notes)
    entries.pop("bindPort", None)  # every API server's, in apiServer.bindPort
    name = (host.hostname or "").strip().lower()  # as GetHostname of component-helpers/node/util
    facts = {
        "name": (name, "nodeRegistration.name"),
        "addresses": (str(host.default_address or ""), "localAPIEndpoint.advertiseAddress"),
    }
    for key, (fact, path) in facts.items():
        if key not in entries and fact:
            shown = f"{INIT}.{path}"
            notes.warning(init, shown, f"is missing: taken from this host, {quote(fact)}, as kubeadm does")
            value = scalar(fact, at=init, shown=shown)
            entries[key] = value if key == "name" else sequence([value], at=init, shown=shown)
    return mapping(entries, at=init, shown=INIT)


def _registration(document: MappingNode, place: Location, notes: _Notes) -> dict[str, YAMLNode]:
    entries: dict[str, YAMLNode] = {}
    name = _child(document, "nodeRegistration", "name")
    if name is None:
        notes.absences[*place, "name"] = (
            f"{document.shown}.nodeRegistration.name",
            f"is missing{_ASKS_HOST} name",
        )
    elif isinstance(name, ScalarNode) and isinstance(name.value, str):
        entries["name"] = replace(name, value=name.value.strip().lower())  # as GetHostname
    else:
        entries["name"] = name
    arguments = kubelet_arguments(
        _child(document, "nodeRegistration"), f"{document.shown}.nodeRegistration", report=notes.problem
    )
    if arguments is not None:
        entries["kubeletExtraArgs"] = arguments
    return entries


def _add_control_plane(
    entries: dict[str, YAMLNode],
    endpoint: YAMLNode | None,
    document: MappingNode,
    place: Location,
    notes: _Notes,
) -> None:
    entries["roles"] = _roles(Role.CONTROL_PLANE, document)
    _copy(endpoint, "bindPort", entries, "bindPort")
    address = _child(endpoint, "advertiseAddress")
    if address is None or address.value in _UNSPECIFIED:
        where = "localAPIEndpoint" if document.shown == INIT else "controlPlane.localAPIEndpoint"
        path = f"{document.shown}.{where}.advertiseAddress"
        given = "is missing" if address is None else f"{address.value} is no host's"
        notes.absences[*place, "addresses"] = (path, f"{given}{_ASKS_HOST} address")
        return
    entries["addresses"] = sequence([address], at=address, shown=address.shown)
    if _is_loopback(address):
        what = "is a loopback address: kubeadm would look for another one on lo, pkigen takes it as it is"
        notes.warning(address, address.shown or "", what)


def _add_worker(entries: dict[str, YAMLNode], join: MappingNode, place: Location, notes: _Notes) -> None:
    entries["roles"] = _roles(Role.WORKER, join)
    addresses = _node_ip(entries.get("kubeletExtraArgs"))
    if addresses:
        entries["addresses"] = sequence(addresses, at=addresses[0])
        return
    notes.absences[*place, "addresses"] = (
        f"{JOIN}.nodeRegistration.kubeletExtraArgs",
        "has no node-ip: add it with the node's address, which the kubelet's serving certificate must name",
    )


# What several of them need


def _child(node: YAMLNode | None, *keys: str) -> YAMLNode | None:
    for key in keys:
        if not isinstance(node, MappingNode) or key not in node.entries:
            return None
        node = node.entries[key][1]
    return node


def _entries(node: YAMLNode | None) -> Iterable[tuple[str, tuple[YAMLNode, YAMLNode]]]:
    return node.entries.items() if isinstance(node, MappingNode) else ()


def _copy(source: YAMLNode | None, old: str, entries: dict[str, YAMLNode], new: str) -> None:
    value = _child(source, old)
    if value is not None:
        entries[new] = value


def _split(node: YAMLNode) -> list[YAMLNode]:
    """The parts of comma-separated text, each at its own column."""
    if not isinstance(node, ScalarNode) or not isinstance(node.value, str):
        return [node]
    parts: list[YAMLNode] = []
    column = node.column + (0 if node.plain else 1)
    for part in node.value.split(","):
        indent = len(part) - len(part.lstrip())
        text = part.strip()
        parts.append(ScalarNode(node.line, column + indent, text, node.shown, text=text))
        column += len(part) + 1
    return parts


def _roles(role: Role, document: MappingNode) -> YAMLNode:
    return sequence([scalar(role, at=document)], at=document)


def _is_loopback(address: YAMLNode) -> bool:
    try:
        return parse_address(address.value).is_loopback
    except ValueError:
        return False  # the model says what is wrong


def _node_ip(arguments: YAMLNode | None) -> list[YAMLNode]:
    """The addresses of the last `node-ip` among the kubelet's flags; unspecified ones mean "find out"."""
    items = arguments.items if isinstance(arguments, SequenceNode) else []
    names = [(_child(item, "name"), _child(item, "value")) for item in items]
    given = [
        value for name, value in names if name is not None and value is not None and name.value == "node-ip"
    ]
    return [part for part in _split(given[-1]) if part.value not in ("", *_UNSPECIFIED)] if given else []
