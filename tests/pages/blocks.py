"""What a page of the documentation shows as run: its commands, what they say, the files that they need.

A block of the language `console` has commands behind prompts, each with its output below it:

    $ pkigen status           a person at the authority; `# ` is root, `NAME# ` and `NAME$ ` on a machine
    …                         any lines; at the end of a line, the rest of it

A comment above a block, which no reader sees, says how it is run:

    <!-- file: PATH -->       the block is the content of this file
    <!-- setup: COMMAND -->   runs first, whatever it says; stands alone
    <!-- later: 30d -->       from here on the clock is that far ahead; stands alone
    <!-- boot: DIRECTORY -->  the cluster of this directory is started, where one can be; stands alone
    <!-- deliver: DIRECTORY -->  its files are copied, and what must restart does; stands alone
    <!-- in a cluster -->     runs only before a real API server
    <!-- run by: TEST -->     that test runs it, and needs more than is here; it takes the commands from the
                              page (`commands_for`), or has each of their words
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CUT = "…"
CONSOLE = "console"
SHELLS = frozenset({"sh", "shell", "bash", "zsh", "shell-session"})
_PART = re.compile(
    r"^<!-- (?P<word>[a-z ]+?)(?:: (?P<rest>[^\n]*?))? -->$|^```(?P<language>\S*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_PROMPT = re.compile(r"^(?P<host>[a-z][a-z0-9-]*)?(?P<sign>[$#]) (?P<command>.*)$")
_CONTINUED = "\\"
_STANDING_ALONE = frozenset({"setup", "later", "boot", "deliver"})
_OF_BLOCKS = frozenset({"file", "in a cluster", "run by"})


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile:
    """A file that a page shows."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Time passes."""

    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """A cluster is started from its directory."""

    directory: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """The files of a directory reach the cluster that was started from it."""

    directory: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A line of a shell, and what the page shows of its output; None where it is not shown."""

    words: str
    shown: tuple[str, ...] | None
    host: str = ""
    in_cluster: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunElsewhere:
    """A block with commands that a test of its own runs."""

    test: str
    commands: tuple[Command, ...]


Step = WrittenFile | Later | Boot | Deliver | Command | RunElsewhere


def steps(page: Path) -> list[Step]:
    """Everything that a page has to be run for, in order."""
    return list(_steps(page.read_text(encoding="utf-8"), page))


def commands_for(test: str, page: Path) -> list[tuple[Command, ...]]:
    """The blocks of a page that say that this test runs them."""
    return [step.commands for step in steps(page) if isinstance(step, RunElsewhere) and step.test == test]


def _steps(text: str, page: Path) -> Iterator[Step]:
    word, rest = "", ""
    for part in _PART.finditer(text):
        if part["word"] in _STANDING_ALONE:
            yield _alone(part["word"], part["rest"])
        elif part["word"] is not None:
            if part["word"] not in _OF_BLOCKS:
                raise ValueError(f"{page}: nobody knows <!-- {part['word']} -->")
            word, rest = part["word"], part["rest"] or ""
        else:
            yield from _block(word, rest, part["language"], part["text"], page)
            word, rest = "", ""


def _alone(word: str, rest: str) -> Step:
    if word == "setup":
        return Command(words=rest, shown=None)
    if word == "boot":
        return Boot(directory=rest)
    if word == "deliver":
        return Deliver(directory=rest)
    return Later(days=int(rest.removesuffix("d")))


def _block(word: str, rest: str, language: str, text: str, page: Path) -> Iterator[Step]:
    if word == "file":
        yield WrittenFile(path=rest, text=text)
    elif word == "run by":
        yield RunElsewhere(test=rest, commands=tuple(_commands(text, in_cluster=False, page=page)))
    elif language == CONSOLE:
        yield from _commands(text, in_cluster=word == "in a cluster", page=page)
    elif language in SHELLS or (
        language in {"", "text"} and any(_PROMPT.match(line) for line in text.splitlines())
    ):
        raise ValueError(f"{page}: commands stand in a block of the language {CONSOLE}:\n{text}")


def _commands(text: str, *, in_cluster: bool, page: Path) -> Iterator[Command]:
    lines = text.splitlines()
    if not lines or not _PROMPT.match(lines[0]):
        raise ValueError(f"{page}: a block begins with no prompt:\n{text}")
    while lines:
        prompt = _PROMPT.match(lines.pop(0))
        assert prompt is not None
        words = prompt["command"]
        while words.endswith(_CONTINUED) and lines:
            words = f"{words}\n{lines.pop(0)}"
        shown = []
        while lines and not _PROMPT.match(lines[0]):
            shown.append(lines.pop(0))
        host = prompt["host"] or ("root" if prompt["sign"] == "#" else "")
        yield Command(words=words, shown=tuple(shown), host=host, in_cluster=in_cluster)


_MOVING = (
    (re.compile(r"\d{8}T\d{6}Z(?:-\d+)?"), "BACKUP"),
    (re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z?)?"), "DATE"),
    (re.compile(r"\bage1[0-9a-z]+…?"), "RECIPIENT"),
    (re.compile(r"\b[a-z2-7]{5}(?:-[a-z2-7]{5}){4}\b"), "FINGERPRINT"),
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"), "UID"),
    (re.compile(r"\b[0-9a-f]{6,}\b…?"), "HEX"),
)
_IDENTITIES = frozenset({"BACKUP", "RECIPIENT", "FINGERPRINT", "UID"})


def plain(line: str) -> str:
    """A line without what differs each time: moments, keys, digests."""
    for pattern, word in _MOVING:
        line = pattern.sub(word, line)
    # Two backups of one second have a number behind it, which makes the column of a table wider.
    return re.sub(r" {2,}", "  ", line).rstrip()


@dataclass(slots=True, kw_only=True)
class Comparison:
    """What was shown beside what was said."""

    fault: str | None = None
    alike: list[tuple[str, str]] = field(default_factory=list)
    """Each key and backup that the page names, and what it is this time."""


def compare(shown: tuple[str, ...], said: list[str]) -> Comparison:
    """The first line that is not as it is shown; a cut stands for lines, or for the rest of one."""
    found, place, is_open = Comparison(), 0, False
    for line in shown:
        if line == CUT:
            is_open = True
            continue
        while place < len(said):
            one = said[place]
            place += 1
            if _is_alike(line, one):
                found.alike += _identities(line, one)
                break
            if not is_open:
                found.fault = f"shown {plain(line)!r}, said {plain(one)!r}"
                return found
        else:
            found.fault = f"shown {plain(line)!r}, and never said"
            return found
        is_open = False
    if not is_open and place < len(said):
        found.fault = f"said, and not shown: {plain(said[place])!r}"
    return found


def _is_alike(shown: str, said: str) -> bool:
    if shown.endswith(CUT):
        return plain(said).startswith(plain(shown.removesuffix(CUT)))
    return plain(said) == plain(shown)


def _identities(shown: str, said: str) -> Iterator[tuple[str, str]]:
    for pattern, word in _MOVING:
        if word in _IDENTITIES:
            yield from zip(_whole(pattern, shown), _whole(pattern, said), strict=False)


def _whole(pattern: re.Pattern[str], line: str) -> list[str]:
    return [match[0] for match in pattern.finditer(line)]
