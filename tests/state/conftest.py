from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.program import InProcess
from tests.state.sealed_places import Place

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pkigen(capsys: pytest.CaptureFixture[str]) -> InProcess:
    return InProcess(capsys)


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An encrypted authority; never changed."""
    return Place.made(tmp_path_factory.mktemp("sealed"))


@pytest.fixture
def place(original: Place, tmp_path: Path) -> Place:
    """One of one's own."""
    return original.copied(tmp_path / "place")


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The same in the open, the control of every scan; never changed."""
    return Place.made(tmp_path_factory.mktemp("plain"), encrypted=False)
