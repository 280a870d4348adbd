"""The test command itself, by the words of the README, in a project of a few files."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.program import REPOSITORY
from tests.pages.blocks import commands_for

if TYPE_CHECKING:
    from pathlib import Path

ANSWER = "from pkigen import ANSWER\n\n\ndef test_answer() -> None:\n    assert ANSWER == 42\n"
FILES = {
    "pkigen/__init__.py": '"""Nothing."""\n\nANSWER: int = 42\n',
    "benchmarks/__init__.py": '"""Of nothing."""\n',
    "benchmarks/run.py": '"""Nothing to measure."""\n',
    "tests/__init__.py": "",
    "tests/test_answer.py": ANSWER,
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that is checked as this one is, in the environment of these tests."""
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "scripts").mkdir()
    for path in ("scripts/check.py", "pyproject.toml"):
        shutil.copy(REPOSITORY / path, tmp_path / path)
    environment = tmp_path / ".venv"
    environment.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (environment / name).symlink_to(f"{sys.prefix}/{name}")
    # As it is after the first run, which needs a package index.
    made_for = (tmp_path / "pyproject.toml").read_bytes() + sys.version.encode()
    (environment / "installed-from").write_text(hashlib.sha256(made_for).hexdigest())
    return tmp_path


def checked(project: Path) -> subprocess.CompletedProcess[str]:
    """What the command of the README says and returns."""
    ((command,),) = commands_for("tests/project/test_check.py", REPOSITORY / "README.md")
    own = ("PYTEST", "COV", "PYTHON")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    environment["PATH"] = f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", command.words],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_every_check_is_run(project: Path) -> None:
    done = checked(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert done.stderr == "static checks: 3 of 3 passed\n"


def test_whatever_fails_is_told_and_counts(project: Path) -> None:
    """All of it, and the exit code says so."""
    (project / "benchmarks/run.py").write_text('"""Nothing to measure."""\n\nANSWER: str = 42\nimport  os\n')
    (project / "tests/test_answer.py").write_text(ANSWER.replace("== 42", "== 41"))
    done = checked(project)
    assert done.returncode != 0
    assert "1 failed" in done.stdout
    assert "static checks: 0 of 3 passed\n" in done.stderr
    for name in ("ruff check", "ruff format", "mypy"):
        assert f"error: {name} failed" in done.stderr
    (project / "tests/test_answer.py").write_text(ANSWER)
    assert checked(project).returncode != 0, "a static check counts by itself"
