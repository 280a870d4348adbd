"""What `next` decides from and a report tells: where a cluster stands, read from its directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.agenda.situation import (
    Lifetime,
    PendingRequest,
    Situation,
    has_expired_ca,
    last_change,
    rotating,
)
from pkigen.airgap.offline.outstanding import outstanding
from pkigen.cli.reports.status import rows_of
from pkigen.notation import dir_option
from pkigen.state.ledger import read_ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.cli.reports.status import StatusRow
    from pkigen.cli.session import Session
    from pkigen.reconcile.whole_survey import WholeSurvey
    from pkigen.rotation.live import Live
    from pkigen.state.observed import Tree
    from pkigen.store import Store


def situation_of(
    session: Session,
    store: Store,
    tree: Tree,
    *,
    seen: WholeSurvey,
    live: Live | None,
    assume_distributed: bool = False,
) -> Situation:
    """Read all that the next task is decided from.

    Args:
        session: The command, over the tree.
        store: The PKI directory.
        tree: The same, as it is to be judged.
        seen: Its objects.
        live: What its endpoints serve, if anybody has looked.
        assume_distributed: Whether the operator vouches for the nodes.
    """
    inventory, now = session.inventory, session.now
    rows = rows_of(seen.objects, inventory, tree, faults=seen.faults)
    endings, ledger = tuple(_endings(rows)), read_ledger(tree)
    return Situation(
        now=now,
        spec=session.words,
        directory=dir_option(session.root),
        # Where a CA has expired, `rescue` comes before whatever a plan would say.
        plan=None if has_expired_ca(endings, now=now) else session.plan(tree, seen=seen),
        in_cluster=session.in_cluster(tree),
        endings=endings,
        rotating=rotating(
            inventory.rotations,
            ledger,
            longest_token=inventory.cluster.spec.service_accounts.max_token_lifetime,
        ),
        request=_request(tree),
        change=last_change(
            store.backups(), ledger, nodes={node.name for node in inventory.cluster.spec.nodes}
        ),
        live=live,
        distributed=assume_distributed,
    )


def _endings(rows: Iterable[StatusRow]) -> Iterator[Lifetime]:
    for row in rows:
        if row.effective is not None and row.due_from is not None:
            yield Lifetime(id=row.id, name=row.name, node=row.node, ends=row.effective, due=row.due_from)


def _request(tree: Tree) -> PendingRequest | None:
    pending = outstanding(tree)
    if pending is None:
        return None
    requests = pending.requests
    return PendingRequest(number=requests.nonce, created=requests.created, ids=pending.asked)
