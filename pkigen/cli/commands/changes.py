"""`pkigen changes`: what earlier changes did, and what they ask of the nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pkigen import layout
from pkigen.cli.console import say, say_line
from pkigen.cli.options import DirectoryOption, Format, FormatOption, RunbookOption
from pkigen.cli.outputs import write_runbook
from pkigen.cli.reports import structured
from pkigen.cli.reports.plan_text import consequences_text
from pkigen.cli.session import open_record
from pkigen.cli.values import backup_id
from pkigen.reconcile.restore import plan_rollback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.reconcile.plan import Action

app = typer.Typer(add_completion=False)

_MARKS = {"create": "+", "rewrite": "~", "remove": "-"}


@app.command()
def changes(
    context: typer.Context,
    backup: Annotated[
        str | None,
        typer.Argument(
            metavar="ID",
            help="Start with the change that left this backup; by default the newest.",
            callback=backup_id,
        ),
    ] = None,
    *,
    directory: DirectoryOption = None,
    runbook: RunbookOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show again what a change did, and what must restart on the nodes.

    With an ID, that change and all since count as one, as for trees that are carried to the nodes once.
    `pkigen rollback --list` lists the IDs.
    """
    session = open_record(context, None, directory, reports_only=True)
    with session.reading() as store:
        session = session.at(store)
        planned = plan_rollback(store, backup)
    done = tuple(
        sorted((each for each in planned.undoes if each.id != layout.LOCK_FILE), key=lambda each: each.id)
    )
    if output is Format.TEXT:
        for change in planned.undone:
            say_line(f"{change.id} ({change.command})")
        for line in (*_files(done), *consequences_text(session.inventory, done)):
            say(line)
    else:
        say(structured.dump(structured.changes(planned.undone, done, session.inventory), output))
    if runbook is not None:
        write_runbook(runbook, session.inventory, done)


def _files(done: tuple[Action, ...]) -> Iterator[str]:
    for each in done:
        yield f"  {_MARKS[each.verb]} {each.id}"
