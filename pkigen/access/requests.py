"""Certificate signing requests: made for people without openssl, and parsed as untrusted input."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pkigen.access.request_text import EXTENSION_REQUESTS, extension_lines, quoted, subject_text, text_of
from pkigen.crypto.csr import key_of, parse_request, signed_request, unproven
from pkigen.crypto.issuance import distinguished_name
from pkigen.crypto.keys import describe, public_der, spki_fingerprint
from pkigen.crypto.names import Subject
from pkigen.errors import AccessError
from pkigen.records import dataclass
from pkigen.spec.user_rules import is_reserved_group, is_reserved_user

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from pkigen.crypto.keys import PrivateKey

# One value `a/O=system:masters` looks like two attributes to whoever reads a subject in OpenSSL's old form.
_ATTRIBUTE_IN_VALUE = re.compile(r"[/,+;]\s*[A-Za-z]{1,24}\s*=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request whose own signature holds and whose key is fit; nothing it asks for is granted by that.

    `subject` and `extensions` are lines for people. `asked` is the identity it would have if believed.
    """

    key: CertificatePublicKeyTypes
    pem: bytes
    """The request alone, as the API server takes it: one block of the label CERTIFICATE REQUEST."""
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
    def key_fingerprint(self) -> str:
        """SHA-256 of its SubjectPublicKeyInfo: `openssl pkey -pubin -outform DER | sha256sum` prints it."""
        return spki_fingerprint(public_der(self.key))

    @property
    def enciphers(self) -> bool:
        """Whether the key is one that can encipher other keys."""
        return isinstance(self.key, rsa.RSAPublicKey)


def make_request(subject: Subject, key: PrivateKey) -> bytes:
    """A request for an identity, as PEM; it asks for nothing else."""
    return signed_request(distinguished_name(subject), (), key)


def read_request(data: bytes, *, allowed: Subject | None = None) -> Request:
    """Read a request, and refuse whatever is wrong with it.

    Args:
        data: The file's bytes, of which `LARGEST_REQUEST` and one more were read at most.
        allowed: An identity that may be one of Kubernetes' own since somebody said why.

    Raises:
        AccessError: It is no single request, its signature is broken, its key is weak, or it is misleading.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyca's, about names that are longer than X.520 has them
        return _read(data, allowed)


def _read(data: bytes, allowed: Subject | None) -> Request:
    """Read a request; refuse it first for what makes all else worthless: who asks may not hold the key.

    Raises:
        AccessError: It is refused.
    """
    request = parse_request(data)
    key = key_of(request, hint=_BETTER_KEY)
    for check in (unproven, _unfit_subject, _unfit_extensions):
        fault = check(request)
        if fault is not None:
            raise AccessError(f"the request {fault}")
    fault = _system_claim(request.subject, allowed)
    if fault is not None:
        raise AccessError(
            f"the request asks for {fault}, which is reserved for Kubernetes",
            hint="make a request for the user's own name and groups: `pkigen access csr new`",
        )
    return Request(
        key=key,
        pem=request.public_bytes(Encoding.PEM),
        subject=subject_text(request.subject),
        extensions=tuple(extension_lines(request)),
        asked=_asked(request.subject),
        plain=all(
            attribute.oid in {NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME} for attribute in request.subject
        ),
    )


_BETTER_KEY = "`pkigen access csr new` makes an ECDSA-P256 key and a request for it"


def _unfit_subject(request: x509.CertificateSigningRequest) -> str | None:
    """Why Kubernetes and people would read it differently: Go takes the last common name (`pkix.Name`)."""
    for part in request.subject.rdns:
        if len(list(part)) > 1:
            shown = "+".join(attribute.rfc4514_string() for attribute in part)
            return f"has a subject with several attributes in one: {quoted(shown)}"
    for attribute in request.subject:
        value = text_of(attribute)
        if not value.isprintable():
            return f"has a subject with unprintable characters: {quoted(value)}"
        if _ATTRIBUTE_IN_VALUE.search(value):
            return f"has a subject with one attribute inside another: {quoted(value)}"
    names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) > 1:
        return f"has {len(names)} common names: Kubernetes would take the last, people read the first"
    return None


def _unfit_extensions(request: x509.CertificateSigningRequest) -> str | None:
    """Why nobody could know what was approved: an extension that cannot be shown whole, or a CA's."""
    try:
        lists = sum(attribute.oid in EXTENSION_REQUESTS for attribute in request.attributes)
        extensions = list(request.extensions)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return "holds an extension or an attribute that cannot be read"
    if lists > 1:
        return f"has {lists} lists of extensions: people would read the first, others the last"
    if any(isinstance(each.value, x509.BasicConstraints) and each.value.ca for each in extensions):
        return "asks to become a CA"
    return None


def _system_claim(name: x509.Name, allowed: Subject | None) -> str | None:
    """Which name it asks for, in whatever attribute, that is reserved for Kubernetes; None for others."""
    expected = {allowed.common_name, *allowed.organizations} if allowed is not None else set()
    for attribute in name:
        value = text_of(attribute)
        # In every attribute: in an OU it would grant nothing, and mislead whoever approves it.
        own = is_reserved_user(value) or is_reserved_group(value)
        if own and value not in expected:
            return quoted(f"{attribute.rfc4514_attribute_name}={value}")
    return None


def _asked(name: x509.Name) -> Subject:
    """CN and O as they are asked for; nothing in them is granted by this."""

    def values(oid: x509.ObjectIdentifier) -> tuple[str, ...]:
        return tuple(text_of(attribute) for attribute in name.get_attributes_for_oid(oid))

    return Subject(
        common_name=next(iter(values(NameOID.COMMON_NAME)), ""),
        organizations=tuple(sorted(set(values(NameOID.ORGANIZATION_NAME)))),
    )
