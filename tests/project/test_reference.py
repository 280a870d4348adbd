"""Every command that a document, a hint or a message quotes is one that the program has, with its options."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.cli.app import COMMANDS
from scripts.described_commands import leaves
from scripts.reference import DOCS, generated
from tests.cli.program import REPOSITORY as TOP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT_OPTIONS = {"-C", "--dir", "-v", "-vv", "--verbose", "--color", "--debug", "--version", "--help", "-h"}
DOCUMENTS = sorted(
    path
    for path in (*TOP.glob("*.md"), *TOP.glob("docs/**/*.md"), *TOP.glob("*/README.md"))
    if path.parent.name != "adr"
)
SOURCES = sorted((TOP / "pkigen").rglob("*.py"))
_QUOTED = re.compile(r"`pkigen ([^`\n]*)`?")
_LINE = re.compile(r"^(?: {4}|\$ |\w+\$ |ExecStart=\S*/)(?:\S+ )??pkigen (.*)$", re.MULTILINE)


@cache
def commands() -> dict[str, Any]:
    return {words: command for _, words, command in leaves()}


def quoted(path: Path) -> Iterator[str]:
    text = re.sub(r'"?\$\([^)]*\)"?', "VALUE", path.read_text())
    for pattern in (_QUOTED,) if path.suffix == ".py" else (_QUOTED, _LINE):
        yield from (match[1] for match in pattern.finditer(text))


def fault(line: str) -> str | None:
    """What is wrong with the words after `pkigen`; None where nothing is."""
    words = re.split(
        r"[\s=]+", line.partition(" #")[0].partition(" > ")[0].replace("[", " ").replace("]", " ").strip()
    )
    while words and words[0] in ROOT_OPTIONS - {"-C", "--dir"}:
        words = words[1:]
    if not words or not re.fullmatch(r"[a-z][a-z-]*", words[0]):
        return None  # a placeholder, as in `pkigen COMMAND`
    name = words[0]
    if name not in COMMANDS:
        return f"there is no command {name}"
    leaf = commands().get(name)
    while leaf is None:
        rest = words[len(name.split()) :]
        if not rest or not re.fullmatch(r"[a-z][a-z-]*", rest[0]):
            return None
        name = f"{name} {rest[0]}"
        leaf = commands().get(name)
        if leaf is None and not any(each.startswith(f"{name} ") for each in commands()):
            return f"there is no command {name}"
    known = {each for parameter in leaf.params for each in (*parameter.opts, *parameter.secondary_opts)}
    options = [word.rstrip(',;.)`"\\') for word in words if re.match(r"--?[A-Za-z]", word)]
    strange = [each for each in options if each not in known | ROOT_OPTIONS]
    return f"{name} has no {strange[0]}" if strange else None


@pytest.mark.parametrize("path", [*DOCUMENTS, *SOURCES], ids=lambda path: str(path.relative_to(TOP)))
def test_what_is_quoted_is_right(path: Path) -> None:
    faults = [f"{line}: {wrong}" for line in quoted(path) if (wrong := fault(line)) is not None]
    assert faults == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("plan --exit-code", None),
        ("plans", "there is no command plans"),
        ("rotate cas", "there is no command rotate cas"),
        ("plan --out prod", "plan has no --out"),
        ("access csr new --user x --pki y", "access csr new has no --pki"),
        ("access csrs", "there is no command access csrs"),
        ("csr new", "there is no command csr"),
        ("COMMAND", None),
    ],
)
def test_a_wrong_one_is_found(line: str, wrong: str | None) -> None:
    assert fault(line) == wrong


def test_the_reference_is_current() -> None:
    outdated = [name for name, text in generated().items() if (DOCS / name).read_text() != text]
    assert not outdated, "run `python scripts/reference.py`"


def test_every_command_has_a_page_of_man_that_can_be_shown() -> None:
    pages = {path.stem: path for path in (DOCS / "man").glob("*.1")}
    assert pages.keys() == {"pkigen", *(f"pkigen-{words.replace(' ', '-')}" for words in commands())}
    assert warnings(*pages.values()) == ""


def test_a_page_of_man_that_is_wrong_is_noticed(tmp_path: Path) -> None:
    """The control."""
    page = tmp_path / "wrong.1"
    page.write_text('.TH WRONG 1 "" pkigen ""\n.SH NAME\nwrong \\- \\[nothing]\n.NONE\n')
    assert "NONE" in warnings(page)


def warnings(*pages: Path) -> str:
    """What groff says of pages of `man`, as `man --warnings` does."""
    program = shutil.which("groff")
    if program is None:
        pytest.skip("groff is not installed")
    command = [program, "-man", "-ww", "-Kutf8", "-Tutf8", "-z", *map(str, pages)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_shared_options_are_declared_alike() -> None:
    """One name, one meaning: what takes a value takes it everywhere, under the same name of a value."""
    for option in ("--dir", "--yes", "--force", "--dry-run", "--templates", "--passphrase-file", "--output"):
        found = {
            (parameter.is_flag, parameter.metavar, tuple(sorted(parameter.opts)))
            for command in commands().values()
            for parameter in command.params
            if option in parameter.opts
        }
        assert len(found) == 1, (option, found)
