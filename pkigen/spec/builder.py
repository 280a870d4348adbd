"""A tree of values to a `ClusterSpec`, and places in the model back to lines and columns.

Where some values are wrong, the rest is built without them, so that the rules that concern several values run
as well and one run reports everything.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from pkigen.errors import Problem
from pkigen.records import dataclass
from pkigen.spec import translation
from pkigen.spec.findings import EVERY
from pkigen.spec.model import ClusterSpec, Role
from pkigen.spec.values import NEWEST_RELEASED
from pkigen.spec.yaml_nodes import MappingNode, SequenceNode, YAMLNode, show_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic_core import ErrorDetails

    from pkigen.spec.findings import Location, SpecFinding

_MOST_ATTEMPTS: Final = 10  # one for each level of the model, and some
_MOST_SUGGESTIONS: Final = 1_000  # looking for what was meant costs 40 microseconds for each unknown key


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecSource:
    """What a file says, in the shape of the model, and what was noticed while reading it.

    `absences` tell in other words than "is missing" what a value's absence means: its path, and the way out.
    """

    root: YAMLNode
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    absences: Mapping[Location, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something stands: in the file, on the way there from the root, and the node if there is one."""

    line: int
    column: int
    path: str
    location: Location
    node: YAMLNode | None


class ValueTree:
    """A tree of values from which wrong ones may have been left out."""

    def __init__(self, root: YAMLNode, void: frozenset[Location] = frozenset()) -> None:
        self.root = root
        self._void = void
        self._above_void = frozenset(location[:end] for location in void for end in range(len(location) + 1))

    def place(self, location: Location, *, on_key: bool = False) -> Place:
        """Where a location is; where it is missing, the deepest place on the way to it."""
        found: YAMLNode | None = self.root
        node = key = self.root
        shown = self.root.shown or ""
        steps: list[str | int] = []
        original: list[str | int] = []
        for step in location:
            in_file, beneath = _below(found, step)
            original.append(in_file)
            steps.append(in_file)
            found = None
            if beneath is not None:
                key, found = beneath
                node = found
                if found.shown is not None:
                    shown, steps = found.shown, []
        at = key if on_key and found is not None else node
        return Place(
            line=at.line,
            column=at.column,
            path=show_path(steps, below=shown),
            location=tuple(original),
            node=found,
        )

    def concerns_void(self, finding: SpecFinding) -> bool:
        """Whether a finding is about something that was left out, or looked at it."""
        at = finding.at
        looked_at = [at, *finding.given]
        # A finding about a mapping that names fields within it is about these, not about all of the mapping.
        if any(len(place) > len(at) and place[: len(at)] == at for place in finding.given):
            looked_at.remove(at)
        return any(self._is_void(place) for location in looked_at for place in self._places(location))

    def _places(self, location: Location) -> Iterator[Location]:
        """What a location with `EVERY` in it stands for, as it is in the file; left-out items as well."""
        if EVERY not in location:
            yield self.place(location).location
            return
        above, below = location[: location.index(EVERY)], location[location.index(EVERY) + 1 :]
        yield from (void for void in self._void if void[:-1] == above or above[: len(void)] == void)
        items = self.place(above).node
        for index in range(len(items.items) if isinstance(items, SequenceNode) else 0):
            yield from self._places((*above, index, *below))

    def _is_void(self, place: Location) -> bool:
        """Whether a place was left out, or has something left out below it."""
        return place in self._above_void or any(place[:end] in self._void for end in range(len(place)))

    def without(self, errors: Iterable[ErrorDetails]) -> ValueTree | None:
        """The tree without what is wrong, with stand-ins for what is missing; None if nothing is left."""
        dropped: set[Location] = set()
        added: dict[Location, object] = {}
        for error in errors:
            location = error["loc"]
            if error["type"] == "missing":
                stand_in = _stand_in(location)
                if stand_in is not None:
                    added[location] = stand_in
                    continue
                # Nothing stands in for it: what lacks it is left out as a whole.
                location = location[:-1]
            if not location:
                return None
            dropped.add(location)
        void = {self.place(location).location for location in (*dropped, *added)}
        return ValueTree(_rebuilt(self.root, dropped, added), self._void | void)


def _below(node: YAMLNode | None, step: str | int) -> tuple[str | int, tuple[YAMLNode, YAMLNode] | None]:
    """A step as it is in the file, where items before it may have been left out; its key and value."""
    match node, step:
        case MappingNode(entries=entries), str() if step in entries:
            return step, entries[step]
        case SequenceNode(items=items, places=places), int() if step < len(items):
            return places[step] if places else step, (items[step], items[step])
    return step, None


def _rebuilt(root: YAMLNode, dropped: set[Location], added: dict[Location, object]) -> YAMLNode:
    """A copy of a tree without some of what is in it; what stays the same is shared."""
    above = {location[:end] for location in (*dropped, *added) for end in range(len(location))}
    added_below: dict[Location, list[tuple[str, object]]] = {}
    for location, value in added.items():
        added_below.setdefault(location[:-1], []).append((str(location[-1]), value))

    def rebuilt(node: YAMLNode, here: Location) -> YAMLNode:
        # Only what is on the way to a change is copied: of thousands of nodes the others are shared.
        if here in above and isinstance(node, SequenceNode):
            kept = [index for index in range(len(node.items)) if (*here, index) not in dropped]
            items = [rebuilt(node.items[index], (*here, index)) for index in kept]
            places = [node.places[index] if node.places else index for index in kept]
            return replace(node, value=[item.value for item in items], items=items, places=places)
        if here in above and isinstance(node, MappingNode):
            entries = {
                name: (key, rebuilt(value, (*here, name)))
                for name, (key, value) in node.entries.items()
                if (*here, name) not in dropped
            }
            for name, value in added_below.get(here, ()):
                stand_in = YAMLNode(node.line, node.column, value)
                entries[name] = (stand_in, stand_in)
            return replace(
                node, value={name: value.value for name, (_, value) in entries.items()}, entries=entries
            )
        return node

    return rebuilt(root, ())


def _stand_in(location: Location) -> object:
    """A harmless value for what is missing, so that the rest can be checked; None where there is none."""
    index = next((step for step in location if isinstance(step, int)), 0)
    # Another one for each place: two alike would be a problem of their own.
    address = f"2001:db8:ffff::{index + 1:x}"
    name = f"unnamed-{index}"
    table: dict[Location, object] = {
        ("metadata",): {"name": name},
        ("metadata", "name"): name,
        ("spec", "kubernetesVersion"): f"v1.{NEWEST_RELEASED}.0",
        ("spec", "nodes"): [{"name": name, "roles": [Role.CONTROL_PLANE], "addresses": [address]}],
        ("spec", "nodes", 0, "name"): name,
        ("spec", "nodes", 0, "roles"): [Role.WORKER],
        ("spec", "nodes", 0, "addresses"): [address],
        ("spec", "users", 0, "name"): name,
        ("spec", "groups", 0, "name"): name,
        ("spec", "authentication", "jwt", 0, "name"): name,
        ("spec", "authentication", "proxies", 0, "name"): name,
        ("spec", "authentication", "jwt", 0, "groups", 0, "name"): name,
    }
    return table.get(tuple(0 if isinstance(step, int) else step for step in location))


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The spec as far as it could be built, what it was built from, and why that is not everything."""

    spec: ClusterSpec | None
    tree: ValueTree
    problems: tuple[Problem, ...]


def build(source: SpecSource, *, file: str) -> Built:
    """Build the spec; without what is wrong, where something is wrong."""
    tree = ValueTree(source.root)
    problems: tuple[Problem, ...] | None = None
    for _ in range(_MOST_ATTEMPTS):  # pragma: no branch -- each attempt takes something away
        try:
            spec = ClusterSpec.model_validate(tree.root.value, by_alias=True, by_name=False)
        except ValidationError as error:
            errors = _real_errors(error, tree)
        else:
            return Built(spec=spec, tree=tree, problems=problems or ())
        if problems is None:
            # Those of the first attempt only: later ones are about a tree that has stand-ins in it.
            problems = tuple(_problems(errors, tree, source, file))
        # Without what is wrong, so that the next attempt, and then the rules, can look at the rest.
        smaller = tree.without(errors)
        if smaller is None:
            break
        tree = smaller
    return Built(spec=None, tree=tree, problems=problems or ())


def _problems(
    errors: Iterable[ErrorDetails], tree: ValueTree, source: SpecSource, file: str
) -> Iterable[Problem]:
    """The errors of pydantic as sentences, each at the place in the file that it is about."""
    unknown = 0
    for error in errors:
        location = error["loc"]
        place = tree.place(location, on_key=error["type"] == "extra_forbidden")
        unknown += error["type"] == "extra_forbidden"
        if error["type"] == "missing" and location in source.absences:
            path, message = source.absences[location]
        elif error["type"] == "extra_forbidden" and unknown > _MOST_SUGGESTIONS:
            path, message = place.path, translation.UNKNOWN_KEY
        else:
            path, message = place.path, translation.message(error, place.node)
        yield Problem(file=file, line=place.line, column=place.column, path=path, message=message)


def _real_errors(error: ValidationError, tree: ValueTree) -> list[ErrorDetails]:
    """Without lists that are too short only because items are wrong: each of those has its own error."""
    return [
        each
        for each in error.errors(include_url=False, include_input=False)
        if each["type"] != "too_short" or not _has_items(tree.place(each["loc"]).node)
    ]


def _has_items(node: YAMLNode | None) -> bool:
    """Whether a list has items in the file, right or wrong."""
    return isinstance(node, SequenceNode) and bool(node.items)
