"""When a first run is right: what may be in the directory before it, and what it must not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.errors import PkigenError
from pkigen.reconcile.plan import Create

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.plan import Plan
    from pkigen.state.lockfile import Lock
    from pkigen.state.observed import Tree

# cfssl and "Kubernetes the hard way" name them so; others by what is in them.
# The longer endings come first: `ca-key.pem` ends like a certificate, too.
_READ_AS = (
    ("-key.pem", ".key"), (".key.pem", ".key"), (".pem", ".crt"), (".cer", ".crt"), (".der", ".crt"),
    (".crt", ".crt"), (".key", ".key"),
)  # fmt: skip
_PLACES = (("pki/etcd-ca.", "pki/etcd/ca."), ("pki/front-proxy/ca.", "pki/front-proxy-ca."))
"""Where people put CAs that pkigen reads elsewhere."""


def is_new(lock: Lock | None, inventory: Inventory) -> bool:
    """Whether no certificate but a CA's was ever made."""
    cas = {identifier for identifier, item in inventory.certificates.items() if item.issuer is None}
    return lock is None or lock.fingerprints.keys() <= cas


def require_unchanged(plan: Plan, lock: Lock | None, *, root: Path, words: str) -> None:
    """Refuse to change with a first run what an earlier one has made.

    Args:
        plan: What the spec asks for.
        lock: What earlier runs have made.
        root: The PKI directory, for the message.
        words: How a command line names this cluster, for the hint.

    Raises:
        PkigenError: The directory is there, and differs from the spec.
    """
    if lock is not None and plan.changes:
        raise PkigenError(
            f"{root} exists and differs from the spec in {len(plan.changes)} places; "
            "init does not change what exists",
            hint=f"see what would change with `pkigen plan {words}`, then run `pkigen apply`",
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
                hint="choose another directory with -C, or move them away",
            )


def unread(tree: Tree, inventory: Inventory) -> tuple[str, ...]:
    """What lies beside the authority's files, and is none of them."""
    return tuple(path for path in tree.walk(layout.AUTHORITY) if path not in inventory.paths)


def require_read(plan: Plan, tree: Tree, inventory: Inventory) -> None:
    """Refuse to make a CA while one that somebody brought lies there under a name that is not read.

    Args:
        plan: What is about to be made.
        tree: Where.
        inventory: What is read.

    Raises:
        PkigenError: It does.
    """
    made = {path for path in _created(plan) if path.startswith(f"{layout.AUTHORITY}/")}
    found = unread(tree, inventory) if made else ()
    names = [(path, name) for path in found for name in _meant(path) if name in made]
    if names:
        listing = ", ".join(path for path, _ in names)
        ways = ", ".join(f"{path} to {name}" for path, name in names)
        raise PkigenError(
            f"{listing}: not read under this name, so a new CA would be made beside it",
            hint=f"to use it, rename {ways} (as PEM); if it has no use here, move it to another place",
        )


def _created(plan: Plan) -> Iterator[str]:
    for action in plan.changes:
        if isinstance(action, Create):
            yield from action.paths


def _meant(path: str) -> Iterator[str]:
    """The name under which pkigen would read a file, by the ending that other tools give it."""
    for ending, name in _READ_AS:
        if path.endswith(ending):
            meant = path.removesuffix(ending) + name
            for theirs, ours in _PLACES:
                meant = meant.replace(theirs, ours)
            yield meant
            return
