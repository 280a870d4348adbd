"""What time does to certificates."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from pkigen.adoption.findings import AuditFinding, AuditRule
from pkigen.adoption.put_away import is_put_away, is_rotated
from pkigen.adoption.severity import AuditSeverity
from pkigen.crypto.names import is_ca, subject_of
from pkigen.notation import residual

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cryptography import x509

    from pkigen.adoption.found import ForeignCluster, FoundCertificate

LEAF_NOTICE: Final = timedelta(days=30)
CA_NOTICE: Final = timedelta(days=180)
"""A CA's end is every leaf's end, and a rotation waits for each certificate to be distributed."""
_SHORTEST_PART: Final = 10
_OWN_KUBELET: Final = "/var/lib/kubelet/pki/kubelet.crt"


def expired(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """What everybody refuses already."""
    for found in cluster.each_certificate():
        end = found.certificate.not_valid_after_utc
        if end < cluster.now:
            yield AuditFinding(
                rule=AuditRule.EXPIRED,
                severity=_weight(cluster, found),
                spot=found.spot,
                detail=f"{_named(found)} expired {_ago(end, cluster.now)} ago, on {end:%Y-%m-%d %H:%M} UTC",
            )


def expires_soon(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """What is refused before long, within its notice."""
    for found in cluster.each_certificate():
        end = found.certificate.not_valid_after_utc
        is_due = cluster.now <= end <= cluster.now + notice_of(found.certificate)
        if is_due and not is_leftover(cluster, found):
            yield AuditFinding(
                rule=AuditRule.EXPIRES_SOON,
                severity=AuditSeverity.WARNING,
                spot=found.spot,
                detail=f"{_named(found)} expires in {residual(end - cluster.now)}, "
                f"on {end:%Y-%m-%d %H:%M} UTC",
            )


def notice_of(certificate: x509.Certificate) -> timedelta:
    """How long before its end a certificate should be replaced: no more than a tenth of its life."""
    whole = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return min(CA_NOTICE if is_ca(certificate) else LEAF_NOTICE, whole / _SHORTEST_PART)


def not_yet_valid(cluster: ForeignCluster) -> Iterator[AuditFinding]:
    """What everybody refuses until a day that is yet to come."""
    for found in cluster.each_certificate():
        begin = found.certificate.not_valid_before_utc
        if begin > cluster.now:
            yield AuditFinding(
                rule=AuditRule.NOT_YET_VALID,
                severity=AuditSeverity.ERROR,
                spot=found.spot,
                detail=f"{_named(found)} is not valid before {begin:%Y-%m-%d %H:%M} UTC",
            )


def is_leftover(cluster: ForeignCluster, found: FoundCertificate) -> bool:
    """Whether a certificate is one that a kubelet has replaced, or lies where people put copies away."""
    if is_put_away(found.spot.path):
        return True
    shown = {
        login.pair.spot.path
        for _, kubeconfig in cluster.each_kubeconfig()
        for login in kubeconfig.logins
        if login.pair is not None and login.pair.spot.node == found.spot.node
    }
    return is_rotated(found.spot.path) and found.spot.path not in shown


def _weight(cluster: ForeignCluster, found: FoundCertificate) -> AuditSeverity:
    """A rotation's old CA, and a kubelet's own serving certificate, which nobody verifies, stop nothing."""
    if is_leftover(cluster, found):
        return AuditSeverity.INFORMATION
    # The kubelet makes kubelet.crt itself where it is given none (cmd/kubelet/app/server.go `InitializeTLS`).
    if found.spot.path == _OWN_KUBELET or (is_ca(found.certificate) and _has_other_ca(cluster, found)):
        return AuditSeverity.WARNING
    return AuditSeverity.ERROR


def _has_other_ca(cluster: ForeignCluster, found: FoundCertificate) -> bool:
    return any(
        other.spot == found.spot
        and is_ca(other.certificate)
        and other.certificate.not_valid_after_utc >= cluster.now
        for other in cluster.each_certificate()
    )


def _named(found: FoundCertificate) -> str:
    kind = "the CA" if is_ca(found.certificate) else "the certificate of"
    return f"{kind} {subject_of(found.certificate)}"


def _ago(end: datetime, now: datetime) -> str:
    return residual(now - end)
