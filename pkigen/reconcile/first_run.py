"""When a first run is right: what may be in the directory before it, and what it must not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.errors import PkigenError
from pkigen.reconcile.plan import Create

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.plan import Plan
    from pkigen.state.lockfile import Lock


def is_new(lock: Lock | None, inventory: Inventory) -> bool:
    """Whether no certificate but a CA's was ever made."""
    cas = {identifier for identifier, item in inventory.certificates.items() if item.issuer is None}
    return lock is None or lock.fingerprints.keys() <= cas


def require_unchanged(plan: Plan, lock: Lock | None, *, root: Path, spec: Path) -> None:
    """Refuse to change with a first run what an earlier one has made.

    Args:
        plan: What the spec asks for.
        lock: What earlier runs have made.
        root: The PKI directory, for the message.
        spec: Where the spec is, for the hint.

    Raises:
        PkigenError: The directory is there, and differs from the spec.
    """
    if lock is not None and plan.changes:
        raise PkigenError(
            f"{root} exists and differs from the spec in {len(plan.changes)} places; "
            "init does not change what exists",
            hint=f"see what would change with `pkigen plan {spec} --out {root}`, then run `pkigen apply`",
        )


def require_own(plan: Plan, *, root: Path) -> None:
    """Before the first run only an authority that the user brought may be there.

    Raises:
        PkigenError: There are other files in the place of pkigen's own.
    """
    for action in plan.changes:
        brought = all(path.startswith(f"{layout.AUTHORITY}/") for path in action.paths)
        if not isinstance(action, Create) and not brought:
            raise PkigenError(
                f"{root} holds files that pkigen did not write: {action.paths[0]}",
                hint="choose another directory with --out, or move them away",
            )
