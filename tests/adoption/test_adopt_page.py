"""docs/how-to/adopt.md shows what its commands say of a cluster that a real kubeadm has made."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.program import REPOSITORY
from tests.pages.blocks import steps
from tests.pages.shell import PageShell
from tests.pages.warm_program import WarmProgram

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.live

NODES = ("cp-1", "cp-2", "cp-3", "worker-1")


def test_the_page_shows_what_the_commands_say(of_kubeadm: Path, tmp_path: Path) -> None:
    for node in NODES:
        shutil.copytree(of_kubeadm / node, tmp_path / "copies" / node, symlinks=True)
        archive = tmp_path / f"{node}.tar.gz"
        tops = ("etc/kubernetes", "var/lib/kubelet")
        subprocess.run(["tar", "-C", of_kubeadm / node, "-czf", archive, *tops], check=True)
    with WarmProgram() as program:
        shell = PageShell(place=tmp_path, programs=program.programs)
        shell.follow(steps(REPOSITORY / "docs/how-to/adopt.md"))
    assert shell.commands == 16
