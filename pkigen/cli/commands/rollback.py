"""`pkigen rollback`: put the PKI directory back into the state before a change."""

from __future__ import annotations

from typing import Annotated

import typer

from pkigen.cli.console import say, width
from pkigen.cli.options import (
    DirectoryOption,
    ForceOption,
    Format,
    FormatOption,
    RunbookOption,
    SaveOption,
    YesOption,
)
from pkigen.cli.rotation_input import StepTerms
from pkigen.cli.values import backup_id

app = typer.Typer(add_completion=False)


@app.command()
def rollback(
    context: typer.Context,
    backup: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Which backup; the newest by default.", callback=backup_id),
    ] = None,
    *,
    directory: DirectoryOption = None,
    listing: Annotated[bool, typer.Option("--list", help="List the backups.")] = False,
    save: SaveOption = None,
    yes: YesOption = False,
    force: ForceOption = False,
    runbook: RunbookOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Go back to the state before a change.

    The change that left the backup is undone, and all since, as one change with a backup of its own. Keys of
    the authority that would come back or go, and connections that would break, are risks, as in any plan.
    """
    from pkigen.cli.reports import structured
    from pkigen.cli.reports.backups_text import backups_text
    from pkigen.cli.session import open_record
    from pkigen.cli.work.rollback import take_back

    session = open_record(context, None, directory, reports_only=True)
    if listing:
        with session.reading() as store:
            backups = store.backups()
        is_text = output is Format.TEXT
        say(
            backups_text(backups, width=width())
            if is_text
            else structured.dump(structured.backups(backups), output)
        )
        return
    take_back(session, backup, StepTerms(yes=yes, output=output, runbook=runbook, save=save), force=force)
