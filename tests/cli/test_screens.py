"""What a person sees of long names at 80 and at 140 columns, in a real terminal."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.cli.program import HOME, PROGRAM, program

if TYPE_CHECKING:
    from pathlib import Path

NODE = "control-plane-1.europe-west-4.clusters.example.com"


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
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
