"""One change of the tree: staged beside it, verified there, and then committed as a whole or not at all."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Self

from pkigen.errors import StoreError, UnsafePathError
from pkigen.store import backups, beside, journal
from pkigen.store.backups import BackupAction, BackupWriter
from pkigen.store.directories import Descent, make_directory
from pkigen.store.files import Synced, chunks_of, lstat_or_none, plain_file, read_file, write_new
from pkigen.store.paths import STAGING_PARTS, writable_parts
from pkigen.store.record import Record, RemoveFile, WriteFile, in_tree_order
from pkigen.store.system_errors import MissingError, ObstacleError, close_after, explained, kind, shown

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from types import TracebackType

    from pkigen.store.directories import Anchor, Level
    from pkigen.store.files import FileContent
    from pkigen.store.paths import Parts
    from pkigen.store.record import Begun, Operation

logger = logging.getLogger(__name__)

_READ_MAX = 1 << 20
# No setuid, setgid or sticky bit.
_MODE_BITS = 0o777


class Transaction:
    """A change in preparation; leaving the `with` block without `commit` undoes all of it.

    Get one from `Store.transaction`. Of the staged files only path, mode, hash and size stay in memory.
    """

    def __init__(self, anchor: Anchor, begun: Begun, now: datetime, expected: int) -> None:
        self._anchor = anchor
        self._expected = expected
        self._begun = begun
        self._now = now
        self._operations: dict[str, Operation] = {}
        self._staging_fd: int | None = None
        self._live = Descent(anchor.fs, anchor.root_fd)
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close_after(
            error, self.close, lambda why: f"undoing the change failed too: {why}; the next run does it"
        )

    @property
    def staged_paths(self) -> tuple[str, ...]:
        """The paths that get a new file, in the order in which they were staged."""
        return tuple(path for path, operation in self._operations.items() if isinstance(operation, WriteFile))

    def stage(self, path: str, *, mode: int, content: bytes, backup: bool = True) -> None:
        """Write a new or replacing file beside the tree.

        Args:
            path: Where it goes, relative to the root.
            mode: Its permission bits, set before the first byte is written.
            content: All of it.
            backup: Whether the file it replaces is kept; only the ledger, which keeps itself, does without.

        Raises:
            UnsafePathError: Something other than a plain file stands in the way.
            StoreError: The system refuses; the tree is unchanged.
        """
        parts = self._claim(path)
        with explained(self._anchor.root, path, "write"):
            # For its refusal only: before the commit it is looked at once more.
            self._existing(parts)
            self._stage(path, mode, (content,), backup=backup)

    def stage_mode(self, path: str, *, mode: int) -> None:
        """Give an existing file other permission bits: the same content is staged again.

        Raises:
            MissingError: There is no such file.
        """
        parts = self._claim(path)
        with explained(self._anchor.root, path, "change the mode of"):
            if self._existing(parts) is None:
                raise _missing(self._anchor, path)
            level = self._live.enter(parts[:-1])
            # Not fchmod(2): as a new file, a mode is part of the one rename that decides, and of the backup.
            with plain_file(self._anchor.fs, parts[-1], level.fd, path) as (fd, _):
                self._stage(path, mode, chunks_of(self._anchor.fs, fd), backup=True)

    def remove(self, path: str) -> None:
        """Take a file out of the tree; it stays in the backup.

        Raises:
            MissingError: There is no such file.
        """
        parts = self._claim(path)
        with explained(self._anchor.root, path, "remove"):
            if self._existing(parts) is None:
                raise _missing(self._anchor, path)
            self._staging()
        self._operations[path] = RemoveFile(path=path)
        logger.debug("%s is to be removed", path)

    def staged(self, path: str, *, limit: int = _READ_MAX) -> FileContent:
        """Read a staged file back from the disk.

        Raises:
            MissingError: Nothing is staged for the path.
        """
        operation = self._operations.get(path)
        if not isinstance(operation, WriteFile):
            raise MissingError(f"{shown(self._anchor.root, path)} is not staged")
        with explained(self._anchor.root, path, "read the staged"):
            return read_file(
                self._anchor.fs,
                operation.staged,
                self._staging(),
                "/".join((*STAGING_PARTS, operation.staged)),
                limit=limit,
            )

    def commit(self, *, keep_backups: int | None = None) -> str | None:
        """Make the change.

        Args:
            keep_backups: How many backups to keep; the one just made stays in any case. None keeps all.

        Returns:
            The name of the backup, or None when nothing was replaced or removed.

        Raises:
            StoreError: The change was not made, or it was decided and the next run finishes it.
        """
        self._require_open()
        anchor, backup_id = self._anchor, None
        if self._operations:
            with explained(anchor.root, "", "change"):
                record = self._prepare()
                journal.commit(anchor, self._staging(), record)
            # The change is decided: from here on an error does not mean that nothing has happened.
            with explained(anchor.root, "", "finish now (the next run will) the change of"):
                _finish(anchor, record)
            backup_id = record.backup
            written = len(self.staged_paths)
            removed = len(record.operations) - written
            logger.info(
                "changed %s: %d files written, %d removed; backup: %s",
                anchor.root,
                written,
                removed,
                backup_id or "none",
            )
        with explained(anchor.root, "", "close"):
            self._release()
        # After the change, with a message of its own: failing here leaves too many
        # backups and a tree that is right.
        if keep_backups is not None:
            with explained(
                anchor.root,
                f"{anchor.private_path}/backups",
                "change is made, but cannot remove old backups in",
            ):
                backups.retire(anchor, keep=keep_backups, newest=backup_id)
        return backup_id

    def close(self) -> None:
        """Undo what was staged, unless it is committed; further calls do nothing."""
        if not self._open:
            return
        with explained(self._anchor.root, "", "undo the change of"):
            self._release()
            # A decided change is not undone: the next run finishes it.
            if not journal.is_committed(self._anchor):
                journal.discard(self._anchor)

    def _release(self) -> None:
        """Close what is open; the transaction takes no more operations, even if closing fails."""
        self._open = False
        self._live.close()
        if self._staging_fd is not None:
            fd, self._staging_fd = self._staging_fd, None
            self._anchor.fs.close(fd)

    def _claim(self, path: str) -> Parts:
        """Check and split a path that is changed for the first time here; a second time is refused.

        The operations are renamed in the order of the tree, not of the calls: one path, one operation.
        """
        self._require_open()
        if path in self._operations:
            raise UnsafePathError(f"{shown(self._anchor.root, path)} is changed twice in one transaction")
        return writable_parts(path)

    def _require_open(self) -> None:
        """Refuse operations after the end of the change."""
        if not self._open:
            raise StoreError(f"the change of {self._anchor.root} is over")

    def _staging(self) -> int:
        """Open the staging directory, made with the first operation; refuse while an earlier change waits."""
        if self._staging_fd is None:
            anchor = self._anchor
            if journal.is_committed(anchor):
                raise StoreError(
                    f"an earlier change of {anchor.root} is not finished", hint="run the command again"
                )
            try:
                self._staging_fd, _ = make_directory(anchor.fs, anchor.private_fd, STAGING_PARTS)
            # Left by a run that was killed; the next one that opens the directory undoes it
            # (`journal.recover`).
            except FileExistsError:
                raise StoreError(
                    f"an earlier change of {anchor.root} is not undone", hint="run the command again"
                ) from None
            journal.begin(anchor, self._staging_fd, self._begun)
        return self._staging_fd

    def _stage(self, path: str, mode: int, chunks: Iterable[bytes], *, backup: bool) -> None:
        """Write a file into the staging directory, and note what it is to become; refuse odd modes."""
        if mode & ~_MODE_BITS:
            raise UnsafePathError(f"{shown(self._anchor.root, path)} cannot have mode {mode:04o}")
        # A number is never too long for a name, and leads nowhere.
        staged = f"{len(self._operations) + 1:08d}"
        synced = self._synced(len(self._operations) + 1)
        written = write_new(self._anchor.fs, staged, self._staging(), mode=mode, chunks=chunks, synced=synced)
        self._operations[path] = WriteFile(
            path=path, mode=mode, sha256=written.sha256, size=written.size, staged=staged, backup=backup
        )
        logger.debug("staged %s: mode %04o, %d bytes", path, mode, written.size)

    def _synced(self, count: int) -> Synced:
        """When a file is made durable that is the change's `count`-th; what is expected may not come."""
        return Synced.for_changes(max(self._expected, count))

    def _existing(self, parts: Parts) -> os.stat_result | None:
        """Describe the file that stands at a path; refuse what must not be replaced."""
        try:
            level = self._live.enter(parts[:-1])
        except FileNotFoundError:
            return None
        return _replaceable(self._anchor, level, parts)

    def _prepare(self) -> Record:
        """Do everything that can fail or needs space: the backup and the directories."""
        anchor, staging_fd = self._anchor, self._staging()
        # One wait for all files, before anything relies on them.
        if self._synced(len(self._operations)) is Synced.TOGETHER:
            anchor.fs.syncfs(staging_fd)
        # So that consecutive files share their directories, and a file is next to what would be below it.
        operations = sorted(self._operations.values(), key=lambda operation: in_tree_order(operation.path))
        _require_no_file_above(anchor, operations)
        # No rename crosses mounts, not even two of one file system (rename(2), EXDEV).
        mount = anchor.fs.mount(staging_fd)
        missing: dict[Parts, None] = {}
        checked: Level | None = None
        apart = False
        with BackupWriter(anchor, staging_fd, (*STAGING_PARTS, journal.BACKUP)) as backup:
            for number, operation in enumerate(operations):
                parts = tuple(operation.path.split("/"))
                try:
                    level = self._live.enter(parts[:-1])
                except FileNotFoundError:
                    reached = self._live.depth
                    missing.update(dict.fromkeys(parts[:length] for length in range(reached + 1, len(parts))))
                    level = self._live.enter(parts[:reached])
                    status = None
                else:
                    status = _replaceable(anchor, level, parts)
                # Once for each directory: the operations are in the order of the tree.
                if level is not checked:
                    _require_writable(anchor, level, parts)
                    apart = anchor.fs.mount(level.fd) != mount
                    checked = level
                # A removal needs no rename.
                if apart and isinstance(operation, WriteFile):
                    operations[number] = replace(operation, beside=True)
                _back_up(backup, operation, status, level)
            kept = backup.finish(self._begun)
        # The name of the backup is part of the record, so that its move can be done again.
        backup_id = backups.free_id(anchor, self._now) if kept else None
        journal.make_directories(anchor, staging_fd, missing)
        # After the directories: the staging directories are made in them.
        beside.stage(anchor, staging_fd, operations)
        return Record(begun=self._begun, backup=backup_id, operations=tuple(operations))


def _finish(anchor: Anchor, record: Record) -> None:
    """Finish a committed change; an interrupt takes effect after it is finished."""
    try:
        journal.roll_forward(anchor, record)
    # Once more, from the start: it finds done what is done, and the interrupt waits until the tree is whole.
    except (KeyboardInterrupt, SystemExit):
        journal.roll_forward(anchor, record)
        raise


def _back_up(backup: BackupWriter, operation: Operation, status: os.stat_result | None, level: Level) -> None:
    """What is new is noted, for a rollback to remove; the ledger keeps itself."""
    match operation:
        case RemoveFile() if status is not None:
            backup.keep(operation, BackupAction.REMOVED, level)
        case WriteFile(backup=True) if status is not None:
            backup.keep(operation, BackupAction.REPLACED, level)
        case WriteFile(backup=True):
            backup.note_created(operation)
        case _:
            pass


def _replaceable(anchor: Anchor, level: Level, parts: Parts) -> os.stat_result | None:
    """Describe the file at a path, None when there is none; refuse all but a plain file with one name.

    A second name would keep the old content alive, perhaps where others can read it.
    """
    status = lstat_or_none(anchor.fs, parts[-1], level.fd)
    if status is None:
        return None
    if reason := kind(status):
        raise ObstacleError("/".join(parts), reason)
    if status.st_nlink > 1:
        raise ObstacleError(
            "/".join(parts),
            f"has {status.st_nlink} names (hard links)",
            hint="find the others with `find -samefile`",
        )
    return status


def _require_writable(anchor: Anchor, level: Level, parts: Parts) -> None:
    """Refuse a directory in which the renames after the commit would fail."""
    where = "/".join(parts[:-1])
    if not anchor.fs.writable(level.fd):
        raise ObstacleError(where or ".", "is not writable", hint="run as its owner, or change its mode")


def _require_no_file_above(anchor: Anchor, operations: Sequence[Operation]) -> None:
    """Refuse a change in which one path is both a file and a directory of another.

    In the order of the tree, a file is directly followed by what would be below it.
    """
    for above, below in pairwise(operations):
        if below.path.startswith(above.path + "/"):
            what = f"cannot be a file and the directory of {below.path} in one change"
            raise UnsafePathError(f"{shown(anchor.root, above.path)} {what}")


def _missing(anchor: Anchor, path: str) -> MissingError:
    return MissingError(f"{shown(anchor.root, path)} does not exist")
