"""What a revoked credential is called, and when it need not be refused any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pkigen.desired.revocations import CredentialId, CredentialIdKind, Revocation, in_order, marker

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
DIGITS = "ab" * 32


def revocation(credential: str = f"X509SHA256={DIGITS}", **fields: object) -> Revocation:
    given = {"of": "user:dev1", "reason": "stolen", "revoked": NOW, "expires": NOW + timedelta(days=1)}
    return Revocation(credential=CredentialId.parse(credential), **{**given, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        f"X509SHA256={DIGITS}",
        "JTI=5b7b6e0c-0f0c-4b7e-9b70-7d2b9d6b7b1a",
        "JTI=a.b:c/d+e=f@g~h-i_j",
        "USER=system:node:worker-1",
        "USER=system:node:a.example.com",
    ],
)
def test_an_id_reads_back(text: str) -> None:
    assert str(CredentialId.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must be X509SHA256=…, JTI=…, USER=…"),
        (DIGITS, "must be X509SHA256=…, JTI=…, USER=…"),
        (f"x509sha256={DIGITS}", "must be X509SHA256=…"),
        (f"X509SHA256={DIGITS.upper()}", "64 hexadecimal digits in lower case"),
        (f"X509SHA256={DIGITS[1:]}", "64 hexadecimal digits"),
        (f"X509SHA256={DIGITS}\n", "64 hexadecimal digits"),
        ("JTI=", "a token's id"),
        ("JTI=it's", "a token's id"),
        ("JTI=a\\", "a token's id"),
        ("JTI=a b", "a token's id"),
        ("JTI=ä", "a token's id"),
        (f"JTI={'a' * 254}", "a token's id"),
        ("USER=dev1", "a node's name"),
        ("USER=system:node:", "a node's name"),
        ("USER=system:node:a']) || true || (['", "a node's name"),
    ],
)
def test_what_is_no_id_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="must be") as caught:
        CredentialId.parse(text)
    assert complaint in str(caught.value)


def test_a_record_reads_back() -> None:
    for each in (revocation(), revocation(expires=None), revocation("JTI=x")):
        assert Revocation.read(str(each.credential), each.facts) == each


@pytest.mark.parametrize(
    "facts",
    [
        None,
        [],
        {},
        {"of": "a", "reason": "b"},
        {"of": "a", "reason": "b", "revoked": "yesterday"},
        {"of": "a", "reason": "b\x1b[2J", "revoked": "2026-11-27T12:00:00Z"},
        {"of": "a\nb", "reason": "b", "revoked": "2026-11-27T12:00:00Z"},
        {"of": "a" * 1001, "reason": "b", "revoked": "2026-11-27T12:00:00Z"},
        {"of": 5, "reason": "b", "revoked": "2026-11-27T12:00:00Z"},
        {"of": "a", "reason": "b", "revoked": "2026-11-27T12:00:00"},
        {"of": "a", "reason": "b", "revoked": "2026-11-27T12:00:00Z", "notAfter": 5},
    ],
)
def test_a_damaged_record_is_none(facts: object) -> None:
    with pytest.raises(ValueError, match=r"no record|isoformat|without a zone|not one line"):
        Revocation.read("JTI=x", facts)


@pytest.mark.parametrize(
    ("after", "over"), [(timedelta(0), False), (timedelta(minutes=4), False), (timedelta(minutes=5), True)]
)
def test_what_has_expired_is_over_once_no_clock_can_think_otherwise(after: timedelta, over: bool) -> None:  # noqa: FBT001 -- a table
    each = revocation()
    assert each.expires is not None
    assert each.is_over(each.expires + after) is over
    assert not revocation(expires=None).is_over(each.expires + after)


def test_a_list_has_one_order_and_each_id_once() -> None:
    first, second = revocation("JTI=a"), revocation()
    assert in_order([second, first, second]) == in_order([first, second])
    assert [each.credential.kind for each in in_order([second, first])] == [
        CredentialIdKind.TOKEN,
        CredentialIdKind.CERTIFICATE,
    ]


def test_every_list_has_a_marker_of_its_own() -> None:
    first, second = revocation("JTI=a"), revocation()
    lists = [(), (first,), (second,), (first, second)]
    assert len({marker(each) for each in lists}) == len(lists)
    assert marker([first, second]) == marker([second, first])
    # Neither the reason nor a date is in the file.
    assert marker([first]) == marker([revocation("JTI=a", reason="lost", expires=None)])
