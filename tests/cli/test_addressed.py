"""Commands that are said next name the cluster as the command line did: they run as they are pasted."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from pkigen.cli.addressed import addressed, takes_directory
from pkigen.cli.app import LEAVES
from tests.cli.program import InProcess, copy_of, program

if TYPE_CHECKING:
    from pathlib import Path

_NAMED = "the cluster"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("`pkigen plan`, `pkigen apply`", f"`pkigen plan -C '{_NAMED}'`, `pkigen apply -C '{_NAMED}'`"),
        ("`pkigen rotate ca kubernetes`", f"`pkigen rotate ca kubernetes -C '{_NAMED}'`"),
        ("`pkigen rotate … --phase rollback`", f"`pkigen rotate … --phase rollback -C '{_NAMED}'`"),
        ("`pkigen access csr manifest`", f"`pkigen access csr manifest -C '{_NAMED}'`"),
        ("`pkigen airgap authority accept ANSWER`", f"`pkigen airgap authority accept ANSWER -C '{_NAMED}'`"),
    ],
)
def test_what_works_on_a_cluster_names_it(said: str, meant: str) -> None:
    assert addressed(said, _NAMED) == meant


@pytest.mark.parametrize(
    "said",
    [
        "`pkigen plan -C other`",
        "`pkigen plan --dir other`",
        "`pkigen init --help`",
        "home is in use by `pkigen apply` (process 1)",
        "an interrupted `pkigen apply` was undone",
        "`pkigen verify TREE` of the same files",
        "`pkigen airgap node request`, on the node",
        "`pkigen airgap bundle install FILE --pin …`",
        "`pkigen airgap authority sign`",
        "`pkigen fleet apply fleet.yaml`",
        "`pkigen access csr new`",
        "`pkigen access csr`",
        "`pkigen --debug …`",
        "`pkigen nonsense`",
        "pkigen plan",
        "`kubectl apply`",
    ],
)
def test_what_names_one_or_works_on_none_stays(said: str) -> None:
    assert addressed(said, _NAMED) == said


def test_every_command_is_known() -> None:
    assert takes_directory(("plan",))
    assert {" ".join(leaf) for leaf in LEAVES if takes_directory(leaf)} >= {"init", "rescue", "status"}


def _commands(text: str) -> list[list[str]]:
    return [shlex.split(each) for each in re.findall(r"`pkigen ([^`]*)`", text)]


def test_a_hint_of_a_lower_room_is_pasted(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    root = copy_of(tree, tmp_path / _NAMED)
    (root / "addons/dev.yaml").unlink(missing_ok=True)
    (root / "nodes/cp-1/etc/kubernetes/pki/apiserver.crt").unlink()
    for place in (("-C", root, "renew"), ("renew", "-C", root)):
        refused = pkigen(*place, "admin.conf", "--yes")
        assert refused.code == 1
        commands = _commands(refused.hint)
        assert [each[0] for each in commands] == ["plan", "apply"]
        assert all(each[-2:] == ["-C", str(root)] for each in commands)
    assert pkigen(*_commands(refused.hint)[0]).code == 0


def test_a_group_takes_it_too(pkigen: InProcess, tree: Path) -> None:
    refused = pkigen("airgap", "-C", tree, "authority", "request")
    assert (refused.code, _commands(refused.hint)) == (2, [["init", "-C", str(tree)]])


def test_where_a_spec_has_named_it(tree: Path, tmp_path: Path) -> None:
    own = tree / "cluster.yaml"
    refused = program("airgap", "authority", "request", own, cwd=tmp_path)
    assert _commands(refused.hint) == [["init", "-C", str(tree)]]


def test_where_any_command_finds_it_nothing_is_added(tree: Path) -> None:
    refused = program("airgap", "authority", "request", cwd=tree)
    assert _commands(refused.hint) == [["init"]]
    by_variable = program("airgap", "authority", "request", cwd="/", env={"PKIGEN_DIR": str(tree)})
    assert _commands(by_variable.hint) == [["init"]]
    inside = program("airgap", "authority", "request", "-C", ".", cwd=tree)
    assert _commands(inside.hint) == [["init", "-C", "."]]


def test_the_offline_authority_is_no_cluster(pkigen: InProcess, tree: Path, spec: Path) -> None:
    refused = pkigen("airgap", "-C", tree, "authority", "init", spec)
    assert (refused.code, refused.error) == (2, "`pkigen airgap authority init` takes no cluster's directory")


def test_a_cluster_that_was_named_is_forgotten(pkigen: InProcess, tree: Path, tmp_path: Path) -> None:
    assert pkigen("airgap", "authority", "request", "-C", tree).code == 2
    refused = pkigen("apply", tmp_path / "none.json")
    assert str(tree) not in refused.err
