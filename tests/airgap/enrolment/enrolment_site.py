"""An authority, and nodes that make their own keys, each a directory; files on a medium go between them."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pkigen.cli.app import run
from pkigen.cli.system import System
from tests.cli.program import Result, assert_civil
from tests.samples import NOW, Unsynced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from pkigen.store import FileSystem

SPEC: dict[str, Any] = {
    "apiVersion": "pkigen/v1",
    "kind": "Cluster",
    "metadata": {"name": "prod"},
    "spec": {
        "kubernetesVersion": "v1.36.2",
        "certificates": {"nodeKeys": "node", "overrides": {"kubelet.conf": {"keyAlgorithm": "RSA-2048"}}},
        "nodes": [
            {"name": "cp-1", "roles": ["control-plane"], "addresses": ["10.0.0.11"]},
            {"name": "etcd-1", "roles": ["etcd"], "addresses": ["10.0.0.31"]},
            {"name": "worker-1", "roles": ["worker"], "addresses": ["10.0.0.21"]},
            {"name": "worker-2", "roles": ["worker"], "addresses": ["10.0.0.22"], "keys": "authority"},
        ],
    },
}
"""A control-plane node, an etcd member and a worker with keys of their own, and a worker without."""

SMALL: dict[str, Any] = {
    **SPEC,
    "spec": {
        "kubernetesVersion": "v1.36.2",
        "nodes": [
            {"name": "cp-1", "roles": ["control-plane"], "addresses": ["10.0.0.11"]},
            {"name": "worker-1", "roles": ["worker"], "addresses": ["10.0.0.21"], "keys": "node"},
        ],
    },
}
"""One node that makes its own keys."""


def with_node(spec: dict[str, Any], name: str, **changes: Any) -> dict[str, Any]:
    """The spec with one node changed."""
    changed = copy.deepcopy(spec)
    node = next(each for each in changed["spec"]["nodes"] if each["name"] == name)
    node.update(changes)
    return changed


@dataclass(kw_only=True)
class EnrolmentSite:
    """Everything that a test needs: `tree` is the authority's, `medium` is carried."""

    base: Path
    spec: dict[str, Any]
    """As the file has it."""
    now: datetime = NOW
    filesystem: FileSystem = field(default_factory=Unsynced)

    @classmethod
    def made(cls, base: Path, spec: dict[str, Any], *options: object) -> EnrolmentSite:
        """After `init`, with a root directory for each node, and an identity where `init` has to know it."""
        places = cls(base=base, spec=copy.deepcopy(spec))
        places.medium.mkdir(parents=True)
        home = spec["spec"].get("certificates", {}).get("nodeKeys")
        for node in places.spec["spec"]["nodes"]:
            root = places.root(node["name"])
            root.mkdir(mode=0o755)
            if node.get("keys", home) != "node":
                node["ageRecipient"] = places.good("airgap", "node", "identity", "--root", root).out.strip()
        places.write_spec()
        places.good("init", places.file, "-C", places.tree, *options)
        return places

    @property
    def file(self) -> Path:
        """The spec."""
        return self.base / "cluster.yaml"

    @property
    def tree(self) -> Path:
        """The PKI directory."""
        return self.base / "prod"

    @property
    def medium(self) -> Path:
        """What is carried."""
        return self.base / "medium"

    def root(self, node: str) -> Path:
        """A node's root directory."""
        return self.base / f"root-{node}"

    def write_spec(self, spec: dict[str, Any] | None = None) -> None:
        """From now on the spec is another one."""
        self.spec = spec or self.spec
        self.file.write_text(json.dumps(self.spec))

    def copy(self, to: Path) -> EnrolmentSite:
        """The same in another place."""
        shutil.copytree(self.base, to, symlinks=True)
        return EnrolmentSite(base=to, spec=self.spec, now=self.now)

    # -- commands -------------------------------------------------------------------------------------

    def run(self, *arguments: object) -> Result:
        """Run a command line."""
        out, err = io.StringIO(), io.StringIO()
        system = System(clock=lambda: self.now, filesystem=self.filesystem)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([str(each) for each in arguments], system=system)
        result = Result(code=int(code), out=out.getvalue(), err=err.getvalue())
        assert_civil(result)
        return result

    def good(self, *arguments: object) -> Result:
        """Run a command line that works."""
        result = self.run(*arguments)
        assert result.code == 0, result
        return result

    @property
    def pin(self) -> str:
        """The cluster's bundle key."""
        done = self.good("init", self.file, "-C", self.tree, "-o", "json")
        return str(done.json["bundleKey"])

    def request(self, node: str, *more: object) -> str:
        """Ask on the node; the result is the fingerprint of its request key."""
        result = self.good(*self.requesting(node), *more)
        return next(line for line in result.out.splitlines() if line.startswith("signed by")).split()[-1]

    def requesting(self, node: str) -> tuple[object, ...]:
        """The command line for that."""
        return (
            *("airgap", "node", "request", self.file, "--root", self.root(node)),
            *("--node", node, "--out", self.medium),
        )

    def approving(self, node: str, *more: object) -> tuple[object, ...]:
        """The command line that approves at the authority."""
        request = self.medium / f"prod.{node}.request"
        return ("airgap", "node", "approve", self.file, request, "-C", self.tree, "--out", self.medium, *more)

    def installing(self, node: str, *more: object) -> tuple[object, ...]:
        """The command line that installs on the node."""
        bundle = self.medium / f"prod.{node}.bundle"
        return ("airgap", "bundle", "install", bundle, "--root", self.root(node), "--node", node, *more)

    def enrol(self, node: str, *more: object) -> None:
        """All three steps."""
        signer = self.request(node, *more)
        self.good(*self.approving(node, "--pin", signer, "--yes"))
        self.good(*self.installing(node, "--pin", self.pin, "--yes"))


def files(root: Path) -> Iterator[Path]:
    """Every file below a directory."""
    return (path for path in sorted(root.rglob("*")) if path.is_file())
