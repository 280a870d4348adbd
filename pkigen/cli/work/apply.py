"""The work of `pkigen apply`: a saved plan, whichever command has saved it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from pkigen.cli.revision import revise_saved
from pkigen.cli.revision_input import Revising
from pkigen.cli.rotation_input import StepTerms
from pkigen.cli.saved_plan import SavedPlan, is_saved_plan, require_forced
from pkigen.cli.session import Session, open_record
from pkigen.cli.unlock import Unlocking
from pkigen.cli.work import rollback, rotate
from pkigen.errors import UsageError


def done_of_record(
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


def done_as_step(session: Session, saved: SavedPlan, terms: StepTerms, *, force: bool) -> bool:
    """Whether a saved plan is a step of a rotation; it is taken then."""
    step = saved.step
    if step is None:
        return False
    require_forced(saved, force=force)
    rotate.apply_saved(session, saved, step, terms)
    return True


def told_apart(files: Sequence[Path]) -> tuple[Path | None, Path | None]:
    """The spec and the saved plan, by what they hold; where neither of two is a plan, the second should be.

    Raises:
        UsageError: There are two of one kind.
    """
    plans = [each for each in files if is_saved_plan(each)]
    specs = [each for each in files if each not in plans]
    # A damaged plan is none by its beginning: taken for one by its place, `SavedPlan.read` says what is
    # wrong.
    if not plans:
        specs, plans = specs[:1], specs[1:]
    if len(specs) > 1 or len(plans) > 1:
        raise UsageError(
            f"{', '.join(map(str, files))}: more than a spec and a saved plan",
            hint="name at most one of each",
        )
    return (specs[0] if specs else None), (plans[0] if plans else None)
