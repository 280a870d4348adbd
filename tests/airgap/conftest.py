from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.airgap.bundles.bundle_site import BundleSite

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> BundleSite:
    """A cluster of one control-plane node and two workers; never changed."""
    return BundleSite.made(tmp_path_factory.mktemp("site") / "prod")


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """An empty node."""
    root = tmp_path / "node"
    root.mkdir(mode=0o755)
    return root
