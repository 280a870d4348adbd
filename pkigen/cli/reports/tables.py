"""Lines and aligned columns of text, which survive a pipe and whatever stands in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.notation import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def page(lines: Iterable[str]) -> str:
    """Lines as one text, without an end of line at its end; whatever a line holds stays within it."""
    return "\n".join(map(printable, lines))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns aligned to their widest entry."""
    lines = [tuple(header), *(tuple(map(printable, row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
