"""How the clusters of a fleet are: a line for each, and metrics of all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pkigen.cli.reports.lines import Line, Tone
from pkigen.cli.reports.plan_markdown import cell
from pkigen.cli.reports.status_forms import gauge, labels_text
from pkigen.cli.reports.tables import blocks
from pkigen.notation import residual, timestamp
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from pkigen.cli.fleet.visits import SiteVisit
    from pkigen.cli.reports.status import StatusRow

_HEADER = (
    "CLUSTER",
    "CERTIFICATES",
    "EXPIRED",
    "TO RENEW",
    "FIRST TO EXPIRE",
    "EXPIRES",
    "RESIDUAL",
    "STATE",
)
_NARROW = ("CERTIFICATES", "RESIDUAL", "FIRST TO EXPIRE", "STATE")
"""What leaves the row first where a terminal is narrow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterHealth:
    """One cluster in short: `due` are the ids of what expires too soon or is of no use."""

    cluster: str
    certificates: int
    expired: int
    broken: int
    due: tuple[str, ...]
    first: str | None
    first_end: datetime | None
    now: datetime

    @property
    def state(self) -> str:
        """In a word or two."""
        if self.broken:
            return f"{self.broken} of no use"
        return "to renew" if self.due else "ok"


def health(rows: Sequence[StatusRow], *, cluster: str, now: datetime, due: Sequence[str]) -> ClusterHealth:
    """A cluster's certificates and tokens in short."""
    ends = sorted((row.effective, row.id) for row in rows if row.effective is not None)
    first_end, first = ends[0] if ends else (None, None)
    return ClusterHealth(
        cluster=cluster,
        certificates=sum(row.is_certificate for row in rows),
        expired=sum(end <= now for end, _ in ends),
        broken=sum(not row.works for row in rows),
        due=tuple(due),
        first=first,
        first_end=first_end,
        now=now,
    )


def lines(found: Iterable[SiteVisit[Any]], *, width: int | None) -> Iterator[Line]:
    """A table with a row for each cluster."""
    visits = list(found)
    tones = [Tone.TITLE, *map(_tone, visits)]
    laid_out = blocks(_HEADER, map(_cells, visits), width=width, narrow=_NARROW)
    for tone, block in zip(tones, laid_out, strict=True):
        yield from (Line(each, tone) for each in block)


def markdown(found: Iterable[SiteVisit[Any]], *, fleet: str, now: datetime) -> str:
    """The same table for a page."""
    rows = []
    for visit in found:
        label, *numbers, first, end, left, state = _cells(visit)
        rows.append(f"| {' | '.join((cell(label), *numbers, cell(first), end, left, cell(state)))} |")
    head = "| " + " | ".join(name.lower() for name in _HEADER) + " |"
    return "\n".join(
        (f"### Fleet {cell(fleet)}, {timestamp(now)}", "", head, "|---" * len(_HEADER) + "|", *rows)
    )


def _tone(visit: SiteVisit[Any]) -> Tone:
    if visit.found is None:
        return Tone.RISK if visit.failure is not None else Tone.QUIET
    found: ClusterHealth = visit.found.health
    return Tone.RISK if found.broken or found.expired else Tone.CHANGES if found.due else Tone.PLAIN


def _cells(visit: SiteVisit[Any]) -> tuple[str, ...]:
    if visit.found is None:
        state = "not made yet" if visit.failure is None else visit.failure.message
        return (visit.site.label, "-", "-", "-", "-", "-", "-", state)
    found: ClusterHealth = visit.found.health
    end = found.first_end
    return (
        visit.site.label,
        str(found.certificates),
        str(found.expired),
        str(len(found.due)),
        found.first or "-",
        f"{end:%Y-%m-%d %H:%M}" if end is not None else "-",
        residual(end - found.now) if end is not None else "-",
        found.state,
    )


def metrics(text: str) -> Iterator[tuple[str, str]]:
    """What one cluster's metrics are in parts: the lines that head each, and its samples."""
    heading, samples = "", ""
    for line in text.splitlines(keepends=True):
        # `gauge` begins every metric with HELP, so that it separates them.
        if line.startswith("# HELP "):
            if heading:
                yield heading, samples
            heading, samples = line, ""
        elif line.startswith("#"):
            heading += line
        else:
            samples += line
    if heading:
        yield heading, samples


def reading_metric(found: Iterable[SiteVisit[Any]]) -> str:
    """Which clusters could not be read: one that is missing from every other metric is seen here."""
    samples = [
        (
            labels_text({"cluster": _name(visit), "directory": _directory(visit)}),
            int(visit.failure is not None),
        )
        for visit in found
        if visit.found is not None or visit.failure is not None
    ]
    return "\n".join(
        (*gauge("pkigen_cluster_read_error", "1 if the cluster cannot be read, 0 otherwise.", samples), "")
    )


def _name(visit: SiteVisit[Any]) -> str:
    return visit.found.health.cluster if visit.found is not None else visit.site.label


def _directory(visit: SiteVisit[Any]) -> str:
    return str(visit.site.root.absolute()) if visit.site.root is not None else ""
