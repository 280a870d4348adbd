"""docs/how-to/adopt.md shows what its commands say of a cluster that a real kubeadm has made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from scripts.screens import PROGRAM
from tests.adoption.altered_nodes import moment
from tests.cli.program import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.live

LATER = timedelta(days=338)
NODES = ("cp-1", "cp-2", "cp-3", "worker-1")
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_MOVING = (
    (re.compile(r"\d{8}T\d{6}Z"), "BACKUP"),
    (re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d)?"), "DATE"),
    (re.compile(r"in \d+d\b"), "in DAYS"),
    (re.compile(r"sha256:[0-9a-f]{64}"), "HASH"),
)
CUT = "…"


def steps() -> list[tuple[str, list[str]]]:
    """The commands that run on the gathered files, and what the page shows of each."""
    found: list[tuple[str, list[str]]] = []
    for block in _BLOCK.findall((REPOSITORY / "docs/how-to/adopt.md").read_text(encoding="utf-8")):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    first = next(number for number, (command, _) in enumerate(found) if "--gather" in command)
    return found[first:]


def plain(text: str) -> str:
    for pattern, word in _MOVING:
        text = pattern.sub(word, text)
    return text


def fault(shown: list[str], said: list[str]) -> str | None:
    """The first line that is not as it is shown; a cut stands for lines, or for the rest of one."""
    place, is_open = 0, False
    for line in map(plain, shown):
        if line == CUT:
            is_open = True
            continue
        wanted = line.removesuffix(CUT).rstrip() if line.endswith(CUT) else line
        while place < len(said):
            one = plain(said[place])
            fits = one.startswith(wanted) if line.endswith(CUT) else one == line
            place += 1
            if fits:
                break
            if not is_open:
                return f"shown {line!r}, said {one!r}"
        else:
            return f"shown {line!r}, and never said"
        is_open = False
    return None if is_open or place == len(said) else f"said, and not shown: {said[place]!r}"


def test_the_page_shows_what_the_commands_say(of_kubeadm: Path, tmp_path: Path) -> None:
    for node in NODES:
        archive = tmp_path / f"{node}.tar.gz"
        tops = ("etc/kubernetes", "var/lib/kubelet")
        subprocess.run(["tar", "-C", of_kubeadm / node, "-czf", archive, *tops], check=True)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/pkigen"
    now = (moment() + LATER).strftime("%Y-%m-%dT%H:%M")
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{PROGRAM}' {now} \"$@\"\n")
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
    }
    seen = steps()
    assert len(seen) == 13
    for command, shown in seen:
        done = subprocess.run(
            ["sh", "-c", f"{command} 2>&1"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert (found := fault(shown, done.stdout.splitlines())) is None, f"{command}: {found}"


def test_a_page_that_is_out_of_date_is_noticed() -> None:
    """The control."""
    said = ["one", "two 2027-01-01", "three"]
    assert fault(["one", "two 2026-05-05", "three"], said) is None
    assert fault([CUT, "three"], said) is None
    assert fault(["one", CUT], said) is None
    assert fault(["one", "th…"], ["one", "three"]) is None
    for shown in (["one", "two"], ["one", "three"], [CUT, "four"], ["one", "two 2026-05-05"]):
        assert fault(shown, said) is not None, shown
