"""`fleet plan`, `apply` and `renew`: what is to be done is shown together, and done cluster by cluster."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from pkigen.cli.console import agreed, aside_lines, note, say, say_lines, warn
from pkigen.cli.fleet.endings import failures, require_all, tell_notes
from pkigen.cli.fleet.plan_file import Totals, written
from pkigen.cli.fleet.plans import ClusterState, changed, planned
from pkigen.cli.fleet.visits import Failure, SiteVisit, visits
from pkigen.cli.options import Format, PlanFormat
from pkigen.cli.outputs import make_directory, write_parts
from pkigen.cli.reports import structured
from pkigen.cli.reports.fleet_markdown import fleet_markdown
from pkigen.cli.reports.fleet_text import alike, changes_text, counted, expiries_text, named, overview
from pkigen.cli.reports.lines import Line, Tone
from pkigen.cli.reports.plan_document import PlanDocument
from pkigen.cli.reports.plan_lines import plan_lines
from pkigen.cli.reports.version import API_VERSION
from pkigen.errors import PkigenError
from pkigen.fleet.sites import OwnSource, Site
from pkigen.notation import command_line
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pkigen.cli.fleet.members import Circumstances
    from pkigen.cli.fleet.plan_file import FleetPlan
    from pkigen.cli.fleet.plans import Changed, Planned, Wish
    from pkigen.fleet.description import Fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run over a fleet."""

    fleet: Fleet
    around: Circumstances
    wish: Wish
    jobs: int | None

    def again(self, verb: str, *saved: Path) -> str:
        """The command that does what is left, of a saved plan where it is one."""
        return f"pkigen fleet {verb} {command_line(self.fleet.place, *saved)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """What is to be done at every cluster; the plans themselves are in the document."""

    document: FleetPlan
    found: tuple[SiteVisit[Planned], ...]

    @property
    def has_changes(self) -> bool:
        """Whether anything is to be done anywhere."""
        return bool(self.document.members)


@contextmanager
def proposed_by(run: Run) -> Iterator[Proposed]:
    """Plan every cluster; the document is there while the block runs."""
    warn(run.fleet.warnings)
    told: list[SiteVisit[Planned]] = []
    work = partial(planned, run.around, run.wish)
    # Without a name: all plans of a large fleet do not fit into memory, and nothing of them may stay behind.
    with tempfile.TemporaryFile("w+b") as stream:
        found = visits(run.fleet.sites, work, jobs=run.jobs, what="planning clusters")
        now = run.around.system.clock()
        document = written(run.fleet, run.wish, found, now=now, told=told, stream=stream)
        yield Proposed(document=document, found=tuple(told))


def show(run: Run, proposed: Proposed, output: PlanFormat, *, full: bool, aside: bool = False) -> None:
    """Print what is to be done; aside, where the result is what was done."""
    match output:
        case PlanFormat.TEXT:
            (aside_lines if aside else say_lines)(_lines(run.fleet, proposed, full=full))
        case PlanFormat.MARKDOWN:
            say(fleet_markdown(run.fleet.name, proposed.found, proposed.document, full=full))
        case PlanFormat.JSON:
            # A line at a time: all of them together may not fit into memory.
            for line in proposed.document.lines():
                say(line.decode())
        # YAML is one text, which needs all of them at once.
        case PlanFormat.YAML:
            say(structured.dump(json.loads(b"".join(proposed.document.lines())), output))
    tell_notes(proposed.found)


def _lines(fleet: Fleet, proposed: Proposed, *, full: bool) -> Iterator[Line]:
    if full:
        for cluster in proposed.document.clusters():
            yield Line(f"{cluster['cluster']}:", Tone.TITLE)
            document = PlanDocument.of(cluster["plan"])
            yield from plan_lines(document, full=True, root=cluster["directory"])
            yield Line("")
    plans = [(each.site.label, each.found) for each in proposed.found if each.found is not None]
    risks = ((label, risk) for label, plan in plans for risk in plan.risks)
    yield from overview(
        ((label, _changes(plan)) for label, plan in plans), risks, place=f"fleet {fleet.name}"
    )
    totals = Totals()
    for _, plan in plans:
        totals.add(plan)
    yield from map(Line, expiries_text(totals.ends, unspread=totals.unspread))
    for left in fleet.left:
        yield Line(f"{left} has no row any more: it is left as it is")


def _changes(plan: Planned) -> str:
    return changes_text(plan.state, plan.summary, spec_changes=plan.spec_changes, awaited=plan.awaited)


def save(run: Run, proposed: Proposed, file: Path) -> None:
    """Write the plan to be reviewed, and say how exactly it is carried out."""
    write_parts(file, proposed.document.lines())
    note(f"saved: apply exactly this plan with `{run.again('apply', file)}`")


def carry_out(
    run: Run,
    reviewed: FleetPlan | None,
    *,
    failed: Sequence[SiteVisit[Planned]] = (),
    verb: str,
    output: Format,
) -> None:
    """Change every cluster, or those of a plan that was reviewed, and say what was done.

    Args:
        run: The run.
        reviewed: What was agreed to; None where whatever is to be done was.
        failed: What could not even be planned.
        verb: The command, for who continues.
        output: How the result is written.

    Raises:
        PkigenError: Something failed at some of them.
    """
    sites, gone = _sites(run.fleet, reviewed)
    # Here, and not in each process: two of them would race to make the same directory.
    make_room(sites)
    work = partial(_changed, run, reviewed)
    done = list(visits(sites, work, jobs=run.jobs, what="changing clusters"))
    found: list[SiteVisit[Any]] = [*done, *failed, *gone]
    if output is Format.TEXT:
        say_lines(done_lines(done))
    else:
        say(structured.dump(structure(run.fleet, found), output))
    tell_notes(done)
    # A plan that was only shown is no file: it is called like its fleet.
    saved = () if reviewed is None or reviewed.path == run.fleet.place else (reviewed.path,)
    require_all(found, again=run.again(verb, *saved))


def make_room(sites: Iterable[Site]) -> None:
    """Make the directory in which those of new clusters come.

    Raises:
        PkigenError: It cannot be made.
    """
    for above in dict.fromkeys(site.root.parent for site in sites if site.root is not None):
        make_directory(above)


def _sites(fleet: Fleet, reviewed: FleetPlan | None) -> tuple[list[Site], list[SiteVisit[Changed]]]:
    """The sites to change, and those that a plan knows and the fleet does not."""
    if reviewed is None:
        return list(fleet.sites), []
    known = {site.label: site for site in fleet.sites}
    labels = [member.label for member in reviewed.members]
    gone: list[SiteVisit[Changed]] = [
        SiteVisit(
            site=Site(label=member.label, root=None, source=OwnSource(root=fleet.place / member.label)),
            failure=Failure(
                message=f"{fleet.place} has no such cluster any more", hint="plan the fleet again"
            ),
        )
        for member in reviewed.members
        if member.label not in known
    ]
    # In the order of the plan: what was reviewed first is done first.
    return [known[label] for label in labels if label in known], gone


def _changed(run: Run, reviewed: FleetPlan | None, site: Site) -> Changed:
    plan = reviewed.of(site.label) if reviewed is not None else None
    return changed(run.around, run.wish, site, reviewed=plan)


_NOT_MADE = "not made yet (`pkigen fleet apply` makes it)"


def done_lines(done: Iterable[SiteVisit[Changed]], *, absent: str = _NOT_MADE) -> Iterator[Line]:
    """What was done at which clusters; `absent` is what is said of those that are left out."""
    groups = alike((each.site.label, _done(each.found, absent)) for each in done if each.found is not None)
    for what, names in groups:
        yield Line(f"{what}: {named(names)}")


def _done(found: Changed, absent: str) -> str:
    if found.state is ClusterState.UNCHANGED:
        return "nothing to do"
    if found.state is ClusterState.ABSENT:
        return absent
    verb = "made" if found.state is ClusterState.NEW else "applied"
    return f"{verb}, {found.issued} issued, {counted(found.changes, 'change')}"


def structure(fleet: Fleet, found: Sequence[SiteVisit[Any]]) -> dict[str, Any]:
    """What was done, as a document."""
    return {
        "apiVersion": API_VERSION,
        "kind": "FleetApplied",
        "fleet": fleet.name,
        "clusters": [
            {
                "cluster": each.site.label,
                "directory": str(each.site.root),
                "state": each.found.state,
                "issued": each.found.issued,
                "capped": each.found.capped,
                "changes": each.found.changes,
                "backup": each.found.backup,
            }
            for each in found
            if each.found is not None
        ],
        "failures": failures(found),
    }


def ask(proposed: FleetPlan, *, yes: bool) -> None:
    """Have it agreed to.

    Raises:
        PkigenError: It is not.
    """
    count = counted(len(proposed.members), "cluster")
    if proposed.members and not yes and not agreed(f"apply these changes to {count}?"):
        raise PkigenError("not applied", hint="nothing was changed")


def show_saved(plan: FleetPlan, output: Format) -> None:
    """Print what a saved plan would do, where it is about to be agreed to."""
    found, risks = [], []
    for cluster in plan.clusters():
        label = cluster["cluster"]
        text = changes_text(
            cluster["state"],
            cluster["summary"],
            spec_changes=cluster["specChanges"],
            awaited=cluster["awaited"],
        )
        found.append((label, text))
        risks += [(label, risk) for risk in cluster["risks"]]
    lines = overview(found, risks, place=str(plan.path))
    (say_lines if output is Format.TEXT else aside_lines)(lines)
