"""Files that are in memory alone, for libraries that take a private key from a file and nothing else."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def anonymous_file(data: bytes) -> Iterator[str]:
    """The path of a file without a name on any disk, for this process alone, until the block ends.

    Raises:
        OSError: The system has no such files; Linux has (memfd_create(2)).
    """
    create = getattr(os, "memfd_create", None)
    if create is None:
        raise OSError("this system keeps no file in memory alone")
    descriptor = create("pkigen")
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
