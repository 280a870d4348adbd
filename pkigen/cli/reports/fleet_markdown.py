"""The plan of a fleet as Markdown, for a pull request: what changes where, and each cluster's plan folded."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from pkigen.cli.fleet.plan_file import Totals
from pkigen.cli.fleet.plans import ClusterState
from pkigen.cli.reports.fleet_text import alike, changes_text, counted, expiries_text, named
from pkigen.cli.reports.plan_document import PlanDocument
from pkigen.cli.reports.plan_markdown import cell, code, plan_markdown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pkigen.cli.fleet.plan_file import FleetPlan
    from pkigen.cli.fleet.plans import Planned
    from pkigen.cli.fleet.visits import SiteVisit

_CHANGING = frozenset({ClusterState.NEW, ClusterState.CHANGED})
_ROOM = 50_000
"""Characters for plans; GitHub takes a comment of 65,536."""


def fleet_markdown(
    name: str, found: Sequence[SiteVisit[Planned]], document: FleetPlan, *, full: bool = False
) -> str:
    """The plan of a fleet.

    Args:
        name: What the fleet is called.
        found: What is to be done at each cluster.
        document: Each cluster's plan.
        full: Whether all plans are shown however long they are.
    """
    parts = (
        _head(name, found),
        _risks(found),
        _table(found),
        _expiries(found),
        _failures(found),
        _plans(document, room=None if full else _ROOM),
    )
    return "\n\n".join("\n".join(lines) for lines in map(tuple, parts) if lines)


def _head(name: str, found: Sequence[SiteVisit[Planned]]) -> Iterator[str]:
    changing = sum(each.found is not None and each.found.state in _CHANGING for each in found)
    yield f"### Fleet {code(name)}: {changing} of {counted(len(found), 'cluster')} to change"


def _risks(found: Iterable[SiteVisit[Planned]]) -> Iterator[str]:
    risks = ((each.site.label, risk) for each in found if each.found for risk in each.found.risks)
    for risk, names in alike(risks):
        yield f"- **Risk**: {code(risk)} ({code(named(names))})"


def _table(found: Iterable[SiteVisit[Planned]]) -> Iterator[str]:
    yield "| clusters | changes of each |"
    yield "|---|---|"
    plans = ((each.site.label, each.found) for each in found if each.found is not None)
    texts = (
        (label, changes_text(plan.state, plan.summary, spec_changes=plan.spec_changes, awaited=plan.awaited))
        for label, plan in plans
    )
    for what, names in alike(texts):
        yield f"| {cell(named(names))} | {what} |"


def _expiries(found: Iterable[SiteVisit[Planned]]) -> Iterator[str]:
    totals = Totals()
    for each in found:
        if each.found is not None:
            totals.add(each.found)
    yield from expiries_text(totals.ends, unspread=totals.unspread)


def _failures(found: Iterable[SiteVisit[Planned]]) -> Iterator[str]:
    for reason, names in alike((each.site.label, each.failure) for each in found):
        if reason is not None:
            said = [str(problem) for problem in reason.problems] or [reason.message]
            yield from (f"- **Failed**: {code(named(names))}: {code(sentence)}" for sentence in said)


def _plans(document: FleetPlan, *, room: int | None) -> Iterator[str]:
    """The plans, each folded away; those for which a comment has no room are counted."""
    left, omitted = room, 0
    for cluster in document.clusters():
        # Read back one at a time from the file: all plans of a fleet at once may not fit into memory.
        text = plan_markdown(PlanDocument.of(cluster["plan"]), full=room is None)
        # One that follows may be shorter.
        if left is not None and len(text) > left:
            omitted += 1
            continue
        if left is not None:
            left -= len(text)
        yield f"<details><summary><code>{escape(cluster['cluster'])}</code></summary>"
        yield ""
        yield text
        yield ""
        yield "</details>"
    if omitted:
        yield f"{counted(omitted, 'plan')} for which there is no room here: `pkigen fleet plan --full`"
