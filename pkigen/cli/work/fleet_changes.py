"""The work of `pkigen fleet plan`, `apply` and `renew`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pkigen.cli.fleet import changes
from pkigen.cli.fleet.members import Circumstances
from pkigen.cli.fleet.plan_file import is_fleet_plan
from pkigen.cli.fleet.plans import Wish
from pkigen.cli.options import Format, PlanFormat
from pkigen.cli.spec_input import host_facts
from pkigen.cli.system import system_of
from pkigen.cli.unlock import Unlocking
from pkigen.errors import UsageError
from pkigen.fleet.description import read_fleet

if TYPE_CHECKING:
    from collections.abc import Sequence


def change(run: changes.Run, verb: str, *, yes: bool, output: Format) -> None:
    """Show, ask and change; who has agreed beforehand sees what was done, cluster by cluster."""
    if yes:
        changes.carry_out(run, None, verb=verb, output=output)
        return
    # The plan that is shown is kept, and each cluster is changed by its part of it: what has moved in between
    # is refused there, as with a saved one.
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


def _too_many(files: Sequence[Path], plans: Sequence[Path]) -> UsageError:
    named = ", ".join(map(str, files))
    if not plans:
        return UsageError(
            f"none of {named} is a saved plan of a fleet",
            hint="one that was cut off or changed at its beginning is none; "
            "`pkigen fleet plan FLEET --save PLAN` saves one",
        )
    return UsageError(
        f"{named}: more than a fleet and a saved plan of it",
        hint="name at most one of each; `pkigen fleet plan FLEET --save PLAN` saves one",
    )


def told_apart(files: Sequence[Path]) -> tuple[Path | None, Path | None]:
    """The fleet and the saved plan, by what they hold.

    Raises:
        UsageError: There are two of one kind.
    """
    plans = [each for each in files if is_fleet_plan(each)]
    fleets = [each for each in files if each not in plans]
    if len(plans) > 1 or len(fleets) > 1:
        raise _too_many(files, plans)
    return (fleets[0] if fleets else None), (plans[0] if plans else None)
