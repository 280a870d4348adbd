"""`pkigen apply`: make the PKI directory what the spec asks for, or carry out a plan that was reviewed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.options import (
    DirectoryOption,
    ForceOption,
    Format,
    FormatOption,
    RunbookOption,
    SaveOption,
    TemplatesOption,
    YesOption,
)
from pkigen.cli.rotation_input import StepTerms
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.errors import UsageError
from pkigen.notation import command_line

app = typer.Typer(add_completion=False)


@app.command()
@unlocked
def apply(
    context: typer.Context,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[SPEC] [PLAN]",
            help="Another spec than the cluster's own (- reads standard input), and a saved plan, which is "
            "carried out exactly, or refused if it is stale or was changed.",
            show_default=False,
            allow_dash=True,
        ),
    ] = None,
    *,
    directory: DirectoryOption = None,
    save: SaveOption = None,
    yes: YesOption = False,
    force: ForceOption = False,
    runbook: RunbookOption = None,
    templates: TemplatesOption = None,
    unlocking: Unlocking,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show the plan, ask, and apply it: completely or not at all.

    What it replaces goes to a backup first. With a saved plan, whatever command it was saved by (plan, renew,
    rotate, rollback, rescue), exactly that is done, or what has moved since is said.
    """
    from pkigen.cli.change import Consent, change
    from pkigen.cli.saved_plan import SavedPlan
    from pkigen.cli.session import open_cluster
    from pkigen.cli.work.apply import done_as_step, done_of_record, told_apart

    # By content, since both may end in .json: a plan that was taken for a spec would be reported as an
    # invalid one.
    spec, plan = told_apart(files or ())
    if save is not None and plan is not None:
        raise UsageError(
            "--save cannot be combined with a saved plan",
            hint=f"`{command_line('pkigen', 'show', plan)}` shows it",
        )
    saved = SavedPlan.read(plan) if plan is not None else None
    terms = StepTerms(yes=yes, output=output, runbook=runbook)
    if saved is not None and done_of_record(
        context, directory, saved, terms, templates, unlocking, force=force
    ):
        return
    # `rotate` takes in no spec that is named, and a step that it saved has to be the same step here.
    is_step = saved is not None and saved.step is not None
    session = open_cluster(context, spec, directory, templates=templates, adopts=not is_step)
    session = session.with_keys(unlocking)
    if saved is not None and done_as_step(session, saved, terms, force=force):
        return
    change(
        session,
        "apply",
        consent=Consent(yes=yes, force=force),
        saved=saved,
        output=output,
        runbook=runbook,
        save=save,
    )
