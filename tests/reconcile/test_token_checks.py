"""Why a service account's token is signed again, and where there is none: kubeconfigs in memory."""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto import service_account_tokens as tokens
from pkigen.crypto.keys import public_pem
from pkigen.desired.generations import CA
from pkigen.desired.items import DesiredToken
from pkigen.reconcile.token_checks import ObservedToken, examine_token, observe_token
from pkigen.state.observed import FaultKind
from pkigen.state.reasons import Reason
from tests.rotation.phases import Photograph
from tests.samples import NOW

if TYPE_CHECKING:
    from datetime import datetime

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = public_pem(KEY)
WANTED = DesiredToken(
    id="token:ci",
    path="users/ci.conf",
    server="https://api:6443",
    cluster="prod",
    trust=CA.KUBERNETES,
    namespace="build",
    account="ci",
    uid="1-2",
    issuer="https://issuer",
    audiences=("api", "vault"),
    validity=30 * DAY,
    longest=40 * DAY,
    renew_before=10 * DAY,
)
CLAIMS = tokens.Claims(
    issuer="https://issuer",
    namespace="build",
    account="ci",
    uid="1-2",
    audiences=("api", "vault"),
    not_before=NOW,
    validity=30 * DAY,
)
KUBECONFIG = "users:\n- name: ci\n  user:\n    token: {}\nserver: {}\n"


def written(text: str, server: str = "https://api:6443") -> ObservedToken:
    """What is seen of a kubeconfig with a token."""
    tree = Photograph({WANTED.path: KUBECONFIG.format(text, server).encode()})
    return observe_token(tree, WANTED.path)


def signed(*, key: ec.EllipticCurvePrivateKey = KEY, **other: Any) -> ObservedToken:
    return written(tokens.sign(replace(CLAIMS, **other), key, entropy=bytes))


def without(claim: str) -> ObservedToken:
    """A token that has lost a claim: its signature is not looked at where this is asked."""
    seen = signed()
    assert seen.token is not None
    claims = {name: value for name, value in seen.token.claims.items() if name != claim}
    return replace(seen, token=replace(seen.token, claims=claims))


def found(
    seen: ObservedToken, *, now: datetime = NOW, key: bytes | None = PUBLIC, within: timedelta = 10 * DAY
) -> dict[Reason, str]:
    findings = examine_token(WANTED, seen, key=key, now=now, renew_within=within)
    return {each.reason: each.detail for each in findings}


def test_a_token_as_it_must_be() -> None:
    seen = signed()
    assert found(seen) == {}
    assert seen.fault is None
    assert seen.mode == stat.S_IRUSR | stat.S_IWUSR
    assert seen.expires == NOW + 30 * DAY


def test_the_kubeconfig_is_compared_without_its_token() -> None:
    text = tokens.sign(replace(CLAIMS, validity=DAY), KEY, entropy=bytes)
    assert signed().skeleton == written(text).skeleton
    assert signed().skeleton != written(text, "https://elsewhere").skeleton


@pytest.mark.parametrize(
    ("files", "kind", "reason", "detail"),
    [
        ({}, FaultKind.MISSING, Reason.MISSING, "users/ci.conf is missing"),
        (
            {"users/ci.conf": b"users: []\n"},
            FaultKind.UNREADABLE,
            Reason.UNREADABLE,
            "users/ci.conf is not a kubeconfig with a token",
        ),
        (
            {"users/ci.conf": KUBECONFIG.format("a.b", "x").encode()},
            FaultKind.UNREADABLE,
            Reason.UNREADABLE,
            "users/ci.conf its token is not a JSON Web Token",
        ),
    ],
)
def test_where_there_is_no_token(
    files: dict[str, bytes], kind: FaultKind, reason: Reason, detail: str
) -> None:
    seen = observe_token(Photograph(files), WANTED.path)
    assert (seen.token, seen.expires) == (None, None)
    assert seen.fault is not None
    assert (seen.fault.kind, seen.fault.path) == (kind, WANTED.path)
    assert seen.mode == (0o600 if files else 0)
    assert found(seen) == {reason: detail}


def test_whose_signature_counts() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    assert found(signed(key=other)) == {
        Reason.UNKNOWN_ISSUER: "its token is not signed by the present service account key"
    }
    assert found(signed(), key=None) == {Reason.ISSUER_REPLACED: "the service account key is replaced"}


@pytest.mark.parametrize(
    ("claims", "differs"),
    [
        ({"issuer": "https://other"}, "iss"),
        ({"audiences": ("vault", "api")}, "aud"),
        ({"account": "cd"}, "sub, kubernetes.io"),
        ({"namespace": "test"}, "sub, kubernetes.io"),
        ({"uid": "3-4"}, "kubernetes.io"),
        ({"uid": None}, "kubernetes.io"),
    ],
)
def test_for_whom_it_is(claims: dict[str, Any], differs: str) -> None:
    assert found(signed(**claims)) == {Reason.SUBJECT_CHANGED: f"its token differs in {differs}"}


@pytest.mark.parametrize(
    ("begins", "reason"),
    [(MINUTE, None), (MINUTE + timedelta(seconds=1), Reason.NOT_YET_VALID), (-DAY, None)],
)
def test_when_it_begins(begins: timedelta, reason: Reason | None) -> None:
    findings = found(signed(not_before=NOW + begins))
    assert set(findings) == ({reason} if reason else set())
    if reason:
        assert "is not valid before 2026-03-01 12:01 UTC, in the future" in findings[Reason.NOT_YET_VALID]


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        (10 * DAY + MINUTE, None),
        (10 * DAY, Reason.EXPIRES_SOON),
        (MINUTE, Reason.EXPIRES_SOON),
        (timedelta(0), Reason.EXPIRED),
        (-MINUTE, Reason.EXPIRED),
    ],
)
def test_when_it_ends(left: timedelta, reason: Reason | None) -> None:
    assert set(found(signed(), now=NOW + 30 * DAY - left)) == ({reason} if reason else set())


def test_what_is_said_of_its_end() -> None:
    assert found(signed(), now=NOW + 25 * DAY) == {
        Reason.EXPIRES_SOON: "its token expires 2026-03-31 12:00 UTC, in 5d"
    }
    assert found(signed(), now=NOW + 30 * DAY) == {Reason.EXPIRED: "its token expired 2026-03-31 12:00 UTC"}
    endless = found(without("exp"), key=None)
    assert endless[Reason.UNREADABLE] == "its token has no expiry"
    assert set(endless) == {Reason.ISSUER_REPLACED, Reason.UNREADABLE}


def test_none_lives_longer_than_a_rotation_waits() -> None:
    assert found(signed(validity=40 * DAY)) == {}
    # Counted from where it begins, even if that is long ago: it was too long from the start.
    told = found(signed(validity=40 * DAY + MINUTE, not_before=NOW - 5 * DAY))
    assert list(told) == [Reason.LIVES_TOO_LONG]
    assert "token expires 2026-04-05 12:01 UTC, 40d" in told[Reason.LIVES_TOO_LONG]
    assert told[Reason.LIVES_TOO_LONG].endswith("serviceAccounts.maxTokenLifetime is 960h")
    # Counted from now where it begins later than now, or does not say: else a late beginning would hide it.
    late = found(signed(validity=35 * DAY, not_before=NOW + 10 * DAY))
    assert set(late) == {Reason.NOT_YET_VALID, Reason.LIVES_TOO_LONG}
    unsaid = replace(WANTED, longest=29 * DAY)
    findings = examine_token(unsaid, without("nbf"), key=None, now=NOW, renew_within=DAY)
    assert [each.reason for each in findings] == [Reason.ISSUER_REPLACED, Reason.LIVES_TOO_LONG]
