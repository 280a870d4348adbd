"""System errors and obstacles in the tree, as messages with a hint."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pkigen.errors import StoreError, UnsafePathError
from pkigen.notation import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Every command can be run again: the journal finishes or undoes what was begun.
_AGAIN = "then run the command again"
_HINTS = {
    errno.ENOSPC: f"free space (and inodes) on the file system of {{root}}, {_AGAIN}",
    errno.EDQUOT: f"the disk quota of this user is used up: free space below {{root}} or raise it, {_AGAIN}",
    errno.EFBIG: f"the limit on file sizes is too low: raise it (`ulimit -f unlimited`), {_AGAIN}",
    errno.EROFS: f"the file system of {{root}} is mounted read-only: remount it writable, {_AGAIN}",
    errno.EIO: f"the disk reports an error: check `dmesg` and the disk, {_AGAIN}",
    # rename(2) and link(2) work within one mount only, see `FileSystem.mount`.
    errno.EXDEV: f"a mount point below {{root}} appeared or disappeared: check what is mounted, {_AGAIN}",
    errno.EMFILE: f"too few open files are allowed: raise the limit (`ulimit -n 1024`), {_AGAIN}",
    errno.ENFILE: f"the system has no open files left: close other programs, {_AGAIN}",
    errno.EACCES: "run as the user who owns {root}, or give this user access to it",
    errno.EPERM: "run as the user who owns {root}; `lsattr` shows files that were made immutable",
}


class MissingError(StoreError):
    """There is no such file."""


class UnreadableError(StoreError):
    """Something stands at the path, but it is no file that can be read; `reason` says why."""

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class RefusedError(StoreError):
    """The system does not let the file be read now (I/O error, permissions): what it holds is unknown.

    So it is no `UnreadableError`: what is unknown must never be taken for missing, damaged or different.
    """


class ObstacleError(Exception):
    """Something other than the expected plain file or directory; leaves the store only translated."""

    def __init__(self, path: str, reason: str, *, hint: str = "") -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason
        self.hint = hint


def shown(root: Path, path: str) -> str:
    """Show a path of the tree in a message."""
    return printable(str(root / path))


def kind(status: os.stat_result) -> str:
    """Say what a file is when it is not a plain one, or an empty string when it is."""
    # A FIFO would block whoever opens it, and a device may do anything: only the kind is looked at.
    return {
        stat.S_IFREG: "",
        stat.S_IFDIR: "is a directory",
        stat.S_IFLNK: "is a symbolic link",
        stat.S_IFIFO: "is a FIFO",
        stat.S_IFSOCK: "is a socket",
        stat.S_IFBLK: "is a block device",
    }.get(stat.S_IFMT(status.st_mode), "is a character device")


def hint_for(error: OSError, root: Path) -> str:
    """A hint how to resolve a system error."""
    return _HINTS.get(error.errno or 0, "").format(root=printable(str(root)))


def because(error: OSError) -> str:
    """Give the system's reason in lower case."""
    return os.strerror(error.errno).lower() if error.errno else "input/output error"


def close_after(error: BaseException | None, close: Callable[[], None], note: Callable[[str], str]) -> None:
    """Close at the end of a `with` block; what fails then must not hide the error that has ended it.

    Args:
        error: That error, or None.
        close: What is to be done.
        note: What is added to that error where closing fails too, made from the reason.

    Raises:
        StoreError: Closing has failed, and nothing else.
    """
    try:
        close()
    except StoreError as second:
        # The first error is the cause; the second is added to it, since it may say that a lock is still held.
        if error is None:
            raise
        error.add_note(note(str(second)))


@contextmanager
def explained(root: Path, path: str, doing: str) -> Iterator[None]:
    """Translate what goes wrong inside into a `StoreError` about `path`.

    Args:
        root: The PKI directory.
        path: What the work is about, relative to `root`.
        doing: The verb for the sentence, such as `write`.
    """
    try:
        yield
    except OSError as error:
        message = f"cannot {doing} {shown(root, path)}: {because(error)}"
        raise StoreError(message, hint=hint_for(error, root)) from error
    except ObstacleError as obstacle:
        raise UnsafePathError(
            f"{shown(root, obstacle.path)} {obstacle.reason}",
            hint=obstacle.hint or "find out what it is, and move it away",
        ) from None
