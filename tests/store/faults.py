"""File systems that fail, stutter or die at the n-th operation, for tests of whatever uses the store."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkigen.store import OsFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pkigen.store import Entry, FileSystem

NEVER = 10**9
ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EMFILE)


class SimulatedCrashError(BaseException):
    """The process died here: nothing catches this, and nothing works after it."""


class CountingFileSystem:
    """Passes everything on and writes down the names of the operations, in order."""

    def __init__(self, inner: FileSystem | None = None) -> None:
        self.inner: FileSystem = inner or OsFileSystem()
        self.operations: list[str] = []
        self.arguments: list[tuple[Any, ...]] = []

    @property
    def count(self) -> int:
        return len(self.operations)

    def _do(self, operation: str, *arguments: Any) -> Any:
        self.operations.append(operation)
        self.arguments.append(arguments)
        return self._pass_on(operation, *arguments)

    def _pass_on(self, operation: str, *arguments: Any) -> Any:
        return getattr(self.inner, operation)(*arguments)

    def open(self, name: str, flags: int, mode: int, dir_fd: int | None) -> int:
        fd: int = self._do("open", name, flags, mode, dir_fd)
        return fd

    def close(self, fd: int) -> None:
        self._do("close", fd)

    def read(self, fd: int, size: int) -> bytes:
        data: bytes = self._do("read", fd, size)
        return data

    def write(self, fd: int, data: memoryview) -> int:
        count: int = self._do("write", fd, data)
        return count

    def truncate(self, fd: int) -> None:
        self._do("truncate", fd)

    def fsync(self, fd: int) -> None:
        self._do("fsync", fd)

    def syncfs(self, fd: int) -> None:
        self._do("syncfs", fd)

    def fchmod(self, fd: int, mode: int) -> None:
        self._do("fchmod", fd, mode)

    def fstat(self, fd: int) -> os.stat_result:
        status: os.stat_result = self._do("fstat", fd)
        return status

    def lstat(self, name: str, dir_fd: int) -> os.stat_result:
        status: os.stat_result = self._do("lstat", name, dir_fd)
        return status

    def scan(self, dir_fd: int) -> list[Entry]:
        entries: list[Entry] = self._do("scan", dir_fd)
        return entries

    def mkdir(self, name: str, mode: int, dir_fd: int) -> None:
        self._do("mkdir", name, mode, dir_fd)

    def rmdir(self, name: str, dir_fd: int) -> None:
        self._do("rmdir", name, dir_fd)

    def unlink(self, name: str, dir_fd: int) -> None:
        self._do("unlink", name, dir_fd)

    def rename(self, name: str, dir_fd: int, new_name: str, new_dir_fd: int) -> None:
        self._do("rename", name, dir_fd, new_name, new_dir_fd)

    def link(self, name: str, dir_fd: int, new_name: str, new_dir_fd: int) -> None:
        self._do("link", name, dir_fd, new_name, new_dir_fd)

    def flock(self, fd: int, operation: int) -> None:
        self._do("flock", fd, operation)

    def writable(self, dir_fd: int) -> bool:
        answer: bool = self._do("writable", dir_fd)
        return answer

    def mount(self, dir_fd: int) -> int:
        number: int = self._do("mount", dir_fd)
        return number


class FailingFileSystem(CountingFileSystem):
    """Fails at the n-th operation, counted from 1, once or from then on; only at those named, if any are.

    A failing `close` closes all the same, as Linux does.
    """

    def __init__(
        self, at: int, error: int, *, lasting: bool = False, only: frozenset[str] = frozenset()
    ) -> None:
        super().__init__()
        self.at = at
        self.error = error
        self.lasting = lasting
        self.only = only
        self.fired = 0
        self._seen = 0

    def arm(self, at: int, *, only: frozenset[str] = frozenset(), lasting: bool = False) -> None:
        """Count anew from here."""
        self.at, self.only, self.lasting, self._seen = at, only, lasting, 0

    def disarm(self) -> None:
        """Fail no more."""
        self.arm(NEVER)

    def _pass_on(self, operation: str, *arguments: Any) -> Any:
        if not self.only or operation in self.only:
            self._seen += 1
            if self._seen == self.at or (self.lasting and self._seen > self.at):
                self.fired += 1
                if operation == "close":
                    super()._pass_on(operation, *arguments)
                raise OSError(self.error, os.strerror(self.error))
        return super()._pass_on(operation, *arguments)


class UnreadableFileSystem(CountingFileSystem):
    """Refuses to open one file, given by its whole path."""

    def __init__(self, path: Path, error: int) -> None:
        super().__init__()
        self.path = path
        self.error = error

    def open(self, name: str, flags: int, mode: int, dir_fd: int | None) -> int:
        if name == self.path.name and dir_fd is not None:
            directory = Path(f"/proc/self/fd/{dir_fd}").readlink()
            if directory / name == self.path:
                raise OSError(self.error, os.strerror(self.error))
        return super().open(name, flags, mode, dir_fd)


class CrashingFileSystem(CountingFileSystem):
    """Dies instead of the n-th operation: its descriptors are closed, and every later operation dies too.

    With `torn`, a write that it dies in has written the first half.
    """

    def __init__(self, at: int, *, torn: bool = False) -> None:
        super().__init__()
        self.at = at
        self.torn = torn
        self.fired = 0
        self._open: set[int] = set()

    def _pass_on(self, operation: str, *arguments: Any) -> Any:
        if self.count < self.at:
            answer = super()._pass_on(operation, *arguments)
            if operation == "open":
                self._open.add(answer)
            elif operation == "close":
                self._open.discard(arguments[0])
            return answer
        if not self.fired:
            self.fired = 1
            if self.torn and operation == "write":
                fd, data = arguments
                os.write(fd, data[: len(data) // 2])
            for fd in self._open:
                os.close(fd)
        raise SimulatedCrashError


class StutteringFileSystem(CountingFileSystem):
    """Writes and reads only a few bytes at a time, as a busy system may."""

    def write(self, fd: int, data: memoryview) -> int:
        return super().write(fd, data[:7])

    def read(self, fd: int, size: int) -> bytes:
        return super().read(fd, min(size, 5))


def count_operations(run: Callable[[FileSystem], object]) -> int:
    """How many operations an undisturbed run needs: the points of a sweep."""
    counting = CountingFileSystem()
    run(counting)
    return counting.count


def rotating_errors(points: int) -> Iterator[tuple[int, int]]:
    """Pair each point of a sweep with an error number."""
    return zip(range(1, points + 1), itertools.cycle(ERRORS), strict=False)
