from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
import typer

from pkigen import __version__
from pkigen.cli.app import COMMANDS, FAMILIES, LEAVES, PANELS, run
from tests.cli.program import EXAMPLES, PROGRAM, InProcess, program

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = frozenset(
    {
        "cryptography",
        "jinja2",
        "logging",
        "yaml",
        "pydantic",
        "rich",
        "pkigen.store",
        "pkigen.reconcile.planner",
    }
)
OPTIONS = {
    "validate": ("SPEC", "--schema"),
    "init": ("SPEC", "-C", "--dry-run", "--example", "--examples", "--templates", "-o"),
    "plan": ("SPEC", "-C", "--output", "--exit-code", "--save", "--runbook", "--templates"),
    "apply": ("[SPEC]", "[PLAN]", "-C", "--yes", "--force", "--runbook", "--templates", "--output"),
    "renew": ("SPEC", "NAME", "--all", "--within", "--reuse-keys", "-C", "--yes", "--runbook", "--output"),
    "rotate": ("ca", "sa", "encryption-key"),
    "status": ("SPEC", "-C", "--output", "--textfile", "--fail-within", "--templates"),
    "verify": ("SPEC", "-C", "--templates", "--output"),
    "next": ("SPEC", "-C", "--live", "--assume-distributed", "--templates", "--output"),
    "show": ("CHANGE-ID|FILE", "-C", "--full", "--runbook", "--output"),
    "rollback": ("ID", "-C", "--list", "--yes"),
    "sign": ("SPEC", "--csr", "--user", "--group", "--validity", "--out", "--kubeconfig", "--key-path"),
    "csr": ("new", "manifest"),
    "user": ("kubeconfig",),
    "kubeconfig": ("merge", "show"),
    "token": ("SPEC", "--service-account", "--uid", "--audience", "--validity", "--kubeconfig"),
    "oidc": ("configuration", "jwks", "write"),
    "bootstrap-token": ("SPEC", "--out", "--validity", "--group", "--description", "--server"),
    "iam": ("SPEC", "--current", "--config-map"),
    "explain": ("WHO|FILE", "SPEC", "--error", "-C"),
    "bundle": ("create", "verify", "inspect", "diff", "install", "rollback"),
    "authority": ("encrypt", "decrypt", "rekey", "init", "renew", "sign", "request", "accept"),
    "node": ("identity",),
}


def test_the_help_lists_every_command_with_its_sentence(pkigen: InProcess) -> None:
    result = pkigen("--help")
    assert result.code == 0
    words = " ".join(result.out.replace("│", " ").split())
    for name, sentence in COMMANDS.items():
        assert f"{name} {sentence}" in words
    assert "exit codes: 0 done, 1 failed, 2 usage" in words
    assert pkigen("-h").out == result.out


def test_no_arguments_are_a_usage_error_with_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "rollback" in captured.err


def test_few_commands_at_the_top(pkigen: InProcess) -> None:
    assert len(COMMANDS) <= 21
    assert list(PANELS) == ["start", "keep", "rotate", "fleet", "people", "air gap", "look"]
    for family, names in FAMILIES.items():
        words = " ".join(pkigen(family, "--help").out.split())
        for name, sentence in names.items():
            assert f"{name} {sentence}" in words


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_the_help_of_a_command(pkigen: InProcess, words: tuple[str, ...]) -> None:
    result = pkigen(*words, "--help")
    assert result.code == 0
    said = " ".join(result.out.replace("│", " ").split())
    assert f"Usage: pkigen {' '.join(words)}" in said
    assert LEAVES[words].rstrip(".") in said
    for option in OPTIONS.get(words[-1], ()):
        assert option in said
    assert "-completion" not in said, "completion is an option of the program, not of each command"


def test_defaults_that_are_words_are_shown_at_any_width(
    pkigen: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns in ("40", "80", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        words = " ".join(pkigen("access", "sign", "--help").out.split())
        for default in ("the spec's, else 720h", "standard output"):
            assert f"[default: {default}]" in words
        assert "have the cluster sign them." in " ".join(pkigen("access", "--help").out.split())
        listed = " ".join(pkigen("access", "csr", "--help").out.split())
        assert "Render the CertificateSigningRequest of a request, with the kubectl lines." in listed
        assert "..." not in listed.replace("[ARGS]...", "")


@pytest.mark.parametrize("terminal", [{"TERM": "dumb"}, {"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}])
def test_help_has_no_escape_sequences(
    pkigen: InProcess, terminal: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in terminal.items():
        monkeypatch.setenv(name, value)
    for arguments in (("--help",), ("access", "sign", "--help"), ("rotate", "ca", "--help")):
        assert pkigen(*arguments).out.replace("\n", "").isprintable()


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_the_sentence_in_the_list_is_the_one_of_the_command(words: tuple[str, ...]) -> None:
    name = words[-1].replace("-", "_")
    command = typer.main.get_command(import_module(f"pkigen.cli.commands.{name}").app)
    assert command.help
    assert command.help.partition("\n\n")[0] == LEAVES[words]


def test_the_version(pkigen: InProcess) -> None:
    for result in (program("--version"), pkigen("--version")):
        assert (result.code, result.out, result.err) == (0, f"pkigen {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["ini"], "no such command 'ini'", "did you mean 'init'?"),
        (["stat"], "no such command 'stat'", "did you mean 'status', 'rotate'?"),
        (["--nope"], "no such option: --nope", "see `pkigen --help`"),
        (["init"], "missing argument 'SPEC'", "see `pkigen init --help`"),
        (["plan", "x", "--nope"], "no such option: --nope", "see `pkigen plan --help`"),
        (["plan", "x", "y"], "got unexpected extra argument(s) (y)", "see `pkigen plan --help`"),
        (["plan", "x", "-o", "xml"], "invalid value for '--output' / '-o'", "see `pkigen plan --help`"),
        (["--debug"], "missing command", "see `pkigen --help`"),
    ],
)
def test_wrong_usage(pkigen: InProcess, arguments: list[str], error: str, hint: str) -> None:
    result = pkigen(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.error.startswith(error)
    assert result.hint == hint


WORKING = {"cryptography", "jinja2", "yaml"}
"""What commands need that do something."""


def imported(*arguments: str) -> set[str]:
    """The modules that a run of the program imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pkigen", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["--version"], HEAVY | {"typer", "pkigen.cli.app"}),
        (["--help"], HEAVY - {"rich"} | {"pkigen.cli.commands.init"}),
        (
            ["init", "--example", "single"],
            {"jinja2", "rich", "pkigen.reconcile.planner", "pkigen.cli.session"},
        ),
        (
            ["validate", str(EXAMPLES / "single.yaml")],
            {"jinja2", "rich", "pkigen.spec.kubeadm", "pkigen.store", "pkigen.reconcile.planner"},
        ),
        (
            ["validate", "--schema", "spec"],
            {"jinja2", "rich", "pkigen.store", "pkigen.reconcile.planner", "pkigen.desired.inventory"},
        ),
    ],
)
def test_a_command_imports_only_what_it_needs(arguments: list[str], unneeded: set[str]) -> None:
    modules = imported(*arguments)
    assert "pkigen" in modules
    # typer itself takes some libraries in where they are installed; only our own imports are judged then.
    bare = subprocess.run(
        [sys.executable, "-c", "import typer, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    taken = set() if arguments == ["--version"] else set(bare.stdout.split())
    assert modules & (set(unneeded) - taken) == set()


NAMES_ONLY = {
    "pkigen.airgap",
    "pkigen.airgap.carrier",
    "pkigen.airgap.carrier.paths",
    "pkigen.crypto",
    "pkigen.crypto.algorithms",
    "pkigen.distributions",
    "pkigen.distributions.names",
    "pkigen.rotation",
    "pkigen.rotation.deadline",
    "pkigen.rotation.step_names",
}
"""What options show of the rooms below `cli`: names and defaults, which import nothing."""
ASKED_FOR_HELP = """
import contextlib, io, sys
from importlib import import_module
import typer
from pkigen.cli.app import LEAVES, run
known = set(sys.modules)
for words in LEAVES:
    module = import_module("pkigen.cli.commands." + words[-1].replace("-", "_"))
    below = getattr(typer.main.get_command(module.app), "commands", {})
    for line in (words, *((*words, each) for each in below)):
        with contextlib.redirect_stdout(io.StringIO()) as said:
            assert run([*line, "--help"]) == 0
        assert "Usage: pkigen " + " ".join(line) in said.getvalue()
        print(*line, *sorted(set(sys.modules) - known), sep=",")
        known = set(sys.modules)
"""
"""In one process, which is as quick as asking one: a line for each command, and what it has imported."""


def test_the_help_of_no_command_imports_what_its_work_needs() -> None:
    done = subprocess.run([sys.executable, "-c", ASKED_FOR_HELP], capture_output=True, text=True, check=True)
    lines = [line.split(",") for line in done.stdout.splitlines()]
    assert len(lines) > len(LEAVES)
    for modules in lines:
        ours = {each for each in modules if each.startswith("pkigen.")}
        rooms = {each for each in ours if each.count(".") > 1 and not each.startswith("pkigen.cli.")}
        assert rooms - NAMES_ONLY == set(), modules
        assert not {each for each in ours if each.startswith(("pkigen.cli.work", "pkigen.cli.session"))}, (
            modules
        )
        assert not {each.partition(".")[0] for each in modules} & (WORKING | {"rich"}), modules


def test_a_first_run_imports_only_what_it_needs(tmp_path: Path) -> None:
    modules = imported("init", str(EXAMPLES / "single.yaml"), "-C", str(tmp_path / "tree"))
    assert "pkigen.reconcile.apply" in modules
    others = {
        "joserfc",
        "rich",
        "pkigen.airgap.carrier.archive",
        "pkigen.airgap.offline.request",
        "pkigen.cli.change",
        "pkigen.cli.commands.apply",
        "pkigen.cli.reports.structured",
        "pkigen.reconcile.restart_map",
        "pkigen.rotation.prover",
        "pkigen.spec.kubeadm",
    }
    assert modules & others == set()


_COMPLETES = {"bash": "complete_bash", "zsh": "complete_zsh", "fish": "complete_fish"}


@pytest.mark.parametrize("shell", _COMPLETES)
def test_completion_scripts(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Typer asks otherwise which shell has started it, and a test may have been started by none.
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    result = program("--show-completion", shell)
    assert result.code == 0
    assert f"_PKIGEN_COMPLETE={_COMPLETES[shell]}" in result.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("pkigen re", {"renew", "report", "rescue"}),
        ("pkigen ", set(COMMANDS)),
        ("pkigen v", {"validate", "verify"}),
        ("pkigen access b", {"bootstrap-token"}),
        ("pkigen access csr ", {"new", "manifest"}),
        ("pkigen plan --ex", {"--exit-code"}),
    ],
)
def test_completion_in_bash(words: str, expected: set[str]) -> None:
    done = subprocess.run(
        PROGRAM,
        env={
            **os.environ,
            "_PKIGEN_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(done.stdout.split()) == expected, done
