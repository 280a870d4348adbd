"""Certificates for keys that pkigen has never had: which lines of the ledger tell of one that still works."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pkigen.crypto.names import Subject
from pkigen.state.ledger import Event, LedgerEntry, appended
from pkigen.state.signed_certificates import BY_CLUSTER, REQUEST, SignedCertificate, signed_certificates
from tests.rotation.phases import Photograph

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SIGNED: dict[str, str] = {
    "subject": "CN=ann,O=dev",
    "serial": "7f",
    "fingerprint": "sha256:1",
    "notAfter": (NOW + HOUR).isoformat(),
}
ANNS = SignedCertificate(
    subject=Subject(common_name="ann", organizations=("dev",)),
    serial="7f",
    fingerprint="sha256:1",
    expires=NOW + HOUR,
    signer=None,
)


def line(identifier: str = "request:ann", event: Event = Event.SIGNED, **facts: str) -> LedgerEntry:
    return LedgerEntry(event=event, id=identifier, reason=None, facts={**SIGNED, **facts})


def until(hours: int, **facts: str) -> LedgerEntry:
    return line(notAfter=(NOW + hours * HOUR).isoformat(), **facts)


def found(*entries: LedgerEntry) -> tuple[SignedCertificate, ...]:
    ledger = appended(b"", entries, now=NOW)[0]
    return signed_certificates(Photograph({".pkigen/ledger.jsonl": ledger}), now=NOW)


def test_a_line_tells_whose_it_is_and_how_long_it_works() -> None:
    assert found(line()) == (ANNS,)
    assert ANNS.user == "ann"
    assert signed_certificates(Photograph({}), now=NOW) == ()


def test_the_names_in_the_ledger_are_those_that_earlier_ones_have() -> None:
    assert (REQUEST, BY_CLUSTER) == ("request:", "signer")


def test_the_cluster_may_have_signed_it() -> None:
    (each,) = found(line(signer="kubernetes.io/kube-apiserver-client"))
    assert each.signer == "kubernetes.io/kube-apiserver-client"


def test_moments_are_told_in_utc() -> None:
    (each,) = found(line(notAfter="2026-11-22T06:00:00+02:00"))
    assert each.expires.isoformat() == "2026-11-22T04:00:00+00:00"


def test_what_has_expired_works_no_more() -> None:
    assert found(until(0), until(-1, fingerprint="sha256:2")) == ()


def test_what_is_recorded_twice_is_one_certificate_as_it_was_recorded_last() -> None:
    (each,) = found(line(), line(signer="cluster"))
    assert each.signer == "cluster"


@pytest.mark.parametrize(
    "other",
    [
        line("token:ann", fingerprint="sha256:2"),
        line("the request:ann", fingerprint="sha256:2"),
        line(event=Event.ISSUED, fingerprint="sha256:2"),
        line(subject="ann", fingerprint="sha256:2"),
        line(notAfter="tomorrow", fingerprint="sha256:2"),
        LedgerEntry(event=Event.SIGNED, id="request:ann", reason=None, facts={"subject": "CN=ann"}),
        LedgerEntry(event=Event.SIGNED, id="request:ann", reason=None, facts={**SIGNED, "notAfter": 5}),
    ],
)
def test_what_is_no_such_certificate_is_passed_over(other: LedgerEntry) -> None:
    assert found(other, until(1)) == (ANNS,)


def test_they_come_by_user_and_the_one_that_works_longest_first() -> None:
    entries = (
        until(3, subject="CN=bob", fingerprint="sha256:5"),
        until(1, fingerprint="sha256:4"),
        until(2, fingerprint="sha256:3"),
        until(1, fingerprint="sha256:2"),
    )
    assert [(each.user, each.fingerprint[-1]) for each in found(*entries)] == [
        ("ann", "3"),
        ("ann", "2"),
        ("ann", "4"),
        ("bob", "5"),
    ]
