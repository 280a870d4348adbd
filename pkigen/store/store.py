"""The PKI directory: opened under its lock, recovered, read, and changed only through transactions."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

from pkigen import layout
from pkigen.errors import StoreError, UnsafePathError
from pkigen.store import backups, birth, journal, lock
from pkigen.store.directories import (
    CHOWN,
    FLAGS,
    NO_DIRECTORY,
    Anchor,
    Descent,
    anyones,
    make_directory,
    open_directory,
    require_ours,
)
from pkigen.store.files import read_file
from pkigen.store.filesystem import OsFileSystem
from pkigen.store.lapses import Lapse, lapses
from pkigen.store.paths import PRIVATE, readable_parts
from pkigen.store.record import Begun
from pkigen.store.system_errors import (
    MissingError,
    ObstacleError,
    RefusedError,
    UnreadableError,
    because,
    close_after,
    explained,
    hint_for,
    kind,
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

_READ_MAX = 1 << 20
# Most of what is in it is public; the directories with keys are 0700 (`PRIVATE_AT_ROOT`).
_ROOT_MODE = 0o755
_ROUNDS = 20
# Twentieths of a second: two seconds.
_READER_WAITS = 40
# Without O_NOFOLLOW: the way to the root may lead through links, such as /var/run.
_PARENT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_WRITING = {errno.EROFS, errno.EACCES, errno.EPERM}


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
        self._reading = self._new_descent()

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
        for _ in range(_ROUNDS):
            with suppress(lock.LockGoneError), explained(root, "", "open"), ExitStack() as resources:
                anchor = _open_for_writing(fs, root, resources, private, born)
                # Before the lock and before recovery: nothing at all is done with somebody else's keys.
                _require_own_authority(anchor)
                lock_fd = lock.lock_for_writing(anchor)
                _own(anchor, lock_fd, resources)
                # The name in it may still be that of a run that was killed.
                lock.withdraw(anchor, lock_fd)
                recovered = journal.recover(anchor)  # before anything that needs space on a full disk
                lock.announce(anchor, lock_fd, lock.LockHolder(pid=os.getpid(), command=command, since=now))
                begun = Begun(command=command, started=now)
                return cls(anchor, resources.pop_all(), begun=begun, now=now, recovered=recovered)
        raise _always_going(root)

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
        for _ in range(_ROUNDS):
            with suppress(lock.LockGoneError), explained(root, "", "open"), ExitStack() as resources:
                anchor = _open_for_reading(fs, root, resources, private)
                # Nobody has written here yet, so there is neither a lock to share nor a change to finish.
                if not anchor.has_private:
                    return cls(anchor, resources.pop_all())
                with ExitStack() as shared:
                    lock_fd = lock.lock_for_reading(anchor, waits=_READER_WAITS)
                    if lock_fd is not None:
                        shared.callback(fs.close, lock_fd)
                    if not journal.is_committed(anchor):
                        resources.push(shared.pop_all())
                        return cls(anchor, resources.pop_all())
                # The shared lock is let go first: two readers that both wait for
                # the other's could never write.
                recovered = _finish_for_reading(anchor, resources)
                return cls(anchor, resources.pop_all(), recovered=recovered)
        raise _always_going(root)

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
            level = self._reading.enter(parts[:-1])
            return read_file(self._anchor.fs, parts[-1], level.fd, path, limit=limit)
        except FileNotFoundError:
            raise MissingError(f"{shown(self.root, path)} does not exist") from None
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
            if descent.depth == len(parts):
                for below, is_directory in descent.below(parts, without=[(PRIVATE,)]):
                    if not is_directory:
                        yield "/".join(below)

    def lapses(self, below: Collection[str]) -> Iterator[Lapsed]:
        """Tell what other users may change, or read where nobody else should: owners and modes, no content.

        Args:
            below: The directories in the root that are looked through; what else is there is not.
        """
        with explained(self.root, "", "list"), self._new_descent() as descent:
            yield from lapses(self._anchor, descent, below)

    def transaction(self) -> Transaction:
        """Begin a change; one at a time.

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
            self._transaction = Transaction(self._anchor, self._begun, self._now)
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


def _open_for_writing(
    fs: FileSystem, root: Path, resources: ExitStack, private: Parts, born: birth.Birth
) -> Anchor:
    """Open the root, made if absent, and the store's own directory in it.

    Whatever vanishes on the way was removed by another run with its empty root: `LockGoneError` says to start
    over.
    """
    parent_fd, name = _open_parent(fs, root, resources)
    try:
        fs.mkdir(name, _ROOT_MODE, parent_fd)
    except FileExistsError:
        fresh = False
    else:
        fresh = born.is_ours = True
        resources.callback(_remove_if_empty, fs, parent_fd, name)
    try:
        root_fd = _open_root(fs, parent_fd, name, resources)
        if fresh:
            fs.fchmod(root_fd, _ROOT_MODE)
            # The root's own name must outlast a power failure, or what is committed below it is lost with it.
            fs.fsync(parent_fd)
        require_ours(fs.fstat(root_fd), "")
        private_fd = _open_private(fs, root_fd, private)
        resources.callback(fs.close, private_fd)
        anchor = _anchor(fs, root, (parent_fd, name), root_fd, private_fd, private)
        if born.is_ours and private == (PRIVATE,):  # on a node nothing of what is made is taken away
            birth.mark(anchor, private_fd)
    except FileNotFoundError:
        raise lock.LockGoneError from None
    return anchor


def _require_own_authority(anchor: Anchor) -> None:
    """Refuse to work with keys that are somebody else's: he has them too, and can exchange them."""
    if anchor.private_path != PRIVATE:
        return  # a node has none
    with Descent(anchor.fs, anchor.root_fd, rule=anyones) as descent:
        for lapsed in lapses(anchor, descent, {layout.AUTHORITY}):
            if lapsed.lapse is Lapse.FOREIGN:
                raise ObstacleError(lapsed.path, f"{lapsed.lapse} (uid {lapsed.uid})", hint=CHOWN)


def _open_for_reading(fs: FileSystem, root: Path, resources: ExitStack, private: Parts) -> Anchor:
    """Open the root, and the store's own directory if there is one; nothing is created or changed."""
    parent_fd, name = _open_parent(fs, root, resources)
    try:
        root_fd = _open_root(fs, parent_fd, name, resources)
    except FileNotFoundError:
        raise MissingError(f"{shown(root, '')} does not exist", hint="`pkigen init` creates it") from None
    try:
        with Descent(fs, root_fd, rule=anyones) as above:
            private_fd, _ = open_directory(fs, above.enter(private[:-1]).fd, private, anyones)
    except FileNotFoundError:
        private_fd = NO_DIRECTORY
    else:
        resources.callback(fs.close, private_fd)
    return _anchor(fs, root, (parent_fd, name), root_fd, private_fd, private)


def _open_parent(fs: FileSystem, root: Path, resources: ExitStack) -> tuple[int, str]:
    """Open the directory that holds the root, through links if need be, and give the root's name there.

    Raises:
        MissingError: There is no such directory.
    """
    # Only a real name can be created in its parent, and removed from it.
    place = root if root.name not in {"", ".."} else root.resolve()
    try:
        parent_fd = fs.open(str(place.parent), _PARENT, 0, None)
    except FileNotFoundError:
        raise MissingError(
            f"the directory {shown(place.parent, '')} does not exist",
            hint=f"create it: mkdir -p {place.parent}",
        ) from None
    resources.callback(fs.close, parent_fd)
    return parent_fd, place.name or "."


def _open_root(fs: FileSystem, parent_fd: int, name: str, resources: ExitStack) -> int:
    """Open the root itself, which may not be a link: it could be pointed elsewhere between two commands.

    Raises:
        ObstacleError: It is a link, or no directory.
    """
    try:
        root_fd = fs.open(name, FLAGS, 0, parent_fd)
    except NotADirectoryError as error:
        reason = kind(fs.lstat(name, parent_fd)) or "is a file"
        raise ObstacleError("", reason, hint="name the directory itself") from error
    resources.callback(fs.close, root_fd)
    return root_fd


def _open_private(fs: FileSystem, root_fd: int, private: Parts) -> int:
    """Open the store's own directory, made if absent; one that is too open is closed to others.

    Secrets are staged in it.
    """
    with Descent(fs, root_fd) as above:
        parent = above.make(private[:-1])
        try:
            fd, _ = make_directory(fs, parent.fd, private)
        except FileExistsError:
            fd, status = open_directory(fs, parent.fd, private)
            if stat.S_IMODE(status.st_mode) & 0o077:
                fs.fchmod(fd, 0o700)
        else:
            parent.changed = True
            try:
                above.flush()
            except BaseException:
                fs.close(fd)
                raise
    return fd


def _anchor(
    fs: FileSystem, root: Path, place: tuple[int, str], root_fd: int, private_fd: int, private: Parts
) -> Anchor:
    parent_fd, name = place
    return Anchor(
        fs=fs,
        root=root,
        parent_fd=parent_fd,
        name=name,
        root_fd=root_fd,
        private_fd=private_fd,
        private_path="/".join(private),
    )


def _own(anchor: Anchor, lock_fd: int, resources: ExitStack) -> None:
    """See to what happens to the lock at the end."""
    # They run in the reverse order, so the lock is let go last.
    resources.callback(anchor.fs.close, lock_fd)
    resources.callback(lock.withdraw, anchor, lock_fd)
    resources.callback(birth.leave, anchor)


def _finish_for_reading(anchor: Anchor, resources: ExitStack) -> Recovery | None:
    """A reader must see a decided change whole, so it finishes one; then it shares the lock again.

    Raises:
        StoreError: It cannot be written from here, or cannot be finished.
    """
    # A journal that somebody planted in a tree of his own must not make a reader write.
    require_ours(anchor.fs.fstat(anchor.root_fd), "")
    require_ours(anchor.fs.fstat(anchor.private_fd), anchor.private_path)
    try:
        lock_fd = lock.lock_for_writing(anchor, waits=_READER_WAITS)
    except OSError as error:
        if error.errno not in _NO_WRITING:
            raise
        raise StoreError(
            f"{anchor.root} has an unfinished change, and cannot be written: {because(error)}",
            hint="run `pkigen status` as its owner on a writable file system: that finishes the change",
        ) from error
    resources.callback(anchor.fs.close, lock_fd)
    lock.withdraw(anchor, lock_fd)
    # Asked again under the lock: another process may have finished it meanwhile.
    recovered = journal.recover(anchor) if journal.is_committed(anchor) else None
    lock.keep_for_reading(anchor, lock_fd)
    return recovered


def _remove_if_empty(fs: FileSystem, parent_fd: int, name: str) -> None:
    """Take back a root made by a run that failed; a failure here, such as a root in use, is not reported."""
    with suppress(OSError):
        fs.rmdir(name, parent_fd)


def _always_going(root: Path) -> UnsafePathError:
    """What is told after many attempts: another program creates and removes the directory."""
    return UnsafePathError(
        f"{shown(root, '')} is repeatedly created and removed",
        hint="stop the other program that does it",
    )
