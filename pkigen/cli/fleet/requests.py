"""`fleet request` and `accept`: all sites ask one offline authority in one file, and get one answer."""

from __future__ import annotations

from dataclasses import field
from datetime import timedelta
from typing import TYPE_CHECKING

from pkigen.airgap.offline.acceptance import (
    RefusedAnswerError,
    delivery_of,
    read_answer,
    require_delivered,
    require_pending,
    trusted_authority,
)
from pkigen.airgap.offline.pending import read_pending
from pkigen.airgap.offline.request import ask_outstanding, require_current
from pkigen.airgap.offline.scope import require_offline, selection_of
from pkigen.cli.fleet.members import Circumstances, require_same_cluster
from pkigen.cli.fleet.plans import Changed, ClusterState, require_safe
from pkigen.cli.offline import note_refused
from pkigen.reconcile.apply import apply_plan
from pkigen.reconcile.first_run import is_new, require_own
from pkigen.reconcile.surveyed import Selection
from pkigen.records import dataclass
from pkigen.rotation.successors import with_successors
from pkigen.state.authority_record import require_recorded
from pkigen.state.lockfile import read_lock

if TYPE_CHECKING:
    from pkigen.airgap.offline.collection import Collection
    from pkigen.fleet.sites import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRequest:
    """The request of one site; without certificates, it asks for nothing."""

    cluster: str
    file: bytes = field(default=b"", repr=False)
    certificates: int = 0
    is_new: bool = False


def asked(around: Circumstances, site: Site, *, within: timedelta | None, again: bool) -> SiteRequest:
    """Make the request of one site, or take the one that is out.

    Args:
        around: What all sites have in common.
        site: The site.
        within: What expires within this time is asked for, too.
        again: Whether a new one is made, though one is out.

    Raises:
        PkigenError: It cannot ask.
    """
    session = around.opened(site)
    require_offline(session.inventory)
    selection = Selection(within=within)
    with session.writing("fleet request") as store:
        # By its name, not by its path: the request that follows binds new keys to this cluster.
        require_same_cluster(session, store)
        require_recorded(store)
        session = session.at(store)
        if read_lock(store) is None:
            require_own(session.plan(store), root=session.root)
        pending = None if again else read_pending(store)
        made = pending is None
        if pending is None:
            tools = session.tools(around.vault(session, store))
            pending = ask_outstanding(session.planner, store, selection, tools)
        else:
            # By no window: a request that is out stays, though this run asks for more than the one that made
            # it.
            require_current(pending, session.planner, store, selection=Selection(), following=frozenset())
    cluster = session.inventory.cluster.name
    if pending is None:
        return SiteRequest(cluster=cluster)
    return SiteRequest(cluster=cluster, file=pending.file, certificates=len(pending.asked), is_new=made)


def accepted(
    around: Circumstances, answers: Collection, site: Site, *, pin: str | None, force: bool
) -> Changed:
    """Accept the answer for one site, and make the changes that follow; without a pending request, nothing.

    Args:
        around: What all sites have in common.
        answers: The answers of all sites.
        site: The site.
        pin: The authority's fingerprint, where a person has given it.
        force: Whether what is dangerous was agreed to.

    Raises:
        PkigenError: The answer is refused; the cluster is unchanged.
    """
    session = around.opened(site)
    data = answers.part(session.inventory.cluster.name)
    if data is None or not session.root.exists():
        return Changed(state=ClusterState.ABSENT if data is None else ClusterState.UNCHANGED)
    require_offline(session.inventory)
    with session.writing("fleet accept") as store:
        require_same_cluster(session, store)
        if not force:
            require_recorded(store)
        if read_pending(store) is None:
            return Changed(state=ClusterState.UNCHANGED)
        pending = require_pending(store, root=session.root)
        trusted = trusted_authority(pin, store)
        answer = read_answer(data, pin=trusted, now=session.now)
        session = session.over(with_successors(session.planner.at(store), pending.asked))
        try:
            delivery = delivery_of(
                answer, pending, inventory=session.inventory, reader=store, now=session.now, pin=trusted
            )
        except RefusedAnswerError as refusal:
            note_refused(refusal.faults)
            raise
        is_first = is_new(read_lock(store), session.inventory)
        plan = session.plan(store, selection_of(delivery.certificates, timedelta()))
        require_delivered(plan, delivery)
        require_safe(plan, session, force=force)
        tools = session.tools(around.vault(session, store))
        applied = apply_plan(plan, session.inventory, store, tools, source=delivery)
    return Changed(
        state=ClusterState.NEW if is_first else ClusterState.CHANGED,
        issued=len(applied.issued),
        changes=len(plan.changes),
        capped=len(applied.capped),
        backup=applied.backup,
    )
