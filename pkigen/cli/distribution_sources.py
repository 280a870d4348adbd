"""The files of another distribution, as a person names them: directories, tars, files, standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pkigen.adoption.archive_tree import LARGEST_ARCHIVE, ArchiveTree, is_archive
from pkigen.adoption.file_tree import LARGEST_CONTENT, DirectoryTree, EntryKind, require_readable
from pkigen.adoption.gathered import read_whole
from pkigen.distributions.found import Source
from pkigen.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pkigen.adoption.file_tree import FileTree, Steps

# Everything that a distribution keeps CAs in (docs/how-to/distributions.md); what else lies there, such as
# databases, is never read.
_SUFFIXES: Final = (".crt", ".key", ".pem", ".pub", ".yaml", ".yml")
_DEEPEST: Final = 6  # etc/ssl/etcd/ssl, in a directory of one node among several
# A node's PKI has some dozens of files: whoever names / or a home directory is told, instead of being read.
_MOST_FILES: Final = 1000


def read_source(paths: Sequence[str], *, name: str = "") -> Source:
    """Everything that is in these places and may hold a certificate, a key or a document.

    Raises:
        StoreError: Something cannot be read, or is too much.
        UsageError: Something is not there.
    """
    files: dict[str, bytes] = {}
    for path in paths:
        for found, content in _files(path):
            if len(files) >= _MOST_FILES:
                raise StoreError(
                    f"{path} has more than {_MOST_FILES} files",
                    hint="give the directory that has the CAs alone",
                )
            files[found] = content
    return Source(files=files, name=name)


def _files(path: str) -> Iterator[tuple[str, bytes]]:
    if path == "-":
        # One more than an archive may have shows that there is more.
        data = sys.stdin.buffer.read(LARGEST_ARCHIVE + 1)
        yield from _of_data(data, "standard input")
    # Asked by itself, for the reader of a file would call a mistyped directory an unreadable file.
    elif not Path(path).exists():
        raise UsageError(f"{path} does not exist", hint="give a directory, a tar or a file")
    elif Path(path).is_dir():
        require_readable(Path(path))
        yield from _below(DirectoryTree(Path(path)), (), path.rstrip("/"))
    else:
        yield from _of_data(read_whole(Path(path)), path)


def _of_data(data: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    if is_archive(data):
        yield from _below(ArchiveTree(data, name=name), (), name)
    elif len(data) > LARGEST_CONTENT:
        raise StoreError(f"{name} is too large for certificates, keys and documents")
    else:
        yield name, data


def _below(tree: FileTree, steps: Steps, shown: str) -> Iterator[tuple[str, bytes]]:
    for name in tree.names(steps):
        path = (*steps, name)
        entry = tree.entry(path)
        if entry is None:
            continue
        if entry.kind is EntryKind.DIRECTORY and len(path) < _DEEPEST:
            yield from _below(tree, path, shown)
        elif entry.kind is EntryKind.FILE and name.endswith(_SUFFIXES):
            content = tree.content(path)
            # Left out without a word, a CA would be missing in what is taken over.
            if content is None:
                raise StoreError(f"{shown}/{'/'.join(path)} cannot be read", hint="run as its owner")
            yield f"{shown}/{'/'.join(path)}", content
