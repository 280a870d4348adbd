"""The work of `pkigen rollback`, as it is asked for or as it was reviewed."""

from __future__ import annotations

from collections.abc import Iterator

from pkigen.airgap.carrier.media import require_place
from pkigen.cli.console import agreed, note, say_line, say_lines
from pkigen.cli.document import document
from pkigen.cli.options import PlanFormat
from pkigen.cli.outputs import write_runbook
from pkigen.cli.plan_view import save_plan, show_plan
from pkigen.cli.reports import structured
from pkigen.cli.reports.backups_text import replaced_text
from pkigen.cli.reports.cluster_text import cluster_lines, cluster_summary_text
from pkigen.cli.reports.plan_text import consequences_text
from pkigen.cli.rotation_input import StepTerms
from pkigen.cli.saved_plan import SavedPlan, rollback_content
from pkigen.cli.session import Session
from pkigen.errors import PkigenError
from pkigen.reconcile.apply import Applied
from pkigen.reconcile.restore import plan_rollback, roll_back
from pkigen.rotation.rollback import ProposedRollback, propose_rollback


def apply_saved(session: Session, saved: SavedPlan, backup: str, terms: StepTerms, *, force: bool) -> None:
    """Go back exactly as it was reviewed.

    Raises:
        PkigenError: It is another rollback now.
    """
    take_back(session, backup, terms, force=force, saved=saved)


def take_back(
    session: Session, backup: str | None, terms: StepTerms, *, force: bool, saved: SavedPlan | None = None
) -> None:
    """Go back, once it is shown and agreed to, or save the plan for that."""
    if terms.runbook is not None:
        require_place(terms.runbook)
    with session.writing("rollback") as store:
        session = session.at(store)
        planned = plan_rollback(store, backup)
        proposed = propose_rollback(session.planner, store, planned)
        content = rollback_content(proposed, store)
        if saved is not None:
            saved.require_current(content)
        if terms.save is not None:
            show_plan(content, PlanFormat(terms.output), root=str(session.root))
            save_plan(content, terms.save, session.words)
            return
        with document(terms.output) as said:
            for line in _shown(proposed):
                say_line(line)
            _agree(proposed, yes=terms.yes, force=force)
            keep = session.inventory.cluster.spec.backups.keep
            left = roll_back(
                store, planned, superseded=proposed.superseded, now=session.now, keep_backups=keep
            )
            say_line(f"rolled back to before {planned.backup}{replaced_text(left)}")
            say_lines(cluster_lines(proposed.in_cluster, str(session.root)))
            done = Applied(issued=(), capped=(), backup=left)
            said.update(structured.applied(done, content, str(session.root)))
    if terms.runbook is not None:
        write_runbook(terms.runbook, session.over(proposed.after), planned.changes, proposed.in_cluster)
    note("note: the nodes still have their files; distribute the trees again, as after any change")


def _agree(proposed: ProposedRollback, *, yes: bool, force: bool) -> None:
    """Refuse what is dangerous and not forced, and ask.

    Raises:
        PkigenError: It is dangerous, or not agreed to.
    """
    if proposed.risks and not force:
        raise PkigenError(
            f"the rollback is dangerous: {proposed.risks[0]}",
            hint="a rotation in progress goes back with `pkigen rotate … --phase rollback`; if this is "
            "intended, and all nodes can be changed at once, add --force",
        )
    if not yes and not agreed("go back?"):
        raise PkigenError("not rolled back", hint="nothing was changed")


def _shown(proposed: ProposedRollback) -> Iterator[str]:
    """What would be undone, what follows from that on the nodes, and what is dangerous about it."""
    rollback = proposed.rollback
    for change in rollback.undone:
        yield f"undo {change.id} ({change.command})"
    for restore in rollback.restores:
        yield f"  restore {restore.path} from {restore.backup}"
    for path in rollback.removes:
        yield f"  remove {path}"
    yield from consequences_text(proposed.after.inventory, rollback.changes)
    if proposed.in_cluster:
        yield f"then in the cluster: {cluster_summary_text(proposed.in_cluster)}"
    for risk in proposed.risks:
        yield f"risk: {risk}"
