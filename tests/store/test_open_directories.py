"""Directories that stay open between two files: how many, and what they see of what has changed meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pkigen.store import MissingError, Store, UnreadableError
from pkigen.store.directories import OpenDirectories, anyones
from tests.store.faults import CountingFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 24


@pytest.fixture
def base(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def open_now() -> int:
    """How many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_going_to_and_fro_opens_each_directory_once(tmp_path: Path, base: int) -> None:
    for name in ("etc/kubernetes/pki", "var/lib/kubelet"):
        (tmp_path / name).mkdir(parents=True)
    recording = CountingFileSystem()
    directories = OpenDirectories(recording, base, rule=anyones)
    for _ in range(5):
        directories.enter(("etc", "kubernetes", "pki"))
        directories.enter(("var", "lib", "kubelet"))
        directories.enter(("etc", "kubernetes"))
    directories.close()
    assert recording.operations.count("open") == 6


def test_no_more_than_some_stay_open(tmp_path: Path, base: int) -> None:
    names = [f"node-{number}" for number in range(40)]
    for name in names:
        (tmp_path / "nodes" / name / "etc").mkdir(parents=True)
        (tmp_path / "nodes" / name / "etc" / "name").write_text(name)
    before = open_now()
    directories = OpenDirectories(CountingFileSystem(), base, rule=anyones)
    for name in names * 2:
        found = directories.enter(("nodes", name, "etc"))
        fd = os.open("name", os.O_RDONLY, dir_fd=found)
        assert os.read(fd, 100).decode() == name
        os.close(fd)
        assert open_now() <= before + MOST
    directories.close()
    assert open_now() == before


def test_a_way_that_is_longer_than_that(tmp_path: Path, base: int) -> None:
    parts = tuple("d" for _ in range(MOST + 10))
    (tmp_path / "/".join(parts)).mkdir(parents=True)
    before = open_now()
    directories = OpenDirectories(CountingFileSystem(), base, rule=anyones)
    assert os.fstat(directories.enter(parts)).st_ino == (tmp_path / "/".join(parts)).stat().st_ino
    directories.close()
    assert open_now() == before


def test_no_link_is_followed_on_any_level(tree: Path) -> None:
    (tree / "elsewhere").symlink_to("/etc")
    (tree / "nodes" / "linked").mkdir(parents=True)
    (tree / "nodes" / "linked" / "etc").symlink_to("/etc")
    with Store.open_reading(tree) as store:
        for path in ("elsewhere/passwd", "nodes/linked/etc/passwd"):
            for _ in range(2):
                with pytest.raises(UnreadableError, match="is a symbolic link"):
                    store.read(path)


def test_what_comes_after_it_was_missed_is_seen(tree: Path) -> None:
    with Store.open_reading(tree) as store:
        with pytest.raises(MissingError):
            store.read("later/on/file")
        (tree / "later" / "on").mkdir(parents=True)
        (tree / "later" / "on" / "file").write_text("here")
        assert store.read("later/on/file").data == b"here"
        (tree / "later" / "on" / "file").unlink()
        (tree / "later" / "on").rmdir()
        with pytest.raises(MissingError):
            store.read("later/on/file")


def test_what_is_given_is_open_though_others_were_missing(tmp_path: Path, base: int) -> None:
    """A way that ends before its end has opened some, too: they do not push out the one that is asked for."""
    names = [f"node-{number}" for number in range(MOST)]
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    before = open_now()
    directories = OpenDirectories(CountingFileSystem(), base, rule=anyones)
    for name in names:
        directories.enter((name,))
    with pytest.raises(FileNotFoundError):
        directories.enter(("a", "b", "c", "missing"))
    assert open_now() <= before + MOST
    for name in names:
        assert os.fstat(directories.enter((name,))).st_ino == (tmp_path / name).stat().st_ino
    directories.close()


def test_what_is_given_is_open_after_a_longer_way(tmp_path: Path, base: int) -> None:
    parts = tuple("d" for _ in range(MOST + 10))
    (tmp_path / "/".join(parts)).mkdir(parents=True)
    directories = OpenDirectories(CountingFileSystem(), base, rule=anyones)
    directories.enter(parts)
    for depth in range(1, len(parts) + 1):
        found = directories.enter(parts[:depth])
        assert os.fstat(found).st_ino == (tmp_path / "/".join(parts[:depth])).stat().st_ino
    directories.close()
