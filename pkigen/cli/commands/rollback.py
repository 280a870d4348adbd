"""`pkigen rollback`: put the PKI directory back into the state before a change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.airgap.carrier.media import require_place
from pkigen.cli.console import agreed, note, say
from pkigen.cli.options import RunbookOption, YesOption
from pkigen.cli.outputs import write_runbook
from pkigen.cli.reports.backups_text import backups_text
from pkigen.cli.reports.plan_text import consequences_text
from pkigen.cli.session import Session, open_directory
from pkigen.cli.system import system_of
from pkigen.errors import PkigenError
from pkigen.reconcile.restore import plan_rollback, roll_back
from pkigen.state.lockfile import read_lock

if TYPE_CHECKING:
    from pkigen.desired.inventory import Inventory
    from pkigen.store import Store

app = typer.Typer(add_completion=False)


@app.command()
def rollback(
    context: typer.Context,
    backup: Annotated[
        str | None, typer.Argument(metavar="ID", help="Which backup; the newest by default.")
    ] = None,
    *,
    directory: Annotated[Path, typer.Option("--out", metavar="DIR", help="The PKI directory.")] = Path(),
    listing: Annotated[bool, typer.Option("--list", help="List the backups.")] = False,
    yes: YesOption = False,
    runbook: RunbookOption = None,
) -> None:
    """Go back to the state before a change.

    The change that left the backup is undone, and all since, as one change with a backup of its own.
    """
    session = open_directory(system_of(context), directory, spec=None, templates=None, reports_only=True)
    if listing:
        with session.reading() as store:
            say(backups_text(store.backups()))
        return
    if runbook is not None:
        require_place(runbook)
    with session.writing("rollback") as store:
        session = session.at(store)
        planned = plan_rollback(store, backup)
        for change in planned.undone:
            say(f"undo {change.id} ({change.command})")
        for restore in planned.restores:
            say(f"  restore {restore.path} from {restore.backup}")
        for path in planned.removes:
            say(f"  remove {path}")
        if not yes and not agreed("go back?"):
            raise PkigenError("not rolled back", hint="nothing was changed")
        keep = session.inventory.cluster.spec.backups.keep
        left = roll_back(store, planned, now=session.now, keep_backups=keep)
        inventory = _in_place(session, store)
    say(f"rolled back to before {planned.backup}; what was replaced is in backup {left}")
    for line in consequences_text(inventory, planned.changes):
        say(line)
    if runbook is not None:
        write_runbook(runbook, inventory, planned.changes)
    note("note: nodes keep what was copied to them; copy their trees again, as after any change")


def _in_place(session: Session, store: Store) -> Inventory:
    """What the directory asks for now: maybe other nodes than before."""
    lock = read_lock(store)
    try:
        return session.planner.of_spec(lock.cluster()).at(store).inventory if lock else session.inventory
    except PkigenError:  # an older pkigen's spec; the files are back all the same
        return session.inventory
