"""What is said of a file that was to be PEM and is not."""

from __future__ import annotations

import codecs
import os
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from pkigen.crypto.issuance import CertificateContent, issue
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.pem import is_private_key, other_form
from pkigen.crypto.profiles import Profile
from tests.samples import NOW

KEY = ec.generate_private_key(ec.SECP256R1())
CERTIFICATE = issue(
    CertificateContent(
        subject=Subject(common_name="a"), sans=SANs(), profile=Profile.CA, validity=timedelta(days=1)
    ),
    key=KEY,
    issuer=None,
    now=NOW,
    entropy=os.urandom,
).certificate
PLAIN = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
ENCRYPTED = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (codecs.BOM_UTF16_LE + "a".encode("utf-16-le"), "UTF-16 text"),
        (codecs.BOM_UTF16_BE + "a".encode("utf-16-be"), "UTF-16 text"),
        (CERTIFICATE.public_bytes(Encoding.DER), "a certificate as DER"),
        (PLAIN, "a private key as DER"),
        (ENCRYPTED, "a private key as DER"),
        (pkcs12.serialize_key_and_certificates(b"a", KEY, CERTIFICATE, None, NoEncryption()), "PKCS #12"),
        (b"-----BEGIN TRUSTED CERTIFICATE-----\n", "a TRUSTED CERTIFICATE"),
        (b"-----BEGIN X509 CERTIFICATE-----\n", "an X509 CERTIFICATE"),
        (b"-----BEGIN PKCS7-----\n", "PKCS #7"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\n", "a certificate request"),
        (b"-----BEGIN NEW CERTIFICATE REQUEST-----\n", "a certificate request"),
        (b"-----BEGIN PUBLIC KEY-----\n", "a public key"),
    ],
)
def test_another_form_is_named(data: bytes, form: str) -> None:
    assert (other_form(data) or "").startswith(form)


@pytest.mark.parametrize("data", [b"", b"0", b"0\x00", b"hello", PLAIN[1:]])
def test_what_is_not_recognized_has_no_name(data: bytes) -> None:
    assert other_form(data) is None


def test_pkcs_12_is_known_by_its_version_whatever_its_length() -> None:
    # The tag, and a length of one to five octets (X.690 8.1.3); behind it stands the version.
    for length in (b"\x05", b"\x81\x85", b"\x82\x01\x05", b"\x84\x00\x00\x01\x05"):
        assert (other_form(b"\x30" + length + bytes.fromhex("020103")) or "").startswith("PKCS #12")
    assert other_form(b"\x30\x85\x00\x00\x00\x01\x05" + bytes.fromhex("020103")) is None


def test_structures_that_nothing_can_be_made_of_have_no_name() -> None:
    version = bytes.fromhex("a003020102")  # v3, within a certificate; 10 is none
    assert version in CERTIFICATE.public_bytes(Encoding.DER)
    odd = CERTIFICATE.public_bytes(Encoding.DER).replace(version, bytes.fromhex("a00302010a"), 1)
    assert other_form(odd) is None
    curve = bytes.fromhex("06082a8648ce3d030107")  # prime256v1; what stands last is no curve
    assert curve in PLAIN
    assert other_form(PLAIN.replace(curve, curve[:-1] + b"\x63")) is None


def test_an_encrypted_key_is_a_private_key() -> None:
    assert is_private_key(PLAIN)
    assert is_private_key(ENCRYPTED)
    assert not is_private_key(CERTIFICATE.public_bytes(Encoding.DER))
