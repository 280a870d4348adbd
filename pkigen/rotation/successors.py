"""The successor of a CA that an offline authority signs: it is asked for as if the rotation were prepared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.airgap.offline.generations import successors
from pkigen.rotation.phases import after
from pkigen.rotation.step_names import RotationStep

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.reconcile.planner import Planner


def with_successors(planner: Planner, identifiers: Iterable[str]) -> Planner:
    """The desired state in which the next generations among these exist.

    Raises:
        RotationError: A CA is being rotated already.
    """
    cas = successors(identifiers)
    return planner.under(after(planner.inventory.rotations, cas, RotationStep.PREPARE)) if cas else planner
