"""Requests that a test makes, and the certificates that come back."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes


def name(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


def plain(user: str = "ann", *groups: str) -> x509.Name:
    return name(*((NameOID.ORGANIZATION_NAME, group) for group in groups), (NameOID.COMMON_NAME, user))


def request(
    subject: x509.Name | None = None,
    key: CertificateIssuerPrivateKeyTypes | None = None,
    *extensions: x509.ExtensionType,
    digest: hashes.SHA256 | hashes.SHA512 | None = hashes.SHA256(),  # noqa: B008 -- a constant
) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        subject if subject is not None else plain()
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signed = builder.sign(key or ec.generate_private_key(ec.SECP256R1()), digest)
    return signed.public_bytes(serialization.Encoding.PEM)


def der(pem: bytes) -> bytes:
    return base64.b64decode(b"".join(pem.splitlines()[1:-1]))


def pem(data: bytes) -> bytes:
    text = base64.encodebytes(data).replace(b"\n", b"")
    lines = [text[place : place + 64] for place in range(0, len(text), 64)]
    return b"\n".join(
        [b"-----BEGIN CERTIFICATE REQUEST-----", *lines, b"-----END CERTIFICATE REQUEST-----", b""]
    )


def issued_certificate(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


def issued_names(issued: x509.Certificate) -> tuple[str, set[str]]:
    (user,) = issued.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = issued.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(user.value), {str(group.value) for group in groups}
