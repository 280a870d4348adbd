"""What audit logs say before a *finish*, as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.cli.reports.tables import page

if TYPE_CHECKING:
    from pkigen.rotation.evidence import Evidence


def evidence_text(evidence: Evidence) -> str:
    """Who would be refused, one line each, and what the logs cover."""
    between = f"{evidence.begins:%Y-%m-%d %H:%M} and {evidence.ends:%Y-%m-%d %H:%M} UTC"
    lines = [f"would be refused: {each}" for each in evidence.outdated]
    lines.append(
        f"audit log: {evidence.certificates} client certificates used between {between}, "
        f"{len(evidence.outdated)} would be refused"
    )
    return page(lines)
