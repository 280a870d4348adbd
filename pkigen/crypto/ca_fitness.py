"""Whether a certificate is fit to be a CA of a cluster, and remarks about it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from pkigen.crypto.go_certificates import unhandled_critical
from pkigen.crypto.keys import describe, key_fault, odd_encoding, public_der
from pkigen.crypto.names import extension_of, is_self_issued

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime


def has_name_constraints(certificate: x509.Certificate) -> bool:
    """Whether a CA may sign for some names only; Go checks a trust anchor's constraints like any CA's."""
    return extension_of(certificate, x509.NameConstraints) is not None


def unfit(
    chain: tuple[x509.Certificate, ...], *, public_key: bytes | None, now: datetime, below: int = 0
) -> str | None:
    """Why a CA certificate, with the chain above it, must not sign for this cluster; None where it may.

    Args:
        chain: The CA and what stands above it.
        public_key: That of the private key beside it, as DER; None where it is elsewhere.
        now: The present, in UTC.
        below: How many CAs are to stand between it and a leaf.
    """
    if public_key is not None and public_der(chain[0].public_key()) != public_key:
        return "the private key beside it does not match"
    return _unfit_link(chain) or unfit_in_time(chain, now) or _unfit_chain(chain, below)


def remarks(certificate: x509.Certificate) -> tuple[str, ...]:
    """Why verifiers that are stricter than Kubernetes' may refuse a CA that is fit."""
    # Remarks, not refusals: a CA that an organization has used for years must not have to be exchanged.
    found = {type(extension.value) for extension in certificate.extensions}
    # Go compares names as bytes, empty ones too: CAs of front proxies that Talos has made are like this.
    nameless = () if list(certificate.subject) else ("has an empty subject (RFC 5280 4.1.2.6)",)
    return nameless + tuple(
        sentence
        for kind, sentence in (
            # ssl.VERIFY_X509_STRICT is on by default there (Python 3.13, "What's New").
            (x509.KeyUsage, "has no keyUsage, which Python 3.13 and later refuse (RFC 5280 4.2.1.3)"),
            (x509.SubjectKeyIdentifier, "has no subjectKeyIdentifier (RFC 5280 4.2.1.2)"),
        )
        if kind not in found
    )


def _unfit_link(chain: tuple[x509.Certificate, ...]) -> str | None:
    """What is wrong with a certificate by itself, that of the signing CA first; None where nothing is."""
    # Check by check over all links: the message is about what weighs most, not about what stands lowest.
    for check in _FITNESS:
        for link in chain:
            fault = check(link)
            if fault is not None:
                return fault if link is chain[0] else f"in its chain, {link.subject.rfc4514_string()} {fault}"
    return None


def _unfit_constraints(certificate: x509.Certificate) -> str | None:
    """Why it is not a CA: without basicConstraints it signs nothing (RFC 5280 4.2.1.9 and 6.1.4 (k))."""
    constraints = extension_of(certificate, x509.BasicConstraints)
    if constraints is None:
        return "it has no basicConstraints, so it is not a CA"
    return None if constraints.value.ca else "its basicConstraints say that it is not a CA"


def _unfit_usage(certificate: x509.Certificate) -> str | None:
    """Why it may not sign: a keyUsage forbids it (RFC 5280 6.1.4 (n), Go's CheckSignatureFrom)."""
    usage = extension_of(certificate, x509.KeyUsage)
    if usage is None or usage.value.key_cert_sign:
        return None
    return "its keyUsage does not allow it to sign certificates (keyCertSign)"


def _unfit_extended_usage(certificate: x509.Certificate) -> str | None:
    """Why Go refuses some of what it signs: a CA's extendedKeyUsage is a limit (checkChainForKeyUsage)."""
    extension = extension_of(certificate, x509.ExtendedKeyUsage)
    if extension is None:
        return None
    usages = set(extension.value)
    needed = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    if needed <= usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages:
        return None
    return "its extendedKeyUsage does not allow both serverAuth and clientAuth"


def _unfit_key(certificate: x509.Certificate) -> str | None:
    """Why Go's TLS, or kubeadm's key files, cannot hold its key; Ed25519 is in no kubeadm key file."""
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return f"its key is {describe(key)}; RSA and ECDSA on P-256, P-384 or P-521 are accepted"
    fault = key_fault(key)
    if fault is not None:
        return f"its key {fault}"
    # The key is written again in the usual way: if that is not what stands there, Go parses another thing.
    if public_der(key) not in certificate.tbs_certificate_bytes:
        return f"its key has {odd_encoding(certificate.tbs_certificate_bytes)}, which Kubernetes cannot read"
    return None


def _unfit_signature(certificate: x509.Certificate) -> str | None:
    """Why Go refuses its signature: SHA-1 since 1.18, and MD5 before (`crypto/x509` checkSignature)."""
    if is_self_issued(certificate):
        return None  # a path begins below its trust anchor, whose signature nobody verifies (RFC 5280 6.1)
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        algorithm = None
    if algorithm is None or isinstance(algorithm, hashes.MD5 | hashes.SHA1):
        name = algorithm.name if algorithm else "an unknown hash"
        return f"it is signed with {name}, which Go refuses"
    return None


def _unfit_critical(certificate: x509.Certificate) -> str | None:
    """Who does not understand a critical extension must refuse the certificate (RFC 5280 4.2)."""
    name = unhandled_critical(certificate)
    return name and f"its critical extension {name} is not understood by every verifier of Kubernetes"


# In this order: of all links, the first fault here is the one that is told (`_unfit_link`).
_FITNESS: tuple[Callable[[x509.Certificate], str | None], ...] = (
    _unfit_constraints,
    _unfit_usage,
    _unfit_extended_usage,
    _unfit_key,
    _unfit_signature,
    _unfit_critical,
)


def unfit_in_time(chain: tuple[x509.Certificate, ...], now: datetime) -> str | None:
    """Which of the certificates is not valid now; None where all are."""
    for depth, link in enumerate(chain):
        subject = "it" if depth == 0 else f"{link.subject.rfc4514_string()} above it in the file"
        if now >= link.not_valid_after_utc:
            return f"{subject} expired {link.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        if now < link.not_valid_before_utc:
            return f"{subject} is not valid before {link.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    return None


def _unfit_chain(chain: tuple[x509.Certificate, ...], below: int) -> str | None:
    """Why a chain breaks: a signature of somebody else's, or more CAs below one than it allows (4.2.1.9)."""
    for depth, (link, above) in enumerate(itertools.pairwise(chain)):
        try:
            link.verify_directly_issued_by(above)
        # pyca raises ValueError where the issuer has another name, TypeError where its key can verify
        # nothing.
        except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
            if is_self_issued(link) and is_self_issued(above):
                return "the file holds two roots, and one file is for one CA"
            return f"certificate {depth + 2} of the file did not sign the one before it"
    for depth, link in enumerate(chain):
        # `_unfit_link` has seen to it that every link has basicConstraints.
        limit = link.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
        if limit is not None and limit < depth + below:
            return (
                f"{link.subject.rfc4514_string()} allows {limit} intermediate{'' if limit == 1 else 's'} "
                "below it (pathLenConstraint)"
            )
    return None


def chain_of(
    signer: x509.Certificate, certificates: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """A CA, and of some certificates those that stand above it, one after the other."""
    chain = [signer]
    # Two CAs may have certified each other: the way upwards must not go round.
    while (above := _issuer(chain[-1], certificates)) is not None and above not in chain:
        chain.append(above)
    return tuple(chain)


def _issuer(one: x509.Certificate, among: Sequence[x509.Certificate]) -> x509.Certificate | None:
    return next((each for each in among if each is not one and has_signed(each, one)), None)


def has_signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether a certificate is an issuer's: by the names, and by the signature."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True
