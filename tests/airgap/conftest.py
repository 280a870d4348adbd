from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.airgap.bundles.site import Site

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A cluster of one control-plane node and two workers; never changed."""
    return Site.made(tmp_path_factory.mktemp("site") / "prod")


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """An empty node."""
    root = tmp_path / "node"
    root.mkdir(mode=0o755)
    return root
