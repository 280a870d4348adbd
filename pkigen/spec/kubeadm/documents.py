"""The documents of a kubeadm configuration, told apart, without what is not taken over."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Final

from pkigen.records import dataclass
from pkigen.spec.dialects import KUBEADM_GROUP, KUBEADM_NEWEST, KUBEADM_V1BETA3
from pkigen.spec.kubeadm.treatments import (
    CLUSTER,
    INIT,
    OTHER_KINDS,
    TYPE_META,
    TYPES,
    Each,
    Fields,
    Flags,
    Gates,
    Ignored,
    Taken,
    TakenEvenEmpty,
)
from pkigen.spec.model import API_VERSION
from pkigen.spec.translation import nearest, quote, suggestion, value_kind
from pkigen.spec.versions import IPVS_DEPRECATED
from pkigen.spec.yaml_nodes import MappingNode, SequenceNode, YAMLNode, child, mapping, scalar, sequence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pkigen.spec.kubeadm.notes import Notes

# Whose documents kubeadm hands on, and why they are left out here.
_COMPONENT_GROUPS: Final = {
    "kubelet.config.k8s.io": "pkigen writes its own for every node",
    "kubeproxy.config.k8s.io": "pkigen installs no kube-proxy add-on",
}
_LONGEST_LISTING: Final = 10


@dataclass(slots=True, kw_only=True)
class Documents:
    """The documents that describe the cluster, without what is not taken over."""

    init: MappingNode | None = None
    cluster: MappingNode | None = None
    joins: list[MappingNode] = field(default_factory=list)
    old_versions: list[YAMLNode] = field(default_factory=list)
    """The `apiVersion` of each that is v1beta3."""


def sort_in(document: YAMLNode, found: Documents, notes: Notes) -> None:
    """Put a document where its kind belongs, or note why it is left out."""
    version, kind = child(document, "apiVersion"), child(document, "kind")
    if not isinstance(document, MappingNode) or version is None or kind is None:
        notes.add_problem(document, "", "every document of a kubeadm configuration needs apiVersion and kind")
        return
    if not isinstance(version.value, str):
        notes.add_problem(
            version, "apiVersion", f"must be text such as {KUBEADM_NEWEST}, not {value_kind(version)}"
        )
        return
    if not isinstance(kind.value, str):
        notes.add_problem(kind, "kind", f"must be text such as {CLUSTER}, not {value_kind(kind)}")
        return
    name = kind.value
    if version.value.partition("/")[0] != KUBEADM_GROUP:
        _note_foreign(document, version, name, notes)
        return
    types = TYPES.get(version.value)
    if types is None:
        notes.add_problem(
            version,
            "apiVersion",
            f"must be {KUBEADM_NEWEST} or v1beta3, not {quote(version.value)}; "
            "kubeadm config migrate converts older ones to the former",
        )
    elif name in OTHER_KINDS:
        notes.add_warning(kind, "kind", f"{name} is not used: it describes no cluster")
    else:
        if version.value == KUBEADM_V1BETA3:
            found.old_versions.append(version)
        _sort_by_kind(document, kind, types, found, notes)


def _sort_by_kind(
    document: MappingNode, kind: YAMLNode, types: Mapping[str, Fields], found: Documents, notes: Notes
) -> None:
    """A kind with a slip of the pen is a problem, and still read as the one that was meant."""
    name = str(kind.value)
    if name not in types:
        notes.add_problem(kind, "kind", f"{quote(name)} is unknown to kubeadm{suggestion(name, types)}")
    # Read on, so that the problems below it are reported by the same run.
    meant = name if name in types else nearest(name, types)
    if meant is not None:
        content = _inspected(document, {**types[meant], **TYPE_META}, meant, notes)
        _keep(content, meant, kind, found, notes)


def _note_foreign(document: MappingNode, version: YAMLNode, kind: str, notes: Notes) -> None:
    """A document that kubeadm hands on to another component, or ignores."""
    group = str(version.value).partition("/")[0]
    if group == API_VERSION.partition("/")[0]:
        notes.add_problem(
            version, "apiVersion", "a pkigen spec cannot be combined with a kubeadm configuration: keep one"
        )
        return
    if group not in _COMPONENT_GROUPS:
        notes.add_warning(document, "apiVersion", f"{quote(version.value)} is not used, as with kubeadm")
        return
    keys = [key[:60] for key in document.entries if key not in TYPE_META]
    if keys:
        more = ", …" if len(keys) > _LONGEST_LISTING else ""
        listing = ", ".join(keys[:_LONGEST_LISTING]) + more
        notes.add_warning(document, kind[:60], f"is not used ({listing}): {_COMPONENT_GROUPS[group]}")
    mode = child(document, "mode")
    if mode is not None and mode.value == "ipvs" and kind == "KubeProxyConfiguration":
        what = f"ipvs is deprecated since Kubernetes v1.{IPVS_DEPRECATED.since}: choose nftables, or iptables"
        notes.add_warning(mode, f"{kind}.mode", what)


def _keep(document: MappingNode, name: str, kind: YAMLNode, found: Documents, notes: Notes) -> None:
    """Take a document up by its kind; of the kinds that there can be one of, a second is a problem."""
    before = {INIT: found.init, CLUSTER: found.cluster}.get(name)
    if before is not None:
        notes.add_problem(kind, "kind", f"{name} is given twice, first at line {before.line}: keep one")
    elif name == INIT:
        found.init = document
    elif name == CLUSTER:
        found.cluster = document
    else:
        found.joins.append(document)


def _inspected(node: MappingNode, fields: Fields, path: str, notes: Notes) -> MappingNode:
    """What is to be taken over of a mapping; the rest becomes warnings.

    As in Go, null, empty text and 0 mean the same as leaving a field out.
    """
    kept: dict[str, YAMLNode] = {}
    for key, (key_node, value) in node.entries.items():
        here = f"{path}.{key[:60]}"
        treatment = fields.get(key)
        if treatment is None:
            what = f"is unknown to kubeadm and ignored, as there{suggestion(key, fields)}"
            notes.add_warning(key_node, here, what)
        elif isinstance(treatment, Ignored):
            if value.value not in (None, "", 0, False, {}, []):
                notes.add_warning(key_node, here, f"is not used: {treatment.why}")
        elif not _is_zero(value) or (isinstance(treatment, TakenEvenEmpty) and value.value == ""):
            taken = _taken(value, treatment, here, notes)
            if taken is not None:
                kept[key] = taken
    return mapping(kept, at=node, shown=path)


def _taken(
    value: YAMLNode, treatment: Taken | Each | Flags | Gates | Fields, path: str, notes: Notes
) -> YAMLNode | None:
    """A value as its treatment wants it; None, with a problem, where it is of another shape."""
    match treatment, value:
        case (Taken(), _) | (Gates(), MappingNode()):
            return replace(value, shown=path)  # the model decides about it
        case Each(fields=fields), SequenceNode(items=items):
            return sequence(list(_each(items, fields, path, notes)), at=value, shown=path)
        case Flags(), MappingNode():
            return _as_list(value, path)
        case dict(), MappingNode():
            return _inspected(value, treatment, path, notes)
    wanted = treatment.wanted if isinstance(treatment, Each | Flags) else "a mapping of keys to values"
    notes.add_problem(value, path, f"must be {wanted}, not {value_kind(value)}")
    return None


def _each(items: list[YAMLNode], fields: Fields, path: str, notes: Notes) -> Iterator[YAMLNode]:
    """Every mapping of a list, inspected."""
    for index, item in enumerate(items):
        if isinstance(item, MappingNode):
            yield _inspected(item, fields, f"{path}[{index}]", notes)
        else:
            yield item  # the model says what is wrong


def _is_zero(node: YAMLNode) -> bool:
    """Whether kubeadm takes a value for one that is not given: Go's zero values, but for false."""
    return node.value is None or node.value == "" or (node.value == 0 and node.value is not False)


def _as_list(flags: MappingNode, path: str) -> YAMLNode:
    """v1beta3's mapping of flags as a list sorted by name (v1beta3/conversion.go, convertToArgs)."""
    items: list[YAMLNode] = []
    for name, (key, value) in sorted(flags.entries.items()):
        here = f"{path}.{name[:60]}"
        entries = {"name": scalar(name, at=key, shown=here), "value": replace(value, shown=here)}
        items.append(mapping(entries, at=key, shown=here))
    return sequence(items, at=flags, shown=path)
