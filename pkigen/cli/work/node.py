"""The work of `pkigen airgap node identity` and `request`."""

from __future__ import annotations

from pathlib import Path

from pkigen.airgap.carrier.paths import IDENTITY, PENDING
from pkigen.airgap.enrolment.identity import identity_of, stage_identity
from pkigen.airgap.enrolment.request import Asked
from pkigen.cli.console import note, say, say_line, width
from pkigen.cli.host import changing, looking
from pkigen.cli.reports.node_listing import listed
from pkigen.cli.system import System
from pkigen.crypto.age import Identity
from pkigen.desired.inventory import Inventory
from pkigen.errors import PkigenError, UsageError
from pkigen.notation import quoted, timestamp


def shown_identity(system: System, root: Path) -> Identity:
    """The key that this node has.

    Raises:
        UsageError: It has none.
    """
    with looking(system, root) as store:
        found = identity_of(store)
    if found is None:
        raise UsageError(f"{root / IDENTITY} does not exist", hint="`pkigen airgap node identity` makes it")
    return found


def made_identity(system: System, root: Path) -> Identity:
    """A new key, kept at this node.

    Raises:
        PkigenError: It has one.
    """
    with changing(system, root, "airgap node identity") as store:
        if store.recovered is not None:
            note(f"note: {store.recovered}")
        if identity_of(store) is not None:
            raise PkigenError(
                f"{root / IDENTITY} exists: a new key could not open what was sealed to it",
                hint="show its recipient with --show; to make a new key, move it away",
            )
        # A transaction for one file, too: the mode is set before its content, and it is on disk before it is
        # printed.
        with store.transaction() as transaction:
            made = stage_identity(transaction)
            transaction.commit()
    note("next: put this line into the node's ageRecipient in the authority's spec")
    return made


def say_request(asked: Asked, inventory: Inventory, name: str, *, file: Path, root: Path) -> None:
    """Say what is requested, and where the file goes."""
    requested = (inventory.certificates[identifier] for identifier, _ in asked.requests.requests)
    say(listed(requested, width=width()))
    if not asked.is_new:
        note(f"note: this is the pending request of {timestamp(asked.requests.created)}")
    say_line(f"{file}: {len(asked.requests.requests)} requests; the private keys stay in {root / PENDING}")
    say_line(f"signed by {name}'s request key {asked.signer}")
    note(
        "next: carry the file to the authority; give it the fingerprint by another channel "
        "(telephone, paper);"
    )
    note(f"      there: `pkigen airgap node approve {quoted(file.name)} --pin {asked.signer} --out MEDIUM`")
