"""The cluster's directory is the noun: one rule finds it, and it holds the cluster's spec."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from pkigen.cli.directory import NoClusterError, find_directory
from tests.cli.program import DAY, HOME, InProcess, contents, photograph

if TYPE_CHECKING:
    from pathlib import Path

MOVED = HOME.replace("10.0.0.11", "10.0.0.12")
OTHER = HOME.replace("name: home", "name: other")


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory that is no cluster's."""
    place = tmp_path / "outside"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


# -- the rule ----------------------------------------------------------------------------------------------


def test_the_order(tree: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """-C, then the variable, then the surroundings, then the directory of the spec."""
    own = tree / "cluster.yaml"
    assert find_directory(None, own).root == tree
    monkeypatch.chdir(tree / "nodes/cp-1/etc")
    assert find_directory(None, None).root == tree
    monkeypatch.setenv("PKIGEN_DIR", str(tmp_path / "variable"))
    assert find_directory(None, own).root == tmp_path / "variable"
    assert find_directory(outside, own).root == outside
    monkeypatch.setenv("PKIGEN_DIR", "")
    assert find_directory(None, None).root == tree


def test_no_cluster_says_where_it_was_looked_for(outside: Path, spec: Path) -> None:
    with pytest.raises(NoClusterError) as refused:
        find_directory(None, spec)
    assert str(outside) in refused.value.message
    assert str(spec.parent) in refused.value.message
    assert "-C DIR" in refused.value.hint
    assert "PKIGEN_DIR" in refused.value.hint


def test_a_cluster_below_is_offered(
    pkigen: InProcess, spec: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree.parent)
    result = pkigen("plan", spec)
    assert (result.code, result.out) == (2, "")
    assert result.hint == "add -C home"


@pytest.mark.parametrize("command", ["plan", "apply", "renew", "verify", "status", "rescue"])
def test_a_spec_is_never_planned_into_another_cluster(
    pkigen: InProcess, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    other = tmp_path / "elsewhere/other.yaml"
    other.parent.mkdir()
    other.write_text(OTHER)
    monkeypatch.chdir(tree)
    before = photograph(tree)
    result = pkigen(command, other)
    assert (result.code, result.out) == (2, "")
    assert result.error == f"{other} is the spec of cluster other, and {tree} is cluster home"
    assert pkigen("init", other, "-C", tmp_path / "second").code == 0
    result = pkigen(command, tmp_path / "second/cluster.yaml")
    assert result.error.startswith("two clusters are meant: ")
    assert photograph(tree) == before


def test_a_first_run_makes_nothing_inside_of_a_cluster(
    pkigen: InProcess, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(OTHER)
    monkeypatch.chdir(tree / "nodes")
    before = photograph(tree)
    result = pkigen("init", other)
    assert (result.code, result.out) == (2, "")
    assert "would be made inside of it" in result.error
    assert "matches the spec: nothing to do" in pkigen("init", tree / "cluster.yaml").out
    assert photograph(tree) == before


def test_it_may_be_named_before_the_command(pkigen: InProcess, tree: Path, outside: Path) -> None:
    assert outside.exists()
    assert pkigen("-C", tree, "verify").code == 0
    assert pkigen("--dir", tree, "status").out == pkigen("status", "--dir", tree).out
    assert pkigen("-C", outside, "plan", "-C", tree).code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("access", "oidc", "jwks"),
        ("access", "token", "--service-account", "a/b", "--audience", "c", "--validity", "1h", "--uid", "1"),
        ("rotate", "ca", "etcd", "--prove"),
        ("airgap", "authority", "encrypt", "--yes"),
    ],
    ids=" ".join,
)
def test_it_may_be_named_behind_each_word(
    pkigen: InProcess, tree: Path, outside: Path, words: tuple[str, ...]
) -> None:
    found = set()
    for place in range(len(words) + 1):
        if place and words[place - 1].startswith("-") and words[place - 1] not in {"--prove", "--yes"}:
            continue  # the value of an option
        result = pkigen(*words[:place], "-C", tree, *words[place:])
        found.add((result.code, result.error))
    assert len(found) == 1, found
    assert str(tree.name) not in result.error or "no cluster" not in result.error
    assert pkigen("-C", outside, words[0], "-C", tree, *words[1:]).error == result.error, "the nearest one"


# -- its spec ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["-C", "elsewhere", "validate", "cluster.yaml"],
        ["validate", "-C", "elsewhere", "cluster.yaml"],
        ["access", "-C", "elsewhere", "kubeconfig", "show", "admin.conf"],
        ["access", "kubeconfig", "show", "--dir", "elsewhere", "admin.conf"],
        ["-C", "elsewhere", "airgap", "bundle", "inspect", "cp-1.pkigen"],
    ],
)
def test_a_command_that_works_on_no_cluster_refuses_it(pkigen: InProcess, words: list[str]) -> None:
    """It would not be looked at."""
    result = pkigen(*words)
    assert result.code == 2
    assert "takes no cluster's directory" in result.error
    assert "leave -C out" in result.hint


def test_the_variable_is_for_the_commands_that_use_it(
    pkigen: InProcess, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PKIGEN_DIR", "elsewhere")
    assert pkigen("validate", spec).code == 0


def test_init_keeps_the_spec_byte_for_byte(pkigen: InProcess, tmp_path: Path) -> None:
    text = b"# of mine\r\n" + HOME.encode()
    (tmp_path / "s.yaml").write_bytes(text)
    assert pkigen("init", tmp_path / "s.yaml", "-C", tmp_path / "prod").code == 0
    assert (tmp_path / "prod/cluster.yaml").read_bytes() == text


def test_the_spec_is_edited_in_place(pkigen: InProcess, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert pkigen("plan", "--exit-code").code == 0
    (tree / "cluster.yaml").write_text(MOVED)
    planned = pkigen("plan", "--exit-code")
    assert planned.code == 3
    assert "SANs + 10.0.0.12 - 10.0.0.11" in planned.out
    assert pkigen("apply", "--yes").code == 0
    assert (tree / "cluster.yaml").read_text() == MOVED
    assert pkigen("plan", "--exit-code").code == 0


def test_a_mistake_in_it_is_said_with_its_place(pkigen: InProcess, tree: Path) -> None:
    (tree / "cluster.yaml").write_text(HOME + "  nope: 1\n")
    result = pkigen("plan", "-C", tree)
    assert result.code == 2
    assert f"{tree}/cluster.yaml:14:3: spec.nope: " in result.err


def test_apply_takes_another_spec_into_the_directory(pkigen: InProcess, tree: Path, spec: Path) -> None:
    spec.write_text(MOVED)
    line = f"spec: {spec} becomes {tree}/cluster.yaml"
    before = contents(tree)
    planned = pkigen("plan", spec, "-C", tree, "--exit-code")
    assert (planned.code, line in planned.out) == (3, True)
    assert pkigen("renew", spec, "apiserver", "-C", tree, "--yes").code == 1
    assert contents(tree) == before
    assert (tree / "cluster.yaml").read_text() == HOME
    applied = pkigen("apply", spec, "-C", tree, "--yes")
    assert (applied.code, line in applied.out) == (0, True)
    assert (tree / "cluster.yaml").read_text() == MOVED
    pkigen.now += DAY
    assert pkigen("rollback", "-C", tree, "--yes").code == 0
    assert (tree / "cluster.yaml").read_text() == HOME
    assert pkigen("plan", "-C", tree, "--exit-code").code == 0


def test_a_spec_that_only_reads_otherwise_is_taken_too(
    pkigen: InProcess, tree: Path, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec.write_text("# another remark\n" + HOME)
    before = contents(tree)
    assert pkigen("plan", spec, "-C", tree, "--exit-code").code == 3
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert pkigen("apply", spec, "-C", tree).code == 1
    assert (tree / "cluster.yaml").read_text() == HOME
    assert pkigen("apply", spec, "-C", tree, "--yes").code == 0
    assert (tree / "cluster.yaml").read_text() == spec.read_text()
    assert {name for name, data in contents(tree).items() if before[name] != data} <= {"pki.lock"}
    assert "nothing to do" in pkigen("apply", spec, "-C", tree).out


def test_without_it_the_lock_file_says_what_the_cluster_is(pkigen: InProcess, tree: Path) -> None:
    (tree / "cluster.yaml").unlink()
    result = pkigen("plan", "-C", tree, "--exit-code")
    assert result.code == 0
    assert f"note: {tree} has no cluster.yaml: " in result.err


def test_what_is_no_file_is_no_spec(pkigen: InProcess, tree: Path, spec: Path) -> None:
    (tree / "cluster.yaml").unlink()
    (tree / "cluster.yaml").symlink_to(spec)
    result = pkigen("plan", "-C", tree)
    assert (result.code, result.out) == (1, "")
    assert "cluster.yaml is a symbolic link" in result.error
