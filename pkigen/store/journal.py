"""Commit, recovery and undo of a prepared change; each can be repeated from any point.

`.pkigen/staging/` holds everything that a change needs: the new files under numbers, the backup, and the list
of directories made for it; what goes to another mount is also staged beside its target (`beside`). Until
`.pkigen/journal` exists, undoing a change means removing those; from then on, finishing it means renaming
each staged file to its path. Both can be killed anywhere and started again.

Anybody can put such files into a tree that is then copied. So an earlier change is finished or undone only if
all of it is ours: the record, what is staged, and every directory on the way.
"""

from __future__ import annotations

import errno
import logging
import stat
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING

from pkigen.errors import StoreError
from pkigen.records import dataclass
from pkigen.store import backups, beside, birth
from pkigen.store.directories import (
    Anchor,
    Descent,
    decode_list,
    foreign,
    open_directory,
    remove_tree,
    require_ours,
    write_list,
)
from pkigen.store.files import Synced, anybodys, lstat_or_none, plain_file, read_file, sha256_of, write_new
from pkigen.store.paths import STAGING_PARTS, Parts
from pkigen.store.record import UNKNOWN, Begun, Record, RecordError, RemoveFile, WriteFile
from pkigen.store.system_errors import ObstacleError, explained, kind, shown

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from datetime import datetime

    from pkigen.store.directories import Level
    from pkigen.store.files import FileRule
    from pkigen.store.filesystem import FileSystem
    from pkigen.store.record import Operation

logger = logging.getLogger(__name__)

JOURNAL = "journal"
BACKUP = "backup"
_RECORD = "record"
_BEGUN = "begun"
_DIRECTORIES = "directories"
# They say what else is to be undone: an undoing that is killed must find them when it begins again.
_KEPT_LONGEST = {_BEGUN, _DIRECTORIES, beside.PLACES}
_STAYS = {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY}  # the last: a mount point
# In bytes: a line for each file of a change.
_RECORD_MAX = 1 << 30
_BEGUN_MAX = 1 << 16
_NOT_OURS = (
    "whoever made it can finish it; to leave everything as it is, remove `journal` and `staging` from .pkigen"
)
_BY_HAND = (
    "restore the files of the newest backup below {root}/{private}/backups, "
    "then remove {root}/{private}/journal"
)


class Outcome(Enum):
    """What became of an interrupted change."""

    FINISHED = "finished"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """An interrupted change that an earlier run left, and what was done about it."""

    outcome: Outcome
    command: str
    started: datetime | None
    paths: int

    def __str__(self) -> str:
        who = f"`pkigen {self.command}`" if self.command else "pkigen"
        when = f" of {self.started:%Y-%m-%d %H:%M:%S %Z}".rstrip() if self.started else ""
        files = f"{self.paths} file{'' if self.paths == 1 else 's'}"
        match self.outcome:
            case Outcome.FINISHED:
                return f"an interrupted {who}{when} was finished: {files} changed"
            case Outcome.DISCARDED:
                return f"an interrupted {who}{when} was undone: {files} prepared, none changed"


def begin(anchor: Anchor, staging_fd: int, begun: Begun) -> None:
    """Record in the staging directory which command began the change."""
    write_new(anchor.fs, _BEGUN, staging_fd, mode=0o600, chunks=(begun.encode(),))


def is_committed(anchor: Anchor) -> bool:
    """Tell whether a commit record stands."""
    return lstat_or_none(anchor.fs, JOURNAL, anchor.private_fd) is not None


def make_directories(anchor: Anchor, staging_fd: int, missing: Iterable[Parts]) -> None:
    """Create the directories of a change, having written down first which they are, to be able to undo it."""
    wanted = list(missing)
    if not wanted:
        return
    write_list(anchor, staging_fd, _DIRECTORIES, wanted)
    with Descent(anchor.fs, anchor.root_fd, synced=Synced.for_changes(len(wanted))) as live:
        for parts in wanted:
            live.make(parts)
        live.flush()


def commit(anchor: Anchor, staging_fd: int, record: Record) -> None:
    """Write the commit record; once its rename is durable, the change will be made."""
    fs = anchor.fs
    # The record, and every name that it relies on, are on the disk before the rename that decides.
    write_new(fs, _RECORD, staging_fd, mode=0o600, chunks=record.encode())
    fs.fsync(staging_fd)
    fs.fsync(anchor.private_fd)
    # One rename decides. Until its directory is synced a power failure may undo it: then nothing was decided.
    fs.rename(_RECORD, staging_fd, JOURNAL, anchor.private_fd)
    fs.fsync(anchor.private_fd)
    logger.debug("committed %s: the journal names %d files", anchor.root, len(record.operations))


def recover(anchor: Anchor) -> Recovery | None:
    """Finish or undo what an earlier run left; None when it left nothing."""
    with explained(anchor.root, anchor.private_path, "recover"):
        # What was on its way out anyway; the disk may be full.
        backups.empty_trash(anchor)
        if is_committed(anchor):
            record = _read_record(anchor)
            # All of it before the first rename: what cannot be finished stays
            # untouched, for a person to decide.
            _verify(anchor, record)
            roll_forward(anchor, record)
            return _recovery(Outcome.FINISHED, record.begun, len(record.operations))
        return discard(anchor)


def roll_forward(anchor: Anchor, record: Record) -> None:
    """Do what the record says, skip what is done already, and clear the record."""
    staging_fd = _open_staging(anchor)
    try:
        # Before the first file is replaced: from then on its old content is in the backup alone.
        if record.backup is not None and staging_fd is not None:
            backups.install(anchor, staging_fd, BACKUP, record.backup)
        synced = Synced.for_changes(len(record.operations))
        with Descent(anchor.fs, anchor.root_fd, synced=synced) as live:
            # In the order of the tree, in which the record has them: each
            # directory is opened and synced once.
            for operation in record.operations:
                _do(anchor, staging_fd, live, operation)
            live.flush()
        beside.clear(anchor, beside.places_of(record.operations))
    finally:
        if staging_fd is not None:
            anchor.fs.close(staging_fd)
    _prune(anchor, record)
    birth.settle(anchor)
    # Before the record: the other way round, a crash leaves staged files without one,
    # which is a change to be undone.
    remove_tree(anchor.fs, anchor.private_fd, STAGING_PARTS)
    # Last of all: while the record stands, the next run does all of this again.
    with suppress(FileNotFoundError):
        anchor.fs.unlink(JOURNAL, anchor.private_fd)
    anchor.fs.fsync(anchor.private_fd)


def discard(anchor: Anchor) -> Recovery | None:
    """Undo a change without a commit record; None when there is none."""
    fs = anchor.fs
    staging_fd = _open_staging(anchor)
    if staging_fd is None:
        return None
    try:
        # Nothing in the tree was touched yet, so there is only what was added to take away again.
        names = [entry.name for entry in fs.scan(staging_fd)]
        # Only for the message: undoing does not need to know whose change it was.
        begun = UNKNOWN
        if _BEGUN in names:
            begun = Begun.decode(_read_own(anchor, staging_fd, _BEGUN, limit=_BEGUN_MAX))
        # These lists were written before the first of what they name was made.
        if beside.PLACES in names:
            text = _read_own(anchor, staging_fd, beside.PLACES, limit=_RECORD_MAX)
            beside.clear(anchor, decode_list(text))
        if _DIRECTORIES in names:
            text = _read_own(anchor, staging_fd, _DIRECTORIES, limit=_RECORD_MAX)
            _remove_empty(anchor, decode_list(text))
    finally:
        fs.close(staging_fd)
    # Preparing the first backup made its directory; an undone change leaves none.
    backups.remove_if_empty(anchor)
    remove_tree(fs, anchor.private_fd, STAGING_PARTS, last=_KEPT_LONGEST)
    fs.fsync(anchor.private_fd)
    # Staged files are called by numbers, and nothing else is (`Transaction._stage`).
    return _recovery(Outcome.DISCARDED, begun, sum(name.isdigit() for name in names))


def _do(anchor: Anchor, staging_fd: int | None, live: Descent, operation: Operation) -> None:
    """Make one operation of a decided change, or find it made: nothing happens twice.

    A rename has no source any more then, and a removal no target.
    """
    fs = anchor.fs
    *parents, name = operation.path.split("/")
    match operation:
        case WriteFile():
            # Not `enter`: somebody may have removed an empty directory since the change was prepared.
            level = live.make(tuple(parents))
            _require_replaceable(anchor, level, name, operation.path)
            with beside.staged_in(anchor, staging_fd, level, operation) as source_fd:
                if source_fd is None or not _moved(fs, operation.staged, source_fd, name, level.fd):
                    _require_done(anchor, level, name, operation)
        case RemoveFile():
            try:
                level = live.enter(tuple(parents))
                _require_replaceable(anchor, level, name, operation.path)
                fs.unlink(name, level.fd)
            except FileNotFoundError:
                # Removed already, be it with its directory.
                return
    level.changed = True


def _moved(fs: FileSystem, staged: str, staging_fd: int, name: str, dir_fd: int) -> bool:
    """False where there is nothing to move: an earlier run has done it, or the file is lost."""
    try:
        # The content was synced when it was staged, so the new name can never lead to a file that is empty
        # after a power failure.
        fs.rename(staged, staging_fd, name, dir_fd)
    except FileNotFoundError:
        return False
    return True


def _require_replaceable(anchor: Anchor, level: Level, name: str, path: str) -> None:
    """Refuse to rename over what is no plain file, such as a directory that came after the decision."""
    status = lstat_or_none(anchor.fs, name, level.fd)
    if status is not None and (reason := kind(status)):
        raise ObstacleError(path, reason)


def _require_done(anchor: Anchor, level: Level, name: str, operation: WriteFile) -> None:
    """Accept a missing staged file only if the new content is in place; else it is lost, or not mounted."""
    if _holds(anchor, name, level.fd, operation, operation.path):
        return
    what = f"the new {operation.path} is neither staged nor in place"
    raise (_unmounted if operation.beside else _lost)(anchor, what)


def _verify(anchor: Anchor, record: Record) -> None:
    """See that the change can be finished before touching anything."""
    fs = anchor.fs
    staging_fd = _open_staging(anchor)
    try:
        staged = {entry.name for entry in fs.scan(staging_fd)} if staging_fd is not None else set()
        # Staged, or in its place already: an earlier run may have come that far.
        if record.backup and BACKUP not in staged and not backups.is_installed(anchor, record.backup):
            raise _lost(anchor, f"its backup {record.backup} is gone")
        with Descent(fs, anchor.root_fd) as live:
            for operation in record.operations:
                with suppress(FileNotFoundError):
                    live.enter(operation.directory)  # those on the way must be ours, or nothing begins
                if isinstance(operation, WriteFile):
                    _verify_write(anchor, staging_fd if operation.staged in staged else None, live, operation)
    finally:
        if staging_fd is not None:
            fs.close(staging_fd)


def _verify_write(anchor: Anchor, staging_fd: int | None, live: Descent, operation: WriteFile) -> None:
    """See that the file is staged, whole, where a rename reaches it, or is in its place already.

    Args:
        anchor: The open directories.
        staging_fd: Where it is staged; None when it is there no more.
        live: The tree.
        operation: What is to be done.
    """
    if staging_fd is not None and not operation.beside:
        _require_whole(anchor, staging_fd, operation)
        return
    try:
        level = live.enter(operation.directory)
        with beside.staged_in(anchor, None, level, operation) as place_fd:
            if place_fd is None or lstat_or_none(anchor.fs, operation.staged, place_fd) is None:
                _require_done(anchor, level, operation.path.rpartition("/")[2], operation)
            else:
                _require_whole(anchor, place_fd, operation)
    except FileNotFoundError:
        what = f"the new {operation.path} is gone"
        raise (_unmounted if operation.beside else _lost)(anchor, what) from None


def _require_whole(anchor: Anchor, staging_fd: int, operation: WriteFile) -> None:
    """Refuse a staged file that is not, bit for bit and by its mode, what the record says."""
    path = "/".join((*STAGING_PARTS, operation.staged))
    if not _holds(anchor, operation.staged, staging_fd, operation, path, rule=_require_made_by_us):
        raise _lost(anchor, f"the staged {operation.path} is damaged")


def _holds(
    anchor: Anchor, name: str, dir_fd: int, operation: WriteFile, path: str, *, rule: FileRule = anybodys
) -> bool:
    """Whether a name has the content and mode that an operation writes.

    The name alone says nothing: the file may be of before the change, or of somebody else.
    """
    try:
        with plain_file(anchor.fs, name, dir_fd, path) as (fd, status):
            rule(status, path)
            return (
                status.st_size == operation.size
                and stat.S_IMODE(status.st_mode) == operation.mode
                # The cheap comparisons come first; the hash reads all of the file.
                and sha256_of(anchor.fs, fd) == operation.sha256
            )
    except FileNotFoundError:
        return False


def _require_made_by_us(status: os.stat_result, path: str) -> None:
    """Refuse what another user owns, or knows by a second name: what pkigen stages is its user's alone.

    While it waits there, its mode opens nothing to anybody.
    """
    reason = foreign(status) or (f"has {status.st_nlink} names (hard links)" if status.st_nlink > 1 else "")
    if reason:
        raise ObstacleError(path, f"{reason}, and is part of an unfinished change", hint=_NOT_OURS)


def _prune(anchor: Anchor, record: Record) -> None:
    """Remove directories that the change left empty."""
    emptied: set[Parts] = set()
    for operation in record.operations:
        if isinstance(operation, RemoveFile):
            parts = tuple(operation.path.split("/"))
            emptied.update(parts[:length] for length in range(1, len(parts)))
    _remove_empty(anchor, emptied)


def _remove_empty(anchor: Anchor, directories: Iterable[Parts]) -> None:
    """Remove those of the directories that are empty, the deepest first."""
    with Descent(anchor.fs, anchor.root_fd) as live:
        # In this order a directory comes after all that are in it.
        for parts in sorted(directories, reverse=True):
            try:
                level = live.enter(parts[:-1])
                anchor.fs.rmdir(parts[-1], level.fd)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno not in _STAYS:
                    raise
            else:
                level.changed = True
        live.flush()


def _read_record(anchor: Anchor) -> Record:
    """Read the commit record; raises `StoreError` for one that is damaged or not ours."""
    path = f"{anchor.private_path}/{JOURNAL}"
    text = read_file(
        anchor.fs, JOURNAL, anchor.private_fd, path, limit=_RECORD_MAX, rule=_require_own_record
    ).data
    try:
        return Record.decode(text)
    except RecordError as error:
        raise StoreError(f"{shown(anchor.root, path)} {error}", hint=_by_hand(anchor)) from error


def _require_own_record(status: os.stat_result, path: str) -> None:
    """A record decides what is renamed where, so nobody else may have written it, or can write it now."""
    _require_made_by_us(status, path)
    require_ours(status, path)


def _read_own(anchor: Anchor, staging_fd: int, name: str, *, limit: int) -> bytes:
    """Read a file of the staging directory that says what is to be undone; it must be ours, too."""
    path = "/".join((*STAGING_PARTS, name))
    return read_file(anchor.fs, name, staging_fd, path, limit=limit, rule=_require_own_record).data


def _open_staging(anchor: Anchor) -> int | None:
    """Open the staging directory; None when it is gone already, which a killed `roll_forward` leaves."""
    try:
        return open_directory(anchor.fs, anchor.private_fd, STAGING_PARTS)[0]
    except FileNotFoundError:
        return None


def _recovery(outcome: Outcome, begun: Begun, paths: int) -> Recovery:
    return Recovery(outcome=outcome, command=begun.command, started=begun.started, paths=paths)


def _lost(anchor: Anchor, what: str) -> StoreError:
    """An interrupted change that needs a person, because part of it is gone: by hand, from the backup."""
    return StoreError(
        f"an interrupted change of {anchor.root} cannot be finished: {what}",
        hint=_by_hand(anchor),
    )


def _unmounted(anchor: Anchor, what: str) -> StoreError:
    """An interrupted change whose missing part may be on a file system that is not mounted."""
    return StoreError(
        f"an interrupted change of {anchor.root} cannot be finished: {what}",
        hint="mount every file system that it was made on, then run the command again; "
        f"without them: {_by_hand(anchor)}",
    )


def _by_hand(anchor: Anchor) -> str:
    return _BY_HAND.format(root=anchor.root, private=anchor.private_path)
