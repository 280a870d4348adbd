"""What a person sees at 80 and at 140 columns in a real terminal, and what a pipe gets."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from pkigen.cli import console
from pkigen.cli.reports.lines import Line
from scripts import screens
from tests.cli.program import HOME, PROGRAM, program

if TYPE_CHECKING:
    from pathlib import Path

NODE = "control-plane-1.europe-west-4.clusters.example.com"


needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


@needs_tmux
@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_long_names_fit(tmp_path: Path, columns: int, locale: str) -> None:
    spec = tmp_path / "home.yaml"
    spec.write_text(HOME.replace("cp-1", NODE))
    assert program("init", spec, "-C", tmp_path / "home").code == 0
    tmux = ("tmux", "-S", str(tmp_path / "tmux"))
    shown = f"LC_ALL={locale} {' '.join(PROGRAM)} status -C {tmp_path / 'home'}; echo exit=$?; sleep 600"
    size = ("-x", str(columns), "-y", "90")
    subprocess.run([*tmux, "new-session", "-d", *size, f"env -u COLUMNS sh -c '{shown}'"], check=True)
    try:
        screen = ""
        for _ in range(600):
            if "exit=" in screen:
                break
            time.sleep(0.2)
            pane = [*tmux, "capture-pane", "-p"]
            screen = subprocess.run(pane, check=True, capture_output=True, text=True).stdout
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
    assert "exit=0" in screen
    lines = screen.splitlines()
    row = next(number for number, line in enumerate(lines) if line.startswith(f"{NODE}  "))
    assert lines[0].startswith("17 certificates, 0 expired, next: user:dev1 in ")
    heading = lines[2].split()
    if columns == 80:
        assert heading == ["NODE", "RESIDUAL"]
        assert [line.split(": ")[0] for line in lines[row + 1 : row + 4]] == [
            "    certificate",
            "    expires",
            "    ca",
        ]
    else:
        assert heading == ["NODE", "CERTIFICATE", "EXPIRES", "RESIDUAL", "CA", "STATE"]
    assert sum(line.startswith(NODE) for line in lines) == screen.count(NODE), (
        "no line was wrapped into another"
    )


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return screens.stage(tmp_path_factory.mktemp("stage"))


def kept(form: str) -> dict[str, str]:
    """The fixtures of one form; `python scripts/screens.py` makes them again."""
    found = {path.stem: path.read_text() for path in screens.FOLDER.glob(f"*.{form}.txt")}
    return {name.removesuffix(f".{form}"): text for name, text in found.items()}


@needs_tmux
@pytest.mark.parametrize(("columns", "ground"), [(80, "light"), (140, "dark")])
def test_the_screens_are_the_kept_ones(stage: Path, columns: int, ground: str) -> None:
    shown = screens.in_terminal(stage.parent, stage, columns, ground=ground)
    assert shown == kept(str(columns))
    assert set(shown) == set(screens.SCENES)


@needs_tmux
def test_a_terminal_that_knows_only_ascii_gets_no_other_signs(stage: Path) -> None:
    scene = screens.SCENES["verify-what-is-broken"]
    screen = screens.Screen(stage.parent, 81, ground="dark", locale="C")
    try:
        shown = screen.show(scene, stage)
    finally:
        screen.close()
    assert shown.isascii()
    assert "kube-apiserver on cp-1 > kubelet on cp-2: broken-edge" in shown
    assert "kube-apiserver on cp-1 → kubelet on cp-2" in kept("80")["verify-what-is-broken"]


def test_a_pipe_gets_the_kept_lines(stage: Path) -> None:
    shown = screens.in_pipe(stage)
    plain, colourful = kept("piped"), kept("coloured")
    assert shown == {
        **{f"{name}.piped": text for name, text in plain.items()},
        **{f"{name}.coloured": text for name, text in colourful.items()},
    }
    assert not any("\\e" in text for text in plain.values())
    assert set(colourful) == set(screens.COLOURFUL)


@pytest.mark.parametrize("columns", [80, 140])
def test_the_kept_screens_fit(columns: int) -> None:
    for name, text in kept(str(columns)).items():
        words = set(kept("piped")[name].split())
        for line in text.splitlines():
            assert len(line) <= columns, name
            named = {word for word in line.split() if word.rstrip(":").upper() in words}
            broken = set(line.split()) - words - named
            # Whole words. A line of a file is compared as a whole, whatever its length.
            assert not broken or name == "plan-in-full", (name, line)


def test_a_command_is_never_folded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    console.say_line("  ab `pkigen renew -C prod` to go on with it")
    console.say_lines([Line("pkigen renew apiserver -C prod", is_whole=True)])
    console.error("one two three four five", hint="six")
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "  ab",
        "      `pkigen renew -C prod`",
        "      to go on with",
        "      it",
        "pkigen renew apiserver -C prod",
    ]
    assert said.err.splitlines() == ["error: one two three", "    four five", "hint: six"]
