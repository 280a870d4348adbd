"""The contents of a certificate signing request as text: shown to the approver, and never issued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import AttributeOID, ExtendedKeyUsageOID

from pkigen.crypto.names import extension_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXTENSION_REQUESTS = frozenset(
    {x509.ObjectIdentifier("1.2.840.113549.1.9.14"), x509.ObjectIdentifier("1.3.6.1.4.1.311.2.1.14")}
)
"""The attributes that ask for extensions: PKCS #9's (RFC 2985 5.4.2), and Microsoft's, read alike."""
_SHOWN = 120
_ATTRIBUTES_SHOWN = 20


def text_of(attribute: x509.NameAttribute[str | bytes]) -> str:
    """An attribute's value; of one that is no text, its bytes."""
    value = attribute.value
    return value if isinstance(value, str) else value.hex()


def quoted(value: str) -> str:
    """A value that somebody else chose: on one line, and cut where it is long."""
    return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")


def subject_text(name: x509.Name) -> str:
    """A subject whose values are printable."""
    shown = [f"{each.rfc4514_attribute_name}={_cut(text_of(each))}" for each in name]
    more = len(shown) - _ATTRIBUTES_SHOWN
    return ", ".join([*shown[:_ATTRIBUTES_SHOWN], *([f"… and {more} more"] if more > 0 else [])]) or "(empty)"


def extension_lines(request: x509.CertificateSigningRequest) -> Iterator[str]:
    """Each extension that the request asks for, then its other attributes by their kind alone."""
    for extension in request.extensions:
        name = extension_name(extension.oid)
        show = _SHOW.get(type(extension.value))
        yield f"{name}: {show(extension.value)}" if show else name
    for attribute in request.attributes:
        if attribute.oid == AttributeOID.CHALLENGE_PASSWORD:
            yield "challengePassword"  # a secret of two parties that pkigen is none of
        elif attribute.oid not in EXTENSION_REQUESTS:
            yield f"attribute {attribute.oid.dotted_string}"


def _cut(value: str) -> str:
    return value if len(value) <= _SHOWN else value[:_SHOWN] + "…"


def _names(value: x509.SubjectAlternativeName) -> str:
    return quoted(", ".join(f"{_NAME_KINDS[type(name)]}:{_name(name)}" for name in value))


def _name(name: x509.GeneralName) -> str:
    match name:
        case x509.DirectoryName():
            return subject_text(name.value)
        case x509.RegisteredID():
            return name.value.dotted_string
        case x509.OtherName():
            return name.type_id.dotted_string
        case _:
            return str(name.value)


def _usages(value: x509.KeyUsage) -> str:
    flags = {
        "digitalSignature": value.digital_signature,
        "contentCommitment": value.content_commitment,
        "keyEncipherment": value.key_encipherment,
        "dataEncipherment": value.data_encipherment,
        "keyAgreement": value.key_agreement,
        "keyCertSign": value.key_cert_sign,
        "cRLSign": value.crl_sign,
    }
    return ", ".join(name for name, given in flags.items() if given) or "none"


# RFC 5280 4.2.1.6, in OpenSSL's notation.
_NAME_KINDS: dict[type, str] = {
    x509.DNSName: "DNS",
    x509.IPAddress: "IP",
    x509.RFC822Name: "email",
    x509.UniformResourceIdentifier: "URI",
    x509.DirectoryName: "dirName",
    x509.RegisteredID: "RID",
    x509.OtherName: "otherName",
}
_USAGE_NAMES = {ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth", ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth"}
_SHOW: dict[type, Callable[..., str]] = {
    x509.SubjectAlternativeName: _names,
    x509.KeyUsage: _usages,
    x509.ExtendedKeyUsage: lambda value: ", ".join(_USAGE_NAMES.get(oid, oid.dotted_string) for oid in value),
    x509.BasicConstraints: lambda value: "CA" if value.ca else "no CA",
}
