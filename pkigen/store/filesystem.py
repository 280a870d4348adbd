"""Every system call of the store, behind one small protocol, so that tests can make any of them fail."""

from __future__ import annotations

import fcntl
import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Protocol

from pkigen.records import dataclass

if TYPE_CHECKING:
    from ctypes import CDLL


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A name in a directory, and whether it is itself a directory (a link to one is not)."""

    name: str
    is_directory: bool


class FileSystem(Protocol):
    """What the store asks of the operating system; names are single components below `dir_fd`."""

    def open(self, name: str, flags: int, mode: int, dir_fd: int | None) -> int:
        """Open `name` and return a descriptor; only the root's parent is opened without `dir_fd`."""
        ...

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        ...

    def read(self, fd: int, size: int) -> bytes:
        """Read at most `size` bytes."""
        ...

    def write(self, fd: int, data: memoryview) -> int:
        """Write some of `data` and return how much."""
        ...

    def truncate(self, fd: int) -> None:
        """Make the open file empty."""
        ...

    def fsync(self, fd: int) -> None:
        """Make the open file or directory durable."""
        ...

    def syncfs(self, fd: int) -> None:
        """Make everything on the file system of the open file durable."""
        ...

    def fchmod(self, fd: int, mode: int) -> None:
        """Set the permission bits of the open file or directory."""
        ...

    def fstat(self, fd: int) -> os.stat_result:
        """Describe the open file or directory."""
        ...

    def lstat(self, name: str, dir_fd: int) -> os.stat_result:
        """Describe `name` without following a link; here alone it may be a path of several components."""
        ...

    def scan(self, dir_fd: int) -> list[DirectoryEntry]:
        """List the open directory."""
        ...

    def mkdir(self, name: str, mode: int, dir_fd: int) -> None:
        """Create a directory."""
        ...

    def rmdir(self, name: str, dir_fd: int) -> None:
        """Remove an empty directory."""
        ...

    def unlink(self, name: str, dir_fd: int) -> None:
        """Remove anything but a directory."""
        ...

    def rename(self, name: str, dir_fd: int, new_name: str, new_dir_fd: int) -> None:
        """Move `name`, replacing what has the new name."""
        ...

    def link(self, name: str, dir_fd: int, new_name: str, new_dir_fd: int) -> None:
        """Give the file `name` a second name; a symbolic link is not followed."""
        ...

    def flock(self, fd: int, operation: int) -> None:
        """Take, change or release an advisory lock."""
        ...

    def writable(self, dir_fd: int) -> bool:
        """Tell whether names can be added to the open directory."""
        ...

    def mount(self, dir_fd: int) -> int:
        """Number the mount of the open directory: only within one can files be renamed and linked."""
        ...


@cache
def _libc() -> CDLL:
    """The C library, for what Python's `os` does not have; few runs need anything of that.

    There is no `os.syncfs`, and `os.sync` would wait for every file system and report no error.
    """
    import ctypes  # noqa: PLC0415 -- see above

    return ctypes.CDLL(None, use_errno=True)


# statx(2), for what `os.stat` does not tell: two bind mounts of one file system have the same st_dev.
_AT_EMPTY_PATH = 0x1000
_STATX_MNT_ID = 0x1000
_STATX_SIZE = 256
_STATX_MNT_ID_OFFSET = 144


class OsFileSystem:
    """The real one: each method is one system call."""

    def open(self, name: str, flags: int, mode: int, dir_fd: int | None) -> int:
        """The system call `openat`."""
        return os.open(name, flags, mode, dir_fd=dir_fd)

    def close(self, fd: int) -> None:
        """The system call `close`."""
        os.close(fd)

    def read(self, fd: int, size: int) -> bytes:
        """The system call `read`."""
        return os.read(fd, size)

    def write(self, fd: int, data: memoryview) -> int:
        """The system call `write`."""
        return os.write(fd, data)

    def truncate(self, fd: int) -> None:
        """The system call `ftruncate`."""
        os.ftruncate(fd, 0)

    def fsync(self, fd: int) -> None:
        """The system call `fsync`."""
        os.fsync(fd)

    def syncfs(self, fd: int) -> None:
        """The system call `syncfs`, which reports write errors since `fd` was opened (Linux 5.8).

        Raises:
            OSError: Something was not written.
        """
        from ctypes import get_errno  # noqa: PLC0415 -- as in `_libc`

        if _libc().syncfs(fd) != 0:
            number = get_errno()
            raise OSError(number, os.strerror(number))

    def fchmod(self, fd: int, mode: int) -> None:
        """The system call `fchmod`."""
        os.fchmod(fd, mode)

    def fstat(self, fd: int) -> os.stat_result:
        """The system call `fstat`."""
        return os.fstat(fd)

    def lstat(self, name: str, dir_fd: int) -> os.stat_result:
        """The system call `fstatat` with AT_SYMLINK_NOFOLLOW."""
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)

    def scan(self, dir_fd: int) -> list[DirectoryEntry]:
        """The system call `getdents`."""
        with os.scandir(dir_fd) as entries:
            return [DirectoryEntry(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]

    def mkdir(self, name: str, mode: int, dir_fd: int) -> None:
        """The system call `mkdirat`."""
        os.mkdir(name, mode, dir_fd=dir_fd)

    def rmdir(self, name: str, dir_fd: int) -> None:
        """The system call `unlinkat` with AT_REMOVEDIR."""
        os.rmdir(name, dir_fd=dir_fd)

    def unlink(self, name: str, dir_fd: int) -> None:
        """The system call `unlinkat`."""
        os.unlink(name, dir_fd=dir_fd)

    def rename(self, name: str, dir_fd: int, new_name: str, new_dir_fd: int) -> None:
        """The system call `renameat`."""
        os.rename(name, new_name, src_dir_fd=dir_fd, dst_dir_fd=new_dir_fd)

    def link(self, name: str, dir_fd: int, new_name: str, new_dir_fd: int) -> None:
        """The system call `linkat` without AT_SYMLINK_FOLLOW."""
        os.link(name, new_name, src_dir_fd=dir_fd, dst_dir_fd=new_dir_fd, follow_symlinks=False)

    def flock(self, fd: int, operation: int) -> None:
        """The system call `flock`."""
        fcntl.flock(fd, operation)

    def writable(self, dir_fd: int) -> bool:
        """The system call `faccessat` with the effective user."""
        # Of the effective user, as the system calls that follow will have it; `access` alone asks for the
        # real one.
        return os.access(".", os.W_OK | os.X_OK, dir_fd=dir_fd, effective_ids=True)

    def mount(self, dir_fd: int) -> int:
        """The system call `statx` (Linux 5.8); where there is none, the file system stands for the mount."""
        from ctypes import create_string_buffer  # noqa: PLC0415 -- as in `_libc`

        # struct statx of <linux/stat.h>: 256 bytes, stx_mask first, stx_mnt_id at 144.
        answer = create_string_buffer(_STATX_SIZE)
        statx = getattr(_libc(), "statx", None)
        if statx is None or statx(dir_fd, b"", _AT_EMPTY_PATH, _STATX_MNT_ID, answer) != 0:
            return os.fstat(dir_fd).st_dev
        # The kernel says in stx_mask which fields it has filled: before 5.8 this one is not among them.
        if not int.from_bytes(answer.raw[:4], sys.byteorder) & _STATX_MNT_ID:
            return os.fstat(dir_fd).st_dev
        end = _STATX_MNT_ID_OFFSET + 8
        return int.from_bytes(answer.raw[_STATX_MNT_ID_OFFSET:end], sys.byteorder)
