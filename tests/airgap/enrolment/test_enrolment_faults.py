"""A request and an install that fail or die anywhere: old or new, and keys that are never open to others."""

from __future__ import annotations

import base64
import os
import shutil
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.airgap.carrier.paths import IDENTITY, PENDING, REQUEST_KEY
from tests.airgap.bundles.bundle_site import on_node
from tests.airgap.enrolment.enrolment_site import SMALL, EnrolmentSite
from tests.faults.scenes import chosen, wanted
from tests.samples import Unsynced
from tests.store.faults import (
    CountingFileSystem,
    CrashingFileSystem,
    FailingFileSystem,
    SimulatedCrashError,
    rotating_errors,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.store import FileSystem

CRASHES = 16
FAILURES = 10
Files = dict[str, tuple[int, bytes]]


def files_of(root: Path) -> Files:
    """Every file with its mode; the store's own state is left out."""
    return {
        str(path.relative_to(root)): (stat.S_IMODE(path.lstat().st_mode), path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and "store" not in path.relative_to(root).parts
    }


@dataclass(kw_only=True)
class Scene:
    """A command on worker-1, and the node before it; every run has a copy of its own."""

    places: EnrolmentSite
    command: tuple[object, ...]
    place: Path
    counter: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    def run(self, filesystem: FileSystem) -> tuple[Path, int]:
        """Run on a copy of the node; the result is the copy and the exit code, -1 where it died."""
        root = self.place / f"copy-{next(self.counter)}"
        shutil.copytree(self.places.root("worker-1"), root, symlinks=True)
        command = [root if each == self.places.root("worker-1") else each for each in self.command]
        places = EnrolmentSite(
            base=self.places.base, spec=self.places.spec, now=self.places.now, filesystem=filesystem
        )
        try:
            return root, places.run(*command).code
        except SimulatedCrashError:
            return root, -1

    def operations(self) -> int:
        """How many there are."""
        counting = CountingFileSystem(Unsynced())
        root, code = self.run(counting)
        assert code == 0
        shutil.rmtree(root)
        return counting.count


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """worker-1 is about to ask."""
    base = tmp_path_factory.mktemp("asking")
    places = EnrolmentSite.made(base / "site", SMALL)
    return Scene(places=places, command=places.requesting("worker-1"), place=base)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """worker-1 has certificates, and is about to install the next."""
    base = tmp_path_factory.mktemp("answered")
    places = EnrolmentSite.made(base / "site", SMALL)
    places.enrol("worker-1")
    signer = places.request("worker-1")
    places.now = places.now.replace(hour=13)
    places.request("worker-1", "--anew")
    places.good(*places.approving("worker-1", "--pin", signer, "--yes"))
    command = places.installing("worker-1", "--yes")
    return Scene(places=places, command=command, place=base)


class Watcher(CountingFileSystem):
    """After every operation, looks for a private key that others could open."""

    def __init__(self, place: Path) -> None:
        super().__init__(Unsynced())
        self._place = place
        self.open_to_others: set[str] = set()
        self.seen = 0

    def _pass_on(self, operation: str, *arguments: Any) -> Any:
        answer = super()._pass_on(operation, *arguments)
        for directory, _, names in os.walk(self._place):
            for name in names:
                path = Path(directory, name)
                if path.stat().st_mode & 0o077:
                    data = path.read_bytes()
                    if any(mark in data for mark in MARKS):
                        self.open_to_others.add(str(path))
                else:
                    self.seen += 1
        return answer


MARKS = (b"PRIVATE KEY", b"client-key-data", base64.b64encode(b"-----BEGIN EC PRIVATE"), b"AGE-SECRET-KEY")


def recovered(root: Path) -> Files:
    """What is there once the next run has opened the node."""
    with on_node(root):
        pass
    assert not (root / "var/lib/pkigen/store/staging").exists()
    return files_of(root)


def test_a_crash_of_a_request_leaves_all_of_it_or_nothing(asked: Scene) -> None:
    verdicts = {"nothing": 0, "all": 0}
    whole = {PENDING, REQUEST_KEY, IDENTITY}
    for at in chosen(range(1, asked.operations() + 1), wanted(CRASHES)):
        root, code = asked.run(CrashingFileSystem(at, torn=at % 2 == 0))
        assert code == -1
        found = recovered(root)
        assert set(found) in (set(), whole), at
        assert {mode for mode, _ in found.values()} <= {0o600}
        verdicts["all" if found else "nothing"] += 1
        shutil.rmtree(root)
    print(f"crashes of a request: {verdicts}")  # noqa: T201
    assert min(verdicts.values()) > 0


def test_after_a_crash_the_request_is_made_or_handed_out(asked: Scene) -> None:
    operations = asked.operations()
    for at in (operations // 2, operations - 2):
        root, code = asked.run(CrashingFileSystem(at))
        assert code == -1
        found = recovered(root)
        again = EnrolmentSite(base=asked.places.base, spec=asked.places.spec, now=asked.places.now)
        again.good(*(root if each == asked.places.root("worker-1") else each for each in asked.command))
        if found:
            assert files_of(root) == found


def test_a_failure_of_a_request_is_told(asked: Scene) -> None:
    told = 0
    for at, error in chosen(list(rotating_errors(asked.operations())), wanted(FAILURES)):
        root, code = asked.run(FailingFileSystem(at, error))
        found = recovered(root)
        assert set(found) in (set(), {PENDING, REQUEST_KEY, IDENTITY})
        assert found or code != 0
        told += code != 0
        shutil.rmtree(root)
    assert told > FAILURES // 2


def test_a_crash_of_an_install_leaves_the_old_keys_or_the_new(answered: Scene) -> None:
    old = files_of(answered.places.root("worker-1"))
    root, code = answered.run(Unsynced())
    assert code == 0
    new = files_of(root)
    assert PENDING in old
    assert PENDING not in new
    key = "var/lib/kubelet/pki/kubelet.key"
    assert old[key] != new[key]
    verdicts = {"old": 0, "new": 0}
    for at in chosen(range(1, answered.operations() + 1), wanted(CRASHES)):
        root, code = answered.run(CrashingFileSystem(at, torn=at % 2 == 0))
        assert code == -1
        found = recovered(root)
        assert found in (old, new), at
        verdicts["old" if found == old else "new"] += 1
        shutil.rmtree(root)
    print(f"crashes of an install of certificates: {verdicts}")  # noqa: T201
    assert min(verdicts.values()) > 0


def test_the_sweep_catches_an_installer_that_writes_in_place(answered: Scene) -> None:
    """The control: a certificate without its key is seen as neither old nor new."""
    old = files_of(answered.places.root("worker-1"))
    whole, _ = answered.run(Unsynced())
    new = files_of(whole)
    half = answered.place / "half"
    shutil.copytree(answered.places.root("worker-1"), half, symlinks=True)
    certificate = "var/lib/kubelet/pki/kubelet.crt"
    (half / certificate).write_bytes(new[certificate][1])
    assert recovered(half) not in (old, new)


@pytest.mark.parametrize("which", ["asked", "answered"])
def test_keys_are_never_open_to_others(request: pytest.FixtureRequest, which: str) -> None:
    whole: Scene = request.getfixturevalue(which)
    scene = replace(whole, place=whole.place / "watched")
    scene.place.mkdir()
    before = os.umask(0)
    watcher = Watcher(scene.place)
    control = scene.place / "control.key"
    try:
        _, code = scene.run(watcher)
        assert code == 0
        assert watcher.seen > 100
        assert watcher.open_to_others == set()
        control.write_bytes(b"-----BEGIN EC PRIVATE KEY-----")
        watcher.open(str(control), os.O_RDONLY, 0, None)
        assert watcher.open_to_others == {str(control)}
    finally:
        os.umask(before)
        control.unlink(missing_ok=True)
