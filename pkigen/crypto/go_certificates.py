"""What Go's `crypto/x509` makes of one certificate: whether it parses it, and what it handles (parser.go)."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import PublicKeyAlgorithmOID

from pkigen.crypto.keys import LARGEST_RSA_BITS, LARGEST_RSA_EXPONENT, public_der
from pkigen.crypto.names import extension_name, extension_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# What processExtensions handles; names by what kinds are among them, and what must not be critical apart.
# policyConstraints, policyMappings and inhibitAnyPolicy it handles since Go 1.24, which Kubernetes is built
# with since v1.33: older clusters refuse them where they are critical, and so does pkigen.
_HANDLED: Final = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.CertificatePolicies,
    x509.CRLDistributionPoints,
)
# processExtensions fails for these where they are critical, since RFC 5280 (4.2.1.1, 4.2.1.2, 4.2.2.1) wants
# them not to be.
_NEVER_CRITICAL: Final = (
    x509.SubjectKeyIdentifier,
    x509.AuthorityKeyIdentifier,
    x509.AuthorityInformationAccess,
)
_HANDLED_NAMES: Final = (x509.DNSName, x509.IPAddress, x509.RFC822Name, x509.UniformResourceIdentifier)
_KEYS: Final = (
    PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5,
    PublicKeyAlgorithmOID.EC_PUBLIC_KEY,
    PublicKeyAlgorithmOID.ED25519,
)
_CURVES: Final = (ec.SECP224R1, ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_SMALLEST_RSA_BITS: Final = 1024  # since Go 1.24 (crypto/rsa checkKeySize)
# The string types of names that parseASN1String knows; pyca itself looks at what a PrintableString holds.
_STRINGS: Final = (
    _ASN1Type.T61String,
    _ASN1Type.PrintableString,
    _ASN1Type.UTF8String,
    _ASN1Type.BMPString,
    _ASN1Type.IA5String,
    _ASN1Type.NumericString,
)
_ESCAPED: Final = r"%[0-9A-Fa-f]{2}"
# By net/url, parse and parseAuthority, and narrower in places (`_is_uri`).
_URI: Final = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*:|(?![^/?#]*:))"
    rf"(?://(?:(?:[A-Za-z0-9._:~!$&'()*+,;=@-]|{_ESCAPED})*@)?"
    r"(?P<host>(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=<>\"-]*)(?::[0-9]*)?)(?=[/?#]|\Z)|(?!//))"
    rf"(?:[^%?#\x00-\x1f\x7f]|{_ESCAPED})*(?:\?[^#\x00-\x1f\x7f]*)?(?:#(?:[^%\x00-\x1f\x7f]|{_ESCAPED})*)?"
)
# By parseRFC2821Mailbox (verify.go): a quoted or a dotted local part, with the octets that each may have.
_MAILBOX: Final = re.compile(
    r"(?:\"(?P<quoted>(?:[\x01-\x08\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]|\\[\x01-\x09\x0b\x0c\x0e-\x7f])*)\""
    r"|(?P<plain>(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]|\\.)+))@(?P<domain>.*)",
    re.DOTALL,
)
# domainToReverseLabels: invalid characters are those below `!` and above `~`.
_PRINTABLE: Final = range(33, 127)


@lru_cache(maxsize=1024)
def unreadable(certificate: x509.Certificate) -> str | None:
    """Why Go does not parse a certificate that pyca parses; None where it does.

    Whoever is sent one ends the handshake, and an anchor that is one is left out of the pool.
    """
    if _serial_number(certificate) < 0:
        return "a serial number of the path is negative"
    checks = (
        _unreadable_extension,
        _unreadable_key,
        _unreadable_name,
        _unreadable_policy,
        _unreadable_subtree,
    )
    return next((fault for check in checks if (fault := check(certificate)) is not None), None)


def _unreadable_extension(certificate: x509.Certificate) -> str | None:
    # Go passes over these, where pyca would find names, usages and constraints.
    if certificate.version is x509.Version.v1 and list(certificate.extensions):
        return "a certificate of version 1 has extensions, which Go does not read"
    found = (
        each for each in certificate.extensions if each.critical and isinstance(each.value, _NEVER_CRITICAL)
    )
    wrong = next(found, None)
    return None if wrong is None else f"the extension {extension_name(wrong.oid)} must not be critical"


def _unreadable_policy(certificate: x509.Certificate) -> str | None:
    extension = extension_of(certificate, x509.CertificatePolicies)
    policies = [each.policy_identifier for each in extension.value] if extension is not None else []
    return None if len(set(policies)) == len(policies) else "a certificate of the path names a policy twice"


def _unreadable_subtree(certificate: x509.Certificate) -> str | None:
    subtree = next((each for each in subtrees(certificate) if not _is_subtree(each)), None)
    return None if subtree is None else f"its name constraint {subtree.value} is none"


def _serial_number(certificate: x509.Certificate) -> int:
    """A serial number that may be zero or less, without pyca's words about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return certificate.serial_number


def _unreadable_name(certificate: x509.Certificate) -> str | None:
    """Which name of a certificate ends Go's parsing (parseName, parseSANExtension)."""
    attributes = (*certificate.subject, *certificate.issuer)
    if not all(_is_text(each) for each in attributes):
        return "a name of the path has a string type that Go does not read"
    names = extension_of(certificate, x509.SubjectAlternativeName)
    uris = () if names is None else names.value.get_values_for_type(x509.UniformResourceIdentifier)
    wrong = next((each for each in uris if not _is_uri(each)), None)
    return None if wrong is None else f"{wrong!r} is no URI for Go"


def _is_text(attribute: x509.NameAttribute[str | bytes]) -> bool:
    kind = attribute._type  # noqa: SLF001 -- there is no other way to it
    is_numeric = kind is not _ASN1Type.NumericString or set(str(attribute.value)) <= set("0123456789 ")
    return kind in _STRINGS and is_numeric


def _is_uri(text: str) -> bool:
    """Whether Go's net/url parses a URI, and x509 its host; a few odd ones that Go takes are none here."""
    found = _URI.fullmatch(text)
    host = (found["host"] or "") if found is not None else ""
    return (
        found is not None and is_domain(host) and ("[" not in host or is_address(host[1:].partition("]")[0]))
    )


def _unreadable_key(certificate: x509.Certificate) -> str | None:
    """Why Go does not parse a key; of a kind that it does not know, it parses none (parsePublicKey)."""
    if certificate.public_key_algorithm_oid not in _KEYS:
        return None
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and not isinstance(key.curve, _CURVES):
        return f"a key of the path is on the curve {key.curve.name}, which Go does not know"
    # Compressed points, and RSA without the NULL that RFC 3279 2.3.1 wants.
    if public_der(key) not in certificate.tbs_certificate_bytes:
        return "a key of the path is encoded in a way that Go does not read"
    return None


def unfit_key(certificate: x509.Certificate) -> str | None:
    """Why Go verifies no signature with the key of a certificate; None where it does."""
    key = certificate.public_key()
    if certificate.public_key_algorithm_oid not in _KEYS:
        return "its key is neither RSA, ECDSA nor Ed25519"
    if not isinstance(key, rsa.RSAPublicKey):
        return None
    if key.key_size < _SMALLEST_RSA_BITS:
        return f"its key is RSA with {key.key_size} bits, which Go's TLS refuses"
    if key.public_numbers().e > LARGEST_RSA_EXPONENT:
        return "its key is RSA with an exponent that Go refuses"
    return None


def unfit_for_tls(chain: Sequence[x509.Certificate]) -> str | None:
    """Why Go's TLS refuses the keys of a chain, whatever its signatures; None where it accepts them."""
    for each in chain:
        key = each.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size > LARGEST_RSA_BITS:
            return f"its key is RSA with {key.key_size} bits, which Go's TLS refuses"
    key = chain[0].public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP224R1):
        return "its key is on the curve secp224r1, with which TLS 1.3 has no signatures (RFC 8446 4.2.3)"
    return unfit_key(chain[0])


def unhandled_critical(certificate: x509.Certificate) -> str | None:
    """A critical extension that Go does not handle: it refuses the certificate (RFC 5280 4.2)."""
    found = (each for each in certificate.extensions if each.critical and not _is_handled(each.value))
    return next((extension_name(each.oid) for each in found), None)


def _is_handled(value: x509.ExtensionType) -> bool:
    """Go leaves names of other kinds unread, and an extension with them unhandled."""
    if isinstance(value, x509.NameConstraints):
        return all(isinstance(each, _HANDLED_NAMES) for each in _subtrees(value))
    if isinstance(value, x509.SubjectAlternativeName):
        return any(isinstance(name, _HANDLED_NAMES) for name in value)
    return isinstance(value, _HANDLED)


def subtrees(certificate: x509.Certificate) -> Iterator[x509.GeneralName]:
    """The name constraints of a certificate, permitted and excluded."""
    constraints = extension_of(certificate, x509.NameConstraints)
    if constraints is not None:
        yield from _subtrees(constraints.value)


def _subtrees(constraints: x509.NameConstraints) -> Iterator[x509.GeneralName]:
    yield from constraints.permitted_subtrees or ()
    yield from constraints.excluded_subtrees or ()


def _is_subtree(subtree: x509.GeneralName) -> bool:
    """Whether a constraint on names is one that Go parses (domainNameValid)."""
    match subtree:
        case x509.DNSName(value=text):
            return is_domain(text.removeprefix("."))
        case x509.UniformResourceIdentifier(value=text):
            return is_domain(text.removeprefix(".")) and not is_address(text)
        case x509.RFC822Name(value=text):
            return mailbox_of(text) is not None if "@" in text else is_domain(text.removeprefix("."))
        case _:
            return True


def mailbox_of(text: str) -> tuple[str, str] | None:
    """The local part and the domain, in lower case, of a mailbox of RFC 2821; None where it is none."""
    found = _MAILBOX.fullmatch(text)
    if found is None or not is_domain(found["domain"]):
        return None
    local = re.sub(r"\\(.)", r"\1", found["quoted"] or found["plain"] or "", flags=re.DOTALL)
    if found["plain"] is not None and "" in local.split("."):
        return None
    return local, found["domain"].lower()


def is_address(text: str) -> bool:
    """Whether it is an IP address, which a name is not."""
    try:
        ip_address(text)
    except ValueError:
        return False
    # Python takes an IPv6 zone (RFC 4007 11), which Go's net.ParseIP does not.
    return "%" not in text


def is_domain(name: str) -> bool:
    """Whether name constraints can be compared with it: labels of printable ASCII, and no dot at its end."""
    return not name or all(
        label and all(ord(letter) in _PRINTABLE for letter in label) for label in name.split(".")
    )


def host_of(uri: str) -> str:
    """The host of a URI, in lower case; empty where it has none."""
    try:
        return urlsplit(uri).hostname or ""
    except ValueError:
        return ""
