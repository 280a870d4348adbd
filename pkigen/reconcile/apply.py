"""Carry out a plan: issue → render → stage → look at the staged tree again → commit.

The whole of it happens in one transaction of the store. Before the commit the staged tree is planned again
with the same checks; anything left to do would mean a fault of pkigen's own, and nothing is committed.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.key_makers import generated
from pkigen.desired.items import Desired, DesiredCertificate, DesiredKeyPair, DesiredKubeconfig
from pkigen.desired.revocations import UNCHANGED
from pkigen.errors import StoreError
from pkigen.reconcile.authorities import Authorities
from pkigen.reconcile.cluster_changes import manifests
from pkigen.reconcile.division import summaries
from pkigen.reconcile.lock_builder import LockBuilder
from pkigen.reconcile.make import carry_out, needs_key
from pkigen.reconcile.plan import Action, Keep, Plan, Remove, Renew
from pkigen.reconcile.source import ISSUED_HERE, CertificateSource
from pkigen.reconcile.staging import Staging
from pkigen.reconcile.survey import Survey
from pkigen.reconcile.surveyed import Selection
from pkigen.reconcile.workbench import Tools, Workbench
from pkigen.records import dataclass
from pkigen.state.authority import load_all
from pkigen.state.cluster_objects import entries, superseded
from pkigen.state.ledger import Event, LedgerEntry, agreed_entry
from pkigen.state.reasons import Reason
from pkigen.state.revocations import lifted_entry, revoked_entry
from pkigen.state.spec_file import holds_spec
from pkigen.state.views import HashedView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pkigen.crypto.algorithms import KeyAlgorithm
    from pkigen.desired.inventory import Inventory
    from pkigen.state.views import StagedView
    from pkigen.store import Store, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was done: what was issued, what was shortened to its CA's end, and the backup that was left."""

    issued: tuple[str, ...]
    capped: tuple[str, ...]
    backup: str | None


def apply_plan(
    plan: Plan,
    inventory: Inventory,
    store: Store,
    tools: Tools,
    *,
    source: CertificateSource = ISSUED_HERE,
    inspect: Callable[[StagedView], None] | None = None,
    held: frozenset[str] = frozenset(),
    agreed: str | None = None,
) -> Applied:
    """Carry out a plan, wholly or not at all.

    Args:
        plan: What to do; it must have been made from this inventory and store.
        inventory: What must exist.
        store: The PKI directory, held exclusively.
        tools: Clock, random source, templates, progress.
        source: Where certificates come from that cannot be issued here with a key that is made here.
        inspect: Looks at the staged tree, and raises where it must not be committed.
        held: The ids of what is left as it is for a later plan.
        agreed: The digest of the saved plan that this is, for the ledger.

    Raises:
        StoreError: The tree could not be written; it is unchanged.
        AuthorityError: A CA cannot sign.
    """
    # How many are expected decides whether files are synced one by one or all at once (`Synced.for_changes`).
    with store.transaction(expected=len(plan.changes)) as transaction:
        bench = _workbench(inventory, store, transaction, tools, source)
        if agreed is not None:
            bench.staging.record(agreed_entry(agreed))
        _stage(plan, bench, held)
        # Of the staged manifests: what the cluster will lack is what these no longer have.
        _remember(plan, bench, held)
        _look_again(plan, bench, held)
        if inspect is not None:
            # After our own look and before the commit: the proof of a rotation decides here.
            inspect(bench.staging.view)
        backup = transaction.commit(keep_backups=inventory.cluster.spec.backups.keep)
        return Applied(issued=tuple(bench.made.issued), capped=tuple(bench.made.capped), backup=backup)


def rehearse(
    plan: Plan, inventory: Inventory, store: Store, tools: Tools, *, inspect: Callable[[StagedView], None]
) -> None:
    """Stage a plan, show the tree that it would give to `inspect`, and discard it."""
    with store.transaction() as transaction:
        bench = _workbench(inventory, store, transaction, tools, ISSUED_HERE)
        _stage(plan, bench, frozenset())
        _look_again(plan, bench, frozenset())
        # Without a commit: leaving the transaction discards everything.
        inspect(bench.staging.view)


def _workbench(
    inventory: Inventory, store: Store, transaction: Transaction, tools: Tools, source: CertificateSource
) -> Workbench:
    """Bind a transaction to what is staged in it and to the CAs of the tree as it will be."""
    staging = Staging(inventory, store, transaction, tools.vault)
    return Workbench(
        inventory=inventory,
        tools=tools,
        source=source,
        staging=staging,
        authorities=Authorities(inventory, staging, now=tools.now),
    )


def _stage(plan: Plan, bench: Workbench, held: frozenset[str]) -> None:
    """Stage everything that the plan changes: moves, then what is made, then removals."""
    staging, source = bench.staging, bench.source
    source.begin(staging)
    for identifier, step in plan.rotated.items():
        staging.record(
            LedgerEntry(event=Event.ROTATED, id=identifier, reason=Reason.ROTATION, facts={"step": step})
        )
    for revocation in plan.revocation.revoked:
        staging.record(revoked_entry(revocation))
    for revocation in plan.revocation.lifted:
        staging.record(lifted_entry(revocation))
    # Moves first: what is made now may take the place of a generation that moves away.
    staging.move(plan.moves)
    changes = {action.id: action for action in plan.changes if action.id not in held}
    _make(changes, bench)
    # Removals come last: what moves is read at its former place while it is made.
    for action in changes.values():
        if isinstance(action, Remove):
            _remove(action, staging)
    source.end(staging)
    # Only one that differs: whatever is staged leaves an older file in the backup.
    if bench.tools.spec is not None and not holds_spec(staging.view, bench.tools.spec):
        staging.stage(layout.SPEC_FILE, layout.PUBLIC_MODE, bench.tools.spec)
    # The vault's own files last: they list the private files that there are by then.
    staging.seal()


def _make(changes: Mapping[str, Action], bench: Workbench) -> None:
    """Issue and render, in the order of the inventory: issuers before what they sign."""
    pending = [
        item
        for item in bench.inventory.items
        # A kubeconfig is written together with the certificate in it.
        if not isinstance(item, DesiredKubeconfig) and item.id in changes
    ]
    # In this order: showing progress may start a thread, and a process with threads should not fork.
    with (
        generated(_algorithms(pending, changes, bench), bench.tools.makers) as keys,
        bench.tools.progress.over("issuing and rendering", len(pending)) as step,
    ):
        for item in pending:
            carry_out(item, changes[item.id], bench, keys)
            step()


def _algorithms(
    pending: Iterable[Desired], changes: Mapping[str, Action], bench: Workbench
) -> Iterator[KeyAlgorithm]:
    """The algorithm of each new key, in the order in which `_make` takes them."""
    for item in pending:
        if isinstance(item, DesiredCertificate | DesiredKeyPair) and needs_key(item, changes[item.id], bench):
            yield item.key_algorithm


def _remove(action: Remove, staging: Staging) -> None:
    """Stage the removal of an object's files, on record like everything else."""
    for path in action.paths:
        staging.remove(path)
    staging.record(
        LedgerEntry(
            event=Event.REMOVED, id=action.id, reason=action.reason, facts={"paths": list(action.paths)}
        )
    )


def _remember(plan: Plan, bench: Workbench, held: frozenset[str]) -> None:
    """Record the objects that the cluster may still hold although the addons no longer make them."""
    given = {path: earlier for path, earlier in plan.given.items() if path not in held}
    after = manifests(given, bench.staging.view, bench.inventory)
    for entry in entries(superseded(given, after)):
        bench.staging.record(entry)


def _look_again(plan: Plan, bench: Workbench, held: frozenset[str]) -> None:
    """Look at the staged tree with the planner's own eyes, then stage the ledger and the lock file.

    Objects that the plan has examined and the change does not touch are not examined again.

    Raises:
        StagedTreeError: Something is left to do.
    """
    inventory, tools, view = bench.inventory, bench.tools, bench.staging.view
    lock = LockBuilder(inventory=inventory, templates=tools.renderer.overrides())
    untouched = _take_over(plan, bench, lock)
    survey = Survey(
        inventory=inventory,
        reader=view,
        renderer=tools.renderer,
        authorities=load_all(view, inventory, now=tools.now),
        now=tools.now,
        # With `within` at nothing: a certificate that will be due soon is no fault of what was staged.
        selection=Selection(within=timedelta()),
        progress=tools.progress,
        what="verifying",
        without=untouched,
    )
    issued = frozenset(bench.made.issued)
    for summary in summaries(survey, known=bench.staging.certificate_facts, hands=tools.hands):
        action = summary.action
        # What has expired but was not asked for (`renew cp-1/apiserver`) is no fault.
        left_alone = (isinstance(action, Renew) and action.id not in issued) or action.id in held
        if not isinstance(action, Keep) and not left_alone:
            raise StagedTreeError(action)
        lock.add(summary)
    # Only a tree that is right gets a lock file, which describes what the survey saw.
    bench.staging.close(lock, now=tools.now)


def _take_over(plan: Plan, bench: Workbench, lock: LockBuilder) -> frozenset[str]:
    """Take into the lock file what a plan keeps and the change does not concern; the ids of all that."""
    earlier = plan.lock
    if earlier is None or _is_judged_anew(plan, earlier, bench):
        return frozenset()
    untouched = _untouched(plan, bench)
    for item in bench.inventory.items:
        if item.id in untouched:
            lock.take_over(item, earlier)
    return untouched


def _untouched(plan: Plan, bench: Workbench) -> frozenset[str]:
    """The ids of what a plan keeps, and at whose paths nothing changes."""
    changed = bench.staging.view.changed
    return frozenset(
        action.id for action in plan.actions if isinstance(action, Keep) and changed.isdisjoint(action.paths)
    )


def _is_judged_anew(plan: Plan, earlier: LockBuilder, bench: Workbench) -> bool:
    """Whether a change concerns what other objects are compared with: the authority above all."""
    authority = f"{layout.AUTHORITY}/"
    return (
        # The very same object: of any other inventory it is not known what was looked at.
        earlier.inventory is not bench.inventory
        or bool(plan.moves or plan.rotated or plan.withheld or plan.revocation != UNCHANGED)
        or any(path.startswith(authority) for path in bench.staging.view.changed)
        or _is_of_another(plan, bench)
    )


def _is_of_another(plan: Plan, bench: Workbench) -> bool:
    """Whether the authority is another than was planned with: somebody may copy files while we ask."""
    before = {path: seen for path, seen in plan.observed.items() if path.startswith(f"{layout.AUTHORITY}/")}
    reader = HashedView(bench.staging.view)
    for path in before:
        with suppress(StoreError):  # that nothing is there counts, too
            reader.read(path)
    return reader.digests != before


class StagedTreeError(StoreError):
    """The staged tree is not what the spec asks for; nothing was committed."""

    def __init__(self, action: Action) -> None:
        details = "; ".join(action.details)
        super().__init__(
            f"the staged tree still needs a change: {action.verb} {action.id} ({details})",
            hint="nothing was changed; if nobody else writes to this directory, this is a bug in pkigen",
        )
