"""Which certificate each public key belongs to: of two that share a key, each can pass for the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.crypto.keys import public_der, spki_fingerprint
from pkigen.desired.items import DesiredKeyPair
from pkigen.state.authority import certificates_of
from pkigen.state.ledger import CERTIFYING, lines_of, read_ledger
from pkigen.state.observed import observe_key_pair

if TYPE_CHECKING:
    from datetime import datetime

    from pkigen.desired.inventory import Inventory
    from pkigen.state.lockfile import Lock
    from pkigen.state.observed import Reader


def key_owners(inventory: Inventory, reader: Reader, lock: Lock | None, *, now: datetime) -> dict[str, str]:
    """The keys of a cluster (`spki_fingerprint`), and the id of what each belongs to.

    The ledger tells of what was certified before, the lock file of certificates, also of those that are not
    here; CAs, whichever generation, and key pairs are looked at as well. Where a key has several
    owners, the cluster comes before people.
    """
    owners = _recorded(reader)
    if lock is not None:
        # Later entries replace earlier ones, so what may be a person's comes first (`CERTIFYING` likewise).
        owners |= lock.keys
    for item in inventory.items:
        if isinstance(item, DesiredKeyPair):
            pair = observe_key_pair(reader, item.private_path, item.public_path)
            if pair.private is not None:
                owners[spki_fingerprint(pair.private)] = item.id
    for ca in inventory.authorities:
        found = certificates_of(reader, inventory, ca, now=now)
        if found is not None:
            for link in (*found.anchors, *found.chain):
                owners[spki_fingerprint(public_der(link.public_key()))] = ca.certificate_name
    return owners


def _recorded(reader: Reader) -> dict[str, str]:
    """The keys of everything that was ever certified here, by the ledger, and the id of what for.

    A renewal makes a new key, and the certificate of the old one stays valid until it expires.
    """
    ledger = read_ledger(reader)
    owners: dict[str, str] = {}
    for event in CERTIFYING:
        for entry in lines_of(ledger, event):
            if "spki" in entry:
                owners[str(entry["spki"])] = str(entry["id"])
    return owners
