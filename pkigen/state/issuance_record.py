"""Puts what was signed outside of a plan on record: a line of the ledger, and its new end in `pki.lock`."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.errors import AccessError, AuthorityError
from pkigen.notation import dir_option
from pkigen.records import dataclass
from pkigen.state.authority_identities import Identities, observe_authority
from pkigen.state.ledger import (
    LedgerEntry,
    appended,
    mismatch,
    problems,
    read_ledger,
    recorded_entry,
    recorded_lock,
)
from pkigen.state.lockfile import LARGEST_LOCK, lock_digest, read_lock, with_authority, with_ledger
from pkigen.state.views import ChangedView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from pkigen.state.observed import Reader
    from pkigen.store import Store, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerUpdate:
    """A ledger with one more line, and the lock file that knows of it: they change together only."""

    ledger: bytes = field(repr=False)
    lock: bytes = field(repr=False)

    def stage(self, transaction: Transaction, *, lock_in_backup: bool) -> None:
        """Stage both; what can be rolled back needs the lock file that goes with the state before it."""
        transaction.stage(layout.LEDGER_FILE, mode=layout.SECRET_MODE, content=self.ledger, backup=False)
        transaction.stage(layout.LOCK_FILE, mode=layout.PUBLIC_MODE, content=self.lock, backup=lock_in_backup)


def ledger_update(
    store: Store, entry: LedgerEntry, *, now: datetime, authority: Identities | None = None
) -> LedgerUpdate | None:
    """The record with one more line; None where there is no readable lock file that could be kept true.

    A ledger that is not the one that `pki.lock` knows gets a line that says so first, for good.

    Args:
        store: The PKI directory, held alone.
        entry: The line.
        now: The present, in UTC.
        authority: The keys that the authority has by then, where that changes.
    """
    known = read_lock(store)
    if known is None:
        return None
    existing = read_ledger(store)
    # Before the new line, which would otherwise give a ledger that was cut off a good end again.
    gap = mismatch(existing, known.ledger)
    lock = store.read(layout.LOCK_FILE, limit=LARGEST_LOCK).data
    entries = [*([gap] if gap else []), entry]
    # The lock's digest leaves out where the ledger ends, or neither could be written before the other.
    if authority is not None:
        lock = with_authority(lock, authority)
        entries.append(recorded_entry(lock_digest(lock), authority))
    ledger, head = appended(existing, entries, now=now)
    return LedgerUpdate(ledger=ledger, lock=with_ledger(lock, head))


def require_written(reader: Reader, *, root: Path) -> None:
    """See that `pki.lock` is as pkigen wrote it last, before what it says of people and nodes is issued.

    It is committed to Git, where others can write; the ledger never leaves this directory. A ledger of an
    older pkigen does not know the lock file, and vouches only for how long it was itself.

    Raises:
        AuthorityError: It was changed since, or the ledger cannot vouch for it.
    """
    fault = unconfirmed(reader)
    if fault is not None:
        raise AuthorityError(
            f"the ledger does not confirm {root / layout.LOCK_FILE}: {fault}",
            hint=f"nothing is issued from it: give the spec's file instead; "
            f"`pkigen apply SPEC {dir_option(root)}` writes {layout.LOCK_FILE} again",
        )


def unconfirmed(reader: Reader) -> str | None:
    """Why the ledger does not confirm that `pki.lock` is as pkigen wrote it last; None where it does."""
    known, ledger = read_lock(reader), read_ledger(reader)
    if known is None:
        return "it cannot be read"
    if not ledger:
        return "there is no ledger"
    digest = recorded_lock(ledger)
    if digest is not None and digest != lock_digest(reader.read(layout.LOCK_FILE, limit=LARGEST_LOCK).data):
        return "it is not what was written last"
    if next(problems(ledger, head=known.ledger), None) is not None:
        return "the ledger itself was changed"
    return None


def record(
    store: Store,
    entry: LedgerEntry,
    *,
    now: datetime,
    keep_backups: int,
    files: Mapping[str, tuple[int, bytes]] | None = None,
    removes: Iterable[str] = (),
) -> None:
    """Record one thing before it leaves pkigen's hands; nothing of the tree changes but what belongs to it.

    Args:
        store: The PKI directory, held alone.
        entry: What was signed, without any secret.
        now: The present, in UTC.
        keep_backups: How many backups stay (spec.backups.keep).
        files: Files of the authority that belong to it: mode and content by path.
        removes: Files of the authority that go with it; they stay in the backup.

    Raises:
        AccessError: The directory has no lock file that could be kept true.
    """
    contents = {path: data for path, (_, data) in (files or {}).items()}
    hidden = frozenset(removes)
    # Most records change no key, and looking at all of them costs more than the line.
    changed = any(path.startswith(f"{layout.AUTHORITY}/") for path in (*contents, *hidden))
    # As it will be: the record must be true in the same instant as the change.
    authority = observe_authority(ChangedView(store, contents, hidden)) if changed else None
    update = ledger_update(store, entry, now=now, authority=authority)
    if update is None:
        raise AccessError(
            "this directory has no readable pki.lock, so nothing can be recorded",
            hint="make the PKI with `pkigen init`, or repair it with `pkigen apply`, first",
        )
    with store.transaction() as transaction:
        for path, (mode, content) in (files or {}).items():
            transaction.stage(path, mode=mode, content=content)
        for path in hidden:
            transaction.remove(path)
        # Without files a rollback has nothing to put back, and the ledger never goes back.
        update.stage(transaction, lock_in_backup=bool(files))
        transaction.commit(keep_backups=keep_backups)
