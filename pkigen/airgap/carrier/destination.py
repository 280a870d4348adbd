"""Where a file goes that a person named: a regular file is replaced whole, all else is written into.

What stands at the path decides, and nothing but a regular file is ever replaced: `/dev/null`, `/dev/stdout`,
a terminal, a FIFO or `>(program)` stay what they are, and a link stays a link to what it named.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)

_PASSED_ON = re.compile(r"/proc/[0-9]+(?:/task/[0-9]+)?/fd")
# O_NOCTTY: opening a terminal must not make it ours.
_WRITE = os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC
_MOST_LINKS = 40  # as the kernel, path_resolution(7)
_CLOSED = {stat.S_IFBLK: "it is a block device", stat.S_IFSOCK: "it is a socket"}
"""What is never written into, and why: a disk would lose what is on it."""


def put(path: Path, data: bytes, *, mode: int) -> None:
    """Put a file in place whole and durably, with its mode before its content; write into what is no file.

    Raises:
        OSError: The system refuses; what stood there before still stands.
    """
    put_parts(path, (data,), mode=mode)


def put_parts(path: Path, parts: Iterable[bytes], *, mode: int) -> None:
    """The same of what is too large to be in memory.

    Raises:
        OSError: The system refuses; what stood there before still stands.
    """
    target = _resolved(path)
    if isinstance(target, int):
        # A duplicate: it is closed afterwards, and the process needs its own output for longer.
        _write_into(os.dup(target), parts)
    elif _is_special(target):
        _write_into(_opened(target), parts)
    else:
        _replace(target, parts, mode=mode)
        logger.info("wrote %s: mode %04o", target, mode)
        return
    logger.info("wrote into %s, which is no regular file", path)


def is_stream(path: Path) -> bool:
    """Whether a path leads to what is written into: its mode says nothing about who reads it.

    Raises:
        OSError: It leads through another user's link.
    """
    target = _resolved(path)
    return isinstance(target, int) or _is_special(target)


def obstacle(path: Path) -> str | None:
    """Why nothing could be put there, as far as that can be seen without opening it."""
    try:
        target = _resolved(path)
        if isinstance(target, int):
            return None
        if _is_special(target):
            _require_open_to_us(target)
            return None
    except OSError as error:
        return (error.strerror or "input/output error").lower()
    reason = (
        errno.EISDIR if target.is_dir()
        else errno.ENOENT if not target.parent.is_dir()
        else errno.EACCES if not os.access(target.parent, os.W_OK | os.X_OK)
        else None
    )  # fmt: skip
    return os.strerror(reason).lower() if reason is not None else None


def _is_special(path: Path) -> bool:
    """Whether something is there that is neither a file nor a directory."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _resolved(path: Path) -> Path | int:
    """Follow the links at a path, each of which must be ours: the end, or the open descriptor that it names.

    A descriptor such as `/dev/stdout` is written to as it is: opened anew, a redirection would begin at its
    start once more. Another user's link would choose for us what is overwritten (fs.protected_symlinks in
    proc_sys_fs(5) is about this, in sticky directories only).

    Raises:
        OSError: A link is another user's, or there are too many.
    """
    for _ in range(_MOST_LINKS):
        above = Path(os.path.realpath(path.parent))
        # Only our own descriptors: another process' number means another file.
        if path.name.isdecimal() and _PASSED_ON.fullmatch(str(above)) and above.parts[2] == str(os.getpid()):
            return int(path.name)
        try:
            status = path.lstat()
        except FileNotFoundError:
            return path
        if not stat.S_ISLNK(status.st_mode):
            return path
        _require_ours(status, "link")
        path = above / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _require_ours(status: os.stat_result, what: str) -> None:
    """Refuse what another user put there; `OSError`, as the system itself would raise."""
    if status.st_uid not in {os.geteuid(), 0}:
        raise OSError(errno.EACCES, f"it is a {what} of another user (uid {status.st_uid})")


def _opened(path: Path) -> int:
    """Open what is no regular file; a FIFO waits here for its reader, as in a shell.

    Raises:
        OSError: It is never written into, is not open to us, or is a regular file by now.
    """
    _require_open_to_us(path)
    descriptor = os.open(path, _WRITE)
    # Writing into a regular file would leave half of it behind after a crash; it is to be replaced.
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EBUSY, "it was something else a moment ago")
    return descriptor


def _require_open_to_us(path: Path) -> None:
    """Refuse what is never written into, and what the system would not let us write into."""
    status = path.lstat()
    if reason := _CLOSED.get(stat.S_IFMT(status.st_mode)):
        raise OSError(errno.EINVAL, reason)
    # Its maker may read it, and would get what is written (fs.protected_fifos in proc_sys_fs(5)).
    if stat.S_ISFIFO(status.st_mode):
        _require_ours(status, "FIFO")
    if not os.access(path, os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def _write_into(descriptor: int, parts: Iterable[bytes]) -> None:
    """Write all of it; a pipe takes as much at a time as it likes."""
    with os.fdopen(descriptor, "wb", buffering=0) as stream:
        for data in parts:
            rest = memoryview(data)
            while rest:
                # A raw stream tells None where it could take nothing.
                rest = rest[stream.write(rest) or 0 :]


def _replace(path: Path, parts: Iterable[bytes], *, mode: int) -> None:
    """Put a regular file in place by a rename, so that it is there whole or not at all."""
    # In the same directory: a rename does not cross file systems.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            # mkstemp(3) makes it 0600, and the mode comes before the content.
            os.fchmod(descriptor, mode)
            for data in parts:
                stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
    # An interruption by the user, too: nobody would look for the temporary file.
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    # The new name is durable once its directory is: a medium may be pulled out after this.
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
