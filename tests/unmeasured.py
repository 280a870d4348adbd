"""Keeps coverage out of what proves something else: what is disturbed, raced, or run by the hundred.

Coverage makes everything twice as slow, the libraries that it does not measure too. It follows into child
processes by variables of the environment, and writes a file of its own when a process ends.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.cli.program import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from pytest_cov.engine import CovController

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


def measured(config: pytest.Config) -> bool:
    """Whether coverage is on in this process, and tests run in it."""
    return _running(config) is not None and not config.pluginmanager.hasplugin("dsession")


@contextmanager
def here(config: pytest.Config) -> Iterator[None]:
    """Nothing is measured in this process meanwhile."""
    coverage = _running(config)
    if coverage is None:
        yield
        return
    coverage.pause()
    try:
        yield
    finally:
        # pytest-cov goes on by itself after the call of a test that is not measured.
        if not coverage.started:
            coverage.resume()


def _running(config: pytest.Config) -> CovController | None:
    """What measures this process, if something does."""
    plugin = config.pluginmanager.getplugin("_cov")
    controller = None if plugin is None else plugin.cov_controller
    return controller if controller is not None and controller.started else None
