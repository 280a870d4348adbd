"""The commit record: once this file exists, the change is decided."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from pkigen.errors import UnsafePathError
from pkigen.records import dataclass
from pkigen.store.paths import writable_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.store.paths import Parts

BACKUP_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z(?:-[1-9][0-9]{0,5})?")
"""The name of a backup: the time of its change in UTC, with a number from the second one of a second on."""

# It grows with every change of the form: another pkigen must not carry out what it reads otherwise.
_VERSION = 1


class RecordError(Exception):
    """The record cannot be trusted; the argument says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFile:
    """A staged file takes the place of `path`.

    With `beside` it is staged in the directory of `path`, which is on another mount than the store's own.
    """

    path: str
    mode: int
    sha256: str
    size: int
    staged: str
    backup: bool = True
    beside: bool = False

    @property
    def directory(self) -> Parts:
        """Where it goes."""
        return tuple(self.path.split("/")[:-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFile:
    """`path` goes away; a copy is in the backup."""

    path: str

    @property
    def directory(self) -> Parts:
        """Where it stands."""
        return tuple(self.path.split("/")[:-1])


Operation = WriteFile | RemoveFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Which command began a change, and when."""

    command: str
    started: datetime | None

    def encode(self) -> bytes:
        """Write one line of JSON."""
        return _line(self.fields())

    def fields(self) -> dict[str, object]:
        """Give the JSON object."""
        return {"command": self.command, "started": self.started.isoformat() if self.started else None}

    @classmethod
    def decode(cls, text: bytes) -> Begun:
        """Read what `encode` wrote; anything else is an unknown command."""
        try:
            return cls.of(json.loads(text))
        # Only a message needs it: whose change it was decides nothing about how it is undone
        # (`journal.discard`).
        except (ValueError, TypeError, KeyError):
            return UNKNOWN

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Begun:
        """Read the JSON object."""
        started = fields["started"]
        return cls(
            command=str(fields["command"]),
            started=None if started is None else datetime.fromisoformat(started),
        )


UNKNOWN = Begun(command="", started=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A whole change: what it does to each path, in the order of the tree, and the backup it leaves."""

    begun: Begun
    backup: str | None
    operations: tuple[Operation, ...]

    def encode(self) -> Iterator[bytes]:
        """Write one line of JSON for each path, and a last one with the digest of those before it."""
        # Not against an attacker, who could compute it too: it tells a torn or
        # damaged record from a whole one.
        digest = hashlib.sha256()
        head: dict[str, object] = {"pkigen": _VERSION, **self.begun.fields(), "backup": self.backup}
        for fields in chain((head,), map(_fields, self.operations)):
            line = _line(fields)
            digest.update(line)
            yield line
        # Last, so that a record that was cut off has none.
        yield _line({"paths": len(self.operations), "sha256": digest.hexdigest()})

    @classmethod
    def decode(cls, text: bytes) -> Record:
        """Read what `encode` wrote, and trust nothing in it.

        Raises:
            RecordError: The record is damaged, or a newer pkigen wrote it.
        """
        lines = text.splitlines(keepends=True)
        try:
            head, end = json.loads(lines[0]), json.loads(lines[-1])
            # Before the digest: what another version wrote is not damaged.
            if head["pkigen"] != _VERSION:
                raise RecordError("was written by another version of pkigen")
            if end != {"paths": len(lines) - 2, "sha256": hashlib.sha256(b"".join(lines[:-1])).hexdigest()}:
                raise RecordError("is damaged")
            return cls(
                begun=Begun.of(head),
                backup=_backup(head["backup"]),
                operations=tuple(_operation(json.loads(line)) for line in lines[1:-1]),
            )
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, UnsafePathError) as error:
            raise RecordError("is damaged") from error


def in_tree_order(path: str) -> list[str]:
    """Sort key that brings the files of one directory together."""
    return path.split("/")


def _fields(operation: Operation) -> dict[str, object]:
    """One line of the record. `backup` is not in it: the backup is complete before the record is written."""
    match operation:
        case WriteFile():
            return {
                "path": operation.path,
                "mode": f"{operation.mode:04o}",
                "sha256": operation.sha256,
                "size": operation.size,
                "staged": operation.staged,
                **({"beside": True} if operation.beside else {}),
            }
        case RemoveFile():
            return {"path": operation.path, "remove": True}


def _backup(name: object) -> str | None:
    """Accept only what can be the name of a backup: it becomes a path component."""
    if name is None or (isinstance(name, str) and BACKUP_ID.fullmatch(name)):
        return name
    raise RecordError("is damaged")


def _operation(fields: dict[str, Any]) -> Operation:
    """Read one line; raises for a path or a staged name that no change of ours has.

    Whoever can write the record could name any path: none is taken on trust.
    """
    path = fields["path"]
    writable_parts(path)
    if fields.get("remove"):
        return RemoveFile(path=path)
    staged = fields["staged"]
    # `isdigit` alone takes digits of every script; with both, it is one component and leads nowhere.
    if not staged.isascii() or not staged.isdigit():
        raise RecordError("is damaged")
    return WriteFile(
        path=path,
        # A setuid bit that somebody wrote into the record must not reach a file.
        mode=int(fields["mode"], 8) & 0o777,
        sha256=str(fields["sha256"]),
        size=int(fields["size"]),
        staged=staged,
        beside=fields.get("beside") is True,
    )


def _line(fields: dict[str, object]) -> bytes:
    return (json.dumps(fields, separators=(",", ":")) + "\n").encode()
