"""Real file systems that are full, read-only or somewhere else; only root can mount them."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from pkigen.errors import StoreError, UnsafePathError
from pkigen.store import Outcome, Store
from tests.store.faults import CrashingFileSystem, SimulatedCrashError
from tests.store.sample_tree import CA_KEY, LATER, LOCK, NOW, make_first, make_second, photograph

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.store.sample_tree import Trees

pytestmark = pytest.mark.faults


@contextlib.contextmanager
def tmpfs(place: Path, options: str) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("only root mounts")
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no mounts here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def remount(place: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", place], check=True)


def fill(change_size: int, root: Path) -> None:
    with Store.open(root, command="apply", now=LATER) as store, store.transaction() as change:
        for number in range(8):
            change.stage(f"nodes/n-{number}/etc/x.key", mode=0o600, content=b"x" * change_size)
        change.stage(CA_KEY, mode=0o600, content=b"new ca key")
        change.commit()


def fill_up(change_size: int, root: Path) -> str:
    """Make a change for which there may be no room; what is refused changed nothing."""
    old = photograph(root, private=True)
    refusal = None
    try:
        fill(change_size, root)
    except StoreError as error:
        refusal = error
    if refusal is None:
        assert (root / CA_KEY).read_bytes() == b"new ca key"
        return "changed"
    assert "no space left on device" in refusal.message
    assert str(root) in refusal.message
    assert "free space" in refusal.hint
    assert photograph(root, private=True) == old
    return "refused"


def test_full_disks_of_many_sizes(tmp_path: Path) -> None:
    outcomes = []
    for inodes in range(30, 100, 3):
        with tmpfs(tmp_path / "m", f"size=4m,nr_inodes={inodes}"):
            root = tmp_path / "m/prod"
            make_first(root)
            outcomes.append(fill_up(100, root))
    for size in range(60, 160, 8):
        with tmpfs(tmp_path / "m", f"size={size}k"):
            root = tmp_path / "m/prod"
            make_first(root)
            outcomes.append(fill_up(5000, root))
    print(f"full disks: {outcomes.count('refused')} refused, {outcomes.count('changed')} changed")  # noqa: T201
    assert outcomes.count("refused") > 10
    assert outcomes.count("changed") > 3


def test_a_full_disk_leaves_no_half_tree_on_a_first_run(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "m", "size=4m,nr_inodes=14"):
        with pytest.raises(StoreError, match="no space left on device"):
            make_first(tmp_path / "m/prod")
        assert list((tmp_path / "m").iterdir()) == []


def test_an_interrupted_change_is_undone_on_a_full_disk(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "m", "size=1m"):
        root = tmp_path / "m/prod"
        make_first(root)
        with pytest.raises(SimulatedCrashError):
            make_second(root, CrashingFileSystem(100))
        with contextlib.suppress(OSError), (tmp_path / "m/filling").open("wb", buffering=0) as filling:
            while filling.write(b"x" * 4096):
                pass
        with Store.open(root, command="apply", now=LATER) as store:
            assert store.recovered is not None
        assert not (root / ".pkigen/staging").exists()


def test_a_read_only_file_system(tmp_path: Path, trees: Trees) -> None:
    with tmpfs(tmp_path / "m", "size=4m"):
        root = tmp_path / "m/prod"
        shutil.copytree(trees.original, root)
        interrupted = tmp_path / "m/interrupted"
        shutil.copytree(trees.original, interrupted)
        at = 1
        while not (interrupted / ".pkigen/journal").exists():
            at += 10
            with contextlib.suppress(SimulatedCrashError):
                make_second(interrupted, CrashingFileSystem(at))
        remount(tmp_path / "m", "ro")
        for path in (root, tmp_path / "m/new"):
            with pytest.raises(StoreError, match="read-only file system") as caught:
                make_second(path)
            assert "remount" in caught.value.hint
        with Store.open_reading(root) as store:
            assert store.read(CA_KEY).data == b"old ca key"
            assert photograph(root) == trees.old
        with pytest.raises(StoreError, match="has an unfinished change, and cannot be written") as caught:
            Store.open_reading(interrupted)
        assert "writable" in caught.value.hint
        remount(tmp_path / "m", "rw")
        with Store.open_reading(interrupted) as store:
            assert store.recovered is not None
            assert store.recovered.outcome is Outcome.FINISHED
            assert photograph(interrupted) == trees.new


def test_a_read_only_mount_inside_is_refused_before_the_decision(tree: Path) -> None:
    (tree / "addons").mkdir()
    old = photograph(tree)
    with (  # noqa: PT012 - the whole change must be refused
        tmpfs(tree / "addons", "size=1m,ro"),
        pytest.raises(UnsafePathError, match="addons is not writable"),
        Store.open(tree, command="apply", now=LATER) as store,
        store.transaction() as change,
    ):
        change.stage("addons/a.yaml", mode=0o644, content=b"")
        change.stage(LOCK, mode=0o644, content=b"new")
        change.commit()
    assert photograph(tree) == old


def test_a_limit_on_file_sizes(tree: Path) -> None:
    old = photograph(tree, private=True)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(StoreError, match="file too large") as caught:
            fill(10_000, tree)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert "ulimit -f" in caught.value.hint
    assert photograph(tree, private=True) == old


def test_a_limit_on_open_files(tree: Path) -> None:
    old = photograph(tree, private=True)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/", os.O_RDONLY)
    os.close(lowest)
    refused = 0
    for spare in range(1, 14):
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, limits[1]))
        try:
            fill(10, tree)
        except StoreError as error:
            refused += 1
            assert os.strerror(errno.EMFILE).lower() in error.message  # noqa: PT017 - how many fail is the point
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        if photograph(tree) != {path: entry for path, entry in old.items() if not path.startswith(".pkigen")}:
            break
    assert refused > 5
    with Store.open(tree, command="apply", now=NOW):
        pass
    assert (tree / CA_KEY).read_bytes() in (b"old ca key", b"new ca key")


def test_a_directory_that_cannot_be_written_is_found_before_the_decision(tree: Path) -> None:
    if os.geteuid() == 0:
        (tree / "addons").mkdir()
        if subprocess.run(["chattr", "+i", tree / "addons"], check=False, capture_output=True).returncode:
            pytest.skip("no immutable files here")
    else:
        (tree / "addons").mkdir(mode=0o500)
    try:
        with (  # noqa: PT012 - the whole change must be refused
            pytest.raises(UnsafePathError, match="addons is not writable"),
            Store.open(tree, command="apply", now=LATER) as store,
            store.transaction() as change,
        ):
            change.stage("addons/a.yaml", mode=0o644, content=b"")
            change.commit()
    finally:
        subprocess.run(["chattr", "-i", tree / "addons"], check=False, capture_output=True)
