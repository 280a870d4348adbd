"""Encrypting an unencrypted authority, opening one for good, and changing what opens it.

Each is one transaction, and none leaves a backup: what was sealed in another way, or not at all, must not
live on beside what is sealed now. For the same reason all earlier backups go once it is done.
"""

from __future__ import annotations

import enum
import json
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.age_header import is_sealed
from pkigen.desired.generations import CA, Slot, ca_id
from pkigen.desired.inventory import private_paths
from pkigen.errors import AuthorityError
from pkigen.spec.certificates import CAKeys
from pkigen.state.issuance_record import ledger_update
from pkigen.state.ledger import Event, LedgerEntry
from pkigen.state.observed import Fault, exists, read_file
from pkigen.state.seals import IDENTITY_PATH, RECORD_PATH, digest
from pkigen.store import BackupAction

if TYPE_CHECKING:
    from datetime import datetime

    from pkigen.desired.inventory import Inventory
    from pkigen.state.vault import Vault
    from pkigen.store import Store


# In bytes, as much as `airgap.offline.pending` may have written.
_LARGEST_PENDING = 1 << 30
_CA_IDS = frozenset(f"{ca_id(ca)}{slot}" for ca in CA for slot in Slot)


class Resealing(enum.StrEnum):
    """What is done to the authority's private files."""

    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    REKEY = "rekey"


def reseal(
    what: Resealing, inventory: Inventory, store: Store, *, old: Vault, new: Vault, now: datetime
) -> tuple[str, ...]:
    """Take every private file of the authority out of one vault and put it into another, all or none.

    Args:
        what: For the ledger.
        inventory: What there is.
        store: The PKI directory, held alone.
        old: How the files are kept now.
        new: How they are to be kept; it is empty yet.
        now: The present, in UTC.

    Returns:
        The private files, by path.

    Raises:
        AuthorityError: One of them is missing, or does not open; or a CA's key waits for an answer.
    """
    _require_no_waiting_key(what, inventory, store)
    paths = private_paths(inventory)
    with store.transaction() as transaction:
        present = set()
        for path in paths:
            content = old.open(path, _read(store, path))
            kept = new.close(path, content)
            # Opened again before anything is replaced: no backup is left from which it could be restored.
            if new.open(path, kept) != content:
                raise AuthorityError(f"{path} could not be opened again: nothing was changed")
            transaction.stage(path, mode=layout.KEY_MODE, content=kept, backup=False)
            present.add(digest(kept))
        files = new.files(present)
        for path, data in files.items():
            transaction.stage(path, mode=layout.SECRET_MODE, content=data, backup=False)
        # What is left over from the old vault: an identity without a record
        # would be taken for a damaged vault.
        for path in {IDENTITY_PATH, RECORD_PATH} - files.keys():
            if exists(store, path):
                transaction.remove(path)
        entry = LedgerEntry(event=Event.SEALED, id=layout.AUTHORITY, reason=None, facts={"step": str(what)})
        update = ledger_update(store, entry, now=now)
        if update is None:
            raise AuthorityError(f"there is no readable {layout.LOCK_FILE}", hint="`pkigen apply` first")
        # In the same transaction: keys that are sealed otherwise, and a ledger
        # that does not say so, never meet.
        update.stage(transaction, lock_in_backup=False)
        transaction.commit()
    return paths


def _require_no_waiting_key(what: Resealing, inventory: Inventory, store: Store) -> None:
    """Refuse while a CA's key waits for its answer: it is unencrypted until that is accepted."""
    # Of use or not: a key may be in it.
    waits = exists(store, layout.PENDING_REQUEST)
    if waits and what is not Resealing.DECRYPT and inventory.ca_keys is CAKeys.SITE:
        raise AuthorityError(
            f"{layout.PENDING_REQUEST} may contain an unencrypted CA key until the offline authority answers",
            hint="accept the answer first: `pkigen airgap authority accept`",
        )


def open_in_backups(store: Store) -> tuple[str, ...]:
    """The private files of the authority that are unencrypted in backups: `backup: path`.

    An encryption that was interrupted before its end can have left them.
    """
    kept = store.backups()
    unknown = tuple(f"{backup.id}: whatever its damaged manifest named" for backup in kept if backup.damage)
    return unknown + tuple(
        f"{backup.id}: {entry.path}"
        for backup in kept
        for entry in backup.entries
        if entry.action is not BackupAction.CREATED
        and _is_private(entry.path)
        and _is_open(entry.path, store.read_backup(backup.id, entry.path, limit=_LARGEST_PENDING).data)
    )


def _is_private(path: str) -> bool:
    """Whether a path in a backup is a private file of the authority, or a CA's key on a node."""
    top, _, rest = path.partition("/")
    if top == layout.AUTHORITY:
        return rest.endswith(".key") or path == layout.PENDING_REQUEST
    return rest.endswith("ca.key")


def _is_open(path: str, data: bytes) -> bool:
    """Whether a private file of a backup shows a key of the authority."""
    if path != layout.PENDING_REQUEST:
        return not is_sealed(data)
    # A request that was answered goes to the backup as it was, with the keys that it was made for.
    try:
        return not _CA_IDS.isdisjoint(json.loads(data)["keys"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return True  # nobody knows


def _read(store: Store, path: str) -> bytes:
    """A private file's bytes; raises `AuthorityError` where there are none."""
    found = read_file(store, path)
    if isinstance(found, Fault):
        raise AuthorityError(f"{found.path} {found.message}", hint="`pkigen plan` shows what is to be done")
    return found.data
