"""A site without a network: an authority and nodes, each a machine of its own; files are carried by hand.

Each machine has its own name, network, /etc and /var/lib, the two on different file systems, and gets nothing
but the files that somebody carries to it, and the fingerprints that somebody says on the telephone.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.control_plane import Cluster, plug_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.live.hosts import Machine, Network

PKIGEN = (sys.executable, "-m", "pkigen")
PKI = "/etc/kubernetes/pki"
_COVERED = ("/etc", "/run", "/srv", "/var/lib", "/var/log")


def require_own_directories() -> None:
    """Skip where the machines' own directories would cover this Python, or this checkout."""
    places = (sys.prefix, __file__)
    if any(Path(place).resolve().is_relative_to(hidden) for place in places for hidden in _COVERED):
        pytest.skip("this Python or this checkout is where the machines have their own directories")


@dataclass(frozen=True, kw_only=True)
class Site:
    """The authority, the nodes, and the medium that goes between them."""

    authority: Machine
    cluster: Cluster
    medium: Path

    @classmethod
    def plugged_in(cls, network: Network, scratch: Path, nodes: Mapping[str, Sequence[str]]) -> Site:
        """Machines that have nothing yet; that of the authority has no network either.

        Args:
            network: Which the nodes are plugged into.
            scratch: A directory outside, for what was installed, the medium and logs.
            nodes: Names and addresses.
        """
        cluster = Cluster(out=scratch / "as-installed", scratch=scratch)
        for name in nodes:
            cluster.node(name).mkdir(parents=True)
        medium = scratch / "medium"
        medium.mkdir()
        plug_in(network, cluster, nodes, names={"api.site.example.com": "127.0.0.1"})
        return cls(authority=unplugged(network, "authority", scratch), cluster=cluster, medium=medium)

    def pin(self) -> str:
        """The fingerprint of the bundle key; on the telephone, not on the medium."""
        init = ("init", "/srv/site.yaml", "-C", "/srv/site", "-o", "json")
        return str(json.loads(self.authority.run(*PKIGEN, *init))["bundleKey"])

    def carry(self, name: str, source: Machine, to: Machine) -> str:
        """A file of /srv of one machine, brought to another's on a medium; its path there."""
        source.run("cp", f"/srv/{name}", self.medium)
        to.run("cp", self.medium / name, "/srv/")
        (self.medium / name).unlink()
        return f"/srv/{name}"

    def carried(self, node: str) -> str:
        """One node's bundle, brought from the authority to that node; its path there."""
        return self.carry(f"site.{node}.bundle", self.authority, self.cluster.machines[node])

    def install(self, node: str, pin: str) -> None:
        """Install a node's bundle, and keep a copy of what that has put there."""
        machine = self.cluster.machines[node]
        said = machine.run(*PKIGEN, "airgap", "bundle", "install", self.carried(node), "--pin", pin, "--yes")
        assert "installed: " in said
        for place in ("/etc/kubernetes", "/var/lib/kubelet"):
            machine.run("cp", "-a", "--parents", place, self.cluster.node(node))


def unplugged(network: Network, name: str, scratch: Path) -> Machine:
    """A machine that no wire leads to."""
    empty = scratch / f"{name}-tree"
    empty.mkdir()
    machine = network.machine(name, empty, addresses=(), programs=scratch / "programs", scratch=scratch)
    machine.run("ip", "link", "delete", "eth0")
    return machine


def said_after(label: str, text: str) -> str:
    """The word that a program has printed after a label at the beginning of a line."""
    (line,) = (each for each in text.splitlines() if each.startswith(f"{label} "))
    return line.removeprefix(f"{label} ").split()[0]
