"""Which files of a PKI directory other users may change or read, by their owners and modes."""

from __future__ import annotations

import enum
import os
import stat
from typing import TYPE_CHECKING, Final

from pkigen.records import dataclass
from pkigen.store.paths import PRIVATE, PRIVATE_AT_ROOT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pkigen.store.directories import Anchor, Descent
    from pkigen.store.paths import Parts

# Group counts like everybody, as in `directories.require_ours`: who is in it is not known here.
_WRITABLE: Final = 0o022
_OPEN: Final = 0o077


class Lapse(enum.StrEnum):
    """What is wrong with the owner or mode of a file or directory."""

    WRITABLE = "is writable by other users"
    OPEN = "is readable by other users"
    FOREIGN = "belongs to another user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lapsed:
    """One file or directory, relative to the PKI directory; the directory itself is `.`."""

    path: str
    lapse: Lapse
    mode: int
    uid: int


def lapses(anchor: Anchor, descent: Descent, below: Collection[str]) -> Iterator[Lapsed]:
    """Look at the PKI directory itself, the store's own directory, and all that stands in some of the others.

    Links are not followed: only the link itself is examined, and every reader refuses it.

    Args:
        anchor: The open directory.
        descent: A chain that starts there.
        below: The directories in the root that are looked through, and single files there.
    """
    root = anchor.fs.fstat(anchor.root_fd)
    ours = {0, os.geteuid()}
    owners = {root.st_uid, *ours}  # if the whole tree is another user's, only its root is reported
    yield from _lapses_of((), root, ours)
    for entry in sorted(anchor.fs.scan(anchor.root_fd), key=lambda entry: entry.name):
        if entry.name == PRIVATE or entry.name in below:
            yield from _lapses_of((entry.name,), anchor.fs.lstat(entry.name, anchor.root_fd), owners)
        if entry.is_directory and entry.name in below:
            for here, _ in descent.below((entry.name,)):
                yield from _lapses_of(here, anchor.fs.lstat(here[-1], descent.enter(here[:-1]).fd), owners)


def _lapses_of(parts: Parts, status: os.stat_result, owners: Collection[int]) -> Iterator[Lapsed]:
    """What is wrong with one entry. Linux ignores the mode of a link (symlink(7)): only its owner is told."""
    mode = stat.S_IMODE(status.st_mode)
    path = "/".join(parts) or "."
    if status.st_uid not in owners:
        yield Lapsed(path=path, lapse=Lapse.FOREIGN, mode=mode, uid=status.st_uid)
    if stat.S_ISLNK(status.st_mode):
        return
    if mode & _WRITABLE:
        yield Lapsed(path=path, lapse=Lapse.WRITABLE, mode=mode, uid=status.st_uid)
    # Where this directory keeps others out, the modes below it do not matter: it alone is looked at.
    elif len(parts) == 1 and parts[0] in PRIVATE_AT_ROOT and mode & _OPEN:
        yield Lapsed(path=path, lapse=Lapse.OPEN, mode=mode, uid=status.st_uid)
