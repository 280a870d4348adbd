"""`pkigen plan`: what apply would do, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.airgap.offline.pending import read_pending
from pkigen.cli.app import ExitCode
from pkigen.cli.console import note, say
from pkigen.cli.options import (
    DirectoryOption,
    Format,
    FormatOption,
    OwnSpecArgument,
    RunbookOption,
    TemplatesOption,
)
from pkigen.cli.outputs import write_runbook, write_text
from pkigen.cli.reports import structured
from pkigen.cli.reports.plan_text import offline_text, plan_text
from pkigen.cli.saved_plan import plan_content
from pkigen.cli.session import open_cluster
from pkigen.reconcile.risks import risks

app = typer.Typer(add_completion=False)


@app.command()
def plan(
    context: typer.Context,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    output: FormatOption = Format.TEXT,
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
    session = open_cluster(context, spec, directory, templates=templates, adopts=True)
    with session.reading() as store:
        session = session.at(store)
        made = session.plan(store)
        pending = read_pending(store)
        arriving = session.arriving(store)
        content = plan_content(made, session.inventory, store, spec=arriving)
    found = risks(made, session.inventory)
    requests = pending.requests if pending is not None else None
    if output is Format.TEXT:
        spec_line = [session.arrival] if arriving is not None else []
        say("\n".join((plan_text(made, session.inventory, found), *spec_line, *offline_text(requests, made))))
    else:
        say(structured.dump(content, output))
    if save is not None:
        write_text(save, structured.dump(content, "json") + "\n")
        note(f"saved: apply exactly this plan with `pkigen apply {session.words} --plan {save}`")
    if runbook is not None:
        write_runbook(runbook, session.inventory, made.changes)
    if exit_code and (made.changes or made.awaited or arriving is not None):
        raise typer.Exit(ExitCode.CHANGES_PENDING)
