"""What the page of a report places: values of one cluster, and the words and signs that go with them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pkigen.cli.reports.trust_picture import some
from pkigen.desired.generations import Phase
from pkigen.desired.trust_graph import Health
from pkigen.records import dataclass
from pkigen.rotation.live import Sight

if TYPE_CHECKING:
    from markupsafe import Markup

    from pkigen.agenda.tasks import Task
    from pkigen.cli.examination import Examined
    from pkigen.cli.reports.changes import PastChange
    from pkigen.cli.reports.lifelines import Life

MARKS = {Health.BROKEN: "✕", Health.SOON: "!", Health.UNKNOWN: "?", Health.HOLDS: "✓"}
STATES = {
    Health.BROKEN: "does not work",
    Health.SOON: "to renew",
    Health.UNKNOWN: "not judged",
    Health.HOLDS: "ok",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The sentence on top: `level` is how it is meant."""

    level: Health
    word: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A life as shares of the timeline, in per cent."""

    life: Life
    name: str
    where: str
    begin: float
    now: float
    due: float
    end: float
    is_cut: bool
    left: str
    sentence: str

    @property
    def lived(self) -> float:
        """How much of it is past."""
        return max(min(self.now, self.end) - self.begin, 0.0)

    @property
    def ahead(self) -> float:
        """How much is to come before it is to be renewed."""
        return max(self.due - max(self.now, self.begin), 0.0)

    @property
    def mark(self) -> str:
        """Its state as a sign."""
        return MARKS[self.life.health]

    @property
    def state(self) -> str:
        """Its state in words."""
        return STATES[self.life.health]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """One CA, and a group that trusts it."""

    ca: str
    judges: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One certificate on some nodes."""

    name: str
    health: Health
    text: str

    @property
    def mark(self) -> str:
        """Its state as a sign."""
        return MARKS[self.health]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """Nodes that have the same certificates, with the same time left."""

    nodes: tuple[str, ...]
    cells: tuple[Cell | None, ...]

    @property
    def name(self) -> str:
        """A few of them."""
        return some(self.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldFinding:
    """One thing that is wrong, and the way out."""

    level: Health
    severity: str
    rule: str
    place: str
    detail: str
    why: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationState:
    """How far one rotation is."""

    id: str
    phase: Phase
    last: str
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """Endpoints of which the same was seen."""

    component: str
    sight: Sight
    nodes: tuple[str, ...]

    @property
    def level(self) -> Health:
        """How that is."""
        return SIGHTS[self.sight]


SIGHTS = {
    Sight.CURRENT: Health.HOLDS,
    Sight.OLD: Health.SOON,
    Sight.UNKNOWN: Health.BROKEN,
    Sight.NOTHING: Health.UNKNOWN,
}
"""How what was seen of an endpoint is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything that the page says of one cluster."""

    anchor: str
    examined: Examined
    verdict: Headline
    task: Task | None
    first: str
    lately: str
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    today: float
    drawing: Markup
    edges: tuple[tuple[str, str, str, Health], ...]
    trusts: tuple[Trust, ...]
    columns: tuple[str, ...]
    matrix: tuple[MatrixRow, ...]
    findings: tuple[ToldFinding, ...]
    more: int
    rotations: tuple[RotationState, ...]
    reached: tuple[Reached, ...]
    changes: tuple[PastChange, ...]

    @property
    def counts(self) -> Counter[str]:
        """The findings by their severity."""
        return Counter(each.severity for each in self.examined.audit.findings)

    @property
    def first_name(self) -> str:
        """What expires first from now on."""
        return f"{self._next.what}{f' on {some(self._next.nodes)}' if self._next.nodes else ''}"

    @property
    def first_when(self) -> str:
        """When that is."""
        return f"{self._next.ends:%Y-%m-%d}"

    @property
    def _next(self) -> Life:
        to_come = [bar.life for bar in self.bars if bar.life.ends > self.examined.now]
        # Where all have ended, the one that lasted longest.
        return (to_come or [self.bars[-1].life])[0]

    @property
    def refused(self) -> int:
        """How many connections do not hold."""
        return sum(each.health is Health.BROKEN for each in self.examined.graph.connections)

    @property
    def soon(self) -> int:
        """How many hold with a certificate that is to be renewed."""
        return sum(each.health is Health.SOON for each in self.examined.graph.connections)

    @property
    def recent(self) -> int:
        """How many changes there were in the last seven days."""
        return sum(each.is_recent for each in self.changes)

    @property
    def turning(self) -> tuple[RotationState, ...]:
        """The rotations in progress."""
        return tuple(each for each in self.rotations if each.phase is not Phase.STABLE)
