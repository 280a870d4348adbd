"""Certificates that stand where another spec wanted them: in a kubeconfig, or in files of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.desired.generations import InKubeconfig
from pkigen.reconcile.checks import Finding
from pkigen.reconcile.plan import Rewrite
from pkigen.reconcile.surveyed import Surveyed
from pkigen.state.observed import ObservedCertificate, Reader, is_withheld, observe_certificate
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from pkigen.desired.generations import Location
    from pkigen.desired.items import DesiredCertificate


def former_place(reader: Reader, item: DesiredCertificate, here: ObservedCertificate) -> Location | None:
    """Where a certificate stands that must move; None where it is right, or nowhere."""
    if item.former is None or here.certificate is not None:
        return None
    is_there = (
        is_unseen(reader, item.former) or observe_certificate(reader, item.former).certificate is not None
    )
    return item.former if is_there else None


def is_unseen(reader: Reader, location: Location) -> bool:
    """Whether it is a kubeconfig that is not looked at: without private files it is taken for right."""
    return isinstance(location, InKubeconfig) and is_withheld(reader, location.kubeconfig)


def elsewhere(item: DesiredCertificate, former: Location) -> Finding:
    """The finding that a certificate stands where another spec wanted it."""
    file = former.kubeconfig if isinstance(former, InKubeconfig) else former.certificate
    what = "it and its key move" if not item.key_is_elsewhere else "it moves"
    return Finding(reason=Reason.LOCATION_CHANGED, detail=f"{what} from {file} to {item.file}")


def moved(item: DesiredCertificate, former: Location) -> Surveyed:
    """A certificate that moves, and that cannot be looked at here."""
    finding = elsewhere(item, former)
    action = Rewrite(
        id=item.id, paths=item.read_paths, node=item.node, reason=finding.reason, details=(finding.detail,)
    )
    return Surveyed(item=item, action=action, findings=(finding,))
