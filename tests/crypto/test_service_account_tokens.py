"""Service account tokens signed as the API server signs them, and read whatever they hold."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pkigen.crypto import service_account_tokens as tokens
from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.keys import ALGORITHMS, UnsupportedKeyError, public_der, public_pem, raw_ecdsa_signature
from tests.cli.program import NOW


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        (KeyAlgorithm.RSA_2048, "RS256"),
        (KeyAlgorithm.ECDSA_P256, "ES256"),
        (KeyAlgorithm.ECDSA_P384, "ES384"),
    ],
)
def test_every_key_signs_as_the_api_server_does(algorithm: KeyAlgorithm, name: str) -> None:
    key = ALGORITHMS[algorithm].generate()
    claims = tokens.Claims(
        issuer="i",
        namespace="n",
        account="a",
        uid=None,
        audiences=("x",),
        not_before=NOW,
        validity=timedelta(1),
    )
    first, second = (_read(tokens.sign(claims, key, entropy=bytes)) for _ in range(2))
    assert first.algorithm == name
    assert first.text == second.text
    assert tokens.is_signed_by(first, public_pem(key))
    other = public_pem(ALGORITHMS[algorithm].generate())
    assert not tokens.is_signed_by(first, other)
    assert not tokens.is_signed_by(first, b"no key")


def test_p521_and_keys_that_the_api_server_signs_nothing_with() -> None:
    assert tokens.algorithm(ec.generate_private_key(ec.SECP521R1())) == "ES512"
    with pytest.raises(UnsupportedKeyError, match="cannot sign tokens"):
        tokens.algorithm(ec.generate_private_key(ec.SECP256K1()))
    with pytest.raises(UnsupportedKeyError, match="not an EC key"):
        raw_ecdsa_signature(rsa.generate_private_key(65537, 2048), b"")
    pem = (
        ed25519.Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert not tokens.is_signed_by(tokens.Token(text="a.b.c", key_id=None, algorithm="", claims={}), pem)


def _jwt(*parts: object) -> str:
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return ".".join((*encoded, "AA"))


def _read(text: str) -> tokens.Token:
    found = tokens.read(text)
    assert isinstance(found, tokens.Token), found
    return found


def test_reading_whatever_stands_there() -> None:
    assert tokens.read("") == "is not a JSON Web Token"
    assert tokens.read("A" * (tokens.LONGEST_TOKEN + 1)) == "is longer than any token"
    for damaged in ("a.b.c", "A.B.C", _jwt([], {}), _jwt({}, []), "eyJhIjo.e30.AA"):
        assert tokens.read(damaged) == "is a damaged JSON Web Token"
    assert _read(_jwt({}, {"aud": "x", "exp": 1e99})).expires is None
    assert _read(_jwt({}, {"aud": "x", "exp": "soon"})).audiences == ("x",)
    assert _read(_jwt({"kid": 7}, {})).key_id is None
    assert _read(_jwt({}, {})).audiences == ()
    assert tokens.token_facts("is no token") == {}
    assert tokens.token_facts(_read(_jwt({}, {})))["notAfter"] == ""
    assert tokens.in_kubeconfig(b"kind: Config\n") is None


# -- what a token says, to the letter (`pkg/serviceaccount/claims.go`) --------------------------------

CLAIMS = tokens.Claims(
    issuer="https://10.0.0.10",
    namespace="team-a",
    account="builder",
    uid=None,
    audiences=("api", "vault"),
    not_before=NOW + timedelta(microseconds=999_999),
    validity=timedelta(hours=1),
)
BEGIN = int(NOW.timestamp())


def _decoded(part: str) -> dict[str, object]:
    found = json.loads(base64.urlsafe_b64decode(part + "=="))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("uid", [None, "42"])
@pytest.mark.parametrize(
    ("octet", "identifier"),
    [
        (None, "00010203-0405-4607-8809-0a0b0c0d0e0f"),
        (0x00, "00000000-0000-4000-8000-000000000000"),
        (0xFF, "ffffffff-ffff-4fff-bfff-ffffffffffff"),
    ],
)
def test_what_a_token_says(uid: str | None, octet: int | None, identifier: str) -> None:
    key = ALGORITHMS[KeyAlgorithm.ECDSA_P256].generate()
    text = tokens.sign(
        replace(CLAIMS, uid=uid),
        key,
        entropy=lambda count: bytes(range(count)) if octet is None else bytes([octet] * count),
    )
    header, claims = map(_decoded, text.split(".")[:2])
    kid = base64.urlsafe_b64encode(hashlib.sha256(public_der(key)).digest()).decode().rstrip("=")
    assert header == {"alg": "ES256", "kid": kid}
    account = {"name": "builder"} | ({"uid": uid} if uid else {})
    expected = {
        "aud": ["api", "vault"],
        "exp": BEGIN + 3600,
        "iat": BEGIN,
        "iss": "https://10.0.0.10",
        "jti": identifier,
        "kubernetes.io": {"namespace": "team-a", "serviceaccount": account},
        "nbf": BEGIN,
        "sub": "system:serviceaccount:team-a:builder",
    }
    assert list(claims.items()) == list(expected.items())


def test_what_is_read_of_a_token_and_kept_of_it() -> None:
    content = {"sub": "s", "aud": ["a"], "jti": "j", "nbf": BEGIN, "exp": BEGIN + 5}
    token = _read(f" {_jwt({'alg': 'ES256', 'kid': 'k'}, content)}\n")
    assert (token.algorithm, token.key_id, token.audiences) == ("ES256", "k", ("a",))
    assert (token.not_before, token.expires) == (NOW, NOW + timedelta(seconds=5))
    assert tokens.token_facts(token) == {
        "subject": "s",
        "audiences": ["a"],
        "tokenId": "j",
        "keyId": "k",
        "notAfter": f"{NOW + timedelta(seconds=5):%Y-%m-%dT%H:%M:%SZ}",
    }
    bare = _read(_jwt({}, {}))
    assert (bare.algorithm, bare.key_id, bare.not_before) == ("", None, None)
    assert tokens.token_facts(bare) == {
        "subject": "",
        "audiences": [],
        "tokenId": "",
        "keyId": "",
        "notAfter": "",
    }
    assert tokens.read("A" * tokens.LONGEST_TOKEN) == "is not a JSON Web Token"


@pytest.mark.parametrize("is_named", [True, False])
def test_a_signature_counts_for_the_key_that_the_token_names(*, is_named: bool) -> None:
    key, other = (ALGORITHMS[KeyAlgorithm.ECDSA_P256].generate() for _ in range(2))
    token = _read(tokens.sign(CLAIMS, key, entropy=bytes))
    named = replace(token, key_id=tokens.key_id(other) if is_named else None)
    assert tokens.is_signed_by(named, public_pem(key)) != is_named
    assert not tokens.is_signed_by(named, public_pem(other))


def test_the_token_of_a_kubeconfig() -> None:
    content = b"users:\n- name: a\n  user:\n    token: a.b-c.d_e\n"
    assert tokens.in_kubeconfig(content) == "a.b-c.d_e"
    assert tokens.withheld(content) == content.replace(b"a.b-c.d_e", b"token-withheld")
    assert tokens.in_kubeconfig(content.replace(b"a.b", b"\xff")) == "\ufffd-c.d_e"


def test_when_a_token_ends_and_whom_it_is_for() -> None:
    claims = tokens.Claims(
        issuer="i", namespace="n", account="a", uid=None, audiences=(), not_before=NOW, validity=timedelta(1)
    )
    assert claims.expires == NOW + timedelta(1)
    assert _read(_jwt({}, {"aud": "one"})).audiences == ("one",), "a text by itself is one audience"
    assert _read(_jwt({}, {"aud": ["one", 2]})).audiences == ("one", "2")


@pytest.mark.parametrize("moment", [None, [], "soon", "1e3", 1e400, 10**30, -(10**15)])
def test_a_moment_that_no_clock_has_is_none(moment: object) -> None:
    assert tokens.Token(text="a.b.c", key_id=None, algorithm="", claims={"exp": moment}).expires is None


def test_the_longest_token() -> None:
    assert tokens.LONGEST_TOKEN == 16_384
    head = "e30.e30."  # two empty objects
    assert isinstance(tokens.read(head + "A" * (tokens.LONGEST_TOKEN - len(head))), tokens.Token)
    assert tokens.read(head + "A" * (tokens.LONGEST_TOKEN - len(head) + 1)) == "is longer than any token"


def test_the_leeway_is_the_api_servers() -> None:
    # go-jose v2 and v4, jwt/validation.go: DefaultLeeway
    assert timedelta(seconds=60) == tokens.LEEWAY


def test_a_token_is_not_printed() -> None:
    assert "a.b.c" not in repr(tokens.Token(text="a.b.c", key_id=None, algorithm="", claims={}))


def test_a_part_that_is_nested_too_deeply_is_damaged() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 6000).decode().rstrip("=")
    assert tokens.read(f"{deep}.e30.AA") == "is a damaged JSON Web Token"
    assert tokens.read("A.e30.AA") == "is a damaged JSON Web Token", "no base64"
