"""The forms of the trust graph: JSON, DOT, Mermaid, and lines with small pictures for a terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pkigen.cli.reports.lines import Line, Tone
from pkigen.cli.reports.trust_picture import WORDS, bundle_name, certificate_name, listed, picture
from pkigen.cli.reports.version import API_VERSION
from pkigen.desired.trust_graph import Health, Shower
from pkigen.notation import printable, timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pkigen.cli.reports.trust_picture import Arrow, Box, Picture
    from pkigen.desired.connections import Peer
    from pkigen.desired.trust_graph import Presentation, TrustGraph

_TONES = {
    Health.BROKEN: Tone.RISK,
    Health.SOON: Tone.CHANGES,
    Health.UNKNOWN: Tone.QUIET,
    Health.HOLDS: Tone.PLAIN,
}
_COLOURS = {
    Health.BROKEN: "#b3261e",
    Health.SOON: "#9a6700",
    Health.UNKNOWN: "#6e7781",
    Health.HOLDS: "#1a7f37",
}
_DOT_SIGNS = str.maketrans({"\\": "\\\\", '"': '\\"', "&": "&amp;"})
_MERMAID_OWN = re.compile(r"\$(?=\$)|\\(?=n)|:(?=fa-)")
_BROKEN_UP = "\\g<0>\u2060"
"""With a word joiner behind it, which nobody sees and which joins nothing that was apart."""
_SHORTEST = 4
_REFUSALS = 5
"""How many of those of one arrow are told in full."""


def structure(graph: TrustGraph, *, cluster: str, now: datetime) -> dict[str, Any]:
    """The stable structure behind `-o json` and `-o yaml` (docs/reference/output.md, TrustGraph)."""
    return {
        "apiVersion": API_VERSION,
        "kind": "TrustGraph",
        "cluster": cluster,
        "time": timestamp(now),
        "connections": [
            {
                "client": _peer(each.client),
                "server": _peer(each.server),
                "health": str(each.health),
                "presentations": list(map(_presentation, each.presentations)),
            }
            for each in graph.connections
        ],
    }


def _peer(peer: Peer) -> dict[str, Any]:
    return {"component": peer.component, "node": peer.node}


def _presentation(shown: Presentation) -> dict[str, Any]:
    return {
        "shownBy": str(shown.shown_by),
        "certificate": shown.certificate,
        "judgedBy": shown.bundle,
        "trusts": list(shown.anchors),
        "names": list(shown.names),
        "effectiveExpiry": timestamp(shown.ends) if shown.ends else None,
        "health": str(shown.health),
        "refusals": list(shown.refusals),
    }


# -- Graphviz and Mermaid ---------------------------------------------------------------------------------


def dot(drawn: Picture, *, cluster: str) -> str:
    """The DOT language of Graphviz, which lays it out itself."""
    numbers = {box: f"b{number}" for number, box in enumerate(drawn.boxes)}
    lines = [
        f"digraph {_dot_text([f'trust graph of {cluster}'])} {{",
        "  rankdir=LR;",
        '  node [shape=box, style=rounded, fontname="sans-serif"];',
        '  edge [fontname="sans-serif", fontsize=10];',
        *(f"  {numbers[box]} [label={_dot_text(_box_lines(box))}];" for box in drawn.boxes),
        *(
            f"  {numbers[each.client]} -> {numbers[each.server]} "
            f"[label={_dot_text(_label(each))}, color={_dot_text([_COLOURS[each.health]])}"
            f"{', style=bold' if each.health is Health.BROKEN else ''}];"
            for each in drawn.arrows
        ),
        "}",
    ]
    return "\n".join(lines)


def _dot_text(lines: list[str]) -> str:
    r"""A quoted string; `\n` in it begins a line, and HTML's entities are read as what they stand for."""
    escaped = (printable(each).translate(_DOT_SIGNS) for each in lines if each)
    return '"' + "\\n".join(escaped) + '"'


def mermaid(drawn: Picture) -> str:
    """A flow chart as GitHub and GitLab draw it in Markdown."""
    numbers = {box: f"b{number}" for number, box in enumerate(drawn.boxes)}
    lines = ["flowchart LR"]
    lines += [f'  {numbers[box]}["{_mermaid_text(_box_lines(box))}"]' for box in drawn.boxes]
    lines += [
        f'  {numbers[each.client]} -->|"{_mermaid_text(_label(each))}"| {numbers[each.server]}'
        for each in drawn.arrows
    ]
    lines += [
        f"  linkStyle {number} stroke:{_COLOURS[each.health]}"
        for number, each in enumerate(drawn.arrows)
        if each.health is not Health.HOLDS
    ]
    return "\n".join(lines)


def _mermaid_text(lines: list[str]) -> str:
    """Text between quotes: what is not a letter, digit or plain sign becomes an entity of Mermaid's.

    It decodes them before it looks for formulas, icons and line breaks of its own: these are broken up.
    """
    broken = (_MERMAID_OWN.sub(_BROKEN_UP, printable(each)) for each in lines if each)
    return "<br>".join("".join(map(_mermaid_sign, each)) for each in broken)


def _mermaid_sign(sign: str) -> str:
    return sign if sign.isalnum() or sign in " .,:;/@_+-=…()" else f"#{ord(sign)};"


def _box_lines(box: Box) -> list[str]:
    return [box.title, box.where]


def _label(arrow: Arrow) -> list[str]:
    """What the ends present, and how it fares."""
    lines = [
        f"{end} shows {_shown(arrow, end)}, judged by {_judged_by(arrow, end)}"
        for end in Shower
        if arrow.presented_by(end)
    ]
    return [*lines, *([arrow.state] if arrow.health is not Health.HOLDS else [])]


def _shown(arrow: Arrow, end: Shower) -> str:
    return listed(certificate_name(each.certificate) for each in arrow.presented_by(end))


def _judged_by(arrow: Arrow, end: Shower) -> str:
    return listed(bundle_name(each.bundle) for each in arrow.presented_by(end))


# -- the terminal -----------------------------------------------------------------------------------------


def lines(graph: TrustGraph, *, full: bool = False) -> Iterator[Line]:
    """Each arrow as a small picture: above what the client shows, below what the server shows."""
    for number, arrow in enumerate(picture(graph, full=full).arrows):
        if number:
            yield Line("")
        yield from small_picture(arrow)


def small_picture(arrow: Arrow) -> Iterator[Line]:
    """Two boxes and what goes between them, as wide as the names need."""
    client, server = _named(arrow.client), _named(arrow.server)
    names = {end: _shown(arrow, end) or "no certificate" for end in Shower}
    widest = max(map(len, names.values()))
    forth = f"{names[Shower.CLIENT]} ".ljust(widest + _SHORTEST, "─")
    back = f"{names[Shower.SERVER]} ".ljust(widest + _SHORTEST, "─")
    tone = _TONES[arrow.health]
    margin = " " * len(client)
    yield Line(f"{client} ── {forth}▶ {server}", tone, is_whole=True)
    yield Line(f"{margin} ◀─ {back}─", tone, is_whole=True)
    # Each end is judged by the other, whose bundle is named with it.
    for end, judge in ((Shower.CLIENT, arrow.server), (Shower.SERVER, arrow.client)):
        if arrow.presented_by(end):
            yield Line(f"  {judge.title} judges by {_judged_by(arrow, end)}: {_verdict(arrow, end)}", tone)
    refused = list(
        dict.fromkeys(text for each in arrow.connections for text in _refusals(each.presentations))
    )
    yield from (Line(f"  {each}", Tone.RISK) for each in refused[:_REFUSALS])
    if len(refused) > _REFUSALS:
        yield Line(f"  … and {len(refused) - _REFUSALS} more", Tone.RISK)


def _refusals(shown: tuple[Presentation, ...]) -> Iterator[str]:
    for each in shown:
        # The first reason: what a verifier meets afterwards, it never says.
        yield from each.refusals[:1]


def _verdict(arrow: Arrow, end: Shower) -> str:
    """How what one end shows fares, and until when."""
    shown = arrow.presented_by(end)
    worst = min((each.health for each in shown), key=lambda each: each.rank)
    number = sum(each.health is worst for each in shown)
    words = WORDS[worst] if number == len(shown) else f"{number} of {len(shown)} {WORDS[worst]}"
    ends = [each.ends for each in shown if each.ends is not None]
    return f"{words}, until {min(ends):%Y-%m-%d %H:%M} UTC" if ends else words


def _named(box: Box) -> str:
    return f"{box.title} ({box.where})" if box.where else box.title
