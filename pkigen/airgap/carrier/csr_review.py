"""PKCS #10 requests: made for a certificate of the inventory, parsed as untrusted input, reviewed against it.

A request proves possession of its key, and says what it asks for. Only its public key gets into a
certificate: the content always comes from the inventory. The rest is compared nevertheless, so that a node
that has read another spec than the authority is noticed before issuing, not after.
"""

from __future__ import annotations

import enum
import warnings
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AttributeOID

from pkigen.crypto.csr import key_of, parse_request, signed_request, unproven
from pkigen.crypto.issuance import distinguished_name, extensions
from pkigen.crypto.keys import describe, public_der, spki_fingerprint
from pkigen.crypto.names import extension_name, name_text
from pkigen.desired.generations import Slot
from pkigen.desired.items import content_of
from pkigen.errors import AccessError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from pkigen.crypto.keys import PrivateKey, PublicKey
    from pkigen.desired.items import DesiredCertificate

    _Extensions = Mapping[x509.ObjectIdentifier, x509.Extension[x509.ExtensionType]]

_EXTENSION_REQUEST = x509.ObjectIdentifier("1.2.840.113549.1.9.14")  # RFC 2985 5.4.2


class RequestFault(enum.StrEnum):
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
    fault: RequestFault
    detail: str

    def __str__(self) -> str:
        return f"{self.id}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """What became of a set of requests: the keys to certify, by the inventory's id, and what is wrong."""

    keys: Mapping[str, PublicKey]
    deviations: tuple[Deviation, ...]


# -- making -----------------------------------------------------------------------------------------------


def request_for(desired: DesiredCertificate, key: PrivateKey) -> bytes:
    """A request for a certificate of the inventory, as PEM: subject, names, usages; signed with its key.

    The key may be any that signs as these do, such as one that a token keeps.
    """
    return signed_request(
        distinguished_name(desired.subject), requested_extensions(desired, key.public_key()), key
    )


def requested_extensions(
    desired: DesiredCertificate, key: CertificatePublicKeyTypes
) -> tuple[x509.Extension[x509.ExtensionType], ...]:
    """What a request asks for: all that the certificate will have, but for the key's own identifier."""
    return tuple(
        extension
        for extension in extensions(content_of(desired), key, None)
        # Whoever issues derives it from the key, whatever a request says.
        if not isinstance(extension.value, x509.SubjectKeyIdentifier)
    )


# -- reviewing --------------------------------------------------------------------------------------------


def review_all(
    requests: Mapping[str, bytes], desired: Mapping[str, DesiredCertificate], known: Mapping[str, str]
) -> Reviewed:
    """Review a set of requests, one for each certificate that is asked for, and say all that is wrong.

    Args:
        requests: PEM by the inventory's id.
        desired: The certificates that there must be requests for, by id.
        known: The public keys (`spki_fingerprint`) that are in use, and the id of what each belongs to.
    """
    keys: dict[str, PublicKey] = {}
    deviations: list[Deviation] = []
    owners: dict[str, str] = {}
    for identifier, item in desired.items():
        # Missing ones, too: a request for half of a node's certificates would leave a node half enrolled.
        if identifier not in requests:
            deviations.append(
                Deviation(id=identifier, fault=RequestFault.MISSING, detail="it was not requested")
            )
            continue
        found = review(requests[identifier], item)
        deviations.extend(found.deviations)
        key = found.keys.get(identifier)
        if key is None:
            continue
        keys[identifier] = key
        spki = spki_fingerprint(public_der(key))
        # Within the same requests, too: none of these keys is known yet.
        owner = owners.setdefault(spki, identifier)
        # A key that two certificates share would let one holder stand for the other.
        other = owner if owner != identifier else known.get(spki, identifier)
        # A CA's successor takes its place, and its id with it.
        if other not in {identifier, f"{identifier}{Slot.NEXT}"}:
            detail = f"its key is that of {other}: each certificate needs its own key"
            deviations.append(Deviation(id=identifier, fault=RequestFault.SHARED_KEY, detail=detail))
    deviations.extend(
        Deviation(id=identifier, fault=RequestFault.UNKNOWN, detail="the spec has no such certificate")
        for identifier in requests
        if identifier not in desired
    )
    return Reviewed(keys=keys, deviations=tuple(deviations))


def review(data: bytes, desired: DesiredCertificate) -> Reviewed:
    """Review one request; its key is in the result only where its holder has proven to have it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyca's, about names that are longer than X.520 has them
        return _reviewed(data, desired)


def _reviewed(data: bytes, desired: DesiredCertificate) -> Reviewed:
    """What is asked for is looked at only where the key is proven to be held and can be certified."""
    try:
        request = parse_request(data)
        key = key_of(request)
    except AccessError as error:
        return _refused(desired, RequestFault.UNREADABLE, error.message)
    fault = unproven(request)
    if fault is not None:
        return _refused(desired, RequestFault.NOT_PROVEN, f"the request {fault}")
    # Only keys of these two kinds are certified; of another one there is nothing to hand on.
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return _refused(desired, RequestFault.KEY, _other_algorithm(key, desired))
    deviations = tuple(
        Deviation(id=desired.id, fault=fault, detail=detail)
        for fault, detail in _differences(request, key, desired)
    )
    return Reviewed(keys={desired.id: key}, deviations=deviations)


def _refused(desired: DesiredCertificate, fault: RequestFault, detail: str) -> Reviewed:
    """A request of which nothing is certified, with the one fault that decides."""
    return Reviewed(keys={}, deviations=(Deviation(id=desired.id, fault=fault, detail=detail),))


def _other_algorithm(key: CertificatePublicKeyTypes, desired: DesiredCertificate) -> str:
    """A sentence about a key of another kind than the spec has."""
    return f"its key is {describe(key)}, where the spec has {desired.key_algorithm}"


def _differences(
    request: x509.CertificateSigningRequest, key: PublicKey, desired: DesiredCertificate
) -> Iterator[tuple[RequestFault, str]]:
    """Every way in which a request is not the one that the spec would have made, field by field."""
    if describe(key) != desired.key_algorithm:
        yield RequestFault.KEY, _other_algorithm(key, desired)
    if request.subject != distinguished_name(desired.subject):
        asked = request.subject.rfc4514_string() or "(empty)"
        yield (
            RequestFault.SUBJECT,
            f"it asks for the subject {asked!r}, where the spec has {str(desired.subject)!r}",
        )
    # The library parses extensions and attributes only when they are asked for.
    try:
        found = {extension.oid: extension for extension in request.extensions}
        strange = sorted(
            _attribute_name(each.oid) for each in request.attributes if each.oid != _EXTENSION_REQUEST
        )
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        yield RequestFault.UNREADABLE, "it asks for extensions or has attributes that cannot be read"
        return
    if strange:
        yield RequestFault.ATTRIBUTES, f"it has attributes that are not supported: {', '.join(strange)}"
    wanted = {extension.oid: extension for extension in requested_extensions(desired, key)}
    yield from _sans(found, wanted)
    yield from _usages(found, wanted)


def _usages(found: _Extensions, wanted: _Extensions) -> Iterator[tuple[RequestFault, str]]:
    """Every extension but the names, criticality included: the certificate would have it otherwise."""
    for oid in sorted(found.keys() | wanted.keys(), key=lambda oid: oid.dotted_string):
        if oid != x509.SubjectAlternativeName.oid and wanted.get(oid) != found.get(oid):
            how = "lacks" if oid not in found else "has another" if oid in wanted else "asks for"
            yield RequestFault.USAGES, f"it {how} {extension_name(oid)}"


def _sans(found: _Extensions, wanted: _Extensions) -> Iterator[tuple[RequestFault, str]]:
    """The names as sets, for their order means nothing; critical only beside an empty subject (4.2.1.6)."""
    asked, meant = (each.get(x509.SubjectAlternativeName.oid) for each in (found, wanted))
    have, want = _names(asked), _names(meant)
    if set(have) != set(want):
        lacks = "".join(f" - {name_text(name)}" for name in want if name not in have)
        more = "".join(f" + {name_text(name)}" for name in have if name not in want)
        yield RequestFault.SANS, f"it asks for other names than the spec has:{more}{lacks}"
    elif asked is not None and asked.critical:
        yield RequestFault.SANS, "it asks for critical names"


def _names(extension: x509.Extension[x509.ExtensionType] | None) -> list[x509.GeneralName]:
    """The names of an extension; none where it is missing."""
    value = extension.value if extension is not None else None
    return list(value) if isinstance(value, x509.SubjectAlternativeName) else []


def _attribute_name(oid: x509.ObjectIdentifier) -> str:
    """An attribute's name for people; a challenge password is the common one."""
    return "challengePassword" if oid == AttributeOID.CHALLENGE_PASSWORD else oid.dotted_string
