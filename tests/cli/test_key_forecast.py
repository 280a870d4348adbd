"""What is guessed of a first run before its options are read, and what is known once its spec is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pkigen.cli.key_forecast import keys_ahead, keys_guessed
from pkigen.crypto.algorithms import KeyAlgorithm
from tests.cli.program import HOME, InProcess

if TYPE_CHECKING:
    from pathlib import Path

RSA = HOME.replace("  users:", "  certificates:\n    keyAlgorithm: RSA-2048\n  users:")


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "cluster.yaml"
    file.write_text(RSA)
    return file


def test_keys_that_take_long_are_guessed_from_the_text_of_the_spec(spec: Path) -> None:
    assert keys_guessed([str(spec), "-C", "somewhere"]) == (KeyAlgorithm.RSA_2048,) * 12
    spec.write_text(RSA.replace("2048", "4096").replace("nodes:", "machines:"))
    assert keys_guessed(["-C", "somewhere", str(spec)]) == (KeyAlgorithm.RSA_4096,) * 4
    spec.write_text(RSA.replace("RSA-2048", "ECDSA-P384"))
    assert keys_guessed([str(spec)]) == ()


@pytest.mark.parametrize("option", ["--help", "-h", "--dry-run", "--example=single", "--examples"])
def test_none_are_guessed_where_none_will_be_made(option: str, spec: Path) -> None:
    assert keys_guessed([str(spec), option]) == ()


def test_none_are_guessed_without_a_spec_that_can_be_read_twice(spec: Path, tmp_path: Path) -> None:
    assert keys_guessed([]) == keys_guessed(["-"]) == ()
    assert keys_guessed([str(tmp_path / "missing.yaml")]) == keys_guessed(["a\0b.yaml"]) == ()
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    assert keys_guessed([str(pipe)]) == ()
    with spec.open("ab") as stream:
        stream.truncate((1 << 20) + 1)
    assert keys_guessed([str(spec)]) == ()


@pytest.mark.parametrize(("command", "works"), [("init", True), ("plan", False), ("-v", False)])
def test_only_a_first_run_has_keys_made_ahead(
    command: str, spec: Path, monkeypatch: pytest.MonkeyPatch, *, works: bool
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with keys_ahead([command, str(spec)]) as makers:
        assert (makers is not None and makers.are_at_work) is works


def test_a_command_line_that_is_refused_leaves_no_process_behind(
    pkigen: InProcess, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert pkigen("init", spec, "--nope").code == 2
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
