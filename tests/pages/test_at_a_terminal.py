"""What a page shows that asks for a passphrase, typed by a person at a terminal."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_terminal import Tmux, needs_tmux
from tests.pages.blocks import WrittenFile, commands_for, steps

if TYPE_CHECKING:
    from tests.pages.blocks import Command

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "docs/how-to/authority.md"
WORDS = "correct horse battery staple"


def typed(place: Path, command: Command, *answers: str) -> str:
    """What the terminal shows in the end, where each prompt is answered once it is there."""
    programs = f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
    line = f"cd {shlex.quote(str(place))} && {programs} {command.words}; echo exit=$?; exec sleep 600"
    terminal = Tmux(place, f"sh -c {shlex.quote(line)}")
    try:
        for prompt in answers:
            assert prompt in terminal.screen_with(prompt)
            terminal.type(WORDS, "Enter")
        return terminal.screen_with("exit=")
    finally:
        terminal.close()


@needs_tmux
def test_an_authority_is_encrypted_and_a_key_is_read_with_age_alone(tmp_path: Path) -> None:
    for step in steps(PAGE):
        if isinstance(step, WrittenFile):
            (tmp_path / step.path).write_text(step.text)
    (making,), (reading,) = commands_for("tests/pages/test_at_a_terminal.py", PAGE)
    assert making.shown is not None
    screen = typed(tmp_path, making, *making.shown)
    assert "exit=0" in screen
    assert WORDS not in screen
    if shutil.which("age") is None:
        pytest.skip("age is not installed")
    screen = typed(tmp_path / "prod", reading, "passphrase")
    assert "exit=0" in screen
    assert "-----BEGIN" in screen
    assert WORDS not in screen
