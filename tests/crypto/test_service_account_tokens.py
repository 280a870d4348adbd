"""Service account tokens signed as the API server signs them, and read whatever they hold."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pkigen.crypto import service_account_tokens as tokens
from pkigen.crypto.keys import ALGORITHMS, KeyAlgorithm, UnsupportedKeyError, public_pem, raw_ecdsa_signature
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
