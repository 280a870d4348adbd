"""Plausible wrong arguments: each is told what it is, and the hint is one that works for that command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pkigen.cli.app import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.program import InProcess, Result

SPEC_COMMANDS = [
    ("validate",), ("init",), ("plan",), ("apply",), ("rotate", "sa"), ("status",), ("verify",),
    ("rotate", "encryption-key"), ("authority", "init"), ("iam",),
    ("bundle", "create", "--out", "medium"), ("node", "request", "--out", "medium"),
]  # fmt: skip
BY_RECORD = [
    ("status",), ("verify",), ("rollback",), ("rollback", "--list"), ("changes",),
    ("authority", "encrypt"), ("authority", "decrypt"), ("authority", "rekey"),
]  # fmt: skip
BY_SPEC = [
    ("plan",), ("apply",), ("rescue",), ("bootstrap-token",), ("sign", "--csr", "x", "--user", "x"),
    ("renew",), ("rotate", "sa"),
]  # fmt: skip


@pytest.fixture
def here(tree: Path, spec: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which the spec and its tree `home` lie; the one where commands are given."""
    monkeypatch.chdir(tree.parent)
    assert spec.parent == tree.parent
    return tree.parent


def refused(result: Result) -> tuple[str, str]:
    assert (result.code, result.out) == (2, "")
    return result.error, result.hint


@pytest.mark.parametrize("command", SPEC_COMMANDS, ids=" ".join)
def test_a_directory_in_place_of_its_spec(pkigen: InProcess, here: Path, command: tuple[str, ...]) -> None:
    error, hint = refused(pkigen(*command, "home"))
    assert error == "home is a cluster's directory, not a spec"
    assert hint == "name a cluster's directory with -C: -C home"
    (here / "other").mkdir()
    assert refused(pkigen(*command, "other"))[0] == "other is a directory, not a spec"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", SPEC_COMMANDS, ids=" ".join)
def test_a_record_in_place_of_a_spec(pkigen: InProcess, command: tuple[str, ...]) -> None:
    assert pkigen("plan", "home.yaml", "-C", "home", "--save", "plan.json").code == 0
    for file, said in (("home/pki.lock", "the lock file of a PKI directory"), ("plan.json", "a saved plan")):
        result = pkigen(*command, file)
        assert result.error == "1 problem in the spec"
        assert f"kind: must be Cluster: this is {said}" in result.err


@pytest.mark.parametrize("command", [*BY_RECORD, *BY_SPEC], ids=" ".join)
def test_a_directory_that_is_none(pkigen: InProcess, here: Path, command: tuple[str, ...]) -> None:
    (here / "empty").mkdir()
    for place, meant in ((".", " (home)"), ("home/pki", f" ({here}/home)"), ("empty", "")):
        error, hint = refused(pkigen(*command, "-C", place))
        assert error.startswith(f"{place} ")
        assert "pki.lock" in error
        assert hint.startswith(f"name the cluster's directory{meant} with -C")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", [("rollback",), ("rollback", "--list"), ("changes",)], ids=" ".join)
def test_a_directory_in_place_of_a_backup(pkigen: InProcess, command: tuple[str, ...]) -> None:
    assert refused(pkigen(*command, "home")) == (
        "home is a directory, and no backup's ID",
        "name the cluster's directory with -C home",
    )
    assert pkigen("rollback", "--list", "-C", "home").code == 0
    assert refused(pkigen(*command, "home.yaml")) == (
        "home.yaml is a file, and no backup's ID",
        "`pkigen rollback --list` lists the IDs",
    )


def test_a_choice_that_is_none_is_told_on_one_line(pkigen: InProcess) -> None:
    assert refused(pkigen("rotate", "ca"))[0] == "missing argument '[SPEC] CA'"
    assert refused(pkigen("status", "-o", "foo"))[0].startswith(
        "invalid value for '--output' / '-o': 'foo' is not one of 'text', 'json'"
    )


def test_a_group_without_its_command_names_them(pkigen: InProcess) -> None:
    groups = [name for name in COMMANDS if "Commands:" in pkigen(name, "--help").out]
    assert {"rotate", "bundle", "authority", "node", "csr"} <= set(groups)
    for name in groups:
        error, hint = refused(pkigen(name))
        assert error.startswith(f"`pkigen {name}` needs one of its commands: ")
        assert hint == f"see `pkigen {name} --help`"
    assert refused(pkigen("csr"))[0] == "`pkigen csr` needs one of its commands: new, manifest"
