"""What one event of an audit log adds to what is known of a certificate's use, and what is no event."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pkigen.errors import UsageError
from pkigen.rotation.audit_log import CREDENTIAL_ID, LONGEST_EVENT, AuditLog, CredentialUse

MOMENT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FIRST, SECOND = "0" * 64, "ab" * 32


def event(moment: object = MOMENT, *ids: object, name: object = "ann", **more: Any) -> bytes:
    credentials = list(ids) or [f"X509SHA256={FIRST}"]
    content = {
        "apiVersion": "audit.k8s.io/v1",
        "requestReceivedTimestamp": moment.isoformat() if isinstance(moment, datetime) else moment,
        "user": {"username": name, "extra": {CREDENTIAL_ID: credentials}},
    }
    return json.dumps({**content, **more}).encode()


def read(*lines: bytes) -> AuditLog:
    log = AuditLog()
    log.read(lines, "log")
    return log


def use(
    first: datetime, last: datetime, count: int, fingerprint: str = FIRST, name: str = "ann"
) -> CredentialUse:
    return CredentialUse(username=name, fingerprint=fingerprint, first=first, last=last, count=count)


def refusal(*lines: bytes) -> str:
    with pytest.raises(UsageError) as refused:
        read(*lines)
    assert "give the audit log of an API server (--audit-log-path)" in refused.value.hint
    return refused.value.message


def test_the_names_are_those_of_the_api_server() -> None:
    assert CREDENTIAL_ID == "authentication.kubernetes.io/credential-id"
    assert LONGEST_EVENT == 16 * 1024 * 1024


def test_events_come_in_no_order() -> None:
    log = read(event(MOMENT), event(MOMENT - MINUTE), event(MOMENT + MINUTE), event(MOMENT))
    assert log.uses == {("ann", FIRST): use(MOMENT - MINUTE, MOMENT + MINUTE, 4)}
    assert (log.begins, log.ends) == (MOMENT - MINUTE, MOMENT + MINUTE)


def test_each_user_and_each_certificate_counts_by_itself() -> None:
    log = read(
        event(MOMENT),
        event(MOMENT + MINUTE, f"X509SHA256={SECOND}"),
        event(MOMENT + 2 * MINUTE, f"X509SHA256={SECOND}", name="bob"),
    )
    assert list(log.uses.values()) == [
        use(MOMENT, MOMENT, 1),
        use(MOMENT + MINUTE, MOMENT + MINUTE, 1, SECOND),
        use(MOMENT + 2 * MINUTE, MOMENT + 2 * MINUTE, 1, SECOND, "bob"),
    ]
    assert (log.begins, log.ends) == (MOMENT, MOMENT + 2 * MINUTE)


def test_several_logs_are_one() -> None:
    log = read(event(MOMENT))
    log.read([event(MOMENT + MINUTE)], "other")
    assert log.uses == {("ann", FIRST): use(MOMENT, MOMENT + MINUTE, 2)}


def test_an_event_may_have_several_ids() -> None:
    log = read(event(MOMENT, 7, f"X509SHA256={SECOND}", "JTI=a", f"X509SHA256={FIRST}"))
    assert [fingerprint for _, fingerprint in log.uses] == [SECOND, FIRST]


def test_moments_are_told_in_utc() -> None:
    log = read(event("2026-11-22T05:00:00+02:00"))
    assert log.begins == MOMENT
    assert log.begins.tzinfo is UTC


@pytest.mark.parametrize(
    "line",
    [
        event(MOMENT, "JTI=a"),
        event(MOMENT, f"X509SHA256={SECOND}z"),
        event(MOMENT, f"x509sha256={SECOND}"),
        event(None, "JTI=a"),
        event(None, f"X509SHA256={SECOND}z"),
        event(MOMENT, user=None, note=f"X509SHA256={FIRST}"),
        event(MOMENT, user={"username": "ann"}, note=f"X509SHA256={FIRST}"),
        event(MOMENT, user={"extra": [f"X509SHA256={FIRST}"]}),
        event(MOMENT, user={"extra": {CREDENTIAL_ID: f"X509SHA256={FIRST}"}}),
        event(MOMENT, user={"extra": {"other": [f"X509SHA256={FIRST}"]}}),
        b" \t",
    ],
)
def test_who_came_without_a_certificate_is_not_counted(line: bytes) -> None:
    assert read(line).uses == {}


def test_a_user_without_a_name_has_an_empty_one() -> None:
    assert list(read(event(MOMENT, user={"extra": {CREDENTIAL_ID: [f"X509SHA256={FIRST}"]}})).uses) == [
        ("", FIRST)
    ]


@pytest.mark.parametrize("moment", [None, 5, "soon", "2026-11-22T03:00:00"])
def test_a_certificate_without_a_moment_is_refused(moment: object) -> None:
    assert refusal(event(), event(moment)) == "log:2 has no requestReceivedTimestamp that can be read"


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"5",
        b"{}",
        event(apiVersion="v1"),
        event(apiVersion=None),
        event(apiVersion="xaudit.k8s.io/v1"),
    ],
)
def test_what_is_no_event_is_refused_by_its_line(line: bytes) -> None:
    assert refusal(b"", event(), line) == "log:3 is no event of audit.k8s.io"


@pytest.mark.parametrize("line", [b"{", b"[" * 100_000, b'{"a": "\\xff'])
def test_only_the_last_line_may_be_cut_off(line: bytes) -> None:
    assert len(read(event(), line).uses) == 1
    assert refusal(event(), line, event()) == "log:2 is not JSON"
    assert refusal(event(), line, b"") == "log:2 is not JSON"
    # A file that has no other line is no log that is just written to.
    assert refusal(line) == "log:1 is not JSON"
