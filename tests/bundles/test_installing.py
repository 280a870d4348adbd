"""An install that fails or is killed anywhere leaves the node as it was, or as it is to be."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pkigen.bundles.installing import Difference, compare, plan_going_back, require_ours, roll_back
from pkigen.bundles.record import read_installed
from pkigen.errors import BundleError, PkigenError, StoreError, UsageError
from pkigen.restoring import Rollback
from tests.bundles.site import Site, looking, on_node, put
from tests.core.samples import CP1, NOW, W1
from tests.faults import tracing
from tests.faults.scenes import chosen, wanted
from tests.faults.tracing import Laboratory, points, sample
from tests.store.faults import (
    CrashingFileSystem,
    FailingFileSystem,
    SimulatedCrashError,
    count_operations,
    rotating_errors,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pkigen.bundles.reading import Bundle
    from pkigen.store import FileSystem

CRASHES = 36
FAILURES = 30
KILLS = 16
Files = dict[str, tuple[int, bytes]]


def files_of(root: Path) -> Files:
    """Every file of the node with its mode; the store's own state is left out."""
    return {
        str(path.relative_to(root)): (stat.S_IMODE(path.lstat().st_mode), path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and "store" not in path.relative_to(root).parts
    }


@dataclass
class Second:
    """A node with one bundle installed, and the next bundle: replaced, created, removed and kept files."""

    site: Site
    place: Path
    bundle: Bundle
    file: Path
    old: Files
    new: Files
    counter: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    def copy(self) -> Path:
        root = self.place / f"copy-{next(self.counter)}"
        shutil.copytree(self.place / "old", root, symlinks=True)
        return root

    def verdict(self, root: Path) -> str:
        """What the next run finds, and leaves."""
        with on_node(root):
            pass
        files = files_of(root)
        assert not (root / "var/lib/pkigen/store/staging").exists()
        return "old" if files == self.old else "new" if files == self.new else "broken"


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Second:
    place = tmp_path_factory.mktemp("second")
    site = Site.made(place / "prod", CP1, W1)
    root = place / "old"
    root.mkdir()
    put(site.opened(site.bundle("worker-1"), "worker-1"), root)
    (root / "var/lib/kubelet/config.yaml").unlink()
    # As an earlier version of the cluster might have left it: a file that the next bundle no longer has.
    gone = root / "etc/kubernetes/pki/sa-next.pub"
    gone.write_bytes(b"old")
    record = root / "var/lib/pkigen/installed.json"
    text = record.read_text().replace('"paths": [', '"paths": [\n  "etc/kubernetes/pki/sa-next.pub",')
    record.write_text(text)
    site.world.path("nodes/worker-1/var/lib/kubelet/pki/kubelet.crt").unlink()
    site.world.path("nodes/worker-1/etc/kubernetes/kubelet.conf").unlink()
    site.world.now += timedelta(days=1)
    site.world.apply()
    data = site.bundle("worker-1", created=NOW + timedelta(days=1))
    file = place / "worker-1.bundle"
    file.write_bytes(data)
    identity = place / "identity"
    identity.write_text(site.identities["worker-1"].text)
    identity.chmod(0o600)
    bundle = site.opened(data, "worker-1")
    old = files_of(root)
    shutil.copytree(root, place / "new")
    put(bundle, place / "new")
    return Second(site, place, bundle, file, old, files_of(place / "new"))


def test_the_change_is_of_every_kind(second: Second) -> None:
    with looking(second.place / "old") as store:
        changes = compare(second.bundle.manifest, store, read_installed(store))
    kinds = {change.difference for change in changes}
    assert kinds == {Difference.CREATE, Difference.REPLACE, Difference.REMOVE, Difference.KEEP}
    assert "etc/kubernetes/pki/sa-next.pub" not in second.new
    assert second.old["etc/kubernetes/pki/ca.crt"] == second.new["etc/kubernetes/pki/ca.crt"]


def sweep(second: Second, run: Callable[[Path, FileSystem], object], count: int) -> dict[str, int]:
    """Crash at evenly chosen operations."""
    operations = count_operations(lambda fs: run(second.copy(), fs))
    verdicts = {"old": 0, "new": 0, "broken": 0}
    for at in chosen(range(1, operations + 1), count):
        for torn in (False, True):
            root = second.copy()
            fs = CrashingFileSystem(at, torn=torn)
            with contextlib.suppress(SimulatedCrashError):
                run(root, fs)
            assert fs.fired
            verdicts[second.verdict(root)] += 1
            shutil.rmtree(root)
    return verdicts


def test_a_crash_at_any_operation(second: Second) -> None:
    verdicts = sweep(second, lambda root, fs: put(second.bundle, root, fs), wanted(CRASHES))
    print(f"crashes of an install: {verdicts}")  # noqa: T201
    assert verdicts["broken"] == 0
    assert min(verdicts["old"], verdicts["new"]) > 5


def test_the_sweep_catches_an_installer_without_a_journal(second: Second) -> None:
    def naive(root: Path, fs: FileSystem) -> None:
        base = fs.open(str(root / "var/lib/kubelet/pki"), os.O_RDONLY | os.O_DIRECTORY, 0, None)
        for name in ("kubelet.key", "kubelet.crt"):
            data = second.bundle.files[f"var/lib/kubelet/pki/{name}"]
            fd = fs.open(name, os.O_WRONLY | os.O_TRUNC, 0, base)
            fs.write(fd, memoryview(data))
            fs.close(fd)
        fs.close(base)

    assert sweep(second, naive, 8)["broken"] > 3


def test_a_failure_at_any_operation_changes_nothing(second: Second) -> None:
    operations = count_operations(lambda fs: put(second.bundle, second.copy(), fs))
    told = 0
    for at, error in chosen(list(rotating_errors(operations)), wanted(FAILURES)):
        root = second.copy()
        fs = FailingFileSystem(at, error)
        try:
            put(second.bundle, root, fs)
        except PkigenError:
            told += 1
        verdict = second.verdict(root)
        assert verdict in {"old", "new"}, (at, error, verdict)
        shutil.rmtree(root)
    assert told > 20


@pytest.mark.faults
@pytest.mark.skipif(
    tracing.STRACE is None, reason="strace is not installed: the kernel cannot be asked to kill"
)
def test_a_killed_program(second: Second, tmp_path: Path) -> None:
    """The kernel kills the real command at a system call of its choice."""
    laboratory = Laboratory(tmp_path)
    try:
        _kill_everywhere(second, laboratory)
    finally:
        laboratory.close()


def _kill_everywhere(second: Second, laboratory: Laboratory) -> None:
    def arguments(root: Path) -> list[str]:
        identity = second.place / "identity"
        options = ["--root", str(root), "--node", "worker-1", "--identity", str(identity)]
        return ["bundle", "install", str(second.file), *options, "--max-age", "900000h", "--yes"]

    root = second.copy()
    done = laboratory.run(arguments(root))
    assert done.status == 0, done.err
    assert files_of(root) == second.new
    everything = points(done.trace, root.name)
    places = sample(everything, wanted(KILLS))
    roots = [second.copy() for _ in places]
    killed = 0
    verdicts = {"old": 0, "new": 0, "broken": 0}

    def kill(number: int) -> int:
        return laboratory.run(arguments(roots[number]), places[number].killed()).status

    for root, status in zip(roots, laboratory.all(kill, len(places)), strict=True):
        killed += status == -9
        verdicts[second.verdict(root)] += 1
    print(f"kills of an install: {killed} of {len(everything)} calls, {verdicts}")  # noqa: T201
    assert killed == len(places)
    assert verdicts["broken"] == 0


def test_keys_are_never_readable_in_between(second: Second) -> None:
    """Somebody looks at every file all the time, while the umask hides nothing."""
    before = os.umask(0)
    root = second.copy()
    seen: set[str] = set()
    looks = 0
    stop = threading.Event()

    def look() -> None:
        nonlocal looks
        while not stop.is_set():
            looks += 1
            for directory, _, names in os.walk(root):
                for name in names:
                    with contextlib.suppress(OSError):
                        path = os.path.join(directory, name)  # noqa: PTH118 -- as fast as it can be
                        mode = os.lstat(path).st_mode
                        if not mode & 0o077:
                            continue
                        with open(path, "rb") as stream:  # noqa: PTH123
                            if b"PRIVATE KEY" in stream.read():
                                seen.add(path)

    watcher = threading.Thread(target=look)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        watcher.start()
        for _ in range(3):
            put(second.bundle, root)
            with on_node(root) as store:
                roll_back(plan_going_back(store, None), store)
    finally:
        stop.set()
        watcher.join()
        os.umask(before)
        sys.setswitchinterval(interval)
    assert looks > 3
    assert not seen


def test_going_back(second: Second) -> None:
    root = second.copy()
    backup = put(second.bundle, root)
    assert backup is not None
    with on_node(root) as store:
        planned = plan_going_back(store, None)
        require_ours(planned, directory=None)
        left = roll_back(planned, store)
    assert files_of(root) == second.old
    with on_node(root) as store:
        roll_back(plan_going_back(store, left), store)
    assert files_of(root) == second.new
    with on_node(root) as store, pytest.raises(UsageError, match="no backup '20200101T000000Z'"):
        plan_going_back(store, "20200101T000000Z")


def test_the_first_install_goes_without_a_trace(second: Second, node: Path) -> None:
    put(second.bundle, node)
    with on_node(node) as store:
        roll_back(plan_going_back(store, None), store)
    assert files_of(node) == {}
    with on_node(node) as store:
        roll_back(plan_going_back(store, None), store)
    assert set(files_of(node)) == set(second.new)


def test_nothing_to_go_back_to(node: Path) -> None:
    with on_node(node) as store, pytest.raises(UsageError, match="no backup to go back to"):
        plan_going_back(store, None)


def test_a_planted_backup_is_not_restored() -> None:
    planned = Rollback(backup="x", undone=(), restores=(("etc/shadow", "x"),), removes=())
    with pytest.raises(BundleError, match="no file of a Kubernetes node"):
        require_ours(planned, directory=None)


@pytest.mark.parametrize(
    "plant", ["link", "link above", "directory", "fifo", "hard link", "others may write"]
)
def test_plants_on_the_node_are_refused(second: Second, plant: str) -> None:
    root = second.copy()
    outside = root.parent / f"outside-{root.name}"
    outside.mkdir()
    target = root / "var/lib/kubelet/pki/kubelet.key"
    match plant:
        case "link":
            target.unlink()
            target.symlink_to(outside / "key")
        case "link above":
            shutil.move(target.parent, outside / "pki")
            target.parent.symlink_to(outside / "pki")
        case "directory":
            target.unlink()
            target.mkdir()
        case "fifo":
            target.unlink()
            os.mkfifo(target)
        case "hard link":
            os.link(target, outside / "key")
        case _:
            target.parent.chmod(0o777)
    before = sorted(str(path) for path in outside.rglob("*"))
    with pytest.raises(StoreError):
        put(second.bundle, root)
    assert sorted(str(path) for path in outside.rglob("*")) == before
    assert not any(path.is_symlink() for path in outside.rglob("*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own files for others")
def test_owners_are_put_right(second: Second) -> None:
    root = second.copy()
    put(second.bundle, root)
    victim = root / "etc/kubernetes/kubelet.conf"
    os.chown(victim, 1000, 1000)
    victim.with_name("pki").joinpath("ca.crt").chmod(0o666)
    with looking(root) as store:
        changes = {each.path: each.difference for each in compare(second.bundle.manifest, store, None)}
    assert changes["etc/kubernetes/kubelet.conf"] is Difference.MODE
    assert changes["etc/kubernetes/pki/ca.crt"] is Difference.MODE
    put(second.bundle, root)
    assert (victim.stat().st_uid, victim.stat().st_gid) == (0, 0)
    assert files_of(root) == second.new


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files to give away")
def test_a_group_that_is_not_roots_is_refused(second: Second) -> None:
    root = second.copy()
    os.setegid(1000)
    try:
        with pytest.raises(StoreError, match="would not be root's"):
            put(second.bundle, root)
    finally:
        os.setegid(0)
    assert second.verdict(root) == "old"
