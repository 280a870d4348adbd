"""The trust graph as SVG: three columns of boxes, and a curve for each arrow.

There is no layout to be found: the column of a component and its place in it are declared
(`trust_picture`), so boxes are stacked and arrows lead from right edges to left ones.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING

from pkigen.cli.reports.page_templates import rendered
from pkigen.cli.reports.trust_picture import (
    Column,
    bundle_name,
    certificate_name,
    listed,
)
from pkigen.desired.trust_graph import Health, Shower
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pkigen.cli.reports.trust_picture import Arrow, Box, Picture
    from pkigen.desired.trust_graph import Presentation

_WIDTH = 250
_STEP = 340
"""From one column to the next."""
_LINE = 17
_PADDING = 10
_GAP = 16
_MARGIN = 2
_LONGEST = 33
"""Signs that fit a box in any usual font."""
_MARKS = {Health.BROKEN: "✕", Health.SOON: "!", Health.UNKNOWN: "?", Health.HOLDS: "✓"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One line in a box: `whole` is what it says where it is cut."""

    y: float
    shown: str
    whole: str
    look: str


@dataclass(slots=True, kw_only=True)
class DrawnBox:
    """A box with its lines, and where arrows leave it."""

    x: float
    y: float = 0
    width: float = _WIDTH
    height: float = 0
    health: Health = Health.HOLDS
    texts: list[Text] = field(default_factory=list)
    ports: dict[Arrow, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """An arrow's line, its head, and what it stands for."""

    path: str
    head: str
    health: Health
    title: str


def svg(drawn: Picture, *, cluster: str, name: str = "trust", standalone: bool = False) -> str:
    """The picture as one element, which scales and follows the reader's light or dark.

    Args:
        drawn: What is drawn.
        cluster: Whose it is.
        name: What its ids begin with, where a page has several.
        standalone: Whether it is a file of its own.
    """
    boxes = {box: _drawn_box(box, drawn.arrows) for box in drawn.boxes}
    height = _stack(boxes)
    columns = max((box.column for box in boxes), default=Column.CLIENTS)
    return rendered(
        "trust.svg",
        name=name,
        cluster=cluster,
        summary=summary(drawn),
        width=columns * _STEP + _WIDTH + 2 * _MARGIN,
        height=height + 2 * _MARGIN,
        margin=_MARGIN,
        padding=_PADDING,
        boxes=list(boxes.values()),
        curves=list(_curves(drawn.arrows, boxes)),
        standalone=standalone,
    ).strip()


def summary(drawn: Picture) -> str:
    """The picture for who does not see it."""
    states = Counter(each.health for each in drawn.arrows)
    bad = [
        f"{each.client.title} to {each.server.title} is {each.state}"
        for each in drawn.arrows
        if _is_bad(each)
    ]
    counts = f"{len(drawn.boxes)} boxes and {len(drawn.arrows)} arrows, {states[Health.HOLDS]} of which hold"
    return ". ".join((counts, *bad)) + "."


def _is_bad(arrow: Arrow) -> bool:
    return arrow.health in {Health.BROKEN, Health.SOON}


def _drawn_box(box: Box, arrows: Sequence[Arrow]) -> DrawnBox:
    drawn = DrawnBox(x=_MARGIN + box.column * _STEP)
    _add(drawn, box.title, "title")
    if box.where:
        _add(drawn, box.where, "where")
    touching = [each for each in arrows if box in {each.client, each.server}]
    arriving = [each for each in touching if each.client is not box]
    if arriving:
        _say(drawn, arriving, Shower.SERVER)
    _add_leaving(drawn, box, [each for each in touching if each.client is box])
    drawn.height += 2 * _PADDING
    # The worst of its connections: a box is drawn by what somebody has to look at.
    drawn.health = min((each.health for each in touching), key=lambda each: each.rank)
    return drawn


def _add_leaving(drawn: DrawnBox, box: Box, leaving: Sequence[Arrow]) -> None:
    """Where a component dials: among themselves first, then others."""
    says_whereto = box.serves or len(leaving) > 1
    for arrow in sorted(leaving, key=lambda each: each.server is not box):
        if arrow.server is box:
            _leave(drawn, arrow, "among themselves")
        else:
            _leave(drawn, arrow, f"to {arrow.server.title}" if says_whereto else "")


def _leave(drawn: DrawnBox, arrow: Arrow, whereto: str) -> None:
    """What a component shows where it dials, and how that fares."""
    drawn.ports[arrow] = drawn.height + _LINE / 2
    if whereto:
        _add(drawn, whereto, "to")
    _say(drawn, [arrow], Shower.CLIENT)
    if _is_bad(arrow):
        _add(drawn, f"{_MARKS[arrow.health]} {arrow.state}", str(arrow.health))


def _say(drawn: DrawnBox, arrows: Sequence[Arrow], end: Shower) -> None:
    """What a component shows as a client or as a server, and by what it judges who answers or asks."""
    other = Shower.CLIENT if end is Shower.SERVER else Shower.SERVER
    shown, judged = _presented(arrows, end), _presented(arrows, other)
    what = listed(certificate_name(each.certificate) for each in shown)
    if what or end is Shower.CLIENT:
        _add(drawn, f"shows {what or 'no certificate'}", "shows")
    bundle = listed(bundle_name(each.bundle) for each in judged)
    if bundle:
        _add(drawn, f"judges by {bundle}", "judges")


def _presented(arrows: Sequence[Arrow], end: Shower) -> list[Presentation]:
    return [each for arrow in arrows for each in arrow.presented_by(end)]


def _add(drawn: DrawnBox, text: str, look: str) -> None:
    shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    drawn.height += _LINE
    drawn.texts.append(Text(y=drawn.height - _LINE / 4, shown=shown, whole=text, look=look))


def _stack(boxes: dict[Box, DrawnBox]) -> float:
    """Put the boxes of each column below one another, about one middle; the height of all is the result."""
    heights = {
        column: _height([each for box, each in boxes.items() if box.column is column]) for column in Column
    }
    tallest = max(heights.values())
    for column in Column:
        y = _MARGIN + (tallest - heights[column]) / 2
        for box, drawn in boxes.items():
            if box.column is column:
                drawn.y = y
                y += drawn.height + _GAP
    return tallest


def _height(boxes: Sequence[DrawnBox]) -> float:
    return sum(each.height for each in boxes) + _GAP * max(len(boxes) - 1, 0)


def _curves(arrows: Sequence[Arrow], boxes: dict[Box, DrawnBox]) -> Iterator[Curve]:
    """From each port to the left edge of the server's box; arrows arrive in the order of their ports."""
    between = [each for each in arrows if each.client is not each.server]
    by_server: dict[Box, list[Arrow]] = {}
    for arrow in between:
        # Sorted by where they come from, so that arrows to one box do not cross each other on the way.
        by_server.setdefault(arrow.server, []).append(arrow)
    for server, arriving in by_server.items():
        target = boxes[server]
        arriving.sort(key=lambda each: boxes[each.client].y + boxes[each.client].ports[each])
        for number, arrow in enumerate(arriving, start=1):
            source = boxes[arrow.client]
            x1, y1 = source.x + source.width, source.y + _PADDING + source.ports[arrow]
            x2, y2 = target.x, target.y + target.height * number / (len(arriving) + 1)
            bend = abs(x2 - x1) / 2
            yield Curve(
                path=f"M{x1:g},{y1:g} C{x1 + bend:g},{y1:g} {x2 - bend:g},{y2:g} {x2 - 8:g},{y2:g}",
                head=f"{x2:g},{y2:g} {x2 - 9:g},{y2 - 4.5:g} {x2 - 9:g},{y2 + 4.5:g}",
                health=arrow.health,
                title=f"{arrow.client.title} to {arrow.server.title}: {arrow.state}",
            )
