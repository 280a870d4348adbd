"""What running endpoints serve, as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.cli.reports.tables import page, table
from pkigen.rotation.live import Sight

if TYPE_CHECKING:
    from pkigen.rotation.live import Live

_SHOWN = 16


def live_text(live: Live, *, cluster: str, width: int | None = None) -> str:
    """A table of endpoints, the findings, the nodes that are behind, and the counts."""
    header = ("NODE", "COMPONENT", "ENDPOINT", "SERVES", "SHA-256", "EXPIRES")
    rows = (
        (
            each.endpoint.node,
            each.endpoint.component,
            each.endpoint.address,
            str(each.sight),
            each.fingerprint.removeprefix("sha256:")[:_SHOWN] if each.fingerprint else "-",
            f"{each.expires:%Y-%m-%d %H:%M}" if each.expires else "-",
        )
        for each in live.seen
    )
    lines = [*table(header, rows, width=width).split("\n"), ""]
    lines += [str(finding) for finding in live.findings]
    behind, silent = live.nodes(Sight.OLD, Sight.UNKNOWN), live.nodes(Sight.NOTHING)
    if behind:
        lines.append(f"not serving the certificate in pki.lock: {', '.join(behind)}")
    if silent:
        lines.append(f"no answer from: {', '.join(silent)}")
    current = sum(each.sight is Sight.CURRENT for each in live.seen)
    lines.append(
        f"cluster {cluster}: {len(live.seen)} endpoints, {current} current, {len(live.findings)} findings"
    )
    return page(lines)
