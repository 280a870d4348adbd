"""Keeps coverage out of processes that prove something else: disturbed, raced, or run by the hundred.

Coverage follows into child processes by variables of the environment, writes a file of its own when a process
ends, and makes everything twice as slow.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.cli.program import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

HOOKS = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
"""What coverage looks for when a Python starts."""


def environment() -> dict[str, str]:
    """The environment for a child process in which nothing runs but what the test starts there."""
    kept = {name: value for name, value in os.environ.items() if name not in HOOKS}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(REPOSITORY)}


@contextmanager
def children() -> Iterator[None]:
    """No process that is started meanwhile measures its coverage."""
    taken = {name: os.environ.pop(name) for name in HOOKS if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)
