"""The archive in a bundle: a plain ustar that any `tar` lists, with one canonical form.

Python's `tarfile` extracts, and its filters were bypassed more than once (CVE-2025-4517, CVE-2026-11940).
This reader extracts nothing: it returns names and bytes of regular files, and refuses whatever the writer in
this module would have written differently, to the last bit.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from pkigen.airgap.carrier.paths import MODES, path_fault
from pkigen.errors import BundleError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The bounds, in bytes, are what a bundle can cost its reader before anything is known of it.
LARGEST_FILE = 1 << 20
LARGEST_ARCHIVE = 1 << 26
MOST_FILES = 1024
# POSIX ustar: headers and contents in blocks of 512 bytes, and two blocks of zeros at the end.
_BLOCK = 512
_END = bytes(2 * _BLOCK)
_SHORT_NAME, _PREFIX = 100, 155
# GNU's other form, base 256 for what is larger, is not accepted.
_OCTAL = re.compile(rb"[0-7]{11}\0")
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a directory",
    b"6": "a FIFO",
    b"x": "an extended header",
    b"g": "a global extended header",
    b"L": "a long name",
    b"K": "a long link name",
    b"S": "a sparse file",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One regular file of an archive."""

    path: str
    mode: int
    data: bytes = field(repr=False)


def encode(members: Iterable[Member], *, largest: int = LARGEST_FILE) -> bytes:
    """The archive: the same members give the same bytes, whoever makes it and whenever.

    Args:
        members: In the order in which they are written.
        largest: How many bytes a file may have.

    Raises:
        BundleError: A path or a file is too long for it.
    """
    blocks = []
    for member in members:
        if len(member.data) > largest:
            raise BundleError(f"{member.path} is larger than {largest} bytes: too large for a bundle")
        blocks += [_header(member.path, len(member.data), member.mode), _padded(member.data)]
    return b"".join((*blocks, _END))


def decode(data: bytes, *, largest: int = LARGEST_FILE) -> Iterator[Member]:
    """The members of an archive, in its order.

    Args:
        data: The archive.
        largest: How many bytes a file may have.

    Raises:
        BundleError: It is not, to the last bit, what `encode` writes.
    """
    if len(data) > LARGEST_ARCHIVE:
        raise BundleError(f"the archive is larger than {LARGEST_ARCHIVE} bytes")
    offset = 0
    for _ in range(MOST_FILES):
        block = data[offset : offset + _BLOCK]
        # Exactly the end, and nothing after it: what follows would be seen by
        # some programs and not by others.
        if data[offset:] == _END:
            return
        # One after the other: a reader that stops has not parsed what follows.
        member = _member(block, data, offset + _BLOCK, largest)
        yield member
        offset += _BLOCK + len(_padded(member.data))
    if data[offset:] != _END:
        raise BundleError(f"the archive contains more than {MOST_FILES} files")


def _member(block: bytes, data: bytes, start: int, largest: int) -> Member:
    """The file of one header, after the header was found to be the only one that says the same.

    Raises:
        BundleError: It is not what pkigen writes, or the content after it is not whole.
    """
    _require_file(block)
    path = _path(block)
    size = _size(block, path, largest)
    mode = _mode(block, path)
    # Whatever was not looked at, the checksum included, is compared here: one header for each member.
    if block != _header(path, size, mode):
        raise BundleError(f"the archive's header of {path} is not what pkigen writes")
    content = data[start : start + size]
    padded = _padded(content)
    if len(content) != size or data[start : start + len(padded)] != padded:
        raise BundleError(f"the archive is cut off or damaged at the end of {path}")
    return Member(path=path, mode=mode, data=content)


def _require_file(block: bytes) -> None:
    """Refuse a block that is no header of a regular file; ustar's fields are at fixed places (POSIX pax)."""
    if len(block) < _BLOCK:
        raise BundleError("the archive is cut off")
    if not any(block):
        raise BundleError("the archive has data after its end")
    # The magic, a NUL and the version "00" of POSIX; GNU tar's own format has blanks here.
    if block[257:265] != b"ustar\x0000":
        raise BundleError("the archive is not in pkigen's canonical form")
    kind = block[156:157]
    if kind != b"0":
        raise BundleError(
            f"the archive contains {_KINDS.get(kind, 'something unknown')}: only files are accepted"
        )


def _path(block: bytes) -> str:
    """The path of a header; refused where it could lead anywhere else."""
    path = _joined_path(block)
    fault = path_fault(path)
    if fault is not None:
        raise BundleError(f"the archive contains {path!r}, which {fault}")
    return path


def _size(block: bytes, path: str, largest: int) -> int:
    """The size in a header, in octal digits alone; refused where it is too large or told in another way."""
    if not _OCTAL.fullmatch(block[124:136]) or int(block[124:135], 8) > largest:
        raise BundleError(f"the archive says that {path} is larger than {largest} bytes")
    return int(block[124:135], 8)


def _mode(block: bytes, path: str) -> int:
    """One of the two modes that files of a bundle have; any other is refused."""
    mode = next((mode for mode in MODES if block[100:108] == _octal(mode, 8)), None)
    if mode is None:
        raise BundleError(f"the archive gives {path} a mode that no file of a node has")
    return mode


def _joined_path(block: bytes) -> str:
    """The prefix and the name: how ustar fits paths of more than 100 octets."""
    name, prefix = block[:_SHORT_NAME].rstrip(b"\0"), block[345 : 345 + _PREFIX].rstrip(b"\0")
    whole = prefix + b"/" + name if prefix else name
    return whole.decode("ascii", "backslashreplace")


def _header(path: str, size: int, mode: int) -> bytes:
    """The one header that says this: root's, of no time, with the longest prefix that fits.

    Raises:
        BundleError: The path does not fit.
    """
    name, prefix = path.encode("ascii"), b""
    if len(name) > _SHORT_NAME:
        # The longest prefix that fits: there must be one way only.
        cut = name.rfind(b"/", 0, _PREFIX + 1)
        prefix, name = name[: max(cut, 0)], name[cut + 1 :]
        if len(name) > _SHORT_NAME or not prefix:
            raise BundleError(f"the path {path} is too long for an archive")
    fields = (
        name.ljust(_SHORT_NAME, b"\0"),
        _octal(mode, 8),
        _octal(0, 8),  # uid and gid: root's
        _octal(0, 8),
        _octal(size, 12),
        _octal(0, 12),  # no time: the same content gives the same bytes
        b" " * 8,  # the checksum counts its own field as blanks (POSIX pax, ustar)
        b"0",
        bytes(_SHORT_NAME),
        b"ustar\x0000",
        b"root".ljust(32, b"\0"),
        b"root".ljust(32, b"\0"),
        _octal(0, 8),
        _octal(0, 8),
        prefix.ljust(_PREFIX, b"\0"),
        bytes(12),
    )
    block = b"".join(fields)
    # Six digits, NUL and a blank: the historical form, which every `tar` reads.
    return block[:148] + f"{sum(block):06o}\0 ".encode() + block[156:]


def _octal(number: int, width: int) -> bytes:
    """A number as ustar has it: octal digits, then NUL."""
    return f"{number:0{width - 1}o}\0".encode()


def _padded(data: bytes) -> bytes:
    """Content up to the next whole block."""
    return data + bytes(-len(data) % _BLOCK)
