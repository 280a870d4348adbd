"""Why a certificate is not what it must be: a chain of small checks, each with a named reason.

`plan`, `verify` and `status` ask the same checks. A new reason to reissue is one function in `CHECKS`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from pkigen.inventory import DesiredCertificate, SANs, Subject
from pkigen.issuing import Request, distinguished_name, extensions, general_names
from pkigen.keys import describe, public_der
from pkigen.observing import FaultKind, ObservedCertificate

if TYPE_CHECKING:
    from collections.abc import Callable


_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


class Reason(enum.StrEnum):
    """Every reason for which something is changed, or is reported by `verify` and `status`."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    KEY_MISSING = "key-missing"
    KEY_UNREADABLE = "key-unreadable"
    KEY_MISMATCH = "key-mismatch"
    UNKNOWN_ISSUER = "unknown-issuer"
    ISSUER_REPLACED = "issuer-replaced"
    SUBJECT_CHANGED = "subject-changed"
    SANS_CHANGED = "sans-changed"
    EXTENSIONS_CHANGED = "extensions-changed"
    ALGORITHM_CHANGED = "algorithm-changed"
    CHAIN_CHANGED = "chain-changed"
    OUTLIVES_ISSUER = "outlives-issuer"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"
    EXPIRES_SOON = "expires-soon"
    REQUESTED = "requested"
    MODE = "mode"
    CONTENT_CHANGED = "content-changed"
    ORDER_CHANGED = "order-changed"
    NOT_WANTED = "not-wanted"
    ROTATION = "rotation"
    NOT_SEALED = "not-sealed"
    AWAITS_REQUEST = "awaits-request"
    KEY_NOT_ALONE = "key-not-alone"


TIME_REASONS = frozenset({Reason.EXPIRED, Reason.EXPIRES_SOON, Reason.REQUESTED})
"""Reasons for which the same content is issued again: a renewal, not a reissue."""


USELESS = frozenset(
    {
        Reason.MISSING,
        Reason.UNREADABLE,
        Reason.KEY_MISSING,
        Reason.KEY_UNREADABLE,
        Reason.KEY_MISMATCH,
        Reason.UNKNOWN_ISSUER,
        Reason.NOT_YET_VALID,
        Reason.EXPIRED,
    }
)
"""Reasons for which something does not work as it is, and not only differs from the spec."""


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
    """The certificate is there and can be parsed."""
    fault = case.observed.certificate_fault
    if fault is None:
        return None
    if fault.kind is FaultKind.MISSING and case.desired.key_is_elsewhere:
        return Finding(
            reason=Reason.AWAITS_REQUEST,
            detail=f"no request of {case.desired.node} for it was approved yet",
        )
    reason = Reason.MISSING if fault.kind is FaultKind.MISSING else Reason.UNREADABLE
    return Finding(reason=reason, detail=f"{fault.path} {fault.message}")


def key_readable(case: Case) -> Finding | None:
    """The private key is there and can be parsed."""
    fault = case.observed.key_fault
    if fault is None or case.desired.key_is_elsewhere:
        return None
    reason = Reason.KEY_MISSING if fault.kind is FaultKind.MISSING else Reason.KEY_UNREADABLE
    return Finding(reason=reason, detail=f"private key {fault.path} {fault.message}")


def key_matches(case: Case) -> Finding | None:
    """The private key belongs to the certificate."""
    certificate, public_key = case.observed.certificate, case.observed.public_key
    if certificate is None or public_key is None or case.desired.key_is_elsewhere:
        return None
    key = certificate.public_key()
    if _spki(certificate) == public_key:
        return None
    return Finding(
        reason=Reason.KEY_MISMATCH, detail=f"private key does not match the certificate's {describe(key)} key"
    )


def issuer_known(case: Case) -> Finding | None:
    """The certificate is signed by the CA that the inventory names."""
    if case.issuer_replaced:
        return Finding(reason=Reason.ISSUER_REPLACED, detail=f"its CA {case.desired.issuer} is made anew")
    certificate = case.observed.certificate
    if certificate is None or case.issuer is None:
        return None
    if case.previous_issuer is not None and _signed_by(certificate, case.previous_issuer):
        return Finding(
            reason=Reason.ISSUER_REPLACED,
            detail=f"signed by the previous generation of {case.desired.issuer}",
        )
    try:
        certificate.verify_directly_issued_by(case.issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return Finding(
            reason=Reason.UNKNOWN_ISSUER,
            detail=f"signed by an unknown CA that calls itself {certificate.issuer.rfc4514_string()!r}, "
            f"not by {case.desired.issuer}",
        )
    return None


def subject_same(case: Case) -> Finding | None:
    """CN and O are those of the spec."""
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
    """The subject alternative names are those of the spec."""
    certificate = case.observed.certificate
    if certificate is None or case.desired.issuer is None:
        return None
    extension = _extension_of(certificate, x509.SubjectAlternativeName)
    wanted = general_names(case.desired.sans)
    found = list(extension.value) if extension is not None else []
    if set(wanted) != set(found):
        # An address in a DNS name reads like the address, but nobody who dials it finds it (RFC 6125 1.7.2).
        added = "".join(f" + {name_text(name)}" for name in wanted if name not in found)
        removed = "".join(f" - {name_text(name)}" for name in found if name not in wanted)
        return Finding(reason=Reason.SANS_CHANGED, detail=f"SANs{added}{removed}")
    if extension is not None and (extension.critical or not found):
        fault = "are critical, must not be" if extension.critical else "are there, but none is in them"
        return Finding(reason=Reason.SANS_CHANGED, detail=f"SANs {fault}")
    return None


def algorithm_same(case: Case) -> Finding | None:
    """The key is of the algorithm that the spec asks for."""
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
    """Usages, constraints and key identifiers are those of the profile, with the right criticality."""
    certificate = case.observed.certificate
    if certificate is None or case.issuer is None:
        return None
    wanted = {
        extension.oid: extension
        for extension in extensions(Request.of(case.desired), certificate.public_key(), case.issuer)
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
    """The file holds the leaf and just the intermediates that peers need."""
    if case.observed.certificate is None or case.desired.issuer is None or case.issuer is None:
        return None
    if case.observed.chain == case.chain:
        return None
    return Finding(
        reason=Reason.CHAIN_CHANGED,
        detail=f"holds {len(case.observed.chain)} certificates after its own, must hold the "
        f"{len(case.chain)} between it and its trust anchor",
    )


def within_issuer(case: Case) -> Finding | None:
    """No leaf outlives its CA."""
    certificate = case.observed.certificate
    if certificate is None or case.issuer is None:
        return None
    if certificate.not_valid_after_utc <= case.issuer.not_valid_after_utc:
        return None
    return Finding(
        reason=Reason.OUTLIVES_ISSUER,
        detail=f"ends {_day(certificate.not_valid_after_utc)}, after its CA "
        f"({_day(case.issuer.not_valid_after_utc)})",
    )


def begun(case: Case) -> Finding | None:
    """The certificate is valid already."""
    certificate = case.observed.certificate
    if certificate is None or certificate.not_valid_before_utc <= case.now:
        return None
    return Finding(
        reason=Reason.NOT_YET_VALID,
        detail=f"begins {_day(certificate.not_valid_before_utc)}, in the future: is this clock right?",
    )


def not_expired(case: Case) -> Finding | None:
    """The certificate is still valid."""
    certificate = case.observed.certificate
    if certificate is None or case.now < certificate.not_valid_after_utc:
        return None
    return Finding(reason=Reason.EXPIRED, detail=f"expired {_day(certificate.not_valid_after_utc)}")


def not_due(case: Case) -> Finding | None:
    """The certificate has longer to live than `renewBefore`."""
    certificate = case.observed.certificate
    if certificate is None:
        return None
    left = certificate.not_valid_after_utc - case.now
    window = case.desired.renew_before if case.renew_within is None else case.renew_within
    if left > window or left <= timedelta():
        return None
    if case.issuer is not None and certificate.not_valid_after_utc >= case.issuer.not_valid_after_utc:
        # Renewing cannot give it a longer life: its CA is what ends.
        return None
    return Finding(
        reason=Reason.EXPIRES_SOON,
        detail=f"expires {_day(certificate.not_valid_after_utc)}, in {residual(left)}",
    )


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
    absent = reasons & {Reason.MISSING, Reason.AWAITS_REQUEST}
    if absent:
        return tuple(finding for finding in findings if finding.reason in absent)
    return tuple(findings)


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def sans_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Every subject alternative name as text, DNS names first, then addresses, then the rest."""
    extension = _extension_of(certificate, x509.SubjectAlternativeName)
    if extension is None:
        return ()
    names = extension.value
    known = SANs(
        dns_names=tuple(sorted(names.get_values_for_type(x509.DNSName))),
        addresses=tuple(
            address
            for address in names.get_values_for_type(x509.IPAddress)
            if isinstance(address, IPv4Address | IPv6Address)  # networks stand in name constraints only
        ),
    )
    others = (str(name) for name in names if not isinstance(name, x509.DNSName | x509.IPAddress))
    return (*known.texts(), *others)


def subject_of(certificate: x509.Certificate) -> Subject:
    """A certificate's CN and O as Kubernetes reads them."""
    return common_names(certificate.subject)


def common_names(name: x509.Name) -> Subject:
    """CN and O of a distinguished name; an empty CN where there is none."""

    def values(oid: x509.ObjectIdentifier) -> tuple[str, ...]:
        return tuple(str(attribute.value) for attribute in name.get_attributes_for_oid(oid))

    return Subject(
        common_name=next(iter(values(NameOID.COMMON_NAME)), ""),
        organizations=values(NameOID.ORGANIZATION_NAME),
    )


def residual(left: timedelta) -> str:
    """A remaining time in its largest whole unit: `9y`, `364d`, `23h`, `45m`, `10s`; years from two on."""
    seconds = int(left.total_seconds())
    for least, size, unit in _UNITS:
        if abs(seconds) >= least:
            return f"{int(seconds / size)}{unit}"
    return f"{seconds}s"


_UNITS = ((2 * 365 * 86400, 365 * 86400, "y"), (86400, 86400, "d"), (3600, 3600, "h"), (60, 60, "m"))


def _extension_of(certificate: x509.Certificate, kind: type[_Extension]) -> x509.Extension[_Extension] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def name_text(name: x509.GeneralName) -> str:
    """A name as a spec has it; what no spec can have is shown with its kind."""
    match name:
        case x509.IPAddress():
            return str(name.value)
        case x509.DNSName():
            return f"DNS:{name.value}" if _looks_like_an_address(name.value) else name.value
        case _:
            return str(name)


def _looks_like_an_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _spki(certificate: x509.Certificate) -> bytes:
    return public_der(certificate.public_key())


def _subject_text(name: x509.Name) -> str:
    return name.rfc4514_string() or "(empty)"


def extension_name(oid: x509.ObjectIdentifier) -> str:
    """An extension's name as RFC 5280 has it, or its number where it is unknown."""
    return oid._name if oid._name != "Unknown OID" else oid.dotted_string  # noqa: SLF001 -- the only name table


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
