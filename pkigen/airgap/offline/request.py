"""At the site: one file that requests everything that only the offline authority can sign."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.airgap.carrier.cluster_key import bundle_key
from pkigen.airgap.carrier.csr_review import request_for, review_all
from pkigen.airgap.carrier.requests import NONCE_SIZE, Purpose, RequestSet, write_requests
from pkigen.airgap.offline.generations import as_asked, renamed, successors
from pkigen.airgap.offline.pending import PendingAnswer, encode_pending
from pkigen.airgap.offline.scope import selection_of
from pkigen.crypto.key_makers import generated
from pkigen.crypto.keys import UnsupportedKeyError, load_own_private, private_pem
from pkigen.crypto.names import subject_of
from pkigen.desired.generations import CA, ca_id, ca_location
from pkigen.desired.items import DesiredCertificate, DesiredKeyPair, DesiredSecret
from pkigen.errors import AuthorityError, BundleError
from pkigen.reconcile.apply import apply_plan
from pkigen.spec.certificates import CAKeys
from pkigen.state.issuance_record import record
from pkigen.state.ledger import Event, LedgerEntry
from pkigen.state.lockfile import read_lock
from pkigen.state.observed import observe_certificate
from pkigen.state.views import OpenedView

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.crypto.keys import PrivateKey
    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.plan import Plan
    from pkigen.reconcile.planner import Planner
    from pkigen.reconcile.surveyed import Selection
    from pkigen.reconcile.workbench import Tools
    from pkigen.state.observed import Reader
    from pkigen.store import Store


def make_own_keys(plan: Plan, inventory: Inventory, store: Store, tools: Tools) -> None:
    """Make what a new PKI directory needs before it can ask, and no certificate: its own keys and secrets."""
    own = {item.id for item in inventory.items if isinstance(item, DesiredKeyPair | DesiredSecret)}
    # All else is held back for the answer.
    held = frozenset(action.id for action in plan.actions if action.id not in own)
    apply_plan(plan, inventory, store, tools, held=held)


def ask(inventory: Inventory, store: Store, identifiers: Iterable[str], tools: Tools) -> PendingAnswer:
    """Make the keys for some certificates and the request for them, and keep both until the answer comes.

    Args:
        inventory: What must exist.
        store: The PKI directory, held alone, with its own keys made.
        identifiers: Which certificates; CAs whose keys are with the offline authority need no request.
        tools: Clock, random source.

    Raises:
        AuthorityError: A CA that is to be renewed cannot be read.
        StoreError: The directory could not be written; it is unchanged.
    """
    chosen = frozenset(identifiers)
    opened = OpenedView(store, tools.vault)
    new: list[DesiredCertificate] = []
    requests: dict[str, bytes] = {}
    for item in _to_ask_for(inventory, chosen):
        present = _current(item, opened)
        if present is None:
            new.append(item)
        else:
            requests[item.id] = request_for(*present)
    # Before any key is made: nothing of it must come into being.
    if tools.vault.seals:
        _require_no_new_ca(new)
    keys: dict[str, bytes] = {}
    with generated((item.key_algorithm for item in new), tools.makers) as made:
        for item in new:
            key = next(made)
            keys[item.id] = private_pem(key)
            requests[item.id] = request_for(item, key)
    requested = RequestSet(
        purpose=Purpose.AUTHORITY,
        cluster=inventory.cluster.name,
        origin=inventory.cluster.name,
        created=tools.now.replace(microsecond=0),
        nonce=tools.entropy(NONCE_SIZE).hex(),
        # Certificates are public: their answer is sealed to nobody.
        recipient=None,
        requests=tuple(sorted(requests.items())),
    )
    pending = PendingAnswer(file=write_requests(requested, bundle_key(opened)), keys=keys)
    record(
        store,
        LedgerEntry(
            event=Event.ASKED,
            id=f"request:{requested.nonce}",
            reason=None,
            facts={"certificates": sorted(chosen)},
        ),
        now=tools.now,
        keep_backups=inventory.cluster.spec.backups.keep,
        # With the line that says so, in one change: a request that left without keys could never be answered.
        files={layout.PENDING_REQUEST: (layout.SECRET_MODE, encode_pending(pending))},
    )
    return pending


def _to_ask_for(inventory: Inventory, chosen: frozenset[str]) -> Iterator[DesiredCertificate]:
    """The chosen certificates, without the CAs that the offline authority has and hands out unasked."""
    for item in inventory.certificates.values():
        if item.id in chosen and (item.issuer is not None or inventory.ca_keys is CAKeys.SITE):
            yield item


def _require_no_new_ca(new: Iterable[DesiredCertificate]) -> None:
    """What waits for its answer is not sealed: an encrypted authority must not keep a CA's key so.

    Raises:
        AuthorityError: One of the certificates is a CA's.
    """
    for item in new:
        if item.issuer is None:
            raise AuthorityError(
                f"the authority is encrypted, but the pending key of {item.id} would be unencrypted",
                hint="`pkigen airgap authority decrypt` first, and encrypt it again once the answer is "
                "accepted",
            )


def _current(item: DesiredCertificate, reader: Reader) -> tuple[DesiredCertificate, PrivateKey] | None:
    """A CA that is there, as it calls itself, and its key: renewing it must not change either.

    Raises:
        AuthorityError: Its key cannot be read.
    """
    if item.issuer is not None:
        return None
    certificate = observe_certificate(reader, item.location).certificate
    if certificate is None:
        return None
    path = ca_location(CA.of_id(item.id)).key
    try:
        key = load_own_private(reader.read(path).data)
    except UnsupportedKeyError as error:
        raise AuthorityError(f"{path} {error}") from None
    return renamed(item, subject_of(certificate).common_name), key


def ask_outstanding(
    planner: Planner, store: Store, selection: Selection, tools: Tools
) -> PendingAnswer | None:
    """Ask for all that only the offline authority can give; None where that is nothing.

    Args:
        planner: What this directory asks for.
        store: The PKI directory, held alone; a new one gets its own keys first.
        selection: What is asked for although it is not due.
        tools: Clock, random source.

    Raises:
        AuthorityError: A CA that is to be renewed cannot be read.
        StoreError: The directory could not be written; it is unchanged.
    """
    plan = planner.plan(store, selection=selection)
    # A new directory first: a request is signed with its bundle key.
    if read_lock(store) is None:
        make_own_keys(plan, planner.inventory, store, tools)
        plan = planner.plan(store, selection=selection)
    wanted = tuple(outstanding(plan))
    return ask(planner.inventory, store, wanted, tools) if wanted else None


def require_current(
    pending: PendingAnswer,
    planner: Planner,
    store: Store,
    *,
    selection: Selection,
    following: frozenset[str],
) -> None:
    """Refuse a request that is out and no longer asks for what is needed.

    Args:
        pending: The request.
        planner: What this directory asks for.
        store: The directory.
        selection: What is asked for by name.
        following: The next generations of CAs that are asked for.

    Raises:
        BundleError: It is outdated.
    """
    asked = frozenset(pending.asked)
    more = sorted(following - asked)
    if more:
        reason: str | None = f"{more[0]}: it is not in the request"
    elif successors(asked):
        reason = None
    else:
        # What has become due since the request was made can wait for the next one.
        # A CA that is asked for may have ended: as one that is revived, it does not stand against the plan.
        unasked = selection_of(selection.ids | (asked & {ca_id(ca) for ca in CA}), timedelta())
        reason = outdated(pending, planner.plan(store, selection=unasked), planner.inventory)
    if reason is not None:
        raise BundleError(
            f"the pending request {pending.requests.nonce[:8]} no longer matches the spec: {reason}",
            hint="--again makes a new request; an answer to the old one is then refused",
        )


def outdated(pending: PendingAnswer, plan: Plan, inventory: Inventory) -> str | None:
    """Why a request that is out is not the one that would be made now; None where it is.

    Args:
        pending: The request.
        plan: What is to be done now.
        inventory: What the spec asks for now.
    """
    asked = dict(pending.requests.requests)
    desired = {
        identifier: as_asked(item, pem)
        for identifier, pem in asked.items()
        if (item := inventory.certificates.get(identifier)) is not None
    }
    for deviation in review_all(asked, desired, {}).deviations:
        return str(deviation)
    for action in plan.offline:
        own = inventory.certificates[action.id].issuer is None and inventory.ca_keys is CAKeys.OFFLINE
        if action.id not in asked and not own:
            return f"{action.id}: it is not in the request"
    return None


def outstanding(plan: Plan) -> Iterator[str]:
    """The ids of what only the offline authority can give: what is missing or wrong, and what is due."""
    yield from (action.id for action in plan.offline)
    yield from (action.id for action in plan.awaited)
