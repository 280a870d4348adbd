"""How a run over a fleet ends: what failed where, and the command that continues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pkigen.cli.addressed import addressed
from pkigen.cli.console import note
from pkigen.cli.reports.fleet_text import alike, counted, named
from pkigen.cli.reports.validation_forms import problem_fields
from pkigen.errors import PkigenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pkigen.cli.fleet.visits import SiteVisit


def tell_notes(found: Sequence[SiteVisit[Any]]) -> None:
    """Say what was said at the clusters, once for all that said the same."""
    for line, names in alike((visit.site.label, line) for visit in found for line in visit.notes):
        note(f"{_addressed(line, names, found)} ({named(names)})")


def failures(found: Iterable[SiteVisit[Any]]) -> list[dict[str, Any]]:
    """What failed where, for documents."""
    return [
        {
            "cluster": visit.site.label,
            "directory": str(visit.site.root) if visit.site.root is not None else None,
            "message": visit.failure.message,
            "hint": _addressed(visit.failure.hint, [visit.site.label], [visit]),
            "problems": list(map(problem_fields, visit.failure.problems)),
        }
        for visit in found
        if visit.failure is not None
    ]


def _addressed(text: str, names: Sequence[str], visited: Iterable[SiteVisit[Any]]) -> str:
    """A text that holds for some clusters, with its commands as they are for the first of them."""
    first = next(visit.site for visit in visited if visit.site.label == names[0])
    return text if first.root is None else addressed(text, first.root)


def _tell_reasons(failed: Sequence[SiteVisit[Any]]) -> None:
    reasons = ((visit.site.label, visit.failure) for visit in failed if visit.failure is not None)
    # A wrong template fails at every site in the same words: a thousand lines of them would hide the one that
    # is different.
    for reason, names in alike(reasons):
        said = [str(each) for each in reason.problems] or [reason.message]
        for sentence in said:
            note(f"failed: {named(names)}: {sentence}")
        if reason.hint:
            note(f"hint: {_addressed(reason.hint, names, failed)}")


def require_all(found: Sequence[SiteVisit[Any]], *, again: str) -> None:
    """End with what failed, if anything did: each reason once, with the clusters that it holds for.

    Args:
        found: All clusters.
        again: The command that does what is left.

    Raises:
        PkigenError: Something failed.
    """
    failed = [visit for visit in found if visit.failure is not None]
    if not failed:
        return
    _tell_reasons(failed)
    raise PkigenError(
        f"{len(failed)} of {counted(len(found), 'cluster')} failed: "
        f"{named([visit.site.label for visit in failed])}",
        hint=f"put that right, then `{again}` does what is left",
    )
