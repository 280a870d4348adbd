"""Going back: put a PKI directory into the state that it had before a change, from the backups.

Every change since then is undone, newest first, in one transaction that leaves a backup of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.errors import UsageError
from pkigen.ledger import Entry, Event, appended, read_ledger
from pkigen.store import BackupAction, MissingError

if TYPE_CHECKING:
    from datetime import datetime

    from pkigen.ledger import Head
    from pkigen.store import Store

_LARGEST = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """What going back does: files that get an older content, from which backup, and files that go.

    `restores` pairs a path with the id of the backup that holds its older content.
    """

    backup: str
    undone: tuple[str, ...]
    restores: tuple[tuple[str, str], ...]
    removes: tuple[str, ...]


def plan_rollback(store: Store, backup: str | None) -> Rollback:
    """Plan to undo everything since, and including, the change that left `backup`; None means the newest.

    Raises:
        UsageError: There is no such backup.
    """
    kept = list(reversed(store.backups()))
    ids = [each.id for each in kept]
    if not ids:
        raise UsageError(f"{store.root} has no backup to go back to", hint="nothing has been replaced yet")
    chosen = ids[0] if backup is None else backup
    if chosen not in ids:
        raise UsageError(f"there is no backup {chosen!r}", hint=f"choose one of {', '.join(ids)}")
    undone = kept[: ids.index(chosen) + 1]
    states: dict[str, str | None] = {}
    for each in undone:
        for entry in each.entries:
            # Older backups come later and win: they hold the state that is wanted.
            states[entry.path] = None if entry.action is BackupAction.CREATED else each.id
    return Rollback(
        backup=chosen,
        undone=tuple(f"{each.id} ({each.command})" for each in undone),
        restores=tuple(sorted((path, origin) for path, origin in states.items() if origin is not None)),
        removes=tuple(
            path for path, origin in sorted(states.items()) if origin is None and _exists(store, path)
        ),
    )


def roll_back(store: Store, rollback: Rollback, *, now: datetime, keep_backups: int) -> str | None:
    """Carry a rollback out, wholly or not at all; the result is the id of its own backup."""
    with store.transaction() as transaction:
        lock: bytes | None = None
        for path, origin in rollback.restores:
            content = store.read_backup(origin, path, limit=_LARGEST)
            if path == layout.LOCK_FILE:
                lock = content.data
            else:
                transaction.stage(path, mode=content.mode, content=content.data)
        for path in rollback.removes:
            transaction.remove(path)
        entry = Entry(
            event=Event.RESTORED,
            id=rollback.backup,
            reason=None,
            facts={
                "restored": [path for path, _ in rollback.restores],
                "removed": list(rollback.removes),
            },
        )
        ledger, head = appended(read_ledger(store), (entry,), now=now)
        transaction.stage(layout.LEDGER_FILE, mode=layout.SECRET_MODE, content=ledger, backup=False)
        if lock is not None:
            transaction.stage(layout.LOCK_FILE, mode=layout.PUBLIC_MODE, content=_with_head(lock, head))
        return transaction.commit(keep_backups=keep_backups)


def _with_head(lock: bytes, head: Head) -> bytes:
    """An older lock file, which must name the ledger's present end."""
    content = json.loads(lock)
    content["ledger"] = {"entries": head.entries, "head": head.hash}
    return json.dumps(content, indent=1, ensure_ascii=True).encode() + b"\n"


def _exists(store: Store, path: str) -> bool:
    try:
        store.read(path, limit=_LARGEST)
    except MissingError:
        return False
    return True
