"""The last changes of a cluster, by its ledger: what was done at one moment is one change."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from pkigen.notation import residual
from pkigen.records import dataclass
from pkigen.state.ledger import Event, moment_of, newest_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from pkigen.store import BackupInfo

LATELY = timedelta(days=7)
_SHOWN = 20
_NAMED = 4
_OBJECTS = "objects"
_UNTOLD = frozenset({Event.RECORDED, Event.AGREED})
"""What goes with every change, or with every saved plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastChange:
    """What was done at one moment, and by which command where a backup tells."""

    time: datetime
    ago: str
    is_recent: bool
    command: str
    sentence: str


def changes(ledger: bytes, backups: Iterable[BackupInfo], *, now: datetime) -> tuple[PastChange, ...]:
    """The newest first."""
    # By time, for neither names the other: a change writes its ledger lines and its backup with one `now`.
    # The ledger's times have no microseconds.
    commands = {each.time.replace(microsecond=0): each.command for each in backups if each.time is not None}
    return tuple(islice(_changes(ledger, commands, now), _SHOWN))


def _changes(ledger: bytes, commands: Mapping[datetime, str], now: datetime) -> Iterator[PastChange]:
    for time, lines in groupby(newest_lines(ledger), key=moment_of):
        told = [line for line in lines if line.get("event") not in _UNTOLD]
        if time is None or not told:
            continue
        yield PastChange(
            time=time,
            ago=f"{residual(now - time)} ago",
            is_recent=now - time <= LATELY,
            command=commands.get(time, ""),
            sentence=_sentence(told),
        )


def _sentence(lines: list[dict[str, Any]]) -> str:
    """How often each thing was done, the rotations with their step, and to what where it is little."""
    steps = [
        f"{line.get('step')} of {line.get('id')}" for line in lines if line.get("event") == Event.ROTATED
    ]
    counts = Counter(str(line.get("event")) for line in lines if line.get("event") != Event.ROTATED)
    parts = [f"rotation: {', '.join(steps)}"] if steps else []
    parts += [_counted(event, number, lines) for event, number in counts.most_common()]
    return "; ".join(parts)


def _counted(event: str, number: int, lines: list[dict[str, Any]]) -> str:
    if number > _NAMED:
        return f"{number} {_OBJECTS} {event}"
    # The ledger is read from its end; here things stand in the order in which they were done.
    names = [str(line.get("id")) for line in reversed(lines) if str(line.get("event")) == event]
    return f"{event} {', '.join(names)}"


def lately(found: Iterable[PastChange]) -> str:
    """What happened in the last seven days, in one sentence."""
    recent = [each for each in found if each.is_recent]
    if not recent:
        return "nothing was changed in the last 7 days"
    number = f"{len(recent)} change{'s' if len(recent) > 1 else ''}"
    return f"{number} in the last 7 days, the last one {recent[0].ago}: {recent[0].sentence}"
