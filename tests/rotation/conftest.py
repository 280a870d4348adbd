from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from pkigen.spec.model import ClusterSpec
from tests.rotation.phases import SMALL, Photograph, Workshop, lives

if TYPE_CHECKING:
    from pathlib import Path

ALL = ("ca kubernetes etcd front-proxy", "sa", "encryption-key")


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of the small spec; never changed."""
    return Workshop(place=tmp_path_factory.mktemp("original")).made().place


@pytest.fixture
def workshop(original: Path, tmp_path: Path) -> Workshop:
    place = tmp_path / "workshop"
    shutil.copytree(original, place)
    return Workshop(place=place)


@pytest.fixture(scope="session")
def life(original: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Photograph]:
    """The small cluster in every phase of the rotation of everything at once."""
    place = tmp_path_factory.mktemp("life") / "workshop"
    shutil.copytree(original, place)
    return lives(Workshop(place=place), *ALL)


@pytest.fixture(scope="session")
def cluster() -> ClusterSpec:
    return ClusterSpec.model_validate({"metadata": {"name": "prod"}, "spec": SMALL})
