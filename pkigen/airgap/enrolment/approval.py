"""At the authority: whether a node's request may be approved, and what would be issued for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pkigen.airgap.bundles.admission import SKEW
from pkigen.airgap.carrier.csr_review import Reviewed, review_all
from pkigen.airgap.carrier.format import BundleKind
from pkigen.airgap.carrier.requests import Purpose, RequestSet, open_envelope, read_requests
from pkigen.airgap.enrolment.request import wanted
from pkigen.crypto.keys import public_der, spki_fingerprint
from pkigen.desired.items import DesiredKeyPair
from pkigen.errors import BundleError
from pkigen.notation import timestamp
from pkigen.state.ledger import Approval
from pkigen.state.observed import observe_certificate, observe_key_pair

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from pkigen.airgap.carrier.csr_review import Deviation
    from pkigen.crypto.keys import PublicKey
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import DesiredCertificate
    from pkigen.state.lockfile import Lock
    from pkigen.state.observed import Reader

_UNCHANGED = "nothing was issued"


@dataclass(frozen=True, slots=True, kw_only=True)
class Petition:
    """A node's request whose signature was found to be that node's, and that is not too old.

    `approved_before` says that this very request was approved; `former_signer` that the node used another key
    to sign until now.
    """

    requests: RequestSet
    recipient: str
    signer: str
    approved_before: bool
    former_signer: str | None

    @property
    def node(self) -> str:
        """Whose it is."""
        return self.requests.origin

    @property
    def approval(self) -> Approval:
        """What is put on record."""
        return Approval(
            node=self.node,
            nonce=self.requests.nonce,
            created=timestamp(self.requests.created),
            signer=self.signer,
            recipient=self.recipient,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """Who signs for which node, as people have said it: the fingerprints of request keys.

    `alone` is that of the only node that asks.
    """

    alone: str | None = None
    by_node: Mapping[str, str] = field(default_factory=dict)

    def of(self, node: str) -> str | None:
        """What was said about a node."""
        return self.by_node.get(node, self.alone)


def admit(
    data: bytes, inventory: Inventory, known: Mapping[str, Approval], *, pins: Pins, now: datetime
) -> Petition:
    """Read a node's request, and refuse what is not for this cluster, not of that node, or not for now.

    Args:
        data: The file.
        inventory: What this cluster asks for.
        known: The last approved request of each node: whose signature is trusted, and what came before.
        pins: The fingerprint of the key that the node signs with, as a person has it from there.
        now: The present, in UTC.

    Raises:
        BundleError: It is to be refused; each reason has its own sentence.
        UsageError: The spec does not leave this node's keys to the node.
    """
    # Whose signature it must be depends on the node that the signed label names.
    envelope = open_envelope(data, kind=BundleKind.REQUEST, pin=None)
    label, cluster = envelope.label, inventory.cluster
    if label.cluster != cluster.name:
        raise BundleError(
            f"it is for another cluster: {label.cluster}, and this is {cluster.name}", hint=_UNCHANGED
        )
    last = known.get(label.node)
    trusted = pins.of(label.node) or (last.signer if last is not None else None)
    if trusted is None:
        raise BundleError(
            f"nobody has said which key {label.node} signs its requests with",
            hint="give the fingerprint that `pkigen node request` printed there, as you have it by another "
            "way than the medium: --pin …",
        )
    if envelope.fingerprint != trusted:
        raise BundleError(
            f"it is signed by {envelope.fingerprint}, and {label.node} signs with {trusted}",
            hint=f"{_UNCHANGED}; if the node was set up anew, give its new fingerprint with --pin",
        )
    requests = read_requests(envelope)
    if requests.purpose is not Purpose.NODE:
        raise BundleError("it is no request of a node", hint=f"{_UNCHANGED}; see `pkigen authority sign`")
    wanted(inventory, label.node)
    _require_timely(requests, envelope.label.expires, last, now)
    return Petition(
        requests=requests,
        recipient=_recipient(requests, inventory),
        signer=envelope.fingerprint,
        approved_before=last is not None and last.nonce == requests.nonce,
        former_signer=last.signer if last is not None and last.signer != envelope.fingerprint else None,
    )


def _require_timely(requests: RequestSet, expires: datetime, last: Approval | None, now: datetime) -> None:
    """An approved request may come again (it gives the same answer); an older one never after a newer."""
    made = timestamp(requests.created)
    if requests.created > now + SKEW:
        raise BundleError(
            f"it was made {made}, and here it is only {timestamp(now)}",
            hint=f"{_UNCHANGED}; set the clock that is wrong",
        )
    if now >= expires:
        raise BundleError(
            f"it is expired: made {made}, it could be approved until {timestamp(expires)}",
            hint=f"{_UNCHANGED}; `pkigen node request --anew` on the node makes another",
        )
    if last is not None and requests.nonce != last.nonce and made <= last.created:
        raise BundleError(
            f"it was made {made}, and a newer one, of {last.created}, was approved already",
            hint=f"{_UNCHANGED}; `pkigen node request` on the node makes a new one",
        )


def _recipient(requests: RequestSet, inventory: Inventory) -> str:
    """The spec decides where it names one: else whoever has the medium could have it sealed for himself."""
    node = next(each for each in inventory.cluster.spec.nodes if each.name == requests.origin)
    if requests.recipient is None:
        raise BundleError("it does not say whom the answer is to be sealed to", hint=_UNCHANGED)
    if node.age_recipient is not None and node.age_recipient != requests.recipient:
        raise BundleError(
            f"it names another age recipient than the spec: {requests.recipient}",
            hint=f"{_UNCHANGED}; `pkigen node identity --show` on the node prints its own",
        )
    return requests.recipient


def review_petitions(
    petitions: Iterable[Petition], inventory: Inventory, reader: Reader, lock: Lock | None
) -> Reviewed:
    """Review all requests of some nodes against the spec.

    A key may be in use nowhere else in this cluster, nor in another node's request.
    """
    known = dict(lock.keys) if lock is not None else {}
    for item in inventory.items:
        if isinstance(item, DesiredKeyPair):
            pair = observe_key_pair(reader, item.private_path, item.public_path)
            if pair.private is not None:
                known[spki_fingerprint(pair.private)] = item.id
    keys: dict[str, PublicKey] = {}
    deviations: list[Deviation] = []
    for petition in petitions:
        asked = dict(petition.requests.requests)
        reviewed = review_all(asked, wanted(inventory, petition.node), known)
        deviations.extend(reviewed.deviations)
        for identifier, key in reviewed.keys.items():
            keys[identifier] = key
            known.setdefault(spki_fingerprint(public_der(key)), identifier)
    return Reviewed(keys=keys, deviations=tuple(deviations))


def differing(
    keys: Mapping[str, PublicKey], items: Mapping[str, DesiredCertificate], reader: Reader
) -> tuple[str, ...]:
    """Which certificates that are here are not for the keys of a request that was approved before."""
    return tuple(
        identifier
        for identifier, key in keys.items()
        if (found := observe_certificate(reader, items[identifier].location).certificate) is None
        or public_der(found.public_key()) != public_der(key)
    )
