"""The plan of a fleet as one document: what `-o json` prints, what is saved, and what is carried out.

It is JSON with each cluster on a line of its own. So it is written and read a cluster at a time: a plan of
thousands of new clusters takes no memory for all of them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pkigen.cli.fleet.endings import failures
from pkigen.cli.fleet.plans import ClusterState, Wish
from pkigen.cli.reports.version import API_VERSION
from pkigen.cli.saved_plan import SavedPlan
from pkigen.errors import PkigenError, UsageError
from pkigen.notation import timestamp
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from pkigen.cli.fleet.plans import Planned
    from pkigen.cli.fleet.visits import SiteVisit
    from pkigen.fleet.description import Fleet

KIND = "FleetPlan"
_CLUSTERS = b', "clusters": [\n'
_DIGEST = b', "digest": "'
_BEGINNING = b'{"apiVersion": "pkigen/v1", "kind": "FleetPlan"'
_AGAIN = "save it again with `pkigen fleet plan --save FILE`"
# A line is the plan of one cluster, so it may be as long as a saved plan may be (`saved_plan._LARGEST_PLAN`).
_LARGEST_LINE = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """A cluster of a plan, and where its line is."""

    label: str
    offset: int
    length: int


@dataclass(slots=True, kw_only=True)
class Totals:
    """What all plans of a fleet come to."""

    states: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    unspread: int = 0

    def add(self, planned: Planned) -> None:
        """One cluster more."""
        self.states[planned.state] += 1
        self.ends.update(planned.ends)
        self.unspread += not planned.spread

    def structure(self, failures: int) -> dict[str, Any]:
        """The fields `summary` and `expiries`."""
        days = sorted(self.ends)
        return {
            "summary": {**{str(each): self.states[each] for each in ClusterState}, "failed": failures},
            "expiries": {
                "first": days[0],
                "last": days[-1],
                "days": len(days),
                "most": max(self.ends.values()),
                "certificates": self.ends.total(),
            }
            if days
            else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """A plan of a fleet in a file that is open; nothing of single clusters is kept in memory.

    `place` is the fleet as the command line named it; `path` is what the plan is called in messages.
    """

    path: Path
    place: Path
    wish: Wish
    members: tuple[PlanLine, ...]
    stream: BinaryIO = field(repr=False)

    def lines(self) -> Iterator[bytes]:
        """The document."""
        self.stream.seek(0)
        yield from self.stream

    def clusters(self) -> Iterator[dict[str, Any]]:
        """What it says of each cluster that it changes."""
        yield from map(self._read, self.members)

    def of(self, label: str) -> SavedPlan | None:
        """The plan of one cluster; None where it changes nothing there.

        Raises:
            PkigenError: It is none.
        """
        member = next((each for each in self.members if each.label == label), None)
        return SavedPlan.of(self.path, self._read(member)["plan"]) if member is not None else None

    def _read(self, member: PlanLine) -> dict[str, Any]:
        # Not by `seek`: processes that were forked share the place in the file.
        found: dict[str, Any] = json.loads(os.pread(self.stream.fileno(), member.length, member.offset))
        return found


def written(
    fleet: Fleet,
    wish: Wish,
    found: Iterable[SiteVisit[Planned]],
    *,
    now: datetime,
    told: list[SiteVisit[Planned]],
    stream: BinaryIO,
) -> FleetPlan:
    """Write a plan to a file that nobody else sees.

    Args:
        fleet: The fleet.
        wish: What was asked for.
        found: The plan of each cluster.
        now: The present, in UTC.
        told: Gets what was found without the plans themselves, which are large.
        stream: The file, which stays open as long as the plan is used.
    """
    draft = _Draft(stream)
    head = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "fleet": fleet.name,
        "file": str(fleet.place),
        "time": timestamp(now),
        "renewal": _renewal(wish),
    }
    draft.write(json.dumps(head).encode()[:-1] + _CLUSTERS)
    members, totals = [], Totals()
    for visit in found:
        if visit.found is not None:
            totals.add(visit.found)
            line = _line(visit, visit.found)
            offset = draft.begin_cluster()
            draft.write(line)
            if visit.found.content is not None:
                members.append(PlanLine(label=visit.site.label, offset=offset, length=len(line)))
            visit = replace(visit, found=replace(visit.found, content=None))  # noqa: PLW2901
        told.append(visit)
    failed = failures(told)
    rest = json.dumps({**totals.structure(len(failed)), "failures": failed})
    draft.write(b"\n], " + rest.encode()[1:-1])
    draft.end()
    return FleetPlan(
        path=fleet.place, place=fleet.place, wish=wish, members=tuple(members), stream=draft.stream
    )


class _Draft:
    """A document that is being written, with the digest of what is written already."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self._digest = hashlib.sha256()
        self._size = 0
        self._has_clusters = False

    def write(self, data: bytes) -> None:
        self.stream.write(data)
        self._digest.update(data)
        self._size += len(data)

    def begin_cluster(self) -> int:
        """Where the next cluster begins."""
        if self._has_clusters:
            self.write(b",\n")
        self._has_clusters = True
        return self._size

    def end(self) -> None:
        """Bind all of it: who applies the document sees whether it was changed."""
        self.stream.write(_DIGEST + self._digest.hexdigest().encode() + b'"}\n')
        self.stream.flush()


def _line(visit: SiteVisit[Planned], planned: Planned) -> bytes:
    fields = {
        "cluster": visit.site.label,
        "directory": str(visit.site.root),
        "state": planned.state,
        "summary": dict(planned.summary),
        "risks": list(planned.risks),
        "specChanges": planned.spec_changes,
        "awaited": planned.awaited,
        "expirySpread": planned.spread,
        "notes": list(visit.notes),
        "plan": None,
    }
    text = json.dumps(fields)
    if planned.content is not None:
        # The plan is JSON already: it takes the place of the `null`, instead of being read and written again.
        text = f"{text.removesuffix('null}')}{planned.content}}}"
    return text.encode()


def _renewal(wish: Wish) -> dict[str, Any] | None:
    """What `fleet renew` was asked for; None for a plan of all that the specs say."""
    if not wish.renews:
        return None
    within = None if wish.within is None else wish.within.total_seconds()
    return {"all": wish.every, "within": within, "reuseKeys": wish.reuses_keys}


# -- reading ----------------------------------------------------------------------------------------------


def is_fleet_plan(path: Path) -> bool:
    """Whether a file begins as `fleet plan --save` begins it; whoever reads it whole says what is wrong."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(len(_BEGINNING)) == _BEGINNING
    except OSError:
        return False  # it is taken for a fleet, and whoever reads that says why it cannot be read


@contextmanager
def opened(path: Path) -> Iterator[FleetPlan]:
    """A plan that was saved; it is there while the block runs.

    Raises:
        PkigenError: It cannot be read, or was changed since.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {(error.strerror or 'input/output error').lower()}"
        ) from None
    with stream:
        yield _read(path, stream)


def _read(path: Path, stream: BinaryIO) -> FleetPlan:
    try:
        head, members = _checked(stream)
        asked = head["renewal"]
        wish = Wish()
        if asked is not None:
            within = None if asked["within"] is None else timedelta(seconds=asked["within"])
            wish = Wish(renews=True, every=asked["all"], within=within, reuses_keys=asked["reuseKeys"])
        place = Path(head["file"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PkigenError(
            f"{path} is not a fleet's plan as pkigen saved it: it was changed, or its lines were",
            hint=f"{_AGAIN}, and review the new one",
        ) from None
    return FleetPlan(path=path, place=place, wish=wish, members=members, stream=stream)


def _checked(stream: BinaryIO) -> tuple[dict[str, Any], tuple[PlanLine, ...]]:
    """The head of a document and the places of the clusters that it changes.

    Raises:
        ValueError: It is not what was written.
    """
    first = stream.readline(_LARGEST_LINE)
    # The first line ends within the document, where the list begins: closed, it is a document of its own.
    head = json.loads(first.removesuffix(_CLUSTERS) + b"}")
    digest, offset, members = hashlib.sha256(first), len(first), []
    # The line of each cluster begins with a brace.
    while not (line := stream.readline(_LARGEST_LINE)).startswith(b"]"):
        if not line:
            raise ValueError
        digest.update(line)
        text = line.rstrip(b",\n")
        if text:
            found = json.loads(text)
            if found["plan"] is not None:
                members.append(PlanLine(label=found["cluster"], offset=offset, length=len(text)))
        offset += len(line)
    # From the right: a failure's message before it may quote the same words.
    rest, mark, last = line.rpartition(_DIGEST)
    digest.update(rest)
    # Nothing may follow the digest, which would not be bound by it.
    if not mark or last != digest.hexdigest().encode() + b'"}\n' or stream.read(1):
        raise ValueError
    return head, tuple(members)
