"""What `pkigen init --dry-run` prints: what would be made."""

from __future__ import annotations

from pkigen.cli.console import note, say, say_lines
from pkigen.cli.options import Format
from pkigen.cli.reports import structured
from pkigen.cli.reports.plan_document import PlanDocument
from pkigen.cli.reports.plan_lines import plan_lines
from pkigen.cli.session import Session
from pkigen.reconcile.risks import risks


def show(session: Session, output: Format, *, full: bool) -> None:
    """Show what would be made, in full every object; write nothing."""
    with session.looking() as store:
        session = session.at(store)
        plan = session.plan(store)
    found = risks(plan, session.inventory)
    content = structured.plan(plan, session.inventory, found)
    if output is Format.TEXT:
        say_lines(plan_lines(PlanDocument.of(content), full=full))
        note("dry run: nothing was written")
    else:
        say(structured.dump(content, output))
