"""Files on a carried medium: written completely or not at all, read only up to a limit."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from pkigen.airgap.carrier.destination import put
from pkigen.errors import PkigenError, UsageError
from pkigen.notation import command_line

if TYPE_CHECKING:
    from pathlib import Path

# Without O_NOFOLLOW: a person has named the file, and a link on the way is meant.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 20
_ROOM = "choose a writable directory with free space"


def write_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Put a file in place, and the directories above it; a medium may be pulled out right after.

    Raises:
        PkigenError: It cannot be written; what stood there before still stands.
    """
    try:
        _make_directory(path.parent)
        put(path, data, mode=mode)
    except OSError as error:
        raise PkigenError(
            f"{path} cannot be written: {_reason(error)}",
            hint=_ROOM,
        ) from None


def require_place(directory: Path) -> None:
    """See that files can be put into a directory, before anything is made that goes there; it may be missing.

    Raises:
        PkigenError: They cannot.
    """
    # A link that leads nowhere is there, too: no directory can be made in its place.
    there = next(each for each in (directory, *directory.parents) if os.path.lexists(each))
    reason = (
        errno.ENOTDIR if not there.is_dir()
        else errno.EACCES if not os.access(there, os.W_OK | os.X_OK)
        else None
    )  # fmt: skip
    if reason is not None:
        raise PkigenError(f"{directory} cannot be written: {os.strerror(reason).lower()}", hint=_ROOM)


def _make_directory(path: Path) -> None:
    """Make what is missing on the way; nobody else may write there, whatever the umask."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o755, exist_ok=True)


def read_file(path: Path, *, limit: int, private: bool = False) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Args:
        path: Which.
        limit: How long it may be.
        private: Whether others must not be able to read it.

    Raises:
        UsageError: It is missing, something else, too large, or open to others.
    """
    try:
        descriptor = os.open(path, _READ)
        try:
            # Of what was opened, not of what has the name now. O_NONBLOCK keeps a
            # FIFO from holding us up before.
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"{path} is not a regular file")
            # Refused, not mended: whoever could read it may have done so.
            if private and status.st_mode & 0o077:
                raise UsageError(
                    f"{path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o})",
                    hint=f"{command_line('chmod', 600, path)}; others may have read it already",
                )
            data = bytearray()
            # By what is read, not by the size that the system tells: a file may grow meanwhile.
            while len(data) <= limit and (chunk := os.read(descriptor, _CHUNK)):
                data += chunk
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {_reason(error)}") from None
    if len(data) > limit:
        raise UsageError(f"{path} is larger than {limit} bytes")
    return bytes(data)


def _reason(error: OSError) -> str:
    """The system's reason in lower case."""
    return (error.strerror or "input/output error").lower()
