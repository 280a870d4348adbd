"""The next moment at which time alone changes what is to be done."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pkigen.desired.items import DesiredToken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.division import Summary

Lasting = tuple[datetime, timedelta]


def lasting(summary: Summary) -> Iterator[Lasting]:
    """The end of a token, or of a CA above a certificate, and how long before it something is to be done."""
    if summary.expires is not None:
        item = summary.item
        yield summary.expires, item.renew_before if isinstance(item, DesiredToken) else timedelta()


def next_moment(
    inventory: Inventory,
    certificates: Mapping[str, Mapping[str, Any]],
    others: Iterable[Lasting],
    *,
    now: datetime,
) -> datetime | None:
    """The first moment after `now` at which a certificate, a token or a revocation begins, is due, or ends.

    Args:
        inventory: What must exist.
        certificates: The lock file's facts of each certificate, by id.
        others: Tokens and CAs above certificates, as `lasting` tells of them.
        now: The present, in UTC.
    """
    moments = (
        *_of_certificates(inventory, certificates),
        *(each for end, notice in others for each in (end - notice, end)),
        *(each.ends for each in inventory.revocations.active if each.ends is not None),
    )
    return min((each for each in moments if each > now), default=None)


def _of_certificates(
    inventory: Inventory, certificates: Mapping[str, Mapping[str, Any]]
) -> Iterator[datetime]:
    """When each certificate begins, is due and ends: then a plan changes though no file does."""
    for identifier, facts in certificates.items():
        end = datetime.fromisoformat(facts["notAfter"])
        yield datetime.fromisoformat(facts["notBefore"])
        yield end - inventory.certificates[identifier].renew_before
        yield end
