"""The commands of other programs in docs/how-to/coming-from.md are ones that those programs have."""

from __future__ import annotations

import re
import subprocess
from itertools import takewhile

import pytest

from tests.cli.program import REPOSITORY
from tests.live.programs import find

_PAGE = (REPOSITORY / "docs/how-to/coming-from.md").read_text()
_OPTION = re.compile(r"--[a-z-]+")


def commands(program: str) -> list[str]:
    """What the page quotes of a program, in the first column."""
    rows = [line.split(" | ")[0] for line in _PAGE.splitlines() if line.startswith("| ")]
    return [found for row in rows for found in re.findall(rf"`{program} ([^`]*)`", row)]


def test_the_page_has_all_four() -> None:
    assert all(len(commands(program)) >= 7 for program in ("kubeadm", "terraform", "kubectl", "step"))


@pytest.mark.live
@pytest.mark.parametrize("program", ["kubeadm", "kubectl"])
def test_they_exist(program: str) -> None:
    place = find(program)
    if place is None:
        pytest.skip(f"{program} is not installed")
    for command in commands(program):
        words = list(takewhile(re.compile("[a-z][a-z-]*").fullmatch, command.split()))
        # Without its arguments: `kubeadm` says in its usage what it has understood.
        shown = subprocess.run(
            [place, *words, "--help"], capture_output=True, text=True, check=True, timeout=300
        ).stdout
        assert f"{program} {' '.join(words)}" in shown, command
        assert all(option in shown for option in _OPTION.findall(command)), command
