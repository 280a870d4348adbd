"""docs/how-to/adopt.md shows what its commands say of a cluster that a real kubeadm has made."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.adoption.node_shell import run_on
from tests.cli.program import REPOSITORY
from tests.pages.blocks import commands_for, steps
from tests.pages.shell import PageShell
from tests.pages.warm_program import WarmProgram

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.live

NODES = ("cp-1", "cp-2", "cp-3", "worker-1")


def test_the_page_shows_what_the_commands_say(of_kubeadm: Path, tmp_path: Path) -> None:
    page = REPOSITORY / "docs/how-to/adopt.md"
    ((gathering,),) = commands_for("tests/adoption/test_gathering.py", page)
    for node in NODES:
        machine = tmp_path / "machines" / node
        shutil.copytree(of_kubeadm / node, machine, symlinks=True)
        (machine / "var/lib/kubelet/pki").mkdir()  # the kubelet makes it when it starts
        run_on(machine, gathering.words, tmp_path)
        shutil.unpack_archive(tmp_path / "NODE.tar.gz", tmp_path / "copies" / node, filter="tar")
    (tmp_path / "NODE.tar.gz").unlink()
    with WarmProgram() as program:
        shell = PageShell(place=tmp_path, programs=program.programs)
        shell.follow(steps(page))
    assert shell.commands == 18
    for node in NODES:
        before = of_kubeadm / node / "etc/kubernetes/kubelet.conf"
        after = tmp_path / "machines" / node / "etc/kubernetes/kubelet.conf"
        assert after.read_bytes() != before.read_bytes(), "it was renewed, and copied"
