"""The node's own age key, below its root directory: reached by the store, which follows no link."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pkigen.airgap.carrier.paths import IDENTITY
from pkigen.crypto.age import Identity
from pkigen.errors import UsageError
from pkigen.layout import KEY_MODE
from pkigen.notation import command_line
from pkigen.state.observed import Fault, FaultKind, read_file

if TYPE_CHECKING:
    from pkigen.store import Store, Transaction

_OPEN = 0o077


def identity_of(node: Store) -> Identity | None:
    """The identity that a node has; None where it has none.

    Raises:
        UsageError: Something else stands there, or somebody else has it too.
    """
    found = read_file(node, IDENTITY)
    path = node.root / IDENTITY
    if isinstance(found, Fault):
        if found.kind is FaultKind.MISSING:
            return None
        raise UsageError(f"{path} {found.message}", hint="find out what it is, and move it away")
    if found.uid not in {os.geteuid(), 0}:
        raise UsageError(
            f"{path} belongs to another user (uid {found.uid})",
            hint="to make a new one, move it away; that user can open what is sealed to this one",
        )
    # Not put right in silence: who could read it can open every bundle of this node.
    if found.mode & _OPEN:
        raise UsageError(
            f"{path} can be read by others (mode {found.mode:04o})",
            hint=f"{command_line('chmod', 600, path)}; others may have read it already",
        )
    return Identity.of_file(found.data, str(path))


def stage_identity(transaction: Transaction) -> Identity:
    """Make an identity for a node that has none, as part of a change."""
    identity = Identity.generate()
    transaction.stage(IDENTITY, mode=KEY_MODE, content=f"{identity.text}\n".encode(), backup=False)
    return identity
