"""What a proof says: the cases, the verdicts and the states that they are about."""

from __future__ import annotations

import enum
import itertools
from typing import TYPE_CHECKING

from pkigen.errors import RotationError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from pkigen.desired.connections import Peer
    from pkigen.desired.file_references import FileReference
    from pkigen.desired.inventory import Inventory
    from pkigen.state.observed import Reader


class Age(enum.StrEnum):
    """Which generation of its files one end of an edge holds."""

    OLD = "old"
    NEW = "new"


class Presented(enum.StrEnum):
    """What one end shows and the other judges."""

    SERVING = "serving certificate"
    CLIENT = "client certificate"
    SIGNED = "certificate signed by the controller manager"
    ACCOUNT = "service account token"
    STORED = "encrypted Secret"


_NOUNS = {
    Presented.SERVING: ("certificate", "bundle"),
    Presented.CLIENT: ("certificate", "bundle"),
    Presented.SIGNED: ("signing certificate", "bundle"),
    Presented.ACCOUNT: ("signing key", "keys"),
    Presented.STORED: ("first key", "keys"),
}
"""What each end of an edge holds: the presenter, the judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The cluster's files before or after a step."""

    inventory: Inventory
    reader: Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One end's credential judged by the other end's trust, and why it is refused, if it is."""

    presenter: Peer
    judge: Peer
    credential: Presented
    presented: Age
    trusted: Age
    refusal: str | None

    def __str__(self) -> str:
        shown, trusted = _NOUNS[self.credential]
        presenter = f"{self.presenter} ({self.presented} {shown})"
        judge = f"{self.judge} ({self.trusted} {trusted})"
        # Whoever dials stands first; a server's certificate is judged by who dials it.
        ends = (judge, presenter) if self.credential is Presented.SERVING else (presenter, judge)
        text = " → ".join(ends)
        return text if self.refusal is None else f"{text}: {self.refusal}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRow:
    """All edges of one kind: how many there are, and in how many of them each of the four cases holds.

    A row that is not `binding` is of those whose time ends with the step: no promise is broken there.
    """

    edge: str
    count: int
    held: tuple[int, int, int, int]
    binding: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Every case of every edge, and what components read that no case is about: nobody has it here."""

    verdicts: int
    edges: int
    broken: tuple[Verdict, ...]
    table: tuple[ProofRow, ...]
    unjudged: tuple[FileReference, ...] = ()

    def require(self) -> None:
        """Go on only if nothing breaks.

        Raises:
            RotationError: Some edge would break; the first is named.
        """
        if self.broken:
            more = f" (and {len(self.broken) - 1} more)" if len(self.broken) > 1 else ""
            raise RotationError(
                f"this step would break a connection: {self.broken[0]}{more}",
                hint="nothing was changed; take the steps in order, and distribute each to every node first",
            )


CASES = tuple(itertools.product(Age, Age))
"""(presented, trusted), in the order of a row's columns."""


def row_name(peer: Peer) -> str:
    """What stands in a row of the table: people are one kind."""
    return "people" if peer.component.startswith("user ") else peer.component
