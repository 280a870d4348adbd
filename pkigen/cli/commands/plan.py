"""`pkigen plan`: what apply would do, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from pkigen.cli.options import (
    DirectoryOption,
    FullOption,
    OwnSpecArgument,
    PlanFormat,
    PlanFormatOption,
    RunbookOption,
    SaveOption,
    TemplatesOption,
)
from pkigen.cli.problems import ExitCode

app = typer.Typer(add_completion=False)


@app.command()
def plan(
    context: typer.Context,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    output: PlanFormatOption = PlanFormat.TEXT,
    full: FullOption = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help=f"Exit {ExitCode.CHANGES_PENDING} when changes are pending.")
    ] = False,
    save: SaveOption = None,
    runbook: RunbookOption = None,
    templates: TemplatesOption = None,
) -> None:
    """Show what apply would do to the PKI directory, and why.

    Nothing of it is changed.
    """
    # The help of the command needs none of these, which take longer than all of it.
    from pkigen.cli.console import say_line
    from pkigen.cli.plan_view import save_plan, show_plan
    from pkigen.cli.saved_plan import plan_content
    from pkigen.cli.session import open_cluster
    from pkigen.reconcile.checkout import looked_at

    session = open_cluster(context, spec, directory, templates=templates, adopts=True)
    with session.reading() as store:
        tree = looked_at(store, session.inventory)
        session = session.at(tree)
        made = session.plan(tree)
        arriving = session.arriving(tree)
        content = plan_content(made, session.inventory, tree, spec=arriving)
    show_plan(content, output, full=full, root=str(session.root))
    if arriving is not None and output is PlanFormat.TEXT:
        say_line(session.arrival)
    if save is not None:
        save_plan(content, save, session.words)
    if runbook is not None:
        from pkigen.cli.outputs import write_runbook

        write_runbook(runbook, session, made.changes, made.in_cluster)
    if exit_code and (made.changes or made.awaited or arriving is not None):
        raise typer.Exit(ExitCode.CHANGES_PENDING)
