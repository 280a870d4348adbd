"""What there is and how long it lasts, as rows that every form of `pkigen status` is written from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pkigen.crypto.issuance import fingerprint
from pkigen.desired.generations import InKubeconfig
from pkigen.desired.items import DesiredCertificate, DesiredKeyPair, DesiredToken
from pkigen.desired.revocations import CredentialId
from pkigen.reconcile.progress import SILENCE, Progress
from pkigen.reconcile.survey import Survey
from pkigen.records import dataclass
from pkigen.state.authority import look_at_all
from pkigen.state.observed import is_withheld
from pkigen.state.reasons import USELESS, Anomaly, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime, timedelta

    from cryptography import x509

    from pkigen.desired.generations import CA
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.rendering import Renderer
    from pkigen.reconcile.surveyed import Surveyed
    from pkigen.state.authority import CACertificates
    from pkigen.state.observed import Reader


# What stands in the status; nothing else is looked at for it.
_LASTING = (DesiredCertificate, DesiredKeyPair, DesiredToken)
_NOT_JUDGED = (str(Anomaly.NOT_JUDGED),)
_NOT_HERE = ("its private file is not in this checkout",)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """One certificate or token, or the service account key, which does not expire.

    `expires` is the certificate's own end; `effective` is the earliest end along its chain, when it stops
    working. From `due_from` on it is inside its own `renewBefore`, or in the last third of its life where its
    CA has shortened that. `reasons` is empty where nothing is wrong; `works` is False where it is of no use
    as it is. `embedded_key` is the user's name in the kubeconfig that it stands in, else None.
    """

    id: str
    node: str | None
    name: str
    path: str
    ca: str | None
    embedded_key: str | None
    certificate: x509.Certificate | None
    expires: datetime | None
    effective: datetime | None
    due_from: datetime | None
    reasons: tuple[str, ...]
    details: tuple[str, ...]
    works: bool
    is_certificate: bool = True


def rows(
    inventory: Inventory,
    reader: Reader,
    renderer: Renderer,
    *,
    now: datetime,
    progress: Progress = SILENCE,
    settled: bool = False,
) -> Iterator[StatusRow]:
    """Every certificate in the inventory's order; where all is settled, no more is asked of them."""
    authorities, faults = look_at_all(reader, inventory, now=now)
    survey = Survey(
        inventory=inventory,
        reader=reader,
        renderer=renderer,
        authorities=authorities,
        now=now,
        progress=progress,
        kinds=_LASTING,
        settled=settled,
    )
    yield from rows_of(survey.objects(), inventory, reader, faults=faults)


def rows_of(
    objects: Iterable[Surveyed], inventory: Inventory, reader: Reader, *, faults: Mapping[CA, str]
) -> Iterator[StatusRow]:
    """The certificates among objects that were looked at."""
    said = {ca.certificate_name: fault for ca, fault in faults.items()}
    for surveyed in objects:
        if isinstance(surveyed.item, _LASTING):
            row = _row(inventory, surveyed.item, surveyed, said.get(surveyed.item.id))
            row = _with_revocation(row, inventory)
            is_hidden = row.expires is None and row.certificate is None and is_withheld(reader, row.path)
            yield replace(row, reasons=_NOT_JUDGED, details=_NOT_HERE) if is_hidden else row


def _with_revocation(row: StatusRow, inventory: Inventory) -> StatusRow:
    """A certificate that API servers refuse says so; it works no less with whoever is none."""
    if row.certificate is None or not inventory.revocations.active:
        return row
    credential = CredentialId.of_certificate(fingerprint(row.certificate))
    # By the certificate, not by the user: a certificate that was issued after a revocation passes.
    found = [each for each in inventory.revocations.active if each.credential == credential]
    reasons = (*row.reasons, *(str(Reason.REVOKED) for _ in found))
    return replace(
        row, reasons=reasons, details=(*row.details, *(f"is revoked: {each.reason}" for each in found))
    )


def due(found: StatusRow, *, now: datetime, within: timedelta | None) -> bool:
    """Whether something stops working within that time, or does not work already.

    Args:
        found: The object.
        now: The moment that counts.
        within: The time; None for each object's own `renewBefore`.
    """
    if not found.works or (within is None and str(Reason.EXPIRES_SOON) in found.reasons):
        return True
    if within is None:
        return found.due_from is not None and found.due_from <= now
    return found.effective is not None and found.effective - now <= within


def _row(
    inventory: Inventory,
    item: DesiredCertificate | DesiredKeyPair | DesiredToken,
    surveyed: Surveyed,
    fault: str | None,
) -> StatusRow:
    row = (
        _certificate_row(inventory, item, surveyed)
        if isinstance(item, DesiredCertificate)
        else _plain_row(item, surveyed)
    )
    if fault is None:
        return row
    return replace(row, reasons=(*row.reasons, "unfit-authority"), details=(*row.details, fault), works=False)


def _plain_row(item: DesiredKeyPair | DesiredToken, surveyed: Surveyed) -> StatusRow:
    return StatusRow(
        id=item.id,
        node=None,
        name=item.id,
        path=surveyed.action.paths[0],
        ca=None,
        embedded_key=item.user if isinstance(item, DesiredToken) else None,
        certificate=None,
        expires=surveyed.expires,
        effective=surveyed.expires,
        due_from=surveyed.expires - item.renew_before
        if isinstance(item, DesiredToken) and surveyed.expires
        else None,
        is_certificate=False,
        reasons=_reasons(surveyed),
        details=_details(surveyed),
        works=_works(surveyed),
    )


def _certificate_row(inventory: Inventory, item: DesiredCertificate, surveyed: Surveyed) -> StatusRow:
    certificate = surveyed.observed.certificate if surveyed.observed else None
    effective = _effective_end(certificate, surveyed.issuer)
    return StatusRow(
        id=item.id,
        node=item.node,
        name=item.name,
        path=surveyed.action.paths[0],
        ca=item.issuer.certificate_name if item.issuer else None,
        embedded_key=_user(inventory, item),
        certificate=certificate,
        expires=certificate.not_valid_after_utc if certificate else None,
        effective=effective,
        due_from=_due_from(certificate, effective, item.renew_before),
        reasons=_reasons(surveyed),
        details=_details(surveyed),
        works=_works(surveyed),
    )


def _effective_end(certificate: x509.Certificate | None, issuer: CACertificates | None) -> datetime | None:
    """The earliest end along the chain, for verifiers look at the dates of each link (RFC 5280 6.1.3 (a))."""
    if certificate is None:
        return None
    above = () if issuer is None else (issuer.certificate, *issuer.chain)
    return min(link.not_valid_after_utc for link in (certificate, *above))


def _due_from(
    certificate: x509.Certificate | None, effective: datetime | None, renew_before: timedelta
) -> datetime | None:
    if certificate is None or effective is None:
        return None
    # As `renewBefore` itself, which is at most a third of the validity that was asked for.
    return effective - min(renew_before, (effective - certificate.not_valid_before_utc) / 3)


def _reasons(surveyed: Surveyed) -> tuple[str, ...]:
    return tuple(str(finding.reason) for finding in surveyed.findings)


def _details(surveyed: Surveyed) -> tuple[str, ...]:
    return tuple(finding.detail for finding in surveyed.findings)


def _works(surveyed: Surveyed) -> bool:
    return not any(finding.reason in USELESS for finding in surveyed.findings)


def _user(inventory: Inventory, item: DesiredCertificate) -> str | None:
    if isinstance(item.location, InKubeconfig):
        return inventory.kubeconfigs[item.location.kubeconfig].user
    return None
