"""What a file is that was to be PEM and is not, with the command that makes PEM of it."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key

# What `>` of Windows PowerShell writes.
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_BLOCK: Final = re.compile(rb"-----BEGIN CERTIFICATE-----\s.+?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE: Final = 0x30
_PKCS_12: Final = bytes.fromhex("020103")  # its version, 3 (RFC 7292 4)
# In octets: the tag of a SEQUENCE and its length, for files of up to 4 GiB (X.690 8.1.3).
_LONGEST_HEADER: Final = 6
_BLOCKS: Final = {
    b"-----BEGIN TRUSTED CERTIFICATE-----": "a TRUSTED CERTIFICATE, which only OpenSSL reads: "
    "`openssl x509 -in FILE -out NEW` makes a plain one of it",
    b"-----BEGIN X509 CERTIFICATE-----": "an X509 CERTIFICATE, an old form that Kubernetes does not read: "
    "`openssl x509 -in FILE -out NEW` makes a plain one of it",
    b"-----BEGIN PKCS7-----": "PKCS #7: `openssl pkcs7 -print_certs -in FILE -out NEW` makes PEM of it",
    b"-----BEGIN CERTIFICATE REQUEST-----": "a certificate request, which no CA has signed yet",
    b"-----BEGIN NEW CERTIFICATE REQUEST-----": "a certificate request, which no CA has signed yet",
    b"-----BEGIN PUBLIC KEY-----": "a public key",
}


def other_form(data: bytes) -> str | None:
    """What a file holds instead of what was looked for, after "holds"; None where nothing is recognized."""
    if data.startswith(_UTF_16):
        return "UTF-16 text: save it as ASCII or UTF-8"
    for mark, form in _BLOCKS.items():
        if mark in data:
            return form
    return _of_der(data) if data[:1] == bytes([_SEQUENCE]) else None


def bundle_of(data: bytes) -> bytes:
    """The certificates of a text, without what stands between them.

    Raises:
        ValueError: It holds none, one that cannot be read, or a private key.
    """
    if b"PRIVATE KEY-----" in data:
        raise ValueError("holds a private key: only certificates belong here")
    blocks = _BLOCK.findall(data)
    # Go's pem.Decode passes over a block that it cannot read; here none may vanish unseen.
    if not blocks or len(blocks) != data.count(_CERTIFICATE):
        form = other_form(data)
        msg = f"holds {form}" if form else "holds no certificate as PEM, or a damaged one"
        raise ValueError(msg)
    for number, block in enumerate(blocks, start=1):
        try:
            x509.load_pem_x509_certificate(block)
        except (ValueError, x509.InvalidVersion) as error:  # the second is no ValueError
            msg = f"holds a certificate that cannot be read, the {number}. of {len(blocks)}"
            raise ValueError(msg) from error
    return b"".join(block + b"\n" for block in blocks)


def certificate_as_pem(data: bytes) -> bytes | None:
    """The PEM of a certificate that is there as DER, or as base64 of DER or PEM, as kubeconfigs have it.

    None where it is none of these.
    """
    if data[:1] == bytes([_SEQUENCE]):
        return _pem_of_der(data)
    try:
        decoded = base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error:
        return None
    return decoded if _CERTIFICATE in decoded else _pem_of_der(decoded)


def _pem_of_der(data: bytes) -> bytes | None:
    try:
        return x509.load_der_x509_certificate(data).public_bytes(Encoding.PEM)
    except (ValueError, x509.InvalidVersion):  # the second is no ValueError
        return None


def _of_der(data: bytes) -> str | None:
    """What a DER structure is, by trying; None where it is neither key, certificate nor PKCS #12."""
    if _PKCS_12 in data[: _LONGEST_HEADER + len(_PKCS_12)]:
        return "PKCS #12: `openssl pkcs12 -in FILE -nodes` shows what is in it as PEM"
    try:
        x509.load_der_x509_certificate(data)
    except (ValueError, x509.InvalidVersion):  # the second is no ValueError
        return (
            "a private key as DER: `openssl pkey -inform DER -in FILE -out NEW` makes PEM of it"
            if (is_private_key(data))
            else None
        )
    return "a certificate as DER: `openssl x509 -inform DER -in FILE -out NEW` makes PEM of it"


def is_private_key(data: bytes) -> bool:
    """Whether this is a private key as DER, also an encrypted one."""
    try:
        load_der_private_key(data, password=None)
    except TypeError:  # pyca's way to say that a passphrase is needed
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True
