"""Why a certificate is not what it must be: a chain of small checks, each with a named reason.

`plan`, `verify` and `status` ask the same checks. A new reason to reissue is one function in `CHECKS`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from pkigen.crypto.issuance import distinguished_name, extensions, general_names
from pkigen.crypto.keys import describe, public_der
from pkigen.crypto.names import extension_name, extension_of, name_text
from pkigen.desired.items import content_of
from pkigen.notation import residual
from pkigen.records import dataclass
from pkigen.state.observed import FaultKind, ObservedCertificate
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pkigen.desired.items import DesiredCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One named reason, and the detail that a reviewer needs."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything that a check may look at.

    `issuer` is None for a root CA and where the issuer itself is about to be made, which `issuer_replaced`
    says. `chain` is what the file must hold after the certificate.
    """

    desired: DesiredCertificate
    observed: ObservedCertificate
    issuer: x509.Certificate | None
    issuer_replaced: bool
    chain: tuple[x509.Certificate, ...]
    now: datetime
    previous_issuer: x509.Certificate | None = None
    renew_within: timedelta | None = None


def readable(case: Case) -> Finding | None:
    """Whether the certificate is there and can be parsed; the finding where not, as of every check."""
    fault = case.observed.certificate_fault
    if fault is None:
        return None
    # It cannot be made here: the node has to ask for it first.
    if fault.kind is FaultKind.MISSING and case.desired.key_is_elsewhere:
        return Finding(
            reason=Reason.AWAITS_REQUEST,
            detail=f"no request of {case.desired.node} for it was approved yet",
        )
    reason = Reason.MISSING if fault.kind is FaultKind.MISSING else Reason.UNREADABLE
    return Finding(reason=reason, detail=f"{fault.path} {fault.message}")


def key_readable(case: Case) -> Finding | None:
    """Whether the private key is there and can be parsed."""
    fault = case.observed.key_fault
    if fault is None or case.desired.key_is_elsewhere:
        return None
    reason = Reason.KEY_MISSING if fault.kind is FaultKind.MISSING else Reason.KEY_UNREADABLE
    return Finding(reason=reason, detail=f"private key {fault.path} {fault.message}")


def key_matches(case: Case) -> Finding | None:
    """Whether the private key belongs to the certificate."""
    certificate, public_key = case.observed.certificate, case.observed.public_key
    # What cannot be read has a finding of its own.
    if certificate is None or public_key is None or case.desired.key_is_elsewhere:
        return None
    key = certificate.public_key()
    if _spki(certificate) == public_key:
        return None
    return Finding(
        reason=Reason.KEY_MISMATCH, detail=f"private key does not match the certificate's {describe(key)} key"
    )


def issuer_known(case: Case) -> Finding | None:
    """Whether the certificate is signed by the CA that the inventory names."""
    if case.issuer_replaced:
        return Finding(reason=Reason.ISSUER_REPLACED, detail=f"its CA {case.desired.issuer} is replaced")
    certificate = case.observed.certificate
    if certificate is None or case.issuer is None:
        return None
    # Before the present issuer: two generations may share a name, and only the signature tells them apart.
    if case.previous_issuer is not None and _signed_by(certificate, case.previous_issuer):
        return Finding(
            reason=Reason.ISSUER_REPLACED,
            detail=f"signed by the previous generation of {case.desired.issuer}",
        )
    if _signed_by(certificate, case.issuer):
        return None
    return Finding(
        reason=Reason.UNKNOWN_ISSUER,
        detail=f"signed by an unknown CA named {certificate.issuer.rfc4514_string()!r}, "
        f"not by {case.desired.issuer}",
    )


def subject_same(case: Case) -> Finding | None:
    """Whether CN and O are those of the spec."""
    certificate = case.observed.certificate
    if certificate is None or case.desired.issuer is None:
        # A CA is called what whoever made it called it; nothing looks CAs up by a fixed name.
        return None
    if certificate.subject == distinguished_name(case.desired.subject):
        return None
    return Finding(
        reason=Reason.SUBJECT_CHANGED,
        detail=f"subject - {_subject_text(certificate.subject)} + {case.desired.subject}",
    )


def sans_same(case: Case) -> Finding | None:
    """Whether the subject alternative names are those of the spec."""
    certificate = case.observed.certificate
    if certificate is None or case.desired.issuer is None:
        return None
    extension = extension_of(certificate, x509.SubjectAlternativeName)
    wanted = general_names(case.desired.sans)
    found = list(extension.value) if extension is not None else []
    # As sets: neither their order nor repeats mean anything to who verifies.
    if set(wanted) != set(found):
        # An address in a DNS name reads like the address, but clients do not find it there (RFC 6125 1.7.2).
        return Finding(reason=Reason.SANS_CHANGED, detail=f"SANs{_difference(wanted, found)}")
    if extension is not None and (extension.critical or not found):
        fault = "are critical, must not be" if extension.critical else "are present, but empty"
        return Finding(reason=Reason.SANS_CHANGED, detail=f"SANs {fault}")
    return None


def algorithm_same(case: Case) -> Finding | None:
    """Whether the key is of the algorithm that the spec asks for.

    Of a CA nothing is asked: it keeps its key until a rotation, which makes the next one of this algorithm.
    """
    certificate = case.observed.certificate
    if certificate is None or case.desired.issuer is None:
        return None
    key = certificate.public_key()
    if describe(key) == case.desired.key_algorithm:
        return None
    return Finding(
        reason=Reason.ALGORITHM_CHANGED,
        detail=f"key algorithm - {describe(key)} + {case.desired.key_algorithm}",
    )


def extensions_same(case: Case) -> Finding | None:
    """Whether usages, constraints and key identifiers are the profile's, with the right criticality.

    Of a root nothing is asked: one that was brought has its maker's extensions.
    """
    certificate = case.observed.certificate
    if certificate is None or case.issuer is None:
        return None
    # The names have a check of their own, whose reason says more.
    wanted = {
        extension.oid: extension
        for extension in extensions(content_of(case.desired), certificate.public_key(), case.issuer)
        if not isinstance(extension.value, x509.SubjectAlternativeName)
    }
    found = {
        extension.oid: extension
        for extension in certificate.extensions
        if not isinstance(extension.value, x509.SubjectAlternativeName)
    }
    different = [
        extension_name(oid) for oid in sorted(wanted | found, key=str) if wanted.get(oid) != found.get(oid)
    ]
    if not different:
        return None
    return Finding(reason=Reason.EXTENSIONS_CHANGED, detail=f"differs in {', '.join(different)}")


def chain_same(case: Case) -> Finding | None:
    """Whether the file holds the leaf and just the intermediates that peers need."""
    if case.observed.certificate is None or case.issuer is None:
        return None
    if case.observed.chain == case.chain:
        return None
    return Finding(
        reason=Reason.CHAIN_CHANGED,
        detail=f"holds {len(case.observed.chain)} certificates after its own, must hold the "
        f"{len(case.chain)} between it and its trust anchor",
    )


def within_issuer(case: Case) -> Finding | None:
    """Whether the certificate ends with its CA or before."""
    certificate = case.observed.certificate
    if certificate is None or case.issuer is None:
        return None
    if certificate.not_valid_after_utc <= case.issuer.not_valid_after_utc:
        return None
    return Finding(
        reason=Reason.OUTLIVES_ISSUER,
        detail=f"expires {_day(certificate.not_valid_after_utc)}, after its CA "
        f"({_day(case.issuer.not_valid_after_utc)})",
    )


def begun(case: Case) -> Finding | None:
    """Whether the certificate is valid already."""
    certificate = case.observed.certificate
    if certificate is None or certificate.not_valid_before_utc <= case.now:
        return None
    return Finding(
        reason=Reason.NOT_YET_VALID,
        detail=f"is not valid before {_day(certificate.not_valid_before_utc)}, in the future: check this "
        "machine's clock",
    )


def not_expired(case: Case) -> Finding | None:
    """Whether the certificate is still valid."""
    certificate = case.observed.certificate
    if certificate is None or case.now < certificate.not_valid_after_utc:
        return None
    return Finding(reason=Reason.EXPIRED, detail=f"expired {_day(certificate.not_valid_after_utc)}")


def not_due(case: Case) -> Finding | None:
    """Whether the certificate has longer to live than `renewBefore`."""
    certificate = case.observed.certificate
    if certificate is None:
        return None
    left = certificate.not_valid_after_utc - case.now
    window = case.desired.renew_before if case.renew_within is None else case.renew_within
    # What has ended is `not_expired`'s to tell.
    if left > window or left <= timedelta():
        return None
    if case.issuer is not None and certificate.not_valid_after_utc >= case.issuer.not_valid_after_utc:
        # Renewing cannot give it a longer life: its CA is what ends.
        return None
    return Finding(
        reason=Reason.EXPIRES_SOON,
        detail=f"expires {_day(certificate.not_valid_after_utc)}, in {residual(left)}",
    )


# The first reason is the one that is told: what makes a certificate useless comes before what merely differs
# from the spec, and its age comes last.
CHECKS: tuple[Callable[[Case], Finding | None], ...] = (
    readable,
    key_readable,
    key_matches,
    issuer_known,
    subject_same,
    sans_same,
    algorithm_same,
    extensions_same,
    chain_same,
    within_issuer,
    begun,
    not_expired,
    not_due,
)


def examine(case: Case) -> tuple[Finding, ...]:
    """Run every check; the first finding is the one that decides."""
    findings = [finding for check in CHECKS if (finding := check(case)) is not None]
    reasons = {finding.reason for finding in findings}
    # Of what is not there, everything else would be found wrong as well.
    absent = reasons & {Reason.MISSING, Reason.AWAITS_REQUEST}
    if absent:
        return tuple(finding for finding in findings if finding.reason in absent)
    return tuple(findings)


def _difference(wanted: Sequence[x509.GeneralName], found: Sequence[x509.GeneralName]) -> str:
    """The names that come and go, in the form of a diff."""
    added = "".join(f" + {name_text(name)}" for name in wanted if name not in found)
    removed = "".join(f" - {name_text(name)}" for name in found if name not in wanted)
    return f"{added}{removed}"


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether an issuer's key made the signature; an issuer of another name is none."""
    try:
        certificate.verify_directly_issued_by(issuer)
    # ValueError for an issuer of another name, TypeError for one whose key can sign nothing.
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _spki(certificate: x509.Certificate) -> bytes:
    return public_der(certificate.public_key())


def _subject_text(name: x509.Name) -> str:
    return name.rfc4514_string() or "(empty)"


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
