"""Backups of what changes replaced or removed: one directory per change, with a manifest."""

from __future__ import annotations

import errno
import json
import stat
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from pkigen.records import dataclass
from pkigen.store.directories import Descent, make_directory, open_directory, remove_tree
from pkigen.store.files import chunks_of, lstat_or_none, plain_file, read_file, sha256_of, write_new
from pkigen.store.paths import PRIVATE, readable_parts
from pkigen.store.record import BACKUP_ID
from pkigen.store.system_errors import MissingError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.store.directories import Anchor, Level
    from pkigen.store.files import FileContent
    from pkigen.store.record import Begun, Operation, WriteFile

BACKUPS = "backups"
TRASH = "trash"
_FILES = "files"
_MANIFEST = "manifest.json"
# Upper bounds keep a damaged or planted file from filling the memory; 256 MiB is about a million paths.
_MANIFEST_MAX = 1 << 28
_STAMP = "%Y%m%dT%H%M%SZ"
# POSIX lets rmdir(2) say either of the first two; the third is for something else that has the name.
_NOT_EMPTY = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}
# What link(2) says where the file system has no hard links, the kernel protects them
# (fs.protected_hardlinks), the file has too many names already, or the backup is on another mount.
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV}


class BackupAction(StrEnum):
    """What the change did to a path."""

    REPLACED = "replaced"
    REMOVED = "removed"
    CREATED = "created"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupEntry:
    """One path of a change: mode and hash are the old file's, or the new one's when it was created."""

    path: str
    action: BackupAction
    mode: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupInfo:
    """A backup, and the paths of the change that left it.

    `damage` says why it cannot be gone back by: then nothing else of it is known.
    """

    id: str
    time: datetime | None
    command: str
    entries: tuple[BackupEntry, ...]
    damage: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that the change created, replaced or removed."""
        return tuple(entry.path for entry in self.entries)


class BackupWriter:
    """Fills `.pkigen/staging/backup` while a change is prepared.

    The old file gets a second name there. When the new one is renamed over the live name, the old inode is
    left in the backup alone, so a backup takes no space. Where links are not possible, it is a copy.
    """

    def __init__(self, anchor: Anchor, staging_fd: int, parts: tuple[str, ...]) -> None:
        self._anchor = anchor
        self._staging_fd = staging_fd
        self._parts = parts
        self._entries: list[BackupEntry] = []
        self._files: Descent | None = None
        self._fd: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._files is not None:
            self._files.close()
        if self._fd is not None:
            self._anchor.fs.close(self._fd)

    def note_created(self, operation: WriteFile) -> None:
        """Remember that the path is new."""
        self._entries.append(
            BackupEntry(
                path=operation.path, action=BackupAction.CREATED, mode=operation.mode, sha256=operation.sha256
            )
        )

    def keep(self, operation: Operation, action: BackupAction, live: Level) -> None:
        """Keep the file that now stands at the path of `operation`, in the open directory `live`."""
        fs, path = self._anchor.fs, operation.path
        *parents, name = path.split("/")
        kept = self._open().make((_FILES, *parents))
        kept.changed = True
        try:
            fs.link(name, live.fd, name, kept.fd)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with plain_file(fs, name, live.fd, path) as (fd, status):
                write_new(fs, name, kept.fd, mode=stat.S_IMODE(status.st_mode), chunks=chunks_of(fs, fd))
        # Read from the kept name, not from the live one, so that the manifest describes exactly what is kept.
        with plain_file(fs, name, kept.fd, path) as (fd, status):
            self._entries.append(
                BackupEntry(
                    path=path, action=action, mode=stat.S_IMODE(status.st_mode), sha256=sha256_of(fs, fd)
                )
            )

    def finish(self, begun: Begun) -> bool:
        """Write the manifest and make everything durable; False when the change replaces nothing."""
        if self._files is None or self._fd is None:
            return False
        write_new(
            self._anchor.fs, _MANIFEST, self._fd, mode=0o600, chunks=_encode_manifest(begun, self._entries)
        )
        # Both levels must be on the disk before the commit, because from then on old contents are here alone.
        self._files.flush()
        self._anchor.fs.fsync(self._fd)
        return True

    def _open(self) -> Descent:
        """Made with the first file that is kept: a change that replaces nothing leaves no backup."""
        if self._files is None:
            self._fd, _ = make_directory(self._anchor.fs, self._staging_fd, self._parts)
            self._files = Descent(self._anchor.fs, self._fd, prefix=self._parts)
        return self._files


def free_id(anchor: Anchor, now: datetime) -> str:
    """Name the next backup after the time, numbered if that name exists; makes the backups directory."""
    stamp = now.astimezone(UTC).strftime(_STAMP)
    fd = _open_backups(anchor, make=True)
    try:
        # Two changes within one second, or a clock that was set back, must not share a directory.
        number, name = 1, stamp
        while lstat_or_none(anchor.fs, name, fd):
            number += 1
            name = f"{stamp}-{number}"
    finally:
        anchor.fs.close(fd)
    return name


def install(anchor: Anchor, staging_fd: int, staged: str, backup_id: str) -> None:
    """Move the staged backup to its place; done already is done."""
    fs = anchor.fs
    fd = _open_backups(anchor, make=True)
    try:
        try:
            # An earlier run may have made this move and been killed; then the
            # target must be there, or it raises.
            fs.rename(staged, staging_fd, backup_id, fd)
        except FileNotFoundError:
            fs.lstat(backup_id, fd)
        fs.fsync(fd)
    finally:
        fs.close(fd)


def is_installed(anchor: Anchor, backup_id: str) -> bool:
    """Tell whether a backup of this name exists."""
    try:
        fd = _open_backups(anchor)
    except FileNotFoundError:
        return False
    try:
        return lstat_or_none(anchor.fs, backup_id, fd) is not None
    finally:
        anchor.fs.close(fd)


def list_backups(anchor: Anchor) -> tuple[BackupInfo, ...]:
    """Read the manifests, oldest backup first."""
    return tuple(_read_manifest(anchor, backup_id) for backup_id in _ids(anchor))


def _read_manifest(anchor: Anchor, backup_id: str) -> BackupInfo:
    """Read one backup's manifest; damage is reported with it, so that the other backups stay usable."""
    try:
        text = _read(anchor, backup_id, (_MANIFEST,), limit=_MANIFEST_MAX).data
        return _decode_manifest(backup_id, text)
    except FileNotFoundError:
        damage = "is missing"
    except (ValueError, TypeError, KeyError):
        damage = "is damaged"
    path = f"{anchor.private_path}/{BACKUPS}/{backup_id}/{_MANIFEST}"
    return BackupInfo(
        id=backup_id, time=None, command="", entries=(), damage=f"{shown(anchor.root, path)} {damage}"
    )


def read_kept(anchor: Anchor, backup_id: str, path: str, *, limit: int) -> FileContent:
    """Read a file as it was before the change.

    Raises:
        MissingError: The backup does not hold it.
    """
    try:
        return _read(anchor, backup_id, (_FILES, *readable_parts(path)), limit=limit)
    except FileNotFoundError:
        raise MissingError(f"backup {backup_id} holds no {path}") from None


def retire(anchor: Anchor, *, keep: int, newest: str | None) -> None:
    """Remove the oldest backups until `keep` are left; the one just made stays in any case."""
    ids = _ids(anchor)
    doomed = [name for name in ids[: max(len(ids) - keep, 0)] if name != newest]
    if not doomed:
        return
    fs = anchor.fs
    fd = _open_backups(anchor)
    try:
        # Not there yet: `journal.recover` empties it before a change.
        trash_fd, _ = make_directory(fs, anchor.private_fd, (PRIVATE, TRASH))
        try:
            for name in doomed:
                # One rename takes a whole backup out of the list. Removing it in place could be interrupted,
                # and would leave a backup that looks complete and is not.
                fs.rename(name, fd, name, trash_fd)
            fs.fsync(fd)
        finally:
            fs.close(trash_fd)
    finally:
        fs.close(fd)
    empty_trash(anchor)


def empty_trash(anchor: Anchor) -> None:
    """Remove what an earlier `retire` could not finish."""
    remove_tree(anchor.fs, anchor.private_fd, (PRIVATE, TRASH))


def remove_if_empty(anchor: Anchor) -> bool:
    """Remove a directory of backups that holds none; False when it holds one."""
    try:
        anchor.fs.rmdir(BACKUPS, anchor.private_fd)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in _NOT_EMPTY:
            raise
        return False
    return True


def _ids(anchor: Anchor) -> list[str]:
    """Names of the backups, oldest first; anything that is not named like one is not ours and is left out."""
    try:
        fd = _open_backups(anchor)
    except FileNotFoundError:
        return []
    try:
        names = [
            entry.name
            for entry in anchor.fs.scan(fd)
            if entry.is_directory and BACKUP_ID.fullmatch(entry.name)
        ]
    finally:
        anchor.fs.close(fd)
    # As text, `-10` would sort before `-2`.
    return sorted(names, key=_age)


def _age(backup_id: str) -> tuple[str, int]:
    """Sort key of a backup's name: its time, then its number as a number."""
    stamp, _, number = backup_id.partition("-")
    return stamp, int(number or 1)


def _open_backups(anchor: Anchor, *, make: bool = False) -> int:
    """Open the directory of all backups; without `make`, a missing one raises `FileNotFoundError`."""
    parts = (PRIVATE, BACKUPS)
    try:
        return open_directory(anchor.fs, anchor.private_fd, parts)[0]
    except FileNotFoundError:
        if not make:
            raise
    return make_directory(anchor.fs, anchor.private_fd, parts)[0]


def _read(anchor: Anchor, backup_id: str, parts: tuple[str, ...], *, limit: int) -> FileContent:
    """Read a file of one backup; `FileNotFoundError` for a name that is no backup's.

    An id comes from the command line: only one of the known form becomes a name in the directory.
    """
    if not BACKUP_ID.fullmatch(backup_id):
        raise FileNotFoundError
    path = "/".join((anchor.private_path, BACKUPS, backup_id, *parts))
    with Descent(anchor.fs, anchor.private_fd, prefix=(PRIVATE,)) as descent:
        level = descent.enter((BACKUPS, backup_id, *parts[:-1]))
        return read_file(anchor.fs, parts[-1], level.fd, path, limit=limit)


def _encode_manifest(begun: Begun, entries: list[BackupEntry]) -> Iterator[bytes]:
    """Line by line, so that a large change is never held as one text; it is one JSON document."""
    head = {"command": begun.command, "time": begun.started.isoformat() if begun.started else None}
    # The fields of the head without their braces: they are the first of the one object.
    yield f'{{"pkigen": 1, {json.dumps(head)[1:-1]}, "paths": [\n'.encode()
    for number, entry in enumerate(entries):
        fields = {
            "path": entry.path,
            "action": entry.action,
            "mode": f"{entry.mode:04o}",
            "sha256": entry.sha256,
        }
        yield f"{',' if number else ' '} {json.dumps(fields)}\n".encode()
    yield b"]}\n"


def _decode_manifest(backup_id: str, text: bytes) -> BackupInfo:
    """Read a manifest; raises `ValueError`, `TypeError` or `KeyError` for one that is damaged."""
    fields = json.loads(text)
    return BackupInfo(
        id=backup_id,
        time=datetime.fromisoformat(fields["time"]) if fields["time"] else None,
        command=str(fields["command"]),
        entries=tuple(
            BackupEntry(
                path=str(entry["path"]),
                action=BackupAction(entry["action"]),
                mode=int(entry["mode"], 8),
                sha256=str(entry["sha256"]),
            )
            for entry in fields["paths"]
        ),
    )
