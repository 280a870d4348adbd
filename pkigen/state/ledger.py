"""The append-only record of what was issued and removed: one JSON object a line, each chained to the last.

`previous` is the SHA-256 of the preceding line without its line feed; the first line has 64 zeros. `pki.lock`
holds the number of lines and the last line's hash, so that a truncated ledger shows too.
"""

from __future__ import annotations

import enum
import hashlib
import json
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pkigen import __version__, layout
from pkigen.notation import timestamp
from pkigen.records import dataclass
from pkigen.store import MissingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pkigen.state.observed import Reader
    from pkigen.state.reasons import Reason

_FIRST = "0" * 64
# In bytes, a few million lines; the ledger is read whole.
LARGEST_LEDGER = 1 << 30
# What every line has; the facts beside it are each event's own.
_REQUIRED = ("sequence", "previous", "time", "event", "id")


class Event(enum.StrEnum):
    """What a line records."""

    ISSUED = "issued"
    ADOPTED = "adopted"
    """Another maker has issued it; it was taken over as it was."""
    KEY_MADE = "key-made"
    SIGNED = "signed"
    SEALED = "sealed"
    DELIVERED = "delivered"
    ASKED = "asked"
    ANSWERED = "answered"
    REMOVED = "removed"
    SUPERSEDED = "superseded"
    """The cluster may hold an object of the addons that is not what it should be from now on."""
    APPLIED = "applied"
    """Somebody said that the cluster has got everything until now."""
    RESTORED = "restored"
    ROTATED = "rotated"
    APPROVED = "approved"
    MISMATCH = "mismatch"
    REVOKED = "revoked"
    """API servers refuse the credential from now on; the line's id is that of the credential."""
    UNREVOKED = "unrevoked"
    AGREED = "agreed"
    """A saved plan was carried out; it stands by its digest before what it did."""
    RECORDED = "recorded"
    """What the lock file says from now on, and which keys the authority has."""


CERTIFYING = (Event.SIGNED, Event.DELIVERED, Event.ADOPTED, Event.ISSUED)
"""The events that tell of a certificate, those that may be people's first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One line to be: which object, what happened and why; never a key.

    `facts` are JSON values in the order in which they are written.
    """

    event: Event
    id: str
    reason: Reason | None
    facts: dict[str, str | int | list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a ledger ends."""

    entries: int
    hash: str


EMPTY = Head(entries=0, hash=_FIRST)


def appended(existing: bytes, entries: Iterable[LedgerEntry], *, now: datetime) -> tuple[bytes, Head]:
    """The ledger with new lines, and its new head."""
    head = head_of(existing)
    # A line that was cut off stays as it is, for `problems` to find; it must not swallow the next one.
    lines = [existing if not existing or existing.endswith(b"\n") else existing + b"\n"]
    sequence, previous = head.entries, head.hash
    time = timestamp(now)
    for entry in entries:
        sequence += 1
        line = json.dumps(
            {
                "sequence": sequence,
                "previous": previous,
                "time": time,
                "event": entry.event,
                "id": entry.id,
                **({"reason": entry.reason} if entry.reason else {}),
                **entry.facts,
                "pkigen": __version__,
            },
            # No reader's encoding can change the bytes that the next line's hash is over.
            ensure_ascii=True,
        ).encode()
        previous = hashlib.sha256(line).hexdigest()
        lines.append(line + b"\n")
    return b"".join(lines), Head(entries=sequence, hash=previous)


def read_ledger(reader: Reader) -> bytes:
    """The ledger of a PKI directory; empty where there is none yet.

    Raises:
        UnreadableError: Something else stands in its place.
    """
    try:
        return reader.read(layout.LEDGER_FILE, limit=LARGEST_LEDGER).data
    except MissingError:
        return b""


def lines_of(ledger: bytes, event: Event, *, newest_first: bool = False) -> Iterator[dict[str, Any]]:
    """What the lines of one kind say, as far as they can be read; `problems` tells of the others.

    Args:
        ledger: Its bytes.
        event: Which lines.
        newest_first: From the end of the ledger to its beginning.
    """
    lines = ledger.split(b"\n")
    mark = json.dumps(event).encode()  # few lines of a long ledger have to be parsed
    marked = (line for line in (reversed(lines) if newest_first else lines) if mark in line)
    yield from (
        entry for entry in map(_entry_of, marked) if entry is not None and entry.get("event") == event
    )


def newest_lines(ledger: bytes) -> Iterator[dict[str, Any]]:
    """What all lines say, the last one first, as far as they can be read."""
    yield from (entry for entry in map(_entry_of, reversed(ledger.split(b"\n"))) if entry is not None)


def _entry_of(line: bytes) -> dict[str, Any] | None:
    """What a line says; None where it cannot be read."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def promoted_at(ledger: bytes, identifier: str) -> datetime | None:
    """When the last promotion of a key or CA was recorded; None where the ledger does not say."""
    for entry in _steps(ledger, identifier):
        moment = moment_of(entry) if entry["step"] == "promote" else None
        if moment is not None:
            return moment
    return None


def moment_of(entry: dict[str, Any]) -> datetime | None:
    """When a line was written; None where that cannot be read."""
    with suppress(ValueError, KeyError, TypeError):
        return datetime.fromisoformat(entry["time"])
    return None


def last_step(ledger: bytes, identifier: str) -> str | None:
    """The step that a rotation took last; None where the ledger knows of none."""
    return next((str(entry["step"]) for entry in _steps(ledger, identifier)), None)


def promoted_and_back(ledger: bytes, identifier: str) -> bool:
    """Whether the generation that is prepared now has been promoted before, and was rolled back."""
    # Rollbacks are passed over: before them stands the step that they took back.
    steps = (entry["step"] for entry in _steps(ledger, identifier))
    return next((step for step in steps if step != "rollback"), None) == "promote"


def _steps(ledger: bytes, identifier: str) -> Iterator[dict[str, Any]]:
    """The steps of one rotation after the other, the last one first."""
    for entry in lines_of(ledger, Event.ROTATED, newest_first=True):
        if entry.get("id") == identifier and "step" in entry:
            yield entry


def agreed_entry(digest: str) -> LedgerEntry:
    """The line that says which saved plan a change carries out."""
    return LedgerEntry(event=Event.AGREED, id="plan", reason=None, facts={"digest": digest})


def agreed_at(ledger: bytes, digest: str) -> datetime | None:
    """When a saved plan was carried out; None where the ledger does not say that it was."""
    found = (entry for entry in lines_of(ledger, Event.AGREED, newest_first=True))
    return next((moment_of(entry) for entry in found if entry.get("digest") == digest), None)


def recorded_entry(lock: str, authority: Mapping[str, str]) -> LedgerEntry:
    """The line that records a lock file, by its digest, and the identity of each of the authority's keys."""
    keys = [f"{path}={identity}" for path, identity in authority.items()]
    return LedgerEntry(
        event=Event.RECORDED, id=layout.LOCK_FILE, reason=None, facts={"lock": lock, "authority": keys}
    )


def recorded_authorities(ledger: bytes) -> tuple[dict[str, str], ...]:
    """The authority's keys as they were recorded, one time after the other."""
    return tuple(_recorded_keys(entry) for entry in lines_of(ledger, Event.RECORDED))


def recorded_lock(ledger: bytes) -> str | None:
    """The digest of the lock file that was written last; None where the ledger does not say."""
    entry = next(lines_of(ledger, Event.RECORDED, newest_first=True), None)
    return str(entry.get("lock")) if entry is not None else None


def _recorded_keys(entry: dict[str, Any]) -> dict[str, str]:
    """The keys of one record by path; nothing where the line has none that can be read."""
    keys = entry.get("authority")
    pairs = (str(each).partition("=") for each in (keys if isinstance(keys, list) else ()))
    return {path: identity for path, _, identity in pairs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """The last request of a node that was approved: which it was, when the node made it, and who it was.

    `signer` is the fingerprint of the key that it was signed with, `recipient` the age key that it named.
    """

    node: str
    nonce: str
    created: str
    signer: str
    recipient: str

    def entry(self) -> LedgerEntry:
        """The line that records it."""
        facts: dict[str, str | int | list[str]] = {
            "nonce": self.nonce,
            "created": self.created,
            "signer": self.signer,
            "recipient": self.recipient,
        }
        return LedgerEntry(event=Event.APPROVED, id=self.node, reason=None, facts=facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """The approved requests: the last one of each node, and each by its number, which no other may have."""

    last: Mapping[str, Approval]
    numbered: Mapping[str, Approval]


def approvals(ledger: bytes) -> Approvals:
    """What was approved until now."""
    found: list[Approval] = []
    for entry in lines_of(ledger, Event.APPROVED):
        # An entry of another form was not written by `Approval.entry`, and approves nothing.
        with suppress(KeyError):
            facts = {key: str(entry[key]) for key in ("nonce", "created", "signer", "recipient")}
            found.append(Approval(node=str(entry["id"]), **facts))
    return Approvals(last={each.node: each for each in found}, numbered={each.nonce: each for each in found})


def head_of(ledger: bytes) -> Head:
    """The number of lines and the hash of the last one."""
    if not ledger:
        return EMPTY
    lines = ledger.removesuffix(b"\n").split(b"\n")
    return Head(entries=len(lines), hash=hashlib.sha256(lines[-1]).hexdigest())


def head_at(ledger: bytes, entries: int) -> Head:
    """Where a ledger ended when it had this many lines; where it has fewer, its present end."""
    if entries <= 0:
        return EMPTY
    position = -1
    for _ in range(entries):
        position = ledger.find(b"\n", position + 1)
        # Shorter than the lock file says: its present end differs from what is expected there.
        if position < 0:
            return head_of(ledger)
    return head_of(ledger[: position + 1])


def problems(ledger: bytes, *, head: Head | None = None) -> Iterator[str]:
    """Every way in which a ledger is not the unbroken record that pkigen wrote, by line.

    Args:
        ledger: Its bytes.
        head: Where `pki.lock` says that it ends; None where there is no lock file.
    """
    previous = _FIRST
    lines = ledger.removesuffix(b"\n").split(b"\n") if ledger else []
    if ledger and not ledger.endswith(b"\n"):
        yield f"line {len(lines)}: is cut off"
    # It goes on from what is there, so that a changed line is told of where it is, and
    # not again in every line after it.
    for number, line in enumerate(lines, start=1):
        fault = _fault(line, number, previous)
        if fault is not None:
            yield f"line {number}: {fault}"
        previous = hashlib.sha256(line).hexdigest()
    if head is not None and head != head_of(ledger):
        yield (
            f"ends after {len(lines)} lines with {previous[:16]}, but pki.lock says {head.entries} lines "
            f"and {head.hash[:16]}: lines were added or removed"
        )


def mismatch(ledger: bytes, head: Head) -> LedgerEntry | None:
    """The line that says for good that the ledger before it is another than `pki.lock` knew, if it is."""
    found = head_of(ledger)
    if found == head:
        return None
    return LedgerEntry(
        event=Event.MISMATCH,
        id="ledger",
        reason=None,
        facts={"expectedEntries": head.entries, "expectedHead": head.hash},
    )


def mismatches(ledger: bytes) -> Iterator[str]:
    """Every place in a ledger at which lines are known to have been added or taken away before it."""
    for number, line in enumerate(ledger.splitlines(), start=1):
        # By its text: the line has been written by `appended`, in this one form.
        if b'"event": "mismatch"' in line:
            yield f"line {number} records that the lines before it were not those that pki.lock knew"


def _fault(line: bytes, number: int, previous: str) -> str | None:
    """Why a line is not the one that pkigen wrote after the line before; its own content is not looked at."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return "is not JSON"
    if not isinstance(content, dict) or any(key not in content for key in _REQUIRED):
        return "is not a ledger entry"
    if content["sequence"] != number:
        # The chain would tell, too; the number says which kind of change it was.
        return f"has sequence {content['sequence']!r}: lines were removed or moved"
    if content["previous"] != previous:
        return "does not follow from the line before it: one of the two was changed"
    return None
