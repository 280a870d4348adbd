"""What Git tracks of a PKI directory."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.age_header import is_sealed
from pkigen.state.observed import content_at

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.state.observed import Reader

# Nothing that the repository configures is run for it (git-config(1)), and no variable leads elsewhere.
_GIT = ("git", "-c", "core.fsmonitor=false")
_LONGEST = 60


def tracked_secrets(root: Path, reader: Reader) -> tuple[str, ...]:
    """The private files of a PKI directory that are in Git's index, unencrypted; none where there is no Git.

    Args:
        root: The PKI directory.
        reader: The same, to see what is encrypted.
    """
    # GIT_DIR and GIT_INDEX_FILE are set within hooks, and would name another repository's index.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(  # noqa: S603 -- no shell, and the path is one argument
            [*_GIT, "-C", str(root), "ls-files", "-z", "--", "."],
            capture_output=True,
            check=False,
            timeout=_LONGEST,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    # No repository is the usual case; whatever else is wrong with Git is no finding about the directory.
    if done.returncode != 0:
        return ()
    paths = (os.fsdecode(name) for name in done.stdout.split(b"\0") if name)
    return tuple(path for path in paths if layout.is_private(path) and not _is_encrypted(reader, path))


def _is_encrypted(reader: Reader, path: str) -> bool:
    content = content_at(reader, path)
    return content is not None and is_sealed(content)
