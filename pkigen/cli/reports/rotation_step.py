"""A step of a rotation once it is taken: as a person reads it, and as a structure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pkigen.cli.reports import structured
from pkigen.cli.reports.backups_text import replaced_text
from pkigen.desired.generations import Phase
from pkigen.notation import dir_option
from pkigen.reconcile.apply import Applied
from pkigen.rotation.next_command import next_command
from pkigen.rotation.phases import NEXT_STEP
from pkigen.rotation.step_names import RotationStep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pkigen.desired.inventory import Inventory
    from pkigen.rotation.phases import WantedStep
    from pkigen.rotation.steps import CompletedStep, ProposedStep, TakenStep
    from pkigen.state.observed import Reader


def taken_text(taken: TakenStep, wanted: WantedStep) -> str:
    """What there is to say of a step that an earlier run took."""
    phases = _phases(taken.planner.inventory, wanted.identifiers)
    return f"nothing to do: {', '.join(f'{each} is {phase}' for each, phase in phases.items())} already"


def taken_content(taken: TakenStep, wanted: WantedStep, root: str) -> dict[str, Any]:
    """The same as a structure."""
    inventory = taken.planner.inventory
    nothing = Applied(issued=(), capped=(), backup=None)
    return {
        **structured.applied(nothing, structured.plan(taken.plan, inventory, ()), root),
        "kind": "Rotated",
        "step": str(wanted.step or ""),
        "phases": _phases(inventory, wanted.identifiers),
        "discoveryHashes": [],
    }


def done_text(proposed: ProposedStep, done: CompletedStep) -> Iterator[str]:
    """What was done, what joining nodes pin now, and in which phases everything is."""
    yield (
        f"{proposed.step}: done, {done.proof.verdicts} cases of {done.proof.edges} edges proven"
        f"{replaced_text(done.applied.backup)}"
    )
    if done.discovery_hashes:
        yield "the discovery hash changes; joining nodes pin the CA by:"
        for each in done.discovery_hashes:
            yield f"  {each}"
    for identifier, phase in _phases(proposed.after.inventory, proposed.identifiers).items():
        yield f"{identifier} is now {phase}"


def next_text(proposed: ProposedStep, *, cluster: str, root: Path) -> Iterator[str]:
    """What is to be done next; `cluster` is how a command line names it, with its spec."""
    forward = NEXT_STEP[Phase(proposed.after.inventory.rotations.phase(proposed.identifiers[0]))]
    if forward is not RotationStep.PREPARE:
        yield (
            "next: distribute the files to every node and restart what must restart (--runbook DIR says "
            f"how), then `{next_command(proposed.identifiers, cluster, step=forward)}`"
        )
    elif proposed.step is RotationStep.FINISH:
        yield (
            "next: distribute the files to every node; to undo it, `pkigen rollback "
            f"{dir_option(root)}` restores what was archived, and the phase is promoted again"
        )


def done_content(proposed: ProposedStep, done: CompletedStep, reader: Reader, root: str) -> dict[str, Any]:
    """What was done as a structure."""
    inventory = proposed.after.inventory
    plan = structured.plan(proposed.plan, inventory, proposed.risks, reader=reader)
    return {
        **structured.applied(done.applied, plan, root),
        "kind": "Rotated",
        "step": str(proposed.step),
        "phases": _phases(inventory, proposed.identifiers),
        "discoveryHashes": list(done.discovery_hashes),
        "proof": {"edges": done.proof.edges, "cases": done.proof.verdicts, "broken": 0},
    }


def _phases(inventory: Inventory, identifiers: tuple[str, ...]) -> dict[str, str]:
    return {identifier: str(inventory.rotations.phase(identifier)) for identifier in identifiers}
