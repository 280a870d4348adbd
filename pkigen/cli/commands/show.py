"""`pkigen show`: what earlier changes did and ask of the nodes, or what a saved plan would do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.options import DirectoryOption, FullOption, PlanFormat, PlanFormatOption, RunbookOption
from pkigen.cli.values import backup_id
from pkigen.errors import UsageError

app = typer.Typer(add_completion=False)


@app.command()
def show(
    context: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="CHANGE-ID|FILE",
            help="The change that left this backup, or a saved plan.  [default: the newest change]",
            show_default=False,
        ),
    ] = None,
    *,
    directory: DirectoryOption = None,
    full: FullOption = False,
    runbook: RunbookOption = None,
    output: PlanFormatOption = PlanFormat.TEXT,
) -> None:
    """Show again what a change did, or what a saved plan would do.

    Of a change that is what must restart on the nodes, too. With a CHANGE-ID, that change and all since count
    as one, as for trees that are carried to the nodes once. `pkigen rollback --list` lists the IDs.
    """
    from pkigen.cli.plan_view import show_plan
    from pkigen.cli.saved_plan import SavedPlan
    from pkigen.cli.work.show import show_change

    if what is not None and Path(what).is_file():
        if runbook is not None:
            raise UsageError("--runbook needs a change", hint="`apply FILE` writes that of a saved plan")
        show_plan(SavedPlan.read(Path(what)).content, output, full=full)
        return
    if full or output is PlanFormat.MARKDOWN:
        raise UsageError("--full and -o markdown need a saved plan", hint="a change is shown as it is")
    show_change(context, backup_id(what), directory, runbook, output)
