"""On the node: makes the keys of all its certificates, and one signed file that requests the certificates.

The keys stay in `/var/lib/pkigen/pending.json` until the answer is installed; the present ones stay in use.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from pkigen.airgap.bundles.install import KEPT_BACKUPS
from pkigen.airgap.carrier.bundle_key import KEY_SIZE, BundleKey, fingerprint
from pkigen.airgap.carrier.csr_review import request_for, review_all
from pkigen.airgap.carrier.envelope import unwrap
from pkigen.airgap.carrier.paths import PENDING, REQUEST_KEY
from pkigen.airgap.carrier.requests import NONCE_SIZE, Purpose, RequestSet, read_requests, write_requests
from pkigen.airgap.enrolment.identity import identity_of, stage_identity
from pkigen.airgap.enrolment.pending import PendingEnrolment, encode_pending, read_pending
from pkigen.crypto.keys import ALGORITHMS, UnsupportedKeyError, algorithm_of, load_own_private, private_pem
from pkigen.desired.generations import CertificateFile, InKubeconfig
from pkigen.errors import BundleError, UsageError
from pkigen.layout import KEY_MODE, node_path
from pkigen.notation import suggestion
from pkigen.records import dataclass
from pkigen.state.observed import Fault, client_key_pem, read_file

if TYPE_CHECKING:
    from datetime import datetime

    from pkigen.crypto.age import Recipient
    from pkigen.crypto.issuance import Entropy
    from pkigen.crypto.keys import PrivateKey
    from pkigen.desired.generations import Location
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import DesiredCertificate
    from pkigen.state.observed import Reader
    from pkigen.store import Store, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentOptions:
    """What a node asks for, and how.

    `reuse_keys` keeps the keys that are installed. `anew` discards a pending request.
    `recipient` is whom the answer is to be sealed to; None for the node's own identity, made if need be.
    """

    node: str
    reuse_keys: bool = False
    anew: bool = False
    recipient: Recipient | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request file, and whose signature it bears; `is_new` is false where it was made before."""

    requests: RequestSet
    file: bytes = field(repr=False)
    signer: str
    is_new: bool


def wanted(inventory: Inventory, node: str) -> dict[str, DesiredCertificate]:
    """The certificates that a node asks for itself, by id.

    Raises:
        UsageError: There is no such node, or its keys are the authority's to make.
    """
    nodes = {each.name for each in inventory.cluster.spec.nodes}
    if node not in nodes:
        raise UsageError(
            f"the spec has no node {node!r}",
            hint=suggestion(node, nodes) or "if the host's name is not the node's, give --node",
        )
    items = {
        identifier: item
        for identifier, item in sorted(inventory.certificates.items())
        if item.node == node and item.key_is_elsewhere
    }
    if not items:
        raise UsageError(
            f"in the spec, the keys of {node} are made by the authority",
            hint="set `keys: node` at the node, or `nodeKeys: node` in spec.certificates",
        )
    return items


def ask(
    inventory: Inventory, wish: EnrolmentOptions, store: Store, *, now: datetime, entropy: Entropy
) -> Asked:
    """Make a node's request, or hand out the one that waits for its answer once more.

    Args:
        inventory: What the node's copy of the spec asks for; the authority reviews by its own.
        wish: For which node, and how.
        store: The node's root directory, held alone.
        now: The present, in UTC.
        entropy: Where the nonce and the signing key come from.

    Raises:
        UsageError: The spec leaves no keys to this node.
        BundleError: Another request waits, and cannot be handed out again.
        StoreError: The system refuses; nothing was changed.
    """
    items = wanted(inventory, wish.node)
    pending = None if wish.anew else read_pending(store)
    # The same request again, with its keys: a second one would make the first one's answer useless.
    if pending is not None:
        return _again(pending, items, inventory.cluster.name, now)
    with store.transaction() as transaction:
        # The same for every request of this node: it is what people have compared once.
        key = _request_key(store, transaction, entropy)
        recipient = wish.recipient or (identity_of(store) or stage_identity(transaction)).recipient
        made, requests = [], []
        for identifier, item in items.items():
            installed = _installed_key(store, wish.node, item) if wish.reuse_keys else None
            private = installed or ALGORITHMS[item.key_algorithm].generate()
            if installed is None:
                made.append((identifier, private_pem(private)))
            requests.append((identifier, request_for(item, private)))
        asked = RequestSet(
            purpose=Purpose.NODE,
            cluster=inventory.cluster.name,
            origin=wish.node,
            # The label has whole seconds, and both have to say the same.
            created=now.replace(microsecond=0),
            nonce=entropy(NONCE_SIZE).hex(),
            recipient=recipient.text,
            requests=tuple(requests),
        )
        file = write_requests(asked, key)
        content = encode_pending(PendingEnrolment(keys=tuple(made), request=file))
        # No backup: a request that is discarded takes its keys with it.
        transaction.stage(PENDING, mode=KEY_MODE, content=content, backup=False)
        transaction.commit(keep_backups=KEPT_BACKUPS)
    return Asked(requests=asked, file=file, signer=fingerprint(key.public), is_new=True)


def _again(
    pending: PendingEnrolment, items: dict[str, DesiredCertificate], cluster: str, now: datetime
) -> Asked:
    """The same file once more, if its answer could still be installed: with new keys it could not be.

    Raises:
        BundleError: It is too old, of another node or cluster, or asks for something else than the spec.
    """
    envelope = unwrap(pending.request, pin=None)
    asked = read_requests(envelope)
    when = f"a request of {asked.created:%Y-%m-%d %H:%M} UTC is pending"
    hint = "--anew discards it and makes a new one; an answer to it can then no longer be installed"
    if now >= envelope.label.expires:
        raise BundleError(f"{when}, and is too old to be approved", hint=hint)
    if (asked.cluster, asked.origin) != (cluster, next(iter(items.values())).node):
        raise BundleError(f"{when}, and it is that of {asked.origin} in {asked.cluster}", hint=hint)
    # Keys of other nodes are not known here; the authority compares with them.
    deviations = review_all(dict(asked.requests), items, {}).deviations
    if deviations:
        raise BundleError(f"{when}, and asks for something else than the spec: {deviations[0]}", hint=hint)
    return Asked(requests=asked, file=pending.request, signer=envelope.fingerprint, is_new=False)


def _request_key(store: Store, transaction: Transaction, entropy: Entropy) -> BundleKey:
    """The key that this node signs its requests with, made with the first one."""
    found = read_file(store, REQUEST_KEY)
    if not isinstance(found, Fault):
        return BundleKey.of_file(found.data, f"/{REQUEST_KEY}")
    key = BundleKey(seed=entropy(KEY_SIZE))
    transaction.stage(REQUEST_KEY, mode=KEY_MODE, content=key.text, backup=False)
    return key


def _installed_key(reader: Reader, node: str, item: DesiredCertificate) -> PrivateKey | None:
    """The key that the node uses now, if it is of the kind that the spec asks for."""
    key = _key_at(reader, node, item.location)
    if key is None and item.former is not None:
        key = _key_at(reader, node, item.former)
    return key if key is not None and algorithm_of(key) is item.key_algorithm else None


def _key_at(reader: Reader, node: str, location: Location) -> PrivateKey | None:
    """The key that stands at one place of the node; None where there is none."""
    # The inventory's paths are those of the PKI directory; on the node they begin at its root.
    prefix = node_path(node, "/")
    if isinstance(location, CertificateFile):  # pragma: no cover -- that is a CA whose key is elsewhere
        return None
    if isinstance(location, InKubeconfig):
        found = read_file(reader, location.kubeconfig.removeprefix(prefix))
        pem = None if isinstance(found, Fault) else client_key_pem(found.data)
    else:
        found = read_file(reader, location.key.removeprefix(prefix))
        pem = None if isinstance(found, Fault) else found.data
    try:
        return load_own_private(pem) if pem is not None else None
    # One that cannot be read is not kept: its certificate gets a new key, as without `reuse_keys`.
    except UnsupportedKeyError:
        return None
