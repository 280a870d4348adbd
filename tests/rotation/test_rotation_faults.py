"""Every step of a rotation over a file system that fails, or over which pkigen dies, at any operation."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.program import HOME
from tests.faults.scenes import Scene, chosen, files_of, pkigen, wanted
from tests.store.faults import (
    ERRORS,
    CountingFileSystem,
    CrashingFileSystem,
    FailingFileSystem,
    SimulatedCrashError,
    UnreadableFileSystem,
)
from tests.store.sample_tree import memory_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.faults

SAMPLES = 8
DISTRIBUTED = "--assume-distributed"
CAS = ("ca", "kubernetes", "etcd", "front-proxy")
SPEC = HOME.replace("  users:\n", "  encryption: {}\n  users:\n")
# What is done to a tree before, and the step that is disturbed.
STEPS: dict[str, tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]] = {
    "prepare CAs": ((), (*CAS, "--phase", "prepare")),
    "promote CAs": (((*CAS, "--phase", "prepare"),), (*CAS, "--phase", "promote", DISTRIBUTED)),
    "finish CAs": (
        ((*CAS, "--phase", "prepare"), (*CAS, "--phase", "promote", DISTRIBUTED)),
        (*CAS, "--phase", "finish", DISTRIBUTED),
    ),
    "roll CAs back": (
        ((*CAS, "--phase", "prepare"), (*CAS, "--phase", "promote", DISTRIBUTED)),
        (*CAS, "--phase", "rollback"),
    ),
    "prepare sa": ((), ("sa", "--phase", "prepare")),
    "promote sa": ((("sa", "--phase", "prepare"),), ("sa", "--phase", "promote", DISTRIBUTED)),
    "finish sa": (
        (("sa", "--phase", "prepare"), ("sa", "--phase", "promote", DISTRIBUTED)),
        ("sa", "--phase", "finish", "--force"),
    ),
    "promote encryption-key": (
        (("encryption-key", "--phase", "prepare"),),
        ("encryption-key", "--phase", "promote", DISTRIBUTED),
    ),
}


class Step(Scene):
    """A step of a rotation over the tree that the steps before it left."""

    def arguments(self, root: Path) -> tuple[str, ...]:
        return ("rotate", *_with_spec(self.command, self.spec), "-C", str(root), "--yes")


def _with_spec(command: tuple[str, ...], spec: Path) -> tuple[str, ...]:
    """The spec's place is after the names and before the options."""
    at = next(number for number, word in enumerate(command) if word.startswith("-"))
    return (*command[:at], str(spec), *command[at:])


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    with memory_directory() as name:
        yield Path(name)


@pytest.fixture(scope="module", params=STEPS)
def step(request: pytest.FixtureRequest, memory: Path) -> Step:
    before, command = STEPS[request.param]
    place = memory / request.param.replace(" ", "-")
    place.mkdir()
    spec, original = place / "home.yaml", place / "original"
    spec.write_text(SPEC)
    assert pkigen("init", spec, "-C", original).code == 0
    for each in before:
        done = pkigen("rotate", *_with_spec(each, spec), "-C", original, "--yes")
        assert done.code == 0, done
    old = files_of(original)
    scene = Step(
        name=request.param.replace(" ", "-"),
        place=place,
        spec=spec,
        command=command,
        old=old,
        names=frozenset(),
        changes=frozenset(),
    )
    root = scene.copy("undisturbed")
    done = pkigen(*scene.arguments(root))
    assert done.code == 0, done
    new = files_of(root)
    return Step(
        name=scene.name,
        place=place,
        spec=spec,
        command=command,
        old=old,
        names=frozenset(new),
        changes=frozenset(path for path in old | new if old.get(path) != new.get(path)),
    )


def operations(step: Step) -> int:
    root = step.copy("counted")
    counting = CountingFileSystem()
    assert pkigen(*step.arguments(root), filesystem=counting).code == 0
    shutil.rmtree(root)
    return len(counting.operations)


def finished(step: Step, root: Path, verdict: str) -> None:
    """The same command again leaves the new tree; who sees that it is new does not go back once more."""
    if verdict == "new" and "rollback" in step.command:
        return
    step.finish(root)
    assert step.verdict(root) == "new"


def test_a_failure_at_every_operation(step: Step) -> None:
    count = operations(step)
    fired = 0
    verdicts: Counter[str] = Counter()
    points = chosen(range(1, count + 1), wanted(SAMPLES))
    for number, at in enumerate(points):
        root = step.copy(f"failed-{at}")
        error = ERRORS[number % len(ERRORS)]
        failing = FailingFileSystem(at, error)
        result = pkigen(*step.arguments(root), filesystem=failing)
        fired += failing.fired
        verdict = step.verdict(root)
        verdicts[f"{verdict}, exit {result.code}"] += 1
        assert verdict in {"old", "new"}, (at, failing.operations[-1], verdict, result.err)
        assert result.code in {0, 1}
        if result.code == 0:
            assert verdict == "new", (at, result)
        else:
            assert os.strerror(error).lower() in result.error, (at, result.err)
        if number % 3 == 0:
            finished(step, root, verdict)
        shutil.rmtree(root)
    print(f"{step.name}: {fired} failures at {len(points)} of {count} operations: {dict(verdicts)}")  # noqa: T201
    assert fired == len(points)


def test_a_crash_at_every_operation(step: Step) -> None:
    count = operations(step)
    crashed = 0
    verdicts: Counter[str] = Counter()
    points = chosen(range(1, count + 1), wanted(SAMPLES))
    for number, at in enumerate(points):
        root = step.copy(f"crashed-{at}")
        crashing = CrashingFileSystem(at, torn=number % 2 == 1)
        with pytest.raises(SimulatedCrashError):
            pkigen(*step.arguments(root), filesystem=crashing)
        crashed += crashing.fired
        verdict = step.verdict(root)
        verdicts[verdict] += 1
        assert verdict in {"old", "new"}, (at, crashing.operations[-1], verdict)
        finished(step, root, verdict)
        shutil.rmtree(root)
    print(f"{step.name}: {crashed} crashes at {len(points)} of {count} operations: {dict(verdicts)}")  # noqa: T201
    assert crashed == len(points)
    assert verdicts["old"] > 0


READ = 12


def test_what_cannot_be_read_is_no_verdict(memory: Path) -> None:
    """What a file holds that the system does not let be read is unknown: nobody calls it missing or wrong."""
    spec, tree = memory / "unread.yaml", memory / "unread"
    spec.write_text(SPEC)
    assert pkigen("init", spec, "-C", tree).code == 0
    for what in (CAS, ("sa",), ("encryption-key",)):
        done = pkigen("rotate", *what, spec, "-C", tree, "--phase", "prepare", "--yes")
        assert done.code == 0, done
    before = files_of(tree)
    commands = {
        "verify": ("verify", "-C", tree),
        "status": ("status", "-C", tree),
        "plan": ("plan", spec, "-C", tree, "--exit-code"),
        "rotate": ("rotate", "sa", spec, "-C", tree, "--phase", "promote", DISTRIBUTED, "--yes"),
        "prove": ("rotate", *CAS, spec, "-C", tree, "--phase", "promote", DISTRIBUTED, "--prove"),
    }
    assert {name: pkigen(*command).code for name, command in commands.items() if name != "rotate"} == {
        "verify": 0,
        "status": 0,
        "plan": 0,
        "prove": 0,
    }
    points = chosen(sorted(before.keys() - {".gitignore"}), wanted(READ))  # which is for Git alone
    lock = json.loads((tree / "pki.lock").read_text())
    certificates = {each["path"] for each in lock["certificates"].values()}
    unseen = 0
    for number, path in enumerate(points):
        error = (*ERRORS, errno.EACCES)[number % (len(ERRORS) + 1)]
        for name, command in commands.items():
            filesystem = UnreadableFileSystem(tree / path, error)
            result = pkigen(*command, filesystem=filesystem)
            said = f"cannot read {tree}/{path}: {os.strerror(error).lower()}"
            if name == "status" and result.code == 0:
                # It looks at certificates and keys alone.
                assert path not in certificates
                unseen += 1
                continue
            assert (result.code, result.error) == (1, said), (name, result)
    assert 0 < unseen < len(points) // 2
    assert files_of(tree) == before


def test_the_runbook_is_there_before_the_step_is_decided(tmp_path: Path) -> None:
    """Whoever dies right after the commit finds the step taken, and must know what to do next."""
    spec, tree, book = tmp_path / "home.yaml", tmp_path / "tree", tmp_path / "book"
    spec.write_text(SPEC)
    assert pkigen("init", spec, "-C", tree).code == 0
    shutil.copytree(tree, tmp_path / "kept")
    arguments = ("rotate", "ca", "etcd", spec, "-C", tree, "--yes", "--runbook", book)
    counting = CountingFileSystem()
    assert pkigen(*arguments, filesystem=counting).code == 0
    renames = [number for number, name in enumerate(counting.operations, start=1) if name == "rename"]
    for folder in (tree, book):
        shutil.rmtree(folder)
    shutil.copytree(tmp_path / "kept", tree)
    with pytest.raises(SimulatedCrashError):
        pkigen(*arguments, filesystem=CrashingFileSystem(renames[-1]))
    assert "after `prepare` of etcd-ca" in (book / "rotation.txt").read_text()
    assert pkigen(*arguments).code == 0
    assert pkigen("verify", "-C", tree).code == 0


def test_a_runbook_that_cannot_be_written_stops_the_step(tmp_path: Path) -> None:
    spec, tree, book = tmp_path / "home.yaml", tmp_path / "tree", tmp_path / "book"
    spec.write_text(SPEC)
    book.write_text("a file, not a directory")
    assert pkigen("init", spec, "-C", tree).code == 0
    before = files_of(tree)
    result = pkigen("rotate", "ca", "etcd", spec, "-C", tree, "--yes", "--runbook", book)
    assert result.code == 1
    assert str(book) in result.error
    assert files_of(tree) == before
    both = pkigen("rotate", "ca", "etcd", spec, "-C", tree, "--prove", "--runbook", book)
    assert (both.code, both.error) == (2, "--prove and --runbook cannot be combined")


@pytest.mark.parametrize("command", [("--phase", "rollback"), ()], ids=["back", "next"])
def test_what_was_interrupted_is_not_taken_twice(tmp_path: Path, command: tuple[str, ...]) -> None:
    """The same command finds its interrupted run committed: it finishes that, and goes no step further."""
    spec, tree = tmp_path / "home.yaml", tmp_path / "tree"
    spec.write_text(SPEC)
    assert pkigen("init", spec, "-C", tree).code == 0
    assert pkigen("rotate", "ca", "etcd", spec, "-C", tree, "--yes").code == 0
    arguments = ("rotate", "ca", "etcd", str(spec), "-C", str(tree), "--yes", DISTRIBUTED)
    if command:
        assert pkigen(*arguments).code == 0
    arguments = (*arguments, *command)
    shutil.copytree(tree, tmp_path / "kept")
    counting = CountingFileSystem()
    assert pkigen(*arguments, filesystem=counting).code == 0
    renames = [number for number, name in enumerate(counting.operations, start=1) if name == "rename"]
    shutil.rmtree(tree)
    shutil.copytree(tmp_path / "kept", tree)
    with pytest.raises(SimulatedCrashError):
        pkigen(*arguments, filesystem=CrashingFileSystem(renames[-1]))
    assert (tree / ".pkigen/journal").exists()
    result = pkigen(*arguments)
    assert result.code == 0, result
    assert "was finished: " in result.err
    assert result.out == f"nothing to do: etcd-ca is {'prepared' if command else 'promoted'} already\n"
