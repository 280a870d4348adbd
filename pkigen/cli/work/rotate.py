"""The work of `pkigen rotate`: one step, as it is asked for or as it was reviewed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pkigen.cli.console import agreed, aside, aside_lines, note, say, say_lines, width
from pkigen.cli.options import Format, PlanFormat
from pkigen.cli.outputs import write_rotation_runbook
from pkigen.cli.plan_view import save_plan, show_plan
from pkigen.cli.reports import structured
from pkigen.cli.reports.cluster_text import cluster_lines
from pkigen.cli.reports.evidence_text import evidence_text
from pkigen.cli.reports.live_text import live_lines
from pkigen.cli.reports.plan_document import PlanDocument
from pkigen.cli.reports.plan_lines import plan_lines
from pkigen.cli.reports.proof_text import proof_text
from pkigen.cli.reports.rotation_step import done_content, done_text, next_text, taken_content, taken_text
from pkigen.cli.rotation_input import RotationOptions, StepTerms
from pkigen.cli.saved_plan import SavedPlan, StepRequest, step_content
from pkigen.cli.session import Session
from pkigen.cli.unlock import Unlocking
from pkigen.errors import PkigenError
from pkigen.reconcile.checkout import require_private_files
from pkigen.rotation.phases import WantedStep
from pkigen.rotation.proof import Proof
from pkigen.rotation.step_names import RotationStep
from pkigen.rotation.steps import (
    CompletedStep,
    ProposedStep,
    TakenStep,
    carry_out,
    propose,
    rehearse,
    require_rotatable,
)
from pkigen.state.observed import Reader
from pkigen.state.views import StagedView


def take_step(
    options: RotationOptions,
    spec: Path | None,
    wanted: WantedStep,
    unlocking: Unlocking,
    *,
    reuse_keys: bool = False,
) -> None:
    """Take one step: propose it, show it, ask, and carry it out in one transaction."""
    request = StepRequest(wanted=wanted, reuses_keys=reuse_keys)
    _take(options.open(spec).with_keys(unlocking), request, options.terms)


def apply_saved(session: Session, saved: SavedPlan, request: StepRequest, terms: StepTerms) -> None:
    """Take exactly the step that was reviewed.

    Raises:
        PkigenError: It is another one now.
    """
    _take(session, request, terms, saved=saved)


def _take(
    session: Session, request: StepRequest, options: StepTerms, *, saved: SavedPlan | None = None
) -> None:
    wanted, output = request.wanted, options.output
    require_rotatable(session.inventory, wanted.identifiers)
    if options.prove:
        wanted = replace(wanted, live=False)  # a proof is about files
    if options.runbook is not None:
        session.require_nodes("a runbook is")
    with session.writing(wanted.words) as store:
        # Even for a proof, which issues the certificates of the next step in memory.
        require_private_files(store, session.inventory)
        proposed = propose(session.planner, store, wanted, dial=session.system.dial)
        # Before all else: a step that is taken already has no plan to prove, compare or save.
        if isinstance(proposed, TakenStep):
            say(_taken(proposed, wanted, session.root, output))
            return
        if options.prove:
            proof = rehearse(proposed, store, session.tools(session.unlocking.vault(store)))
            say(_proven(proof, proposed, output))
            proof.require()
            return
        if saved is not None:
            saved.require_current(step_content(proposed, store, request))
        if options.save is not None:
            proposed.require()
            content = step_content(proposed, store, request)
            show_plan(content, PlanFormat(output), root=str(session.root))
            save_plan(content, options.save, session.words)
            return
        _agree(proposed, options)
        done = carry_out(
            proposed,
            store,
            session.tools(session.unlocking.vault(store)),
            reuse_keys=request.reuses_keys,
            inspect=_runbook(session, proposed, options.runbook),
        )
        _tell(session, proposed, done, store, output)


def _tell(
    session: Session, proposed: ProposedStep, done: CompletedStep, reader: Reader, output: Format
) -> None:
    """Say what was done, and what is to be done next."""
    tell = say if output is Format.TEXT else aside
    for line in done_text(proposed, done):
        tell(line)
    (say_lines if output is Format.TEXT else aside_lines)(
        cluster_lines(proposed.plan.in_cluster, str(session.root))
    )
    for line in next_text(proposed, cluster=session.words, root=session.root):
        note(line)
    if output is not Format.TEXT:
        say(structured.dump(done_content(proposed, done, reader, str(session.root)), output))


def _taken(taken: TakenStep, wanted: WantedStep, root: Path, output: Format) -> str:
    if output is Format.TEXT:
        return taken_text(taken, wanted)
    return structured.dump(taken_content(taken, wanted, str(root)), output)


def _proven(proof: Proof, proposed: ProposedStep, output: Format) -> str:
    if output is Format.TEXT:
        return proof_text(proof, proposed.premises, width=width())
    return structured.dump({**structured.proof(proof), "premises": list(proposed.premises)}, output)


def _agree(proposed: ProposedStep, options: StepTerms) -> None:
    """Show what a step would do, refuse it where something stands against it, and ask.

    Raises:
        RotationError: Something does.
        PkigenError: It is not agreed to.
    """
    inventory = proposed.after.inventory
    if proposed.seen is not None:
        aside_lines(live_lines(proposed.seen, cluster=inventory.cluster.name))
    if proposed.evidence is not None:
        aside(evidence_text(proposed.evidence))
    # Before it is saved: a plan that is refused anyway is not worth a review.
    proposed.require()
    document = PlanDocument.of(structured.plan(proposed.plan, inventory, proposed.risks))
    (say_lines if options.output is Format.TEXT else aside_lines)(plan_lines(document))
    # *prepare* works with every file from before it, whatever is assumed.
    if proposed.step is not RotationStep.PREPARE:
        for premise in proposed.premises:
            note(f"assumed: {premise}")
    if not options.yes and not agreed(f"{proposed.step} {', '.join(proposed.identifiers)}?"):
        raise PkigenError("not rotated", hint="nothing was changed")


def _runbook(
    session: Session, proposed: ProposedStep, directory: Path | None
) -> Callable[[StagedView], None] | None:
    """Writes the runbook before the commit: who is interrupted right after it must not be left without."""
    if directory is None:
        return None

    def write(view: StagedView) -> None:
        write_rotation_runbook(
            directory,
            session.over(proposed.after),
            view,
            proposed.plan,
            identifiers=proposed.identifiers,
            step=proposed.step,
        )

    return write
