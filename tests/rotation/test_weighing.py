"""Audit logs on the scales, a use at a time: at which moment somebody counts as outdated, and why."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pkigen.desired.inventory import derive
from pkigen.rotation.audit_log import AuditLog, CredentialUse
from pkigen.rotation.evidence import Evidence, weigh
from pkigen.state.ledger import Event, LedgerEntry, appended
from tests.rotation.phases import NOW
from tests.samples import CP1, W1, spec

INVENTORY = derive(spec(CP1, W1, users=[{"name": "dev1"}]))
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
PROMOTED = NOW - timedelta(days=3)
OLD, NEW, OTHER, STRANGE = (digit * 64 for digit in "abcd")
"""Of certificates of before and after the promotion, and of one that the ledger does not know."""
LATE = "it was used within the last day of the log"
UNREPLACED = "no certificate of the present CA has taken its place"
SHORT = "the log does not reach back before the promotion, so nobody knows which CA has signed it"


def line(event: Event, identifier: str, **facts: str) -> LedgerEntry:
    return LedgerEntry(event=event, id=identifier, reason=None, facts=dict(facts))


def made_ledger(*, is_promoted: bool = True) -> bytes:
    old = line(Event.ISSUED, "user:dev1", fingerprint=f"sha256:{OLD}")
    ledger, _ = appended(b"", [old, line(Event.ISSUED, "sa")], now=PROMOTED - SECOND)
    if is_promoted:
        ledger, _ = appended(ledger, [line(Event.ROTATED, "ca", step="promote")], now=PROMOTED)
    new = [
        line(Event.ISSUED, "user:dev1", fingerprint=f"sha256:{NEW}"),
        line(Event.SIGNED, "guest", fingerprint=f"sha256:{OTHER}"),
    ]
    ledger, _ = appended(ledger, new, now=PROMOTED)
    return ledger


LEDGER = made_ledger()


def weighed(
    *uses: tuple[str, str, timedelta, timedelta],
    begins: timedelta = -HOUR,
    ends: timedelta = 3 * 24 * HOUR,
    ledger: bytes = LEDGER,
) -> Evidence:
    """What a log says: who used which certificate from when to when, counted from the promotion."""
    log = AuditLog()
    for name, fingerprint, first, last in (("frame", OTHER, begins, ends), *uses):
        log.uses[name, fingerprint] = CredentialUse(
            username=name, fingerprint=fingerprint, first=PROMOTED + first, last=PROMOTED + last, count=2
        )
    found = weigh(log, ledger, INVENTORY, identifier="ca", now=NOW)
    assert found is not None
    assert found.certificates == len(log.uses)
    return found


def told(evidence: Evidence) -> list[tuple[str, str]]:
    return [(each.username, each.why) for each in evidence.outdated]


def test_a_log_without_uses_is_not_weighed() -> None:
    assert weigh(AuditLog(), LEDGER, INVENTORY, identifier="ca", now=NOW) is None


@pytest.mark.parametrize(
    ("begins", "ends", "gap"),
    [
        (-HOUR, 72 * HOUR, None),
        (-HOUR, 48 * HOUR, None),
        (-HOUR, 48 * HOUR - SECOND, "the audit log ends at 2026-11-21 02:59 UTC, more than a day ago"),
        (48 * HOUR, 72 * HOUR, None),
        (48 * HOUR + SECOND, 72 * HOUR, "the audit log covers less than a day since the promotion"),
    ],
)
def test_a_log_reaches_over_a_day_up_to_the_last(begins: timedelta, ends: timedelta, gap: str | None) -> None:
    found = weighed(begins=begins, ends=ends)
    assert (found.gap, found.obstacle, found.outdated) == (gap, gap, ())
    assert (found.begins, found.ends) == (PROMOTED + begins, PROMOTED + ends)


def test_what_was_used_before_the_promotion_does_not_count_as_a_day_since() -> None:
    recent, _ = appended(LEDGER, [line(Event.ROTATED, "ca", step="promote")], now=NOW - HOUR)
    assert weighed(ledger=recent).gap == "the audit log covers less than a day since the promotion"


def test_without_a_promotion_in_the_ledger_nothing_is_known() -> None:
    found = weighed(("dev1", OLD, HOUR, 70 * HOUR), ledger=made_ledger(is_promoted=False))
    assert (found.obstacle, found.outdated) == ("the ledger does not say when the CA was promoted", ())


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (-SECOND, None),
        (timedelta(), UNREPLACED),
        (48 * HOUR, UNREPLACED),
        (48 * HOUR + SECOND, LATE),
        (72 * HOUR, LATE),
    ],
)
def test_from_the_promotion_on_the_old_certificate_counts(last: timedelta, why: str | None) -> None:
    found = weighed(("dev1", OLD, -HOUR, last))
    assert told(found) == ([("dev1", why)] if why else [])


@pytest.mark.parametrize(
    ("new", "why"), [(2 * HOUR, UNREPLACED), (2 * HOUR - SECOND, UNREPLACED), (2 * HOUR + SECOND, None)]
)
def test_a_certificate_is_given_up_once_another_is_used_later(new: timedelta, why: str | None) -> None:
    found = weighed(("dev1", OLD, -HOUR, 2 * HOUR), ("dev1", NEW, HOUR, new))
    assert told(found) == ([("dev1", why)] if why else [])
    # That of somebody else takes nobody's place.
    apart = weighed(("dev1", OLD, -HOUR, 2 * HOUR), ("dev2", NEW, HOUR, new))
    assert told(apart) == [("dev1", UNREPLACED)]


@pytest.mark.parametrize(
    ("begins", "first", "why"),
    [
        (-HOUR, timedelta(), None),
        (-HOUR, -SECOND, LATE),
        (-HOUR + SECOND, timedelta(), SHORT),
        (-HOUR + SECOND, -SECOND, LATE),
        (HOUR, 2 * HOUR, SHORT),
    ],
)
def test_what_the_ledger_does_not_know_is_judged_by_its_first_use(
    begins: timedelta, first: timedelta, why: str | None
) -> None:
    found = weighed(("node", STRANGE, first, 70 * HOUR), begins=begins)
    assert told(found) == ([("node", why)] if why else [])


def test_what_the_ledger_knows_needs_no_log_of_before() -> None:
    found = weighed(("dev1", OLD, HOUR, 70 * HOUR), ("dev2", NEW, HOUR, 70 * HOUR), begins=timedelta())
    assert told(found) == [("dev1", LATE)]


def test_a_use_that_does_not_count_hides_no_later_one() -> None:
    found = weighed(
        ("dev1", NEW, HOUR, 2 * HOUR), ("dev1", STRANGE, -HOUR, -SECOND), ("dev1", OLD, -HOUR, 70 * HOUR)
    )
    assert told(found) == [("dev1", LATE)]


def test_who_is_told_and_in_which_order() -> None:
    found = weighed(
        ("a", STRANGE, -HOUR, 69 * HOUR), ("b", OLD, -HOUR, 70 * HOUR), ("c", STRANGE, -HOUR, 69 * HOUR)
    )
    assert [each.username for each in found.outdated] == ["b", "c", "a"]
    first, second, _ = found.outdated
    assert (first.id, first.file, first.count) == ("user:dev1", "users/dev1.conf", 2)
    assert f"{first}" == (
        f"b with certificate {OLD[:16]} (users/dev1.conf): 2 requests, the last 2026-11-22 01:00 UTC; {LATE}"
    )
    assert (second.id, second.file) == (None, None)
    assert f"{second}".startswith(
        f"c with certificate {STRANGE[:16]}, which the ledger does not know: 2 requests"
    )
    assert found.obstacle == f"the previous CA is still in use: {first} (and 2 more)"


def test_one_alone_is_told_without_a_number() -> None:
    use = ("dev1", OLD, -HOUR, 70 * HOUR)
    found = weighed(use)
    assert found.obstacle == f"the previous CA is still in use: {found.outdated[0]}"
    found = weighed(use, ("node", STRANGE, -HOUR, 70 * HOUR))
    assert found.obstacle == f"the previous CA is still in use: {found.outdated[0]} (and 1 more)"


def test_a_certificate_that_is_in_no_file_any_more_is_told_by_its_id() -> None:
    gone, _ = appended(
        LEDGER, [line(Event.ISSUED, "user:gone", fingerprint=f"sha256:{STRANGE}")], now=PROMOTED - HOUR
    )
    found = weighed(("gone", STRANGE, -HOUR, 70 * HOUR), ledger=gone)
    assert f" {STRANGE[:16]} (user:gone): 2 requests" in f"{found.outdated[0]}"


def test_lines_without_a_fingerprint_or_a_moment_say_nothing() -> None:
    mark = STRANGE.encode()
    damaged = (
        LEDGER
        + b'{"event": "issued", "id": "x", "time": "yesterday", "fingerprint": "sha256:%s"}\n' % mark
        + b'{"event": "issued", "id": "y", "time": "2026-11-20T03:00:00Z"}\n'
    )
    found = weighed(("node", STRANGE, -HOUR, 70 * HOUR), ("none", "", -HOUR, 70 * HOUR), ledger=damaged)
    assert {(each.username, each.id) for each in found.outdated} == {("node", None), ("none", None)}
