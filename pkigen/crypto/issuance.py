"""The only user of the X.509 builder: desired certificate, key and issuer in, certificate out.

Criticality is always explicit. What differs from kubeadm is what RFC 5280 asks for: SKI on leaves
(4.2.1.2), AKI on everything that another key signs (4.2.1.1), cRLSign on CAs, keyEncipherment for RSA only.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from pkigen.crypto.keys import PrivateKey, signature_hash
from pkigen.crypto.names import extension_of
from pkigen.crypto.profiles import PROFILES, Profile
from pkigen.records import dataclass

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from pkigen.crypto.names import SANs, Subject

Entropy = Callable[[int], bytes]
"""Returns that many random bytes; `os.urandom` outside of tests."""

BACKDATE = timedelta(minutes=5)
"""How long before now a certificate begins, for clocks that are behind (kubeadm, `certlist.go`)."""

_SERIAL_OCTETS = 20  # RFC 5280 4.1.2.2: at most 20 octets, positive
END_OF_TIME = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The last moment that a certificate can name (RFC 5280 4.1.2.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """A CA that can sign: its certificate, its key, and what stands between it and its root.

    `chain` holds the issuing certificate and every intermediate above it, without a self-signed root;
    it is empty where the CA itself is a root.
    """

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateContent:
    """The content of a certificate to be: everything but the key, the issuer and the time."""

    subject: Subject
    sans: SANs
    profile: Profile
    validity: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A new certificate; `capped` says that it would have outlived its CA and was shortened."""

    certificate: x509.Certificate
    capped: bool


def issue(
    request: CertificateContent, *, key: PrivateKey, issuer: Issuer | None, now: datetime, entropy: Entropy
) -> Issued:
    """Sign a certificate for `key`; self-signed where `issuer` is None.

    Args:
        request: What the certificate says.
        key: The subject's private key; only its public half is used, unless it signs itself.
        issuer: The CA that signs.
        now: The present, in UTC.
        entropy: Where the serial number comes from.
    """
    return _issue(request, key.public_key(), key, issuer, now, entropy)


def issue_for(
    request: CertificateContent,
    *,
    public_key: CertificatePublicKeyTypes,
    issuer: Issuer,
    now: datetime,
    entropy: Entropy,
) -> Issued:
    """Sign a certificate for a key whose private half somebody else has.

    Args:
        request: What the certificate says.
        public_key: The subject's.
        issuer: The CA that signs.
        now: The present, in UTC.
        entropy: Where the serial number comes from.
    """
    return _issue(request, public_key, issuer.key, issuer, now, entropy)


def _issue(
    request: CertificateContent,
    public_key: CertificatePublicKeyTypes,
    own_key: PrivateKey,
    issuer: Issuer | None,
    now: datetime,
    entropy: Entropy,
) -> Issued:
    """Put a certificate together.

    It lies within its CA's validity: Go and OpenSSL check the dates of each certificate of a path by itself
    (RFC 5280 6.1.3 (a)), so what outlives its CA would only seem to live.
    """
    # Certificates know whole seconds only (RFC 5280 4.1.2.5).
    not_before = (now - BACKDATE).replace(microsecond=0)
    not_after = end_of_validity(now, request.validity)
    capped = False
    if issuer is not None:
        not_before = max(not_before, issuer.certificate.not_valid_before_utc)
        # It is told, so that nobody counts on the validity that the spec gives.
        capped = not_after > issuer.certificate.not_valid_after_utc
        not_after = min(not_after, issuer.certificate.not_valid_after_utc)
    name = distinguished_name(request.subject)
    signing_key = own_key if issuer is None else issuer.key
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        # The issuer's subject as it is written there: Go compares names by their encoding.
        .issuer_name(name if issuer is None else issuer.certificate.subject)
        .public_key(public_key)
        .serial_number(serial_number(entropy))
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    signer = None if issuer is None else issuer.certificate
    for extension in extensions(request, public_key, signer):
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return Issued(certificate=signed(builder, signing_key), capped=capped)


def signed(builder: x509.CertificateBuilder, key: PrivateKey) -> x509.Certificate:
    """Sign a certificate so that the same content and key give the same bytes, also with ECDSA (RFC 6979)."""
    algorithm = signature_hash(key)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        # A cryptography that was built against OpenSSL before 3.2 can only sign with a random nonce.
        with suppress(UnsupportedAlgorithm):
            return builder.sign(key, algorithm, ecdsa_deterministic=True)
    return builder.sign(key, algorithm)


def renew_root(
    certificate: x509.Certificate, *, key: PrivateKey, validity: timedelta, now: datetime, entropy: Entropy
) -> Issued:
    """Give a self-signed CA certificate a new serial number and validity; all else stays as it is.

    Since subject, key and SKI are the same, everything that the CA has signed verifies against both.
    """
    builder = (
        x509.CertificateBuilder()
        .subject_name(certificate.subject)
        .issuer_name(certificate.subject)
        .public_key(key.public_key())
        .serial_number(serial_number(entropy))
        .not_valid_before((now - BACKDATE).replace(microsecond=0))
        .not_valid_after(end_of_validity(now, validity))
    )
    # As they are, criticality included: whoever verified with the old certificate verifies with the new one.
    for extension in certificate.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return Issued(certificate=signed(builder, key), capped=False)


def end_of_validity(now: datetime, validity: timedelta) -> datetime:
    """When a certificate made now ends, to the second, if its CA lives that long."""
    # Compared before it is added: a datetime beyond the year 9999 is an OverflowError.
    end = END_OF_TIME if validity > END_OF_TIME - now else now + validity
    return end.replace(microsecond=0)


def serial_number(entropy: Entropy) -> int:
    """A positive serial number of 159 random bits (RFC 5280 4.1.2.2; CA/Browser BR 7.1 asks for 64)."""
    # Without its topmost bit the number is positive in twenty octets; zero is no serial number.
    return int.from_bytes(entropy(_SERIAL_OCTETS), "big") >> 1 or 1


def distinguished_name(subject: Subject) -> x509.Name:
    """Organizations, then the common name: the order of Go's `pkix.Name`."""
    return x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in subject.organizations),
            x509.NameAttribute(NameOID.COMMON_NAME, subject.common_name),
        ]
    )


def extensions(
    request: CertificateContent, key: CertificatePublicKeyTypes, issuer: x509.Certificate | None
) -> tuple[x509.Extension[x509.ExtensionType], ...]:
    """The extensions of a certificate, in the order in which they are written."""
    profile = PROFILES[request.profile]
    enciphers = isinstance(key, rsa.RSAPublicKey)
    result = [
        # Critical in a CA (RFC 5280 4.2.1.9); Go writes it so in every certificate, and kubeadm with it.
        _extension(x509.BasicConstraints(ca=profile.is_ca, path_length=profile.path_length), critical=True),
        # Critical, as 4.2.1.3 recommends.
        _extension(key_usage(is_ca=profile.is_ca, enciphers_keys=enciphers), critical=True),
    ]
    if profile.extended_key_usages:
        # 4.2.1.12 leaves criticality open; Go writes it uncritical.
        result.append(_extension(x509.ExtendedKeyUsage(profile.extended_key_usages), critical=False))
    # Both key identifiers must not be critical (4.2.1.1, 4.2.1.2).
    result.append(_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False))
    if issuer is not None:
        result.append(_extension(authority_key_identifier(issuer), critical=False))
    names = general_names(request.sans)
    if names:
        # Critical only beside an empty subject (4.2.1.6), and no subject of ours is empty.
        result.append(_extension(x509.SubjectAlternativeName(names), critical=False))
    return tuple(result)


def key_usage(*, is_ca: bool, enciphers_keys: bool) -> x509.KeyUsage:
    """RFC 5280 4.2.1.3; a CA signs certificates and CRLs, only RSA leaves encipher keys (RFC 8813 3)."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=enciphers_keys and not is_ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The issuer's own SKI where it has one, so that both always agree (RFC 5280 4.2.1.1)."""
    identifier = extension_of(issuer, x509.SubjectKeyIdentifier)
    if identifier is None:
        # What would be its SKI if it had one (RFC 5280 4.2.1.2 (1)).
        public_key = issuer.public_key()
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key)  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier.value)


def general_names(sans: SANs) -> list[x509.GeneralName]:
    """DNS names, then addresses."""
    return [
        *(x509.DNSName(name) for name in sans.dns_names),
        *(x509.IPAddress(address) for address in sans.addresses),
    ]


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 over the DER, in hex, as `openssl x509 -fingerprint` and browsers show it."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def certificate_pem(*certificates: x509.Certificate) -> bytes:
    """One or several certificates as PEM, in the given order."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def _extension(value: x509.ExtensionType, *, critical: bool) -> x509.Extension[x509.ExtensionType]:
    return x509.Extension(value.oid, critical, value)
