"""Commands of a page that are run on a node, by root: the node's files are where it has them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PRIVATE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))
_OWN = ("etc", "var/lib")
# What stands there on the machine of the tests is hidden, for these commands alone.
_BECOME = "".join(
    f'mount -t tmpfs tmpfs /{each}; if [ -d "$1/{each}" ]; then cp -a "$1/{each}/." /{each}/; fi; '
    for each in _OWN
)


@functools.cache
def can_become() -> bool:
    """Whether a command can have mounts of its own here."""
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run(
        [*_PRIVATE, "mount", "-t", "tmpfs", "tmpfs", "/etc"], check=False, capture_output=True
    )
    return done.returncode == 0


def run_on(node: Path, words: str, place: Path) -> None:
    """Run a line word for word where a node's tree is /etc and /var/lib.

    Where no command can have mounts of its own, `-C /` leads into the tree instead.

    Args:
        node: The tree; it stays as it is.
        words: The line.
        place: The current directory, which is below neither.
    """
    if can_become():
        command = [*_PRIVATE, "sh", "-ec", f'{_BECOME}exec sh -ec "$2"', "sh", str(node), words]
    else:
        command = ["sh", "-ec", words.replace(" -C / ", f" -C '{node}' ")]
    done = subprocess.run(command, cwd=place, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
