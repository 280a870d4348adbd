"""Bringing back a cluster whose certificates have ended: which CAs have to be renewed first.

A CA that has ended is renewed with its own key and name: what its key has signed and has not ended itself is
good again, the discovery hash stays, and no trust has to be rolled out in phases. Everything else is the
ordinary plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.desired.generations import Phase, ca_id, ca_location
from pkigen.errors import AuthorityError, RotationError
from pkigen.reconcile.surveyed import Selection
from pkigen.spec.certificates import Authority, CAKeys
from pkigen.state.observed import observe_certificate

if TYPE_CHECKING:
    from datetime import datetime

    from pkigen.desired.generations import CA
    from pkigen.desired.inventory import Inventory
    from pkigen.state.observed import Reader


def revival(inventory: Inventory, reader: Reader, *, now: datetime) -> Selection:
    """What is renewed besides what is due anyway: the CAs that have ended or are about to.

    Raises:
        AuthorityError: One that has expired was signed elsewhere: only its issuer can renew it.
        RotationError: One that has ended is being rotated.
    """
    if inventory.cluster.spec.certificates.authority is Authority.OFFLINE:
        _require_lasting(inventory, reader, now)
        return Selection()
    due = frozenset(ca for ca in inventory.authorities if _is_due(inventory, reader, ca, now))
    return Selection(ids=frozenset(map(ca_id, due)), revived=due)


def _require_lasting(inventory: Inventory, reader: Reader, now: datetime) -> None:
    """Refuse CAs that have ended where only the offline authority can renew them."""
    ended = [
        ca_id(ca)
        for ca in inventory.authorities
        if (found := observe_certificate(reader, ca_location(ca)).certificate) is not None
        and now >= found.not_valid_after_utc
    ]
    if ended:
        names = " ".join(ended)
        before = (
            ""
            if inventory.ca_keys is CAKeys.SITE
            else f"`pkigen airgap authority renew SPEC {names}` there; "
        )
        raise AuthorityError(
            f"only the offline authority can renew what has expired: {', '.join(ended)}",
            hint=f"{before}`pkigen airgap authority request {names}` here, `sign` there, `accept` here; "
            "then run this again",
        )


def _is_due(inventory: Inventory, reader: Reader, ca: CA, now: datetime) -> bool:
    """Whether a CA is renewed with its own key; raises where one has ended and cannot be renewed here."""
    location = ca_location(ca)
    certificate = observe_certificate(reader, location).certificate
    wanted = inventory.certificates[ca_id(ca)]
    # One that is missing is made, and not renewed.
    if certificate is None or now < certificate.not_valid_after_utc - wanted.renew_before:
        return False
    ended = now >= certificate.not_valid_after_utc
    # Before its end an intermediate is no obstacle: what it has signed still holds.
    if certificate.subject != certificate.issuer:
        if not ended:
            return False
        raise AuthorityError(
            f"{location.certificate} expired {certificate.not_valid_after_utc:%Y-%m-%d}, and only its "
            "issuer can renew it",
            hint="have its issuer renew it for the same key, replace the file, and run this again",
        )
    if inventory.rotations.phase(ca_id(ca)) is not Phase.STABLE:
        if not ended:
            return False
        raise RotationError(
            f"the {ca_id(ca)} CA expired during its rotation",
            hint=f"move {location.certificate.removesuffix('.crt')}-next.* or -previous.* out of the "
            "authority, then run this again",
        )
    return True
