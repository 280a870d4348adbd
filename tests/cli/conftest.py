from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest

from pkigen.cli.app import run
from pkigen.cli.system import System
from tests.cli.program import HOME, NOW, InProcess, MadeTrees, copy_of

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


@pytest.fixture
def pkigen(capsys: pytest.CaptureFixture[str]) -> InProcess:
    return InProcess(capsys)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `home.yaml` and the tree `home` that `init` made of it; never changed."""
    place = tmp_path_factory.mktemp("made")
    (place / "home.yaml").write_text(HOME)
    system = System(clock=lambda: NOW)
    assert run(["init", str(place / "home.yaml"), "-C", str(place / "home")], system=system) == 0
    return place


@pytest.fixture(scope="session")
def made_trees(tmp_path_factory: pytest.TempPathFactory) -> MadeTrees:
    return MadeTrees(tmp_path_factory.mktemp("trees"))


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "home.yaml"
    path.write_text(HOME)
    return path


@pytest.fixture
def tree(made: Path, tmp_path: Path) -> Path:
    """A tree of one's own."""
    return copy_of(made / "home", tmp_path / "home")


@pytest.fixture(scope="session")
def jsonschema() -> ModuleType:
    """Imported only where it is used: it compiles grammars meanwhile, which takes seconds."""
    return importlib.import_module("jsonschema")
