"""The backups of a directory: as `rollback --list` shows them, and as the end of a change names its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.cli.reports.tables import table
from pkigen.notation import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.store import BackupInfo


def replaced_text(backup: str | None) -> str:
    """How a sentence on what was done goes on; it ends there where nothing had to be kept.

    Args:
        backup: The id of the backup that the change has left.
    """
    return f"; what was replaced is in backup {backup}" if backup else ""


def backups_text(backups: Iterable[BackupInfo], *, width: int | None = None) -> str:
    """One line a backup: its id, what left it and when, and how many files that change concerned."""
    rows = (
        (
            each.id,
            each.command or "-",
            timestamp(each.time) if each.time else "-",
            each.damage or str(len(each.paths)),
        )
        for each in backups
    )
    return table(("ID", "LEFT BY", "TIME", "FILES"), rows, width=width)
