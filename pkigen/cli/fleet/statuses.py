"""`fleet status`: the certificates of all clusters as one document, written a cluster at a time."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from pkigen.cli.fleet.endings import failures
from pkigen.cli.fleet.options import FleetForm
from pkigen.cli.fleet.visits import visits
from pkigen.cli.reports import fleet_status, signed_forms, status_forms, structured
from pkigen.cli.reports.status import due
from pkigen.cli.reports.version import API_VERSION
from pkigen.notation import timestamp
from pkigen.reconcile.checkout import looked_at
from pkigen.records import dataclass
from pkigen.state.signed_certificates import signed_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from pkigen.cli.fleet.members import Circumstances
    from pkigen.cli.fleet.visits import SiteVisit
    from pkigen.cli.reports.fleet_status import ClusterHealth
    from pkigen.cli.session import Session
    from pkigen.fleet.description import Fleet
    from pkigen.fleet.sites import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCluster:
    """One cluster: how it is, and its part of the document."""

    health: ClusterHealth
    part: str = ""


def seen(around: Circumstances, form: FleetForm, within: timedelta | None, site: Site) -> SeenCluster | None:
    """Look at one cluster; None where it is not made yet.

    Raises:
        PkigenError: It cannot be read.
    """
    session = around.recorded(site)
    if session is None:
        return None
    with session.reading() as store:
        tree = looked_at(store, session.inventory)
        session = session.at(tree)
        # While the store is open: rows are surveyed as they are taken.
        rows = list(session.rows(tree))
        signed = signed_certificates(tree, now=session.now)
    cluster, root = session.inventory.cluster.name, str(session.root.absolute())
    part = ""
    if form is FleetForm.JSON:
        content = status_forms.structure(rows, cluster=cluster, now=session.now)
        part = json.dumps({**content, "directory": str(session.root), **_beside(session, signed)})
    elif form is FleetForm.PROMETHEUS:
        part = status_forms.prometheus(rows, cluster=cluster, now=session.now, root=root)
        part += signed_forms.prometheus(signed, cluster=cluster)
    health = fleet_status.health(
        rows,
        cluster=cluster,
        now=session.now,
        due=[row.id for row in rows if due(row, now=session.now, within=within)],
    )
    return SeenCluster(health=health, part=part)


def _beside(session: Session, signed: Any) -> dict[str, Any]:
    return {
        "rotations": structured.rotations(session.inventory.rotations),
        "signed": signed_forms.structure(signed),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Statuses:
    """All clusters: in short, and as a document in parts."""

    found: tuple[SiteVisit[SeenCluster | None], ...]
    document: BinaryIO

    def parts(self) -> Iterator[bytes]:
        """The document."""
        self.document.seek(0)
        yield from self.document

    @property
    def overdue(self) -> list[tuple[str, str]]:
        """What expires too soon, by cluster."""
        return [
            (visit.site.label, identifier)
            for visit in self.found
            if visit.found is not None
            for identifier in visit.found.health.due
        ]


@contextmanager
def statuses(
    fleet: Fleet,
    around: Circumstances,
    form: FleetForm,
    *,
    within: timedelta | None,
    jobs: int | None,
    now: datetime,
) -> Iterator[Statuses]:
    """Look at every cluster; the document is there while the block runs.

    Args:
        fleet: The fleet.
        around: What its clusters have in common.
        form: How the document is written.
        within: What counts as due; None for each one's own renewBefore.
        jobs: How many at once.
        now: The present, in UTC.
    """
    work = partial(seen, around, form, within)
    told: list[SiteVisit[SeenCluster | None]] = []
    # What the parts come to is large where clusters are many; nothing of it is secret.
    with tempfile.TemporaryFile("w+b") as document:
        found = visits(fleet.sites, work, jobs=jobs, what="looking at clusters")
        match form:
            case FleetForm.JSON:
                _write_json(document, fleet, found, told, now)
            case FleetForm.PROMETHEUS:
                _write_metrics(document, found, told)
            case _:
                told.extend(found)
        yield Statuses(found=tuple(told), document=document)


def _write_json(
    document: BinaryIO,
    fleet: Fleet,
    found: Iterator[SiteVisit[SeenCluster | None]],
    told: list[SiteVisit[SeenCluster | None]],
    now: datetime,
) -> None:
    head = {"apiVersion": API_VERSION, "kind": "FleetStatus", "fleet": fleet.name, "time": timestamp(now)}
    # The list is written a cluster at a time, for all of it may be large; so its braces are put around it by
    # hand.
    document.write(json.dumps(head).encode()[:-1] + b', "clusters": [')
    mark = b"\n"
    for visit in found:
        if visit.found is not None:
            document.write(mark + visit.found.part.encode())
            mark = b",\n"
        told.append(_short(visit))
    rest = {
        "absent": [each.site.label for each in told if each.found is None and each.failure is None],
        "failures": failures(told),
    }
    document.write(b"\n], " + json.dumps(rest).encode()[1:] + b"\n")


def _write_metrics(
    document: BinaryIO,
    found: Iterator[SiteVisit[SeenCluster | None]],
    told: list[SiteVisit[SeenCluster | None]],
) -> None:
    """Each metric once, with the samples of all clusters (Prometheus text format 0.0.4: one group each)."""
    metrics: dict[str, BinaryIO] = {}
    with ExitStack() as files:
        for visit in found:
            text = visit.found.part if visit.found is not None else ""
            for heading, samples in fleet_status.metrics(text):
                if heading not in metrics:
                    metrics[heading] = files.enter_context(tempfile.TemporaryFile("w+b"))
                metrics[heading].write(samples.encode())
            told.append(_short(visit))
        for heading, stream in metrics.items():
            document.write(heading.encode())
            stream.seek(0)
            document.writelines(stream)
    document.write(fleet_status.reading_metric(told).encode())


def _short(visit: SiteVisit[SeenCluster | None]) -> SiteVisit[SeenCluster | None]:
    return visit if visit.found is None else replace(visit, found=replace(visit.found, part=""))
