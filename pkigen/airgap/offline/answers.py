"""At the offline side: reviews a request, refuses it or issues its certificates, and records them.

Only the public key of a request gets into a certificate. The content comes from the spec on this side.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.airgap.carrier.bundle_key import trusted_key
from pkigen.airgap.carrier.csr_review import review_all
from pkigen.airgap.carrier.envelope import LARGEST_BUNDLE
from pkigen.airgap.carrier.requests import AnswerSet, Purpose, require_timely, write_answers
from pkigen.airgap.offline.directory import KEEP_BACKUPS, ROOT, SITE_PIN, record_entries
from pkigen.airgap.offline.generations import as_asked
from pkigen.crypto.ca_fitness import unfit
from pkigen.crypto.issuance import certificate_pem, end_of_validity, issue_for
from pkigen.crypto.keys import public_der, spki_fingerprint
from pkigen.crypto.profiles import PROFILES
from pkigen.desired.generations import ca_id
from pkigen.desired.items import content_of
from pkigen.errors import BundleError
from pkigen.notation import timestamp
from pkigen.records import dataclass
from pkigen.spec.certificates import CAKeys
from pkigen.state.ledger import Event, LedgerEntry, lines_of, read_ledger
from pkigen.state.lockfile import certificate_facts
from pkigen.store import MissingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pkigen.airgap.carrier.requests import RequestSet
    from pkigen.airgap.offline.directory import OfflineAuthority
    from pkigen.crypto.keys import PublicKey
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import DesiredCertificate
    from pkigen.reconcile.workbench import Tools
    from pkigen.state.observed import Reader
    from pkigen.store import Store

_NOTHING_SIGNED = "nothing was signed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One certificate that would be issued: all that will be in it, and when it ends."""

    item: DesiredCertificate
    key: PublicKey
    issuer: str
    until: datetime


class RefusedRequestError(BundleError):
    """A request asks for what the spec does not allow; `faults` are all of its faults, one sentence each."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        count = len(faults)
        more = f", and {count - 1} more" if count > 1 else ""
        super().__init__(
            f"the spec does not allow this request: {faults[0]}{more}",
            hint=f"{_NOTHING_SIGNED}; both sides must have the same spec",
        )
        self.faults = faults


def proposals(
    requests: RequestSet,
    inventory: Inventory,
    authority: OfflineAuthority,
    reader: Reader,
    *,
    now: datetime,
) -> tuple[Proposal, ...]:
    """What a request would get; nothing is issued by this.

    Args:
        requests: What the site asks for.
        inventory: What this side's spec asks for.
        authority: Who would sign.
        reader: The authority's directory, whose ledger knows the keys that were certified.
        now: The present, in UTC.

    Raises:
        BundleError: It is a node's request, or another cluster's.
        RefusedRequestError: The spec does not allow it.
    """
    _require_for_us(requests, inventory)
    asked = dict(requests.requests)
    desired = {
        identifier: as_asked(item, pem)
        for identifier, pem in asked.items()
        if (item := _answerable(inventory, identifier)) is not None
    }
    certified = _certified(reader, requests.cluster if authority.described.is_shared else None)
    reviewed = review_all(asked, desired, {**certified, **_keys_of_cas(authority)})
    # What is not in `desired` is refused by `_strangers`, which knows why.
    deviations = (str(each) for each in reviewed.deviations if each.id in desired)
    faults = (*_strangers(asked, inventory), *deviations)
    if faults:
        raise RefusedRequestError(faults)
    return tuple(
        Proposal(
            item=item,
            key=reviewed.keys[identifier],
            issuer=_issuer_name(authority, item),
            # As it will be issued: what a person agrees to must be what is signed.
            until=min(
                end_of_validity(now, item.validity),
                authority.issuer_of(item).certificate.not_valid_after_utc,
            ),
        )
        for identifier, item in desired.items()
    )


def _require_for_us(requests: RequestSet, inventory: Inventory) -> None:
    """Before any review: of another cluster's request, every certificate would be told as a fault."""
    cluster = inventory.cluster.name
    if requests.purpose is not Purpose.AUTHORITY:
        raise BundleError(
            "it is a node's request, which the site itself answers",
            hint=f"{_NOTHING_SIGNED}; bring it to the PKI directory: `pkigen airgap node approve`",
        )
    if requests.cluster != cluster:
        raise BundleError(
            f"it is for another cluster: {requests.cluster}, where the spec is for {cluster}",
            hint=_NOTHING_SIGNED,
        )
    # With the CAs' keys here, the answer to an empty request brings the site the CAs' own certificates.
    if not requests.requests and inventory.ca_keys is not CAKeys.OFFLINE:
        raise BundleError("it requests no certificate", hint=_NOTHING_SIGNED)


def _keys_of_cas(authority: OfflineAuthority) -> dict[str, str]:
    """The keys (`spki_fingerprint`) of the authority's own CAs and of those above them, with their owners."""
    return {
        spki_fingerprint(public_der(link.public_key())): f"the CA {identifier}"
        for identifier, chain in authority.files.items()
        for link in chain
    }


def _answerable(inventory: Inventory, identifier: str) -> DesiredCertificate | None:
    """The certificate that a request is for, if this side issues it."""
    item = inventory.certificates.get(identifier)
    if item is None or not inventory.is_signed_offline(item) or _is_kept_here(inventory, item):
        return None
    return item


def _is_kept_here(inventory: Inventory, item: DesiredCertificate) -> bool:
    """Whether a certificate is a CA's whose key never leaves this side: nobody else may ask for it."""
    return item.issuer is None and inventory.ca_keys is CAKeys.OFFLINE


def _strangers(asked: dict[str, bytes], inventory: Inventory) -> Iterator[str]:
    """Requests for certificates that this side never issues."""
    for identifier in asked:
        item = inventory.certificates.get(identifier)
        if item is None:
            yield f"{identifier}: the spec has no such certificate"
        elif not inventory.is_signed_offline(item):
            yield f"{identifier}: the site signs it itself, with {item.issuer}"
        elif _is_kept_here(inventory, item):
            yield f"{identifier}: it is this authority's own CA, whose key does not change"


def _issuer_name(authority: OfflineAuthority, item: DesiredCertificate) -> str:
    """Who would sign, for people."""
    return authority.issuer_of(item).certificate.subject.rfc4514_string()


# -- issuing ----------------------------------------------------------------------------------------------


def answer(
    found: tuple[Proposal, ...],
    requests: RequestSet,
    carried: bytes,
    *,
    inventory: Inventory,
    authority: OfflineAuthority,
    store: Store,
    pin: str,
    tools: Tools,
) -> bytes:
    """Issue what was proposed, put it on record, and only then hand it out.

    Args:
        found: What was proposed and agreed to.
        requests: What the site asked for.
        carried: The request file.
        inventory: What the spec asks for.
        authority: Who signs.
        store: The authority's directory, held alone.
        pin: The fingerprint of the site's key.
        tools: Clock, random source.

    Returns:
        The answer file.

    Raises:
        BundleError: The root cannot sign a CA for which it was asked.
        StoreError: The directory could not be written; nothing is handed out.
    """
    entries: list[LedgerEntry] = []
    certificates: dict[str, bytes] = {}
    site = requests.cluster if authority.described.is_shared else None
    whose = {"cluster": site} if site is not None else {}
    if inventory.ca_keys is CAKeys.OFFLINE:
        certificates = {
            identifier: certificate_pem(*authority.files[identifier])
            for identifier in map(ca_id, inventory.authorities)
        }
    for proposal in found:
        item = proposal.item
        issuer = authority.issuer_of(item)
        issued = issue_for(
            content_of(item), public_key=proposal.key, issuer=issuer, now=tools.now, entropy=tools.entropy
        )
        if item.issuer is None:
            chain = authority.files[ROOT]
            fault = unfit((issued.certificate, *chain), public_key=None, now=tools.now)
            if fault is not None:
                raise BundleError(f"the root cannot sign {item.id}: {fault}", hint=_NOTHING_SIGNED)
        else:
            chain = issuer.chain if PROFILES[item.profile].sends_chain else ()
        certificates[item.id] = certificate_pem(issued.certificate, *chain)
        facts = {**certificate_facts(issued.certificate), **whose, "request": requests.nonce}
        entries.append(LedgerEntry(event=Event.SIGNED, id=item.id, reason=None, facts=facts))
    answered = AnswerSet(
        cluster=requests.cluster,
        origin=requests.cluster,
        created=tools.now.replace(microsecond=0),
        nonce=requests.nonce,
        # In the one order in which a set of certificates can be written (`carrier.requests`).
        certificates=tuple(sorted(certificates.items())),
    )
    file = write_answers(answered, authority.key)
    entries.append(
        LedgerEntry(
            event=Event.ANSWERED,
            id=f"request:{requests.nonce}",
            reason=None,
            facts={
                **whose,
                "requestSha256": hashlib.sha256(carried).hexdigest(),
                "created": timestamp(requests.created),
                "site": pin,
            },
        )
    )
    with store.transaction() as transaction:
        # Kept, so that a request that is carried twice gets the same certificates and no others.
        transaction.stage(_answer_path(requests.nonce), mode=layout.PUBLIC_MODE, content=file)
        # Trusted from the first answer on: somebody has compared the fingerprint for it.
        if known_site(store, site) is None:
            transaction.stage(_pin_path(site), mode=layout.PUBLIC_MODE, content=f"{pin}\n".encode())
        record_entries(store, transaction, entries, now=tools.now)
        transaction.commit(keep_backups=KEEP_BACKUPS)
    return file


def known_site(reader: Reader, cluster: str | None = None) -> str | None:
    """The fingerprint of the site's key, once one was accepted; of several sites, that of this cluster's."""
    try:
        return reader.read(_pin_path(cluster)).data.decode("ascii", "replace").strip()
    except MissingError:
        return None


def _pin_path(cluster: str | None) -> str:
    """Where a site's fingerprint is kept; names that look alike as files are apart by their digest."""
    if cluster is None:
        return SITE_PIN
    digest = hashlib.sha256(cluster.encode()).hexdigest()
    return f"pki/sites/{layout.file_name_of(cluster)[:64]}.{digest[:16]}.pin"


def trusted_site(pin: str | None, reader: Reader) -> str:
    """The fingerprint of the key that a site's request must be signed by.

    Raises:
        UsageError: `pin` is not a fingerprint.
        BundleError: Nobody has said which key that is, or another is trusted.
    """
    return trusted_key(pin, known_site(reader), who="site", where="as the site's `init` printed it")


def earlier_answer(reader: Reader, requests: RequestSet, carried: bytes) -> bytes | None:
    """The answer that a request got before; None where it is new.

    Raises:
        BundleError: Another request with the same number was answered.
    """
    digest = _answered(reader, requests.nonce)
    if digest is None:
        return None
    # A nonce is random: two requests with one are no accident.
    if digest != hashlib.sha256(carried).hexdigest():
        raise BundleError(
            f"another request with the number {requests.nonce[:8]} was answered before", hint=_NOTHING_SIGNED
        )
    try:
        return reader.read(_answer_path(requests.nonce), limit=LARGEST_BUNDLE).data
    except MissingError:
        raise BundleError(
            f"this request was answered before, but {_answer_path(requests.nonce)} is missing",
            hint=f"{_NOTHING_SIGNED}; have the site make a new one: "
            "`pkigen airgap authority request --again`",
        ) from None


def require_current(
    requests: RequestSet, reader: Reader, *, now: datetime, cluster: str | None = None
) -> None:
    """Refuse a new request from the future, an expired one, and one older than the last that was answered.

    Where an authority has several sites, the last is that of the same cluster.

    Raises:
        BundleError: It is one of these.
    """
    answered = lines_of(read_ledger(reader), Event.ANSWERED, newest_first=True)
    own = (entry for entry in answered if cluster is None or entry.get("cluster") == cluster)
    newest = next((str(entry["created"]) for entry in own if "created" in entry), None)
    again = "at the site, `pkigen airgap authority request --again` makes another"
    require_timely(requests, newest=newest, now=now, again=again)


def _certified(reader: Reader, cluster: str | None) -> dict[str, str]:
    """The keys that were certified before (`spki_fingerprint`), a CA's successor's too, and for which id.

    A key that another cluster of a fleet has is another's, whatever id it has there.
    """
    return {
        str(entry["spki"]): str(entry["id"])
        if cluster is None or entry.get("cluster") == cluster
        else f"{entry['id']} of {entry.get('cluster')}"
        for entry in lines_of(read_ledger(reader), Event.SIGNED)
        if "spki" in entry and "id" in entry
    }


def _answered(reader: Reader, nonce: str) -> str | None:
    """The digest of the request that was answered under a number; None where none was."""
    for entry in lines_of(read_ledger(reader), Event.ANSWERED, newest_first=True):
        if entry.get("id") == f"request:{nonce}" and "requestSha256" in entry:
            return str(entry["requestSha256"])
    return None


def _answer_path(nonce: str) -> str:
    """Where an answer is kept; the nonce is hexadecimal, so it leads nowhere else."""
    return f"answers/{nonce}.answer"
