"""PKCS #10 requests: made for a certificate of the inventory, read with distrust, judged against it.

A request proves that whoever made it holds the key, and says what it wants. Nothing of it gets into a
certificate but the key: the content always comes from the inventory. It is compared all the same, so that a
node that has read another spec than the authority is found before, not after.
"""

from __future__ import annotations

import enum
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import AttributeOID

from pkigen.checks import common_names, extension_name, name_text
from pkigen.errors import AccessError
from pkigen.issuing import Request as Content
from pkigen.issuing import distinguished_name, extensions
from pkigen.keys import MINIMUM_RSA_BITS, describe, public_der, signature_hash, spki_fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from pkigen.inventory import DesiredCertificate, Subject
    from pkigen.keys import PrivateKey, PublicKey

LARGEST_REQUEST = 64 << 10
"""In bytes; an RSA-8192 request with every extension has a tenth."""
_LARGEST_RSA_BITS = 8192  # Go's TLS refuses larger keys (crypto/tls checkKeySize)
_SMALLEST_EXPONENT = 65537  # FIPS 186-5 A.1.1
_LARGEST_EXPONENT = 2**31 - 1  # Go's crypto/rsa checkPublicKeySize
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)  # those that Go's crypto/x509 knows, without P-224
_BEGIN = b"-----BEGIN "
# Text around it is `openssl req -text`'s (RFC 7468 5.2); on the lines of the marks themselves there is none.
_BLOCK = re.compile(
    rb"^-----BEGIN ((?:NEW )?CERTIFICATE REQUEST)-----[ \t]*\r?\n"
    rb"[A-Za-z0-9+/=\s]+-----END \1-----[ \t]*(?:\r?\n|\Z)",
    re.MULTILINE,
)
_SIGNATURE_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_EXTENSION_REQUEST = x509.ObjectIdentifier("1.2.840.113549.1.9.14")  # RFC 2985 5.4.2


class Fault(enum.StrEnum):
    """In which way a request is not what the spec asks for."""

    UNREADABLE = "unreadable"
    NOT_PROVEN = "not-proven"
    KEY = "key"
    SHARED_KEY = "shared-key"
    SUBJECT = "subject"
    SANS = "sans"
    USAGES = "usages"
    ATTRIBUTES = "attributes"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """One thing about one request that must be otherwise; `id` is the inventory's."""

    id: str
    fault: Fault
    detail: str

    def __str__(self) -> str:
        return f"{self.id}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What became of a set of requests: the keys to certify, by the inventory's id, and what is wrong."""

    keys: Mapping[str, PublicKey]
    deviations: tuple[Deviation, ...]


# -- making -----------------------------------------------------------------------------------------------


def make_request(desired: DesiredCertificate, key: PrivateKey) -> bytes:
    """A request for a certificate of the inventory, as PEM: subject, names, usages; signed with its key.

    The key may be any that signs as these do, such as one that a token keeps.
    """
    return signed_request(
        distinguished_name(desired.subject), requested_extensions(desired, key.public_key()), key
    )


def signed_request(
    name: x509.Name, asked: Iterable[x509.Extension[x509.ExtensionType]], key: PrivateKey
) -> bytes:
    """A request for a name and some extensions, as PEM."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    for extension in asked:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder.sign(key, signature_hash(key)).public_bytes(serialization.Encoding.PEM)


def requested_extensions(
    desired: DesiredCertificate, key: CertificatePublicKeyTypes
) -> tuple[x509.Extension[x509.ExtensionType], ...]:
    """What a request asks for: all that the certificate will have, but for the key's own identifier."""
    return tuple(
        extension
        for extension in extensions(Content.of(desired), key, None)
        if not isinstance(extension.value, x509.SubjectKeyIdentifier)
    )


# -- reading ----------------------------------------------------------------------------------------------


def parse_request(data: bytes) -> x509.CertificateSigningRequest:
    """Read exactly one PEM request; nothing about it is believed yet.

    Raises:
        AccessError: It is none, or more than one, or holds a private key.
    """
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
    if block is None or not _is_text(data):
        raise AccessError("the file holds no PEM CERTIFICATE REQUEST, or a damaged one")
    try:
        request = x509.load_pem_x509_csr(block[0])
        _ = request.subject
    except Exception:  # noqa: BLE001 -- the parser raises many kinds; all mean the same here
        raise AccessError("the request cannot be read: it is damaged") from None
    return request


def _is_text(data: bytes) -> bool:
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
        if not MINIMUM_RSA_BITS <= key.key_size <= _LARGEST_RSA_BITS:
            return f"is RSA with {key.key_size} bits; {MINIMUM_RSA_BITS} to {_LARGEST_RSA_BITS} are accepted"
        exponent = key.public_numbers().e
        if _SMALLEST_EXPONENT <= exponent <= _LARGEST_EXPONENT and exponent % 2:
            return None
        return f"is RSA with an exponent of {exponent.bit_length()} bits that is not as usual 65537"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return (
            None
            if isinstance(key.curve, _CURVES)
            else f"is {describe(key)}; P-256, P-384 and P-521 are accepted"
        )
    if isinstance(key, ed25519.Ed25519PublicKey):
        return None
    return f"is {describe(key)}, which Go's crypto/tls, and so Kubernetes, cannot verify"


def unproven(request: x509.CertificateSigningRequest) -> str | None:
    """Why whoever asks may not hold the key; None where the request is signed with it (RFC 2986 3)."""
    try:
        algorithm = request.signature_hash_algorithm
        if algorithm is not None and not isinstance(algorithm, _SIGNATURE_HASHES):
            return f"is signed with {algorithm.name}, which proves nothing any more"
        if request.is_signature_valid:
            return None
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return "is signed in a way that cannot be verified"
    return "has a broken signature: whoever made it does not hold the key, or it was changed since"


# -- judging ----------------------------------------------------------------------------------------------


def judge_all(
    requests: Mapping[str, bytes], desired: Mapping[str, DesiredCertificate], known: Mapping[str, str]
) -> Judged:
    """Judge a set of requests, one for each certificate that is asked for, and say all that is wrong.

    Args:
        requests: PEM by the inventory's id.
        desired: The certificates that there must be requests for, by id.
        known: The public keys (`spki_fingerprint`) that are in use, and the id of what each belongs to.
    """
    keys: dict[str, PublicKey] = {}
    deviations: list[Deviation] = []
    owners: dict[str, str] = {}
    for identifier, item in desired.items():
        if identifier not in requests:
            deviations.append(
                Deviation(id=identifier, fault=Fault.MISSING, detail="there is no request for it")
            )
            continue
        found = judge(requests[identifier], item)
        deviations.extend(found.deviations)
        key = found.keys.get(identifier)
        if key is None:
            continue
        keys[identifier] = key
        spki = spki_fingerprint(public_der(key))
        owner = owners.setdefault(spki, identifier)
        other = owner if owner != identifier else known.get(spki, identifier)
        if other != identifier:
            detail = f"its key is that of {other}: each certificate has one of its own"
            deviations.append(Deviation(id=identifier, fault=Fault.SHARED_KEY, detail=detail))
    deviations.extend(
        Deviation(id=identifier, fault=Fault.UNKNOWN, detail="the spec asks for no such certificate")
        for identifier in requests
        if identifier not in desired
    )
    return Judged(keys=keys, deviations=tuple(deviations))


def judge(data: bytes, desired: DesiredCertificate) -> Judged:
    """Judge one request; its key is in the result only where its holder has proven to have it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyca's, about names that are longer than X.520 has them
        return _judged(data, desired)


def _judged(data: bytes, desired: DesiredCertificate) -> Judged:
    try:
        request = parse_request(data)
        key = key_of(request)
    except AccessError as error:
        return _refused(desired, Fault.UNREADABLE, error.message)
    fault = unproven(request)
    if fault is not None:
        return _refused(desired, Fault.NOT_PROVEN, f"the request {fault}")
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return _refused(desired, Fault.KEY, _other_algorithm(key, desired))
    deviations = tuple(
        Deviation(id=desired.id, fault=fault, detail=detail)
        for fault, detail in _differences(request, key, desired)
    )
    return Judged(keys={desired.id: key}, deviations=deviations)


def _refused(desired: DesiredCertificate, fault: Fault, detail: str) -> Judged:
    return Judged(keys={}, deviations=(Deviation(id=desired.id, fault=fault, detail=detail),))


def _other_algorithm(key: CertificatePublicKeyTypes, desired: DesiredCertificate) -> str:
    return f"its key is {describe(key)}, where the spec has {desired.key_algorithm}"


def _differences(
    request: x509.CertificateSigningRequest, key: PublicKey, desired: DesiredCertificate
) -> Iterator[tuple[Fault, str]]:
    if describe(key) != desired.key_algorithm:
        yield Fault.KEY, _other_algorithm(key, desired)
    if request.subject != distinguished_name(desired.subject):
        asked = request.subject.rfc4514_string() or "(empty)"
        yield Fault.SUBJECT, f"it asks for the subject {asked!r}, where the spec has {str(desired.subject)!r}"
    try:
        found = {extension.oid: extension for extension in request.extensions}
        strange = sorted(
            _attribute_name(each.oid) for each in request.attributes if each.oid != _EXTENSION_REQUEST
        )
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        yield Fault.UNREADABLE, "it asks for extensions or has attributes that cannot be read"
        return
    if strange:
        yield Fault.ATTRIBUTES, f"it has attributes that mean nothing here: {', '.join(strange)}"
    wanted = {extension.oid: extension for extension in requested_extensions(desired, key)}
    yield from _sans(found, wanted)
    for oid in sorted(wanted | found, key=lambda oid: oid.dotted_string):
        if oid != x509.SubjectAlternativeName.oid and wanted.get(oid) != found.get(oid):
            how = "lacks" if oid not in found else "has another" if oid in wanted else "asks for"
            yield Fault.USAGES, f"it {how} {extension_name(oid)}"


def _sans(
    found: Mapping[x509.ObjectIdentifier, x509.Extension[x509.ExtensionType]],
    wanted: Mapping[x509.ObjectIdentifier, x509.Extension[x509.ExtensionType]],
) -> Iterator[tuple[Fault, str]]:
    asked, meant = (each.get(x509.SubjectAlternativeName.oid) for each in (found, wanted))
    have, want = _names(asked), _names(meant)
    if set(have) != set(want):
        lacks = "".join(f" - {name_text(name)}" for name in want if name not in have)
        more = "".join(f" + {name_text(name)}" for name in have if name not in want)
        yield Fault.SANS, f"it asks for other names than the spec has:{more}{lacks}"
    elif asked is not None and asked.critical:
        yield Fault.SANS, "it asks for critical names"


def _names(extension: x509.Extension[x509.ExtensionType] | None) -> list[x509.GeneralName]:
    value = extension.value if extension is not None else None
    return list(value) if isinstance(value, x509.SubjectAlternativeName) else []


def _attribute_name(oid: x509.ObjectIdentifier) -> str:
    return "challengePassword" if oid == AttributeOID.CHALLENGE_PASSWORD else oid.dotted_string
