"""What a survey says of one object: the findings, and what is to be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.generations import CA, CertificateFile, InKubeconfig, KeyPairFiles
from pkigen.desired.items import DesiredCertificate
from pkigen.reconcile.checks import Finding
from pkigen.reconcile.plan import Keep
from pkigen.records import dataclass
from pkigen.state.observed import Fault, FaultKind, ObservedCertificate
from pkigen.state.reasons import TIME_REASONS, Reason

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from pkigen.desired.adopted import Adopted
    from pkigen.desired.items import Desired
    from pkigen.reconcile.plan import Action
    from pkigen.state.authority import CACertificates


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which certificates are renewed before they are due.

    `within` replaces every certificate's own `renewBefore`; `ids` are renewed whatever their age. With `only`
    nothing else is renewed, not even what has expired. `revived` are CAs among `ids` that may have ended.
    `requested` are those whose node has asked for them, with a key that only the node has.
    """

    within: timedelta | None = None
    ids: frozenset[str] = frozenset()
    only: bool = False
    revived: frozenset[CA] = frozenset()
    requested: frozenset[str] = frozenset()

    def chosen(self, identifier: str, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """What is found about an object, as far as it is to be acted on."""
        # What is wrong anyway keeps its own reason, which says more than that somebody asked.
        if not findings and identifier in self.ids | self.requested:
            return (Finding(reason=Reason.REQUESTED, detail="asked for"),)
        # Age alone is no reason then; everything else still is.
        if self.only and identifier not in self.ids:
            return tuple(finding for finding in findings if finding.reason not in TIME_REASONS)
        return findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """One object of the inventory as it was found, and what is to be done to it."""

    item: Desired
    action: Action
    findings: tuple[Finding, ...] = ()
    observed: ObservedCertificate | None = None
    issuer: CACertificates | None = None
    sha256: bytes | None = None
    expires: datetime | None = None
    adopted: Adopted | None = None
    """The record of its being taken over, where it stands as it was found then."""
    advice: tuple[Finding, ...] = ()
    """In what such an object is not as pkigen makes it: nothing is done about that before it is due."""


def kept(item: Desired) -> Keep:
    """The action for an object that is as it must be: keep it."""
    paths = item.read_paths if isinstance(item, DesiredCertificate) else item.paths
    return Keep(id=item.id, paths=paths, node=item.node, reason=None)


def certificate_modes(item: DesiredCertificate) -> dict[str, int]:
    """The mode of each file that a certificate stands in."""
    match item.location:
        case KeyPairFiles() as files if item.key_is_elsewhere:
            return {files.certificate: layout.CERTIFICATE_MODE}
        case KeyPairFiles() as files:
            return {files.certificate: layout.CERTIFICATE_MODE, files.key: layout.KEY_MODE}
        case CertificateFile() as file:
            return {file.certificate: layout.CERTIFICATE_MODE}
        case InKubeconfig() as place:
            return {place.kubeconfig: layout.KUBECONFIG_MODE}


def wrong_modes(observed: tuple[tuple[str, int], ...], wanted: dict[str, int]) -> Finding | None:
    """The finding about files whose mode is another than wanted; None where all are right."""
    wrong = [
        f"{path} mode {mode:04o}, must be {wanted[path]:04o}"
        for path, mode in observed
        if path in wanted and mode != wanted[path]
    ]
    return Finding(reason=Reason.MODE, detail="; ".join(wrong)) if wrong else None


def fault_finding(fault: Fault) -> Finding:
    """What could not be read, as a finding."""
    reason = Reason.MISSING if fault.kind is FaultKind.MISSING else Reason.UNREADABLE
    return Finding(reason=reason, detail=f"{fault.path} {fault.message}")
