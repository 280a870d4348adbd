"""Pages of the documentation whose commands need a cluster are run before a real one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.cli.program import REPOSITORY as TOP
from tests.live import programs, rotating
from tests.live.control_plane import Cluster, boot_static_pods, pkigen, plug_in, static_pods
from tests.live.hosts import Network
from tests.pages.blocks import Command, steps
from tests.pages.shell import PageShell
from tests.pages.warm_program import WarmProgram

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.live


@dataclass(slots=True, kw_only=True)
class OneNode:
    """A control plane of one node, on a machine of its own."""

    network: Network
    node: str
    place: Path
    cluster: Cluster = field(init=False)

    def boot(self, directory: Path) -> tuple[str, ...]:
        self.cluster = Cluster(out=directory, scratch=self.place / "scratch")
        self.cluster.scratch.mkdir()
        plug_in(self.network, self.cluster, {self.node: ["10.0.0.11"]})
        boot_static_pods(self.cluster)
        pid = str(self.cluster.machines[self.node].pid)
        return ("nsenter", "--target", pid, "--mount", "--net", "--pid", "--uts", f"--wd={self.place}")

    def deliver(self, directory: Path) -> None:
        """As `pkigen show` says; the kubelet, which the machine does not have, is left out."""
        rotating.deliver(self.cluster, self.node)
        restarts = json.loads(pkigen("show", "-C", directory, "-o", "json").stdout)["restarts"]
        pods = static_pods(self.cluster, self.node)
        named = rotating.restarts_of(restarts, self.node)
        for component in filter(named.__contains__, pods):
            rotating.restart(self.cluster, self.node, component, pods[component].probe)


@pytest.fixture
def network() -> Iterator[Network]:
    programs.require("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
    with Network() as made:
        yield made


@pytest.mark.parametrize(
    ("node", "pages"),
    [
        ("cp1", ["tutorial/first-cluster.md", "tutorial/rotated-ca.md"]),
        ("cp-1", ["how-to/access.md"]),
    ],
    ids=["tutorial", "access"],
)
def test_the_pages_are_right(network: Network, node: str, pages: list[str], tmp_path: Path) -> None:
    """One page after the other, in the same directory and before the same cluster."""
    every = [step for page in pages for step in steps(TOP / "docs" / page)]
    running = OneNode(network=network, node=node, place=tmp_path)
    with WarmProgram() as program:
        shell = PageShell(place=tmp_path, programs=program.programs, running=running)
        shell.follow(every)
    commands = [step for step in every if isinstance(step, Command)]
    assert shell.commands == sum(not each.words.startswith("export ") for each in commands)
    assert any(each.in_cluster for each in commands)
