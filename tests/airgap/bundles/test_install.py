"""An install or a rollback that fails or is killed anywhere leaves the node as it was, or as it is to be."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from pkigen.airgap.bundles.install import Difference, compare, plan_bundle_rollback, require_ours, roll_back
from pkigen.airgap.bundles.record import read_installed
from pkigen.errors import BundleError, PkigenError, StoreError, UsageError
from pkigen.reconcile.restore import Restore, Rollback
from tests.airgap.bundles.bundle_site import BundleSite, looking, on_node, put
from tests.faults import tracing
from tests.faults.scenes import chosen, wanted
from tests.faults.tracing import Laboratory, points, sample
from tests.samples import CP1, NOW, W1
from tests.store.faults import (
    CrashingFileSystem,
    FailingFileSystem,
    SimulatedCrashError,
    count_operations,
    rotating_errors,
)
from tests.store.test_mounts import tmpfs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.airgap.bundles.opened import Bundle
    from pkigen.store import FileSystem

CRASHES = 24
FAILURES = 18
KILLS = 10
MOUNTS = ("var", "var/lib/kubelet")
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

    site: BundleSite
    place: Path
    bundle: Bundle
    file: Path
    old: Files
    new: Files
    counter: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    def copy(self, name: str = "old") -> Path:
        root = self.place / f"copy-{next(self.counter)}"
        shutil.copytree(self.place / name, root, symlinks=True)
        return root


@dataclass
class Scene:
    """A command on a node, the files before and after it, and which directories are file systems."""

    second: Second
    name: str
    mounts: tuple[str, ...] = ()

    @property
    def before(self) -> Files:
        return self.second.old if self.name == "install" else self.second.new

    @property
    def after(self) -> Files:
        return self.second.new if self.name == "install" else self.second.old

    def run(self, root: Path, filesystem: FileSystem | None = None) -> None:
        if self.name == "install":
            put(self.second.bundle, root, filesystem)
            return
        with on_node(root, filesystem) as store:
            roll_back(plan_bundle_rollback(store, None), store)

    def arguments(self, root: Path) -> list[str]:
        if self.name == "rollback":
            return ["airgap", "bundle", "rollback", "--root", str(root), "--yes"]
        identity = self.second.place / "identity"
        options = ["--root", str(root), "--node", "worker-1", "--identity", str(identity)]
        return [
            "airgap",
            "bundle",
            "install",
            str(self.second.file),
            *options,
            "--max-age",
            "900000h",
            "--yes",
        ]

    def begin(self) -> Path:
        """A node of its own."""
        source = "old" if self.name == "install" else "new"
        if not self.mounts:
            return self.second.copy(source)
        root = self.second.place / f"mounted-{next(self.second.counter)}"
        for path in self.mounts:
            (root / path).mkdir(parents=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", root / path], check=True)
        shutil.copytree(self.second.place / source, root, symlinks=True, dirs_exist_ok=True)
        return root

    def end(self, root: Path) -> None:
        for path in reversed(self.mounts):
            # Lazily: where `close` itself was made to fail, this process may still hold a directory.
            subprocess.run(["umount", "-l", root / path], check=True)
        shutil.rmtree(root)

    def verdict(self, root: Path) -> str:
        """What the next run finds, and leaves."""
        with on_node(root):
            pass
        files = files_of(root)
        assert not (root / "var/lib/pkigen/store/staging").exists()
        assert not list(root.rglob(".pkigen-staging"))
        return "old" if files == self.before else "new" if files == self.after else "broken"


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Second:
    place = tmp_path_factory.mktemp("second")
    site = BundleSite.made(place / "prod", CP1, W1)
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


@pytest.fixture(params=["install", "rollback", "install, several mounts", "rollback, several mounts"])
def scene(request: pytest.FixtureRequest, second: Second, tmp_path: Path) -> Iterator[Scene]:
    name, _, mounts = request.param.partition(", ")
    if mounts:
        with tmpfs(tmp_path / "probe", "size=4k"):
            pass
    yield Scene(second, name, MOUNTS if mounts else ())
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):  # what a failed test has left
        if (place := line.split()[1]).startswith(f"{second.place}/"):
            subprocess.run(["umount", "-l", place], check=True)


def test_the_change_is_of_every_kind(second: Second) -> None:
    with looking(second.place / "old") as store:
        changes = compare(second.bundle.manifest, store, read_installed(store))
    kinds = {change.difference for change in changes}
    assert kinds == {Difference.CREATE, Difference.REPLACE, Difference.REMOVE, Difference.KEEP}
    assert "etc/kubernetes/pki/sa-next.pub" not in second.new
    assert second.old["etc/kubernetes/pki/ca.crt"] == second.new["etc/kubernetes/pki/ca.crt"]


def sweep(scene: Scene, faults: Iterable[CrashingFileSystem | FailingFileSystem]) -> Counter[str]:
    """Disturb the command at one operation after the other."""
    verdicts: Counter[str] = Counter()
    for fault in faults:
        root = scene.begin()
        with contextlib.suppress(SimulatedCrashError, PkigenError):
            scene.run(root, fault)
        assert fault.fired
        verdicts[scene.verdict(root)] += 1
        scene.end(root)
    return verdicts


def operations(scene: Scene) -> int:
    root = scene.begin()
    count = count_operations(lambda fs: scene.run(root, fs))
    assert scene.verdict(root) == "new"
    scene.end(root)
    return count


def test_a_crash_at_any_operation(scene: Scene) -> None:
    points = chosen(range(1, operations(scene) + 1), wanted(CRASHES))
    torn = sweep(scene, (CrashingFileSystem(at, torn=number % 2 == 0) for number, at in enumerate(points)))
    print(f"{scene.name}, {len(scene.mounts)} mounts, crashes: {dict(torn)}")  # noqa: T201
    assert set(torn) == {"old", "new"}


def test_the_sweep_catches_an_installer_without_a_journal(second: Second) -> None:
    class Naive(Scene):
        def run(self, root: Path, filesystem: FileSystem | None = None) -> None:
            assert filesystem is not None
            base = filesystem.open(str(root / "var/lib/kubelet/pki"), os.O_RDONLY | os.O_DIRECTORY, 0, None)
            for name in ("kubelet.key", "kubelet.crt"):
                data = self.second.bundle.files[f"var/lib/kubelet/pki/{name}"]
                fd = filesystem.open(name, os.O_WRONLY | os.O_TRUNC, 0, base)
                filesystem.write(fd, memoryview(data))
                filesystem.close(fd)
            filesystem.close(base)

    verdicts = sweep(Naive(second, "install"), (CrashingFileSystem(at) for at in range(1, 8)))
    assert verdicts["broken"] > 3


def test_a_failure_at_any_operation_changes_nothing(scene: Scene) -> None:
    places = chosen(list(rotating_errors(operations(scene))), wanted(FAILURES))
    verdicts = sweep(scene, (FailingFileSystem(at, error) for at, error in places))
    print(f"{scene.name}, {len(scene.mounts)} mounts, errors: {dict(verdicts)}")  # noqa: T201
    assert set(verdicts) == {"old", "new"}


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    found = Laboratory(tmp_path_factory.mktemp("laboratory"))
    yield found
    found.close()


@pytest.mark.faults
@pytest.mark.skipif(
    tracing.STRACE is None, reason="strace is not installed: the kernel cannot be asked to kill"
)
def test_a_killed_program(scene: Scene, laboratory: Laboratory) -> None:
    """The kernel kills the real command at a system call of its choice."""
    root = scene.begin()
    done = laboratory.run(scene.arguments(root))
    assert done.status == 0, done.err
    assert files_of(root) == scene.after
    scene.end(root)
    everything = points(done.trace, root.name)
    places = sample(everything, wanted(KILLS))

    def kill(number: int) -> tuple[Path, int]:
        mine = scene.begin()
        return mine, laboratory.run(scene.arguments(mine), places[number].killed()).status

    killed = 0
    verdicts: Counter[str] = Counter()
    for mine, status in laboratory.all(kill, len(places)):
        killed += status == -9
        verdicts[scene.verdict(mine)] += 1
        scene.end(mine)
    where = f"{killed} kills at {len(places)} of {len(everything)} calls"
    print(f"{scene.name}, {len(scene.mounts)} mounts: {where}: {dict(verdicts)}")  # noqa: T201
    assert killed == len(places)
    assert set(verdicts) == {"old", "new"}


class Observer:
    """Somebody who looks at every file all the time, and wants to read a private key."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.looks = 0
        self.seen: set[str] = set()

    def __enter__(self) -> Self:
        self._interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        sys.setswitchinterval(self._interval)

    def _look(self) -> None:
        while not self._stop.is_set():
            self.looks += 1
            for directory, _, names in os.walk(self._root):
                for name in names:
                    with contextlib.suppress(OSError):
                        self._try(os.path.join(directory, name))  # noqa: PTH118 -- as fast as it can be

    def _try(self, path: str) -> None:
        if os.lstat(path).st_mode & 0o077:
            with open(path, "rb") as stream:  # noqa: PTH123
                if b"PRIVATE KEY" in stream.read():
                    self.seen.add(path)


@pytest.fixture
def nothing_hidden() -> Iterator[None]:
    """A umask that takes no permission away."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("nothing_hidden")
@pytest.mark.parametrize("mounts", [(), MOUNTS], ids=["one mount", "several mounts"])
def test_keys_are_never_readable_in_between(second: Second, mounts: tuple[str, ...], tmp_path: Path) -> None:
    if mounts:
        with tmpfs(tmp_path / "probe", "size=4k"):
            pass
    install, back = Scene(second, "install", mounts), Scene(second, "rollback")
    root = install.begin()
    with Observer(root) as observer:
        for _ in range(3):
            install.run(root)
            back.run(root)
        while observer.looks < 4:
            time.sleep(0.01)
    assert not observer.seen
    install.end(root)


@pytest.mark.usefixtures("nothing_hidden")
def test_the_observer_sees_who_writes_first_and_closes_then(second: Second) -> None:
    """The control: the mode comes after the content."""
    root = second.copy()
    target = root / "var/lib/kubelet/pki/kubelet.key"
    data = second.bundle.files["var/lib/kubelet/pki/kubelet.key"]
    with Observer(root) as observer:
        while not observer.seen:
            target.unlink()
            with target.open("wb") as stream:
                stream.write(data)
                stream.flush()
                time.sleep(0.005)
            target.chmod(0o600)
    assert observer.seen == {str(target)}


def test_going_back(second: Second) -> None:
    root = second.copy()
    backup = put(second.bundle, root)
    assert backup is not None
    with on_node(root) as store:
        planned = plan_bundle_rollback(store, None)
        require_ours(planned, directory=None)
        left = roll_back(planned, store)
    assert files_of(root) == second.old
    with on_node(root) as store:
        roll_back(plan_bundle_rollback(store, left), store)
    assert files_of(root) == second.new
    with on_node(root) as store, pytest.raises(UsageError, match="no backup '20200101T000000Z'"):
        plan_bundle_rollback(store, "20200101T000000Z")


def test_the_first_install_goes_without_a_trace(second: Second, node: Path) -> None:
    put(second.bundle, node)
    with on_node(node) as store:
        roll_back(plan_bundle_rollback(store, None), store)
    assert files_of(node) == {}
    with on_node(node) as store:
        roll_back(plan_bundle_rollback(store, None), store)
    assert set(files_of(node)) == set(second.new)


def test_nothing_to_go_back_to(node: Path) -> None:
    with on_node(node) as store, pytest.raises(UsageError, match="has no backup"):
        plan_bundle_rollback(store, None)


def test_a_planted_backup_is_not_restored() -> None:
    planted = Restore(path="etc/shadow", backup="x", sha256="", is_back=True)
    planned = Rollback(backup="x", undone=(), restores=(planted,), removes=())
    with pytest.raises(BundleError, match="not a known file of a Kubernetes node"):
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
        with pytest.raises(StoreError, match="would not belong to root"):
            put(second.bundle, root)
    finally:
        os.setegid(0)
    assert files_of(root) == second.old
