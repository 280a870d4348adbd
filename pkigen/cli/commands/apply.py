"""`pkigen apply`: make the PKI directory what the spec asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.change import Consent, change
from pkigen.cli.options import (
    DirectoryOption,
    ForceOption,
    Format,
    FormatOption,
    OwnSpecArgument,
    RunbookOption,
    TemplatesOption,
    YesOption,
)
from pkigen.cli.saved_plan import SavedPlan
from pkigen.cli.session import open_cluster
from pkigen.cli.unlock import Unlocking, unlocked

app = typer.Typer(add_completion=False)


@app.command()
@unlocked
def apply(
    context: typer.Context,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
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
    session = open_cluster(context, spec, directory, templates=templates, adopts=True)
    session = session.with_keys(unlocking)
    saved = SavedPlan.read(plan) if plan is not None else None
    change(
        session,
        "apply",
        consent=Consent(yes=yes, force=force),
        saved=saved,
        output=output,
        runbook=runbook,
    )
