"""How much a finding about a foreign cluster weighs."""

from __future__ import annotations

import enum


class AuditSeverity(enum.StrEnum):
    """In the order in which findings are shown."""

    ERROR = "error"
    """Something does not work, stops working now, or lets somebody in."""
    WARNING = "warning"
    """It works, and a later day or a small mishap ends that."""
    INFORMATION = "information"
    """Good to know; nothing has to be done."""

    @property
    def rank(self) -> int:
        """0 for what comes first."""
        return list(AuditSeverity).index(self)
