"""`pkigen fleet plan`, `apply` and `renew`: what changes clusters."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.cli.fleet import changes
from pkigen.cli.fleet.endings import require_all
from pkigen.cli.fleet.members import Circumstances
from pkigen.cli.fleet.options import FleetArgument, JobsOption
from pkigen.cli.fleet.plan_file import is_fleet_plan, opened
from pkigen.cli.fleet.plans import Wish
from pkigen.cli.options import (
    ForceOption,
    Format,
    FormatOption,
    FullOption,
    PlanFormat,
    PlanFormatOption,
    SaveOption,
    TemplatesOption,
    YesOption,
)
from pkigen.cli.problems import ExitCode
from pkigen.cli.spec_input import host_facts
from pkigen.cli.system import system_of
from pkigen.cli.unlock import AuthorityFileOption, AuthorityIdentityOption, Unlocking
from pkigen.cli.values import duration
from pkigen.errors import UsageError
from pkigen.fleet.description import read_fleet

if TYPE_CHECKING:
    from collections.abc import Sequence


def plan(
    context: typer.Context,
    place: FleetArgument,
    *,
    output: PlanFormatOption = PlanFormat.TEXT,
    full: FullOption = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help=f"Exit {ExitCode.CHANGES_PENDING} when changes are pending.")
    ] = False,
    save: SaveOption = None,
    templates: TemplatesOption = None,
    jobs: JobsOption = None,
) -> None:
    """Show what apply would do at every cluster, and why.

    Nothing is written there. The saved plan is one file for all clusters, which `fleet apply` carries out.
    """
    run = run_of(context, place, Wish(), templates=templates, jobs=jobs)
    with changes.proposed_by(run) as proposed:
        changes.show(run, proposed, output, full=full)
        if save is not None:
            changes.save(run, proposed, save)
    require_all(proposed.found, again=run.again("plan"))
    if exit_code and proposed.has_changes:
        raise typer.Exit(ExitCode.CHANGES_PENDING)


def apply(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FLEET [PLAN]",
            help="The fleet, and a saved plan of it, which is carried out exactly; a plan alone is of the "
            "fleet that it names.",
        ),
    ],
    *,
    yes: YesOption = False,
    force: ForceOption = False,
    templates: TemplatesOption = None,
    passphrase_file: AuthorityFileOption = None,
    identity: AuthorityIdentityOption = None,
    jobs: JobsOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Make every cluster what the fleet asks for, or carry out a plan that was reviewed.

    Each cluster is changed completely or not at all. Of a saved plan, what is stale is refused for its
    cluster alone.
    """
    place, saved = _told_apart(files)
    with opened(saved) if saved is not None else nullcontext() as reviewed:
        wish = reviewed.wish.forced(force=force) if reviewed is not None else Wish(force=force)
        run = run_of(
            context,
            place or (reviewed.place if reviewed is not None else Path()),
            wish,
            templates=templates,
            jobs=jobs,
            unlocking=Unlocking(file=passphrase_file, identity=identity),
        )
        if reviewed is None:
            _change(run, "apply", yes=yes, output=output)
            return
        changes.show_saved(reviewed, output)
        changes.ask(reviewed, yes=yes)
        changes.carry_out(run, reviewed, verb="apply", output=output)


def renew(
    context: typer.Context,
    place: FleetArgument,
    *,
    every: Annotated[bool, typer.Option("--all", help="Renew every leaf certificate.")] = False,
    within: Annotated[
        str | None,
        typer.Option(
            "--within",
            metavar="DURATION",
            help="Renew what expires within this time.  [default: renewBefore]",
        ),
    ] = None,
    reuse_keys: Annotated[
        bool, typer.Option("--reuse-keys", help="Keep the private keys instead of making new ones.")
    ] = False,
    save: SaveOption = None,
    yes: YesOption = False,
    force: ForceOption = False,
    templates: TemplatesOption = None,
    passphrase_file: AuthorityFileOption = None,
    identity: AuthorityIdentityOption = None,
    jobs: JobsOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Renew certificates at every cluster: what is due, what expires within a time, or all.

    A cluster that is to be changed otherwise is left to `fleet apply`, and one that is not made yet, too.
    """
    wish = Wish(
        renews=True,
        every=every,
        within=duration(within, "--within") if within is not None else None,
        reuses_keys=reuse_keys,
        force=force,
    )
    unlocking = Unlocking(file=passphrase_file, identity=identity)
    run = run_of(context, place, wish, templates=templates, jobs=jobs, unlocking=unlocking)
    if save is None:
        _change(run, "renew", yes=yes, output=output)
        return
    with changes.proposed_by(run) as proposed:
        changes.show(run, proposed, PlanFormat(output), full=False)
        changes.save(run, proposed, save)
    require_all(proposed.found, again=run.again("renew"))


def _change(run: changes.Run, verb: str, *, yes: bool, output: Format) -> None:
    """Show, ask and change; who has agreed beforehand sees what was done, cluster by cluster."""
    if yes:
        changes.carry_out(run, None, verb=verb, output=output)
        return
    with changes.proposed_by(run) as proposed:
        changes.show(run, proposed, PlanFormat.TEXT, full=False, aside=output is not Format.TEXT)
        changes.ask(proposed.document, yes=False)
        failed = [visit for visit in proposed.found if visit.failure is not None]
        changes.carry_out(run, proposed.document, failed=failed, verb=verb, output=output)


def run_of(
    context: typer.Context,
    place: Path,
    wish: Wish,
    *,
    templates: Path | None,
    jobs: int | None,
    unlocking: Unlocking | None = None,
) -> changes.Run:
    """What a command line says of a run over a fleet."""
    around = Circumstances(
        system=system_of(context),
        host=host_facts(),
        templates=templates,
        unlocking=unlocking or Unlocking(),
    )
    return changes.Run(fleet=read_fleet(place), around=around, wish=wish, jobs=jobs)


def _told_apart(files: Sequence[Path]) -> tuple[Path | None, Path | None]:
    """The fleet and the saved plan, by what they hold.

    Raises:
        UsageError: There are two of one kind.
    """
    plans = [each for each in files if is_fleet_plan(each)]
    fleets = [each for each in files if each not in plans]
    if len(plans) > 1 or len(fleets) > 1:
        raise UsageError(
            f"{', '.join(map(str, files))}: more than a fleet and a saved plan of it",
            hint="name at most one of each; `pkigen fleet plan FLEET --save PLAN` saves one",
        )
    return (fleets[0] if fleets else None), (plans[0] if plans else None)
