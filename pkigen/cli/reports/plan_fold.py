"""The actions of a plan, folded: what changes in the same way on many nodes is one entry."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pkigen.cli.reports.plan_document import Part, Verb
from pkigen.layout import NODES
from pkigen.records import dataclass
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.cli.reports.plan_document import PlannedAction

_NODES_NAMED = 6
_UNREMARKABLE = {Reason.MISSING, Reason.REQUESTED}
"""Reasons whose details say no more than the reason itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change of one kind of object, on every node where it is the same.

    `nodes` is empty where the object is no node's.
    """

    verb: Verb
    part: Part
    name: str
    reason: str
    what: str
    diff: tuple[str, ...]
    nodes: tuple[str, ...]

    @property
    def place(self) -> str:
        """The object, and where it is; a node's whole tree says that itself."""
        is_placed = self.nodes and not self.name.startswith(f"{NODES}/")
        return f"{self.name} on {nodes_text(self.nodes)}" if is_placed else self.name

    @property
    def sentence(self) -> str:
        """The object, what changes, and why."""
        what = f": {self.what}" if self.what else ""
        return f"{self.verb} {self.place}{what} ({self.reason})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many objects of which kinds the same is done to on each of some nodes."""

    verb: Verb
    reason: str
    nodes: tuple[str, ...]
    objects: tuple[tuple[Part, int], ...]

    @property
    def total(self) -> int:
        """How many objects there are, on all nodes together."""
        return sum(number for _, number in self.objects) * max(len(self.nodes), 1)


def folded(actions: Iterable[PlannedAction]) -> tuple[Entry, ...]:
    """The actions, the gravest first, then by what they are about."""
    nodes: dict[tuple[Verb, Part, str, str, str, tuple[str, ...]], list[str]] = {}
    for action in actions:
        key = (
            *(action.action, action.part, action.name, str(action.reason)),
            _what(action),
            tuple(action.diff),
        )
        places = nodes.setdefault(key, [])
        if action.node is not None:
            places.append(action.node)
    # Both enums are declared in the order in which a reader wants to see them.
    verbs, parts = list(Verb), list(Part)
    entries = (
        Entry(verb=verb, part=part, name=name, reason=reason, what=what, diff=diff, nodes=tuple(places))
        for (verb, part, name, reason, what, diff), places in nodes.items()
    )
    return tuple(sorted(entries, key=lambda each: (verbs.index(each.verb), parts.index(each.part))))


def counted(actions: Iterable[PlannedAction]) -> tuple[Count, ...]:
    """The actions as numbers, nodes with the same ones together."""
    by_place: dict[tuple[Verb, str, str | None], Counter[Part]] = {}
    for action in actions:
        key = (action.action, str(action.reason), action.node)
        by_place.setdefault(key, Counter())[action.part] += 1
    together: dict[tuple[Verb, str, bool, tuple[tuple[Part, int], ...]], list[str]] = {}
    for (verb, reason, node), numbers in by_place.items():
        objects = tuple((part, numbers[part]) for part in Part if numbers[part])
        # Whether it is a node's at all is part of the key: what belongs to no node must not count for one.
        together.setdefault((verb, reason, node is None, objects), []).extend([node] if node else [])
    return tuple(
        Count(verb=verb, reason=reason, nodes=tuple(nodes), objects=objects)
        for (verb, reason, _, objects), nodes in together.items()
    )


def nodes_text(nodes: tuple[str, ...]) -> str:
    """The names of nodes; of very many, the first and the last."""
    if len(nodes) <= _NODES_NAMED:
        return ", ".join(nodes)
    return f"{nodes[0]}, {nodes[1]}, … {nodes[-1]} ({len(nodes)} nodes)"


def diff_size(diff: Iterable[str]) -> str:
    """How much a diff changes."""
    signs = Counter(line[:1] for line in diff)
    return f"+{signs['+']} -{signs['-']} lines"


def changed_lines(diff: Iterable[str]) -> Iterator[str]:
    """A diff without its context."""
    return (line for line in diff if line.startswith(("+", "-")))


def _what(action: PlannedAction) -> str:
    """What changes, in words that are the same on every node."""
    parts = []
    if action.reason is Reason.CONTENT_CHANGED and action.diff:
        parts.append(diff_size(action.diff))
    elif action.reason not in _UNREMARKABLE:
        parts += [_without_node(detail, action.node) for detail in action.details]
    certificate = action.certificate
    if certificate is not None:
        before = f"{certificate.expires:%Y-%m-%d}" if certificate.expires else ""
        after = f"{certificate.will_expire:%Y-%m-%d}"
        parts.append(f"valid until {after if before in {'', after} else f'{before} → {after}'}")
        if certificate.offline:
            parts.append("from the offline authority")
    return ", ".join(parts)


def _without_node(text: str, node: str | None) -> str:
    # What is the same on many nodes folds only where no text names one of them.
    return text if node is None else text.replace(f"{NODES}/{node}/", "/")
