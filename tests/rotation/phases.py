"""Trees in every phase of a rotation, as readers of photographs, and the commands that make them."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import yaml

from pkigen.cli.app import run
from pkigen.cli.system import System
from pkigen.desired.inventory import Inventory, derive
from pkigen.rotation.proof import State
from pkigen.state.rotation_phases import observe_rotations
from pkigen.store import FileContent, MissingError
from tests.cli.program import Result, assert_civil
from tests.samples import Unsynced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pkigen.rotation.live import Dial
    from pkigen.spec.model import ClusterSpec

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)
PKI = "etc/kubernetes/pki"

SMALL: dict[str, Any] = {
    "kubernetesVersion": "v1.36.2",
    "encryption": {},
    "nodes": [
        {"name": "cp-1", "roles": ["control-plane"], "addresses": ["10.0.0.11"]},
        {"name": "cp-2", "roles": ["control-plane"], "addresses": ["10.0.0.12"]},
        {"name": "worker-1", "roles": ["worker"], "addresses": ["10.0.0.21"]},
        {"name": "worker-2", "roles": ["worker"], "addresses": ["10.0.0.22"]},
    ],
    "controlPlaneEndpoint": "api.example.com:6443",
    "users": [{"name": "dev1"}],
}


@dataclass(frozen=True, slots=True)
class Photograph:
    """A PKI directory in memory: what a reader finds at every path."""

    files: Mapping[str, bytes]

    @classmethod
    def of(cls, root: Path) -> Photograph:
        return cls(
            {
                str(path.relative_to(root)): path.read_bytes()
                for path in sorted(root.rglob("*"))
                if path.is_file() and path.name not in {"lock", "index"}
            }
        )

    def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
        if path not in self.files:
            raise MissingError(f"{path} is missing")
        data = self.files[path]
        assert len(data) <= limit
        return FileContent(data=data, mode=0o600, size=len(data), uid=0, gid=0, links=1)

    def walk(self, path: str = "") -> Iterator[str]:
        yield from (each for each in self.files if each.startswith(path))

    def but(self, **files: bytes) -> Photograph:
        """The same with other bytes at some paths, given with their slashes as double underscores."""
        return Photograph({**self.files, **{name.replace("__", "/"): data for name, data in files.items()}})

    def with_node_of(self, other: Photograph, node: str) -> Photograph:
        """The same, but a node has the files of another photograph."""
        kept = {path: data for path, data in self.files.items() if not path.startswith(f"nodes/{node}/")}
        brought = {path: data for path, data in other.files.items() if path.startswith(f"nodes/{node}/")}
        return Photograph({**kept, **brought})

    def inventory(self, cluster: ClusterSpec) -> Inventory:
        return derive(cluster, observe_rotations(self))

    def state(self, cluster: ClusterSpec) -> State:
        return State(inventory=self.inventory(cluster), reader=self)


def spec_text(spec: Mapping[str, Any] = SMALL, *, name: str = "prod") -> str:
    """A spec file."""
    document = {"apiVersion": "pkigen/v1", "kind": "Cluster", "metadata": {"name": name}, "spec": dict(spec)}
    return yaml.safe_dump(document, sort_keys=False)


@dataclass(kw_only=True)
class Workshop:
    """A spec, a PKI directory, a clock, and the program."""

    place: Path
    now: datetime = NOW
    dial: Dial | None = None

    @property
    def spec(self) -> Path:
        return self.place / "cluster.yaml"

    @property
    def tree(self) -> Path:
        return self.place / "tree"

    def run(self, *arguments: object) -> Result:
        """Run a command line."""
        out, err = io.StringIO(), io.StringIO()
        system = System(clock=lambda: self.now, filesystem=Unsynced(), dial=self.dial)
        with redirect_stdout(out), redirect_stderr(err):
            code = run([str(each) for each in arguments], system=system)
        result = Result(code=int(code), out=out.getvalue(), err=err.getvalue())
        assert_civil(result)
        return result

    def made(self, text: str | None = None) -> Workshop:
        """Make the tree."""
        self.spec.write_text(text or spec_text())
        result = self.run("init", self.spec, "-C", self.tree)
        assert result.code == 0, result
        return self

    def rotate(self, *what: object, out: bool = True) -> Result:
        """`rotate` with the spec, the directory and --yes."""
        names = [each for each in what if not str(each).startswith("-")]
        options = [each for each in what if str(each).startswith("-")]
        flat = [part for option in options for part in str(option).split(" ", 1)]
        where = ("-C", self.tree) if out else ()
        return self.run("rotate", *names, self.spec, *where, "--yes", *flat)

    def step(self, what: str, step: str, *options: str) -> Result:
        """One step, which must succeed."""
        if step in {"promote", "finish"}:
            forced = (what, step) == ("sa", "finish")
            options = (*options, "--force" if forced else "--assume-distributed")
        result = self.rotate(*what.split(), f"--phase {step}", *options)
        assert result.code == 0, result
        return result

    def photograph(self) -> Photograph:
        return Photograph.of(self.tree)

    def phases(self) -> dict[str, str]:
        """What `status` says."""
        found: dict[str, str] = self.run("status", "-C", self.tree, "-o", "json").json["rotations"]
        return found


def lives(workshop: Workshop, *what: str) -> dict[str, Photograph]:
    """A tree before, amid and after the rotations of some things, together."""
    found = {"stable": workshop.photograph()}
    for step, phase in (("prepare", "prepared"), ("promote", "promoted"), ("finish", "finished")):
        for each in what:
            workshop.step(each, step)
        found[phase] = workshop.photograph()
    return found
