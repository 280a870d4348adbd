"""Every operation of a change fails, or is the last of its process: the tree is the old or the new one."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.errors import StoreError
from pkigen.store import Outcome, Store
from tests.store.faults import (
    NEVER,
    CountingFileSystem,
    CrashingFileSystem,
    FailingFileSystem,
    SimulatedCrashError,
    count_operations,
    rotating_errors,
)
from tests.store.sample_tree import CA_KEY, LATER, Trees, ledger, make_first, make_second, photograph

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pkigen.store import FileSystem, Recovery

pytestmark = pytest.mark.faults


class Verdicts:
    """Counts what a sweep saw."""

    def __init__(self) -> None:
        self.points = self.fired = self.old = self.new = self.broken = self.recovered = self.silent = 0

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in vars(self).items())


def reopen(root: Path) -> Recovery | None:
    with Store.open(root, command="status", now=LATER) as store:
        return store.recovered


def count_after_recovery(trees: Trees, root: Path, verdicts: Verdicts) -> None:
    """Recover, then compare with both trees, the ledger, and the backup of what was replaced."""
    recovered = reopen(root)
    verdicts.recovered += recovered is not None
    count_as_it_is(trees, root, verdicts)
    with Store.open(root, command="status", now=LATER) as store:
        assert store.recovered is None
        kept = {info.id: info for info in store.backups()}
        if photograph(root) == trees.new:
            assert store.read_backup("20261123T014000Z", CA_KEY).data == b"old ca key"
            assert ledger(root) == b"1\n2\n"
        else:
            assert set(kept) == {"20261122T014000Z"}
            assert ledger(root) == b"1\n"
    private = {path.name for path in (root / ".pkigen").iterdir()}
    assert private == {"lock", "ledger.jsonl", "backups"}
    assert all(path.stat().st_nlink == 1 for path in root.rglob("*") if path.is_file())


def count_as_it_is(trees: Trees, root: Path, verdicts: Verdicts) -> None:
    found = photograph(root)
    verdicts.old += found == trees.old
    verdicts.new += found == trees.new
    verdicts.broken += found not in (trees.old, trees.new)


def sweep(
    trees: Trees,
    change: Callable[[Path, FileSystem | None], None],
    fault: Callable[[int, int], CrashingFileSystem | FailingFileSystem],
    count: Callable[[Trees, Path, Verdicts], None] = count_after_recovery,
    *,
    stride: int = 1,
) -> Verdicts:
    verdicts = Verdicts()
    root = trees.copy("counted")
    verdicts.points = count_operations(lambda fs: change(root, fs))
    shutil.rmtree(root)
    verdicts.points = -(-verdicts.points // stride)
    for at, error in islice(rotating_errors(verdicts.points * stride), 0, None, stride):
        root = trees.copy("swept")
        faulty = fault(at, error)
        try:
            change(root, faulty)
        except (StoreError, SimulatedCrashError):
            pass
        except OSError:
            assert change is naive_change, faulty.operations[-3:]
        else:
            verdicts.silent += 1
        assert faulty.fired, at
        verdicts.fired += 1
        count(trees, root, verdicts)
        shutil.rmtree(root)
    return verdicts


def test_error_at_every_operation(trees: Trees) -> None:
    verdicts = sweep(trees, make_second, FailingFileSystem)
    print(f"errors: {verdicts}")  # noqa: T201
    assert verdicts.points == verdicts.fired == verdicts.old + verdicts.new
    assert verdicts.points > 400
    assert verdicts.broken == 0
    assert verdicts.silent <= 3  # emptying the lock file may fail: the lock itself goes with its descriptor
    assert verdicts.old > 100
    assert verdicts.new > 50


def test_everything_fails_from_an_operation_on(trees: Trees) -> None:
    """Undoing fails as well; the next run does it."""
    verdicts = sweep(
        trees, make_second, lambda at, error: FailingFileSystem(at, error, lasting=True), stride=3
    )
    print(f"lasting errors: {verdicts}")  # noqa: T201
    assert verdicts.points == verdicts.fired == verdicts.old + verdicts.new
    assert verdicts.silent == verdicts.broken == 0
    assert verdicts.recovered > 100


def test_crash_at_every_operation(trees: Trees) -> None:
    verdicts = sweep(trees, make_second, lambda at, _: CrashingFileSystem(at, torn=True))
    print(f"crashes: {verdicts}")  # noqa: T201
    assert verdicts.points == verdicts.fired == verdicts.old + verdicts.new
    assert verdicts.silent == verdicts.broken == 0
    assert verdicts.recovered > 100


@pytest.mark.parametrize("kind", ["error", "crash"])
def test_a_large_change_is_made_durable_together(
    trees: Trees, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What holds for files that are synced one by one holds for those that are synced together."""
    monkeypatch.setattr("pkigen.store.files.SYNCED_AT_ONCE", 0)
    kinds: dict[str, Callable[[int, int], FailingFileSystem | CrashingFileSystem]] = {
        "error": FailingFileSystem,
        "crash": lambda at, _: CrashingFileSystem(at, torn=True),
    }
    verdicts = sweep(trees, make_second, kinds[kind], stride=2)
    print(f"large change, {kind}: {verdicts}")  # noqa: T201
    assert verdicts.points == verdicts.fired == verdicts.old + verdicts.new
    assert verdicts.points > 150
    assert verdicts.broken == 0


@pytest.mark.parametrize(("expected", "fsyncs"), [(0, 30), (100, 20), (1000, 20)])
def test_a_large_change_waits_for_the_disk_a_few_times(
    memory: Path, monkeypatch: pytest.MonkeyPatch, expected: int, fsyncs: int
) -> None:
    counts: dict[str, int] = {}

    class Watching(CountingFileSystem):
        def _do(self, operation: str, *arguments: Any) -> Any:
            counts[operation] = counts.get(operation, 0) + 1
            return super()._do(operation, *arguments)

    monkeypatch.setattr("pkigen.store.files.SYNCED_AT_ONCE", 10)
    with (
        Store.open(memory / f"large-{expected}", command="init", now=LATER, filesystem=Watching()) as store,
        store.transaction(expected=expected) as transaction,
    ):
        for number in range(100):
            transaction.stage(f"nodes/n-{number}/etc/file", mode=0o600, content=b"content")
        transaction.commit()
    assert counts["syncfs"] == 3  # staged files, directories, renames
    assert counts["fsync"] < fsyncs


def test_what_was_expected_and_did_not_come_is_durable_all_the_same(memory: Path) -> None:
    counts: dict[str, int] = {}

    class Watching(CountingFileSystem):
        def _do(self, operation: str, *arguments: Any) -> Any:
            counts[operation] = counts.get(operation, 0) + 1
            return super()._do(operation, *arguments)

    with (
        Store.open(memory / "small", command="init", now=LATER, filesystem=Watching()) as store,
        store.transaction(expected=1000) as transaction,
    ):
        transaction.stage("pki.lock", mode=0o600, content=b"content")
        assert "syncfs" not in counts
        transaction.commit()
    assert counts["syncfs"] == 1


def naive_change(root: Path, filesystem: FileSystem | None) -> None:
    """The control: truncates and writes in place, as kubeadm does."""
    assert filesystem is not None
    directory = filesystem.open(str(root), os.O_RDONLY, 0, None)
    try:
        for path, content in ((CA_KEY, b"new ca key"), ("pki.lock", b"new lock")):
            fd = filesystem.open(path, os.O_WRONLY | os.O_TRUNC, 0, directory)
            try:
                filesystem.write(fd, memoryview(content))
            finally:
                filesystem.close(fd)
    finally:
        filesystem.close(directory)


def test_the_harness_sees_a_naive_writer_fail(trees: Trees) -> None:
    crashes = sweep(trees, naive_change, lambda at, _: CrashingFileSystem(at), count_as_it_is)
    errors = sweep(trees, naive_change, FailingFileSystem, count_as_it_is)
    print(f"control: {crashes}; {errors}")  # noqa: T201
    assert crashes.points == crashes.fired
    assert crashes.broken > 3
    assert errors.broken > 3


def test_crash_in_recovery(trees: Trees) -> None:
    root = trees.copy("counted")
    points = count_operations(lambda fs: make_second(root, fs))
    shutil.rmtree(root)
    first_crashes = second_crashes = 0
    verdicts = Verdicts()
    for at in range(3, points + 1, 37):
        crashed = trees.copy("crashed")
        with pytest.raises(SimulatedCrashError):
            make_second(crashed, CrashingFileSystem(at))
        first_crashes += 1
        probe = trees.place / "probe"
        shutil.copytree(crashed, probe)
        steps = count_operations(
            lambda fs: Store.open(probe, command="status", now=LATER, filesystem=fs).close()  # noqa: B023
        )
        shutil.rmtree(probe)
        for step in range(1, steps + 1, 4):
            root = trees.place / "swept"
            shutil.copytree(crashed, root)
            faulty = CrashingFileSystem(step)
            with (
                pytest.raises(SimulatedCrashError),
                Store.open(root, command="x", now=LATER, filesystem=faulty),
            ):
                pass
            second_crashes += faulty.fired
            verdicts.fired += faulty.fired
            verdicts.points += 1
            count_after_recovery(trees, root, verdicts)
            shutil.rmtree(root)
        shutil.rmtree(crashed)
    print(f"second crashes: {second_crashes} after {first_crashes}; {verdicts}")  # noqa: T201
    assert second_crashes == verdicts.points == verdicts.old + verdicts.new
    assert verdicts.old > 100
    assert verdicts.new > 100


@pytest.mark.parametrize("kind", ["crash", "error"])
def test_first_change_at_every_operation(memory: Path, kind: str) -> None:
    """Without a tree before, what is left is nothing, an empty root, or the whole tree."""
    root = memory / "fresh"
    points = count_operations(lambda fs: make_first(root, fs))
    whole = photograph(root)
    shutil.rmtree(root)
    nothing = complete = 0
    for at, error in rotating_errors(points):
        faulty = CrashingFileSystem(at) if kind == "crash" else FailingFileSystem(at, error)
        with contextlib.suppress(StoreError, SimulatedCrashError):
            make_first(root, faulty)
        assert faulty.fired
        if root.exists():
            recovered = reopen(root)
            if recovered and recovered.outcome is Outcome.FINISHED:
                assert recovered.command == "init"
        found = photograph(root) if root.exists() else {}
        assert found in ({}, whole), at
        nothing += not found
        complete += found == whole
        shutil.rmtree(root, ignore_errors=True)
    print(f"first change, {kind}: {points} points, {nothing} nothing, {complete} complete")  # noqa: T201
    assert nothing + complete == points
    assert nothing > 100


def test_a_failing_undo_does_not_hide_the_first_error(trees: Trees) -> None:
    root = trees.copy("undo")
    faulty = FailingFileSystem(NEVER, errno.EIO)
    with Store.open(root, command="apply", now=LATER, filesystem=faulty) as store:
        with (  # noqa: PT012 - the change must be left by the error
            pytest.raises(StoreError, match=r"cannot write .*ca\.key: input/output error") as caught,
            store.transaction() as change,
        ):
            faulty.arm(1, lasting=True)
            change.stage(CA_KEY, mode=0o600, content=b"new")
        assert any("the next run does it" in note for note in caught.value.__notes__)
        faulty.disarm()
    reopen(root)
    assert photograph(root) == trees.old
    shutil.rmtree(root)
