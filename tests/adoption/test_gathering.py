"""What the documentation says of bringing a node's files here, and of bringing them back, is run."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from pkigen.adoption.gathered import node_trees
from tests.adoption.node_shell import can_become, run_on
from tests.cli.program import REPOSITORY, contents
from tests.pages.blocks import Command, commands_for, steps
from tests.pages.shell import PageShell
from tests.pages.warm_program import WarmProgram

if TYPE_CHECKING:
    from pathlib import Path

HERE = "tests/adoption/test_gathering.py"
ADOPT = REPOSITORY / "docs/how-to/adopt.md"
NODES = ("cp-1", "cp-2", "cp-3", "worker-1")


@pytest.mark.parametrize("page", ["docs/how-to/adopt.md", "docs/reference/kubeadm.md"])
def test_a_node_is_read_where_it_runs(page: str, of_pkigen: Path, tmp_path: Path) -> None:
    ((command,),) = commands_for(HERE, REPOSITORY / page)
    assert command.host == "root"
    run_on(of_pkigen / "cp-1", command.words, tmp_path)
    shutil.unpack_archive(tmp_path / "NODE.tar.gz", tmp_path / "copies/cp-1", filter="tar")
    wanted = contents(of_pkigen / "cp-1")
    tops = ("etc/kubernetes/", "var/lib/kubelet/")
    assert contents(tmp_path / "copies/cp-1") == {
        path: content for path, content in wanted.items() if path.startswith(tops)
    }
    assert [node.name for node in node_trees(tmp_path / "NODE.tar.gz")] == ["NODE"]
    assert [node.name for node in node_trees(tmp_path / "copies")] == ["cp-1"]


def test_the_machine_of_the_tests_is_not_read(tmp_path: Path) -> None:
    """The control."""
    if not can_become():
        pytest.skip("no command can have mounts of its own here")
    node = tmp_path / "node"
    (node / "etc/kubernetes").mkdir(parents=True)
    run_on(node, "ls /etc > seen", tmp_path)
    assert (tmp_path / "seen").read_text() == "kubernetes\n"


def test_nodes_are_gathered_and_get_their_files_back(of_pkigen: Path, tmp_path: Path) -> None:
    commands = [step for step in steps(ADOPT) if isinstance(step, Command) and "for node in" in step.words]
    bringing, returning = commands
    for node in NODES:
        shutil.copytree(of_pkigen / node, tmp_path / "machines" / node, symlinks=True)
    with WarmProgram() as program:
        shell = PageShell(place=tmp_path, programs=program.programs)
        shell.follow([bringing])
        for node in NODES:
            shutil.unpack_archive(tmp_path / f"{node}.tar.gz", tmp_path / "prod/nodes" / node, filter="tar")
            assert contents(tmp_path / "prod/nodes" / node) == contents(of_pkigen / node)
            (tmp_path / "prod/nodes" / node / "etc/kubernetes/new").write_text(node)
        shell.follow([returning])
    for node in NODES:
        assert (tmp_path / "machines" / node / "etc/kubernetes/new").read_text() == node
