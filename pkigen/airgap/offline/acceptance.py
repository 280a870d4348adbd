"""At the site: checks that an answer matches the request completely, and that each certificate verifies."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.airgap.carrier.bundle_key import trusted_key
from pkigen.airgap.carrier.csr_review import review_all
from pkigen.airgap.carrier.format import BundleKind
from pkigen.airgap.carrier.requests import open_envelope, read_answers
from pkigen.airgap.offline.generations import as_asked
from pkigen.airgap.offline.pending import read_pending
from pkigen.crypto.ca_fitness import unfit
from pkigen.crypto.issuance import BACKDATE, certificate_pem
from pkigen.crypto.keys import UnsupportedKeyError, load_own_private, public_der
from pkigen.crypto.names import sans_of, subject_of
from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.crypto.profiles import PROFILES
from pkigen.desired.generations import CA, KeyPairFiles, ca_id
from pkigen.errors import BundleError
from pkigen.notation import format_duration
from pkigen.reconcile.checks import Case, examine, extensions_same
from pkigen.reconcile.source import Delivered, Delivery
from pkigen.spec.certificates import CAKeys
from pkigen.state.authority import CACertificates, load_certificates, unrecorded_sharing
from pkigen.state.issuance_record import record
from pkigen.state.ledger import Event, LedgerEntry
from pkigen.state.observed import ObservedCertificate, observe_certificate
from pkigen.store import MissingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

    from pkigen.airgap.carrier.requests import AnswerSet
    from pkigen.airgap.offline.pending import PendingAnswer
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import DesiredCertificate
    from pkigen.reconcile.plan import Plan
    from pkigen.state.observed import Reader
    from pkigen.store import Store

_UNCHANGED = "nothing was changed"


class RefusedAnswerError(BundleError):
    """An answer is not what was asked for; `faults` are all of its faults, one sentence each."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        count = len(faults)
        more = f", and {count - 1} more" if count > 1 else ""
        super().__init__(f"the answer does not match the request: {faults[0]}{more}", hint=_UNCHANGED)
        self.faults = faults


class ChangedSpecError(BundleError):
    """The spec is not the one that the request was made from."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"the spec has changed since the request was made: {detail}",
            hint=f"{_UNCHANGED}; restore that spec, or make a new request: "
            "`pkigen airgap authority request --again`",
        )


class NothingPendingError(BundleError):
    """No request is out."""

    def __init__(self, root: Path) -> None:
        super().__init__(
            f"{root} has no pending request",
            hint=f"{_UNCHANGED}; an answer is accepted only once, `pkigen airgap authority request` makes a "
            "new request",
        )


def delivery_of(
    answer: AnswerSet,
    pending: PendingAnswer,
    *,
    inventory: Inventory,
    reader: Reader,
    now: datetime,
    pin: str,
) -> Delivery:
    """Check an answer, and make of it what can be put in place.

    Args:
        answer: What came back, its signature checked.
        pending: What is waited for.
        inventory: What the spec asks for now.
        reader: The PKI directory.
        now: The present, in UTC.
        pin: The fingerprint of the key that signed the answer.

    Raises:
        BundleError: It answers something else, or is not what was asked for.
        AuthorityError: A CA that is there is unfit.
    """
    requests = pending.requests
    if answer.cluster != requests.cluster:
        raise BundleError(
            f"it is for another cluster: {answer.cluster}, and the pending request is for {requests.cluster}",
            hint=_UNCHANGED,
        )
    # An old answer, played back, would bring back certificates for keys that are gone.
    if answer.nonce != requests.nonce:
        raise BundleError(
            f"it answers another request, {answer.nonce[:8]}; {requests.nonce[:8]} is pending",
            hint=f"{_UNCHANGED}; bring the answer to the pending request",
        )
    work = _Acceptance(answer, pending, inventory, reader, now)
    certificates = work.checked()
    return Delivery(
        certificates=certificates,
        spent=layout.PENDING_REQUEST,
        entry=LedgerEntry(
            event=Event.ANSWERED,
            id=f"request:{requests.nonce}",
            reason=None,
            facts={"certificates": sorted(certificates), "authority": pin},
        ),
        files={layout.AUTHORITY_PIN: f"{pin}\n".encode()},
    )


def require_delivered(plan: Plan, delivery: Delivery) -> None:
    """See that an answer brings all that the plan needs of the offline authority.

    Raises:
        ChangedSpecError: It does not: the spec, or the directory, is not what the request was made from.
    """
    for action in plan.offline:
        if action.id not in delivery.certificates:
            raise ChangedSpecError(f"{action.id} ({action.reason}) was not requested")


def put_successors(delivery: Delivery, inventory: Inventory, store: Store, *, now: datetime) -> None:
    """Put the next generations of CAs beside the present ones, where a rotation finds them.

    Nothing trusts them by this: `rotate ca` prepares, and proves the step first.
    """
    files = {path: (layout.PUBLIC_MODE, content) for path, content in delivery.files.items()}
    for identifier, delivered in delivery.certificates.items():
        location = inventory.certificates[identifier].location
        if isinstance(location, KeyPairFiles) and delivered.key is not None:
            files[location.certificate] = (layout.CERTIFICATE_MODE, delivered.certificate)
            files[location.key] = (layout.KEY_MODE, delivered.key)
    record(
        store,
        delivery.entry,
        now=now,
        keep_backups=inventory.cluster.spec.backups.keep,
        files=files,
        # In the same change, so that an answer is accepted only once.
        removes=(delivery.spent,),
    )


def known_authority(reader: Reader) -> str | None:
    """The fingerprint of the offline authority's key, once one was accepted."""
    try:
        # Whatever stands there that is no fingerprint is that of no key.
        return reader.read(layout.AUTHORITY_PIN).data.decode("ascii", "replace").strip()
    except MissingError:
        return None


def trusted_authority(pin: str | None, reader: Reader) -> str:
    """The fingerprint of the key that an answer must be signed by.

    Raises:
        UsageError: `pin` is not a fingerprint.
        BundleError: Nobody has said which key that is, or another is trusted.
    """
    known = known_authority(reader)
    return trusted_key(pin, known, who="authority", where="as `authority init` printed it")


def read_answer(data: bytes, *, pin: str, now: datetime) -> AnswerSet:
    """What an answer's file holds.

    Args:
        data: The file.
        pin: The fingerprint of the key that must have signed it.
        now: The present, in UTC.

    Raises:
        BundleError: It is no answer, somebody else has signed it, or it is too old.
    """
    envelope = open_envelope(data, kind=BundleKind.ANSWER, pin=pin)
    if now >= envelope.label.expires:
        raise BundleError(
            f"it expired {envelope.label.expires:%Y-%m-%d %H:%M} UTC: an answer is valid for 30 days at most",
            hint="nothing was changed; make a new request: `pkigen airgap authority request --again`",
        )
    return read_answers(envelope)


def require_pending(reader: Reader, *, root: Path) -> PendingAnswer:
    """The request that an answer is to.

    Raises:
        BundleError: No request is out, or the one that is cannot be read.
    """
    pending = read_pending(reader)
    if pending is None:
        raise NothingPendingError(root)
    return pending


class _Acceptance:
    """One answer beside the request that waits for it."""

    def __init__(
        self, answer: AnswerSet, pending: PendingAnswer, inventory: Inventory, reader: Reader, now: datetime
    ) -> None:
        self._asked = dict(pending.requests.requests)
        self._pending = pending
        self._inventory = inventory
        self._reader = reader
        self._now = now
        self._pems = dict(answer.certificates)
        self._chains: dict[str, tuple[x509.Certificate, ...]] = {}

    def checked(self) -> dict[str, Delivered]:
        """What is to be put in place, by id."""
        # In this order: later checks rely on every certificate being one that was asked for, and readable.
        self._require_same_spec()
        _require(self._wrong_ids())
        _require(self._unreadable())
        _require(
            f"{identifier}: {fault}"
            for identifier, chain in self._chains.items()
            if (item := self._inventory.certificates[identifier]).issuer is None
            for fault in self._authority(item, chain)
        )
        authorities = self._authorities()
        _require(
            f"{identifier}: {fault}"
            for identifier in self._asked
            if (item := self._inventory.certificates[identifier]).issuer is not None
            for fault in self._leaf(item, authorities)
        )
        return {
            identifier: Delivered(certificate=certificate_pem(*chain), key=self._pending.keys.get(identifier))
            for identifier, chain in self._chains.items()
            # What is in its place already is no change, and the ledger must not record it as one.
            if not self._is_there(identifier)
        }

    def _require_same_spec(self) -> None:
        """Refuse an answer to what the spec no longer asks for: it is checked against what was asked for."""
        desired = {
            identifier: as_asked(item, pem)
            for identifier, pem in self._asked.items()
            if (item := self._inventory.certificates.get(identifier)) is not None
        }
        deviations = review_all(self._asked, desired, {}).deviations
        if deviations:
            raise ChangedSpecError(str(deviations[0]))

    def _own_authorities(self) -> set[str]:
        """The CAs whose certificates come from the offline side without being asked for."""
        keyless = self._inventory.ca_keys is CAKeys.OFFLINE
        return {ca_id(ca) for ca in self._inventory.authorities} if keyless else set()

    def _wrong_ids(self) -> Iterator[str]:
        """Certificates that are missing, and those that nobody asked for."""
        expected = self._asked.keys() | self._own_authorities()
        for identifier in sorted(expected - self._pems.keys()):
            yield f"{identifier}: its certificate is missing"
        for identifier in sorted(self._pems.keys() - expected):
            yield f"{identifier}: it was not requested"

    def _unreadable(self) -> Iterator[str]:
        """Certificates that cannot be read; the others are kept for the checks after this."""
        for identifier, pem in self._pems.items():
            parsed = parse_certificates(pem)
            if isinstance(parsed, str):
                yield f"{identifier}: it {parsed}"
            else:
                self._chains[identifier] = parsed

    # -- CAs ------------------------------------------------------------------------------------------

    def _authorities(self) -> dict[CA, CACertificates]:
        """The CAs as they will be, those of the answer before those that are there."""
        found: dict[CA, CACertificates] = {}
        for ca in self._inventory.authorities:
            chain = self._chains.get(ca_id(ca))
            if chain is not None:
                found[ca] = CACertificates.of_chain(chain)
                continue
            present = load_certificates(self._reader, ca, now=self._now, keys=self._inventory.ca_keys)
            if present is not None:
                found[ca] = present
        # Of two CAs with one key, each would vouch for what the other has signed.
        _require(tuple(unrecorded_sharing(self._reader, found)))
        return found

    def _authority(self, desired: DesiredCertificate, chain: tuple[x509.Certificate, ...]) -> Iterator[str]:
        """Faults of a returned CA: it must be fit, for the pending or present key, and as requested."""
        identifier = desired.id
        certificate = chain[0]
        key = self._key(desired)
        fault = unfit(chain, public_key=key, now=self._now)
        if fault is not None:
            yield fault
        present = observe_certificate(self._reader, desired.location)
        if present.certificate is not None and public_der(present.certificate.public_key()) != public_der(
            certificate.public_key()
        ):
            yield "it is another CA than the one that this cluster trusts: that would be a rotation"
        if identifier not in self._asked:
            return
        item = as_asked(desired, self._asked[identifier])
        if subject_of(certificate) != item.subject:
            yield f"it is called {subject_of(certificate)}, but {item.subject} was requested"
        if sans_of(certificate) != item.sans.texts():
            yield f"its names are {', '.join(sans_of(certificate)) or 'none'}, but others were requested"
        # A root that stands above it came along with it.
        case = self._case(item, chain, key, issuer=chain[1] if len(chain) > 1 else None, sent=())
        finding = extensions_same(case)
        if finding is not None:
            yield finding.detail
        yield from self._too_long(item, certificate)

    def _key(self, item: DesiredCertificate) -> bytes | None:
        """The public half of the key that a certificate must be for; None where that key is elsewhere.

        Raises:
            BundleError: The key that waits for the certificate cannot be read.
        """
        pem = self._pending.keys.get(item.id)
        if pem is None:  # a CA that is renewed keeps its key
            return observe_certificate(self._reader, item.location).public_key
        try:
            return public_der(load_own_private(pem))
        except UnsupportedKeyError as error:
            raise BundleError(f"the pending key of {item.id} {error}") from None

    def _is_there(self, identifier: str) -> bool:
        """Whether the very certificate is in its place already."""
        location = self._inventory.certificates[identifier].location
        present = observe_certificate(self._reader, location)
        return (
            present.certificate is not None
            and (present.certificate, *present.chain) == self._chains[identifier]
        )

    # -- leaves ---------------------------------------------------------------------------------------

    def _leaf(self, item: DesiredCertificate, authorities: Mapping[CA, CACertificates]) -> Iterator[str]:
        """Faults of a returned leaf, by the checks that a plan makes of files on the disk."""
        chain = self._chains[item.id]
        issuer = authorities.get(item.issuer) if item.issuer is not None else None
        if issuer is None:
            yield f"there is no {item.issuer} CA that could have signed it"
            return
        sent = issuer.chain if PROFILES[item.profile].sends_chain else ()
        case = self._case(item, chain, self._key(item), issuer=issuer.certificate, sent=sent)
        yield from (finding.detail for finding in examine(case))
        yield from self._too_long(item, chain[0])

    def _case(
        self,
        item: DesiredCertificate,
        chain: tuple[x509.Certificate, ...],
        key: bytes | None,
        *,
        issuer: x509.Certificate | None,
        sent: tuple[x509.Certificate, ...],
    ) -> Case:
        """A certificate of the answer as if it were on the disk already."""
        observed = ObservedCertificate(
            certificate=chain[0],
            chain=chain[1:],
            public_key=key,
            certificate_fault=None,
            key_fault=None,
            modes=(),
        )
        return Case(
            desired=item,
            observed=observed,
            issuer=issuer,
            issuer_replaced=False,
            chain=sent,
            now=self._now,
            # Nothing that has only just come is due.
            renew_within=timedelta(),
        )

    @staticmethod
    def _too_long(item: DesiredCertificate, certificate: x509.Certificate) -> Iterator[str]:
        """A validity longer than the spec's, apart from the minutes by which certificates are backdated."""
        # Not from now on: an answer may have been carried for days.
        life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        if life > item.validity + BACKDATE:
            yield f"it is valid for longer than the {format_duration(item.validity)} of the spec"


def _require(faults: Iterable[str]) -> None:
    """Refuse an answer with any faults, telling all at once: carrying a medium again is a day's work."""
    found = tuple(faults)
    if found:
        raise RefusedAnswerError(found)
