"""Whole commands over a file system that fails, or over which the process dies, at the n-th operation."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.faults.scenes import chosen, pkigen, wanted
from tests.store.faults import (
    ERRORS,
    CountingFileSystem,
    CrashingFileSystem,
    FailingFileSystem,
    SimulatedCrashError,
)

if TYPE_CHECKING:
    from tests.faults.scenes import Scene

SAMPLES = 14


def operations(scene: Scene) -> list[str]:
    """The operations of the undisturbed command."""
    root = scene.copy("counted")
    counting = CountingFileSystem()
    assert pkigen(*scene.arguments(root), filesystem=counting).code == 0
    shutil.rmtree(root)
    return counting.operations


def test_a_failure_at_every_operation(scene: Scene) -> None:
    count = len(operations(scene))
    fired = 0
    verdicts: Counter[str] = Counter()
    points = chosen(range(1, count + 1), wanted(SAMPLES))
    for number, at in enumerate(points):
        root = scene.copy(f"failed-{at}")
        failing = FailingFileSystem(at, ERRORS[number % len(ERRORS)])
        result = pkigen(*scene.arguments(root), filesystem=failing)
        fired += failing.fired
        verdict = scene.verdict(root)
        verdicts[f"{verdict}, exit {result.code}"] += 1
        assert verdict in {"old", "new"}, (at, failing.operations[-1], verdict, result.err)
        if result.code == 0:
            assert verdict == "new", (at, result)
        else:
            assert result.code == 1, (at, result)
            reason = os.strerror(ERRORS[number % len(ERRORS)]).lower()
            assert reason in result.error, (at, result.err)
            assert str(root.parent) in result.error, (at, result.err)
        if number % 7 == 0:
            scene.finish(root)
        shutil.rmtree(root, ignore_errors=True)
    print(f"{scene.name}: {fired} failures at {len(points)} of {count} operations: {dict(verdicts)}")  # noqa: T201
    assert fired == len(points)


def test_a_close_that_fails_between_plan_and_change(all_scenes: dict[str, Scene]) -> None:
    """Wherever a descriptor is closed, the error names the tree."""
    scene = all_scenes["apply"]
    closes = [at for at, operation in enumerate(operations(scene), start=1) if operation == "close"]
    for at in chosen(closes, max(12, min(wanted(0), len(closes)))):
        root = scene.copy(f"unclosed-{at}")
        result = pkigen(*scene.arguments(root), filesystem=FailingFileSystem(at, ERRORS[1]))
        if result.code:
            assert str(root) in result.error, (at, result.err)
        shutil.rmtree(root)


@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn"])
def test_a_crash_at_every_operation(scene: Scene, torn: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    done = operations(scene)
    crashed = 0
    verdicts: Counter[str] = Counter()
    # Only writes can be torn.
    writes = [at for at, operation in enumerate(done, start=1) if operation == "write"]
    points = chosen(writes if torn else range(1, len(done) + 1), wanted(SAMPLES // 3 if torn else SAMPLES))
    for at in points:
        root = scene.copy(f"crashed-{at}")
        crashing = CrashingFileSystem(at, torn=torn)
        with pytest.raises(SimulatedCrashError):
            pkigen(*scene.arguments(root), filesystem=crashing)
        crashed += crashing.fired
        prepared = (root / ".pkigen/staging").exists() and not (root / ".pkigen/journal").exists()
        committed = (root / ".pkigen/journal").exists()
        if committed:
            reader = pkigen("status", "-C", root)
            assert f"note: an interrupted `pkigen {scene.name}`" in reader.err, (at, reader)
            assert "was finished: " in reader.err
        verdict = scene.verdict(root)
        verdicts[verdict] += 1
        assert verdict in {"old", "new"}, (at, crashing.operations[-1], verdict)
        said = scene.finish(root)
        if prepared:
            assert f"note: an interrupted `pkigen {scene.name}`" in said or "an interrupted pkigen" in said
            assert "was undone: " in said, (at, said)
        shutil.rmtree(root)
    kind = "torn writes" if torn else "crashes"
    print(f"{scene.name}: {crashed} {kind} at {len(points)} of {len(done)} operations: {dict(verdicts)}")  # noqa: T201
    assert crashed == len(points)
    assert verdicts["old"] > 0
