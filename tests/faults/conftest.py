from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.scenes import Scene, scenes
from tests.store.sample_tree import memory_directory

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.faults)


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    with memory_directory() as name:
        yield Path(name)


@pytest.fixture(scope="session")
def all_scenes(memory: Path) -> dict[str, Scene]:
    place = memory / "scenes"
    place.mkdir()
    return scenes(place)


@pytest.fixture(params=["init", "apply", "renew"])
def scene(request: pytest.FixtureRequest, all_scenes: dict[str, Scene]) -> Scene:
    """One of the three commands that write."""
    return all_scenes[request.param]
