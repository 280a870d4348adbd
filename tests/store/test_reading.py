from __future__ import annotations

import errno
import inspect
import os
import socket
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pkigen.errors import StoreError, UnsafePathError
from pkigen.store import MissingError, RefusedError, Store, UnreadableError
from tests.store.faults import CountingFileSystem, FailingFileSystem
from tests.store.sample_tree import CA_CRT, CA_KEY, CP1_KEY, LATER, LOCK, NOW, make_second, photograph

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_as_it_is(tree: Path) -> None:
    with Store.open_reading(tree) as store:
        found = store.read(CA_KEY)
    assert (found.data, found.mode, found.size, found.links) == (b"old ca key", 0o600, 10, 1)
    assert (found.uid, found.gid) == (os.geteuid(), (tree / CA_KEY).stat().st_gid)
    assert "old ca key" not in repr(found)
    assert not hasattr(found, "__dict__")


def test_several_threads_read_what_they_ask_for(tree: Path) -> None:
    """More directories than stay open: each thread would close those that the others read in."""
    paths = [f"nodes/n-{number}/etc/file" for number in range(60)]
    for path in paths:
        (tree / path).parent.mkdir(parents=True)
        (tree / path).write_text(path)
    with Store.open_reading(tree) as store, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda path: store.read(path).data.decode(), paths * 20))
    assert found == paths * 20


def test_limits(tree: Path) -> None:
    (tree / CA_CRT).write_bytes(b"x" * 200_000)
    with Store.open_reading(tree) as store:
        assert store.read(CA_CRT, limit=200_000).size == 200_000
        with pytest.raises(UnreadableError, match="is larger than 199999 bytes"):
            store.read(CA_CRT, limit=199_999)


def test_a_huge_file_is_not_read(tree: Path) -> None:
    os.truncate(tree / CA_CRT, 1 << 40)
    recording = CountingFileSystem()
    with (
        Store.open_reading(tree, filesystem=recording) as store,
        pytest.raises(UnreadableError, match="is larger"),
    ):
        store.read(CA_CRT)
    assert recording.operations.count("read") < 20


def plant_socket(path: Path) -> None:
    os.chdir(path.parent)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(path.name)


PLANTS = {
    "is a directory": lambda path: path.mkdir(),
    "is a symbolic link": lambda path: path.symlink_to("/etc/passwd"),
    "is a FIFO": os.mkfifo,
    "is a socket": plant_socket,
}


@pytest.mark.parametrize("reason", PLANTS)
def test_what_is_no_file(tree: Path, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    (tree / CA_KEY).unlink()
    PLANTS[reason](tree / CA_KEY)
    with Store.open_reading(tree) as store:
        with pytest.raises(UnreadableError, match=f"ca.key {reason}") as caught:
            store.read(CA_KEY)
        assert caught.value.reason == reason
        assert CA_KEY in store.walk() or reason == "is a directory"
        assert store.read(CA_CRT).data


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")
@pytest.mark.parametrize(
    ("kind", "reason"), [(stat.S_IFCHR, "a character device"), (stat.S_IFBLK, "a block device")]
)
def test_devices_are_not_opened(tree: Path, kind: int, reason: str) -> None:
    try:
        os.mknod(tree / "node", kind | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no device nodes in this container")
    recording = CountingFileSystem()
    with Store.open_reading(tree, filesystem=recording) as store:
        opened = recording.operations.count("open")
        with pytest.raises(UnreadableError, match=f"node is {reason}"):
            store.read("node")
        assert recording.operations.count("open") == opened


def test_no_link_on_the_way_is_followed(tree: Path) -> None:
    (tree / "nodes/cp-1").rename(tree / "moved")
    (tree / "nodes/cp-1").symlink_to(tree / "moved")
    with Store.open_reading(tree) as store:
        with pytest.raises(UnreadableError, match="nodes/cp-1 is a symbolic link"):
            store.read(CP1_KEY)
        with pytest.raises(UnsafePathError, match="nodes/cp-1 is a symbolic link"):
            list(store.walk("nodes/cp-1/etc"))
        assert "nodes/cp-1" in store.walk()
        with pytest.raises(UnreadableError, match=r"pki\.lock is not a directory"):
            store.read(f"{LOCK}/below")


def test_missing(tree: Path) -> None:
    with Store.open_reading(tree) as store:
        for path in ("pki/none", "none/none"):
            with pytest.raises(MissingError, match="none does not exist"):
                store.read(path)
        assert list(store.walk("none/none")) == []


@pytest.mark.parametrize("operation", ["open", "read", "fstat"])
def test_what_a_failing_disk_holds_is_unknown(tree: Path, operation: str) -> None:
    failing = FailingFileSystem(10**9, errno.EIO)
    with Store.open_reading(tree, filesystem=failing) as store:
        failing.arm(1, only=frozenset({operation}))
        with pytest.raises(RefusedError, match=r"cannot read .*: input/output error") as caught:
            store.read(CA_KEY)
        assert not isinstance(caught.value, UnreadableError)  # it must not be taken for damaged
        assert store.read(CA_KEY).data == b"old ca key"


def test_walk_is_sorted_and_leaves_the_store_out(tree: Path) -> None:
    for name in ("a", "a-b", "a.b", "a0"):
        (tree / f"{name}.d").mkdir()
        (tree / f"{name}.d/x").touch()
        (tree / name).touch()
    (tree / "nodes/.pkigen").mkdir()
    (tree / "nodes/.pkigen/foreign").touch()
    (tree / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "pipe")
    with Store.open_reading(tree) as store:
        names = list(store.walk())
        below = list(store.walk("nodes"))
    assert names == sorted(names)
    assert {"dangling", "pipe", "nodes/.pkigen/foreign", "a.d/x", LOCK} <= set(names)
    assert not any(name.startswith(".pkigen") for name in names)
    assert below == [name for name in names if name.startswith("nodes/")]


def test_no_depth_of_directories_exhausts_the_stack(tree: Path) -> None:
    deep = tree / "nodes" / "/".join("d" * 300)
    deep.mkdir(parents=True)
    (deep / "file").touch()
    deep.chmod(0o777)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        with Store.open_reading(tree) as store:
            assert str(deep.relative_to(tree) / "file") in store.walk("nodes")
            (found,) = (each for each in store.lapses(["nodes"]) if "/d" in each.path)
    finally:
        sys.setrecursionlimit(limit)
    assert (found.path, found.mode) == (str(deep.relative_to(tree)), 0o777)


def test_walk_tells_a_failing_disk(tree: Path) -> None:
    failing = FailingFileSystem(10**9, errno.EIO)
    with Store.open_reading(tree, filesystem=failing) as store:
        failing.arm(1, only=frozenset({"scan"}))
        with pytest.raises(StoreError, match=r"cannot list .*: input/output error"):
            list(store.walk("pki"))


def test_reading_makes_nothing(tree: Path) -> None:
    before = photograph(tree, private=True)
    with Store.open_reading(tree) as store:
        list(store.walk())
        assert store.backups() == ()
        with pytest.raises(StoreError, match="open for reading only"):
            store.transaction()
    assert photograph(tree, private=True) == before


def test_reading_without_a_store(root: Path) -> None:
    (root / "pki").mkdir(parents=True)
    (root / CA_CRT).write_bytes(b"ca")
    with Store.open_reading(root) as store:
        assert list(store.walk()) == [CA_CRT]
        assert store.read(CA_CRT).data == b"ca"
        assert store.backups() == ()
        with pytest.raises(MissingError):
            store.read_backup("20261123T014000Z", CA_CRT)
    assert [path.name for path in root.iterdir()] == ["pki"]


def test_reading_without_a_lock_file(tree: Path) -> None:
    make_second(tree)
    (tree / ".pkigen/lock").unlink()
    with Store.open_reading(tree) as store:
        assert len(store.backups()) == 1
    assert not (tree / ".pkigen/lock").exists()


def test_reading_what_does_not_exist(root: Path) -> None:
    with pytest.raises(MissingError, match="prod does not exist") as caught:
        Store.open_reading(root)
    assert "init" in caught.value.hint
    assert not root.exists()


def test_the_directory_above_must_exist(root: Path) -> None:
    with pytest.raises(MissingError, match="prod does not exist") as caught:
        Store.open(root / "below", command="init", now=NOW)
    assert "mkdir -p" in caught.value.hint


def test_a_root_that_is_a_file(root: Path) -> None:
    root.write_text("")
    with pytest.raises(UnsafePathError, match="prod is a file"):
        Store.open(root, command="init", now=NOW)
    with pytest.raises(UnsafePathError, match="prod is a file"):
        Store.open_reading(root)


def test_root_by_way_of_links_and_dots(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree.parent / "parent").symlink_to(tree.parent)
    with Store.open(tree.parent / "parent/prod", command="apply", now=LATER) as store:
        assert store.read(CA_KEY).data
    monkeypatch.chdir(tree)
    for dots in (".", "../prod", "pki/.."):
        with Store.open(type(tree)(dots), command="apply", now=LATER) as store:
            assert store.read(CA_KEY).data
    monkeypatch.chdir(tree.parent)
    (tree.parent / "link").symlink_to("prod")
    with pytest.raises(UnsafePathError, match="link is a symbolic link"):
        Store.open(type(tree)("link"), command="apply", now=LATER)
    with pytest.raises(UnsafePathError, match="link is a symbolic link"):
        Store.open_reading(type(tree)("link"))


def test_modes_that_are_a_finding_do_not_stop_a_reader(tree: Path) -> None:
    (tree / "pki").chmod(0o777)
    (tree / ".pkigen").chmod(0o777)
    with Store.open_reading(tree) as store:
        assert store.read(CA_KEY).data == b"old ca key"
