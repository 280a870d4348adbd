"""The root of Talos' API: what it says, and the form that siderolabs/crypto reads its key in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pkigen.crypto.ed25519_ca import SEED, ed25519_ca

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
SECRET = bytes(range(SEED))
DAYS = timedelta(days=10)


def made(serial: bytes = bytes(range(20))) -> tuple[x509.Certificate, bytes]:
    certificate, key = ed25519_ca(SECRET, serial, organization="talos", now=NOW, validity=DAYS)
    return x509.load_pem_x509_certificate(certificate), key


def test_it_is_a_root_of_its_organization_alone() -> None:
    certificate, _ = made()
    assert [(each.oid, each.value) for each in certificate.subject] == [(NameOID.ORGANIZATION_NAME, "talos")]
    certificate.verify_directly_issued_by(certificate)
    assert certificate.public_key() == Ed25519PrivateKey.from_private_bytes(SECRET).public_key()
    assert (certificate.not_valid_before_utc, certificate.not_valid_after_utc) == (NOW, NOW + DAYS)


def test_what_it_may_be_used_for() -> None:
    certificate, _ = made()
    key = certificate.public_key()
    usages = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    assert [(each.value, each.critical) for each in certificate.extensions] == [
        (usages, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize(
    ("serial", "number"),
    [
        (bytes(range(20)), int.from_bytes(bytes(range(20)), "big")),
        (b"\xff" * 20, (1 << 159) - 1),
        # No serial number is zero.
        (bytes(20), 1),
        (b"\x80" + bytes(19), 1),
    ],
)
def test_its_serial_number_is_positive_and_has_twenty_octets_at_most(serial: bytes, number: int) -> None:
    assert made(serial)[0].serial_number == number


def test_its_key_stands_under_a_type_of_its_own() -> None:
    _, key = made()
    assert key.startswith(b"-----BEGIN ED25519 PRIVATE KEY-----\n")
    assert key.endswith(b"-----END ED25519 PRIVATE KEY-----\n")
    plain = load_pem_private_key(key.replace(b"ED25519 ", b""), password=None)
    assert isinstance(plain, Ed25519PrivateKey)
    assert plain.private_bytes_raw() == SECRET
