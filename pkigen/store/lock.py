"""The lock of a PKI directory: released when its process ends; the lock file names the holder."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pkigen.errors import BusyError
from pkigen.notation import printable
from pkigen.records import dataclass
from pkigen.store.directories import require_ours
from pkigen.store.files import lstat_or_none, write_all
from pkigen.store.paths import PRIVATE
from pkigen.store.system_errors import ObstacleError, kind

if TYPE_CHECKING:
    from datetime import datetime

    from pkigen.store.directories import Anchor

LOCK = "lock"
_PATH = f"{PRIVATE}/{LOCK}"
# Without O_EXCL: any number of processes open the one lock file. O_NONBLOCK, for a FIFO in its place.
_WRITING = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# In seconds.
_PAUSE = 0.05
_HOLDER_MAX = 4096


class LockGoneError(Exception):
    """Another run removed the lock file with an empty PKI directory before we had the lock: start over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockHolder:
    """Who holds the lock, as written in its file."""

    pid: int
    command: str
    since: datetime | None

    def encode(self) -> bytes:
        """Write one line of JSON."""
        since = self.since.isoformat() if self.since else None
        return (json.dumps({"pid": self.pid, "command": self.command, "since": since}) + "\n").encode()


def lock_for_writing(anchor: Anchor, *, waits: int = 0) -> int:
    """Take the lock alone and return its descriptor.

    Args:
        anchor: The PKI directory.
        waits: How many twentieths of a second to wait for another holder.

    Raises:
        BusyError: Another process has it.
        LockGoneError: The file was removed meanwhile.
    """
    try:
        return _lock(anchor, _WRITING, fcntl.LOCK_EX, waits)
    except FileNotFoundError:  # the directory itself was removed
        raise LockGoneError from None


def lock_for_reading(anchor: Anchor, *, waits: int) -> int | None:
    """Share the lock with other readers; None when no writer ever made a lock file."""
    try:
        return _lock(anchor, _READING, fcntl.LOCK_SH, waits)
    except FileNotFoundError:
        return None


def keep_for_reading(anchor: Anchor, fd: int) -> None:
    """Turn the lock for writing into one that other readers share."""
    anchor.fs.flock(fd, fcntl.LOCK_SH)


def announce(anchor: Anchor, fd: int, holder: LockHolder) -> None:
    """Write into the lock file who holds it."""
    # Not a rename: the lock belongs to the inode, and a new file under the name would be a second lock.
    anchor.fs.truncate(fd)
    write_all(anchor.fs, fd, holder.encode())


def withdraw(anchor: Anchor, fd: int) -> None:
    """Empty the lock file; a failure is harmless, because closing the descriptor releases the lock."""
    with suppress(OSError):
        anchor.fs.truncate(fd)


def _lock(anchor: Anchor, flags: int, operation: int, waits: int) -> int:
    """Take the lock; raises `BusyError` where it is held, `LockGoneError` where its file was removed.

    It is looked at once more after the lock is taken: it may have been removed with its directory before.
    """
    fs = anchor.fs
    status = lstat_or_none(fs, LOCK, anchor.private_fd)
    if status and (reason := kind(status)):
        raise ObstacleError(_PATH, reason)
    fd = fs.open(LOCK, flags, 0o600, anchor.private_fd)
    try:
        if flags == _WRITING:
            # A reader may look at somebody else's directory; a writer relies on
            # nobody else being able to hold it.
            _require_own(anchor, fd)
        _wait(anchor, fd, operation, waits)
        _require_named(anchor, fd)
    except BaseException:
        fs.close(fd)
        raise
    return fd


def _require_named(anchor: Anchor, fd: int) -> None:
    """Raise `LockGoneError` unless the locked file still has its name: locking another keeps nobody out."""
    named = lstat_or_none(anchor.fs, LOCK, anchor.private_fd)
    if named is None or not os.path.samestat(named, anchor.fs.fstat(fd)):
        raise LockGoneError


def _require_own(anchor: Anchor, fd: int) -> None:
    """Refuse a lock file of somebody else, and take it from others where its mode lets them in.

    Who can write the file can say that somebody else holds it; who can open it can hold it for ever.
    """
    status = anchor.fs.fstat(fd)
    require_ours(status, _PATH)
    if status.st_nlink > 1:
        raise ObstacleError(_PATH, "has a second name (hard link)")
    if stat.S_IMODE(status.st_mode) & 0o077:
        anchor.fs.fchmod(fd, 0o600)


def _wait(anchor: Anchor, fd: int, operation: int, waits: int) -> None:
    """The system call cannot be told how long to wait, so it is made again after each pause."""
    while True:
        try:
            # flock(2) rather than fcntl(2): a record lock is lost as soon as any
            # descriptor of the file is closed.
            anchor.fs.flock(fd, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            if waits <= 0:
                raise _busy(anchor, fd) from None
            waits -= 1
            time.sleep(_PAUSE)
        else:
            return


def _busy(anchor: Anchor, fd: int) -> BusyError:
    """Say who holds the lock, as far as the file can be believed.

    What it says is somebody's text: it is printed, never acted on.
    """
    root = printable(str(anchor.root))
    hint = "wait for it to finish, then run the command again; the lock is released with its process"
    try:
        text = anchor.fs.read(fd, _HOLDER_MAX)
        if not text:  # it has only just taken the lock, or it is a reader and leaves no name
            time.sleep(_PAUSE)
            text = anchor.fs.read(fd, _HOLDER_MAX)
        holder = json.loads(text)
        pid, command, since = int(holder["pid"]), str(holder["command"]), holder["since"]
    except (ValueError, KeyError, TypeError):
        return BusyError(f"{root} is in use by another pkigen", hint=hint)
    if not _runs(pid):  # it was killed, and the lock is held by somebody who leaves no name
        return BusyError(f"{root} is in use by another pkigen", hint=hint)
    who = (
        f"`pkigen {printable(command)}` (process {pid}{f', since {printable(str(since))}' if since else ''})"
    )
    return BusyError(f"{root} is in use by {who}", hint=hint)


def _runs(pid: int) -> bool:
    """Signal 0 asks whether a process exists (kill(2)); that we may not send to it says that it does."""
    try:
        os.kill(pid, 0)
    # No process can have such a number; the file may say anything.
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
