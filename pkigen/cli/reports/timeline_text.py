"""The timeline of a report in block characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.cli.reports.lifelines import axis, lives
from pkigen.cli.reports.lines import Line, Tone
from pkigen.cli.reports.status_forms import summary
from pkigen.cli.reports.trust_picture import some
from pkigen.desired.trust_graph import Health
from pkigen.notation import printable, residual

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from pkigen.cli.reports.lifelines import Axis, Life
    from pkigen.cli.reports.status import StatusRow

_WIDTH = 80
"""Where no terminal says how wide it is."""
_WIDEST_BAR = 60
_SHORTEST_BAR = 10
_LONGEST_NAME = 30
_PAST, _LASTS, _DUE, _TODAY, _NONE = "░", "█", "▒", "│", " "
_TONES = {
    Health.BROKEN: Tone.RISK,
    Health.SOON: Tone.CHANGES,
    Health.UNKNOWN: Tone.QUIET,
    Health.HOLDS: Tone.PLAIN,
}


def lines(rows: Iterable[StatusRow], *, now: datetime, width: int | None) -> Iterator[Line]:
    """A bar for each life, what ends first on top, and below it what stops then."""
    listed = list(rows)
    found = lives(listed, now=now)
    yield Line(summary(listed, now=now), Tone.TITLE)
    yield Line("")
    if not found:
        return
    yield from _drawn(found, now=now, width=width or _WIDTH)
    yield Line("")
    yield Line(
        f"{_PAST} lived  {_LASTS} to come  {_DUE} to be renewed  {_TODAY} today, {now:%Y-%m-%d}", Tone.QUIET
    )


def _drawn(found: Sequence[Life], *, now: datetime, width: int) -> Iterator[Line]:
    names = [_cut(printable(each.what)) for each in found]
    longest = max(map(len, names))
    ends = [f"{each.ends:%Y-%m-%d} {residual(each.ends - now):>5}" for each in found]
    # Two gaps, each of two columns.
    columns = min(max(width - longest - len(ends[0]) - 4, _SHORTEST_BAR), _WIDEST_BAR)
    over = axis(found, now=now)
    for life, name, end in zip(found, names, ends, strict=True):
        drawn = bar(life, over, now=now, columns=columns)
        yield Line(f"{name.ljust(longest)}  {drawn}  {end}", _TONES[life.health], is_whole=True)
        where = f"{some(life.nodes)}: " if life.nodes else ""
        yield Line(f"    {where}{life.stops}", Tone.QUIET)


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"


def bar(life: Life, over: Axis, *, now: datetime, columns: int) -> str:
    """The life in block characters: lived, to come, the window of renewal, and today."""
    step = (over.end - over.start) / columns
    # By the middle of each cell, so that a bar is rounded to the nearest cell at both ends.
    cells = [_cell(life, over.start + step * (number + 0.5), now) for number in range(columns)]
    today = min(int(over.share(now) * columns), columns - 1)
    cells[today] = _TODAY
    if life.begins <= now < life.ends and cells[today + 1 : today + 2] == [_NONE]:
        # What lasts for less than half a cell lasts all the same.
        cells[today + 1] = _DUE if now >= life.due else _LASTS
    return "".join(cells)


def _cell(life: Life, moment: datetime, now: datetime) -> str:
    if not life.begins <= moment < life.ends:
        return _NONE
    if moment < now:
        return _PAST
    return _DUE if moment >= life.due else _LASTS
