"""A tar of somebody else's files, held in memory: nothing is ever extracted.

`tarfile` only takes the headers apart. What it is given was unpacked before, and no further than a bound, so
that no small file becomes a large one; and names that would lead out of the archive end the reading.
"""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zlib
from typing import TYPE_CHECKING, Any, Final

from pkigen.adoption.file_tree import LARGEST_CONTENT, EntryKind, TreeEntry
from pkigen.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pkigen.adoption.file_tree import Steps

LARGEST_ARCHIVE: Final = 1 << 28
"""In bytes, unpacked: /etc/kubernetes of a thousand nodes has less."""
# Each takes memory here, whether it has content or not.
_MOST_MEMBERS: Final = 100_000
# What is unpacked between two looks at the bound.
_CHUNK: Final = 1 << 20
_HINT: Final = "make it again with `tar -C / -czf FILE etc/kubernetes var/lib/kubelet/pki`"


_COMPRESSIONS: Final[dict[bytes, Callable[[], Any]]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(wbits=31),
    b"BZh": bz2.BZ2Decompressor,
    # The header of an xz says how much memory unpacking it takes.
    b"\xfd7zXZ\0": lambda: lzma.LZMADecompressor(memlimit=LARGEST_ARCHIVE),
}


class ArchiveTree:
    """The members of a tar by their paths; a directory that only its files name is one of root's."""

    def __init__(self, data: bytes, *, name: str) -> None:
        """Read an archive.

        Args:
            data: A tar, also one that gzip, bzip2 or xz has packed.
            name: How messages call it.

        Raises:
            StoreError: It is none, is too large, or has a member that no copy of a node's files has.
        """
        self._entries: dict[Steps, TreeEntry] = {}
        self._contents: dict[Steps, bytes] = {}
        self._children: dict[Steps, set[str]] = {(): set()}
        self._name = name
        try:
            # `r:` and not `r`, which would unpack by itself, and without a bound.
            with tarfile.open(fileobj=io.BytesIO(_unpacked(data, name)), mode="r:") as archive:
                for number, member in enumerate(_members(archive)):
                    if number == _MOST_MEMBERS:
                        raise StoreError(f"{name} has more than {_MOST_MEMBERS} members")
                    self._take(archive, member)
        # Beside its own errors `tarfile` lets those of `int` and `bytes` through, for header fields that hold
        # no number.
        except (tarfile.TarError, EOFError, ValueError, OverflowError):
            raise StoreError(f"{name} is no tar archive, or is damaged", hint=_HINT) from None

    def entry(self, steps: Steps) -> TreeEntry | None:
        """What stands at a path."""
        if steps in self._entries:
            return self._entries[steps]
        if steps in self._children:
            return TreeEntry(kind=EntryKind.DIRECTORY, mode=0o755, uid=0, gid=0)
        return None

    def names(self, steps: Steps) -> tuple[str, ...]:
        """What a directory has."""
        return tuple(sorted(self._children.get(steps, ())))

    def content(self, steps: Steps) -> bytes | None:
        """A file's bytes."""
        return self._contents.get(steps)

    def _take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        steps = self._steps(member.name)
        if not steps:
            return
        # Before anything of it is remembered: an archive with a device is refused as a whole.
        kind = self._kind(member)
        # Directories on the way need no members of their own.
        for depth in range(len(steps)):
            self._children.setdefault(steps[:depth], set()).add(steps[depth])
        if kind is EntryKind.DIRECTORY:
            self._children.setdefault(steps, set())
        self._entries[steps] = TreeEntry(
            kind=kind,
            mode=member.mode & 0o7777,
            uid=member.uid,
            gid=member.gid,
            size=member.size,
            target=member.linkname if kind is EntryKind.LINK else "",
        )
        if member.islnk():
            self._repeat(steps, self._steps(member.linkname))
        elif kind is EntryKind.FILE:
            stream = archive.extractfile(member)
            # Of a larger one nobody reads the content: its size says that it is none of these (`node_tree`).
            self._contents[steps] = stream.read(LARGEST_CONTENT) if stream is not None else b""

    def _steps(self, name: str) -> Steps:
        steps = tuple(step for step in name.split("/") if step not in {"", "."})
        if ".." in steps or "\0" in name:
            raise StoreError(f"{self._name} has a member whose name leads out of it: {name}", hint=_HINT)
        return steps

    def _kind(self, member: tarfile.TarInfo) -> EntryKind:
        if member.isdir():
            return EntryKind.DIRECTORY
        if member.issym():
            return EntryKind.LINK
        if member.isreg() or member.islnk():
            return EntryKind.FILE
        raise StoreError(f"{self._name} has a device or a FIFO: {member.name}", hint=_HINT)

    def _repeat(self, steps: Steps, first: Steps) -> None:
        """A hard link is a second name of a file before it."""
        if first not in self._contents:
            raise StoreError(f"{self._name} has a hard link to what is not in it: {'/'.join(steps)}")
        self._contents[steps], self._entries[steps] = self._contents[first], self._entries[first]


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := archive.next()) is not None:
        yield member


def _unpacked(data: bytes, name: str) -> bytes:
    """The archive itself, at most `LARGEST_ARCHIVE` of it."""
    mark = next((mark for mark in _COMPRESSIONS if data.startswith(mark)), None)
    try:
        result = data if mark is None else b"".join(_pieces(mark, data))
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        raise StoreError(f"{name} is damaged: it cannot be unpacked", hint=_HINT) from None
    if len(result) > LARGEST_ARCHIVE:
        raise StoreError(f"{name} is larger than {LARGEST_ARCHIVE >> 20} MiB", hint=_HINT)
    return result


def _pieces(mark: bytes, data: bytes) -> Iterator[bytes]:
    """What is packed, a piece at a time, and no more than one piece beyond the bound.

    Some programs pack in several streams, which stand behind one another (pbzip2); there may be zeros behind
    the last one (gzip(1), `pad`).
    """
    total = 0
    while data := data.lstrip(b"\0"):
        if not data.startswith(mark):
            raise EOFError
        decompressor = _COMPRESSIONS[mark]()
        for piece in _of_stream(decompressor, data):
            total += len(piece)
            yield piece
            if total > LARGEST_ARCHIVE:
                return
        data = decompressor.unused_data


def _of_stream(decompressor: Any, data: bytes) -> Iterator[bytes]:
    # zlib hands back what it has not read yet; the other two keep it, and say so by `needs_input`.
    while data or not getattr(decompressor, "needs_input", True):
        piece = decompressor.decompress(data, _CHUNK)
        data = getattr(decompressor, "unconsumed_tail", b"")
        yield piece
        if decompressor.eof:
            return
        # All of it was given at once: nothing more comes out, and its end was not reached.
        if not piece:
            break
    raise EOFError


def is_archive(start: bytes) -> bool:
    """Whether a file begins as a tar does, or as what packs one (POSIX pax: `ustar` at 257)."""
    return start[257:262] == b"ustar" or start.startswith(tuple(_COMPRESSIONS))
