"""At the authority: whether a node's request may be approved, and what would be issued for it."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from pkigen.airgap.carrier.bundle_key import parse_pin
from pkigen.airgap.carrier.csr_review import Reviewed, review_all
from pkigen.airgap.carrier.format import BundleKind
from pkigen.airgap.carrier.requests import Purpose, RequestSet, open_envelope, read_requests, require_timely
from pkigen.airgap.enrolment.request import wanted
from pkigen.crypto.age_recipient import recipient_fault
from pkigen.crypto.keys import public_der, spki_fingerprint
from pkigen.errors import BundleError, UsageError
from pkigen.notation import suggestion, timestamp
from pkigen.records import dataclass
from pkigen.state.authority_record import require_unchanged
from pkigen.state.key_owners import key_owners
from pkigen.state.ledger import Approval, Approvals
from pkigen.state.observed import observe_certificate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from pkigen.airgap.carrier.csr_review import Deviation
    from pkigen.crypto.keys import PublicKey
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import DesiredCertificate
    from pkigen.reconcile.plan import Plan
    from pkigen.state.lockfile import Lock
    from pkigen.state.observed import Reader

_UNCHANGED = "nothing was issued"
_AGAIN = "`pkigen airgap node request --anew` on the node makes another"


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

    @classmethod
    def of_texts(cls, texts: Iterable[str], *, nodes: Collection[str], requests: int) -> Pins:
        """Read what people have said: FINGERPRINT, or NODE=FINGERPRINT.

        Args:
            texts: What they have said.
            nodes: The names of the nodes that there are.
            requests: How many of them ask.

        Raises:
            UsageError: It is not a fingerprint, or leaves open for which node it is.
        """
        said: dict[str, str] = {}
        for text in texts:
            name, equals, fingerprint = text.rpartition("=")
            pin = parse_pin(fingerprint)
            if equals and name not in nodes:
                raise UsageError(f"--pin {text}: the spec has no node {name!r}", hint=suggestion(name, nodes))
            known = said.setdefault(name, pin)
            if known != pin:
                raise UsageError(f"--pin gives two keys for {name or 'one node'}: {known} and {pin}")
        alone = said.pop("", None)
        if alone is not None and requests > 1:
            raise UsageError(
                f"--pin {alone} does not say which node has this key, and there are {requests} requests",
                hint="give one for each node: --pin NODE=FINGERPRINT",
            )
        return cls(alone=alone, by_node=said)

    def of(self, node: str) -> str | None:
        """What was said about a node; None where nothing was."""
        return self.by_node.get(node, self.alone)


class RefusedPetitionsError(BundleError):
    """Some of several requests are to be refused; `refusals` says which, and why."""

    def __init__(self, refusals: tuple[str, ...], *, among: int) -> None:
        count = len(refusals)
        super().__init__(
            f"{count} of {among} requests {'is' if count == 1 else 'are'} refused",
            hint="nothing was issued for the others either; leave the refused requests out, or have them "
            "made again",
        )
        self.refusals = refusals


class DeviatingError(BundleError):
    """Requests do not match the spec; `deviations` are all of the places."""

    def __init__(self, deviations: tuple[Deviation, ...], petitions: Sequence[Petition]) -> None:
        count = len(deviations)
        of = f"request of {petitions[0].node} does" if len(petitions) == 1 else "requests do"
        super().__init__(
            f"the {of} not match the spec in {count} {'place' if count == 1 else 'places'}",
            hint=f"{_UNCHANGED}; carry the present spec to the node, and there: "
            "`pkigen airgap node request --anew`",
        )
        self.deviations = deviations


def admit(data: bytes, inventory: Inventory, known: Approvals, *, pins: Pins, now: datetime) -> Petition:
    """Read a node's request, and refuse what is not for this cluster, not of that node, or not for now.

    Args:
        data: The file.
        inventory: What this cluster asks for.
        known: The requests that were approved: whose signature is trusted, and what came before.
        pins: The fingerprint of the key that the node signs with, as a person has it from there.
        now: The present, in UTC.

    Raises:
        BundleError: It is to be refused; each reason has its own sentence.
        UsageError: The spec does not leave this node's keys to the node.
    """
    # Whose signature it must be depends on the node that the signed label names.
    # Any signer so far: nothing that the file says is acted on before the signer is compared below.
    envelope = open_envelope(data, kind=BundleKind.REQUEST, pin=None)
    label, cluster = envelope.label, inventory.cluster
    if label.cluster != cluster.name:
        raise BundleError(
            f"it is for another cluster: {label.cluster}, and this is {cluster.name}", hint=_UNCHANGED
        )
    last = known.last.get(label.node)
    # What a person says now counts more: a node that was reinstalled has another key.
    trusted = pins.of(label.node) or (last.signer if last is not None else None)
    if trusted is None:
        raise BundleError(
            f"no request key of {label.node} is pinned",
            hint="give the fingerprint that `pkigen airgap node request` printed there, received by "
            "another channel "
            "than the medium: --pin …",
        )
    if envelope.fingerprint != trusted:
        raise BundleError(
            f"it is signed by {envelope.fingerprint}, but the key of {label.node} is {trusted}",
            hint=f"{_UNCHANGED}; if the node was reinstalled, give its new fingerprint with --pin",
        )
    requests = read_requests(envelope)
    if requests.purpose is not Purpose.NODE:
        raise BundleError(
            "it is not a node's request", hint=f"{_UNCHANGED}; see `pkigen airgap authority sign`"
        )
    # Only for what it refuses: a node that the spec has not, or whose keys the authority makes.
    wanted(inventory, label.node)
    earlier = known.numbered.get(requests.nonce)
    require_timely(requests, newest=_made_last(requests, last), now=now, again=_AGAIN)
    petition = Petition(
        requests=requests,
        recipient=_recipient(requests, inventory),
        signer=envelope.fingerprint,
        approved_before=earlier is not None,
        former_signer=last.signer if last is not None and last.signer != envelope.fingerprint else None,
    )
    _require_one_content(petition, earlier)
    return petition


def _made_last(requests: RequestSet, last: Approval | None) -> str | None:
    """An approved request may come again (it gives the same answer); an older one never after a newer."""
    return last.created if last is not None and last.nonce != requests.nonce else None


def _require_one_content(petition: Petition, earlier: Approval | None) -> None:
    """A number stands for one request: what was approved under it must not be taken for something else."""
    if earlier is not None and earlier != petition.approval:
        raise BundleError(
            f"another request with the number {earlier.nonce[:8]} was approved before",
            hint=f"{_UNCHANGED}; {_AGAIN}",
        )


def admit_all(
    carried: Sequence[tuple[Path, bytes]],
    inventory: Inventory,
    known: Approvals,
    *,
    pins: Pins,
    now: datetime,
) -> tuple[Petition, ...]:
    """Read the requests of several nodes, as `admit` does; the result is in the order of the nodes' names.

    Raises:
        RefusedPetitionsError: Some of several are to be refused.
        BundleError: The only one is to be refused.
        UsageError: The spec does not leave a node's keys to the node, or two requests are of one node.
    """
    found: dict[str, tuple[Path, Petition]] = {}
    refusals: list[str] = []
    for file, data in carried:
        try:
            petition = admit(data, inventory, known, pins=pins, now=now)
        except (BundleError, UsageError) as error:
            # One by itself is refused with its own words and hint.
            if len(carried) == 1:
                raise
            refusals.append(f"{file}: {error}")
            continue
        if petition.node in found:
            raise UsageError(
                f"{found[petition.node][0]} and {file} are both requests of {petition.node}",
                hint=f"{_UNCHANGED}; approve the newer one",
            )
        found[petition.node] = file, petition
    if refusals:
        raise RefusedPetitionsError(tuple(refusals), among=len(carried))
    return tuple(petition for _, (_, petition) in sorted(found.items()))


def _recipient(requests: RequestSet, inventory: Inventory) -> str:
    """Whom the answer is sealed to; refuse another recipient than the spec names for the node.

    Whoever has the medium could otherwise have the answer sealed for himself.
    """
    # `admit` has refused nodes that the spec has not.
    node = next(each for each in inventory.cluster.spec.nodes if each.name == requests.origin)
    if requests.recipient is None:
        raise BundleError("it names no recipient for the answer", hint=_UNCHANGED)
    fault = recipient_fault(requests.recipient)
    if fault is not None:
        raise BundleError(
            f"no answer can be sealed to the recipient that it names: {requests.recipient} {fault}",
            hint=f"{_UNCHANGED}; `pkigen airgap node identity --show` on the node prints its own",
        )
    if node.age_recipient is not None and node.age_recipient != requests.recipient:
        raise BundleError(
            f"it names another age recipient than the spec: {requests.recipient}",
            hint=f"{_UNCHANGED}; `pkigen airgap node identity --show` on the node prints its own",
        )
    return requests.recipient


def review_petitions(
    asking: Sequence[Petition], inventory: Inventory, reader: Reader, lock: Lock | None, *, now: datetime
) -> Reviewed:
    """Review all requests of some nodes against the spec.

    A key may be in use nowhere else in this cluster, nor in another node's request.

    Raises:
        DeviatingError: Some are not what the spec asks for.
    """
    known = key_owners(inventory, reader, lock, now=now)
    keys: dict[str, PublicKey] = {}
    deviations: list[Deviation] = []
    for petition in asking:
        asked = dict(petition.requests.requests)
        reviewed = review_all(asked, wanted(inventory, petition.node), known)
        deviations.extend(reviewed.deviations)
        for identifier, key in reviewed.keys.items():
            # Known from here on: the next node's request must not bring the same key.
            keys[identifier] = key
            known.setdefault(spki_fingerprint(public_der(key)), identifier)
    if deviations:
        raise DeviatingError(tuple(deviations), asking)
    return Reviewed(keys=keys, deviations=())


def require_same(reviewed: Reviewed, petition: Petition, inventory: Inventory, reader: Reader) -> None:
    """What was approved before must still be what was issued then.

    Raises:
        BundleError: A certificate is not for the key of the request any more.
    """
    keys = {identifier: reviewed.keys[identifier] for identifier, _ in petition.requests.requests}
    others = differing(keys, inventory.certificates, reader)
    if others:
        raise BundleError(
            f"this request was approved before, and {', '.join(others)} is now for another key",
            hint=f"{_UNCHANGED}; `pkigen airgap node request` on {petition.node} makes a new request",
        )


def certificates_for(petitions: Iterable[Petition], inventory: Inventory) -> dict[str, DesiredCertificate]:
    """What is to be issued for some requests, by id."""
    return {
        identifier: item
        for petition in petitions
        for identifier, item in wanted(inventory, petition.node).items()
    }


def require_nothing_else(plan: Plan, ids: Collection[str], *, root: Path, words: str) -> None:
    """Refuse other pending changes: whoever approves requests has not reviewed them.

    Args:
        plan: What would be done.
        ids: What is asked for.
        root: The PKI directory, for the message.
        words: How a command line names this cluster, for the hint.

    Raises:
        BundleError: Other changes are pending.
        AuthorityError: The authority is another one than is recorded.
    """
    require_unchanged(plan.authority)
    others = [action for action in plan.changes if action.id not in ids]
    if others:
        first = others[0]
        raise BundleError(
            f"{root} does not match the spec: {len(others)} other changes are pending, "
            f"the first is {first.verb} {first.id}",
            hint=f"{_UNCHANGED}; `pkigen apply {words}` first",
        )


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
