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
    """The end of an object that is a token, and how long before it is renewed."""
    if isinstance(summary.item, DesiredToken) and summary.expires is not None:
        yield summary.expires, summary.item.renew_before


def next_moment(
    inventory: Inventory,
    certificates: Mapping[str, Mapping[str, Any]],
    tokens: Iterable[Lasting],
    *,
    now: datetime,
) -> datetime | None:
    """The first moment after `now` at which a certificate, a token or a revocation begins, is due, or ends.

    Args:
        inventory: What must exist.
        certificates: The lock file's facts of each certificate, by id.
        tokens: Each token, as `lasting` tells of it.
        now: The present, in UTC.
    """
    moments = (
        *_of_certificates(inventory, certificates),
        *(each for end, notice in tokens for each in (end - notice, end)),
        *(each.ends for each in inventory.revocations.active if each.ends is not None),
    )
    return min((each for each in moments if each > now), default=None)


def _of_certificates(
    inventory: Inventory, certificates: Mapping[str, Mapping[str, Any]]
) -> Iterator[datetime]:
    for identifier, facts in certificates.items():
        end = datetime.fromisoformat(facts["notAfter"])
        yield datetime.fromisoformat(facts["notBefore"])
        yield end - inventory.certificates[identifier].renew_before
        yield end
