"""How a directory stands, described and compared without reading, by one process or by several."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pkigen import layout
from pkigen.crew import Hands
from pkigen.store.directories import NO_DIRECTORY, Anchor
from pkigen.store.filesystem import OsFileSystem
from pkigen.store.snapshot import snapshot, stands_as

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ALONE = Hands(most=1)
SHARED = Hands(most=2, least_objects=0, chunk=3)
NODES = tuple(f"node-{number}" for number in range(8))


@pytest.fixture
def anchor(tmp_path: Path) -> Iterator[Anchor]:
    for name in NODES:
        pki = tmp_path / layout.NODES / name / "pki"
        pki.mkdir(parents=True)
        (pki / "a.crt").write_text(name)
    # Long ago, as the clock's ticks may be longer than a test.
    for path in tmp_path.rglob("*"):
        os.utime(path, (0, 0))
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield Anchor(
        fs=OsFileSystem(),
        root=tmp_path,
        parent_fd=NO_DIRECTORY,
        name=tmp_path.name,
        root_fd=fd,
        private_fd=NO_DIRECTORY,
    )
    os.close(fd)


def file_for_directory(root: Path) -> None:
    (root / "nodes").rename(root / "elsewhere")
    (root / "nodes").touch()


def link_for_directory(root: Path) -> None:
    (root / "nodes/node-3").rename(root / "elsewhere")
    (root / "nodes/node-3").symlink_to("../elsewhere")


CHANGES: dict[str, Callable[[Path], object]] = {
    "rewritten": lambda root: (root / "nodes/node-4/pki/a.crt").write_text("NODE-4"),
    "another mode": lambda root: (root / "nodes/node-7/pki/a.crt").chmod(0o640),
    "gone": lambda root: (root / "nodes/node-7/pki/a.crt").unlink(),
    "one more": lambda root: (root / "nodes/node-0/pki/b").touch(),
    "a file for a directory": file_for_directory,
    "a link for a directory": link_for_directory,
}


@pytest.mark.parametrize("hands", [ALONE, SHARED], ids=["alone", "shared"])
class TestHands:
    def test_nothing_has_changed(self, anchor: Anchor, hands: Hands) -> None:
        before = snapshot(anchor, {layout.NODES, "not-there"})
        assert before is not None
        # A directory each for all nodes, for each of them, and its PKI; a file each; and what is not there.
        assert len(before) == 1 + 3 * len(NODES) + 1
        assert stands_as(anchor, before, hands=hands)
        assert stands_as(anchor, {}, hands=hands)

    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    def test_every_change_shows(self, anchor: Anchor, hands: Hands, change: Callable[[Path], object]) -> None:
        before = snapshot(anchor, {layout.NODES})
        assert before is not None
        change(anchor.root)
        assert not stands_as(anchor, before, hands=hands)
