"""The trust graph as it is drawn: a box for each component, an arrow for each kind of connection.

Nodes of one component share a box, unless a few of them have connections that do not hold: each of these has
its own. A box stands in one of three columns: who dials the API servers, the API servers, what they dial
(docs/adr/0022-the-trust-graph-in-three-columns.md).
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from typing import TYPE_CHECKING

from pkigen.desired.trust_graph import Health, Shower
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pkigen.desired.connections import Peer
    from pkigen.desired.trust_graph import Connection, Presentation, TrustGraph

_TAKEN_OUT = 4
"""How many nodes of a component may have a box of their own."""
_NAMED = 3
# Which part of a file is meant, such as ` (user admin)`.
_PART = re.compile(r" \([^()]*\)$")
_PUBLISHED = ", as published"
_PEOPLE = "user "
_ACCOUNTS = "service account "


class Column(enum.IntEnum):
    """Where a box stands."""

    CLIENTS = 0
    API_SERVERS = 1
    BEHIND = 2


_MIDDLE = frozenset({"kube-apiserver", "etcd gateway", "etcd health check"})
_ALWAYS_BEHIND = frozenset({"etcd"})
_SERVED_BY = {"etcd peer": "etcd"}
"""What is one program under two names."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Box:
    """A component on one node or several; `nodes` are empty where it is on none of ours."""

    column: Column
    component: str
    nodes: tuple[str, ...]
    serves: bool = False

    @property
    def title(self) -> str:
        """What it is called."""
        return self.component

    @property
    def where(self) -> str:
        """On which nodes, or who it is."""
        return some(self.nodes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrow:
    """Connections from one box to another, and what the ends present."""

    client: Box
    server: Box
    connections: tuple[Connection, ...]

    @property
    def health(self) -> Health:
        """That of the worst."""
        return min((each.health for each in self.connections), key=lambda each: each.rank)

    @property
    def counts(self) -> Counter[Health]:
        """How many there are of each."""
        return Counter(each.health for each in self.connections)

    def presented_by(self, end: Shower) -> tuple[Presentation, ...]:
        """What one end presents in any of them."""
        found = (each.presented_by(end) for each in self.connections)
        return tuple(each for each in found if each is not None)

    @property
    def state(self) -> str:
        """In words."""
        worst, total = self.health, len(self.connections)
        number = self.counts[worst]
        return WORDS[worst] if number == total else f"{number} of {total} {WORDS[worst]}"


WORDS = {
    Health.BROKEN: "refused",
    Health.SOON: "to renew",
    Health.UNKNOWN: "not judged",
    Health.HOLDS: "holds",
}
"""What a person reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Boxes by column and name, and the arrows between them."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def picture(graph: TrustGraph, *, full: bool = False) -> Picture:
    """Fold the nodes of each component; with `full`, none."""
    ends = [
        (_End.of(each.client, Shower.CLIENT), _End.of(each.server, Shower.SERVER))
        for each in graph.connections
    ]
    nodes, apart = _instances(graph.connections, ends, full=full)
    drawn: dict[tuple[_BoxKind, str], Box] = {}
    boxes: dict[_End, Box] = {}
    for end in dict.fromkeys(end for pair in ends for end in pair):
        group = (end.label, end.node if end.node in apart[end.label] else "")
        if group not in drawn:
            drawn[group] = _box(end, nodes[end.label], apart[end.label])
        boxes[end] = drawn[group]
    # Boxes are compared by identity (`eq=False`): two with the same names may be two sides of one program.
    arrows: dict[tuple[Box, Box], list[Connection]] = {}
    for (client, server), connection in zip(ends, graph.connections, strict=True):
        arrows.setdefault((boxes[client], boxes[server]), []).append(connection)
    return Picture(
        boxes=tuple(sorted(drawn.values(), key=_order)),
        arrows=tuple(
            Arrow(client=client, server=server, connections=tuple(found))
            for (client, server), found in sorted(
                arrows.items(), key=lambda each: (_order(each[0][0]), _order(each[0][1]))
            )
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _BoxKind:
    """What boxes of one kind are called, and where they stand."""

    component: str
    column: Column
    serves: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """One end of a connection."""

    label: _BoxKind
    node: str

    @classmethod
    def of(cls, peer: Peer, role: Shower) -> _End:
        component, node = peer.component, peer.node or ""
        if component.endswith(_PUBLISHED):
            # The node is whose copy of the CA is published, not where they run.
            component, node = component.removesuffix(_PUBLISHED), ""
        for prefix, name in ((_PEOPLE, "people"), (_ACCOUNTS, "service accounts")):
            if component.startswith(prefix):
                component, node = name, component.removeprefix(prefix)
        component = _SERVED_BY.get(component, component)
        return cls(label=_label(component, role), node=node)


def _label(component: str, role: Shower) -> _BoxKind:
    """A component that both dials and serves has two boxes, but for API servers and etcd, which have one."""
    if component in _MIDDLE:
        return _BoxKind(component=component, column=Column.API_SERVERS, serves=component == "kube-apiserver")
    if role is Shower.SERVER or component in _ALWAYS_BEHIND:
        return _BoxKind(component=component, column=Column.BEHIND, serves=True)
    return _BoxKind(component=component, column=Column.CLIENTS, serves=False)


def _instances(
    connections: Sequence[Connection], ends: Sequence[tuple[_End, _End]], *, full: bool
) -> tuple[Mapping[_BoxKind, set[str]], Mapping[_BoxKind, set[str]]]:
    """The nodes of each component, and those of them that stand apart."""
    nodes: dict[_BoxKind, set[str]] = {}
    worse: dict[_BoxKind, set[str]] = {}
    for pair, connection in zip(ends, connections, strict=True):
        for end in pair:
            nodes.setdefault(end.label, set()).add(end.node)
            if connection.health in {Health.BROKEN, Health.SOON}:
                worse.setdefault(end.label, set()).add(end.node)
    if full:
        return nodes, nodes
    apart = {}
    for label, all_of_them in nodes.items():
        found = worse.get(label, set())
        # Where all are concerned, or many, it is no single node's fault: the arrow says how many.
        apart[label] = found if len(found) <= _TAKEN_OUT and found != all_of_them else set()
    return nodes, apart


def _box(end: _End, nodes: set[str], apart: set[str]) -> Box:
    own = {end.node} if end.node in apart else nodes - apart
    return Box(
        column=end.label.column,
        component=end.label.component,
        nodes=tuple(sorted(own - {""}, key=_natural)),
        serves=end.label.serves,
    )


_PLACES = (
    "people",
    "admin.conf",
    "super-admin.conf",
    "service accounts",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "Pods",
    "kube-apiserver",
    "etcd health check",
    "etcd gateway",
    "aggregated API servers",
    "etcd",
)
"""From the top of a column to its bottom; what is not named stands below."""


def _order(box: Box) -> tuple[int, int, str, tuple[tuple[int, str], ...]]:
    place = _PLACES.index(box.component) if box.component in _PLACES else len(_PLACES)
    return box.column, place, box.component, _natural(" ".join(box.nodes))


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """`worker-9` before `worker-10`."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name))


def some(names: Sequence[str]) -> str:
    """A few names, and how many there are in all."""
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{names[0]} … {names[-1]} ({len(names)})"


def certificate_name(certificate: str) -> str:
    """The name of a certificate, whether it is given by its id or by its file."""
    return _PART.sub("", certificate).rpartition("/")[2].removeprefix("user:")


def bundle_name(path: str) -> str:
    """What a bundle is called on its node; that of a kubeconfig is embedded in it."""
    name = _PART.sub("", path)
    if name.endswith((".conf", ".kubeconfig")) or "/" not in name:
        return "its own CA data"
    _, found, below = name.rpartition("/pki/")
    return below if found else name.rpartition("/")[2]


def listed(names: Iterable[str]) -> str:
    """Different names, the first of them and how many more."""
    found = tuple(dict.fromkeys(names))
    return f"{found[0]} and {len(found) - 1} more" if len(found) > 1 else "".join(found)
