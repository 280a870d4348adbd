"""Pages of the documentation whose commands need a cluster are run before a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.program import REPOSITORY as TOP
from tests.live import programs
from tests.live.control_plane import Cluster, boot_static_pods, plug_in
from tests.live.hosts import Network
from tests.pages.blocks import Command, steps
from tests.pages.shell import PageShell
from tests.pages.warm_program import WarmProgram

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.live


def test_people_and_workloads(tmp_path: Path) -> None:
    """docs/how-to/access.md, every command of it."""
    programs.require("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
    every = steps(TOP / "docs/how-to/access.md")
    with Network() as network, WarmProgram() as program:

        def boot(directory: Path) -> tuple[str, ...]:
            cluster = Cluster(out=directory, scratch=tmp_path / "scratch")
            cluster.scratch.mkdir()
            plug_in(network, cluster, {"cp-1": ["10.0.0.11"]})
            boot_static_pods(cluster)
            pid = str(cluster.machines["cp-1"].pid)
            return ("nsenter", "--target", pid, "--mount", "--net", "--pid", "--uts", f"--wd={tmp_path}")

        shell = PageShell(place=tmp_path, programs=program.programs, boot=boot)
        shell.follow(every)
    assert (
        shell.commands == sum(isinstance(step, Command) for step in every) - 1
    )  # what is exported is no run
