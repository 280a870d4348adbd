"""Opens the root of a PKI directory: made where it is missing, locked, every step of the way checked."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.errors import StoreError, UnsafePathError
from pkigen.notation import command_line
from pkigen.store import birth, journal, lock
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
from pkigen.store.lapses import Lapse, lapses
from pkigen.store.paths import PRIVATE
from pkigen.store.system_errors import (
    MissingError,
    ObstacleError,
    because,
    kind,
    shown,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.store.filesystem import FileSystem
    from pkigen.store.journal import Recovery
    from pkigen.store.paths import Parts


# Most of what is in it is public; the directories with keys are 0700 (`PRIVATE_AT_ROOT`).
_ROOT_MODE = 0o755
# Each attempt is lost only to a run that removes the root because it is empty.
ROUNDS = 20
# Twentieths of a second: two seconds.
READER_WAITS = 40
# Without O_NOFOLLOW: the way to the root may lead through links, such as /var/run.
_PARENT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_WRITING = {errno.EROFS, errno.EACCES, errno.EPERM}


def open_for_writing(
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


def require_own_authority(anchor: Anchor) -> None:
    """Refuse to work with keys that are somebody else's: he has them too, and can exchange them."""
    if anchor.private_path != PRIVATE:
        return  # a node has none
    with Descent(anchor.fs, anchor.root_fd, rule=anyones) as descent:
        for lapsed in lapses(anchor, descent, {layout.AUTHORITY}):
            if lapsed.lapse is Lapse.FOREIGN:
                raise ObstacleError(lapsed.path, f"{lapsed.lapse} (uid {lapsed.uid})", hint=CHOWN)


def open_for_reading(fs: FileSystem, root: Path, resources: ExitStack, private: Parts) -> Anchor:
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
            hint=f"create it: {command_line('mkdir', '-p', place.parent)}",
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
    # A link, too: with O_DIRECTORY Linux says ENOTDIR for it, not ELOOP (see `directories.open_directory`).
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


def take_over(anchor: Anchor, lock_fd: int, resources: ExitStack) -> None:
    """See to what happens to the lock at the end."""
    # They run in the reverse order, so the lock is let go last.
    resources.callback(anchor.fs.close, lock_fd)
    resources.callback(lock.withdraw, anchor, lock_fd)
    resources.callback(birth.leave, anchor)


def finish_for_reading(anchor: Anchor, resources: ExitStack) -> Recovery | None:
    """A reader must see a decided change whole, so it finishes one; then it shares the lock again.

    Raises:
        StoreError: It cannot be written from here, or cannot be finished.
    """
    # A journal that somebody planted in a tree of his own must not make a reader write.
    require_ours(anchor.fs.fstat(anchor.root_fd), "")
    require_ours(anchor.fs.fstat(anchor.private_fd), anchor.private_path)
    try:
        lock_fd = lock.lock_for_writing(anchor, waits=READER_WAITS)
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


def always_going(root: Path) -> UnsafePathError:
    """What is told after many attempts: another program creates and removes the directory."""
    return UnsafePathError(
        f"{shown(root, '')} is repeatedly created and removed",
        hint="stop the other program that does it",
    )
