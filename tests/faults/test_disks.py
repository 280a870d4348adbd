"""Full, small and read-only file systems under whole commands; only root can mount them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.faults.scenes import pkigen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.scenes import Scene

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")


@contextlib.contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no mounts here: {done.stderr.strip()}")
    try:
        yield place / "home"
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def brought(scene: Scene, root: Path) -> None:
    """Bring the scene's tree onto the small disk."""
    if scene.old:
        shutil.copytree(scene.place / "original", root, symlinks=True)


def outcome(scene: Scene, root: Path) -> str:
    """Run the command where there may be no room; what is refused must have changed nothing."""
    result = pkigen(*scene.arguments(root))
    verdict = scene.verdict(root)
    if result.code == 0:
        assert verdict == "new", result
        return "done"
    assert (result.code, verdict) == (1, "old"), (result, verdict)
    assert "no space left on device" in result.error
    assert str(root) in result.error
    assert "free space (and inodes)" in result.hint
    left = {path.name for path in (root / ".pkigen").iterdir()} if root.exists() else set()
    assert left <= {"lock", "ledger.jsonl", "backups", "index", "index.new"}, left
    return "refused"


def test_disks_of_many_sizes(scene: Scene, tmp_path: Path) -> None:
    outcomes: Counter[str] = Counter()
    with mounted(tmp_path / "m", "size=16m") as root:
        brought(scene, root)
        used = sum(-(-path.lstat().st_size // 4096) * 4096 for path in root.rglob("*") if path.is_file())
    for spare in (4, 8, 20, 40, 60, 90, 120, 150, 180, 220, 400, 1000):
        with mounted(tmp_path / "m", f"size={used // 1024 + spare}k") as root:
            brought(scene, root)
            outcomes[outcome(scene, root)] += 1
    print(f"{scene.name}: disks of 12 sizes: {dict(outcomes)}")  # noqa: T201
    assert outcomes["refused"] >= 3
    assert outcomes["done"] >= 1


def test_disks_with_few_inodes(scene: Scene, tmp_path: Path) -> None:
    outcomes: Counter[str] = Counter()
    original = scene.place / "original"
    used = sum(1 for _ in original.rglob("*")) + 2 if scene.old else 2
    for spare in (1, 3, 6, 10, 16, 25, 40, 70, 110, 200):
        with mounted(tmp_path / "m", f"size=16m,nr_inodes={used + spare}") as root:
            brought(scene, root)
            outcomes[outcome(scene, root)] += 1
    print(f"{scene.name}: disks with 10 numbers of inodes: {dict(outcomes)}")  # noqa: T201
    assert outcomes["refused"] >= 3
    assert outcomes["done"] >= 1


def test_a_read_only_disk(scene: Scene, tmp_path: Path) -> None:
    with mounted(tmp_path / "m", "size=16m") as root:
        brought(scene, root)
        subprocess.run(["mount", "-o", "remount,ro", tmp_path / "m"], check=True)
        result = pkigen(*scene.arguments(root))
        assert (result.code, scene.verdict(root)) == (1, "old"), result
        assert str(root) in result.error
        assert "read-only file system" in result.error
        assert "remount it writable" in result.hint
        if scene.old:
            for command in (
                ("status", "-C", root),
                ("verify", "-C", root),
                ("plan", scene.spec, "-C", root),
                ("rollback", "-C", root, "--list"),
            ):
                assert pkigen(*command).code == 0, command
