"""`pkigen fleet plan`, `apply` and `renew`: what changes clusters."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.fleet.options import FleetArgument, JobsOption
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
from pkigen.cli.unlock import AuthorityFileOption, AuthorityIdentityOption, Unlocking
from pkigen.cli.values import duration


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
    from pkigen.cli.fleet import changes
    from pkigen.cli.fleet.endings import require_all
    from pkigen.cli.fleet.plans import Wish
    from pkigen.cli.work.fleet_changes import run_of

    run = run_of(context, place, Wish(), templates=templates, jobs=jobs)
    with changes.proposed_by(run) as proposed:
        changes.show(run, proposed, output, full=full)
        if save is not None:
            changes.save(run, proposed, save)
    # After saving: one site that cannot be planned must not keep the others' plan from being reviewed.
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
    from pkigen.cli.fleet import changes
    from pkigen.cli.fleet.plan_file import opened
    from pkigen.cli.fleet.plans import Wish
    from pkigen.cli.work.fleet_changes import change, run_of, told_apart

    place, saved = told_apart(files)
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
            change(run, "apply", yes=yes, output=output)
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
    from pkigen.cli.fleet import changes
    from pkigen.cli.fleet.endings import require_all
    from pkigen.cli.fleet.plans import Wish
    from pkigen.cli.work.fleet_changes import change, run_of

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
        change(run, "renew", yes=yes, output=output)
        return
    with changes.proposed_by(run) as proposed:
        changes.show(run, proposed, PlanFormat(output), full=False)
        changes.save(run, proposed, save)
    require_all(proposed.found, again=run.again("renew"))
