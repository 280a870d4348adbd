"""The PKI directory: opened under its lock, recovered, read, and changed only through transactions."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from threading import Lock
from typing import TYPE_CHECKING, Self

from pkigen.errors import StoreError
from pkigen.store import backups, birth, journal, lock
from pkigen.store.directories import (
    Anchor,
    Descent,
    OpenDirectories,
    anyones,
)
from pkigen.store.files import read_file
from pkigen.store.filesystem import OsFileSystem
from pkigen.store.index_file import read_index, replace_index
from pkigen.store.lapses import lapses
from pkigen.store.paths import PRIVATE, readable_parts
from pkigen.store.record import Begun
from pkigen.store.root import (
    READER_WAITS,
    ROUNDS,
    always_going,
    finish_for_reading,
    open_for_reading,
    open_for_writing,
    require_own_authority,
    take_over,
)
from pkigen.store.snapshot import snapshot, stands_as
from pkigen.store.system_errors import (
    MissingError,
    ObstacleError,
    RefusedError,
    UnreadableError,
    because,
    close_after,
    explained,
    hint_for,
    shown,
)
from pkigen.store.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from pkigen.store.backups import BackupInfo
    from pkigen.store.files import FileContent
    from pkigen.store.filesystem import FileSystem
    from pkigen.store.journal import Recovery
    from pkigen.store.lapses import Lapsed
    from pkigen.store.paths import Parts
    from pkigen.store.snapshot import Snapshot

_READ_MAX = 1 << 20


class Store:
    """A PKI directory, held under its lock until the `with` block ends.

    The parents of the root may be reached through symbolic links, the root itself may not be one, and nothing
    below it is ever followed.
    """

    def __init__(
        self,
        anchor: Anchor,
        resources: ExitStack,
        *,
        begun: Begun | None = None,
        now: datetime | None = None,
        recovered: Recovery | None = None,
    ) -> None:
        self.root: Path = anchor.root
        self.recovered: Recovery | None = recovered
        self._anchor = anchor
        self._resources = resources
        self._begun = begun
        self._now = now
        self._transaction: Transaction | None = None
        self._reading = OpenDirectories(anchor.fs, anchor.root_fd, rule=anyones)
        # A directory that one thread opens may be the one that another reads in, and closes.
        self._one_reads = Lock()

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        command: str,
        now: datetime,
        filesystem: FileSystem | None = None,
        private: Parts = (PRIVATE,),
    ) -> Store:
        """Open a PKI directory for writing, alone, creating it when absent.

        Args:
            root: The directory; its parent must exist.
            command: What the user runs, such as `apply`; written into the lock, the journal and the backup.
            now: The time, for the same places.
            filesystem: The system calls; the real ones by default.
            private: Where the store's own state is; on a node elsewhere than in a PKI directory.

        Raises:
            BusyError: Another process has the lock.
            UnsafePathError: A link or a foreign owner stands where the store would write.
            StoreError: The system refuses.
        """
        fs = filesystem or OsFileSystem()
        born = birth.Birth()
        for _ in range(ROUNDS):
            # From the right: what an attempt has opened is closed before the next one begins.
            with suppress(lock.LockGoneError), explained(root, "", "open"), ExitStack() as resources:
                anchor = open_for_writing(fs, root, resources, private, born)
                # Before the lock and before recovery: nothing at all is done with somebody else's keys.
                require_own_authority(anchor)
                lock_fd = lock.lock_for_writing(anchor)
                take_over(anchor, lock_fd, resources)
                # The name in it may still be that of a run that was killed.
                lock.withdraw(anchor, lock_fd)
                recovered = journal.recover(anchor)  # before anything that needs space on a full disk
                lock.announce(anchor, lock_fd, lock.LockHolder(pid=os.getpid(), command=command, since=now))
                begun = Begun(command=command, started=now)
                return cls(anchor, resources.pop_all(), begun=begun, now=now, recovered=recovered)
        raise always_going(root)

    @classmethod
    def open_reading(
        cls, root: Path, *, filesystem: FileSystem | None = None, private: Parts = (PRIVATE,)
    ) -> Store:
        """Open a PKI directory for reading, together with other readers; a read-only file system will do.

        A change that was committed but not finished is finished first. One that was not committed is
        invisible to readers and stays for the next writer to undo.

        Args:
            root: The directory.
            filesystem: The system calls; the real ones by default.
            private: Where the store's own state is.

        Raises:
            MissingError: There is no such directory.
            BusyError: A writer kept the lock for more than two seconds.
            StoreError: The system refuses, or an unfinished change cannot be finished from here.
        """
        fs = filesystem or OsFileSystem()
        for _ in range(ROUNDS):
            with suppress(lock.LockGoneError), explained(root, "", "open"), ExitStack() as resources:
                anchor = open_for_reading(fs, root, resources, private)
                # Nobody has written here yet, so there is neither a lock to share nor a change to finish.
                if not anchor.has_private:
                    return cls(anchor, resources.pop_all())
                with ExitStack() as shared:
                    lock_fd = lock.lock_for_reading(anchor, waits=READER_WAITS)
                    if lock_fd is not None:
                        shared.callback(fs.close, lock_fd)
                    if not journal.is_committed(anchor):
                        resources.push(shared.pop_all())
                        return cls(anchor, resources.pop_all())
                # The shared lock is let go first: two readers that both wait for
                # the other's could never write.
                recovered = finish_for_reading(anchor, resources)
                return cls(anchor, resources.pop_all(), recovered=recovered)
        raise always_going(root)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close_after(error, self.close, lambda why: f"closing {self.root} failed too: {why}")

    def close(self) -> None:
        """Undo an open transaction, release the lock, and remove a root that was created for nothing."""
        # The resources last, whatever fails before: the lock is let go in any case.
        with explained(self.root, "", "close"), self._resources:
            self._reading.close()
            if self._transaction is not None:
                self._transaction.close()

    def read(self, path: str, *, limit: int = _READ_MAX) -> FileContent:
        """Read a plain file of at most `limit` bytes.

        Raises:
            MissingError: There is none.
            UnreadableError: Something else stands there; `reason` says what.
            RefusedError: The system does not let it be read now.
            UnsafePathError: The path leaves the tree.
        """
        parts = readable_parts(path)
        try:
            with self._one_reads:
                dir_fd = self._reading.enter(parts[:-1])
                return read_file(self._anchor.fs, parts[-1], dir_fd, path, limit=limit)
        except FileNotFoundError:
            raise MissingError(f"{shown(self.root, path)} does not exist") from None
        # It stays within the store: callers know `UnreadableError`, whose reason names no path.
        except ObstacleError as obstacle:
            message = f"{shown(self.root, obstacle.path)} {obstacle.reason}"
            raise UnreadableError(message, reason=obstacle.reason, hint=obstacle.hint) from None
        except OSError as error:
            message = f"cannot read {shown(self.root, path)}: {because(error)}"
            raise RefusedError(message, hint=hint_for(error, self.root)) from error

    def walk(self, path: str = "") -> Iterator[str]:
        """List everything below a directory that is not itself a directory, sorted.

        The store's own directories are left out. Links, FIFOs and the like are listed, not followed. A
        missing directory holds nothing.
        """
        parts = readable_parts(path) if path else ()
        with explained(self.root, path, "list"), self._new_descent() as descent:
            with suppress(FileNotFoundError):
                descent.enter(parts)
            # With a part of the way missing there is nothing below.
            if descent.depth == len(parts):
                for below, is_directory in descent.below(parts, without=[(PRIVATE,)]):
                    if not is_directory:
                        yield "/".join(below)

    def snapshot(self, tops: Collection[str]) -> Snapshot | None:
        """Describe, without reading, all that stands below these names in the root, and the ledger.

        None where that cannot be done.
        """
        return snapshot(self._anchor, tops)

    def stands_as(self, before: Snapshot) -> bool:
        """Tell, without reading, whether all of that stands as it did."""
        return stands_as(self._anchor, before)

    def index(self) -> bytes | None:
        """Read what `keep_index` has left, if possible; it may be torn, or written by anybody."""
        return read_index(self._anchor)

    def keep_index(self, data: bytes) -> None:
        """Leave an index for later runs, which must work without it too; do nothing where that is impossible.

        This is the one thing that a directory opened for reading is written for.
        """
        replace_index(self._anchor, data)

    def lapses(self, below: Collection[str]) -> Iterator[Lapsed]:
        """Tell what other users may change, or read where nobody else should: owners and modes, no content.

        Args:
            below: The directories in the root that are looked through; what else is there is not.
        """
        with explained(self.root, "", "list"), self._new_descent() as descent:
            yield from lapses(self._anchor, descent, below)

    def transaction(self, *, expected: int = 0) -> Transaction:
        """Begin a change; one at a time.

        Args:
            expected: How many files it will write, as far as that is known: where they are many, all are
                made durable together, the first ones too.

        Raises:
            StoreError: The directory is open for reading only, or an earlier change is not undone.
        """
        if self._begun is None or self._now is None:
            raise StoreError(f"{self.root} is open for reading only")
        with explained(self.root, "", "begin to change"):
            if self._transaction is not None:
                self._transaction.close()
            # What it holds open may be what the change removes.
            self._reading.close()
            self._transaction = Transaction(self._anchor, self._begun, self._now, expected)
        return self._transaction

    def backups(self) -> tuple[BackupInfo, ...]:
        """List what earlier changes kept, oldest first."""
        with explained(self.root, f"{self._anchor.private_path}/{backups.BACKUPS}", "read"):
            return backups.list_backups(self._anchor) if self._anchor.has_private else ()

    def read_backup(self, backup_id: str, path: str, *, limit: int = _READ_MAX) -> FileContent:
        """Read a file as it was before the change that left this backup.

        Raises:
            MissingError: There is no such backup, or it does not hold the file.
        """
        with explained(self.root, f"{self._anchor.private_path}/{backups.BACKUPS}/{backup_id}", "read"):
            if not self._anchor.has_private:
                raise MissingError(f"there is no backup {backup_id}")
            return backups.read_kept(self._anchor, backup_id, path, limit=limit)

    def forget_backups(self) -> int:
        """Remove every backup, for good; the result is how many there were.

        For a change after which what they hold must not be there any more. A removed file is not wiped: what
        the disk does with its blocks nobody knows.
        """
        with explained(self.root, f"{self._anchor.private_path}/{backups.BACKUPS}", "remove the backups in"):
            count = len(self.backups())
            backups.retire(self._anchor, keep=0, newest=None)
            return count

    def _new_descent(self) -> Descent:
        """Start a chain for reading, through directories of any owner: whose they are is a finding."""
        return Descent(self._anchor.fs, self._anchor.root_fd, rule=anyones)
