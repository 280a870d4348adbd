"""Why a cross certificate is not what it must be, with a named reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.crypto.cross_certification import certifies
from pkigen.desired.generations import CertificateFile, ca_location
from pkigen.reconcile.checks import Finding
from pkigen.reconcile.surveyed import fault_finding
from pkigen.state.observed import observe_certificate
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from pkigen.desired.items import DesiredCrossCertificate
    from pkigen.state.observed import Reader


def examine_cross(item: DesiredCrossCertificate, reader: Reader, *, now: datetime) -> Finding | None:
    """What is wrong with a cross certificate; None where it serves, or where no other would serve longer.

    Args:
        item: The cross certificate.
        reader: Where it and both generations of its CA are read from.
        now: The present, in UTC.
    """
    observed = observe_certificate(reader, CertificateFile(certificate=item.path))
    cross = observed.certificate
    if cross is None:
        fault = observed.certificate_fault
        return None if fault is None else fault_finding(fault)
    issuer, subject = (
        observe_certificate(reader, ca_location(item.ca, slot)).certificate
        for slot in (item.issuer, item.subject)
    )
    # One of them is about to be made, and the cross certificate with it.
    if issuer is None or subject is None:
        return Finding(reason=Reason.ISSUER_REPLACED, detail=f"its CA {item.ca} is replaced")
    if not certifies(cross, issuer=issuer, subject=subject):
        old, new = (ca_location(item.ca, slot).certificate for slot in (item.issuer, item.subject))
        return Finding(
            reason=Reason.UNKNOWN_ISSUER, detail=f"{item.path} is not the certificate of {new} by {old}"
        )
    return _outlived(cross, issuer, subject, now)


def _outlived(
    cross: x509.Certificate, issuer: x509.Certificate, subject: x509.Certificate, now: datetime
) -> Finding | None:
    """The finding that it has ended, although both CAs are still valid."""
    # While one of the CAs has ended, another cross certificate would have ended with it.
    ends = [each.not_valid_after_utc for each in (cross, issuer, subject)]
    if min(ends) > now or min(ends[1:]) <= now:
        return None
    return Finding(reason=Reason.EXPIRED, detail="has expired, and its CAs were renewed")
