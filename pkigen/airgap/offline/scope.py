"""What the offline authority is asked for: what a site may ask at all, and what it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.airgap.offline.generations import next_id
from pkigen.desired.generations import CA, ca_id, certificate_named
from pkigen.errors import UsageError
from pkigen.notation import quoted, suggestion
from pkigen.reconcile.renewal import ids_of
from pkigen.reconcile.surveyed import Selection
from pkigen.spec.certificates import Authority, CAKeys

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from pkigen.desired.inventory import Inventory


def require_offline(inventory: Inventory) -> None:
    """Refuse a cluster whose CAs are made and used where it is.

    Raises:
        UsageError: It is one.
    """
    if inventory.cluster.spec.certificates.authority is Authority.LOCAL:
        raise UsageError(
            "this cluster's authority is local: the CAs are made and used at the site itself",
            hint="for an offline one, set spec.certificates.authority: offline before `pkigen init`",
        )


def asked_by_name(inventory: Inventory, names: Iterable[str], within: timedelta | None) -> Selection:
    """What is asked for although it need not be.

    Args:
        inventory: What must exist.
        names: What is asked for whatever its age.
        within: What ends within this time is asked for too.

    Raises:
        UsageError: A name means nothing that the offline authority issues.
    """
    found = tuple(identifier for name in names for identifier in ids_of(inventory, name))
    for identifier in found:
        item = inventory.certificates.get(identifier)
        if item is None or not inventory.is_signed_offline(item):
            raise UsageError(
                f"{identifier} is not signed by the offline authority",
                hint=f"`pkigen renew {quoted(identifier)}` renews it",
            )
    return selection_of(found, within)


def selection_of(identifiers: Iterable[str], within: timedelta | None) -> Selection:
    """What is renewed whatever its age; that a CA among it has ended is no obstacle."""
    ids = frozenset(identifiers)
    return Selection(within=within, ids=ids, revived=frozenset(ca for ca in CA if ca_id(ca) in ids))


def successor_ids(inventory: Inventory, names: Iterable[str]) -> frozenset[str]:
    """The next generations of CAs that are to be asked for.

    Raises:
        UsageError: There is no such CA here, or its keys are with the offline authority.
    """
    chosen = tuple(map(certificate_named, names))
    known = {ca_id(ca) for ca in inventory.authorities}
    for name in chosen:
        if name not in known:
            raise UsageError(
                f"there is no CA {name!r} here",
                hint=suggestion(name, known) or f"choose from {', '.join(sorted(known))}",
            )
    if chosen and inventory.ca_keys is CAKeys.OFFLINE:
        raise UsageError(
            "--next can only be used with caKeys: site", hint="CAs whose keys are offline cannot be rotated"
        )
    return frozenset(map(next_id, chosen))
