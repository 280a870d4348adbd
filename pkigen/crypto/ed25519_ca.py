"""A CA with an Ed25519 key, which Kubernetes' own components never see: Talos' API has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from datetime import datetime, timedelta

SEED: Final = 32
"""In bytes: what a private key is made of (RFC 8032 5.1.5)."""
_SERIAL_BITS: Final = 159  # positive, and at most 20 octets (RFC 5280 4.1.2.2)
_PKCS_8: Final = b"PRIVATE KEY-----"


def ed25519_ca(
    seed: bytes, serial: bytes, *, organization: str, now: datetime, validity: timedelta
) -> tuple[bytes, bytes]:
    """A root and its private key, as PEM: PKCS #8 under the type that siderolabs/crypto reads.

    Args:
        seed: The private key, 32 random bytes.
        serial: 20 random bytes.
        organization: All that its subject has.
        now: The present, in UTC.
        validity: How long it is valid.
    """
    key = Ed25519PrivateKey.from_private_bytes(seed)
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(serial) % (1 << _SERIAL_BITS) or 1)
        .not_valid_before(now)
        .not_valid_after(now + validity)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, None)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private.replace(
        _PKCS_8, b"ED25519 " + _PKCS_8
    )
