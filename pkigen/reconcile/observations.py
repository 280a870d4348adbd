"""What a verification has to say: observations, how grave each is, and their sum."""

from __future__ import annotations

import enum
from dataclasses import replace
from typing import TYPE_CHECKING

from pkigen.records import dataclass
from pkigen.state.reasons import Anomaly, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.desired.trust_graph import TrustGraph


class ObservationSeverity(enum.Enum):
    """Whether something is not as it must be, or only worth knowing."""

    FINDING = enum.auto()
    REMARK = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Something that was seen about an object, a file or an edge."""

    subject: str
    reason: Reason | Anomaly
    detail: str
    severity: ObservationSeverity = ObservationSeverity.FINDING


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a verification looked at and found."""

    objects: int
    observations: tuple[Observation, ...]
    graph: TrustGraph

    @property
    def edges(self) -> int:
        """How many connections were judged."""
        return len(self.graph.connections)

    @property
    def findings(self) -> tuple[Observation, ...]:
        """What makes the verification fail."""
        return self._of(ObservationSeverity.FINDING)

    @property
    def remarks(self) -> tuple[Observation, ...]:
        """What does not."""
        return self._of(ObservationSeverity.REMARK)

    def with_tracked(self, paths: Iterable[str]) -> Verified:
        """The same with the private files that Git tracks: whoever clones the repository gets them."""
        tracked = (
            Observation(
                subject=path,
                reason=Anomaly.TRACKED,
                detail=f"{path} is tracked by Git: its secret is in every clone; `git rm --cached` it, and "
                "rotate what it holds if the repository was ever pushed",
            )
            for path in paths
        )
        return replace(self, observations=(*self.observations, *tracked))

    def _of(self, severity: ObservationSeverity) -> tuple[Observation, ...]:
        return tuple(each for each in self.observations if each.severity is severity)
