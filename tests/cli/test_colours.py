"""Colours mean the same everywhere, can be read on every ground, and come only where they are wanted."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from pkigen.cli import console
from pkigen.cli.reports.lines import Tone
from tests.cli.program import DAY, InProcess
from tests.cli.test_terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

GROUNDS = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "solarized light": (0xFD, 0xF6, 0xE3),
    "visual studio dark": (0x1E, 0x1E, 0x1E),
}
LEVELS = (0, 95, 135, 175, 215, 255)
RED, BROWN, BLUE, GREY, GREEN = ("1;38;5;196", "38;5;130", "38;5;31", "38;5;243", "38;5;28")


def rgb(number: int) -> tuple[int, int, int]:
    """A colour of xterm's 256 beyond the sixteen that themes change."""
    assert number >= 16
    if number >= 232:
        grey = 8 + 10 * (number - 232)
        return grey, grey, grey
    red, rest = divmod(number - 16, 36)
    return LEVELS[red], LEVELS[rest // 6], LEVELS[rest % 6]


def luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance, WCAG 2.2."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in
              (each / 255 for each in colour)]  # fmt: skip
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """The ratio of contrast, WCAG 2.2, 1.4.3."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("ground", GROUNDS)
def test_every_colour_can_be_read_on_light_and_on_dark(ground: str) -> None:
    assert contrast(rgb(16), (255, 255, 255)) == pytest.approx(21)
    for tone, colour in console.COLOURS.items():
        found = re.search(r"38;5;(\d+)", colour)
        if found is None:
            assert (tone, colour) == (Tone.TITLE, "1"), "the terminal's own colour, bold"
            continue
        # 3:1 is what is asked of large text and of signs; the words say it all without their colour.
        assert contrast(rgb(int(found[1])), GROUNDS[ground]) >= 3.5, (tone, ground)


def test_the_words_before_errors_have_their_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with console.one_run():
        console.error("it is a\x1b[2Jb", hint="do: this")
        console.note("note: n")
        console.note("warning: w")
        console.note("file.yaml:1:2: error: in a file")
    assert capsys.readouterr().err.splitlines() == [
        f"\x1b[{RED}merror:\x1b[0m it is a\\x1b[2Jb",
        f"\x1b[{BLUE}mhint:\x1b[0m do: this",
        f"\x1b[{GREY}mnote:\x1b[0m n",
        f"\x1b[{BROWN}mwarning:\x1b[0m w",
        "file.yaml:1:2: error: in a file",
    ]


@pytest.mark.parametrize(
    ("arguments", "coloured"),
    [
        (["status", "-C", "/dev/null/absent"], True),
        (["--color", "never", "status", "-C", "/dev/null/absent"], False),
        (["--color", "never", "statsu"], False),
        (["--color", "never", "status", "--bogus"], False),
        (["--color", "always", "statsu"], True),
    ],
    ids=["error", "never", "wrong command", "wrong option", "always"],
)
def test_a_choice_of_colour_is_one_of_errors_too(arguments: list[str], *, coloured: bool) -> None:
    terminal = Terminal(*arguments)
    assert terminal.end() in {1, 2}
    assert "error:" in terminal.text
    assert ("\x1b[" in terminal.text) is coloured


def test_a_pipe_and_no_color(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("NO_COLOR", "piped"):
        if variable == "NO_COLOR":
            monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
            monkeypatch.setenv("TERM", "xterm-256color")
            monkeypatch.setenv("NO_COLOR", "1")
        console.error("e", hint="h")
        assert capsys.readouterr().err == "error: e\nhint: h\n"
        monkeypatch.undo()
    console.choose_colour(console.Colour.ALWAYS)
    try:
        console.error("e")
    finally:
        console.choose_colour(console.Colour.AUTO)
    assert capsys.readouterr().err == f"\x1b[{RED}merror:\x1b[0m e\n"


def test_verify_colours_its_findings(pkigen: InProcess, tree: Path) -> None:
    assert pkigen("--color", "always", "verify", "-C", tree).out.startswith(f"\x1b[{GREEN}m")
    pkigen.now += 400 * DAY
    lines = pkigen("--color", "always", "verify", "-C", tree).out.splitlines()
    assert len(lines) > 2
    assert all(line.startswith(f"\x1b[{RED}m") for line in lines)
    assert "\x1b" not in pkigen("verify", "-C", tree).out


def test_severities_of_foreign_clusters(pkigen: InProcess, tree: Path) -> None:
    (tree / "nodes/cp-1/etc/kubernetes/pki/apiserver.key").chmod(0o644)
    pkigen.now += 340 * DAY
    shown = pkigen("--color", "always", "verify", tree / "nodes/cp-1").out.splitlines()
    of = {line.split("m", 1)[1].split(" ")[0]: line.split("m", 1)[0] for line in shown if "m" in line}
    plain = pkigen("verify", tree / "nodes/cp-1").out
    assert "\x1b" not in plain
    assert {"ERROR", "WARNING"} <= {line.split(" ")[0].upper() for line in plain.splitlines()}
    by = {word.upper(): colour for word, colour in of.items()}
    assert by["ERROR"] == f"\x1b[{RED}"
    assert by["WARNING"] == f"\x1b[{BROWN}"
