"""What Go's `crypto/x509` makes of one certificate: whether it parses it, and what it handles (parser.go)."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import PublicKeyAlgorithmOID

from pkigen.crypto.keys import LARGEST_RSA_BITS, LARGEST_RSA_EXPONENT, public_der
from pkigen.crypto.names import extension_name, extension_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# What processExtensions handles, those that must not be critical apart. policyConstraints, policyMappings and
# inhibitAnyPolicy it handles since Go 1.24, which Kubernetes is built with since v1.33: older clusters refuse
# them where they are critical, and so does pkigen.
_HANDLED: Final = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.NameConstraints,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
    x509.CertificatePolicies,
    x509.CRLDistributionPoints,
)
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
_PRINTABLE: Final = range(33, 127)


@lru_cache(maxsize=1024)
def unreadable(certificate: x509.Certificate) -> str | None:
    """Why Go does not parse a certificate that pyca parses; None where it does.

    Whoever is sent one ends the handshake, and an anchor that is one is left out of the pool.
    """
    if _serial_number(certificate) < 0:
        return "a serial number of the path is negative"
    for extension in certificate.extensions:
        if extension.critical and isinstance(extension.value, _NEVER_CRITICAL):
            return f"the extension {extension_name(extension.oid)} must not be critical"
    fault = _unreadable_key(certificate)
    if fault is not None:
        return fault
    subtree = next((each for each in subtrees(certificate) if not _is_subtree(each)), None)
    return None if subtree is None else f"its name constraint {subtree.value} is none"


def _serial_number(certificate: x509.Certificate) -> int:
    """A serial number that may be zero or less, without pyca's words about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return certificate.serial_number


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
    """Why a handshake ends at the keys of what is sent, whoever has signed it; None where it goes on."""
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
        case x509.DNSName(value=text) | x509.UniformResourceIdentifier(value=text):
            return is_domain(text.removeprefix("."))
        case x509.RFC822Name(value=text):
            return is_domain(text.rpartition("@")[2].removeprefix("."))
        case _:
            return True


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
