"""Runs pkigen in this process or as a program of its own, and photographs what it leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkigen.cli.addressed import takes_directory
from pkigen.cli.app import run
from pkigen.cli.system import System
from pkigen.layout import SPEC_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "examples"
PROGRAM = (sys.executable, "-m", "pkigen")
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)

HOME = """\
apiVersion: pkigen/v1
kind: Cluster
metadata:
  name: home
spec:
  kubernetesVersion: v1.36.2
  nodes:
    - name: cp-1
      roles: [control-plane]
      addresses: [10.0.0.11]
  users:
    - name: dev1
      groups: [dev]
"""
"""The small spec of most tests: one node and one person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run left on its streams."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The sentence after `error: `."""
        found = re.search(r"^error: (.*)$", self.err, re.MULTILINE)
        return found[1] if found else ""

    @property
    def hint(self) -> str:
        """The sentence after `hint: `."""
        found = re.search(r"^hint: (.*)$", self.err, re.MULTILINE)
        return found[1] if found else ""

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class InProcess:
    """Runs command lines in this process, with a clock of the test's own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.now = NOW

    def __call__(self, *arguments: object, system: System | None = None) -> Result:
        self.capsys.readouterr()
        code = run([str(each) for each in arguments], system=system or System(clock=lambda: self.now))
        captured = self.capsys.readouterr()
        result = Result(code=int(code), out=captured.out, err=captured.err)
        assert_civil(result)
        if {"-C", "--dir"} & set(map(str, arguments)):
            assert_addressed(result.err)
        return result


def program(
    *arguments: object,
    stdin: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Result:
    """Run pkigen as a program of its own."""
    done = subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
        input=stdin or "",
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )
    result = Result(code=done.returncode, out=done.stdout, err=done.stderr)
    assert_civil(result)
    return result


def assert_civil(result: Result) -> None:
    """Whatever happens: no traceback, no fault of pkigen's own, no private bytes, errors in their form."""
    assert "Traceback" not in result.err + result.out, result.err
    assert "internal error: " not in result.err, result.err
    assert "PRIVATE KEY" not in result.err + result.out
    if result.code in {1, 2}:
        assert result.error, result
        assert not result.error[0].isupper(), result.error
        assert not result.error.endswith("."), result.error
    assert "error: " not in result.out


def assert_addressed(said: str) -> None:
    """Where the directory was named, every command that is said next names it, too."""
    said = re.sub(r"(?:without -C: |is in use by |an interrupted )`[^`]*`", "", said)
    for words in (found.split() for found in re.findall(r"`pkigen ([a-z][^`]*)`", said)):
        assert {"-C", "--dir", "TREE"} & set(words) or not takes_directory(words), said


def unaddressed(said: str) -> str:
    """What was said, as where no command needs to be told which cluster is meant."""
    return re.sub(r"(`pkigen [^`]*?) -C [^`]*`", r"\1`", said)


def photograph(root: Path) -> dict[str, tuple[int, int, bytes | None]]:
    """Everything below a directory, `.pkigen` too: mode, time of last change, bytes; but for the index.

    A plan may keep one, which is no change.
    """
    found: dict[str, tuple[int, int, bytes | None]] = {}
    for path in sorted(root.rglob("*")):
        if path.name == "index":
            continue
        status = path.lstat()
        changed = status.st_mtime_ns if path.name != ".pkigen" else 0
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found[str(path.relative_to(root))] = (status.st_mode, changed, data)
    return found


def contents(root: Path) -> dict[str, bytes]:
    """The bytes of every file that is made from the spec: without the spec itself, and `.pkigen`."""
    return {
        name: data
        for name, (_, _, data) in photograph(root).items()
        if data is not None and name != SPEC_FILE and not name.startswith(".pkigen/")
    }


def copy_of(tree: Path, to: Path) -> Path:
    """Copy a PKI directory with its modes and times."""
    shutil.copytree(tree, to, symlinks=True)
    return to


class MadeTrees:
    """What `init` makes of the text of a spec: made once, and copied for every test."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._made: dict[str, Path] = {}

    def copy(self, text: str, to: Path) -> Path:
        """A tree of one's own at a place that does not exist yet."""
        if text not in self._made:
            spec, tree = (self._place / f"{len(self._made)}{suffix}" for suffix in (".yaml", ""))
            spec.write_text(text)
            assert run(["init", str(spec), "-C", str(tree)], system=System(clock=lambda: NOW)) == 0
            self._made[text] = tree
        return copy_of(self._made[text], to)


def changed(old: Mapping[str, object], new: Mapping[str, object]) -> set[str]:
    """The names whose content differs between two photographs."""
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
