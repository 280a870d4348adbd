"""A PKI directory that was created and stayed empty is removed again, whichever of several runs ends last.

The process that creates the directory need not be the one that gets its lock, or the last to leave. So the
creator leaves a mark beside the lock before it tries to take the lock, and a process that ends while holding
the lock with nothing in the directory removes mark, lock and directory. A directory without a mark was the
user's: it stays, empty as it was.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from pkigen.store import backups
from pkigen.store.directories import open_directory
from pkigen.store.files import lstat_or_none
from pkigen.store.lock import LOCK
from pkigen.store.paths import PRIVATE
from pkigen.store.system_errors import ObstacleError

if TYPE_CHECKING:
    from pkigen.store.directories import Anchor

MARK = "new"
_MARKING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# POSIX lets rmdir(2) say either.
_NOT_EMPTY = {errno.ENOTEMPTY, errno.EEXIST}
# Each round loses only to another process that made a file in between; twenty in a row is no accident.
_ROUNDS = 20


class Birth:
    """Whether this run has made the root, in whichever of its attempts to get the lock."""

    def __init__(self) -> None:
        self.is_ours = False


def mark(anchor: Anchor, private_fd: int) -> None:
    """Say that the root was not there before pkigen came.

    Raises:
        FileNotFoundError: The directory of the store's own state was removed meanwhile.
    """
    # A run that came between may have left the mark already.
    with suppress(FileExistsError):
        anchor.fs.close(anchor.fs.open(MARK, _MARKING, 0o600, private_fd))


def leave(anchor: Anchor) -> None:
    """At the end of a run, under the lock: remove what holds nothing."""
    fs = anchor.fs
    # Tidying up never turns a run that has succeeded into one that failed.
    with suppress(OSError, ObstacleError):
        if [entry.name for entry in fs.scan(anchor.root_fd)] != [PRIVATE]:
            return
        # Anything else there is a journal, a ledger or staged files, and is not ours to remove.
        own = {entry.name for entry in fs.scan(anchor.private_fd)}
        if own - {LOCK, MARK, backups.BACKUPS} or not backups.remove_if_empty(anchor):
            return
        # From here on another process can make a new lock file, and own the directory; see `_remove`.
        fs.unlink(LOCK, anchor.private_fd)
        _remove(anchor)


def settle(anchor: Anchor) -> None:
    """Keep the root from now on, whichever run made it: it holds a change."""
    with suppress(FileNotFoundError, IsADirectoryError):  # what stands there instead is no mark of ours
        anchor.fs.unlink(MARK, anchor.private_fd)


def _remove(anchor: Anchor) -> None:
    """Others may come now, find no lock, and make one: then the root, and its mark, are theirs."""
    fs, is_new = anchor.fs, False
    for _ in range(_ROUNDS):
        try:
            with suppress(FileNotFoundError), ExitStack() as resources:
                fd, _ = open_directory(fs, anchor.root_fd, (PRIVATE,))
                resources.callback(fs.close, fd)
                # Remembered over the rounds: the mark is gone after the first one that takes it.
                is_new = _take_mark(anchor, fd) or is_new
                if lstat_or_none(fs, LOCK, fd) is not None:
                    if is_new:
                        mark(anchor, fd)
                    return
                fs.rmdir(PRIVATE, anchor.root_fd)
            if is_new:
                fs.rmdir(anchor.name, anchor.parent_fd)
        except OSError as error:
            if error.errno not in _NOT_EMPTY:
                raise
        else:
            return


def _take_mark(anchor: Anchor, private_fd: int) -> bool:
    """Whether we have taken the mark: of several that end at once only one does, and removes the root."""
    try:
        anchor.fs.unlink(MARK, private_fd)
    except FileNotFoundError:
        return False
    return True
