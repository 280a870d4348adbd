"""What one change puts into the tree until it is committed: files, modes, removals, lines of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.age_header import is_sealed
from pkigen.desired.inventory import private_paths
from pkigen.state.authority_identities import observe_authority
from pkigen.state.ledger import Event, LedgerEntry, appended, mismatch, read_ledger, recorded_entry
from pkigen.state.lockfile import read_lock
from pkigen.state.observed import Fault, exists, read_file
from pkigen.state.seals import LARGEST_RECORD, digest
from pkigen.state.views import OpenedView, StagedView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.lock_builder import LockBuilder
    from pkigen.state.vault import Vault
    from pkigen.state.views import Move
    from pkigen.store import Store, Transaction


class Staging:
    """The staging area of one change, and the tree as it will be.

    `view` shows that tree as it will lie on the disk, `opened` with the authority's private files opened.

    Args:
        inventory: What must exist; its private files go through the vault.
        store: The PKI directory, held exclusively.
        transaction: What is staged in, and discarded unless it is committed.
        vault: Closes private files before they reach the disk.
    """

    def __init__(self, inventory: Inventory, store: Store, transaction: Transaction, vault: Vault) -> None:
        self.view = StagedView(store, transaction, vault)
        self.opened = OpenedView(self.view, vault)
        self._private = private_paths(inventory)
        self._store = store
        self._transaction = transaction
        self._vault = vault
        self._entries: list[LedgerEntry] = []

    def record(self, entry: LedgerEntry) -> None:
        """Put something on record; the line is written with all others by `close`."""
        self._entries.append(entry)

    def stage(self, path: str, mode: int, content: bytes) -> None:
        """Stage a file that lies on the disk as it is."""
        self._transaction.stage(path, mode=mode, content=content)
        self.view.note(path)

    def stage_private(self, path: str, content: bytes) -> None:
        """Stage a private file of the authority: no byte of it reaches the disk but through the vault."""
        sealed = self._vault.close(path, content)
        # What is replaced here may be the open key of an authority that is just being encrypted.
        backup = self._may_be_kept(path)
        self._transaction.stage(path, mode=layout.KEY_MODE, content=sealed, backup=backup)
        self.view.note(path)

    def set_modes(self, modes: Mapping[str, int]) -> None:
        """Give files that stay the modes that they must have."""
        for path, mode in modes.items():
            if path in self._private and not self._may_be_kept(path):
                continue  # it is sealed in the end, and gets its mode with that
            if self._store.read(path).mode != mode:
                self._transaction.stage_mode(path, mode=mode)
                self.view.note(path)

    def remove(self, path: str) -> None:
        """Take a file out of the tree; it stays in the backup."""
        self._transaction.remove(path)
        self.view.hide(path)

    def move(self, moves: Iterable[Move]) -> None:
        """Put files of the authority elsewhere, all at once: one may take the place of another."""
        moves = tuple(moves)
        targets = {move.target for move in moves}
        for move in moves:
            if move.target is not None:
                # From the tree, not from the view: both places of an exchange are
                # read before either is written.
                content = self._store.read(move.source)
                self.stage(move.target, content.mode, content.data)
        for move in moves:
            # A place that another file has moved into is not empty: removing would take that one.
            if move.source not in targets:
                self.remove(move.source)

    def seal(self) -> None:
        """Seal what is unencrypted, and put the vault's own files beside the keys.

        Raises:
            AuthorityError: A private file would not open again; it must not be committed.
        """
        if self._vault.seals:
            for path, data in self._private_files().items():
                if not is_sealed(data):
                    self.stage_private(path, data)
        present = self._private_files()
        # Every one is opened, not only the new ones: a key that does not open must not
        # be committed, whoever wrote it.
        for path, data in present.items():
            self._vault.open(path, data)
        for path, wanted in self._vault.files({digest(data) for data in present.values()}).items():
            before = read_file(self._store, path, limit=LARGEST_RECORD)
            # Only if it differs: every file that is written leaves an older one in the backup.
            if isinstance(before, Fault) or before.data != wanted:
                self.stage(path, layout.SECRET_MODE, wanted)

    @property
    def certificate_facts(self) -> dict[str, dict[str, str | int | list[str]]]:
        """What the ledger will tell of the certificates of this change, by fingerprint."""
        return {
            str(entry.facts["fingerprint"]): entry.facts
            for entry in self._entries
            if entry.event in {Event.ISSUED, Event.DELIVERED}
        }

    def close(self, lock: LockBuilder, *, now: datetime) -> None:
        """Stage the ledger with the lines of this change, and the lock file that names its end."""
        existing, known = read_ledger(self._store), read_lock(self._store)
        gap = mismatch(existing, known.ledger) if known is not None else None
        authority = observe_authority(self.view)
        # The digest leaves the ledger's end out, so the line can be written before the lock file names it.
        written = recorded_entry(lock.digest(authority), authority)
        ledger, head = appended(existing, [*([gap] if gap else []), *self._entries, written], now=now)
        self._transaction.stage(layout.LEDGER_FILE, mode=layout.SECRET_MODE, content=ledger, backup=False)
        # With the first lock file only: whoever edits or deletes it later has meant to.
        if known is None and not exists(self._store, layout.GITIGNORE_FILE):
            ignored = layout.GITIGNORE.encode()
            self._transaction.stage(layout.GITIGNORE_FILE, mode=layout.PUBLIC_MODE, content=ignored)
        content = lock.encode(head, authority)
        self._transaction.stage(layout.LOCK_FILE, mode=layout.PUBLIC_MODE, content=content)

    def _may_be_kept(self, path: str) -> bool:
        """Whether a backup may hold what is replaced: not an open key where keys are sealed."""
        present = read_file(self._store, path)
        return not self._vault.seals or isinstance(present, Fault) or is_sealed(present.data)

    def _private_files(self) -> dict[str, bytes]:
        """The authority's private files as they will lie on the disk."""
        return {
            path: content.data
            for path in self._private
            if not isinstance(content := read_file(self.view, path), Fault)
        }
