"""Cross certificates (RFC 4949): a CA's key certified by another CA, for those who trust only that one.

Two generations of a CA are cross-certified one way: the old one certifies the key of the new one. Who trusts
the old one alone finds a path through it; who trusts the new one needs no more than the leaf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from pkigen.crypto.issuance import (
    BACKDATE,
    Issued,
    authority_key_identifier,
    key_usage,
    serial_number,
    signed,
)
from pkigen.crypto.keys import public_der
from pkigen.crypto.names import extension_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from pkigen.crypto.issuance import Entropy, Issuer

_KEPT = (x509.NameConstraints, x509.ExtendedKeyUsage)
"""What limits the new CA limits its cross certificate as well, or that would be a way around."""


def unable_to_certify(certificate: x509.Certificate) -> str | None:
    """Why a CA cannot certify another one; None where it can (RFC 5280 4.2.1.9)."""
    constraints = extension_of(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.value.path_length == 0:
        return "its pathLenConstraint is 0, so it may sign leaves only"
    return None


def cross_certify(successor: x509.Certificate, *, issuer: Issuer, now: datetime, entropy: Entropy) -> Issued:
    """Certify the key of a CA by another one, for as long as both are valid.

    Args:
        successor: The CA whose name and key are certified.
        issuer: The CA that signs; one that is `unable_to_certify` signs what nobody accepts.
        now: The present, in UTC.
        entropy: Where the serial number comes from.
    """
    first, last = issuer.certificate, successor
    builder = (
        x509.CertificateBuilder()
        .subject_name(successor.subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(successor.public_key())
        .serial_number(serial_number(entropy))
        # Backdated for clocks that are slow, but not to before the CA that signs it existed.
        .not_valid_before(max((now - BACKDATE).replace(microsecond=0), first.not_valid_before_utc))
        .not_valid_after(min(first.not_valid_after_utc, last.not_valid_after_utc))
    )
    for value, critical in _extensions(successor, issuer.certificate):
        builder = builder.add_extension(value, critical=critical)
    return Issued(certificate=signed(builder, issuer.key), capped=False)


def _extensions(
    successor: x509.Certificate, issuer: x509.Certificate
) -> Iterator[tuple[x509.ExtensionType, bool]]:
    """What the cross certificate says: the new CA's limits, its key identifier, and no name of its own.

    A subjectAltName would be measured by the name constraints of the CA above (RFC 5280 4.2.1.10), and
    nobody looks for a CA by one.
    """
    yield x509.BasicConstraints(ca=True, path_length=0), True  # it is there for leaves
    yield key_usage(is_ca=True, enciphers_keys=False), True
    for kind in _KEPT:
        kept = extension_of(successor, kind)
        if kept is not None:
            yield kept.value, kept.critical
    # As the new CA has it: by that its leaves name their issuer, whichever certificate of it is found.
    own = extension_of(successor, x509.SubjectKeyIdentifier)
    yield _identifier(successor.public_key()) if own is None else own.value, False
    yield authority_key_identifier(issuer), False


def _identifier(key: CertificatePublicKeyTypes) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key)


def certifies(cross: x509.Certificate, *, issuer: x509.Certificate, subject: x509.Certificate) -> bool:
    """Whether a certificate is that of the subject's name and key by the issuer."""
    if cross.subject != subject.subject or public_der(cross.public_key()) != public_der(subject.public_key()):
        return False
    try:
        cross.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True
