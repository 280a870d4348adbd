"""Which credentials are refused: what the ledger says last of each, and what only the lock file knows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from pkigen.desired.revocations import CredentialId, Revocation, RevocationList
from pkigen.state.ledger import Event, LedgerEntry, appended
from pkigen.state.revocations import lifted_entry, recorded, revocations, revoked_entry
from tests.rotation.phases import Photograph
from tests.state.test_lockfile import lock_with

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)
LEDGER = ".pkigen/ledger.jsonl"


def revocation(name: str = "a", *, days: int | None = 1, reason: str = "stolen") -> Revocation:
    return Revocation(
        credential=CredentialId.parse(f"JTI={name}"),
        of="user:dev1",
        reason=reason,
        revoked=NOW,
        expires=None if days is None else NOW + days * DAY,
    )


def written(*entries: LedgerEntry) -> bytes:
    return appended(b"", entries, now=NOW)[0]


def listed(*entries: LedgerEntry, lock: tuple[Revocation, ...] | None = None) -> RevocationList:
    known = None
    if lock is not None:
        known = lock_with(revoked={str(each.credential): each.facts for each in lock})
    return revocations(Photograph({LEDGER: written(*entries)}), known, now=NOW)


def changed(ledger: bytes, *facts: dict[str, object]) -> bytes:
    """A ledger with other facts in its first lines."""
    lines = [json.loads(line) for line in ledger.splitlines()]
    for line, other in zip(lines, facts, strict=False):
        line.update(other)
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.mark.parametrize("days", [1, None])
def test_a_revocation_reads_back_from_the_line_that_it_writes(days: int | None) -> None:
    each = revocation(days=days)
    assert revoked_entry(each) == LedgerEntry(event=Event.REVOKED, id="JTI=a", reason=None, facts=each.facts)
    assert recorded(written(revoked_entry(each))) == {"JTI=a": each}


def test_a_lifting_says_whose_credential_it_was() -> None:
    entry = LedgerEntry(event=Event.UNREVOKED, id="JTI=a", reason=None, facts={"of": "user:dev1"})
    assert lifted_entry(revocation()) == entry
    assert recorded(written(entry)) == {"JTI=a": None}


def test_what_the_ledger_says_last_of_each_counts() -> None:
    first, second, again = revocation(), revocation("b"), revocation(reason="lost")
    entries = (revoked_entry(first), revoked_entry(second), lifted_entry(first))
    assert recorded(written(*entries)) == {"JTI=a": None, "JTI=b": second}
    assert recorded(written(*entries, revoked_entry(again))) == {"JTI=a": again, "JTI=b": second}


def test_a_damaged_line_takes_no_other_with_it() -> None:
    first, second = revocation(), revocation("b")
    ledger = written(revoked_entry(first), revoked_entry(second))
    assert recorded(changed(ledger, {"reason": 5})) == {"JTI=b": second}
    assert recorded(changed(ledger, {"id": "nobody"})) == {"JTI=b": second}


def test_a_lifting_without_its_number_lifts_nothing_that_was_numbered() -> None:
    ledger = written(revoked_entry(revocation()), lifted_entry(revocation()))
    for number in ("3", None):
        assert recorded(changed(ledger, {}, {"sequence": number})) == {"JTI=a": revocation()}


def test_what_either_record_knows_is_refused() -> None:
    first, second = revocation(), revocation("b")
    assert listed() == listed(lock=()) == RevocationList()
    assert listed(revoked_entry(first)) == RevocationList(active=(first,))
    assert listed(lock=(second,)) == RevocationList(active=(second,))
    assert listed(revoked_entry(first), lock=(first, second)) == RevocationList(active=(first, second))


def test_the_ledger_has_the_word_where_both_speak() -> None:
    known, told = revocation(reason="lost"), revocation()
    assert listed(revoked_entry(known), lock=(told,)) == RevocationList(active=(known,))
    assert listed(revoked_entry(known), lifted_entry(known), lock=(told,)) == RevocationList()


def test_what_has_expired_by_now_is_kept_apart() -> None:
    ended, lasting = revocation(days=-1), revocation("b", days=None)
    found = listed(revoked_entry(ended), revoked_entry(lasting))
    assert found == RevocationList(active=(lasting,), over=(ended,))
