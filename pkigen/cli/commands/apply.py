"""`pkigen apply`: make the PKI directory what the spec asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.change import Consent, change
from pkigen.cli.commands import rollback, rotate
from pkigen.cli.options import (
    ForceOption,
    Format,
    FormatOption,
    OutOption,
    RunbookOption,
    SpecArgument,
    TemplatesOption,
    YesOption,
)
from pkigen.cli.rotation_input import StepTerms
from pkigen.cli.saved_plan import SavedPlan, require_forced
from pkigen.cli.session import open_spec
from pkigen.cli.system import system_of
from pkigen.cli.unlock import Unlocking, unlocked

app = typer.Typer(add_completion=False)


@app.command()
@unlocked
def apply(
    context: typer.Context,
    spec: SpecArgument,
    out: OutOption = None,
    *,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", metavar="FILE", help="Apply this saved plan; refused if it is stale or was changed."
        ),
    ] = None,
    yes: YesOption = False,
    force: ForceOption = False,
    runbook: RunbookOption = None,
    templates: TemplatesOption = None,
    unlocking: Unlocking,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show the plan, ask, and apply it: completely or not at all.

    What it replaces goes to a backup first.
    """
    session = open_spec(system_of(context), spec, out=out, templates=templates)
    session = session.with_keys(unlocking)
    saved = SavedPlan.read(plan) if plan is not None else None
    terms = StepTerms(yes=yes, output=output, runbook=runbook)
    if saved is not None and (backup := saved.backup) is not None:
        rollback.apply_saved(session, saved, backup, terms, force=force)
        return
    if saved is not None and (step := saved.step) is not None:
        require_forced(saved, force=force)
        rotate.apply_saved(session, saved, step, terms)
        return
    change(
        session,
        "apply",
        consent=Consent(yes=yes, force=force),
        saved=saved,
        output=output,
        runbook=runbook,
    )
