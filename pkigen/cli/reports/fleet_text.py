"""What was found at the clusters of a fleet, in lines that stay few however many clusters there are."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

from pkigen.cli.reports.lines import Line, Tone

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator, Mapping

T = TypeVar("T")
_NAMED = 6
"""How many clusters are named where many are alike."""
NOTHING = "nothing to do"


def alike(found: Iterable[tuple[str, T]]) -> Iterator[tuple[T, list[str]]]:
    """What is the same at several clusters, once, with their names; in the order of the first ones."""
    groups: defaultdict[T, list[str]] = defaultdict(list)
    for name, what in found:
        groups[what].append(name)
    yield from groups.items()


def named(names: list[str]) -> str:
    """Some clusters, the first ones by name."""
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"


def counted(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def changes_text(state: str, summary: Mapping[str, int], *, spec_changes: bool, awaited: int) -> str:
    """What is to be done at a cluster, or at each of several."""
    if state == "absent":
        return "not made yet"
    parts = [f"{number} to {verb}" for verb, number in summary.items() if verb not in {"await", "ask"}]
    if spec_changes:
        parts.append("another spec")
    if awaited:
        parts.append(f"{awaited} due at the offline authority")
    changes = ", ".join(parts) or NOTHING
    return f"new, {changes}" if state == "new" else changes


def overview(
    found: Iterable[tuple[str, str]], risks: Iterable[tuple[str, str]], *, place: str
) -> Iterator[Line]:
    """What is to be done at which clusters, the dangerous first.

    Args:
        found: The name of each cluster, and what is to be done there.
        risks: The same of their risks.
        place: What is planned, for the title.
    """
    for risk, names in alike(risks):
        yield Line(f"RISK: {risk} ({named(names)})", Tone.RISK)
    groups = list(alike(found))
    yield Line(f"{place}: {counted(sum(len(names) for _, names in groups), 'cluster')}", Tone.TITLE)
    for what, names in groups:
        each = " each" if len(names) > 1 and what != NOTHING else ""
        yield Line(f"  {named(names)}: {what}{each}")


def expiries_text(ends: Counter[str], *, unspread: int) -> Iterator[str]:
    """On how many days the certificates end that would be issued, and how many clusters' are not spread."""
    days = sorted(ends)
    if len(days) == 1:
        yield f"{counted(ends.total(), 'certificate')} will end on one day, {days[0]}"
    elif days:
        yield (
            f"expiries are spread: {ends.total()} certificates will end on {len(days)} days from {days[0]} "
            f"to {days[-1]}, at most {max(ends.values())} on one of them"
        )
    if unspread:
        yield (
            f"not spread: {counted(unspread, 'cluster')} whose spec is used as it is, without "
            "spec.certificates.expirySpread"
        )
