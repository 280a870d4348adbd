"""`pkigen fleet status` and `report`: what looks at clusters."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.cli.commands.report import deliver
from pkigen.cli.console import note, say, say_lines, width
from pkigen.cli.directory import is_cluster
from pkigen.cli.fleet.endings import require_all, tell_notes
from pkigen.cli.fleet.members import Circumstances
from pkigen.cli.fleet.options import FleetArgument, FleetForm, JobsOption
from pkigen.cli.fleet.statuses import statuses
from pkigen.cli.options import TemplatesOption, TimeoutOption
from pkigen.cli.outputs import write_parts, write_text
from pkigen.cli.problems import ExitCode
from pkigen.cli.reports import fleet_status
from pkigen.cli.reports.lines import Line
from pkigen.cli.reports.tables import page
from pkigen.cli.spec_input import host_facts
from pkigen.cli.system import system_of
from pkigen.cli.values import duration
from pkigen.errors import UsageError
from pkigen.fleet.description import read_fleet
from pkigen.notation import format_duration
from pkigen.rotation.deadline import DEADLINE

if TYPE_CHECKING:
    from datetime import datetime

    from pkigen.cli.fleet.statuses import Statuses

_RENEW_BEFORE = "renewBefore"
_DEADLINE = format_duration(DEADLINE)


def status(
    context: typer.Context,
    place: FleetArgument,
    *,
    output: Annotated[FleetForm, typer.Option("--output", "-o", help="The output format.")] = FleetForm.TEXT,
    textfile: Annotated[
        Path | None,
        typer.Option(
            "--textfile",
            metavar="FILE",
            help="Write it to a file instead, atomically, as node_exporter's textfile collector needs.",
        ),
    ] = None,
    fail_within: Annotated[
        str | None,
        typer.Option(
            "--fail-within",
            metavar="DURATION",
            help=f"Exit {ExitCode.FINDINGS} if anything expires within this time, such as 720h, or with "
            f"`{_RENEW_BEFORE}` within its own renewBefore.",
        ),
    ] = None,
    templates: TemplatesOption = None,
    jobs: JobsOption = None,
) -> None:
    """Show how the certificates of every cluster are, and what expires first: one document of all.

    It goes by what was applied last at each cluster.
    """
    window = None if fail_within in {None, _RENEW_BEFORE} else duration(fail_within, "--fail-within")
    fleet = read_fleet(place)
    system = system_of(context)
    with statuses(
        fleet,
        Circumstances(system=system, host=host_facts(), templates=templates),
        output,
        within=window,
        jobs=jobs,
        now=system.clock(),
    ) as found:
        _deliver(found, _text(found, output, fleet.name, now=system.clock()), textfile)
    tell_notes(found.found)
    overdue = found.overdue if fail_within is not None else []
    for cluster, identifier in overdue:
        note(f"finding: {cluster}: {identifier} expires too soon, or is of no use already")
    require_all(found.found, again=f"pkigen fleet status {shlex.quote(str(place))}")
    if overdue:
        raise typer.Exit(ExitCode.FINDINGS)


def _text(found: Statuses, form: FleetForm, name: str, *, now: datetime) -> list[Line] | str | None:
    """The short forms; None where the document is written already."""
    match form:
        case FleetForm.TEXT:
            return list(fleet_status.lines(found.found, width=width()))
        case FleetForm.MARKDOWN:
            return fleet_status.markdown(found.found, fleet=name, now=now) + "\n"
        case _:
            return None


def _deliver(found: Statuses, text: list[Line] | str | None, textfile: Path | None) -> None:
    if text is None:
        if textfile is not None:
            write_parts(textfile, found.parts())
            return
        for part in found.parts():
            say(part.decode())
    elif textfile is not None:
        write_text(textfile, text if isinstance(text, str) else page(line.text for line in text) + "\n")
    elif isinstance(text, str):
        say(text)
    else:
        say_lines(text)


def report(
    context: typer.Context,
    place: FleetArgument,
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where the page goes.  [default: standard output]"),
    ] = None,
    live: Annotated[
        bool,
        typer.Option("--live", help="Also look at what every endpoint serves: what has reached which node."),
    ] = False,
    timeout: TimeoutOption = _DEADLINE,
) -> None:
    """Write one page that shows every cluster of the fleet, as `pkigen report` shows one.

    What is not made yet is left out, and a note says so.
    """
    fleet = read_fleet(place)
    roots = [site.root for site in fleet.sites if site.root is not None and is_cluster(site.root)]
    for site in fleet.sites:
        if site.root not in roots:
            note(f"note: {site.label} is not made yet")
    if not roots:
        raise UsageError(
            f"no cluster of {place} is made yet",
            hint=f"`pkigen fleet apply {shlex.quote(str(place))}` makes them",
        )
    deliver(context, tuple(roots), out=out, live=live, within=duration(timeout, "--timeout"))
