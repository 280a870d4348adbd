"""What the rules of `validation` find, and what several of them need."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from pkigen.records import dataclass
from pkigen.spec.values import has_variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pkigen.notation import IPAddress
    from pkigen.spec.components import ExtraArg
    from pkigen.spec.model import ClusterSpec

Location = tuple[str | int, ...]

NODES: Final[Location] = ("spec", "nodes")
EVERY: Final = -1
"""In place of an index: what stands there in every item of a list."""
ROLES: Final[Location] = (*NODES, EVERY, "roles")
EXTERNAL_ETCD: Final[Location] = ("spec", "etcd", "external")


class Severity(enum.StrEnum):
    """Whether a finding stops pkigen."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecFinding:
    """What a rule found: where in the spec, and what to do.

    `given` are other places that the rule looked at: if one of them could not be read, the finding is void.
    Where some are below `at`, they are all that it looked at there.
    `on_key` says that the key, not its value, is wrong.
    """

    at: Location
    message: str
    severity: Severity = Severity.ERROR
    given: tuple[Location, ...] = ()
    on_key: bool = False


def warning(at: Location, message: str, *given: Location) -> SpecFinding:
    """A finding that does not stop pkigen."""
    return SpecFinding(at=at, message=message, severity=Severity.WARNING, given=given)


def no_effect(at: Location, why: str, *given: Location) -> SpecFinding:
    """A warning at a key whose value changes nothing."""
    message = f"has no effect: {why}"
    return SpecFinding(at=at, message=message, severity=Severity.WARNING, given=given, on_key=True)


def last(arguments: Iterable[ExtraArg], name: str) -> int | None:
    """The place of the flag that counts: the last one (K/apis/kubeadm/argument.go, GetArgValue)."""
    places = [place for place, argument in enumerate(arguments) if argument.name == name]
    return places[-1] if places else None


def last_known(arguments: Sequence[ExtraArg], name: str) -> int | None:
    """The place of the flag that counts, unless its value holds a variable, which the kubelet puts in."""
    place = last(arguments, name)
    return None if place is None or has_variable(arguments[place].value) else place


def repeats(values: Iterable[object]) -> Iterator[int]:
    """The places of values that stood before already."""
    seen: set[object] = set()
    for place, value in enumerate(values):
        if value in seen:
            yield place
        seen.add(value)


def node_addresses(spec: ClusterSpec) -> Iterator[tuple[int, int, IPAddress]]:
    """Every address of every node, with the places of both."""
    for node_index, node in enumerate(spec.spec.nodes):
        for index, address in enumerate(node.addresses):
            yield node_index, index, address
