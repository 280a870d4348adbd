"""Directories opened component by component, never through a link, and created with the right mode."""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from pkigen.errors import UnsafePathError
from pkigen.records import dataclass
from pkigen.store.files import Synced, write_new
from pkigen.store.paths import BESIDE, PRIVATE, PRIVATE_AT_ROOT, directory_mode, writable_parts
from pkigen.store.system_errors import ObstacleError, kind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from pkigen.store.filesystem import FileSystem
    from pkigen.store.paths import Parts

    Rule = Callable[[os.stat_result, Parts], None]

# O_NOFOLLOW guards the last component only (open(2)); that is why every component is opened by itself.
FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NO_DIRECTORY = -1
CHOWN = "run as that user; or check that all of it is right, and make it yours: `chown -R`"
"""What to do about files of somebody else."""
_STICKY = stat.S_ISVTX
# More than a node's tree has directories, and far fewer than a process may have files open.
_MOST_OPEN = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The open directories that everything else is reached from; `name` is the root's in its parent."""

    fs: FileSystem
    root: Path
    parent_fd: int
    name: str
    root_fd: int
    private_fd: int
    private_path: str = PRIVATE

    @property
    def has_private(self) -> bool:
        """Tell whether the directory of the store's own state exists; readers do without."""
        return self.private_fd != NO_DIRECTORY


@dataclass(slots=True, kw_only=True)
class Level:
    """One open directory of a `Descent`."""

    name: str
    fd: int
    changed: bool = False


def ours(status: os.stat_result, parts: Parts) -> None:
    """Rule for writing: nobody else may change a directory that leads to what is written."""
    require_ours(status, "/".join(parts))


def anyones(_status: os.stat_result, _parts: Parts) -> None:
    """Rule for reading: whose the directory is will be a finding, not an error."""


def open_directory(
    fs: FileSystem, dir_fd: int, parts: Parts, rule: Rule = ours
) -> tuple[int, os.stat_result]:
    """Open the directory whose last component is in `dir_fd`, not through a link.

    Args:
        fs: The system calls.
        dir_fd: The parent.
        parts: The whole path, relative to the root, for the rule and the messages.
        rule: What the directory must satisfy.

    Raises:
        ObstacleError: Something else stands there, or the rule refuses it.
        OSError: The system does; `FileNotFoundError` where nothing is there.
    """
    path = "/".join(parts)
    try:
        fd = fs.open(parts[-1], FLAGS, 0, dir_fd)
    except OSError as error:
        if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
            raise
        # With O_DIRECTORY Linux says ENOTDIR for a link as well; the look at it finds out which it is.
        raise ObstacleError(path, kind(fs.lstat(parts[-1], dir_fd)) or "is not a directory") from error
    try:
        # The rule is asked about the open descriptor, not the name, which may lead elsewhere a moment later.
        status = fs.fstat(fd)
        rule(status, parts)
    except BaseException:
        fs.close(fd)
        raise
    return fd, status


def make_directory(fs: FileSystem, dir_fd: int, parts: Parts) -> tuple[int, os.stat_result]:
    """Create a directory with the mode that the table gives, whatever the umask, and open it."""
    mode = directory_mode(parts)
    fs.mkdir(parts[-1], mode, dir_fd)
    fd, status = open_directory(fs, dir_fd, parts)
    try:
        fs.fchmod(fd, mode)
    except BaseException:
        fs.close(fd)
        raise
    return fd, status


def _close_to_others(fs: FileSystem, fd: int, status: os.stat_result, parts: Parts) -> None:
    """Take from others what a directory that was there before us gave them, where secrets will be."""
    if len(parts) == 1 and parts[0] in PRIVATE_AT_ROOT and stat.S_IMODE(status.st_mode) & 0o077:
        fs.fchmod(fd, directory_mode(parts))


def require_ours(status: os.stat_result, path: str) -> None:
    """Refuse a file or directory that another user owns or may change.

    Raises:
        ObstacleError: Another user does.
    """
    if reason := foreign(status):
        raise ObstacleError(
            path or ".",
            reason,
            hint=CHOWN,
        )
    mode = stat.S_IMODE(status.st_mode)
    # In a sticky directory of root, such as /tmp, others can add names but not replace ours.
    # Group counts like everybody: who is in it is not known here.
    if mode & 0o022 and not (status.st_uid == 0 and mode & _STICKY):
        raise ObstacleError(
            path or ".",
            f"is writable by other users (mode {mode:04o})",
            hint="check it for files of others, then remove that permission: `chmod go-w`",
        )


def foreign(status: os.stat_result) -> str:
    """Say whose a file is when it is neither ours nor root's, or an empty string when it is."""
    if status.st_uid in {os.geteuid(), 0}:
        return ""
    return f"belongs to another user (uid {status.st_uid})"


class Descent:
    """A chain of open directories below a base, kept open while consecutive paths share it.

    Walked in sorted order, each directory is opened once. Directories marked `changed` are made durable when
    the chain leaves them, the last ones by `flush`.
    """

    def __init__(
        self,
        fs: FileSystem,
        base_fd: int,
        *,
        prefix: Parts = (),
        rule: Rule = ours,
        synced: Synced = Synced.AT_ONCE,
    ) -> None:
        self._synced = synced
        self._has_changed = False
        self._rule = rule
        self._fs = fs
        self._prefix = prefix
        self._levels = [Level(name="", fd=base_fd)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def depth(self) -> int:
        """How many directories below the base are open."""
        return len(self._levels) - 1

    def enter(self, parts: Parts) -> Level:
        """Open an existing directory; when one is missing, `depth` tells how far the chain came."""
        self._leave_until(parts)
        for name in parts[self.depth :]:
            self._push(name, *open_directory(self._fs, self._levels[-1].fd, self._path(name), self._rule))
        return self._levels[-1]

    def below(self, parts: Parts, *, without: Collection[Parts] = ()) -> Iterator[tuple[Parts, bool]]:
        """List all that stands below a directory, sorted: each entry's path, and whether it is a directory.

        There is no recursion, so that no depth exhausts the stack. What waits beside its target is left out.
        """
        waiting = [(parts, True)]
        while waiting:
            here, is_directory = waiting.pop()
            if here != parts:
                yield here, is_directory
            if is_directory:
                # The descriptor comes from the chain, so a directory that was
                # swapped for a link is not followed.
                entries = self._fs.scan(self.enter(here).fd)
                # The slash makes it the order of the whole paths as text, in which `a-b` comes before `a/x`.
                last_first = sorted(
                    entries, key=lambda each: each.name + "/" * each.is_directory, reverse=True
                )
                waiting.extend(
                    ((*here, entry.name), entry.is_directory)
                    for entry in last_first
                    if entry.name != BESIDE and (*here, entry.name) not in without
                )

    def make(self, parts: Parts) -> Level:
        """Open a directory, creating what is missing on the way."""
        self._leave_until(parts)
        for name in parts[self.depth :]:
            parent = self._levels[-1]
            path = self._path(name)
            try:
                fd, status = open_directory(self._fs, parent.fd, path, self._rule)
                self._push(name, fd, status)
                _close_to_others(self._fs, fd, status, path)
            except FileNotFoundError:
                self._push(name, *make_directory(self._fs, parent.fd, path))
                # Both: the name is in the parent, and the mode is the new directory's own.
                parent.changed = self._levels[-1].changed = True
        return self._levels[-1]

    def flush(self) -> None:
        """Make every change below the base durable."""
        self._leave_until(())
        base = self._levels[0]
        if self._synced is Synced.TOGETHER and (base.changed or self._has_changed):
            self._fs.syncfs(base.fd)
        elif base.changed:
            self._fs.fsync(base.fd)
        base.changed = self._has_changed = False

    def close(self) -> None:
        """Let go of the chain, as after a failure; the base stays open."""
        while self.depth:
            self._fs.close(self._levels.pop().fd)

    def _path(self, name: str) -> Parts:
        return (*self._prefix, *(level.name for level in self._levels[1:]), name)

    def _push(self, name: str, fd: int, _status: os.stat_result) -> None:
        self._levels.append(Level(name=name, fd=fd))

    def _is_elsewhere(self, level: Level) -> bool:
        """Whether a directory is on another file system than the base, out of reach of one `syncfs`."""
        return self._fs.fstat(level.fd).st_dev != self._fs.fstat(self._levels[0].fd).st_dev

    def _leave_until(self, parts: Parts) -> None:
        """Each directory is synced once, when it is left, however many of its names have changed."""
        common = 0
        while common < min(self.depth, len(parts)) and self._levels[common + 1].name == parts[common]:
            common += 1
        while self.depth > common:
            level = self._levels[-1]
            if level.changed and (self._synced is Synced.AT_ONCE or self._is_elsewhere(level)):
                self._fs.fsync(level.fd)
            self._has_changed = self._has_changed or level.changed
            self._fs.close(self._levels.pop().fd)


class OpenDirectories:
    """Directories below a base that were read in last and stay open, since the next file is mostly near.

    A node's files are read in the order of the inventory, which goes to and fro between its directories.
    """

    def __init__(self, fs: FileSystem, base_fd: int, *, rule: Rule) -> None:
        self._fs = fs
        self._base_fd = base_fd
        self._rule = rule
        # The one that was opened last is the last one.
        self._open: dict[Parts, int] = {}

    def enter(self, parts: Parts) -> int:
        """Open an existing directory, and each above it where it is not open; it is ours until the next one.

        Raises:
            ObstacleError: Something else stands there, or the rule refuses it.
            OSError: The system does; `FileNotFoundError` where nothing is there.
        """
        known = len(parts)
        while known and parts[:known] not in self._open:
            known -= 1
        fd = self._open[parts[:known]] if known else self._base_fd
        for end in range(known + 1, len(parts) + 1):
            fd, _ = open_directory(self._fs, fd, parts[:end], self._rule)
            self._open[parts[:end]] = fd
            # Only now, when one has come: else it could be the one that is given. Those above may go before
            # those below, since each is open by itself.
            if len(self._open) > _MOST_OPEN:
                self._fs.close(self._open.pop(next(iter(self._open))))
        return fd

    def close(self) -> None:
        """Let go of all of them; the base stays open."""
        while self._open:
            self._fs.close(self._open.popitem()[1])


def write_list(anchor: Anchor, staging_fd: int, name: str, directories: Iterable[Parts]) -> None:
    """Write down, durably, which directories are about to be made."""
    lines = ((json.dumps("/".join(parts)) + "\n").encode() for parts in directories)
    write_new(anchor.fs, name, staging_fd, mode=0o600, chunks=lines)
    anchor.fs.fsync(staging_fd)
    anchor.fs.fsync(anchor.private_fd)


def decode_list(text: bytes) -> list[Parts]:
    """Read the list of directories; a torn end means that none of them was made yet."""
    # All or nothing: the list is on the disk, whole, before the first directory is made (`write_list`).
    with suppress(ValueError, UnsafePathError):
        paths = (str(json.loads(line)) for line in text.splitlines())
        return [writable_parts(path) if path else () for path in paths]
    return []


def remove_tree(fs: FileSystem, dir_fd: int, parts: Parts, *, last: Collection[str] = ()) -> None:
    """Remove a directory and all below it, following nothing; what is already gone is no error.

    Args:
        fs: The system calls.
        dir_fd: The parent.
        parts: The whole path, relative to the root.
        last: Names directly below that go after all the others.
    """
    try:
        fd, _ = open_directory(fs, dir_fd, parts)
    except FileNotFoundError:
        return
    try:
        for entry in sorted(fs.scan(fd), key=lambda entry: (entry.name in last, entry.name)):
            if entry.is_directory:
                remove_tree(fs, fd, (*parts, entry.name))
            else:
                with suppress(FileNotFoundError):
                    fs.unlink(entry.name, fd)
    finally:
        fs.close(fd)
    fs.rmdir(parts[-1], dir_fd)
