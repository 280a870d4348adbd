"""A finished tree that the tests of this room change."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.samples import CP1, W1, World, spec

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A finished tree; tests work on copies of it."""
    world = World(root=tmp_path_factory.mktemp("pattern") / "prod", cluster=spec(CP1, W1, encryption={}))
    world.apply()
    return world


@pytest.fixture
def world(pattern: World, tmp_path: Path) -> World:
    root = tmp_path / "prod"
    shutil.copytree(pattern.root, root)
    return World(root=root, cluster=pattern.cluster)
