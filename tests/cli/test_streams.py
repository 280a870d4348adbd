"""Standard streams that the caller has closed, and output that nobody can be given."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.program import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path

LOST = "error: the result cannot be written to standard output: "


def ran(line: str, redirections: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"{shlex.join(PROGRAM)} {line} {redirections}"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_closed_input_answers_no_question(tree: Path) -> None:
    done = ran("renew --all", "<&-", tree)
    assert done.returncode == 1
    assert "error: no answer: nothing was changed\n" in done.stderr


def test_a_closed_output_gets_no_result(tree: Path) -> None:
    done = ran("plan", ">&-", tree)
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, f"{LOST}bad file descriptor")


def test_a_closed_error_stream_loses_what_is_said_there(tree: Path) -> None:
    assert ran("plan", "2>&-", tree).returncode == 0
    done = ran("plan --no-such-option", "2>&-", tree)
    assert (done.returncode, done.stdout) == (2, "")


def test_no_file_takes_the_place_of_a_closed_stream(tree: Path) -> None:
    assert ran("renew --all --yes -o json", "<&- >&- 2>&-", tree).returncode == 1
    assert " renew " in ran("rollback --list", "", tree).stdout
    assert ran("verify", "", tree).stdout.endswith(" 0 findings\n")


@pytest.mark.parametrize("line", ["--version", "--help", "plan --help"])
@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_what_the_program_says_of_itself_is_lost_with_a_word(tmp_path: Path, line: str, where: str) -> None:
    done = ran(line, where, tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")


def test_a_change_whose_result_is_lost_stays(tree: Path) -> None:
    done = ran("renew cp-1/apiserver --yes -o json", ">/dev/full", tree)
    assert done.returncode == 1
    assert (
        f"{LOST}no space left on device\nhint: if a change was made, it stays: `pkigen rollback --list`"
        in (done.stderr)
    )
    assert " renew " in ran("rollback --list", "", tree).stdout
