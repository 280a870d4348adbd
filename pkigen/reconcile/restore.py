"""Going back: put a PKI directory into the state that it had before a change, from the backups.

Every change since then is undone, newest first, in one transaction that leaves a backup of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.rendering.flags import KUBELET_KUBECONFIG
from pkigen.errors import StoreError, UsageError
from pkigen.reconcile.flag_changes import defines_component, flag_change
from pkigen.reconcile.plan import Create, Remove, Rewrite
from pkigen.records import dataclass
from pkigen.state import cluster_objects
from pkigen.state.authority_identities import observe_authority
from pkigen.state.ledger import Event, LedgerEntry, appended, mismatch, read_ledger, recorded_entry
from pkigen.state.lockfile import LARGEST_LOCK, lock_digest, read_lock, with_authority, with_ledger
from pkigen.state.observed import client_certificate_pem
from pkigen.state.reasons import Reason
from pkigen.state.views import View
from pkigen.store import BackupAction, MissingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from pkigen.reconcile.plan import Action
    from pkigen.state.cluster_objects import Held
    from pkigen.store import BackupEntry, BackupInfo, FileContent, Store

# In bytes; the lock file of a large cluster is the largest file that goes back.
_LARGEST = 1 << 28
# As much as the store reads where nobody says otherwise.
_LARGEST_READ = 1 << 20


_NAMED_BY_KUBELET = f"{layout.credentials_directory('', KUBELET_KUBECONFIG)}/client.crt"
_OF_KUBELET = (KUBELET_KUBECONFIG, _NAMED_BY_KUBELET)
"""Where a kubelet finds the certificate that it shows, unless it has one of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What a change of a file asks for beside a restart, on the way back and on the way there."""

    back: Reason | None = None
    forth: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """A file that gets an older content: which backup holds it, and the SHA-256 that it had there.

    `is_back` says that there is no such file now; `asks` is what its change asks for.
    """

    path: str
    backup: str
    sha256: str
    is_back: bool
    asks: Demands = Demands()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """What going back does: files that get an older content, and files that go."""

    backup: str
    undone: tuple[BackupInfo, ...]
    restores: tuple[Restore, ...]
    removes: tuple[str, ...]

    @property
    def changes(self) -> tuple[Action, ...]:
        """The same as actions, for the restart map."""
        return (
            *(
                _action(Create if each.is_back else Rewrite, each.path, reason=each.asks.back)
                for each in self.restores
            ),
            *(_action(Remove, path) for path in self.removes),
        )

    @property
    def undoes(self) -> tuple[Action, ...]:
        """What the changes did that it would undo, taken as one: the other way round."""
        return (
            *(_action(Create, path) for path in self.removes),
            *(
                _action(Remove if each.is_back else Rewrite, each.path, reason=each.asks.forth)
                for each in self.restores
            ),
        )


class RestoredView(View):
    """Shows the directory as a rollback would leave it; the backups are read file by file."""

    def __init__(self, beneath: Store, rollback: Rollback) -> None:
        super().__init__(beneath)
        self._store = beneath
        self._restores = {each.path: each for each in rollback.restores}
        self._removes = frozenset(rollback.removes)

    def read(self, path: str, *, limit: int = _LARGEST_READ) -> FileContent:
        """Read the file that would stand at `path`.

        Raises:
            StoreError: There is none, or the backup does not hold what it was given.
        """
        if path in self._removes:
            raise MissingError(f"{path} is missing")
        if path in self._restores:
            return kept_content(self._store, self._restores[path])
        return super().read(path, limit=limit)

    def walk(self, path: str = "") -> Iterator[str]:
        """Every path that would be there."""
        there = {each for each in self._store.walk(path) if each not in self._removes}
        yield from sorted(there | {each for each in self._restores if layout.is_below(each, path)})


def plan_rollback(store: Store, backup: str | None) -> Rollback:
    """Plan to undo everything since, and including, the change that left `backup`; None means the newest.

    Raises:
        UsageError: There is no such backup.
        StoreError: It is damaged, or a later one is, which would have to be undone before it.
    """
    undone = _undone(store, backup)
    history: dict[str, list[tuple[BackupInfo, BackupEntry]]] = {}
    for each in undone:
        for entry in each.entries:
            history.setdefault(entry.path, []).append((each, entry))
    restores: list[Restore] = []
    removes: list[str] = []
    for path, states in sorted(history.items()):
        # Older backups come later and win: they hold the state that is wanted.
        origin, entry = states[-1]
        is_there = _exists(store, path)
        if entry.action is not BackupAction.CREATED:
            restore = Restore(path=path, backup=origin.id, sha256=entry.sha256, is_back=not is_there)
            restores.append(replace(restore, asks=_asked(store, restore, states)))
        # Otherwise one of these changes has made it, and a later one has removed it again.
        elif is_there:
            removes.append(path)
    return Rollback(
        backup=undone[-1].id,
        undone=undone,
        restores=tuple(restores),
        removes=tuple(removes),
    )


def _undone(store: Store, backup: str | None) -> tuple[BackupInfo, ...]:
    """The backups of all changes that are undone, the newest first."""
    kept = tuple(reversed(store.backups()))
    ids = [each.id for each in kept]
    if not ids:
        raise UsageError(f"{store.root} has no backup", hint="nothing has been replaced yet")
    chosen = ids[0] if backup is None else backup
    if chosen not in ids:
        raise UsageError(f"there is no backup {chosen!r}", hint=f"choose one of {', '.join(ids)}")
    # With every later one: a state between two changes never was, and no proof covers it.
    undone = kept[: ids.index(chosen) + 1]
    damage = next((each.damage for each in undone if each.damage), "")
    if damage:
        raise StoreError(damage, hint="its files are beside it, under `files/`; later backups go back alone")
    return undone


def roll_back(
    store: Store, rollback: Rollback, *, superseded: Held, now: datetime, keep_backups: int
) -> str | None:
    """Carry a rollback out, wholly or not at all; the result is the id of its own backup.

    Args:
        store: The PKI directory, held alone.
        rollback: What goes back.
        superseded: What the cluster will hold that it should not; it is put on record.
        now: The present, in UTC.
        keep_backups: How many backups stay.

    Raises:
        StoreError: A backup does not hold what it was given, or the system refuses; nothing is changed.
    """
    view = RestoredView(store, rollback)
    lock = _lock_of(view)
    with store.transaction() as transaction:
        for restore in rollback.restores:
            # It goes back below, with the ledger's new end in it; what is no lock file, as it is.
            if restore.path != layout.LOCK_FILE or lock is None:
                content = kept_content(store, restore)
                transaction.stage(restore.path, mode=content.mode, content=content.data)
        for path in rollback.removes:
            transaction.remove(path)
        entry = LedgerEntry(
            event=Event.RESTORED,
            id=rollback.backup,
            reason=None,
            facts={
                "restored": [each.path for each in rollback.restores],
                "removed": list(rollback.removes),
            },
        )
        # The ledger never goes back: it says that the directory was put back, and keeps what was undone.
        existing, known = read_ledger(store), read_lock(store)
        gap = mismatch(existing, known.ledger) if known is not None else None
        entries = [*([gap] if gap else []), entry, *cluster_objects.entries(superseded)]
        if lock is not None:
            entries.append(recorded_entry(lock_digest(lock), observe_authority(view)))
        ledger, head = appended(existing, entries, now=now)
        # Without a backup of its own: the ledger is what never goes back.
        transaction.stage(layout.LEDGER_FILE, mode=layout.SECRET_MODE, content=ledger, backup=False)
        if lock is not None:
            transaction.stage(layout.LOCK_FILE, mode=layout.PUBLIC_MODE, content=with_ledger(lock, head))
        return transaction.commit(keep_backups=keep_backups)


def _lock_of(view: RestoredView) -> bytes | None:
    """The lock file as it will be, with the keys that the authority will have; None where there is none."""
    try:
        data = view.read(layout.LOCK_FILE, limit=LARGEST_LOCK).data
        return with_authority(data, observe_authority(view))
    except (MissingError, ValueError):
        return None


def kept_content(store: Store, restore: Restore) -> FileContent:
    """The file as the backup holds it.

    Raises:
        StoreError: It is not the one that was put there, or cannot be read.
    """
    # The backup lies where others may have written: it is compared with what its manifest says.
    content = store.read_backup(restore.backup, restore.path, limit=_LARGEST)
    if hashlib.sha256(content.data).hexdigest() != restore.sha256:
        raise StoreError(
            f"{restore.path} in backup {restore.backup} is not the file that was replaced",
            hint="somebody has edited it: restore another backup, or issue new files",
        )
    return content


def _asked(store: Store, restore: Restore, states: Sequence[tuple[BackupInfo, BackupEntry]]) -> Demands:
    """What the change of a file asks for in both directions; nothing where no component is started by it."""
    # Only of a file that is there before and after can a change be told.
    # That is `etcd/ca.crt` and `front-proxy-ca.crt`, too: bundles, in which the order alone may be new.
    if not restore.is_back and restore.path.endswith("ca.crt"):
        return Demands(forth=Reason.ORDER_CHANGED) if _is_reordered(store, restore, states) else Demands()
    if restore.is_back or not (defines_component(restore.path) or restore.path.endswith(_OF_KUBELET)):
        return Demands()
    kept, present = kept_content(store, restore).data, store.read(restore.path).data
    return Demands(back=_demand(restore.path, present, kept), forth=_demand(restore.path, kept, present))


def _is_reordered(store: Store, restore: Restore, states: Sequence[tuple[BackupInfo, BackupEntry]]) -> bool:
    """Whether a bundle has held the same certificates in every state since, and only their order is new.

    Where it is as it was, whatever came between may be what a node has.
    """
    kept = [
        kept_content(store, replace(restore, backup=each.id, sha256=entry.sha256)).data
        for each, entry in states
        if entry.action is not BackupAction.CREATED
    ]
    present = store.read(restore.path).data
    # As text, without reading them: pkigen writes equal certificates as equal blocks.
    found = {tuple(sorted(data.split(_END_OF_CERTIFICATE))) for data in (*kept, present)}
    return len(found) == 1 and kept[-1] != present


_END_OF_CERTIFICATE = b"-----END CERTIFICATE-----\n"


def _demand(path: str, old: bytes, new: bytes) -> Reason | None:
    """Why the change of one file from old to new needs more than a restart; None where it does not."""
    if path.endswith(_NAMED_BY_KUBELET):
        return Reason.CREDENTIAL_CHANGED if old != new else None
    if path.endswith(KUBELET_KUBECONFIG):
        is_other = client_certificate_pem(old) != client_certificate_pem(new)
        return Reason.CREDENTIAL_CHANGED if is_other else None
    change = flag_change(path, old, new)
    return change.reason if change is not None else None


def _action(kind: type[Action], path: str, *, reason: Reason | None = None) -> Action:
    """An action on one path, as the restart map takes it."""
    top, _, rest = path.partition("/")
    node = rest.partition("/")[0] if top == layout.NODES else None
    return kind(id=path, paths=(path,), node=node, reason=reason)


def _exists(store: Store, path: str) -> bool:
    """Whether there is a file; one that cannot be read raises, and is not taken for missing."""
    try:
        store.read(path, limit=_LARGEST)
    except MissingError:
        return False
    return True
