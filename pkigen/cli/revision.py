"""How a command changes the list of revoked credentials: a plan like every other, with one file to copy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.cli.change import Consent, agree, say_applied
from pkigen.cli.console import note, say_line
from pkigen.cli.options import Format, PlanFormat
from pkigen.cli.plan_view import save_plan, show_plan
from pkigen.cli.saved_plan import PlanRequest, SavedPlan, plan_content
from pkigen.desired.authorization import configuration_path
from pkigen.reconcile.apply import apply_plan
from pkigen.reconcile.checkout import require_private_files
from pkigen.reconcile.revocation_list import require_bearable, require_enforced, with_change
from pkigen.state.authority_record import require_unchanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from pkigen.cli.revision_input import Revising
    from pkigen.cli.session import Session
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.revocations import RevocationChange
    from pkigen.store import Store


def revise(
    session: Session,
    command: str,
    wanted: Callable[[Session, Store], RevocationChange],
    terms: Revising,
    *,
    saved: SavedPlan | None = None,
) -> None:
    """Plan the change of the list, show it, ask, and apply it, under one lock.

    Args:
        session: The cluster as it was made last: an edited spec neither comes along nor is in the way.
        command: What holds the lock.
        wanted: Says what changes, of the directory that is held.
        terms: What becomes of the plan.
        saved: The plan that was reviewed.

    Raises:
        AccessError: API servers would not learn of it.
        PkigenError: The saved plan is stale, or the change was not agreed to.
    """
    # A dry run takes no lock: it is for those who may only read, too.
    with session.reading() if terms.dry_run else session.writing(command) as store:
        session = session.at(store)
        change = wanted(session, store)
        session = session.over(session.planner.revoking(change))
        require_enforced(session.inventory, store)
        require_bearable(session.inventory)
        require_private_files(store, session.inventory)
        whole = session.plan(store)
        # A list that another authority's directory renders would replace the one that API servers read.
        require_unchanged(whole.authority)
        made, others = with_change(whole, change, session.inventory)
        content = plan_content(made, session.inventory, store, PlanRequest(revocation=change))
        if saved is not None:
            saved.require_current(content)
        if others:
            note(f"note: {len(others)} other changes stay for `pkigen apply`; a revocation goes alone")
        if terms.save is not None or terms.dry_run:
            show_plan(content, PlanFormat(terms.output))
            if terms.save is not None:
                save_plan(content, terms.save, session.words)
            else:
                note("dry run: nothing was written")
            return
        agree(made, session, Consent(yes=terms.yes), terms.output)
        vault = session.unlocking.vault(store)
        applied = apply_plan(made, session.inventory, store, session.tools(vault), held=others)
        say_applied(session, made, applied, terms.output, reader=store)
    if terms.output is Format.TEXT:
        for line in copying(session.inventory, session.root):
            say_line(line)


def revise_saved(session: Session, saved: SavedPlan, terms: Revising) -> None:
    """Carry out a plan that was saved.

    Raises:
        PkigenError: It is stale, or was not agreed to.
    """
    change = saved.request.revocation
    revise(session, "apply", lambda _session, _store: change, terms, saved=saved)


def copying(inventory: Inventory, root: Path) -> tuple[str, ...]:
    """What has to go where: one file, and nothing restarts."""
    path = configuration_path(inventory.cluster)
    nodes = [node.name for node in inventory.cluster.control_plane]
    return (
        f"copy one file to each control-plane node ({', '.join(nodes)}), in place of the one there:",
        f"  {root / layout.NODES}/NODE{path} → {path}",
        "API servers read it at once or within a minute, without a restart: `pkigen verify --live` asks them",
    )
