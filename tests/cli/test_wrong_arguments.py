"""Plausible wrong arguments: each is told what it is, and the hint is one that works for that command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pkigen.cli.app import COMMANDS, LEAVES
from pkigen.desired.generations import CA_WORDS, certificate_named

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.program import InProcess, Result

SPEC_COMMANDS = [
    ("validate",), ("init",), ("plan",), ("apply",), ("rotate", "sa"), ("status",), ("verify",),
    ("rotate", "encryption-key"), ("airgap", "authority", "init"), ("access", "iam"),
    ("airgap", "bundle", "create", "--out", "medium"), ("airgap", "node", "request", "--out", "medium"),
]  # fmt: skip
BY_RECORD = [
    ("status",), ("verify",), ("rollback",), ("rollback", "--list"), ("show",),
    ("airgap", "authority", "encrypt"), ("airgap", "authority", "decrypt"), ("airgap", "authority", "rekey"),
]  # fmt: skip
BY_SPEC = [
    ("plan",), ("apply",), ("rescue",), ("renew",), ("rotate", "sa"), ("access", "bootstrap-token"),
    ("access", "sign", "--csr", "x", "--user", "x"),
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
        if (command, file) == (("apply",), "plan.json"):
            continue  # which carries it out
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
        # Of these two, the argument may be a directory of node files, such as the authority's own.
        or_foreign = ("files of nodes are named without -C",) if command in {("status",), ("verify",)} else ()
        assert hint.startswith((f"name the cluster's directory{meant} with -C", *or_foreign))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", [("rollback",), ("rollback", "--list"), ("show",)], ids=" ".join)
def test_a_directory_in_place_of_a_backup(pkigen: InProcess, command: tuple[str, ...]) -> None:
    assert refused(pkigen(*command, "home")) == (
        "home is a directory, and no backup's ID",
        "name the cluster's directory with -C home",
    )
    assert pkigen("rollback", "--list", "-C", "home").code == 0
    assert refused(pkigen(*command, "home.yaml")) == (
        ("home.yaml is not a saved plan", "save one with `pkigen plan --save FILE`")
        if command == ("show",)
        else ("home.yaml is a file, and no backup's ID", "`pkigen rollback --list` lists the IDs")
    )


def test_a_choice_that_is_none_is_told_on_one_line(pkigen: InProcess) -> None:
    assert refused(pkigen("rotate", "ca"))[0] == "missing argument '[SPEC] CA'"
    assert refused(pkigen("status", "-o", "foo"))[0].startswith(
        "invalid value for '--output' / '-o': 'foo' is not one of 'text', 'json'"
    )


def test_a_group_without_its_command_names_them(pkigen: InProcess) -> None:
    every = [*((name,) for name in COMMANDS), *LEAVES]
    groups = {" ".join(words): words for words in every if "Commands:" in pkigen(*words, "--help").out}
    assert {"rotate", "access", "airgap", "airgap bundle", "airgap authority", "access csr"} <= set(groups)
    for name, words in groups.items():
        error, hint = refused(pkigen(*words))
        assert error.startswith(f"`pkigen {name}` needs one of its commands: ")
        assert hint == f"see `pkigen {name} --help`"
    assert (
        refused(pkigen("access", "csr"))[0] == "`pkigen access csr` needs one of its commands: new, manifest"
    )


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("sign --csr x", "access sign"),
        ("bootstrap-token", "access bootstrap-token"),
        ("authority encrypt", "airgap authority"),
        ("bundle create", "airgap bundle"),
        ("changes", "show"),
        ("schema", "validate --schema"),
        ("example", "init --example"),
        ("access bundle", "airgap bundle"),
        ("airgap plan", "plan"),
    ],
)
def test_a_command_of_another_group_is_told_where_it_is(pkigen: InProcess, line: str, place: str) -> None:
    error, hint = refused(pkigen(*line.split()))
    *group, word = line.partition(" -")[0].split()[: 2 if line.startswith(("access", "airgap")) else 1]
    assert error == f"`{' '.join(['pkigen', *group])}` has no command {word!r}"
    assert hint == f"it is `pkigen {place}`"


def test_a_mistyped_command_of_another_group(pkigen: InProcess) -> None:
    assert refused(pkigen("kubecnfig"))[1] == "did you mean `pkigen access kubeconfig`?"
    assert refused(pkigen("access", "bundel"))[1] == "did you mean `pkigen airgap bundle`?"
    assert refused(pkigen("aply")) == ("no such command 'aply'", "did you mean 'apply'?")
    assert refused(pkigen("rotate", "caa")) == ("no such command 'caa'", "did you mean 'ca'?")


def test_a_mistyped_option(pkigen: InProcess) -> None:
    assert refused(pkigen("status", "--nod", "x")) == (
        "no such option: --nod",
        "did you mean --dir or --node?",
    )
    assert refused(pkigen("plan", "--zzz"))[1] == "see `pkigen plan --help`"
    assert refused(pkigen("access", "--color", "never", "sign"))[1].startswith("--color stands before the ")
    assert refused(pkigen("status", "-v")) == (
        "no such option: -v",
        "-v stands before the command: `pkigen -v … status`",
    )
    assert refused(pkigen("zzz")) == ("no such command 'zzz'", "see `pkigen --help`")


@pytest.mark.parametrize("word", CA_WORDS)
def test_a_ca_is_called_the_same_everywhere(pkigen: InProcess, tree: Path, word: str) -> None:
    assert f"renew {certificate_named(word)}: " in pkigen("renew", word, "-C", tree, "--yes").out
    assert pkigen("rotate", "ca", word, "-C", tree, "--prove").code == 0
    if word != "etcd":  # which is the component
        shown = pkigen("explain", word, "-C", tree).out
        assert shown.startswith(f"{certificate_named(word)}: a CA, ")
    for command in (("renew",), ("rotate", "ca"), ("explain",)):
        mistyped = pkigen(*command, f"{word}x", "-C", tree)
        assert (mistyped.code, mistyped.out) == (2, "")
        assert mistyped.hint.startswith("did you mean "), mistyped


def test_what_is_offered_exists(pkigen: InProcess, tree: Path) -> None:
    for mistyped in ("kuberntes", "apiservr", "dev2", "schedulr.conf", "kubelt", "cp-1/etcd-per"):
        hint = pkigen("explain", mistyped, "-C", tree).hint
        assert hint.startswith("did you mean "), mistyped
        assert pkigen("explain", hint.removeprefix("did you mean ").rstrip("?"), "-C", tree).code == 0
    assert refused(pkigen("explain", "cp-1", "-C", tree)) == (
        "cp-1 is a node",
        f"`pkigen status --node cp-1 -C {tree}` shows what is on it",
    )


@pytest.mark.parametrize(
    "command",
    [
        *(
            "apply",
            "explain apiserver",
            "next",
            "plan",
            "renew",
            "rescue",
            "rollback",
            "show",
            "status",
            "verify",
        ),
        *("access bootstrap-token", "access iam", "access oidc jwks", "access sign --csr x --user y"),
        *("airgap authority encrypt", "airgap authority rekey", "airgap authority request"),
        *("airgap bundle create --out x", "airgap node approve x --out y", "rotate sa", "rotate ca ca"),
    ],
)
def test_a_directory_that_is_no_clusters(pkigen: InProcess, tmp_path: Path, command: str) -> None:
    result = pkigen(*command.split(), "-C", tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.error == f"{tmp_path} is no cluster's directory: it has no pki.lock"
    assert "with -C" in result.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [("-C",), ("status", "--node"), ("rotate", "ca", "etcd", "--evidence")], ids=" ".join
)
def test_an_option_without_its_value(pkigen: InProcess, words: tuple[str, ...]) -> None:
    assert refused(pkigen(*words)) == (f"option '{words[-1]}' requires an argument", "see `pkigen --help`")


@pytest.mark.parametrize(
    ("line", "before"),
    [
        (("init", "home.yaml", "-C", ""), "-C"),
        (("plan", ""), "plan"),
        (("export", "--as", "talos", "--out="), "--out="),
        (("airgap", "bundle", "install", "x.bundle", "--root", "", "--yes"), "--root"),
    ],
)
def test_an_empty_word_is_not_the_current_directory(
    pkigen: InProcess, here: Path, line: tuple[str, ...], before: str
) -> None:
    there = sorted(here.iterdir())
    assert refused(pkigen(*line)) == (
        f"what follows `{before}` is empty",
        "is a variable of the shell not set?",
    )
    assert sorted(here.iterdir()) == there


@pytest.mark.parametrize("words", [("--description", ""), ("--description=",)])
def test_a_description_may_be_empty(pkigen: InProcess, here: Path, words: tuple[str, ...]) -> None:
    assert pkigen("access", "bootstrap-token", "-C", here / "home", "--out", here, *words).code == 0
