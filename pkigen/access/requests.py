"""Certificate signing requests: made for those without openssl, read with distrust from everybody else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtensionOID, NameOID

from pkigen.errors import AccessError
from pkigen.inventory import Subject
from pkigen.issuing import distinguished_name
from pkigen.keys import MINIMUM_RSA_BITS, describe, signature_hash
from pkigen.spec.user_rules import RESERVED_GROUPS, RESERVED_USERS, SYSTEM_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from pkigen.keys import PrivateKey

LARGEST_REQUEST = 64 << 10
"""In bytes; an RSA-8192 request with every extension has a tenth."""
_LARGEST_RSA_BITS = 8192  # Go's TLS refuses larger keys (crypto/tls checkKeySize)
_SMALLEST_EXPONENT = 65537  # FIPS 186-5 A.1.1
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)  # those that Go's crypto/x509 knows, without P-224
_SHOWN = 120
_BEGIN = b"-----BEGIN "
_BLOCK = re.compile(
    rb"-----BEGIN (NEW )?CERTIFICATE REQUEST-----\s[A-Za-z0-9+/=\s]+-----END (NEW )?CERTIFICATE REQUEST-----"
)
# One value `a/O=system:masters` looks like two attributes to whoever reads a subject in OpenSSL's old form.
_ATTRIBUTE_IN_VALUE = re.compile(r"[/,+;]\s*[A-Za-z]{1,24}\s*=")
_SIGNATURE_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request whose own signature holds and whose key is fit; nothing it asks for is granted by that.

    `subject` and `extensions` are lines for people. `asked` is the identity it would have if believed.
    """

    key: CertificatePublicKeyTypes
    subject: str
    extensions: tuple[str, ...]
    asked: Subject
    plain: bool
    """Whether the subject has a common name and organizations only."""

    @property
    def key_description(self) -> str:
        """The key's kind and size."""
        return describe(self.key)

    @property
    def enciphers(self) -> bool:
        """Whether the key is one that can encipher other keys."""
        return isinstance(self.key, rsa.RSAPublicKey)


def make_request(subject: Subject, key: PrivateKey) -> bytes:
    """A request for an identity, as PEM; it asks for nothing else."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(distinguished_name(subject))
    return builder.sign(key, signature_hash(key)).public_bytes(serialization.Encoding.PEM)


def read_request(data: bytes, *, allowed: Subject | None = None) -> Request:
    """Read a request, and refuse whatever is wrong with it.

    Args:
        data: The file's bytes, of which `LARGEST_REQUEST` and one more were read at most.
        allowed: An identity that may be one of Kubernetes' own since somebody said why.

    Raises:
        AccessError: It is no single request, its signature is broken, its key is weak, or it plays a trick.
    """
    request = _parsed(data)
    key = _key(request)
    for check in (_unsigned, _unfit_subject):
        fault = check(request)
        if fault is not None:
            raise AccessError(f"the request {fault}")
    fault = _system_claim(request.subject, allowed)
    if fault is not None:
        raise AccessError(
            f"the request asks for {fault}, which is Kubernetes' own",
            hint="have a request made for the user's own name and groups: `pkigen csr new`",
        )
    try:
        extensions = tuple(_described(request))
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise AccessError("the request holds an extension that cannot be read") from None
    return Request(
        key=key,
        subject=_subject_text(request.subject),
        extensions=extensions,
        asked=_asked(request.subject),
        plain=all(
            attribute.oid in {NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME} for attribute in request.subject
        ),
    )


def _parsed(data: bytes) -> x509.CertificateSigningRequest:
    if len(data) > LARGEST_REQUEST:
        raise AccessError(f"the request is larger than {LARGEST_REQUEST // 1024} KiB, which none needs to be")
    if b"PRIVATE KEY-----" in data:
        raise AccessError(
            "the file holds a private key, which must never leave its owner",
            hint="throw that key away, make a new one, and send the request alone",
        )
    count = data.count(_BEGIN)
    if count != 1:
        what = "holds no PEM block" if count == 0 else f"holds {count} PEM blocks"
        raise AccessError(f"the request {what}; exactly one CERTIFICATE REQUEST is read")
    block = _BLOCK.search(data)
    if block is None:
        raise AccessError("the file holds no PEM CERTIFICATE REQUEST, or a damaged one")
    try:
        request = x509.load_pem_x509_csr(block[0])
        _ = request.subject
    except Exception:  # noqa: BLE001 -- the parser raises many kinds; all mean the same here
        raise AccessError("the request cannot be read: it is damaged") from None
    return request


def _key(request: x509.CertificateSigningRequest) -> CertificatePublicKeyTypes:
    try:
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise AccessError("the request's key is of a kind that cannot be read", hint=_BETTER_KEY) from None
    fault = _weakness(key)
    if fault is not None:
        raise AccessError(f"the request's key {fault}", hint=_BETTER_KEY)
    return key


_BETTER_KEY = "`pkigen csr new` makes an ECDSA-P256 key and a request for it"


def _weakness(key: CertificatePublicKeyTypes) -> str | None:
    """Why a key must not be certified for a client; None where it may.

    Ed25519 may: kube-apiserver verifies such client certificates, kubectl presents them (Go's crypto/tls).
    Where Kubernetes cannot use it (a CA, a kubeadm key file, a service account key) pkigen never makes one.
    """
    if isinstance(key, rsa.RSAPublicKey):
        if not MINIMUM_RSA_BITS <= key.key_size <= _LARGEST_RSA_BITS:
            return f"is RSA with {key.key_size} bits; {MINIMUM_RSA_BITS} to {_LARGEST_RSA_BITS} are accepted"
        exponent = key.public_numbers().e
        return (
            f"is RSA with the exponent {exponent}, which is too small"
            if exponent < _SMALLEST_EXPONENT
            else None
        )
    if isinstance(key, ec.EllipticCurvePublicKey):
        return (
            None
            if isinstance(key.curve, _CURVES)
            else f"is {describe(key)}; P-256, P-384 and P-521 are accepted"
        )
    if isinstance(key, ed25519.Ed25519PublicKey):
        return None
    return f"is {describe(key)}, which Go's crypto/tls, and so Kubernetes, cannot verify"


def _unsigned(request: x509.CertificateSigningRequest) -> str | None:
    """Whoever asks must hold the key: the request is signed with it (RFC 2986 3)."""
    try:
        algorithm = request.signature_hash_algorithm
        if algorithm is not None and not isinstance(algorithm, _SIGNATURE_HASHES):
            return f"is signed with {algorithm.name}, which proves nothing any more"
        if request.is_signature_valid:
            return None
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return "is signed in a way that cannot be verified"
    return "has a broken signature: whoever made it does not hold the key, or it was changed since"


def _unfit_subject(request: x509.CertificateSigningRequest) -> str | None:
    for part in request.subject.rdns:
        if len(list(part)) > 1:
            shown = "+".join(attribute.rfc4514_string() for attribute in part)
            return f"has a subject with several attributes in one: {_quoted(shown)}"
    for attribute in request.subject:
        value = _text(attribute)
        if not value.isprintable():
            return f"has a subject with unprintable characters: {_quoted(value)}"
        if _ATTRIBUTE_IN_VALUE.search(value):
            return f"has a subject with one attribute inside of another: {_quoted(value)}"
    names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) > 1:
        return f"has {len(names)} common names: Kubernetes would take the last, people read the first"
    try:
        constraints = request.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError, x509.DuplicateExtension):
        return None
    return "asks to become a CA" if constraints.ca else None


def _system_claim(name: x509.Name, allowed: Subject | None) -> str | None:
    """A name of Kubernetes' own in any attribute: also in those that Kubernetes does not read."""
    expected = {allowed.common_name, *allowed.organizations} if allowed is not None else set()
    for attribute in name:
        value = _text(attribute)
        own = value.startswith(SYSTEM_PREFIX) or value in RESERVED_USERS | RESERVED_GROUPS
        if own and value not in expected:
            return _quoted(f"{attribute.rfc4514_attribute_name}={value}")
    return None


def _asked(name: x509.Name) -> Subject:
    def values(oid: x509.ObjectIdentifier) -> tuple[str, ...]:
        return tuple(_text(attribute) for attribute in name.get_attributes_for_oid(oid))

    return Subject(
        common_name=next(iter(values(NameOID.COMMON_NAME)), ""),
        organizations=tuple(sorted(set(values(NameOID.ORGANIZATION_NAME)))),
    )


def _text(attribute: x509.NameAttribute[str | bytes]) -> str:
    value = attribute.value
    return value if isinstance(value, str) else value.hex()


def _subject_text(name: x509.Name) -> str:
    return ", ".join(f"{each.rfc4514_attribute_name}={_text(each)}" for each in name) or "(empty)"


def _described(request: x509.CertificateSigningRequest) -> Iterator[str]:
    for extension in request.extensions:
        name = _EXTENSION_NAMES.get(extension.oid, extension.oid.dotted_string)
        show = _SHOW.get(type(extension.value))
        yield f"{name}: {show(extension.value)}" if show else name


_EXTENSION_NAMES = {
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME: "subjectAltName",
    ExtensionOID.KEY_USAGE: "keyUsage",
    ExtensionOID.EXTENDED_KEY_USAGE: "extendedKeyUsage",
    ExtensionOID.BASIC_CONSTRAINTS: "basicConstraints",
    ExtensionOID.SUBJECT_KEY_IDENTIFIER: "subjectKeyIdentifier",
}
_SHOW: dict[type, Callable[..., str]] = {
    x509.SubjectAlternativeName: lambda value: _quoted(", ".join(str(name.value) for name in value)),
    x509.ExtendedKeyUsage: lambda value: ", ".join(oid.dotted_string for oid in value),
    x509.BasicConstraints: lambda value: "CA" if value.ca else "no CA",
}


def _quoted(value: str) -> str:
    return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")
