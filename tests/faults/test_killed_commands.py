"""The kernel kills the real program, or refuses it a system call: the old tree is left, or the new one."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from itertools import cycle
from typing import TYPE_CHECKING

import coverage
import pytest

from tests.cli.program import REPOSITORY
from tests.faults import tracing
from tests.faults.scenes import chosen, pkigen, wanted
from tests.faults.tracing import WRITING, Laboratory, points, sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.scenes import Scene
    from tests.faults.tracing import Point

KILLS = 30
REFUSALS = 20
FIRSTS = 1
SECONDS = 2
CONTROLS = 12
ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EROFS", "EMFILE")
KILLED = -9

# As `kubeadm certs renew` does: open with O_TRUNC, key first, no temporary, no fsync.
CONTROL = """
import sys
from datetime import datetime, timedelta
from pathlib import Path
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
root = Path(sys.argv[1])
authority = x509.load_pem_x509_certificate((root / "pki/ca.crt").read_bytes())
signer = serialization.load_pem_private_key((root / "pki/ca.key").read_bytes(), None)
for name in ("apiserver", "apiserver-kubelet-client"):
    stem = root / "nodes/cp-1/etc/kubernetes/pki" / name
    old = x509.load_pem_x509_certificate(stem.with_suffix(".crt").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(old.issuer, old.subject, key.public_key(), x509.random_serial_number(),
        old.not_valid_before_utc, old.not_valid_after_utc)
    for extension in old.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectKeyIdentifier):
            value = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(value, extension.critical)
    new = builder.sign(signer, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption())
    stem.with_suffix(".key").write_bytes(pem)
    stem.with_suffix(".crt").write_bytes(new.public_bytes(serialization.Encoding.PEM))
"""

pytestmark = pytest.mark.skipif(
    tracing.STRACE is None, reason="strace is not installed: the kernel cannot be asked to kill"
)


@pytest.fixture(scope="module")
def laboratory(memory: Path) -> Iterator[Laboratory]:
    found = Laboratory(memory)
    yield found
    found.close()


# Leaves something to be done when the interpreter ends, as coverage does, and says whether that is here.
FOREIGN = """
import atexit, sys
from pathlib import Path
path = Path(sys.argv[1])
atexit.register(path.with_name("at-exit").write_text, "not pkigen's")
path.write_text("coverage" if "coverage" in sys.modules else "nothing else")
"""


def undisturbed(laboratory: Laboratory, scene: Scene, name: str) -> list[Point]:
    """Every system call of a whole run, from the first one that names the tree."""
    root = scene.copy(name)
    done = laboratory.run(scene.arguments(root))
    assert done.status == 0, done.err
    shutil.rmtree(root)
    return points(done.trace, root.name)


def test_nothing_is_disturbed_but_pkigen(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what measures the tests nor what has registered for a process's end makes a call to refuse."""
    config = coverage.Coverage(data_file=str(memory / "coverage"), config_file=False).config
    monkeypatch.setenv("COVERAGE_PROCESS_CONFIG", config.serialize())
    own = memory / "own"
    place = memory / "foreign"
    place.mkdir()
    measured = Laboratory(place)
    done = measured.run([str(own)], script=FOREIGN)
    measured.close()
    assert (done.status, own.read_text()) == (0, "nothing else")
    assert not list(memory.glob("coverage*"))
    assert "at-exit" not in done.trace
    called = [point.call for point in points(done.trace, own.name)]
    assert called == ["openat", "newfstatat", "write", "close"]


def test_a_number_means_the_same_call_in_every_run(laboratory: Laboratory, scene: Scene) -> None:
    """Whatever else writes into the checkout meanwhile, as a coverage that is being measured does."""
    first = undisturbed(laboratory, scene, "first-run")
    os.utime(REPOSITORY)  # Python lists a directory again that has changed since it looked for modules there
    second = undisturbed(laboratory, scene, "other-run")
    assert first == second


def test_a_killed_program_leaves_the_old_tree_or_the_new_one(laboratory: Laboratory, scene: Scene) -> None:
    everything = undisturbed(laboratory, scene, "kill")
    places = sample(everything, wanted(KILLS))

    def kill(number: int) -> tuple[Path, int]:
        root = scene.copy(f"killed-{number}")
        done = laboratory.run(scene.arguments(root), places[number].killed())
        return root, done.status

    killed = 0
    verdicts: Counter[str] = Counter()
    for number, (root, status) in enumerate(laboratory.all(kill, len(places))):
        killed += status == KILLED
        if (root / ".pkigen/journal").exists():
            said = pkigen("status", "-C", root).err
            assert f"note: an interrupted `pkigen {scene.name}`" in said, places[number]
            assert "was finished: " in said, places[number]
        verdict = scene.verdict(root)
        verdicts[verdict] += 1
        assert verdict in {"old", "new"}, (places[number], verdict)
        if number % 5 == 0:
            scene.finish(root)
        shutil.rmtree(root, ignore_errors=True)
    print(f"{scene.name}: {killed} kills at {len(places)} of {len(everything)} calls: {dict(verdicts)}")  # noqa: T201
    assert killed == len(places) >= KILLS
    assert verdicts["old"]
    assert verdicts["new"]


def test_a_second_kill_in_the_recovery(laboratory: Laboratory, scene: Scene) -> None:
    """The next run of a killed command, which undoes or finishes that first, is killed as well."""
    writing = [point for point in undisturbed(laboratory, scene, "once") if point.call in WRITING]
    decision = next(number for number, point in enumerate(writing) if point.call == "renameat") + 1
    before, after = writing[:decision], writing[decision:]
    firsts = [*chosen(before, wanted(FIRSTS) + 1)[1:], *chosen(after, wanted(FIRSTS) + 1)[1:]]
    killed = tried = 0
    verdicts: Counter[str] = Counter()
    for first in firsts:
        left = scene.copy("left")
        assert laboratory.run(scene.arguments(left), first.killed()).status == KILLED
        counted = shutil.copytree(left, left.with_name(f"{left.name}-counted"), symlinks=True)
        done = laboratory.run(scene.arguments(counted))
        assert done.status == 0, (first, done.err)
        shutil.rmtree(counted)
        again = [point for point in points(done.trace, counted.name) if point.call in WRITING]
        recovering, rest = again[: len(again) // 4], again[len(again) // 4 :]  # roughly: it comes first
        seconds = [*chosen(recovering, wanted(SECONDS)), *chosen(rest, wanted(SECONDS) // 2)]
        for number, second in enumerate(seconds):
            root = shutil.copytree(left, left.with_name(f"{left.name}-{number}"), symlinks=True)
            killed += laboratory.run(scene.arguments(root), second.killed()).status == KILLED
            tried += 1
            verdict = scene.verdict(root)
            verdicts[verdict] += 1
            assert verdict in {"old", "new"}, (first, second, verdict)
            scene.finish(root)
            shutil.rmtree(root)
        shutil.rmtree(left)
    print(f"{scene.name}: {killed} second kills after {len(firsts)} first ones: {dict(verdicts)}")  # noqa: T201
    assert killed == tried >= len(firsts) * SECONDS
    assert verdicts["old"]
    assert verdicts["new"]


def test_a_refused_system_call_is_told_and_changes_nothing(laboratory: Laboratory, scene: Scene) -> None:
    everything = undisturbed(laboratory, scene, "refuse")
    places = list(zip(sample(everything, wanted(REFUSALS)), cycle(ERRORS), strict=False))

    def refuse(number: int) -> tuple[Path, tracing.Traced]:
        point, error = places[number]
        root = scene.copy(f"refused-{number}")
        return root, laboratory.run(scene.arguments(root), point.refused(error))

    refused = 0
    verdicts: Counter[str] = Counter()
    for number, (root, done) in enumerate(laboratory.all(refuse, len(places))):
        refused += "(INJECTED)" in done.trace
        verdict = scene.verdict(root)
        verdicts[f"{verdict}, exit {done.status}"] += 1
        where = (*places[number], verdict, done.status, done.err)
        assert verdict in {"old", "new"}, where
        assert "Traceback" not in done.err, where
        assert "internal error: " not in done.err, where
        if done.status == 0:
            assert verdict == "new", where
        elif f"{scene.spec}: cannot be read" in done.err:
            assert (done.status, verdict) == (2, "old"), where  # reported as any other bad spec is
        else:
            assert done.status == 1, where
            # A path, or the standard output; the one call that says it may itself be the one refused. Python
            # names no file where its own code cannot be read.
            named = re.search(r"error: .*(/|\.j2|standard output|cannot be imported)", done.err)
            assert named or not done.err or (places[number][0].call == "read" and "refuses" in done.err), (
                where
            )
        shutil.rmtree(root, ignore_errors=True)
    print(f"{scene.name}: {refused} refusals at {len(places)} of {len(everything)} calls: {dict(verdicts)}")  # noqa: T201
    assert refused == len(places) >= REFUSALS


def test_the_kills_break_a_program_that_truncates(
    laboratory: Laboratory, all_scenes: dict[str, Scene]
) -> None:
    scene = all_scenes["renew"]
    counted = scene.copy("control")
    done = laboratory.run([str(counted)], script=CONTROL)
    assert done.status == 0, done.err
    shutil.rmtree(counted)
    everything = points(done.trace, counted.name)
    begun = next(number for number, point in enumerate(everything) if point.call == "write")
    places = sample(everything[begun - 2 :], CONTROLS)

    def kill(number: int) -> tuple[Path, int]:
        root = scene.copy(f"control-{number}")
        return root, laboratory.run([str(root)], places[number].killed(), script=CONTROL).status

    killed = broken = 0
    for root, status in laboratory.all(kill, len(places)):
        killed += status == KILLED
        broken += scene.verdict(root).startswith("broken")
        shutil.rmtree(root)
    print(f"control: {killed} kills at {len(places)} of {len(everything)} calls: {broken} broken")  # noqa: T201
    assert killed == len(places)
    assert broken > killed // 2
