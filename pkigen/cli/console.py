"""What a person sees: results on stdout, everything else on stderr."""

from __future__ import annotations

import enum
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import accumulate, chain
from textwrap import wrap
from typing import TextIO

from pkigen.cli.addressed import addressed_here, place
from pkigen.cli.reports.lines import Line, Tone
from pkigen.errors import PkigenError, Problem
from pkigen.notation import printable


class Colour(enum.StrEnum):
    """When output is coloured; `auto` is on a terminal, unless NO_COLOR or TERM=dumb speaks against it."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class _Results(enum.Enum):
    """Whether what is said is the result, or goes beside it."""

    HERE = enum.auto()
    ASIDE = enum.auto()


_results: ContextVar[_Results] = ContextVar("results", default=_Results.HERE)
_colour: ContextVar[Colour] = ContextVar("colour", default=Colour.AUTO)


@contextmanager
def one_run() -> Iterator[None]:
    """For one run of the program, its errors included: what is chosen within ends with it."""
    colour, cluster = _colour.set(Colour.AUTO), place.set(None)
    try:
        yield
    finally:
        _colour.reset(colour)
        place.reset(cluster)


@contextmanager
def said_aside() -> Iterator[None]:
    """What is said within is no result: that is a document, which comes later."""
    token = _results.set(_Results.ASIDE)
    try:
        yield
    finally:
        _results.reset(token)


def _out() -> TextIO:
    """Where results go."""
    return sys.stderr if _results.get() is _Results.ASIDE else sys.stdout


def choose_colour(when: Colour) -> None:
    """Say when the rest of this run's output is coloured."""
    _colour.set(when)


def is_coloured(stream: TextIO) -> bool:
    """Whether what goes there is coloured."""
    match _colour.get():
        case Colour.ALWAYS:
            return True
        case Colour.NEVER:
            return False
        case Colour.AUTO:
            # https://no-color.org: set, and not empty, whatever it holds.
            return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def moves_cursor(stream: TextIO) -> bool:
    """Whether something can be drawn there over what was there before."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def knows_unicode() -> bool:
    """Whether the locale says that terminals show more than ASCII (POSIX.1-2024, 8.2)."""
    said = (os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    return "utf" in next(filter(None, said), "").lower()


_QUOTED = re.compile("`[^`]*`")
_NO_BREAK = "\0"
"""Which no text that is printed holds."""
_CONTINUED = 4
"""By how many columns what continues a line is indented."""
_ASCII = str.maketrans(
    {"→": ">", "…": "...", "─": "-", "▶": ">", "◀": "<", "│": "|", "░": ".", "█": "#", "▒": "="}
)
"""pkigen's own signs, for terminals that show nothing else; a pipe always gets UTF-8."""


def _write(stream: TextIO, text: str) -> None:
    is_plain = stream.isatty() and not knows_unicode()
    stream.write(text.translate(_ASCII) if is_plain else text)


def width() -> int | None:
    """Columns of the terminal that results go to (`COLUMNS`, if set); None where they go elsewhere."""
    return _columns(sys.stdout)


def say(text: str) -> None:
    """Print a result: a document, or lines that `reports.tables` has made into one text."""
    with _told():
        _write(_out(), _shown(text))


def say_line(line: str) -> None:
    """Print one line of a result."""
    say_lines([Line(line)])


def aside(text: str) -> None:
    """Print lines that would be the result, were that not a document."""
    _write(sys.stderr, _shown(text))


def say_lines(lines: Iterable[Line]) -> None:
    """Print lines of a result, on a terminal in their colours."""
    with _told():
        _write(_out(), _coloured(lines, _out()))


def redraw(lines: Iterable[Line]) -> None:
    """Show lines in place of all that the terminal shows, as many as it has room for."""
    size = shutil.get_terminal_size()
    folded = list(chain.from_iterable(_folded(line, size.columns) for line in lines))
    shown = fitting(folded, columns=size.columns, rows=size.lines)
    drawn = _coloured(shown, sys.stdout).replace("\n", f"{_TO_THE_END}\n")
    with _told():
        _write(sys.stdout, f"{_HOME}{drawn}{_BELOW}")
        sys.stdout.flush()


_URGENT = frozenset({Tone.RISK, Tone.CHANGES})


def fitting(lines: Sequence[Line], *, columns: int, rows: int) -> list[Line]:
    """As many lines as a terminal has room for, in their order; what is left out is counted.

    What is wrong or due is left out last, then what stands further up. The last row stays free: to end a line
    there would move all of them.
    """
    heights = [max(1, -(-len(printable(line.text)) // columns)) for line in lines]
    if sum(heights) < rows:
        return list(lines)
    ranked = sorted(range(len(lines)), key=lambda number: (lines[number].tone not in _URGENT, number))
    filled = accumulate(heights[number] for number in ranked)
    # One row is for the count, and the last stays free.
    kept = sorted(number for number, total in zip(ranked, filled, strict=True) if total < rows - 1)
    more = Line(f"… and {len(lines) - len(kept)} more lines; there is no room", Tone.QUIET)
    return [*(lines[number] for number in kept), more]


def aside_lines(lines: Iterable[Line]) -> None:
    """Print lines that would be the result, were that not a document."""
    _write(sys.stderr, _coloured(lines, sys.stderr))


_HOME, _TO_THE_END, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
"""To the first column of the first row; erase the rest of the row; erase all below (ECMA-48 8.3)."""
COLOURS = {
    Tone.TITLE: "1",
    Tone.RISK: "1;38;5;196",
    Tone.CREATES: "38;5;28",
    Tone.CHANGES: "38;5;130",
    Tone.REPLACES: "38;5;163",
    Tone.REMOVES: "38;5;196",
    Tone.WELL: "38;5;28",
    Tone.HINT: "38;5;31",
    Tone.QUIET: "38;5;243",
}
"""How a terminal shows what a line is about (ECMA-48 8.3.117, select graphic rendition).

The sixteen named colours look different in every theme: yellow is lost on white, blue on black. Those of the
cube of 256 are fixed, and these can be read on light and on dark ground alike.
"""
_LABELS = {
    "error": Tone.RISK,
    "refused": Tone.RISK,
    "failed": Tone.RISK,
    "finding": Tone.RISK,
    "warning": Tone.CHANGES,
    "hint": Tone.HINT,
    "next": Tone.HINT,
    "note": Tone.QUIET,
    "remark": Tone.QUIET,
    "info": Tone.QUIET,
    "debug": Tone.QUIET,
}
"""The words that lines on standard error begin with, and what each is about."""


def _coloured(lines: Iterable[Line], stream: TextIO) -> str:
    is_plain = not is_coloured(stream)
    columns = _columns(stream)
    return "".join(
        f"{each.text if is_plain else _painted(each.text, each.tone)}\n"
        for line in lines
        for each in _folded(line, columns)
    )


def _folded(line: Line, columns: int | None) -> Iterator[Line]:
    """A line that prints; as several, where a terminal would break its words."""
    text = addressed_here(printable(line.text))
    if line.is_whole:
        yield Line(text, line.tone)
    else:
        yield from (Line(part, line.tone) for part in _parts(text, columns))


def _parts(text: str, columns: int | None) -> list[str]:
    """A text in lines of a terminal; what stands between backquotes, such as a command, stays together."""
    if columns is None or len(text) <= columns:
        return [text]
    kept = _QUOTED.sub(lambda found: found[0].replace(" ", _NO_BREAK), text)
    indent = " " * (len(text) - len(text.lstrip()) + _CONTINUED)
    # Options and node names have hyphens: a line that is broken there could not be copied.
    parts = wrap(kept, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [part.replace(_NO_BREAK, " ") for part in parts]


def _columns(stream: TextIO) -> int | None:
    """How wide a terminal is; None for everything else."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def _painted(text: str, tone: Tone | None) -> str:
    """A text that prints, in the colour of what it is about."""
    colour = COLOURS.get(tone) if tone is not None else None
    return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def note(line: str) -> None:
    """Print one line that is not the result; on a terminal, the word before its colon in colour."""
    text = "\n".join(_parts(addressed_here(printable(line)), _columns(sys.stderr)))
    label, colon, rest = text.partition(":")
    if colon and label in _LABELS and is_coloured(sys.stderr):
        text = f"{_painted(f'{label}:', _LABELS[label])}{rest}"
    _write(sys.stderr, f"{text}\n")


def _shown(text: str) -> str:
    """What is printed, line by line: whatever comes from a file or a certificate moves no cursor.

    Whoever makes a line of somebody else's words keeps them within it (`reports.tables.page`).
    """
    return "".join(map(_line_shown, text.removesuffix("\n").split("\n")))


def _line_shown(line: str) -> str:
    """A line with its end; calendars end theirs with CR and LF (RFC 5545 3.1)."""
    end = "\r\n" if line.endswith("\r") else "\n"
    return printable(line.removesuffix("\r")) + end


def error(message: str, *, hint: str = "") -> None:
    """Say what went wrong and what to do next, on one line each."""
    note(f"error: {message}")
    if hint:
        note(f"hint: {hint}")


def warn(problems: Iterable[Problem]) -> None:
    """Say what is legal but not as expected."""
    for problem in problems:
        note(f"warning: {problem}")


def agreed(question: str) -> bool:
    """Ask on stderr and read the answer from stdin.

    Raises:
        PkigenError: Nobody is there to answer.
    """
    try:
        # Within: who sees the question may already interrupt.
        sys.stderr.write(f"{printable(question)} [y/N]: ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
    except OSError:  # the terminal is gone
        answer = ""
    except KeyboardInterrupt:
        note("")  # what is said about it has a line of its own
        raise
    if not sys.stdin.isatty():
        note("")  # nobody's Enter ended the line
    if not answer:
        raise PkigenError("no answer: nothing was changed", hint="add --yes to continue without asking")
    return answer.strip().lower() in {"y", "yes"}


def flush() -> None:
    """See that the result has really gone out.

    Raises:
        PkigenError: It cannot be written.
        BrokenPipeError: Its reader went away.
    """
    with _told():
        sys.stdout.flush()


@contextmanager
def _told() -> Iterator[None]:
    """Turn failures of standard output into words; a reader who has gone away is no failure to tell of."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as problem:
        silence()
        reason = (problem.strerror or "input/output error").lower()
        raise PkigenError(
            f"the result cannot be written to standard output: {reason}",
            hint="if a change was made, it stays: `pkigen rollback --list` shows the last one",
        ) from None


def silence() -> None:
    """Send what is still to be printed nowhere, or the interpreter complains about it at its end."""
    # On the descriptor, not on `sys.stdout`: the buffer that could not be written is flushed once more at
    # exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
