"""No private byte is ever there for another user to open, or in anything that a run says."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.cli.app import run
from pkigen.cli.system import System
from tests import unmeasured
from tests.cli.program import HOME, PROGRAM
from tests.faults.scenes import chosen, wanted
from tests.store.faults import CountingFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.scenes import Scene

# Walks the directory over and over, and opens whatever it can, until its standard input ends.
OBSERVER = """
import os, select, sys
secrets, opened, looks = set(), 0, 0
marks = (b"PRIVATE KEY", b"client-key-data", b"UFJJVkFURSBLRVk")
def look(folder):
    global opened
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                look(entry.path)
                continue
            with open(entry.path, "rb") as file:
                content = file.read()
        except OSError:
            continue
        opened += 1
        if any(mark in content for mark in marks):
            secrets.add(entry.path)
print("ready", flush=True)
while not select.select([0], [], [], 0)[0]:
    looks += 1
    look(sys.argv[1])
print(looks, opened, *sorted(secrets))
"""
CONTROL = """
import sys, time
from pathlib import Path
for number in range(40):
    path = Path(sys.argv[1]) / f"{number}.key"
    path.write_bytes(b"-----BEGIN PRIVATE KEY-----")
    time.sleep(0.02)
    path.chmod(0o600)
"""
MANY = HOME.replace(
    "  users:",
    "".join(
        f"    - {{name: worker-{number}, roles: [worker], addresses: [10.0.1.{number}]}}\n"
        for number in range(1, 16)
    )
    + "  users:",
)


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody may enter and read."""
    with tempfile.TemporaryDirectory(prefix="pkigen-public-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


@contextmanager
def observed(place: Path) -> Iterator[list[str]]:
    """Another user looks at the place; what it saw is in the list afterwards."""
    seen: list[str] = []
    with subprocess.Popen(
        [
            *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
            *("/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable, "-c", OBSERVER),
            place,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
    ) as observer:
        assert observer.stdout is not None
        assert observer.stdout.readline() == "ready\n"
        yield seen
        out, _ = observer.communicate()
        seen.extend(out.split())


def observe(place: Path, *commands: list[str]) -> tuple[int, int, list[str]]:
    """Run commands under umask 000 while another user looks."""
    with observed(place) as seen:
        for command in commands:
            subprocess.run(
                ["sh", "-c", 'umask 000; exec "$@"', "sh", *command],
                check=True,
                capture_output=True,
                env=unmeasured.environment(),
            )
    looks, opened, *secrets = seen
    return int(looks), int(opened), secrets


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_another_user_never_opens_a_secret(public: Path) -> None:
    spec = public / "many.yaml"
    spec.write_text(MANY)
    looks = opened = turn = 0
    while looks <= 20 or opened <= 100:  # the observer can read what is public, but may get little time
        root = public / f"home-{turn}"
        lines = (
            ("init", spec, "-C", root),
            ("renew", spec, "--all", "-C", root, "--yes"),
            ("rollback", "-C", root, "--yes"),
        )
        more, files, secrets = observe(public, *([*PROGRAM, *map(str, line)] for line in lines))
        assert secrets == []
        looks, opened, turn = looks + more, opened + files, turn + 1
        assert turn < 20, "the observer sees nothing"
    print(f"observer: {looks} looks, {opened} files opened, 0 secrets")  # noqa: T201


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_the_observer_catches_who_restricts_afterwards(public: Path) -> None:
    looks, _, secrets = observe(public, [sys.executable, "-c", CONTROL, str(public)])
    print(f"observer of the control: {looks} looks, {len(secrets)} secrets")  # noqa: T201
    assert secrets


# -- what a run says ------------------------------------------------------------------------------------


class ForcedError(Exception):
    """Something that nobody expects; its text is harmless, its locals are not."""


class ThrowingFileSystem(CountingFileSystem):
    """Raises what nobody expects at the n-th operation."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at
        self.fired = 0

    def _pass_on(self, operation: str, *arguments: Any) -> Any:
        if self.count == self.at:
            self.fired += 1
            raise ForcedError(operation)
        return super()._pass_on(operation, *arguments)


def canaries(root: Path) -> set[str]:
    """Every line of every private key below a directory, kubeconfigs and leftovers included."""
    found: set[str] = set()
    for path in root.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        embedded = re.findall(rb"client-key-data: ([A-Za-z0-9+/=]+)", content)
        for pem in (content, *map(base64.b64decode, embedded)):
            for body in re.findall(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\n(.*?)\n-----END", pem, re.DOTALL):
                found.update(body.decode().split("\n"))
        found.update(data.decode() for data in embedded)
    return {line for line in found if len(line) > 20}


def said(arguments: list[str], filesystem: CountingFileSystem) -> str:
    """Everything that a run with `--debug` prints."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        run(["--debug", *arguments], system=System(filesystem=filesystem))
    return out.getvalue() + err.getvalue()


def test_no_key_in_any_traceback(all_scenes: dict[str, Scene]) -> None:
    lines = [
        scene.arguments(scene.place / "thrown")
        for scene in (all_scenes["init"], all_scenes["apply"], all_scenes["renew"])
    ]
    root = str(all_scenes["apply"].place / "thrown")
    lines += [
        ("status", "-C", root),
        ("verify", "-C", root),
        ("plan", str(all_scenes["apply"].spec), "-C", root),
    ]
    lines += [("rollback", "-C", root, "--yes"), ("rollback", "-C", root, "--list")]
    thrown = tracebacks = 0
    for line in lines:
        scene = all_scenes["init" if line[0] == "init" else "apply"]

        def fresh(scene: Scene = scene) -> Path:
            shutil.rmtree(scene.place / "thrown", ignore_errors=True)
            return (
                scene.copy("thrown").rename(scene.place / "thrown") if scene.old else scene.place / "thrown"
            )

        fresh()
        counting = CountingFileSystem()
        said(list(line), counting)
        for at in chosen(range(1, counting.count + 1), wanted(8)):
            tree = fresh()
            before = canaries(tree) if scene.old else set()
            throwing = ThrowingFileSystem(at)
            text = said(list(line), throwing)
            thrown += throwing.fired
            tracebacks += "Traceback" in text
            secrets = before | (canaries(tree) if tree.exists() else set())
            assert not any(secret in text for secret in secrets), (line, at)
            assert "-----BEGIN" not in text
            assert "error: internal error: ForcedError" in text or "error:" in text or throwing.fired
    print(f"{thrown} forced exceptions over {len(lines)} command lines, {tracebacks} tracebacks, 0 key bytes")  # noqa: T201
    assert thrown >= 50
    assert tracebacks >= 40


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_program_is_called_and_no_key_is_in_an_environment(memory: Path) -> None:
    """RSA keys are made in children: these are forks, with no arguments or environment of their own."""
    place = memory / "children"
    place.mkdir()
    spec = place / "rsa.yaml"
    spec.write_text(HOME.replace("  users:", "  certificates: {keyAlgorithm: RSA-2048}\n  users:"))
    subprocess.run(
        [
            *(
                "strace",
                "-f",
                "-qq",
                "-s",
                "9999",
                "-v",
                "-o",
                place / "trace",
                "-e",
                "trace=execve,execveat",
            ),
            *(*PROGRAM, "init", spec, "-C", place / "home"),
        ],
        check=True,
        capture_output=True,
        env=unmeasured.environment(),
    )
    trace = (place / "trace").read_text(errors="replace")
    assert trace.count("execve") == 1
    secrets = canaries(place / "home")
    assert len(secrets) > 100
    assert not any(secret in trace for secret in secrets)


def test_no_key_in_the_lock_file_the_ledger_or_a_saved_plan(all_scenes: dict[str, Scene]) -> None:
    scene = all_scenes["apply"]
    root = scene.copy("papers")
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        assert run([*scene.arguments(root)]) == 0
        assert run(["plan", str(scene.spec), "-C", str(root), "--save", str(scene.place / "plan.json")]) == 0
    papers = [root / "pki.lock", root / ".pkigen/ledger.jsonl", scene.place / "plan.json"]
    papers += list(root.glob(".pkigen/backups/*/manifest.json"))
    secrets = canaries(root)
    assert len(secrets) > 30
    for paper in papers:
        text = paper.read_text()
        assert not any(secret in text for secret in secrets), paper
    shutil.rmtree(root)
