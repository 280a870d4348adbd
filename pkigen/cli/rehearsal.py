"""What `pkigen init --dry-run` prints: what would be made."""

from __future__ import annotations

from contextlib import ExitStack

from pkigen.cli.console import note, say
from pkigen.cli.options import Format
from pkigen.cli.session import NoTree, Session, owned_paths
from pkigen.lockfile import read_lock
from pkigen.planning import make_plan, risks
from pkigen.reporting import structured
from pkigen.reporting.plan_text import plan_text


def show(session: Session, output: Format) -> None:
    """Print what would be made, and make nothing."""
    with ExitStack() as stack:
        store = stack.enter_context(session.reading()) if session.root.exists() else NoTree()
        session = session.at(store)
        owned = owned_paths(read_lock(store))
        plan = make_plan(session.inventory, store, session.renderer, now=session.now, owned=owned)
    found = risks(plan, session.inventory)
    if output is Format.TEXT:
        say(plan_text(plan, session.inventory, found))
        note("dry run: nothing was written")
    else:
        say(structured.dump(structured.plan(plan, session.inventory, found), output))
