"""Somebody else's files, one name at a time: no link is followed, and nothing is read without end."""

from __future__ import annotations

import enum
import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from pkigen.errors import StoreError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST_CONTENT: Final = 1 << 20
"""In bytes: what is larger is no certificate, kubeconfig or manifest."""

Steps = tuple[str, ...]
"""A path, name by name, from the top of a tree."""


class EntryKind(enum.Enum):
    """What stands at a path."""

    FILE = enum.auto()
    DIRECTORY = enum.auto()
    LINK = enum.auto()
    OTHER = enum.auto()
    """A device, a socket, a FIFO: it is never opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEntry:
    """What stands at a path, itself: `target` is where a link leads, empty for everything else."""

    kind: EntryKind
    mode: int
    uid: int
    gid: int
    size: int = 0
    target: str = ""


class FileTree(Protocol):
    """A directory or an archive; no path given here leads through a link."""

    def entry(self, steps: Steps) -> TreeEntry | None:
        """What stands at a path; None where nothing does, or where it cannot be seen."""
        ...

    def names(self, steps: Steps) -> tuple[str, ...]:
        """What a directory has, sorted; nothing where it cannot be listed."""
        ...

    def content(self, steps: Steps) -> bytes | None:
        """A file's bytes, at most `LARGEST_CONTENT`; None where they cannot be read."""
        ...


_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK a FIFO that has taken a file's place would wait for its writer.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS: Final = (
    (stat.S_ISREG, EntryKind.FILE),
    (stat.S_ISDIR, EntryKind.DIRECTORY),
    (stat.S_ISLNK, EntryKind.LINK),
)


# A flag may name a path that no file can have: with a NUL, or with what is no text (`os.fsencode`).
_NOTHING_THERE = (OSError, ValueError)


class DirectoryTree:
    """A directory of this machine.

    Every directory on the way is opened by itself, so that nobody can put a link in its place meanwhile.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def entry(self, steps: Steps) -> TreeEntry | None:
        """What stands at a path."""
        if not steps:
            return _entry(self._root.stat(), "")
        try:
            with self._opened(steps[:-1]) as directory:
                status = os.stat(steps[-1], dir_fd=directory, follow_symlinks=False)
                is_link = stat.S_ISLNK(status.st_mode)
                target = os.readlink(steps[-1], dir_fd=directory) if is_link else ""
        except _NOTHING_THERE:
            return None
        return _entry(status, target)

    def names(self, steps: Steps) -> tuple[str, ...]:
        """What a directory has."""
        try:
            with self._opened(steps) as directory:
                return tuple(sorted(os.listdir(directory)))  # noqa: PTH208 -- not by its path
        except _NOTHING_THERE:
            return ()

    def content(self, steps: Steps) -> bytes | None:
        """A file's bytes."""
        try:
            with self._opened(steps[:-1]) as directory:
                file = os.open(steps[-1], _FILE, dir_fd=directory)
                with os.fdopen(file, "rb") as stream:
                    # It may have become something else since its entry was read.
                    if not stat.S_ISREG(os.fstat(file).st_mode):
                        return None
                    return stream.read(LARGEST_CONTENT)
        except _NOTHING_THERE:
            return None

    @contextmanager
    def _opened(self, steps: Steps) -> Iterator[int]:
        """A directory, reached without a link.

        Raises:
            OSError: There is none, or it may not be read.
        """
        # The top may be a link: that is how somebody has named it.
        directory = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for step in steps:
                below = os.open(step, _DIRECTORY, dir_fd=directory)
                os.close(directory)
                directory = below
            yield directory
        finally:
            os.close(directory)


def _entry(status: os.stat_result, target: str) -> TreeEntry:
    kind = next((kind for test, kind in _KINDS if test(status.st_mode)), EntryKind.OTHER)
    return TreeEntry(
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size,
        target=target,
    )


def require_readable(root: Path) -> None:
    """See that a directory can be listed at all.

    Raises:
        StoreError: It cannot.
    """
    try:
        next(root.iterdir(), None)
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO).lower()
        raise StoreError(f"{root} cannot be read: {reason}") from None
