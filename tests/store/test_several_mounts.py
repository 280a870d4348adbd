"""One change over several file systems and bind mounts: still whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pkigen.errors import StoreError, UnsafePathError
from pkigen.store import OsFileSystem, Outcome, Store
from tests.faults.scenes import chosen, wanted
from tests.store.faults import (
    CrashingFileSystem,
    FailingFileSystem,
    SimulatedCrashError,
    count_operations,
    rotating_errors,
)
from tests.store.sample_tree import CA_KEY, LATER, LOCK, make_second, photograph
from tests.store.test_mounts import tmpfs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pkigen.store import FileSystem
    from tests.store.sample_tree import Photograph, Trees

pytestmark = pytest.mark.faults

CRASHES = 90
FAILURES = 60
FILE_SYSTEMS = ("pki", "nodes/cp-1/etc/kubernetes")
BIND_MOUNT = "nodes/cp-3"
BESIDE = ".pkigen-staging"


def files(found: Photograph) -> Photograph:
    """Without the directories: mount points stay when they are empty."""
    return {path: entry for path, entry in found.items() if entry[1] is not None}


class Mounted:
    """The first tree, of which two directories are file systems of their own and one is a bind mount."""

    def __init__(self, trees: Trees, root: Path) -> None:
        self.root = root
        self._trees = trees

    def reset(self) -> Path:
        """The first tree again."""
        for path in sorted(self.root.rglob("*"), reverse=True):
            if path.is_dir():
                with contextlib.suppress(OSError):
                    path.rmdir()
            else:
                path.unlink()
        shutil.copytree(self._trees.original, self.root, symlinks=True, dirs_exist_ok=True)
        return self.root

    def verdict(self) -> str:
        """What the next run finds, and leaves."""
        with Store.open(self.root, command="status", now=LATER):
            pass
        found = photograph(self.root)
        private = {path.name for path in (self.root / ".pkigen").iterdir()}
        if private != {"lock", "ledger.jsonl", "backups"} or any(BESIDE in path for path in found):
            return "broken: something is left"
        if files(found) == files(self._trees.old):
            return "old"
        return "new" if files(found) == files(self._trees.new) else "broken"


@pytest.fixture(scope="module")
def mounted(trees: Trees) -> Iterator[Mounted]:
    root = trees.place / "mounted"
    shutil.copytree(trees.original, root, symlinks=True)
    with contextlib.ExitStack() as stack:
        for path in FILE_SYSTEMS:
            stack.enter_context(tmpfs(root / path, "size=4m,mode=0755"))
        place = root / BIND_MOUNT
        subprocess.run(["mount", "--bind", place, place], check=True)
        stack.callback(subprocess.run, ["umount", "-l", place], check=True)
        yield Mounted(trees, root)


def test_a_change_over_several_mounts(mounted: Mounted) -> None:
    root = mounted.reset()
    devices = {(root / path).stat().st_dev for path in (".", *FILE_SYSTEMS)}
    assert len(devices) == 3
    assert (root / BIND_MOUNT).stat().st_dev in devices
    make_second(root)
    assert mounted.verdict() == "new"
    with Store.open_reading(root) as store:
        (kept,) = store.backups()
        assert store.read_backup(kept.id, CA_KEY).data == b"old ca key"
        assert store.read_backup(kept.id, CA_KEY).mode == 0o600


def test_a_bind_mount_of_the_same_file_system(mounted: Mounted) -> None:
    """The same `st_dev` on both sides, and yet no rename from one to the other."""
    root = mounted.reset()
    path = f"{BIND_MOUNT}/etc/kubernetes/pki/apiserver.key"
    with Store.open(root, command="apply", now=LATER) as store, store.transaction() as change:
        change.stage(path, mode=0o600, content=b"new")
        change.commit()
    assert (root / path).read_bytes() == b"new"


class Blind(OsFileSystem):
    """The control: takes every directory for one of the same mount."""

    def mount(self, dir_fd: int) -> int:  # noqa: ARG002 -- that is the fault
        """One for all."""
        return 0


def test_without_that_look_a_decided_change_could_not_be_finished(mounted: Mounted) -> None:
    root = mounted.reset()
    with (
        Store.open(root, command="apply", now=LATER, filesystem=Blind()) as store,
        store.transaction() as change,
    ):
        change.stage(f"{BIND_MOUNT}/etc/new", mode=0o600, content=b"new")
        with pytest.raises(StoreError, match="cannot finish now"):
            change.commit()
    assert (root / ".pkigen/journal").exists()


def sweep(mounted: Mounted, faults: list[FailingFileSystem | CrashingFileSystem]) -> Counter[str]:
    verdicts: Counter[str] = Counter()
    for fault in faults:
        root = mounted.reset()
        with contextlib.suppress(StoreError, SimulatedCrashError):
            make_second(root, fault)
        assert fault.fired
        verdicts[mounted.verdict()] += 1
    return verdicts


def operations(mounted: Mounted) -> int:
    def change(fs: FileSystem) -> None:
        make_second(mounted.reset(), fs)

    return count_operations(change)


def test_a_crash_at_any_operation(mounted: Mounted) -> None:
    points = operations(mounted)
    places = chosen(range(1, points + 1), wanted(CRASHES))
    verdicts = sweep(mounted, [CrashingFileSystem(at, torn=True) for at in places])
    print(f"several mounts, crashes at {len(places)} of {points} operations: {dict(verdicts)}")  # noqa: T201
    assert set(verdicts) == {"old", "new"}
    assert min(verdicts.values()) > 10


def test_an_error_at_any_operation(mounted: Mounted) -> None:
    points = operations(mounted)
    places = chosen(list(rotating_errors(points)), wanted(FAILURES))
    verdicts = sweep(mounted, [FailingFileSystem(at, error) for at, error in places])
    print(f"several mounts, errors at {len(places)} of {points} operations: {dict(verdicts)}")  # noqa: T201
    assert set(verdicts) == {"old", "new"}
    assert min(verdicts.values()) > 10


def test_a_crash_in_the_recovery(mounted: Mounted) -> None:
    points = operations(mounted)
    verdicts: Counter[str] = Counter()
    for at in chosen(range(points // 2, points + 1), wanted(40)):
        root = mounted.reset()
        with contextlib.suppress(SimulatedCrashError):
            make_second(root, CrashingFileSystem(at))
        for step in (20, 45, 70):
            with (
                contextlib.suppress(SimulatedCrashError),
                Store.open(root, command="x", now=LATER, filesystem=CrashingFileSystem(step)),
            ):
                pass
        verdicts[mounted.verdict()] += 1
    print(f"several mounts, four crashes each: {dict(verdicts)}")  # noqa: T201
    assert set(verdicts) == {"old", "new"}


def test_a_large_change_is_made_durable_on_each_of_them(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One `syncfs` reaches one file system: directories on the others are synced by themselves."""
    monkeypatch.setattr("pkigen.store.files.SYNCED_AT_ONCE", 0)
    root = mounted.reset()
    others = {(root / path).stat().st_dev for path in FILE_SYSTEMS}
    synced: list[int] = []

    class Watching(OsFileSystem):
        def fsync(self, fd: int) -> None:
            synced.append(self.fstat(fd).st_dev)
            super().fsync(fd)

    make_second(root, Watching())  # type: ignore[arg-type]
    assert mounted.verdict() == "new"
    renamed = synced[len(synced) // 2 :]
    assert others <= set(renamed)


def test_a_file_system_that_is_gone_is_asked_for(mounted: Mounted, trees: Trees) -> None:
    """A decided change waits for the file system that holds a part of it."""
    root = mounted.reset()
    at = 1
    while not (root / ".pkigen/journal").exists():
        mounted.reset()
        at += 5
        with contextlib.suppress(SimulatedCrashError):
            make_second(root, CrashingFileSystem(at))
    hidden = root / "pki"
    away = trees.place / "away"
    away.mkdir()
    subprocess.run(["mount", "--bind", away, hidden], check=True)
    try:
        with pytest.raises(StoreError, match="cannot be finished") as caught:
            Store.open(root, command="status", now=LATER)
        assert "mount every file system" in caught.value.hint
    finally:
        subprocess.run(["umount", "-l", hidden], check=True)
    with Store.open_reading(root) as store:
        assert store.recovered is not None
        assert store.recovered.outcome is Outcome.FINISHED
    assert mounted.verdict() == "new"


def test_what_another_change_has_left_is_not_taken(mounted: Mounted) -> None:
    root = mounted.reset()
    (root / "pki" / BESIDE).mkdir(mode=0o700)
    with pytest.raises(UnsafePathError, match="left from an unknown change"):
        make_second(root)
    (root / "pki" / BESIDE).rmdir()
    assert mounted.verdict() == "old"
    with Store.open_reading(root) as store, pytest.raises(UnsafePathError, match="the store's own"):
        store.read(f"pki/{BESIDE}/00000001")


def test_readers_do_not_see_what_is_staged_beside(mounted: Mounted) -> None:
    root = mounted.reset()
    (root / "pki" / BESIDE).mkdir(mode=0o700)
    (root / "pki" / BESIDE / "00000001").touch()
    with Store.open_reading(root) as store:
        assert LOCK in store.walk()
        assert not any(BESIDE in path for path in store.walk())
