"""What is to be done at one cluster of a fleet, and doing it."""

from __future__ import annotations

import enum
import json
from collections import Counter
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from pkigen.cli.fleet.members import Circumstances, require_same_cluster
from pkigen.cli.saved_plan import CarriedOutError, PlanRequest, SavedPlan, plan_content
from pkigen.errors import AuthorityError, PkigenError
from pkigen.notation import dir_option
from pkigen.reconcile.apply import apply_plan
from pkigen.reconcile.checkout import looked_at, require_private_files
from pkigen.reconcile.first_run import require_own
from pkigen.reconcile.planner import require_signed_here
from pkigen.reconcile.renewal import leaf_ids, require_renewals_only
from pkigen.reconcile.risks import risks
from pkigen.reconcile.source import IssuedHere
from pkigen.reconcile.surveyed import Selection
from pkigen.records import dataclass
from pkigen.state.authority_record import RESTORE, require_recorded, require_unchanged
from pkigen.state.lockfile import read_lock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from pkigen.cli.session import Session
    from pkigen.fleet.sites import Site
    from pkigen.reconcile.plan import Plan
    from pkigen.store import Store

_AGAIN = "plan the fleet again and review the new plan: `pkigen fleet plan --save`"


class ClusterState(enum.StrEnum):
    """What a cluster is in for, or what was done to it."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    NEW = "new"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The plan of one cluster, as far as a fleet is told of it; `content` is all of it, as JSON.

    `ends` counts the days on which the certificates end that it issues, without those of CAs.
    """

    state: ClusterState
    summary: Mapping[str, int]
    risks: tuple[str, ...] = ()
    spec_changes: bool = False
    awaited: int = 0
    spread: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    content: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of every cluster: all that its spec says, or renewals alone."""

    renews: bool = False
    every: bool = False
    within: timedelta | None = None
    reuses_keys: bool = False
    force: bool = False

    def forced(self, *, force: bool) -> Wish:
        """The same, where what is dangerous was agreed to."""
        return replace(self, force=force)

    def request(self, session: Session) -> PlanRequest:
        """The same for one cluster."""
        if not self.renews:
            return PlanRequest()
        ids = leaf_ids(session.inventory) if self.every else frozenset()
        selection = Selection(within=self.within, ids=ids, only=False)
        return PlanRequest(selection=selection, reuses_keys=self.reuses_keys)


def planned(around: Circumstances, wish: Wish, site: Site) -> Planned:
    """Plan one cluster.

    Args:
        around: What all clusters have in common.
        wish: What is asked for.
        site: The cluster.

    Raises:
        PkigenError: It cannot be planned.
    """
    session = _session(around, wish, site)
    if session is None:
        return Planned(state=ClusterState.ABSENT, summary={})
    with session.looking() as store:
        require_same_cluster(session, store)
        is_new = read_lock(store) is None
        tree = looked_at(store, session.inventory)
        session = session.at(tree)
        request = wish.request(session)
        made = session.plan(tree, request.selection)
        if is_new:
            require_own(made, root=session.root)
        if wish.renews:
            _require_renewals(made, session, wish)
        arriving = session.arriving(tree)
        content = plan_content(made, session.inventory, tree, request, spec=arriving)
    return _told(content, session, is_new=is_new)


def _session(around: Circumstances, wish: Wish, site: Site) -> Session | None:
    """The cluster; None where it is to be renewed and is not there yet."""
    session = around.opened(site)
    if not wish.renews:
        return session
    if not session.root.exists():
        return None
    # As `renew` does: a changed spec is not taken in with it.
    return replace(session, adopted=None)


def _require_renewals(made: Plan, session: Session, wish: Wish) -> None:
    if not wish.force:
        require_unchanged(made.authority)
    require_renewals_only(made, session.inventory)


def _told(content: dict[str, Any], session: Session, *, is_new: bool) -> Planned:
    """What goes through the pipe of many clusters: the whole plan only of those with something to do."""
    state = _state(content, is_new=is_new)
    return Planned(
        state=state,
        summary={verb: number for verb, number in content["summary"].items() if number and verb != "keep"},
        risks=tuple(content["risks"]),
        spec_changes=content["spec"] is not None and not is_new,
        awaited=len(content["awaited"]),
        spread=int(session.inventory.cluster.spec.certificates.expiry_spread),
        ends=_ends(content),
        content=json.dumps(content) if state is not ClusterState.UNCHANGED else None,
    )


def _state(content: dict[str, Any], *, is_new: bool) -> ClusterState:
    if is_new:
        return ClusterState.NEW
    return (
        ClusterState.CHANGED if content["actions"] or content["spec"] is not None else ClusterState.UNCHANGED
    )


def _ends(content: dict[str, Any]) -> Counter[str]:
    issued = (each["certificate"] for each in content["actions"] if each.get("certificate"))
    # By day: `willExpire` is an ISO time.
    return Counter(each["willExpire"][:10] for each in issued if each["issuer"] is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What was done to one cluster."""

    state: ClusterState
    issued: int = 0
    changes: int = 0
    capped: int = 0
    backup: str | None = None


def changed(around: Circumstances, wish: Wish, site: Site, *, reviewed: SavedPlan | None) -> Changed:
    """Carry out the plan of one cluster, wholly or not at all.

    Args:
        around: What all clusters have in common.
        wish: What is asked for.
        site: The cluster.
        reviewed: The plan that was agreed to; None where whatever it is was.

    Raises:
        PkigenError: It is refused; the cluster is unchanged.
    """
    session = _session(around, wish, site)
    if session is None:
        return Changed(state=ClusterState.ABSENT)
    with session.writing("fleet renew" if wish.renews else "fleet apply") as store:
        require_same_cluster(session, store)
        # Before the change, which writes the lock file.
        is_new = read_lock(store) is None
        session = session.at(store)
        request = wish.request(session)
        made = _made(session, store, request, wish, is_new=is_new)
        arriving = session.arriving(store) is not None
        if not made.changes and not arriving:
            return Changed(state=ClusterState.UNCHANGED)
        held = frozenset[str]()
        try:
            if reviewed is not None:
                held = _require_reviewed(reviewed, session, store, made)
        except CarriedOutError:
            # An earlier run, which failed at another cluster, has done it.
            return Changed(state=ClusterState.UNCHANGED)
        require_safe(made, session, force=wish.force)
        applied = apply_plan(
            made,
            session.inventory,
            store,
            session.tools(around.vault(session, store)),
            source=IssuedHere(reuses_keys=request.reuses_keys),
            held=held,
            agreed=reviewed.digest if reviewed is not None else None,
        )
    return Changed(
        state=ClusterState.NEW if is_new else ClusterState.CHANGED,
        issued=len(applied.issued),
        # What was held back was not reviewed, and not done.
        changes=len(made.changes) - len(held),
        capped=len(applied.capped),
        backup=applied.backup,
    )


def _made(session: Session, store: Store, request: PlanRequest, wish: Wish, *, is_new: bool) -> Plan:
    """The plan of now."""
    if is_new:
        require_recorded(store)
    else:
        require_private_files(store, session.inventory)
    made = session.plan(store, request.selection)
    if is_new:
        require_own(made, root=session.root)
    if wish.renews:
        _require_renewals(made, session, wish)
    try:
        require_signed_here(made, session.root)
    except AuthorityError as error:
        hint = "`pkigen fleet request FLEET` requests them for all sites in one file"
        raise AuthorityError(error.message, hint=hint) from None
    return made


def _require_reviewed(reviewed: SavedPlan, session: Session, store: Store, made: Plan) -> frozenset[str]:
    try:
        return reviewed.require_current_in(session, store, made)
    except CarriedOutError:
        raise
    except PkigenError as error:
        raise PkigenError(error.message, hint=_AGAIN) from None


def require_safe(made: Plan, session: Session, *, force: bool) -> None:
    """Refuse what is dangerous and was not agreed to.

    Raises:
        PkigenError: It is.
    """
    found = risks(made, session.inventory)
    if found and not force:
        raise PkigenError(
            f"the plan is dangerous: {found[0]}",
            hint=f"{RESTORE}; if the change is intended, add --force"
            if made.alarms
            else f"if this is intended: `pkigen apply --force {dir_option(session.root)}`, "
            "or --force for the fleet",
        )
