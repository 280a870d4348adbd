"""How a command changes the PKI directory: plan, show, ask, apply, and say what was done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pkigen.airgap.carrier.media import require_place
from pkigen.cli.console import agreed, aside_lines, note, say, say_line, say_lines
from pkigen.cli.options import Format, PlanFormat
from pkigen.cli.outputs import write_runbook
from pkigen.cli.plan_view import save_plan, show_plan
from pkigen.cli.reports import structured
from pkigen.cli.reports.backups_text import replaced_text
from pkigen.cli.reports.cluster_text import cluster_lines
from pkigen.cli.reports.lines import Line
from pkigen.cli.reports.plan_document import PlanDocument
from pkigen.cli.reports.plan_lines import plan_lines
from pkigen.cli.reports.plan_text import waiting_text
from pkigen.cli.saved_plan import PlanRequest, SavedPlan, plan_content
from pkigen.cli.session import Session
from pkigen.errors import PkigenError
from pkigen.notation import dir_option
from pkigen.reconcile.apply import Applied, apply_plan
from pkigen.reconcile.checkout import require_private_files
from pkigen.reconcile.planner import require_signed_here
from pkigen.reconcile.risks import risks
from pkigen.reconcile.source import IssuedHere
from pkigen.records import dataclass
from pkigen.state.authority_record import RESTORE, require_unchanged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.plan import Plan
    from pkigen.reconcile.surveyed import Selection
    from pkigen.state.observed import Reader
    from pkigen.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What the operator has agreed to beforehand."""

    yes: bool
    force: bool = False


def change(
    session: Session,
    command: str,
    *,
    consent: Consent,
    output: Format,
    saved: SavedPlan | None = None,
    selection: Selection | None = None,
    review: Callable[[Plan, Inventory], None] | None = None,
    reuse_keys: bool = False,
    runbook: Path | None = None,
    save: Path | None = None,
) -> None:
    """Plan, show, ask and apply, under one lock from the plan to the commit.

    Where `saved` is given, it says what is asked for; where `save` is, the plan is shown and saved instead.
    """
    # A saved plan is made again of what was asked for then, and compared with what it says.
    request = PlanRequest(selection=selection, reuses_keys=reuse_keys) if saved is None else saved.request
    if runbook is not None:
        require_place(runbook)  # it is written after the change
    with session.writing(command) as store:
        # Anew under the lock: another command may have moved a rotation on since the session was opened.
        session = session.at(store)
        require_private_files(store, session.inventory)
        made = session.plan(store, request.selection)
        made, held = _as_reviewed(made, session, store, saved)
        if review is not None:
            if not consent.force:
                require_unchanged(made.authority)  # with another authority, more than that is pending
            review(made, session.inventory)
        # Before consent: nobody should agree to a plan that only the offline authority could carry out.
        require_signed_here(made, session.root)
        if save is not None:
            content = plan_content(made, session.inventory, store, request, spec=session.arriving(store))
            show_plan(content, PlanFormat(output), root=str(session.root))
            save_plan(content, save, session.words)
            return
        if made.awaited:
            note(
                f"note: {len(made.awaited)} certificates are due for renewal by the offline authority: "
                f"`pkigen airgap authority request {dir_option(session.root)}`"
            )
        # A spec that differs only in comments plans no change, and still has to become cluster.yaml.
        is_new = session.arriving(store) is not None
        agree(made, session, consent, output, others=is_new)
        if not made.changes and not is_new:
            applied = Applied(issued=(), capped=(), backup=None)
        else:
            # Only here: where nothing is to be done nobody is asked for a passphrase.
            vault = session.unlocking.vault(store)
            applied = apply_plan(
                made,
                session.inventory,
                store,
                session.tools(vault),
                source=IssuedHere(reuses_keys=request.reuses_keys),
                held=held,
                agreed=_digest(saved),
            )
        # Only now: the change itself may ask for something in the cluster.
        made = replace(made, in_cluster=session.in_cluster(store))
        say_applied(session, made, applied, output, others=is_new, reader=store)
    if runbook is not None:
        write_runbook(runbook, session, made.changes, made.in_cluster)


def _as_reviewed(
    made: Plan, session: Session, store: Store, saved: SavedPlan | None
) -> tuple[Plan, frozenset[str]]:
    """What is to be done, and the ids of what is left out because the saved plan could not judge it.

    Raises:
        PkigenError: The plan is another one than the saved one.
    """
    held = saved.require_current_in(session, store, made) if saved is not None else frozenset()
    if held:
        note(f"note: {len(held)} changes that the saved plan could not judge stay for `pkigen plan`")
    return replace(made, actions=tuple(each for each in made.actions if each.id not in held)), held


def _digest(saved: SavedPlan | None) -> str | None:
    return saved.digest if saved is not None else None


def say_applied(
    session: Session,
    made: Plan,
    applied: Applied,
    output: Format,
    *,
    others: bool = False,
    reader: Reader,
) -> None:
    """Say what a plan has become; with `others`, the spec has become the directory's own."""
    if output is Format.TEXT and not made.changes and not others:
        say_line("nothing to do here" if made.in_cluster else "nothing to do")
        for line in waiting_text(made.waiting, str(session.root)):
            note(line)
        say_lines(cluster_lines(made.in_cluster, str(session.root)))
    elif output is Format.TEXT:
        for identifier in applied.capped:
            note(
                f"note: {identifier} was shortened to its CA's validity; rotate the CA for longer "
                "validities: `pkigen rotate ca`"
            )
        say_line(
            f"applied: {len(applied.issued)} issued, {len(made.changes)} changes in {session.root}"
            f"{replaced_text(applied.backup)}"
        )
        say_lines(cluster_lines(made.in_cluster, str(session.root)))
    else:
        content = structured.plan(made, session.inventory, (), reader=reader)
        say(structured.dump(structured.applied(applied, content, str(session.root)), output))


def agree(plan: Plan, session: Session, consent: Consent, output: Format, *, others: bool = False) -> None:
    """Show a plan, refuse it where it is dangerous and nobody has forced it, and ask.

    With `others`, the spec that is named is to become the directory's own, too.

    Raises:
        PkigenError: It is dangerous, or not agreed to.
    """
    # Not those of a saved plan: they are what is true now, and --force must be given for them now.
    found = risks(plan, session.inventory)
    lines: list[Line] = []
    if plan.changes:
        document = PlanDocument.of(structured.plan(plan, session.inventory, found))
        lines += plan_lines(document, directory=str(session.root))
    if others:
        lines.append(Line(session.arrival))
    if lines:
        (say_lines if output is Format.TEXT else aside_lines)(lines)
    # After the plan is shown, so that who is refused sees by what.
    if not consent.force:
        _require_safe(plan, found)
    if (plan.changes or others) and not consent.yes and not agreed("apply these changes?"):
        raise PkigenError("not applied", hint="nothing was changed")


def _require_safe(plan: Plan, found: Sequence[str]) -> None:
    if found:
        raise PkigenError(
            f"the plan is dangerous: {found[0]}",
            hint=f"{RESTORE}; if the change is intended, add --force"
            if plan.alarms
            else "if this is intended, and all nodes can be changed at once, add --force",
        )
