"""Taking an answer in over a file system that fails, or over which pkigen dies, at any operation.

The same for making the request and for signing: what is left is the state before or the state after.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.airgap.offline.offline_sides import VARIANTS, OfflineSides, snapshot
from tests.faults.scenes import chosen, wanted
from tests.store.faults import (
    ERRORS,
    CountingFileSystem,
    CrashingFileSystem,
    FailingFileSystem,
    SimulatedCrashError,
)
from tests.store.sample_tree import memory_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.faults

SAMPLES = 3


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    with memory_directory() as name:
        yield Path(name)


@pytest.fixture(scope="module", params=VARIANTS)
def answered(request: pytest.FixtureRequest, memory: Path) -> OfflineSides:
    """Both sides with the answer on the medium; never changed."""
    return OfflineSides.new(memory / request.param, request.param).answered()


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """The tree itself, without the store's own state."""
    return {name: each for name, each in snapshot(root).items() if not name.startswith(".pkigen/")}


def accept(places: OfflineSides) -> tuple[object, ...]:
    return (*places.accept_arguments(), "--pin", places.pins[1])


def operations(places: OfflineSides, arguments: tuple[object, ...]) -> list[str]:
    counting = CountingFileSystem()
    assert places.pkigen(*arguments, filesystem=counting).code == 0
    return counting.operations


def is_new(places: OfflineSides, before: dict[str, tuple[int, bytes]]) -> bool:
    """Whether the answer is in; if not, the tree must be the old one to the byte. The next run has looked."""
    places.done("status", "-C", places.site)
    if tree(places.site) == before:
        assert not (places.site / ".pkigen/journal").exists()
        return False
    assert not (places.site / "pki/pending.json").exists()
    assert places.done("verify", "-C", places.site).out.endswith("0 findings\n")
    assert places.done("plan", places.spec, "-C", places.site).out.startswith("nothing to do")
    return True


def test_a_crash_at_every_operation_of_accept(answered: OfflineSides, memory: Path) -> None:
    undisturbed = answered.copy(memory / "undisturbed")
    count = len(operations(undisturbed, accept(undisturbed)))
    shutil.rmtree(undisturbed.place)
    before = tree(answered.site)
    seen = {True: 0, False: 0}
    points = chosen(range(1, count + 1), wanted(SAMPLES))
    for number, at in enumerate(points):
        places = answered.copy(memory / f"crashed-{at}")
        crashing = CrashingFileSystem(at, torn=number % 2 == 1)
        with pytest.raises(SimulatedCrashError):
            places.pkigen(*accept(places), filesystem=crashing)
        assert crashing.fired
        new = is_new(places, before)
        seen[new] += 1
        if not new and number % 3 == 0:
            places.done(*accept(places))  # the same medium once more
            assert is_new(places, before)
        shutil.rmtree(places.place)
    assert seen[False] > 0
    print(f"{len(points)} of {count} operations: {seen}")  # noqa: T201


def test_a_crash_between_the_renames_is_finished(answered: OfflineSides, memory: Path) -> None:
    """The control of the sweep: from the decision on it is the new tree, whatever happens."""
    undisturbed = answered.copy(memory / "undisturbed")
    names = operations(undisturbed, accept(undisturbed))
    shutil.rmtree(undisturbed.place)
    renames = [number for number, name in enumerate(names, start=1) if name == "rename"]
    places = answered.copy(memory / "renaming")
    with pytest.raises(SimulatedCrashError):
        places.pkigen(*accept(places), filesystem=CrashingFileSystem(renames[len(renames) // 2]))
    assert tree(places.site) != tree(answered.site)
    assert is_new(places, tree(answered.site))
    shutil.rmtree(places.place)


def test_a_failure_at_every_operation_of_accept(answered: OfflineSides, memory: Path) -> None:
    undisturbed = answered.copy(memory / "undisturbed")
    count = len(operations(undisturbed, accept(undisturbed)))
    shutil.rmtree(undisturbed.place)
    before = tree(answered.site)
    for number, at in enumerate(chosen(range(1, count + 1), wanted(SAMPLES))):
        places = answered.copy(memory / f"failed-{at}")
        error = ERRORS[number % len(ERRORS)]
        failing = FailingFileSystem(at, error)
        result = places.pkigen(*accept(places), filesystem=failing)
        assert failing.fired
        new = is_new(places, before)
        if result.code == 0:
            assert new
        else:
            assert os.strerror(error).lower() in result.error, (at, result.err)
        shutil.rmtree(places.place)


def test_a_crash_while_asking_and_while_signing(answered: OfflineSides, memory: Path) -> None:
    """A request that may have been carried is never forgotten; what may have been signed is on record."""
    fresh = OfflineSides.new(memory / f"{answered.place.name}-fresh", answered.place.name)
    fresh.make_authority()
    init = ("init", fresh.spec, "-C", fresh.site)
    copy = fresh.copy(memory / "copy")
    count = len(operations(copy, ("init", copy.spec, "-C", copy.site)))
    shutil.rmtree(copy.place)
    for at in chosen(range(1, count + 1), wanted(SAMPLES)):
        places = fresh.copy(memory / f"asking-{at}")
        with pytest.raises(SimulatedCrashError):
            places.pkigen("init", places.spec, "-C", places.site, filesystem=CrashingFileSystem(at))
        places.init()
        first = places.request_file.read_bytes()
        places.init()
        assert places.request_file.read_bytes() == first
        shutil.rmtree(places.place)
    assert fresh.done(*init)
    fresh.request_file.write_bytes(Path(f"{fresh.site}.request").read_bytes())
    sign = (*fresh.sign_arguments(), "--pin", fresh.site_pin)
    kept = snapshot(fresh.authority)
    shutil.copytree(fresh.authority, fresh.place / "kept")
    count = len(operations(fresh, sign))
    for at in chosen(range(1, count + 1), wanted(SAMPLES)):
        shutil.rmtree(fresh.authority)
        shutil.copytree(fresh.place / "kept", fresh.authority)
        fresh.answer_file.unlink(missing_ok=True)
        with pytest.raises(SimulatedCrashError):
            fresh.pkigen(*sign, filesystem=CrashingFileSystem(at))
        fresh.done(*sign)
        lines = (fresh.authority / ".pkigen/ledger.jsonl").read_text().splitlines()
        assert sum('"answered"' in line for line in lines) == 1
    assert snapshot(fresh.authority) != kept
