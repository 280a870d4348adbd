"""Installing on a node: compare, stage, check, commit; and rolling back.

The node's root directory is held by the same store as a PKI directory, with its own state below
`/var/lib/pkigen/store`: files are staged, recorded, and renamed into place. A killed install leaves the old
files, or is finished by the next run of pkigen.
"""

from __future__ import annotations

import enum
import hashlib
import logging
import os
from typing import TYPE_CHECKING

from pkigen.airgap.bundles.record import Installed, read_installed
from pkigen.airgap.carrier.paths import PENDING, RECORD, require_known
from pkigen.errors import StoreError
from pkigen.layout import CERTIFICATE_MODE, KUBERNETES_DIRECTORY
from pkigen.reconcile.restore import Rollback, kept_content, plan_rollback
from pkigen.records import dataclass
from pkigen.state.observed import Fault, exists, read_file
from pkigen.store import MissingError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.airgap.bundles.opened import Bundle
    from pkigen.airgap.carrier.format import Manifest, RestartStep
    from pkigen.state.observed import Reader
    from pkigen.store import Store, Transaction

logger = logging.getLogger(__name__)

# They hold the private keys of earlier bundles, so they must not pile up.
KEPT_BACKUPS = 10
_OWN = {RECORD, PENDING}
"""What an install changes besides the files of the bundle."""


class Difference(enum.StrEnum):
    """What installing does to one path."""

    CREATE = "create"
    REPLACE = "replace"
    MODE = "mode"
    REMOVE = "remove"
    KEEP = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One path of the node."""

    path: str
    difference: Difference


def compare(
    manifest: Manifest, reader: Reader, installed: Installed | None, *, directory: str | None = None
) -> tuple[Change, ...]:
    """What installing would do to each path; files that only the last bundle had go away.

    Raises:
        BundleError: The record of the last bundle names what no bundle may.
    """
    wanted = {entry.path for entry in manifest.files}
    changes = [
        Change(path=entry.path, difference=_difference(reader, entry.path, entry.mode, entry.sha256))
        for entry in manifest.files
    ]
    # Only what an earlier bundle has put there: everything else on the node belongs to somebody else.
    gone = sorted(set(installed.paths) - wanted) if installed is not None else []
    # The record lies on the host: a changed one must not get files removed that no bundle brings.
    require_known(gone, directory=directory, whose=f"/{RECORD}")
    changes.extend(Change(path=path, difference=Difference.REMOVE) for path in gone if exists(reader, path))
    return tuple(changes)


def strangers(manifest: Manifest, store: Store, installed: Installed | None) -> tuple[str, ...]:
    """Files below /etc/kubernetes that came with no bundle; they stay, and are reported.

    A manifest from earlier days still starts a static Pod.
    """
    known = {entry.path for entry in manifest.files} | set(installed.paths if installed is not None else ())
    return tuple(path for path in store.walk(KUBERNETES_DIRECTORY.lstrip("/")) if path not in known)


def _difference(reader: Reader, path: str, mode: int, sha256: str) -> Difference:
    """The right content with another owner counts as another mode: the file is written again."""
    try:
        present = reader.read(path)
    except MissingError:
        return Difference.CREATE
    # What stands there, the transaction says: it replaces nothing but plain files.
    except UnreadableError:
        return Difference.REPLACE
    if hashlib.sha256(present.data).hexdigest() != sha256:
        return Difference.REPLACE
    # Only root can give files to root: everybody else's are his own, as in tests and dry runs.
    owned = os.geteuid() != 0 or (present.uid, present.gid) == (0, 0)
    return Difference.KEEP if present.mode == mode and owned else Difference.MODE


def install(bundle: Bundle, store: Store, changes: Iterable[Change]) -> str | None:
    """Put a bundle's files in place, all or none; the result is the id of the backup.

    Raises:
        StoreError: The system refuses; nothing was changed.
    """
    entries = {entry.path: entry for entry in bundle.manifest.files}
    record = Installed(label=bundle.label, public=bundle.public, paths=tuple(entries))
    label = bundle.label
    logger.info("installing the bundle of %s: %d files, serial %d", label.node, len(entries), label.serial)
    with store.transaction() as transaction:
        for change in changes:
            logger.debug("%s %s", change.difference, change.path)
            match change.difference:
                case Difference.KEEP:
                    pass
                case Difference.REMOVE:
                    transaction.remove(change.path)
                case _:
                    mode = entries[change.path].mode
                    transaction.stage(change.path, mode=mode, content=bundle.files[change.path])
        # In the same change as the files: a host never trusts a bundle of which it has only a part.
        content = record.encode()
        present = read_file(store, RECORD)
        # Nothing is staged where nothing differs, so that such an install leaves no backup either.
        if isinstance(present, Fault) or present.data != content:
            transaction.stage(RECORD, mode=CERTIFICATE_MODE, content=content)
        _look_again(transaction, {path: entry.mode for path, entry in entries.items()}, bundle.files)
        return transaction.commit(keep_backups=KEPT_BACKUPS)


def _look_again(transaction: Transaction, modes: dict[str, int], files: dict[str, bytes]) -> None:
    """Refuse what was staged otherwise than the bundle has it, in content, mode or, for root, its owner."""
    for path in transaction.staged_paths:
        # The record is not of the bundle, so there is nothing to compare it with.
        if path == RECORD:
            continue
        staged = transaction.staged(path)
        if (staged.data, staged.mode) != (files[path], modes[path]):
            raise StoreError(f"the staged {path} is not what was written", hint="check the disk (`dmesg`)")
        if os.geteuid() == 0 and (staged.uid, staged.gid) != (0, 0):
            raise StoreError(
                f"the staged {path} would not belong to root",
                hint="run as root with root's own group (`sg root`)",
            )


def affected(steps: tuple[RestartStep, ...], changes: tuple[Change, ...]) -> tuple[RestartStep, ...]:
    """What has to be done with components after these changes: with those that read what has changed."""
    changed = {
        # Another mode or owner leaves the bytes as components have read them.
        change.path
        for change in changes
        if change.difference not in {Difference.KEEP, Difference.MODE}
    }
    return tuple(step for step in steps if changed & set(step.files))


def plan_bundle_rollback(store: Store, backup: str | None) -> Rollback:
    """Plan to undo an install; the first one on an empty node has replaced nothing: all that it made goes.

    Raises:
        UsageError: There is no such backup, or nothing is installed.
    """
    installed = read_installed(store)
    # Without a backup only the very first install can be undone.
    if store.backups() or backup is not None or installed is None:
        return plan_rollback(store, backup)
    paths = (*installed.paths, RECORD)
    return Rollback(
        backup="the first install",
        undone=(),
        restores=(),
        removes=tuple(path for path in paths if exists(store, path)),
    )


def roll_back(rollback: Rollback, store: Store) -> str | None:
    """Go back to the state before an install, in one change with a backup of its own."""
    with store.transaction() as transaction:
        for restore in rollback.restores:
            content = kept_content(store, restore)
            transaction.stage(restore.path, mode=content.mode, content=content.data)
        for path in rollback.removes:
            transaction.remove(path)
        return transaction.commit(keep_backups=KEPT_BACKUPS)


def require_ours(rollback: Rollback, *, directory: str | None) -> None:
    """A backup that names other paths than a bundle may was not left by an install.

    Raises:
        BundleError: It does.
    """
    paths = [each.path for each in rollback.restores] + list(rollback.removes)
    require_known((path for path in paths if path not in _OWN), directory=directory, whose="the backup")
