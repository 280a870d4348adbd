"""What `report` and `graph` look at: a cluster's directory, or nodes that pkigen did not make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pkigen.adoption.gathered import is_foreign, node_trees
from pkigen.cli.directory import find_directory, is_cluster
from pkigen.cli.examined import open_examined
from pkigen.cli.git_index import tracked_secrets
from pkigen.cli.reports.audit_forms import of_foreign, of_verified
from pkigen.cli.reports.status import rows_of
from pkigen.cli.situation_input import situation_of
from pkigen.cli.system import directory_of, system_of
from pkigen.errors import PkigenError, UsageError
from pkigen.reconcile.checkout import looked_at
from pkigen.reconcile.verify import verify
from pkigen.records import dataclass
from pkigen.rotation.deadline import DEADLINE
from pkigen.rotation.live import look
from pkigen.rotation.phases import COMMANDS
from pkigen.state.ledger import read_ledger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from pkigen.agenda.situation import Situation
    from pkigen.cli.reports.audit_forms import AuditReport
    from pkigen.cli.reports.status import StatusRow
    from pkigen.cli.session import Session
    from pkigen.desired.generations import Rotations
    from pkigen.desired.trust_graph import TrustGraph
    from pkigen.rotation.live import Live
    from pkigen.store import BackupInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """One cluster at one moment: all that a report is written from.

    What only a cluster of pkigen's own has is empty for others: `situation`, rotations, ledger and backups.
    """

    name: str
    directory: str
    version: str
    now: datetime
    nodes: tuple[str, ...]
    rows: tuple[StatusRow, ...]
    audit: AuditReport
    graph: TrustGraph
    rotations: Rotations | None = None
    rotating: tuple[str, ...] = ()
    situation: Situation | None = None
    live: Live | None = None
    ledger: bytes = b""
    backups: tuple[BackupInfo, ...] = ()

    @property
    def is_own(self) -> bool:
        """Whether pkigen keeps it."""
        return self.rotations is not None


def places(context: typer.Context, named: Sequence[Path]) -> tuple[Path, ...]:
    """The directories that are meant: those that are named, or the clusters right below one of them.

    Raises:
        UsageError: One is neither a cluster's directory nor holds files of nodes.
    """
    if not named:
        return (find_directory(directory_of(context, None), None).root,)
    return tuple(dict.fromkeys(found for each in named for found in _clusters_of(each)))


def _clusters_of(place: Path) -> tuple[Path, ...]:
    if is_cluster(place):
        return (place,)
    # Before files of nodes are looked for: the clusters below have those, too.
    below = sorted(each for each in place.iterdir() if is_cluster(each)) if place.is_dir() else []
    if not below and not is_foreign(place):
        raise UsageError(
            f"{place} is no cluster's directory, holds none, and has no files of nodes",
            hint="name a cluster's directory, a directory of clusters, or files of nodes such as "
            "/etc/kubernetes or a tar",
        )
    return tuple(below) or (place,)


def examine(
    context: typer.Context, place: Path, *, live: bool = False, within: timedelta = DEADLINE
) -> Examined:
    """Read a cluster as `verify` does, and what becomes of it.

    Raises:
        PkigenError: It cannot be read.
    """
    if not is_cluster(place):
        if live:
            raise UsageError(
                f"--live needs a cluster's directory, and {place} is none",
                hint="what its endpoints should serve stands in pki.lock; `pkigen adopt` makes one",
            )
        return _foreign(place, now=system_of(context).clock())
    return _own(open_examined(context, None, place, templates=None), live=live, within=within)


def _foreign(place: Path, *, now: datetime) -> Examined:
    # Only for files of other makers; who looks at a cluster of pkigen's does not pay for it.
    from pkigen.adoption.audit import audit  # noqa: PLC0415
    from pkigen.adoption.inspection import inspect  # noqa: PLC0415
    from pkigen.adoption.trust import trust_graph  # noqa: PLC0415
    from pkigen.cli.foreign import rows_of  # noqa: PLC0415

    cluster = inspect(node_trees(place), now=now)
    graph = trust_graph(cluster)
    return Examined(
        name=place.resolve().name,
        directory=str(place),
        version="",
        now=now,
        nodes=tuple(node.name for node in cluster.nodes),
        rows=tuple(rows_of(cluster)),
        audit=of_foreign(cluster, audit(cluster), directory=str(place), connections=len(graph.connections)),
        graph=graph,
    )


def _own(session: Session, *, live: bool, within: timedelta) -> Examined:
    with session.reading() as store:
        tree = looked_at(store, session.inventory)
        session = session.at(tree)
        inventory, now = session.inventory, session.now
        # The first who looks at each object looks for all three: the plan, `verify` and the timeline.
        seen = session.survey(tree)
        verified = verify(
            inventory, store, session.renderer, now=now, progress=session.planner.progress, seen=seen
        ).with_tracked(tracked_secrets(session.root, store))
        known = {item.id for item in inventory.items}
        answers = look(inventory, store, now=now, dial=session.system.dial, within=within) if live else None
        try:
            situation = situation_of(session, store, tree, seen=seen, live=answers)
        except PkigenError:
            situation = None  # nothing can be planned; `verify` has said why
        return Examined(
            name=inventory.cluster.name,
            directory=str(session.root),
            version=str(inventory.cluster.spec.kubernetes_version),
            now=now,
            nodes=tuple(sorted(node.name for node in inventory.cluster.spec.nodes)),
            rows=tuple(rows_of(seen.objects, inventory, tree, faults=seen.faults)),
            audit=of_verified(verified, directory=str(session.root), now=now),
            graph=verified.graph,
            rotations=inventory.rotations,
            rotating=tuple(each for each in COMMANDS if each in known),
            situation=situation,
            live=answers,
            ledger=read_ledger(tree),
            backups=store.backups(),
        )
