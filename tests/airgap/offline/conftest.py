from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.airgap.offline.offline_sides import VARIANTS, OfflineSides

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session", params=VARIANTS)
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OfflineSides:
    """Both sides once the answer is on the medium; never changed."""
    return OfflineSides.new(tmp_path_factory.mktemp(request.param) / "places", request.param).answered()


@pytest.fixture
def places(original: OfflineSides, tmp_path: Path) -> OfflineSides:
    """Both sides once the answer is on the medium."""
    return original.copy(tmp_path / "places")


@pytest.fixture(scope="session")
def original_cluster(original: OfflineSides, tmp_path_factory: pytest.TempPathFactory) -> OfflineSides:
    """Both sides once the answer is taken in; never changed."""
    made = original.copy(tmp_path_factory.mktemp("made") / "places")
    made.accept("--pin", made.pins[1])
    return made


@pytest.fixture
def cluster(original_cluster: OfflineSides, tmp_path: Path) -> OfflineSides:
    """Both sides once the answer is taken in."""
    return original_cluster.copy(tmp_path / "cluster")
