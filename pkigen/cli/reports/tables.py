"""Lines and aligned columns of text, which survive a pipe and whatever stands in them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from pkigen.notation import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

_GAP = 2
_INDENT = " " * 4
_SAYS_NOTHING = frozenset({"", "-", "ok"})


def page(lines: Iterable[str]) -> str:
    """Lines as one text, without an end of line at its end; whatever a line holds stays within it."""
    return "\n".join(map(printable, lines))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, width: int | None = None) -> str:
    """Columns aligned to their widest entry, within a terminal's width if there is one (`blocks`)."""
    return "\n".join(line for block in blocks(header, rows, width=width) for line in block)


def blocks(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    width: int | None = None,
    narrow: Sequence[str] = (),
) -> list[list[str]]:
    """The lines of the header and of each row, aligned; a row has several where a terminal is too narrow.

    Columns that do not fit stand below their row, each with its name. An entry is never cut and no word is
    broken, so that one longer than the terminal stays whole.

    Args:
        header: The columns' names; the first column always stays.
        rows: As many cells each.
        width: Columns of the terminal; None where nothing limits a line.
        narrow: The columns to move below, in this order; the last one first if none is named.
    """
    lines = [tuple(header), *(tuple(map(printable, row)) for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    # Down to 1: the first column names the row, and stays.
    order = [header.index(name) for name in narrow] or list(range(len(header) - 1, 0, -1))
    below = _moved(widths, width, order)
    beside = [column for column in range(len(header)) if column not in below]
    return [
        [
            *_fitted((" " * _GAP).join(line[each].ljust(widths[each]) for each in beside).rstrip(), width),
            *(() if line is lines[0] else _beneath(header, line, below, width)),
        ]
        for line in lines
    ]


def _fitted(line: str, width: int | None) -> list[str]:
    """A row within the terminal, broken at its spaces only."""
    if width is None or len(line) <= width:
        return [line]
    return textwrap.wrap(
        line,
        width=max(width, 2 * len(_INDENT)),
        subsequent_indent=_INDENT * 2,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _beneath(
    header: Sequence[str], line: Sequence[str], below: Collection[int], width: int | None
) -> Iterator[str]:
    """What has left a row, with its columns' names."""
    for column in sorted(below):
        if line[column] not in _SAYS_NOTHING:
            yield from _under(header[column], line[column], width)


def _moved(widths: Sequence[int], width: int | None, order: Iterable[int]) -> Collection[int]:
    """The columns that have to leave the row, so that it fits as far as it can."""
    needed = sum(widths) + _GAP * (len(widths) - 1)
    below: set[int] = set()
    for column in order:
        if width is None or needed <= width:
            break
        below.add(column)
        needed -= widths[column] + _GAP
    return below


def _under(name: str, cell: str, width: int | None) -> list[str]:
    """One cell below its row, broken at its spaces only."""
    return textwrap.wrap(
        f"{name.lower()}: {cell}",
        width=max(width or 0, 2 * len(_INDENT)),
        initial_indent=_INDENT,
        subsequent_indent=_INDENT * 2,
        break_long_words=False,
        break_on_hyphens=False,
    )
