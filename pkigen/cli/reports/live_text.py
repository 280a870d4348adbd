"""What running endpoints serve, as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.cli.reports.lines import Line, Tone
from pkigen.cli.reports.tables import blocks
from pkigen.rotation.live import Sight
from pkigen.rotation.live_revocations import Hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.rotation.live import Live
    from pkigen.rotation.live_revocations import ServerList

_SHOWN = 16


_TONES = {
    Sight.CURRENT: Tone.PLAIN,
    Sight.OLD: Tone.CHANGES,
    Sight.UNKNOWN: Tone.RISK,
    Sight.NOTHING: Tone.RISK,
}


def live_lines(live: Live, *, cluster: str, width: int | None = None) -> Iterator[Line]:
    """A table of endpoints, the findings, the nodes that are behind, and the counts."""
    yield from _endpoints(live, width)
    yield Line("")
    yield from (Line(str(finding), Tone.RISK) for finding in live.findings)
    behind, silent = live.nodes(Sight.OLD, Sight.UNKNOWN), live.nodes(Sight.NOTHING)
    if behind:
        yield Line(f"not serving the certificate in pki.lock: {', '.join(behind)}")
    if silent:
        yield Line(f"no answer from: {', '.join(silent)}")
    current = sum(each.sight is Sight.CURRENT for each in live.seen)
    yield Line(
        f"cluster {cluster}: {len(live.seen)} endpoints, {current} current, {len(live.findings)} findings",
        Tone.RISK if live.findings else Tone.WELL,
    )


def held_lines(held: Iterable[ServerList], *, count: int) -> Iterator[Line]:
    """Which API servers refuse what is revoked; those that do not are named, with what still passes."""
    held = tuple(held)
    yield from (Line(str(each), Tone.RISK) for each in held if each.hold is not Hold.CURRENT)
    if held:
        current = sum(each.hold is Hold.CURRENT for each in held)
        yield Line(
            f"revocations: {count}, refused by {current} of {len(held)} API servers",
            Tone.WELL if current == len(held) else Tone.RISK,
        )
        yield Line("")


def _endpoints(live: Live, width: int | None) -> Iterator[Line]:
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
    # One tone for each block: a row may take several lines on a narrow terminal.
    tones = (Tone.TITLE, *(_TONES[each.sight] for each in live.seen))
    for tone, block in zip(tones, blocks(header, rows, width=width), strict=True):
        yield from (Line(each, tone) for each in block)
