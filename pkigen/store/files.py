"""Plain files below an open directory: created exclusively, read without following links."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import contextmanager
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING

from pkigen.records import dataclass
from pkigen.store.system_errors import ObstacleError, kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pkigen.store.filesystem import FileSystem

    FileRule = Callable[[os.stat_result, str], None]

# In bytes.
CHUNK = 1 << 16
# O_EXCL refuses whatever stands there, a planted link or an open file of somebody else's included.
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO that somebody put there must not wait for a writer for ever (fifo(7)).
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContent:
    """A file as read: its bytes, which `repr` never shows, and how it stands on disk."""

    data: bytes = field(repr=False)
    mode: int
    size: int
    uid: int
    gid: int
    links: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What went into a new file."""

    sha256: str
    size: int


@contextmanager
def opened(fs: FileSystem, name: str, flags: int, dir_fd: int) -> Iterator[int]:
    """Open a file for the time of a `with` block; a new one starts at 0600."""
    fd = fs.open(name, flags, 0o600, dir_fd)
    try:
        yield fd
    finally:
        fs.close(fd)


def lstat_or_none(fs: FileSystem, name: str, dir_fd: int) -> os.stat_result | None:
    """Describe `name`, or None when nothing has this name."""
    try:
        return fs.lstat(name, dir_fd)
    except FileNotFoundError:
        return None


class Synced(Enum):
    """When a change is made durable: file by file, or, where there are many, all before the next step."""

    AT_ONCE = "at once"
    TOGETHER = "together"

    @classmethod
    def for_changes(cls, count: int) -> Synced:
        """Waiting for the disk once per file is what takes longest in a large change."""
        return cls.AT_ONCE if count <= SYNCED_AT_ONCE else cls.TOGETHER


SYNCED_AT_ONCE = 512
"""Up to how many files of one change are made durable one by one."""


def write_new(
    fs: FileSystem,
    name: str,
    dir_fd: int,
    *,
    mode: int,
    chunks: Iterable[bytes],
    synced: Synced = Synced.AT_ONCE,
) -> Written:
    """Create a file that must not exist: mode before content, then all of the content."""
    digest = hashlib.sha256()
    size = 0
    with opened(fs, name, _CREATE, dir_fd) as fd:
        # open(2) made it 0600 less the umask, so that nobody else can have a descriptor yet; its own
        # mode comes before the first byte.
        fs.fchmod(fd, mode)
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            write_all(fs, fd, chunk)
        # Otherwise `Transaction._prepare` waits once for all of them.
        if synced is Synced.AT_ONCE:
            fs.fsync(fd)
    return Written(sha256=digest.hexdigest(), size=size)


def write_all(fs: FileSystem, fd: int, data: bytes) -> None:
    """Write every byte, however little the system takes at a time.

    Raises:
        OSError: The system refuses, or takes nothing.
    """
    rest = memoryview(data)
    while rest:
        count = fs.write(fd, rest)
        # Less than asked for is usual, nothing is not (write(2)): the loop would never end.
        if count <= 0:
            raise OSError(errno.EIO, "the system writes nothing")
        rest = rest[count:]


@contextmanager
def plain_file(fs: FileSystem, name: str, dir_fd: int, path: str) -> Iterator[tuple[int, os.stat_result]]:
    """Open a regular file for reading; anything else is an `ObstacleError` about `path`.

    The look before the open keeps devices from being opened at all; the look after it decides.
    """
    _require_plain(fs.lstat(name, dir_fd), path)
    with opened(fs, name, _READ, dir_fd) as fd:
        status = fs.fstat(fd)
        _require_plain(status, path)
        yield fd, status


def anybodys(_status: os.stat_result, _path: str) -> None:
    """Rule for a file whose owner does not matter."""


def read_file(
    fs: FileSystem, name: str, dir_fd: int, path: str, *, limit: int, rule: FileRule = anybodys
) -> FileContent:
    """Read a regular file of at most `limit` bytes.

    Args:
        fs: The system calls.
        name: Its name.
        dir_fd: The directory that it is in.
        path: The whole path, for the rule and the messages.
        limit: The largest allowed size in bytes.
        rule: What its status must satisfy, checked before any of it is read.

    Raises:
        ObstacleError: Something else stands there, or more than that.
    """
    with plain_file(fs, name, dir_fd, path) as (fd, status):
        rule(status, path)
        data = bytearray()
        # One byte more than allowed is asked for, since the size in the status may change while it is read.
        while len(data) <= limit and (chunk := fs.read(fd, min(CHUNK, limit + 1 - len(data)))):
            data += chunk
    if len(data) > limit:
        raise ObstacleError(path, f"is larger than {limit} bytes")
    return FileContent(
        data=bytes(data),
        mode=stat.S_IMODE(status.st_mode),
        size=len(data),
        uid=status.st_uid,
        gid=status.st_gid,
        links=status.st_nlink,
    )


def chunks_of(fs: FileSystem, fd: int) -> Iterator[bytes]:
    """Read an open file piece by piece."""
    while chunk := fs.read(fd, CHUNK):
        yield chunk


def sha256_of(fs: FileSystem, fd: int) -> str:
    """Hash an open file without holding it."""
    digest = hashlib.sha256()
    for chunk in chunks_of(fs, fd):
        digest.update(chunk)
    return digest.hexdigest()


def _require_plain(status: os.stat_result, path: str) -> None:
    """Refuse a directory, link, FIFO, socket or device: opening one may block, or have an effect."""
    if reason := kind(status):
        raise ObstacleError(path, reason)
