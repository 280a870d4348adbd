"""Where a PKI directory stands, as values: all that the next task is decided from."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.generations import CA, SA, Phase, ca_id
from pkigen.records import dataclass
from pkigen.state.ledger import Event, lines_of, moment_of, promoted_at

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from datetime import datetime

    from pkigen.desired.generations import Rotations
    from pkigen.reconcile.cluster_changes import ClusterStep
    from pkigen.reconcile.plan import Plan
    from pkigen.rotation.live import Live
    from pkigen.store import BackupInfo

RECENT = timedelta(days=7)
"""How long a change may be missing on nodes unnoticed: within this time it is asked about."""
CAS = frozenset(map(ca_id, CA))
"""The ids of the CAs that sign at present."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """A certificate or token, and when it and its chain stop working; `due` is when it may be renewed."""

    id: str
    name: str
    node: str | None
    ends: datetime
    due: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotating:
    """A rotation half way; its next step must wait until `earliest`, where that is known."""

    id: str
    phase: Phase
    earliest: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastChange:
    """The newest change that nodes have to get; `nodes` are empty where it is not recorded which."""

    time: datetime
    command: str
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRequest:
    """What the offline authority was asked for, and has not answered."""

    number: str
    created: datetime
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All of it.

    `spec` and `directory` are how a command line names the cluster. `plan` is None where a CA has expired:
    nothing can be planned then. `in_cluster` is what earlier changes have left to do there. `live` is what
    the endpoints serve, if anybody looked; `distributed` says that the operator vouches for the nodes.
    """

    now: datetime
    spec: str
    directory: str
    plan: Plan | None
    in_cluster: tuple[ClusterStep, ...] = ()
    endings: tuple[Lifetime, ...] = ()
    rotating: tuple[Rotating, ...] = ()
    request: PendingRequest | None = None
    change: LastChange | None = None
    live: Live | None = None
    distributed: bool = False


def has_expired_ca(endings: Iterable[Lifetime], *, now: datetime) -> bool:
    """Whether a CA has expired: nothing can be planned with it then."""
    return any(each.id in CAS and each.ends <= now for each in endings)


def rotating(rotations: Rotations, ledger: bytes, *, longest_token: timedelta) -> tuple[Rotating, ...]:
    """The rotations in progress; that of the service account key waits for the tokens of the previous key.

    Args:
        rotations: Their phases.
        ledger: Knows when the key was promoted.
        longest_token: How long a token may last (`serviceAccounts.maxTokenLifetime`).
    """
    promoted = promoted_at(ledger, SA)
    end = promoted + longest_token if promoted is not None else None
    return tuple(
        Rotating(
            id=identifier,
            phase=phase,
            earliest=end if (identifier, phase) == (SA, Phase.PROMOTED) else None,
        )
        for identifier, phase in sorted(rotations.phases.items())
    )


def last_change(
    backups: tuple[BackupInfo, ...], ledger: bytes, *, nodes: Collection[str]
) -> LastChange | None:
    """The newest change that concerns nodes: by the backup that it left, or by the ledger where it left none.

    Args:
        backups: The oldest first; none in a checkout.
        ledger: What was issued.
        nodes: Those that the cluster has now: to one that has left it nothing is copied.
    """
    found = [*_kept(backups, nodes), *_issued(ledger)]
    return max(found, key=lambda each: each.time, default=None)


def _kept(backups: tuple[BackupInfo, ...], nodes: Collection[str]) -> Iterator[LastChange]:
    for backup in backups:
        changed = {path.split("/")[1] for path in backup.paths if path.startswith(f"{layout.NODES}/")}
        present = changed.intersection(nodes)
        if backup.time is not None and present:
            yield LastChange(time=backup.time, command=backup.command, nodes=tuple(sorted(present)))


def _issued(ledger: bytes) -> Iterator[LastChange]:
    for line in lines_of(ledger, Event.ISSUED, newest_first=True):
        time = moment_of(line)
        # A person's or the authority's own certificate is copied to no node.
        if time is not None and "/" in str(line.get("id")):
            yield LastChange(time=time, command="issued")
            return
