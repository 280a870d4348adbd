"""PKCS #10 requests (RFC 2986): parsed as untrusted input, and checked for strong keys and signatures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pkigen.crypto.keys import (
    ACCEPTED_CURVES,
    LARGEST_RSA_BITS,
    LARGEST_RSA_EXPONENT,
    MINIMUM_RSA_BITS,
    describe,
    public_der,
    signature_hash,
)
from pkigen.crypto.names import common_names
from pkigen.crypto.pem import is_private_key
from pkigen.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from pkigen.crypto.keys import PrivateKey
    from pkigen.crypto.names import Subject


LARGEST_REQUEST = 64 << 10
"""In bytes; an RSA-8192 request with every extension has a tenth."""


_SMALLEST_EXPONENT = 65537  # FIPS 186-5 A.1.1


_BEGIN = b"-----BEGIN "


# Text around it is `openssl req -text`'s (RFC 7468 5.2); on the lines of the marks themselves there is none.
_BLOCK = re.compile(
    rb"^-----BEGIN ((?:NEW )?CERTIFICATE REQUEST)-----[ \t]*\r?\n"
    rb"[A-Za-z0-9+/=\s]+-----END \1-----[ \t]*(?:\r?\n|\Z)",
    re.MULTILINE,
)


# SHA-1 and MD5 have collisions: a signature over one request would also be one over another.
_SIGNATURE_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


def signed_request(
    name: x509.Name, asked: Iterable[x509.Extension[x509.ExtensionType]], key: PrivateKey
) -> bytes:
    """A request for a name and some extensions, as PEM."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    for extension in asked:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder.sign(key, signature_hash(key)).public_bytes(serialization.Encoding.PEM)


def parse_request(data: bytes) -> x509.CertificateSigningRequest:
    """Read exactly one PEM request; nothing in it is verified yet.

    Raises:
        AccessError: It is none, or more than one, or holds a private key.
    """
    if len(data) > LARGEST_REQUEST:
        raise AccessError(
            f"the request is larger than {LARGEST_REQUEST // 1024} KiB, the limit for a request"
        )
    refuse_private_key(data)  # before anything else is said
    count = data.count(_BEGIN)
    if count != 1:
        what = "holds no PEM block" if count == 0 else f"holds {count} PEM blocks"
        raise AccessError(f"the request {what}; exactly one CERTIFICATE REQUEST is read")
    block = _BLOCK.search(data)
    if block is None or not _is_text(data):
        raise AccessError("the file holds no PEM CERTIFICATE REQUEST, or a damaged one")
    try:
        # Only the block, not the text around it, in which the parser could find a second one.
        request = x509.load_pem_x509_csr(block[0])
        # pyca parses it when it is asked for: what is damaged must show here.
        _ = request.subject
    except Exception:  # noqa: BLE001 -- the parser raises many kinds; all mean the same here
        raise AccessError("the request cannot be read: it is damaged") from None
    return request


def refuse_private_key(data: bytes) -> None:
    """Refuse a file with a private key, in PEM or as DER: whoever carried the file knows it.

    Raises:
        AccessError: It has one.
    """
    if b"PRIVATE KEY-----" in data or is_private_key(data):
        raise AccessError(
            "the file contains a private key, which must never leave its owner",
            hint="discard that key, make a new one, and send only the request",
        )


def _is_text(data: bytes) -> bool:
    """Whether a file is UTF-8 without NUL: binary data around a block is nothing that can be reviewed."""
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def subject_asked(data: bytes) -> Subject | None:
    """The identity that a request asks for; None where it cannot be read."""
    try:
        return common_names(parse_request(data).subject)
    except AccessError:
        return None


def key_of(request: x509.CertificateSigningRequest, *, hint: str = "") -> CertificatePublicKeyTypes:
    """The key of a request, if it is one that may be certified.

    Raises:
        AccessError: It cannot be read, here or by Kubernetes, or is too weak.
    """
    try:
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise AccessError("the request's key is of a kind that cannot be read", hint=hint) from None
    fault = _weakness(key)
    if fault is not None:
        raise AccessError(f"the request's key {fault}", hint=hint)
    if public_der(key) not in request.tbs_certrequest_bytes:
        # Explicit curve parameters, compressed points and RSASSA-PSS keys: Go reads none of these.
        raise AccessError("the request's key is encoded in a way that Kubernetes cannot read", hint=hint)
    return key


def _weakness(key: CertificatePublicKeyTypes) -> str | None:
    """Why a key must not be certified for a client; None where it may.

    Ed25519 may: kube-apiserver verifies such client certificates, kubectl presents them (Go's crypto/tls).
    Where Kubernetes cannot use it (a CA, a kubeadm key file, a service account key) pkigen never makes one.
    """
    if isinstance(key, rsa.RSAPublicKey):
        if not MINIMUM_RSA_BITS <= key.key_size <= LARGEST_RSA_BITS:
            return f"is RSA with {key.key_size} bits; {MINIMUM_RSA_BITS} to {LARGEST_RSA_BITS} are accepted"
        # Small exponents invite attacks on bad padding; even ones are none that RSA can use.
        exponent = key.public_numbers().e
        if _SMALLEST_EXPONENT <= exponent <= LARGEST_RSA_EXPONENT and exponent % 2:
            return None
        return f"is RSA with an exponent of {exponent.bit_length()} bits that is not as usual 65537"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return (
            None
            if isinstance(key.curve, ACCEPTED_CURVES)
            else f"is {describe(key)}; P-256, P-384 and P-521 are accepted"
        )
    if isinstance(key, ed25519.Ed25519PublicKey):
        return None
    return f"is {describe(key)}, which Go's crypto/tls, and so Kubernetes, cannot verify"


def unproven(request: x509.CertificateSigningRequest) -> str | None:
    """Why the request does not prove possession of its key; None where its signature does (RFC 2986 3)."""
    try:
        algorithm = request.signature_hash_algorithm
        if algorithm is not None and not isinstance(algorithm, _SIGNATURE_HASHES):
            return f"is signed with {algorithm.name}, which is broken"
        if request.is_signature_valid:
            return None
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return "is signed in a way that cannot be verified"
    return "has an invalid signature: the requester does not have the key, or the request was changed"
