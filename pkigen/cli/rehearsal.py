"""What `pkigen init --dry-run` prints: what would be made."""

from __future__ import annotations

from pkigen.cli.console import note, say
from pkigen.cli.options import Format
from pkigen.cli.reports import structured
from pkigen.cli.reports.plan_text import plan_text
from pkigen.cli.session import Session
from pkigen.reconcile.risks import risks


def show(session: Session, output: Format) -> None:
    """Show what would be made; write nothing."""
    with session.looking() as store:
        session = session.at(store)
        plan = session.plan(store)
    found = risks(plan, session.inventory)
    if output is Format.TEXT:
        say(plan_text(plan, session.inventory, found))
        note("dry run: nothing was written")
    else:
        say(structured.dump(structured.plan(plan, session.inventory, found), output))
