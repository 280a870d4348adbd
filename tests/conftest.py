"""What holds for every test: no setting of the machine counts, and what only repeats is not measured."""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import signal
import threading
import time
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings

import pkigen
from pkigen.crypto import age_scrypt
from tests import compiled_templates, unmeasured

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# A slow machine is not a wrong program.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("any machine"), max_examples=20)
settings.load_profile("any machine")

# What a person may have set, and what would change words, times, colours, widths or targets.
_FOREIGN = (
    *("COLUMNS", "LINES", "FORCE_COLOR", "CLICOLOR_FORCE", "NO_COLOR", "PY_COLORS"),
    *("KUBECONFIG", "LANGUAGE", "PKIGEN_DIR", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "SOURCE_DATE_EPOCH"),
)
_OURS = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
# These take longest: begun first, nobody waits for them alone in the end.
_LONGEST = (
    "tests/project/test_offline.py",
    "tests/live/",
    "tests/faults/test_killed_commands.py",
    "tests/rotation/test_rotation_faults.py",
    "tests/faults/",
    "tests/rotation/",
)


def pytest_configure() -> None:
    """Run in the same surroundings everywhere."""
    for name in _FOREIGN:
        os.environ.pop(name, None)
    # A shell that starts us in the background lets us ignore interrupts (POSIX sh, 2.11); tests send some.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(_OURS)
    time.tzset()
    os.umask(0o022)
    # As in `pkigen.__main__`: what was imported stays, and is much; nothing is gained by looking at it often.
    gc.set_threshold(100_000)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """What pkigen does while it is imported is measured, but not the import of all the tests."""
    if unmeasured.measured(session.config):
        for module in pkgutil.walk_packages(pkigen.__path__, "pkigen."):
            if not module.name.endswith("__main__"):  # which is for `python -m`
                importlib.import_module(module.name)
    with unmeasured.here(session.config):
        return (yield)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests come first; those that prove by repetition are no measure of what the others reach."""
    items.sort(key=_rank)
    for item in items:
        if any(item.get_closest_marker(name) for name in ("faults", "live", "sweep")):
            item.add_marker("no_cover")


def _rank(item: pytest.Item) -> int:
    """The number of the first entry that names a test's file."""
    ranks = (rank for rank, start in enumerate(_LONGEST) if item.nodeid.startswith(start))
    return next(ranks, len(_LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """What is not measured starts no process that is, nor do its fixtures; nor are these measured."""
    if item.get_closest_marker("no_cover") is None:
        return (yield)
    with unmeasured.children(), unmeasured.here(item.config):
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _compiled_once() -> Iterator[None]:
    with compiled_templates.kept():
        yield


@pytest.fixture(scope="session", autouse=True)
def _little_work() -> Iterator[None]:
    """A passphrase costs a second wherever it is used; `tests/crypto/test_age.py` sees that it does."""
    with mock.patch.object(age_scrypt, "WORK_FACTOR", 10):
        yield


@pytest.fixture(scope="module", autouse=True)
def _threads_end() -> Iterator[None]:
    """Whoever starts a thread ends it: a process that has some does not fork, which other tests ask for."""
    before = set(threading.enumerate())
    yield
    left = [each for each in threading.enumerate() if each not in before]
    for thread in left:
        thread.join(timeout=60)
    assert [each.name for each in left if each.is_alive()] == []
