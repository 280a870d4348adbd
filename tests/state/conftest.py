from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.program import InProcess
from tests.state.encrypted_cluster import EncryptedCluster

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pkigen(capsys: pytest.CaptureFixture[str]) -> InProcess:
    return InProcess(capsys)


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> EncryptedCluster:
    """An encrypted authority; never changed."""
    return EncryptedCluster.made(tmp_path_factory.mktemp("sealed"))


@pytest.fixture
def place(original: EncryptedCluster, tmp_path: Path) -> EncryptedCluster:
    """One of one's own."""
    return original.copied(tmp_path / "place")


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> EncryptedCluster:
    """The same in the open, the control of every scan; never changed."""
    return EncryptedCluster.made(tmp_path_factory.mktemp("plain"), encrypted=False)
