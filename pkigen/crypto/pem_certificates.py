"""The certificates of a PEM file, read with distrust: all of them, or a sentence that says why none."""

from __future__ import annotations

import base64
import binascii
import re
import warnings

from cryptography import x509

from pkigen.crypto.pem import other_form

# Chains and trust bundles have a handful.
_MOST_CERTIFICATES = 16
_PEM_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]{1,65536}-----END CERTIFICATE-----"
)

# The type of an attribute of a name (2.5.4 and one arc, X.520), its value's tag (X.690 8.21), and its length.
# The tag alone would stand in many a key and signature by chance.
_T61_STRING = re.compile(rb"\x06\x03\x55\x04.\x14(.)", re.DOTALL)
# Below it are control characters, which no name has.
_FIRST_LETTER = 0x20


def parse_certificates(data: bytes) -> tuple[x509.Certificate, ...] | str:
    """The certificates of a PEM file in their order, or a sentence saying why there are none."""
    blocks = _PEM_CERTIFICATE.findall(data)
    fault = _unfit_text(data, blocks)
    # No certificate of a damaged file counts: a bundle that lost one would refuse half of the cluster.
    if fault is not None:
        return fault
    certificates = []
    for block in blocks:
        certificate = _parsed(block)
        if isinstance(certificate, str):
            return certificate
        certificates.append(certificate)
    return tuple(certificates)


def _unfit_text(data: bytes, blocks: list[bytes]) -> str | None:
    """Why a file is no PEM file of certificates."""
    if not data.strip():
        return "is empty"
    if b"PRIVATE KEY-----" in data:
        return "holds a private key, which does not belong in a file of certificates"
    # Go's pem.Decode passes over a block that it cannot read; here none may vanish unseen.
    if len(blocks) != data.count(b"-----BEGIN CERTIFICATE-----"):
        return "holds a damaged PEM certificate"
    form = other_form(data)
    if form is not None:
        return f"holds {form}"
    if not 0 < len(blocks) <= _MOST_CERTIFICATES:
        return f"holds {len(blocks) or 'no'} PEM certificates; 1 to {_MOST_CERTIFICATES} are read"
    return None


def _parsed(block: bytes) -> x509.Certificate | str:
    """One certificate, of which everything that is asked later can be read; or why not, as a sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyca's, about names that stricter authorities would not give
            certificate = x509.load_pem_x509_certificate(block)
            # Parsing is lazy: what every check relies on must be readable now, not later.
            _ = certificate.extensions, certificate.subject, certificate.issuer, certificate.public_key()
            _ = certificate.not_valid_after_utc, certificate.not_valid_before_utc
            is_numbered = certificate.serial_number > 0
    except Exception:  # noqa: BLE001 -- the parser raises many kinds; all mean the same here
        if _has_foreign_letters(block):
            return (
                "holds a certificate with a T61String that has letters outside of ASCII, which Kubernetes "
                "reads and pkigen does not: reissue it with UTF8String (`string_mask = utf8only`)"
            )
        return "holds a certificate that cannot be read"
    if not is_numbered:
        return "holds a certificate whose serial number is not positive (RFC 5280 4.1.2.2)"
    return certificate


def _has_foreign_letters(block: bytes) -> bool:
    """Whether a certificate's names hold a T61String that is not ASCII."""
    try:
        der = base64.b64decode(b"".join(block.split(b"-----")[2].split()), validate=True)
    except binascii.Error:
        return False
    texts = (der[found.end() : found.end() + found[1][0]] for found in _T61_STRING.finditer(der))
    in_names = (text for text in texts if all(letter >= _FIRST_LETTER for letter in text))
    return any(not text.isascii() for text in in_names)
