from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.store.sample_tree import Trees, make_first, memory_directory

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The path of a PKI directory that does not exist yet."""
    return tmp_path / "prod"


@pytest.fixture
def tree(root: Path) -> Path:
    """The first tree."""
    make_first(root)
    return root


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    with memory_directory() as name:
        yield Path(name)


@pytest.fixture(scope="session")
def trees(memory: Path) -> Trees:
    place = memory / "trees"
    place.mkdir()
    return Trees(place)
