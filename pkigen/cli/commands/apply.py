"""`pkigen apply`: make the PKI directory what the spec asks for, or carry out a plan that was reviewed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.change import Consent, change
from pkigen.cli.commands import rollback, rotate
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
from pkigen.cli.revision import revise_saved
from pkigen.cli.revision_input import Revising
from pkigen.cli.rotation_input import StepTerms
from pkigen.cli.saved_plan import SavedPlan, is_saved_plan, require_forced
from pkigen.cli.session import Session, open_cluster, open_record
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.errors import UsageError

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
    spec, plan = _told_apart(files or ())
    if save is not None and plan is not None:
        raise UsageError("--save cannot be combined with a saved plan", hint=f"`pkigen show {plan}` shows it")
    saved = SavedPlan.read(plan) if plan is not None else None
    terms = StepTerms(yes=yes, output=output, runbook=runbook)
    if saved is not None and _of_record(context, directory, saved, terms, templates, unlocking, force=force):
        return
    is_step = saved is not None and saved.step is not None
    session = open_cluster(context, spec, directory, templates=templates, adopts=not is_step)
    session = session.with_keys(unlocking)
    if saved is not None and _is_step(session, saved, terms, force=force):
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


def _of_record(
    context: typer.Context,
    directory: Path | None,
    saved: SavedPlan,
    terms: StepTerms,
    templates: Path | None,
    unlocking: Unlocking,
    *,
    force: bool,
) -> bool:
    """Whether a saved plan is about the cluster as it was made last; it is carried out then."""
    if saved.backup is not None:
        record = open_record(context, None, directory, reports_only=True)
        rollback.apply_saved(record, saved, saved.backup, terms, force=force)
    elif saved.changes_list:
        record = open_record(context, None, directory, templates=templates).with_keys(unlocking)
        revise_saved(record, saved, Revising(yes=terms.yes, output=terms.output))
    else:
        return False
    return True


def _is_step(session: Session, saved: SavedPlan, terms: StepTerms, *, force: bool) -> bool:
    """Whether a saved plan is a step of a rotation; it is taken then."""
    step = saved.step
    if step is None:
        return False
    require_forced(saved, force=force)
    rotate.apply_saved(session, saved, step, terms)
    return True


def _told_apart(files: Sequence[Path]) -> tuple[Path | None, Path | None]:
    """The spec and the saved plan, by what they hold; where neither of two is a plan, the second should be.

    Raises:
        UsageError: There are two of one kind.
    """
    plans = [each for each in files if is_saved_plan(each)]
    specs = [each for each in files if each not in plans]
    if not plans:
        specs, plans = specs[:1], specs[1:]
    if len(specs) > 1 or len(plans) > 1:
        raise UsageError(
            f"{', '.join(map(str, files))}: more than a spec and a saved plan",
            hint="name at most one of each",
        )
    return (specs[0] if specs else None), (plans[0] if plans else None)
