"""A proof as a person reads it: one line per kind of edge, one column per mixture of old and new files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.cli.reports.tables import page, table
from pkigen.desired.file_references import not_judged
from pkigen.rotation.proof import CASES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pkigen.rotation.proof import Proof

_BROKEN_SHOWN = 20


def proof_text(proof: Proof, premises: Sequence[str] = (), *, width: int | None = None) -> str:
    """The table, every broken case by name, what is assumed, and the count."""
    cases = (f"{presented} by {trusted}" for presented, trusted in CASES)
    header = ("CLIENT → SERVER: WHAT IS VERIFIED", "EDGES", *cases)
    rows = (
        (
            row.edge,
            str(row.count),
            *(
                "ok" if held == row.count else f"{row.count - held} {'BROKEN' if row.binding else 'refused'}"
                for held in row.held
            ),
        )
        for row in proof.table
    )
    lines = table(header, rows, width=width).split("\n")
    lines += ["", "columns: files of the presenting end by files of the verifying end"]
    lines += [f"broken: {verdict}" for verdict in proof.broken[:_BROKEN_SHOWN]]
    hidden = len(proof.broken) - _BROKEN_SHOWN
    if hidden > 0:
        lines.append(f"broken: {hidden} more")
    lines += not_judged(proof.unjudged)
    lines += [f"assumed: {premise}" for premise in premises]
    lines.append(f"{proof.edges} edges, {proof.verdicts} cases, {len(proof.broken)} broken")
    return page(lines)
