"""`status --watch`: the same table again and again, on a terminal only."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from pkigen.cli.console import fitting
from pkigen.cli.problems import TerminatedError
from pkigen.cli.reports.lines import Line, Tone
from pkigen.cli.system import System
from tests.cli.program import DAY, HOME, PROGRAM, InProcess
from tests.cli.test_terminal import Tmux, needs_tmux

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.program import Result


@pytest.fixture
def watched(pkigen: InProcess, tree: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `status --watch` on a terminal; what is to happen meanwhile does, then comes Ctrl-C."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LINES", "60")

    def run(*meanwhile: Callable[[], object], end: type[BaseException] = KeyboardInterrupt) -> Result:
        left = list(meanwhile)
        # Not before: pytest takes another one while fixtures are made.
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

        def sleep(seconds: float) -> None:
            assert seconds == 2
            if not left:
                raise end
            left.pop(0)()

        return pkigen("status", "-C", tree, "--watch", system=System(clock=lambda: pkigen.now, sleep=sleep))

    return run


def screens(result: Result) -> list[list[str]]:
    """What was drawn, each time from the first row on."""
    assert result.out.startswith("\x1b[H")
    return [
        screen.removesuffix("\x1b[J").replace("\x1b[K", "").splitlines()
        for screen in result.out.split("\x1b[H")[1:]
    ]


def test_each_look_sees_what_has_changed(
    watched: Callable[..., Result], tree: Path, pkigen: InProcess
) -> None:
    def later() -> None:
        pkigen.now += 400 * DAY

    result = watched(later, (tree / "pki.lock").unlink, lambda: None)
    assert (result.code, result.err) == (0, "")
    first, second, third, fourth = screens(result)
    assert first[0] == "2026-11-22 03:00:00 UTC, again every 2 s, until Ctrl-C"
    assert first[2].startswith("17 certificates, 0 expired, next: user:dev1 in ")
    assert second[0].startswith("2027-12-27 03:00:00 UTC")
    assert second[2].startswith("17 certificates, 14 expired")
    assert third[2] == f"this look failed: {tree} has lost its pki.lock, by which this goes"
    assert third[3], "and what to do"
    assert fourth[2:] == third[2:]


def test_an_error_at_first_ends_it(watched: Callable[..., Result], tree: Path) -> None:
    (tree / "pki.lock").unlink()
    result = watched(lambda: None)
    assert (result.code, result.out) == (2, "")


def test_a_termination_is_none_of_its_ends(watched: Callable[..., Result]) -> None:
    assert watched(end=TerminatedError).code == 143


@pytest.mark.parametrize(
    "options",
    [
        ["-o", "json"],
        ["--textfile", "x.prom"],
        ["--fail-within", "24h"],
    ],
)
def test_what_is_for_programs_is_not_watched(pkigen: InProcess, tree: Path, options: list[str]) -> None:
    result = pkigen("status", "-C", tree, "--watch", *options)
    assert (result.code, result.out) == (2, "")
    assert result.error.startswith("--watch and --")


def test_a_pipe_is_not_watched(pkigen: InProcess, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = pkigen("status", "-C", tree, "--watch")
    assert (result.code, result.out) == (2, "")
    assert result.error == "--watch draws on a terminal, and standard output is none"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    assert pkigen("status", "-C", tree, "--watch").code == 2
    assert "standard input" in pkigen("status", "-", "-C", tree, "--watch").error


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        (7, ["a", "b", "c" * 25, "d"]),
        (6, ["a", "b", "… and 2 more lines; there is no room"]),
        (4, ["a", "b", "… and 2 more lines; there is no room"]),
        (2, ["… and 4 more lines; there is no room"]),
    ],
)
def test_what_fits(rows: int, shown: list[str]) -> None:
    lines = [Line("a"), Line("b"), Line("c" * 25), Line("d")]
    assert [line.text for line in fitting(lines, columns=10, rows=rows)] == shown


def test_what_is_wrong_is_left_out_last() -> None:
    lines = [Line("a"), Line("b"), Line("c"), Line("d", Tone.RISK), Line("e"), Line("f", Tone.CHANGES)]
    left = [line.text for line in fitting(lines, columns=10, rows=6)]
    assert left == ["a", "b", "d", "f", "… and 2 more lines; there is no room"]


@needs_tmux
def test_it_is_drawn_in_place(tmp_path: Path, pkigen: InProcess) -> None:
    (tmp_path / "home.yaml").write_text(HOME)
    assert pkigen("init", tmp_path / "home.yaml", "-C", tmp_path / "home").code == 0
    command = f"{' '.join(PROGRAM)} status -C {tmp_path / 'home'} --watch"
    terminal = Tmux(tmp_path, f"sh -c 'trap : INT; {command}; echo exit=$?; exec sleep 600'")
    try:
        first = terminal.screen_with("again every 2 s")
        assert first.count("again every 2 s") == 1
        (tmp_path / "home/users/dev1.conf").unlink()
        second = terminal.screen_with("missing")
        assert second.count("again every 2 s") == 1, "drawn over the first"
        terminal.type("C-c")
        last = terminal.screen_with("exit=")
        assert "exit=0" in last
        assert "error" not in last
        assert last.count("again every 2 s") == 1
    finally:
        terminal.close()
