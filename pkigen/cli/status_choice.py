"""Which rows `pkigen status` shows, and in which order."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from pkigen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pkigen.cli.reports.status import StatusRow


class Order(enum.StrEnum):
    """What rows are sorted by."""

    EXPIRY = "expiry"
    NODE = "node"
    NAME = "name"


def chosen(found: Iterable[StatusRow], nodes: Collection[str], order: Order | None) -> list[StatusRow]:
    """The rows of some nodes, or all; what belongs to no node comes before them, what never expires last.

    Raises:
        UsageError: There is nothing of such a node.
    """
    rows = list(found)
    _require_known(nodes, sorted({row.node for row in rows if row.node is not None}))
    return _sorted([row for row in rows if not nodes or row.node in nodes], order)


def _require_known(nodes: Iterable[str], known: list[str]) -> None:
    from difflib import get_close_matches

    for name in nodes:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
            raise UsageError(f"there is no node {name!r} in this cluster", hint=hint)


def _sorted(rows: list[StatusRow], order: Order | None) -> list[StatusRow]:
    match order:
        case Order.EXPIRY:
            return sorted(rows, key=_end)
        case Order.NODE:
            return sorted(rows, key=lambda row: (row.node or "", row.name))
        case Order.NAME:
            return sorted(rows, key=lambda row: (row.name, row.node or ""))
        case None:
            return rows


def _end(row: StatusRow) -> tuple[bool, float, str]:
    """What never ends is last."""
    return row.effective is None, row.effective.timestamp() if row.effective else 0, row.id
