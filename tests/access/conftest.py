from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pkigen.cli.app import run
from pkigen.cli.system import System
from tests.access.team_cluster import SPEC, TeamCluster
from tests.cli.program import NOW, InProcess, copy_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pkigen(capsys: pytest.CaptureFixture[str]) -> InProcess:
    return InProcess(capsys)


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("access")
    (place / "team.yaml").write_text(SPEC)
    system = System(clock=lambda: NOW)
    assert run(["init", str(place / "team.yaml"), "-C", str(place / "team")], system=system) == 0
    return place


@pytest.fixture
def place(_made: Path, tmp_path: Path, pkigen: InProcess) -> TeamCluster:
    """A directory with `team.yaml` and the tree `team` that `init` made of it, to be changed at will."""
    (tmp_path / "team.yaml").write_text(SPEC)
    copy_of(_made / "team", tmp_path / "team")
    return TeamCluster(folder=tmp_path, pkigen=pkigen)
