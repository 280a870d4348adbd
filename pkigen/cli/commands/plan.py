"""`pkigen plan`: what apply would do, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.app import ExitCode
from pkigen.cli.console import note
from pkigen.cli.options import (
    FullOption,
    OutOption,
    PlanFormat,
    PlanFormatOption,
    RunbookOption,
    SpecArgument,
    TemplatesOption,
)
from pkigen.cli.outputs import write_runbook, write_text
from pkigen.cli.plan_view import show_plan
from pkigen.cli.reports import structured
from pkigen.cli.saved_plan import plan_content
from pkigen.cli.session import open_spec
from pkigen.cli.system import system_of
from pkigen.reconcile.checkout import looked_at

app = typer.Typer(add_completion=False)


@app.command()
def plan(
    context: typer.Context,
    spec: SpecArgument,
    out: OutOption = None,
    *,
    output: PlanFormatOption = PlanFormat.TEXT,
    full: FullOption = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help=f"Exit {ExitCode.CHANGES_PENDING} when changes are pending.")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help="Save the plan for review and `apply --plan`."),
    ] = None,
    runbook: RunbookOption = None,
    templates: TemplatesOption = None,
) -> None:
    """Show what apply would do to the PKI directory, and why.

    Nothing is written there.
    """
    session = open_spec(system_of(context), spec, out=out, templates=templates)
    with session.looking() as store:
        tree = looked_at(store, session.inventory)
        session = session.at(tree)
        made = session.plan(tree)
        content = plan_content(made, session.inventory, tree)
    show_plan(content, output, full=full)
    if save is not None:
        write_text(save, structured.dump(content, "json") + "\n")
        note(f"saved: apply exactly this plan with `pkigen apply {spec} --out {session.root} --plan {save}`")
    if runbook is not None:
        write_runbook(runbook, session.inventory, made.changes)
    if exit_code and (made.changes or made.awaited):
        raise typer.Exit(ExitCode.CHANGES_PENDING)
