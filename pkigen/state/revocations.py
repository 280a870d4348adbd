"""Which credentials are revoked, by what the ledger and the lock file record.

The ledger counts: it is only ever added to, so that neither a rollback nor a lost lock file lets somebody in
again. What only the lock file knows counts too, in case the ledger was lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pkigen.desired.revocations import Revocation, RevocationList
from pkigen.state.ledger import Event, LedgerEntry, lines_of, read_ledger

if TYPE_CHECKING:
    from datetime import datetime

    from pkigen.state.lockfile import Lock
    from pkigen.state.observed import Reader


def revoked_entry(revocation: Revocation) -> LedgerEntry:
    """The line that says that a credential is refused from now on."""
    facts: dict[str, str | int | list[str]] = {**revocation.facts}
    return LedgerEntry(event=Event.REVOKED, id=str(revocation.credential), reason=None, facts=facts)


def lifted_entry(revocation: Revocation) -> LedgerEntry:
    """The line that says that it is not any more."""
    return LedgerEntry(
        event=Event.UNREVOKED, id=str(revocation.credential), reason=None, facts={"of": revocation.of}
    )


def recorded(ledger: bytes) -> dict[str, Revocation | None]:
    """What the ledger says of every credential that was ever revoked; None where that was lifted."""
    lines = [*lines_of(ledger, Event.REVOKED), *lines_of(ledger, Event.UNREVOKED)]
    found: dict[str, Revocation | None] = {}
    # As they were written: of a revocation and its lifting the later one counts.
    for line in sorted(lines, key=_number):
        credential = str(line.get("id"))
        try:
            found[credential] = (
                None if line["event"] == Event.UNREVOKED else Revocation.read(credential, line)
            )
        except ValueError:
            continue  # `ledger.problems` tells of lines that were changed
    return found


def _number(line: dict[str, Any]) -> int:
    number = line.get("sequence")
    return number if isinstance(number, int) else 0


def revocations(reader: Reader, lock: Lock | None, *, now: datetime) -> RevocationList:
    """What is revoked by both records together."""
    known = recorded(read_ledger(reader))
    listed = lock.revoked if lock is not None else ()
    return RevocationList.of(
        (
            *(each for each in known.values() if each is not None),
            *(each for each in listed if str(each.credential) not in known),
        ),
        now=now,
    )
