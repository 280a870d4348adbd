"""The rules of Go's path building one by one, without a real Go: what `test_go_paths` asks of whole paths."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID

from pkigen.crypto import go_paths
from tests.crypto.chains import (
    ANY,
    CLIENT,
    DAY,
    NAME,
    SERVER,
    Draft,
    Made,
    common_name,
    constraints,
    pool,
    sans,
    signed,
    usage,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CA_FLAG = x509.BasicConstraints(ca=True, path_length=None)
Extension = x509.ExtensionType


def cert(made: Made) -> x509.Certificate:
    return x509.load_der_x509_certificate(made.der)


def ca(name: str, number: int, issuer: Made | None = None, *more: Extension, flag: Any = CA_FLAG) -> Made:
    draft = Draft(subject=common_name(name), key=pool("P-256", number), serial=number + 1, end=90 * DAY)
    return signed(draft.having(*((flag,) if flag else ()), *more), issuer, NOW)


def leaf(issuer: Made, *more: Extension, kind: str = "P-256") -> Made:
    draft = Draft(subject=common_name("leaf"), key=pool(kind, 99), serial=77)
    return signed(draft.having(*(more or (sans(NAME),))), issuer, NOW)


def refusal(
    sent: Sequence[Made], anchors: Sequence[Made], *, name: str = NAME, now: datetime = NOW
) -> str | None:
    return go_paths.refusal([cert(each) for each in sent], [cert(each) for each in anchors], name, now)


ROOT = ca("root", 0)


@pytest.mark.parametrize(
    ("listed", "name", "is_for"),
    [
        ("api.example.com", "API.Example.com", True),
        ("API.example.com", "api.example.com.", True),
        ("api.example.com", "api.example.org", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", "example.com", False),
        ("*.example.com", ".example.com", False),
        ("x.example.com", "*.example.com", False),
        ("*.example.com", "*.example.com", True),
        ("*.*.example.com", "*.example.com", False),
        ("*.example.com", "*.example.com.", False),
        ("x.example.com", "a.example.com", False),
        # A pattern with a dot at its end, or with what no host has, is for the very same text.
        ("api.example.com.", "api.example.com.", True),
        ("api.example.com.", "api.example.com", False),
        ("a b", "a b", True),
        ("a b", "A B", True),
        ("a b", "a c", False),
        ("node$1", "node1", False),
        ("node1", "node$1", False),
        (".", ".", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "[10.0.0.1]", True),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("fd00::1", "[fd00::1]", True),
        ("fd00::1", "FD00:0::1", True),
        ("fd00::1", "fd00::2", False),
    ],
)
def test_whom_a_name_is_for(listed: str, name: str, *, is_for: bool) -> None:
    found = go_paths.name_refusal(cert(leaf(ROOT, sans(listed))), name)
    assert found == (None if is_for else f"it does not name {name}")


def test_addresses_are_no_names_and_networks_no_addresses() -> None:
    by_name = cert(leaf(ROOT, x509.SubjectAlternativeName([x509.DNSName("10.0.0.1")])))
    network = cert(leaf(ROOT, x509.SubjectAlternativeName([x509.IPAddress(ip_network("10.0.0.1/32"))])))
    nothing = cert(leaf(ROOT, CA_FLAG))
    for each in (by_name, network, nothing):
        assert go_paths.name_refusal(each, "10.0.0.1") is not None
    assert go_paths.name_refusal(nothing, NAME) is not None


@pytest.mark.parametrize(
    ("at", "refused"),
    [(-DAY - SECOND, True), (-DAY, False), (30 * DAY, False), (30 * DAY + SECOND, True)],
)
def test_the_first_and_the_last_second_count(at: timedelta, *, refused: bool) -> None:
    said = refusal([leaf(ROOT)], [ROOT], now=NOW + at)
    assert said == (go_paths.OUT_OF_TIME if refused else None)


# -- CAs ------------------------------------------------------------------------------------------------


NO_CA = "the issuer is not a CA"
NO_SIGNER = "the issuer may not sign certificates"


@pytest.mark.parametrize(
    ("flag", "more", "said"),
    [
        (CA_FLAG, (), None),
        (None, (), NO_CA),
        (x509.BasicConstraints(ca=False, path_length=None), (), NO_CA),
        (CA_FLAG, (usage("key_cert_sign"),), None),
        (CA_FLAG, (usage("key_cert_sign", "crl_sign"),), None),
        (CA_FLAG, (usage("crl_sign"),), NO_SIGNER),
        (CA_FLAG, (usage("digital_signature"),), NO_SIGNER),
        (CA_FLAG, (usage("key_agreement", "decipher_only"),), NO_SIGNER),
        # Go takes one without any bit for none.
        (CA_FLAG, (usage(),), None),
        (CA_FLAG, (x509.ExtendedKeyUsage([SERVER]),), None),
        (CA_FLAG, (x509.ExtendedKeyUsage([ANY]),), None),
        (
            CA_FLAG,
            (x509.ExtendedKeyUsage([CLIENT]),),
            "the issuer's extendedKeyUsage does not allow serverAuth",
        ),
        (
            CA_FLAG,
            (x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None),),
            "a certificate of the path has policyConstraints, which Kubernetes handles since v1.33 only",
        ),
    ],
)
def test_who_may_stand_above(flag: Extension | None, more: Sequence[Extension], said: str | None) -> None:
    """As an anchor, and as one that is sent."""
    anchor = ca("anchor", 1, None, *more, flag=flag)
    assert refusal([leaf(anchor)], [anchor]) == said
    between = ca("between", 2, ROOT, *more, flag=flag)
    assert refusal([leaf(between), between], [ROOT]) == said


@pytest.mark.parametrize(
    ("usages", "said"),
    [
        ([SERVER], None),
        ([ANY], None),
        ([CLIENT, ExtendedKeyUsageOID.CODE_SIGNING], "its extendedKeyUsage does not allow serverAuth"),
    ],
)
def test_what_a_leaf_is_for(usages: list[x509.ObjectIdentifier], said: str | None) -> None:
    assert refusal([leaf(ROOT, sans(NAME), x509.ExtendedKeyUsage(usages))], [ROOT]) == said


def test_constraints_bind_what_stands_below_and_not_who_has_them() -> None:
    only = constraints(permitted="example.org")
    upper = ca("upper", 3, ROOT, only)
    lower = ca("lower", 4, upper)
    for sent in ([leaf(upper), upper], [leaf(lower), lower, upper]):
        assert "subtree" in (refusal(sent, [ROOT]) or "")
    # A CA's own name may be another one, and so may that of a leaf which constrains whom it signs.
    elsewhere = ca("elsewhere", 5, ROOT, constraints(permitted="example.com"), sans("ca.example.org"))
    assert refusal([leaf(elsewhere), elsewhere], [ROOT]) is None
    below = ca("below", 6, elsewhere, sans("ca.example.org"))
    assert "subtree" in (refusal([leaf(below), below, elsewhere], [ROOT]) or "")
    assert refusal([leaf(ROOT, sans(NAME), CA_FLAG, only)], [ROOT]) is None


# -- signatures -----------------------------------------------------------------------------------------


def test_a_signature_that_has_its_hash_within_is_sound() -> None:
    draft = Draft(subject=common_name("ed"), key=pool("ED", 1), serial=4, end=90 * DAY).having(CA_FLAG)
    root = signed(draft, None, NOW)
    assert refusal([leaf(root)], [root]) is None


def test_an_algorithm_that_nobody_knows_is_unfit() -> None:
    known, unknown = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06082a8648ce3d04037f")
    made = leaf(ROOT)
    strange = replace(made, der=made.der.replace(known, unknown))
    assert strange.der != made.der
    said = refusal([strange], [ROOT])
    assert said == "a certificate of the path is signed with an unfit algorithm"


def test_who_has_a_key_that_signs_nothing_has_signed_nothing() -> None:
    """A key for agreeing on others, certified as a CA's."""
    name = common_name("agreeing")
    agreeing = (
        x509.CertificateBuilder(name, name, X25519PrivateKey.generate().public_key(), 5)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(CA_FLAG, critical=True)
        .sign(pool("P-256", 0), hashes.SHA256())
    )
    below = signed(
        Draft(subject=common_name("leaf"), key=pool("P-256", 99), serial=6).having(sans(NAME)),
        Made(b"", pool("P-256", 7), Draft(subject=name, key=pool("P-256", 7))),
        NOW,
    )
    assert go_paths.refusal([cert(below)], [agreeing], NAME, NOW) is not None


# -- the search -----------------------------------------------------------------------------------------


def test_two_that_sign_each_other_are_no_way_round_and_round() -> None:
    first, second = ca("first", 8), ca("second", 9)
    crossed = [ca("first", 8, second), ca("second", 9, first)]
    assert refusal([leaf(first), *crossed], [ROOT]) == go_paths.UNSIGNED


def test_why_the_last_one_that_would_lead_on_may_not_is_remembered() -> None:
    """One that may, and leads nowhere, says nothing."""
    unknown = ca("unknown", 10)
    draft = Draft(subject=common_name("twice"), key=pool("P-256", 11), serial=3).having(CA_FLAG)
    expired = signed(replace(draft, begin=-9 * DAY, end=-DAY), unknown, NOW)
    valid = signed(replace(draft, serial=4), unknown, NOW)
    for between in ([expired, valid], [valid, expired]):
        assert refusal([leaf(valid), *between], [ROOT]) == go_paths.OUT_OF_TIME


A, B, C = sans("a.example.com"), sans("b.example.com"), None


@pytest.mark.parametrize(
    ("path", "candidate", "is_in"),
    [
        # Each a name, a key, and alternative names.
        ([("x", 1, A)], ("x", 1, A), True),
        ([("x", 1, C)], ("x", 1, C), True),
        ([("x", 1, A)], ("y", 1, A), False),
        ([("x", 1, A)], ("x", 2, A), False),
        ([("x", 1, A)], ("x", 1, B), False),
        ([("x", 1, A)], ("x", 1, C), False),
        ([("x", 1, C)], ("x", 1, A), False),
        # Where one has none, Go looks no further; where both have others, it does.
        ([("x", 1, C), ("x", 1, A)], ("x", 1, A), False),
        ([("x", 1, A), ("x", 1, C)], ("x", 1, C), False),
        ([("x", 1, B), ("x", 1, A)], ("x", 1, A), True),
        ([("y", 1, C), ("x", 1, A)], ("x", 1, A), True),
        ([], ("x", 1, A), False),
    ],
)
def test_who_is_in_a_path_already(
    path: list[tuple[str, int, Extension | None]],
    candidate: tuple[str, int, Extension | None],
    *,
    is_in: bool,
) -> None:
    def of(name: str, number: int, names: Extension | None) -> x509.Certificate:
        return cert(ca(name, number, ROOT, *((names,) if names else ())))

    above = tuple(of(*each) for each in path)
    # How far a loop was followed shows in no verdict.
    assert go_paths._is_in(above, of(*candidate)) is is_in  # noqa: SLF001
