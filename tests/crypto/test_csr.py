"""Which files are read as a request, which keys may be certified, and what proves that somebody has one."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

from pkigen.crypto.csr import (
    LARGEST_REQUEST,
    key_of,
    parse_request,
    refuse_private_key,
    signed_request,
    subject_asked,
    unproven,
)
from pkigen.crypto.keys import public_der
from pkigen.crypto.names import Subject
from pkigen.errors import AccessError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name(
    [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "dev"),
        x509.NameAttribute(NameOID.COMMON_NAME, "jane"),
    ]
)
SANS = x509.Extension(
    x509.SubjectAlternativeName.oid, critical=True, value=x509.SubjectAlternativeName([x509.DNSName("a")])
)
REQUEST = signed_request(NAME, [SANS], KEY)
PRIVATE = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


def test_a_request_says_what_it_was_made_of() -> None:
    request = parse_request(REQUEST)
    assert request.subject == NAME
    assert list(request.extensions) == [SANS]
    assert public_der(key_of(request)) == public_der(KEY.public_key())
    assert unproven(request) is None
    assert subject_asked(REQUEST) == Subject(common_name="jane", organizations=("dev",))
    assert subject_asked(b"none") is None


@pytest.mark.parametrize(
    "data",
    [
        b"Certificate Request:\n    Data: of openssl req -text\n" + REQUEST,
        REQUEST.replace(b"\n", b"\r\n"),
        REQUEST.replace(b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"),
        REQUEST.replace(b"REQUEST-----\n", b"REQUEST----- \t\n"),
        REQUEST.rstrip(b"\n"),
        REQUEST + "für Jane\n".encode(),
        REQUEST + b"\n" * (LARGEST_REQUEST - len(REQUEST)),
    ],
)
def test_what_else_may_stand_in_the_file(data: bytes) -> None:
    assert parse_request(data).subject == NAME


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (REQUEST + b"\n" * (LARGEST_REQUEST - len(REQUEST) + 1), "larger than 64 KiB, the limit for"),
        (b"", "holds no PEM block; exactly one"),
        (REQUEST + REQUEST, "holds 2 PEM blocks; exactly one"),
        (REQUEST + b"\xff\n", "no PEM CERTIFICATE REQUEST, or a damaged one"),
        (REQUEST + b"\0\n", "no PEM CERTIFICATE REQUEST, or a damaged one"),
        (b"text " + REQUEST, "no PEM CERTIFICATE REQUEST, or a damaged one"),
        (REQUEST.replace(b"REQUEST-----\n", b"REQUEST----- text\n", 1), "no PEM CERTIFICATE REQUEST"),
        (REQUEST.replace(b"CERTIFICATE REQUEST", b"CERTIFICATE"), "no PEM CERTIFICATE REQUEST"),
        (REQUEST[:60] + REQUEST[70:], "cannot be read: it is damaged"),
        (REQUEST + PRIVATE, "contains a private key"),
    ],
)
def test_what_is_no_request_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(AccessError, match=told):
        parse_request(data)


def test_a_private_key_is_refused_in_every_form() -> None:
    der = KEY.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for data in (PRIVATE, der, b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"):
        with pytest.raises(AccessError, match="contains a private key") as info:
            refuse_private_key(data)
        assert "discard that key" in (info.value.hint or "")
    refuse_private_key(REQUEST)


class Asked:
    """A request as far as its key is looked at."""

    def __init__(self, key: CertificatePublicKeyTypes, *, encoded: bytes | None = None) -> None:
        self._key = key
        self.tbs_certrequest_bytes = b"\x30" + (public_der(key) if encoded is None else encoded)

    def public_key(self) -> CertificatePublicKeyTypes:
        return self._key


@cache
def modulus(bits: int) -> int:
    """An odd number of that many bits: nobody signs with it."""
    return (1 << bits) - 1


def rsa_key(bits: int, exponent: int = 65537) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(exponent, modulus(bits)).public_key()


def refusal(key: Any, *, encoded: bytes | None = None) -> str | None:
    request: Any = Asked(key, encoded=encoded)
    try:
        key_of(request, hint="make another one")
    except AccessError as error:
        return f"{error}; {error.hint}"
    return None


@pytest.mark.parametrize("bits", [2048, 8192])
@pytest.mark.parametrize("exponent", [65537, 65541, (1 << 31) - 1])
def test_rsa_keys_that_may_be_certified(bits: int, exponent: int) -> None:
    assert refusal(rsa_key(bits, exponent)) is None


@pytest.mark.parametrize("bits", [2047, 8193])
def test_rsa_keys_of_other_sizes(bits: int) -> None:
    assert refusal(rsa_key(bits)) == (
        f"the request's key is RSA with {bits} bits; 2048 to 8192 are accepted; make another one"
    )


@pytest.mark.parametrize("exponent", [3, 65535, (1 << 31) + 1])
def test_rsa_keys_with_unusual_exponents(exponent: int) -> None:
    told = f"is RSA with an exponent of {exponent.bit_length()} bits that is not as usual 65537"
    assert refusal(rsa_key(2048, exponent)) == f"the request's key {told}; make another one"


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1, ec.SECP521R1])
def test_curves_of_go(curve: type[ec.EllipticCurve]) -> None:
    assert refusal(ec.generate_private_key(curve()).public_key()) is None


def test_other_kinds_of_key() -> None:
    assert refusal(ed25519.Ed25519PrivateKey.generate().public_key()) is None
    assert "P-256, P-384 and P-521 are accepted" in (
        refusal(ec.generate_private_key(ec.SECP256K1()).public_key()) or ""
    )
    for key in (ed448.Ed448PrivateKey.generate(), dsa.generate_private_key(2048)):
        assert "cannot verify" in (refusal(key.public_key()) or "")


def test_a_key_that_is_encoded_as_go_does_not_read_it() -> None:
    key = KEY.public_key()
    compressed = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    found = refusal(key, encoded=compressed)
    assert found == "the request's key is encoded in a way that Kubernetes cannot read; make another one"


@pytest.mark.parametrize("raised", [ValueError, UnsupportedAlgorithm])
def test_a_key_that_cannot_be_read(raised: type[Exception]) -> None:
    class Unreadable(Asked):
        def public_key(self) -> CertificatePublicKeyTypes:
            raise raised("no")

    request: Any = Unreadable(KEY.public_key())
    with pytest.raises(AccessError, match="is of a kind that cannot be read") as info:
        key_of(request, hint="make another one")
    assert info.value.hint == "make another one"


@pytest.mark.parametrize("raised", [InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError])
def test_a_signature_that_cannot_be_verified(raised: type[Exception]) -> None:
    class Unverifiable:
        signature_hash_algorithm = None

        @property
        def is_signature_valid(self) -> bool:
            raise raised("no")

    request: Any = Unverifiable()
    assert unproven(request) == "is signed in a way that cannot be verified"


def signed_with(algorithm: Any) -> x509.CertificateSigningRequest:
    return x509.CertificateSigningRequestBuilder().subject_name(NAME).sign(KEY, algorithm)


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_a_signature_proves_possession(algorithm: hashes.HashAlgorithm) -> None:
    assert unproven(signed_with(algorithm)) is None


def test_signatures_that_prove_nothing() -> None:
    assert unproven(signed_with(hashes.SHA224())) == "is signed with sha224, which is broken"
    builder = x509.CertificateSigningRequestBuilder().subject_name(NAME)
    request = builder.sign(ed25519.Ed25519PrivateKey.generate(), None)
    assert unproven(request) is None, "Ed25519 has its hash built in"
    der = bytearray(signed_with(hashes.SHA256()).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    found = unproven(x509.load_der_x509_csr(bytes(der)))
    assert (
        found == "has an invalid signature: the requester does not have the key, or the request was changed"
    )
