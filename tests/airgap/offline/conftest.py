from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.airgap.offline.places import VARIANTS, Places

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session", params=VARIANTS)
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Both sides once the answer is on the medium; never changed."""
    return Places.new(tmp_path_factory.mktemp(request.param) / "places", request.param).answered()


@pytest.fixture
def places(original: Places, tmp_path: Path) -> Places:
    """Both sides once the answer is on the medium."""
    return original.copy(tmp_path / "places")


@pytest.fixture(scope="session")
def original_cluster(original: Places, tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Both sides once the answer is taken in; never changed."""
    made = original.copy(tmp_path_factory.mktemp("made") / "places")
    made.accept("--pin", made.pins[1])
    return made


@pytest.fixture
def cluster(original_cluster: Places, tmp_path: Path) -> Places:
    """Both sides once the answer is taken in."""
    return original_cluster.copy(tmp_path / "cluster")
