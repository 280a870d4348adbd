"""The index's place in the store: read with distrust, and replaced where that is possible.

It is no part of any change: nothing depends on it, so it is not made durable, and no fault of it is told.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from pkigen.store.directories import require_ours
from pkigen.store.files import Synced, read_file, write_new
from pkigen.store.system_errors import ObstacleError

if TYPE_CHECKING:
    from pkigen.store.directories import Anchor

INDEX = "index"
_NEW = "index.new"
# In bytes: some hundred for each file.
_LARGEST = 1 << 28


def read_index(anchor: Anchor) -> bytes | None:
    """The index as it was written last, or None; the caller must check that it is complete."""
    if not anchor.has_private:
        return None
    try:
        return read_file(anchor.fs, INDEX, anchor.private_fd, INDEX, limit=_LARGEST).data
    except (OSError, ObstacleError):
        return None


def replace_index(anchor: Anchor, data: bytes) -> None:
    """Replace the index, if the directory is ours and writable; otherwise do nothing."""
    fs = anchor.fs
    with suppress(OSError, ObstacleError):
        if not anchor.has_private or fs.fstat(anchor.private_fd).st_uid != os.geteuid():
            return  # also root leaves nothing in somebody else's directory
        require_ours(fs.fstat(anchor.private_fd), anchor.private_path)
        # Of a run that was killed; of another that writes at this moment, whose index is torn then, and so
        # is never believed.
        with suppress(FileNotFoundError):
            fs.unlink(_NEW, anchor.private_fd)
        try:
            # Not synced: after a power failure it may be torn, and is made again.
            write_new(fs, _NEW, anchor.private_fd, mode=0o600, chunks=(data,), synced=Synced.TOGETHER)
            fs.rename(_NEW, anchor.private_fd, INDEX, anchor.private_fd)
        except BaseException:
            with suppress(OSError):
                fs.unlink(_NEW, anchor.private_fd)
            raise
