"""How files and directories stand, without reading them: what tells whether one has been touched since."""

from __future__ import annotations

import stat
from functools import partial
from typing import TYPE_CHECKING

from pkigen.crew import Hands, shared
from pkigen.store.directories import FLAGS
from pkigen.store.files import lstat_or_none
from pkigen.store.paths import LEDGER_PARTS

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from pkigen.store.directories import Anchor
    from pkigen.store.filesystem import FileSystem

Snapshot = dict[str, list[int] | None]
"""By path: size in bytes, mtime and ctime in nanoseconds, inode, and mode; None where nothing is.

Directories are among them: their times tell that a name has come or gone.
"""

# A PKI directory has some ten levels; deeper ones are nobody's, and must not exhaust the stack.
_DEEPEST = 64
# To ask the system about so many files takes as long as to fork.
_MANY = Hands(least_objects=20_000, chunk=2_000)


def snapshot(anchor: Anchor, tops: Iterable[str]) -> Snapshot | None:
    """Describe all that stands below some names in the root, and the ledger; None where it cannot be listed.

    Args:
        anchor: The open directories.
        tops: Names in the root.
    """
    fs = anchor.fs
    found: Snapshot = {}
    try:
        for top in sorted(tops):
            _describe(fs, anchor.root_fd, top, top, found, depth=0)
        if anchor.has_private:
            _describe(fs, anchor.private_fd, LEDGER_PARTS[-1], "/".join(LEDGER_PARTS), found, depth=0)
    # Whoever looks at the files themselves will say what is wrong.
    except OSError:
        return None
    return found


def stands_as(anchor: Anchor, before: Snapshot, *, hands: Hands = _MANY) -> bool:
    """Whether all that was described stands as it did, and nothing has come to it.

    Args:
        anchor: The open directories.
        before: What was described.
        hands: How many processes share it.
    """
    described = list(before.items())
    parts = [described[at : at + hands.chunk] for at in range(0, len(described), hands.chunk)]
    work = partial(_all_stand, anchor)
    with shared(work, [[part] for part in parts], hands.for_objects(len(described))) as found:
        return all(map(work, parts) if found is None else found)


def _all_stand(anchor: Anchor, described: Sequence[tuple[str, list[int] | None]]) -> bool:
    """Whether each of these stands as it was described."""
    fs, root_fd = anchor.fs, anchor.root_fd
    try:
        # By whole paths, which is quick. Should one lead through a link now, then the directory that the link
        # replaces is described as well, and differs.
        return all(_described(lstat_or_none(fs, path, root_fd)) == each for path, each in described)
    except OSError:
        return False


def _describe(fs: FileSystem, parent_fd: int, name: str, path: str, found: Snapshot, *, depth: int) -> None:
    """Describe a name, and all that stands below it.

    Raises:
        OSError: It cannot be listed, or is too deep.
    """
    status = lstat_or_none(fs, name, parent_fd)
    found[path] = _described(status)
    if status is None or not stat.S_ISDIR(status.st_mode):
        return
    if depth > _DEEPEST:
        raise OSError
    fd = fs.open(name, FLAGS, 0, parent_fd)
    try:
        for entry in fs.scan(fd):
            _describe(fs, fd, entry.name, f"{path}/{entry.name}", found, depth=depth + 1)
    finally:
        fs.close(fd)


def _described(status: os.stat_result | None) -> list[int] | None:
    """What changes with any write: unlike mtime, nobody can set ctime back (utimensat(2))."""
    if status is None:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_mode]
