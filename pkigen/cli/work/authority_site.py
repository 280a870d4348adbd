"""The work of `pkigen airgap authority accept`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.airgap.offline.acceptance import RefusedAnswerError, delivery_of, put_successors
from pkigen.airgap.offline.generations import successors
from pkigen.cli.console import agreed, note, say_line
from pkigen.cli.offline import note_refused
from pkigen.cli.session import Session
from pkigen.errors import PkigenError
from pkigen.notation import dir_option
from pkigen.rotation.phases import COMMANDS

if TYPE_CHECKING:
    from pkigen.airgap.carrier.requests import AnswerSet
    from pkigen.airgap.offline.pending import PendingAnswer
    from pkigen.reconcile.source import Delivery
    from pkigen.store import Store


def delivered(
    session: Session, store: Store, pending: PendingAnswer, answer: AnswerSet, trusted: str
) -> Delivery:
    """What an answer brings, checked; every fault of it is said."""
    try:
        return delivery_of(
            answer, pending, inventory=session.inventory, reader=store, now=session.now, pin=trusted
        )
    except RefusedAnswerError as refusal:
        note_refused(refusal.faults)
        raise


def add_successors(session: Session, store: Store, delivery: Delivery, *, yes: bool) -> None:
    """Put successors of CAs beside the present ones, once that is agreed to.

    Raises:
        PkigenError: It is not.
    """
    for identifier in delivery.certificates:
        say_line(f"+ create {identifier} (rotation)")
    if not yes and not agreed("add these beside the present CAs?"):
        raise PkigenError("not accepted", hint="nothing was changed")
    put_successors(delivery, session.inventory, store, now=session.now)
    say_line(f"accepted: {len(delivery.certificates)} successors in {session.root}; nothing trusts them yet")
    for identifier in successors(delivery.certificates):
        note(f"next: `pkigen rotate {COMMANDS[identifier]} {dir_option(session.root)}` prepares the rotation")
