"""Commands to be disturbed, and the judge of what they leave: the old tree, a new one, or neither."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pkigen.cli.app import run
from pkigen.cli.system import System
from tests.cli.program import HOME, Result, assert_civil

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pkigen.store import FileSystem

Point = TypeVar("Point")

_FAULTS = os.environ.get("PKIGEN_FAULTS", "")
_NO_LOCK = re.compile("it has no pki[.]lock|has lost its pki[.]lock")


def wanted(default: int) -> int:
    """How many points a sweep tries: some, as many as PKIGEN_FAULTS says, or every one (`all`: hours)."""
    if _FAULTS == "all":
        return sys.maxsize
    return max(default, int(_FAULTS)) if _FAULTS else default


def chosen(everything: Sequence[Point], count: int) -> list[Point]:
    """Evenly chosen ones, or all."""
    count = min(count, len(everything))
    return [everything[number * len(everything) // count] for number in range(count)]


CHANGED = HOME.replace(
    "  users:\n    - name: dev1\n",
    "    - {name: worker-1, roles: [worker], addresses: [10.0.0.21]}\n"
    "  apiServer:\n    certSANs: [api.example.com]\n  users:\n    - name: dev2\n",
)
"""Creates a node and a user, reissues a certificate, rewrites manifests, removes a user."""

Files = dict[str, tuple[int, bytes]]


def pkigen(*arguments: object, filesystem: FileSystem | None = None) -> Result:
    """Run a command line in this process; a simulated crash passes through."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([str(each) for each in arguments], system=System(filesystem=filesystem))
    result = Result(code=int(code), out=out.getvalue(), err=err.getvalue())
    assert_civil(result)
    return result


def files_of(root: Path) -> Files:
    """Every file of the tree with its mode, pkigen's own `.pkigen` left out."""
    return {
        str(path.relative_to(root)): (path.stat().st_mode, path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] != ".pkigen"
    }


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A command over a tree: what was there, and which paths an undisturbed run changes."""

    name: str
    place: Path
    spec: Path
    command: tuple[str, ...]
    old: Files
    names: frozenset[str]
    changes: frozenset[str]

    def copy(self, name: str) -> Path:
        """A tree of its own to disturb; nothing where the command makes the first one."""
        root = self.place / f"{self.name}-{name}"
        if self.old:
            shutil.copytree(self.place / "original", root, symlinks=True)
        return root

    def arguments(self, root: Path) -> tuple[str, ...]:
        """The command line."""
        verb, *options = self.command
        return (verb, str(self.spec), "-C", str(root), *options)

    def verdict(self, root: Path) -> str:
        """What a reader finds: `old`, `new` or `broken`, and why."""
        if not root.exists():
            return "old" if not self.old else "broken: the tree is gone"
        status = pkigen("status", "-C", root)
        if status.code != 0 and (self.old or not _NO_LOCK.search(status.error)):
            return f"broken: {status.err}"
        files = files_of(root)
        if files == self.old:
            return "old"
        return self._new(root, files)

    def _new(self, root: Path, files: Files) -> str:
        different = frozenset(name for name in self.old | files if self.old.get(name) != files.get(name))
        if (frozenset(files), different) != (self.names, self.changes):
            return f"broken: {len(different)} of {len(self.changes)} changed"
        for check in (("verify", "-C", root), ("plan", self.spec, "-C", root, "--exit-code")):
            result = pkigen(*check)
            if result.code != 0:
                return f"broken: {check[0]} says {result.out}{result.err}"
        return "new"

    def finish(self, root: Path) -> str:
        """The next run of the same command: it must succeed, and leave the new tree; what it said."""
        result = pkigen(*self.arguments(root))
        assert result.code == 0, result
        assert frozenset(files_of(root)) == self.names
        assert pkigen("verify", "-C", root).code == 0
        left = {path.name for path in (root / ".pkigen").iterdir()}
        assert left <= {"lock", "ledger.jsonl", "backups", "index", "index.new"}, left
        return result.err


def scenes(place: Path) -> dict[str, Scene]:
    """The three commands that write, each with its tree and its undisturbed outcome."""
    (place / "home.yaml").write_text(HOME)
    (place / "changed.yaml").write_text(CHANGED)
    original = place / "original"
    assert pkigen("init", place / "home.yaml", "-C", original).code == 0
    found = {}
    for name, spec, command in (
        ("init", "home.yaml", ("init",)),
        ("apply", "changed.yaml", ("apply", "--yes")),
        ("renew", "home.yaml", ("renew", "--all", "--yes")),
    ):
        old = {} if name == "init" else files_of(original)
        scene = Scene(
            name=name,
            place=place,
            spec=place / spec,
            command=command,
            old=old,
            names=frozenset(),
            changes=frozenset(),
        )
        root = scene.copy("undisturbed")
        result = pkigen(*scene.arguments(root))
        assert result.code == 0, result
        new = files_of(root)
        found[name] = Scene(
            name=name,
            place=place,
            spec=place / spec,
            command=command,
            old=old,
            names=frozenset(new),
            changes=frozenset(path for path in old | new if old.get(path) != new.get(path)),
        )
        shutil.rmtree(root)
    return found
