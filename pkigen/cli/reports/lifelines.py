"""The life of every certificate as one line of a timeline: alike ones on many nodes share a line."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pkigen.cli.reports.consequences import stops, weight, what
from pkigen.cli.reports.status import due
from pkigen.desired.trust_graph import Health
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pkigen.cli.reports.status import StatusRow

_YEAR = timedelta(days=365)
_REACH = 3 * _YEAR
"""How far behind or ahead the timeline shows; a CA's ten years would leave a day's width to a year."""
_MARGIN = 20
_LINES = 8
"""How many lives of one kind are told apart by their day; more are put together by month or year."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Certificates of one kind that begin and end together.

    `due` is when the first is to be renewed, `ends` when the first stops working with its chain, `last` when
    the last does.
    """

    what: str
    rows: tuple[StatusRow, ...]
    begins: datetime
    due: datetime
    ends: datetime
    last: datetime
    health: Health
    stops: str

    @property
    def nodes(self) -> tuple[str, ...]:
        """Where they are."""
        return tuple(dict.fromkeys(row.node for row in self.rows if row.node is not None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The time that a timeline shows."""

    start: datetime
    end: datetime

    def share(self, moment: datetime) -> float:
        """Where a moment stands, from 0 to 1; what is beyond an end stands there."""
        found = (moment - self.start) / (self.end - self.start)
        return min(max(found, 0.0), 1.0)

    def ticks(self) -> Iterator[tuple[datetime, str]]:
        """The firsts of some months, five at most, as years and months."""
        months = (self.end - self.start).days / 30.4
        step = next(each for each in (1, 2, 3, 6, 12, 24, 120) if months / each <= _TICKS or each == 120)  # noqa: PLR2004
        number = self.start.year * 12 + self.start.month
        # Up to the next multiple, so that ticks are at the same months whatever is shown.
        number += -number % step
        while (moment := self._first(number)) < self.end:
            yield moment, f"{moment:%Y-%m}"
            number += step

    def _first(self, number: int) -> datetime:
        return datetime(number // 12, number % 12 + 1, 1, tzinfo=self.start.tzinfo)


_TICKS = 5


def lives(rows: Iterable[StatusRow], *, now: datetime) -> tuple[Life, ...]:
    """Every life, what ends first on top; of those that end together, what most depends on."""
    kinds: dict[str, list[StatusRow]] = {}
    for row in rows:
        if row.effective is not None:
            kinds.setdefault(what(row), []).append(row)
    found = [
        _life(kind, alike, now) for kind, all_rows in kinds.items() for alike in _alike(all_rows, now=now)
    ]
    return tuple(sorted(found, key=lambda each: (each.ends, weight(each.rows[0]), each.what, each.nodes)))


def _alike(rows: Sequence[StatusRow], *, now: datetime) -> Iterator[list[StatusRow]]:
    """Those that end on one day; where there are many days, in one month, or one year."""
    for form in ("%Y-%m-%d", "%Y-%m", "%Y"):
        groups: dict[tuple[str, Health], list[StatusRow]] = {}
        for row in rows:
            if row.effective is not None:
                groups.setdefault((row.effective.strftime(form), health(row, now=now)), []).append(row)
        if len(groups) <= _LINES or form == "%Y":
            yield from groups.values()
            return


def health(row: StatusRow, *, now: datetime) -> Health:
    """How a certificate or token is."""
    if not row.works or (row.effective is not None and row.effective <= now):
        return Health.BROKEN
    return Health.SOON if due(row, now=now, within=None) else Health.HOLDS


def _life(kind: str, rows: Sequence[StatusRow], now: datetime) -> Life:
    ends = [row.effective for row in rows if row.effective is not None]
    first = min(ends)
    begins = [row.certificate.not_valid_before_utc for row in rows if row.certificate is not None]
    return Life(
        what=kind,
        rows=tuple(rows),
        # A token says when it ends, not when it was made.
        begins=min(begins, default=min(now, first)),
        due=min((row.due_from for row in rows if row.due_from is not None), default=first),
        ends=first,
        last=max(ends),
        health=min((health(row, now=now) for row in rows), key=lambda each: each.rank),
        stops=stops(rows[0]),
    )


def axis(found: Sequence[Life], *, now: datetime) -> Axis:
    """From the first beginning to the last end, as far as three years around today reach."""
    begins = [each.begins for each in found if now - each.begins <= _REACH]
    ends = [each.last for each in found if each.last - now <= _REACH]
    # A quarter ahead at least, also where everything has ended.
    start, end = min((now, *begins)), max((now + _YEAR / 4, *ends))
    margin = (end - start) / _MARGIN
    return Axis(start=start - margin, end=end + margin)
