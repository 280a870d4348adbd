"""The trust graph: who presents which certificate to whom, judged by which bundle, and is it accepted?

A cluster of pkigen's own and one that it did not make have the same graph; `reconcile/edge_verdicts` and
`adoption/trust` make it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pkigen.desired.connections import Peer


class Health(enum.StrEnum):
    """How a certificate fares before who judges it, the worst first."""

    BROKEN = "broken"
    SOON = "soon"
    """It holds, but it is to be renewed."""
    UNKNOWN = "unknown"
    """It cannot be judged here: one of the two files is not in this directory."""
    HOLDS = "holds"

    @property
    def rank(self) -> int:
        """0 is the worst."""
        return _RANKS[self]


_RANKS = {each: rank for rank, each in enumerate(Health)}


class Shower(enum.StrEnum):
    """Which end of a connection presents a certificate; the other end judges it."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """One end presents a certificate, and the other judges it by a bundle.

    `certificate` is an id, or the path of a file that is none of the inventory's; `bundle` is a file.
    `names` are what a client dials; a server asks for none. `anchors` name the CAs in the bundle. `ends` is
    when the first link of the chain ends. `refusals` say why it is not accepted.
    """

    shown_by: Shower
    certificate: str
    bundle: str
    names: tuple[str, ...] = ()
    anchors: tuple[str, ...] = ()
    ends: datetime | None = None
    health: Health
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A client that connects to a server, and what each presents to the other."""

    client: Peer
    server: Peer
    presentations: tuple[Presentation, ...]

    @property
    def health(self) -> Health:
        """That of its worst end; one that presents nothing that can be judged here is unknown."""
        found = (each.health for each in self.presentations)
        return min(found, key=lambda each: each.rank, default=Health.UNKNOWN)

    def presented_by(self, end: Shower) -> Presentation | None:
        """What one end presents."""
        return next((each for each in self.presentations if each.shown_by is end), None)

    def __str__(self) -> str:
        return f"{self.client} → {self.server}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustGraph:
    """Every connection of a cluster."""

    connections: tuple[Connection, ...]

    @property
    def components(self) -> tuple[str, ...]:
        """What there is at either end, each once."""
        found = (peer.component for each in self.connections for peer in (each.client, each.server))
        return tuple(dict.fromkeys(found))

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that have an end."""
        found = {peer.node for each in self.connections for peer in (each.client, each.server)}
        return tuple(sorted(node for node in found if node is not None))

    @property
    def anchors(self) -> tuple[str, ...]:
        """Every CA that somebody trusts."""
        return tuple(
            dict.fromkeys(
                name for each in self.connections for shown in each.presentations for name in shown.anchors
            )
        )

    def only(self, wanted: Callable[[Connection], bool]) -> TrustGraph:
        """The part of it that is asked for."""
        return TrustGraph(connections=tuple(each for each in self.connections if wanted(each)))
