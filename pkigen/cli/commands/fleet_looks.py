"""`pkigen fleet status` and `report`: what looks at clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.console import note
from pkigen.cli.directory import is_cluster
from pkigen.cli.fleet.options import FleetArgument, FleetForm, JobsOption
from pkigen.cli.options import TIMEOUT, TemplatesOption, TimeoutOption
from pkigen.cli.problems import ExitCode
from pkigen.cli.system import system_of
from pkigen.cli.values import duration
from pkigen.errors import UsageError
from pkigen.notation import quoted

_RENEW_BEFORE = "renewBefore"


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
    from pkigen.cli.fleet.endings import require_all, tell_notes
    from pkigen.cli.fleet.members import Circumstances
    from pkigen.cli.fleet.statuses import statuses
    from pkigen.cli.spec_input import host_facts
    from pkigen.cli.work.fleet_looks import deliver_status, status_text
    from pkigen.fleet.description import read_fleet

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
        deliver_status(found, status_text(found, output, fleet.name, now=system.clock()), textfile)
    tell_notes(found.found)
    overdue = found.overdue if fail_within is not None else []
    for cluster, identifier in overdue:
        note(f"finding: {cluster}: {identifier} expires too soon, or is of no use already")
    require_all(found.found, again=f"pkigen fleet status {quoted(place)}")
    if overdue:
        raise typer.Exit(ExitCode.FINDINGS)


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
    timeout: TimeoutOption = TIMEOUT,
) -> None:
    """Write one page that shows every cluster of the fleet, as `pkigen report` shows one.

    What is not made yet is left out, and a note says so.
    """
    from pkigen.cli.work.report import deliver
    from pkigen.fleet.description import read_fleet

    fleet = read_fleet(place)
    roots = [site.root for site in fleet.sites if site.root is not None and is_cluster(site.root)]
    for site in fleet.sites:
        if site.root not in roots:
            note(f"note: {site.label} is not made yet")
    if not roots:
        raise UsageError(
            f"no cluster of {place} is made yet",
            hint=f"`pkigen fleet apply {quoted(place)}` makes them",
        )
    deliver(context, tuple(roots), out=out, live=live, within=duration(timeout, "--timeout"))
