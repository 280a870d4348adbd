"""Staging beside the target, for directories on mounts that a rename from the staging directory cannot reach.

A bare-metal host often has `/var` on a file system of its own. Each directory there that a change writes to
gets a `.pkigen-staging` while the change lasts. The kubelet's watch on manifests ignores names with a leading
dot (`pkg/kubelet/config/file.go`, `file_linux.go`), and so does systemd. The list of these directories is
written durably before the first one is made.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pkigen.store.directories import Anchor, Descent, make_directory, open_directory, remove_tree, write_list
from pkigen.store.files import chunks_of, lstat_or_none, plain_file, write_new
from pkigen.store.paths import BESIDE, STAGING_PARTS
from pkigen.store.record import WriteFile
from pkigen.store.system_errors import ObstacleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.store.directories import Level
    from pkigen.store.paths import Parts
    from pkigen.store.record import Operation

PLACES = "places"
"""The list of the directories, in the staging directory of the change."""


def stage(anchor: Anchor, staging_fd: int, operations: Iterable[Operation]) -> None:
    """Stage a second time, beside its target, what a rename could not bring there from another mount.

    Args:
        anchor: The open directories.
        staging_fd: Where everything is staged.
        operations: The change, in the order of the tree; the directories of its files exist.
    """
    wanted: dict[Parts, list[WriteFile]] = {}
    for operation in operations:
        if isinstance(operation, WriteFile) and operation.beside:
            wanted.setdefault(operation.directory, []).append(operation)
    # Mostly everything is on one mount, and then nothing is written twice.
    if not wanted:
        return
    fs = anchor.fs
    with Descent(fs, anchor.root_fd) as live:
        for parts in wanted:
            # All are checked before the list is written: an undo removes what the list names, and must not
            # remove what another change has staged.
            _require_no_leftover(anchor, live.enter(parts), parts)
        write_list(anchor, staging_fd, PLACES, wanted)
        for parts, writes in wanted.items():
            level = live.enter(parts)
            place_fd, _ = make_directory(fs, level.fd, (*parts, BESIDE))
            try:
                for write in writes:
                    path = "/".join((*STAGING_PARTS, write.staged))
                    with plain_file(fs, write.staged, staging_fd, path) as (fd, _):
                        chunks = chunks_of(fs, fd)
                        write_new(fs, write.staged, place_fd, mode=write.mode, chunks=chunks)
                fs.fsync(place_fd)
            finally:
                fs.close(place_fd)
            # The name of the staging directory itself must survive a power failure, or
            # recovery finds nothing to move.
            level.changed = True
        live.flush()


@contextmanager
def staged_in(
    anchor: Anchor, staging_fd: int | None, level: Level, operation: WriteFile
) -> Iterator[int | None]:
    """The open directory from which a rename brings the file to `level`; None when it is gone."""
    if not operation.beside:
        yield staging_fd
        return
    try:
        place_fd, _ = open_directory(anchor.fs, level.fd, (*operation.directory, BESIDE))
    except FileNotFoundError:
        yield None
        return
    try:
        yield place_fd
    finally:
        anchor.fs.close(place_fd)


def clear(anchor: Anchor, directories: Iterable[Parts]) -> None:
    """Remove what was staged beside targets."""
    with Descent(anchor.fs, anchor.root_fd) as live:
        for parts in directories:
            try:
                level = live.enter(parts)
            except FileNotFoundError:
                # What was staged there is gone with the directory.
                continue
            remove_tree(anchor.fs, level.fd, (*parts, BESIDE))
            level.changed = True
        live.flush()


def places_of(operations: Iterable[Operation]) -> list[Parts]:
    """The directories beside whose files something is staged."""
    writes = (each for each in operations if isinstance(each, WriteFile) and each.beside)
    return list(dict.fromkeys(each.directory for each in writes))


def _require_no_leftover(anchor: Anchor, level: Level, parts: Parts) -> None:
    """Refuse to take over what was staged by a change whose record may be where nothing is mounted now."""
    if lstat_or_none(anchor.fs, BESIDE, level.fd) is not None:
        raise ObstacleError(
            "/".join((*parts, BESIDE)),
            "is left from an unknown change",
            hint="mount every file system and run the command again; remove it if it remains",
        )
