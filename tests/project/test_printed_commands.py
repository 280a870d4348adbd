"""Commands that pkigen tells people to run name a directory by its option, quoted for a shell."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from pkigen.cli.app import LEAVES

PACKAGE = Path(__file__).resolve().parents[2] / "pkigen"
_COMMAND = re.compile(r"pkigen [a-z][^`;]*")
# The values that are a cluster's directory, by the names that the code has for them.
_DIRECTORY = re.compile(r"(?:\w+\.)*(?:root|_directory|around|beside)")


def _is_bare(command: str) -> bool:
    values = re.findall(r"\{([^{}]*)\}", command)
    return "-C {" in command or any(_DIRECTORY.fullmatch(value) for value in values)


def _faults(source: str) -> list[str]:
    """The commands in a module that hold a directory bare: unquoted, or where a spec belongs."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        text = "".join(
            f"{{{ast.unparse(part.value)}}}"
            if isinstance(part, ast.FormattedValue)
            else ast.literal_eval(part)
            for part in node.values
        )
        found += [command for command in _COMMAND.findall(text) if _is_bare(command)]
    return found


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('f"`pkigen verify --live {self._store.root}`, then"', 1),
        ('f"`pkigen apply SPEC -C {name}` does it"', 1),
        ('f"proof: pkigen verify --live {self._directory}"', 1),
        ('f"`pkigen verify {dir_option(store.root)} --live` in {store.root}"', 0),
        ('f"{root} is `pkigen plan` to see"', 0),
    ],
)
def test_a_bare_directory_is_seen(source: str, count: int) -> None:
    assert len(_faults(source)) == count


def test_directories_are_named_by_the_option() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): faults
        for path in sorted(PACKAGE.rglob("*.py"))
        if (faults := _faults(path.read_text()))
    }
    assert found == {}


_HELD = re.compile(r"""(?:writing|changing)\((?:[^()"']+, )?f?"([a-z -]+)(?: \{\w+\})?\"""")


def test_who_holds_a_directory_is_called_as_it_is_run() -> None:
    """Its name is what a message gives as `pkigen NAME`, and what a list of backups shows."""
    held = [name for path in sorted(PACKAGE.rglob("*.py")) for name in _HELD.findall(path.read_text())]
    assert "airgap bundle install" in held
    known = {" ".join(leaf) for leaf in LEAVES}
    assert [name for name in held if not any(f"{name} ".startswith(f"{leaf} ") for leaf in known)] == []
