"""The offline side's directory: a root or the CAs, the key that signs answers, and what was answered.

authority.json                    the cluster that the authority belongs to
pki/root.{crt,key}                the root (caKeys: site), or
pki/ca.*, pki/etcd/ca.*, pki/front-proxy-ca.*   the CAs (caKeys: offline)
pki/bundle.key                    signs what is carried back
pki/site.pin                      the fingerprint of the site's key, once a person has compared it
answers/<nonce>.answer            what was answered: the same request gets the same answer
.pkigen/                          lock, journal, backups, ledger
"""

from __future__ import annotations

import base64
from dataclasses import field
from datetime import timedelta
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.airgap.carrier.cluster_key import bundle_key
from pkigen.airgap.offline.description import (
    DESCRIPTION,
    Described,
    encode_description,
    read_description,
    require_owner,
)
from pkigen.crypto.ca_fitness import unfit
from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue, renew_root
from pkigen.crypto.key_makers import generated
from pkigen.crypto.keys import UnsupportedKeyError, load_private, private_pem
from pkigen.crypto.names import SANs, Subject, is_self_issued
from pkigen.crypto.profiles import Profile
from pkigen.desired.generations import BUNDLE_KEY_PATH, BUNDLE_KEY_SIZE, CA, KeyPairFiles, ca_id
from pkigen.desired.items import content_of
from pkigen.errors import AuthorityError, BundleError, UsageError
from pkigen.notation import suggestion
from pkigen.records import dataclass
from pkigen.spec.certificates import CAKeys
from pkigen.state.authority import CACertificates
from pkigen.state.authority_identities import observe_authority
from pkigen.state.authority_record import require_recorded
from pkigen.state.ledger import (
    Event,
    LedgerEntry,
    appended,
    read_ledger,
    recorded_authorities,
    recorded_entry,
)
from pkigen.state.lockfile import certificate_facts
from pkigen.state.observed import observe_certificate
from pkigen.state.reasons import Reason
from pkigen.state.vault import PlainVault
from pkigen.state.views import StagedView
from pkigen.store import MissingError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from cryptography import x509

    from pkigen.airgap.carrier.bundle_key import BundleKey
    from pkigen.crypto.algorithms import KeyAlgorithm
    from pkigen.crypto.keys import PrivateKey
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import DesiredCertificate
    from pkigen.reconcile.workbench import Tools
    from pkigen.state.observed import Reader
    from pkigen.store import Store, Transaction

SITE_PIN = "pki/site.pin"
ROOT = "root"
_ROOT_FILES = KeyPairFiles(certificate="pki/root.crt", key="pki/root.key")
KEEP_BACKUPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineAuthority:
    """An offline authority that was opened: what it signs with.

    `issuers` are by the id of a CA; with the CA keys at the site there is one, `root`. `files` is what peers
    are given of each: its certificate and those above it.
    """

    described: Described
    key: BundleKey = field(repr=False)
    issuers: Mapping[str, Issuer]
    files: Mapping[str, tuple[x509.Certificate, ...]]

    def issuer_of(self, item: DesiredCertificate) -> Issuer:
        """Who signs a certificate."""
        return self.issuers[ROOT if item.issuer is None else ca_id(item.issuer)]


# -- making -----------------------------------------------------------------------------------------------


def root_validity_of(inventory: Inventory, given: timedelta | None) -> timedelta:
    """How long a new root lives: twice as long as the CAs below it, unless somebody says otherwise.

    Raises:
        UsageError: Somebody does, and there is no root.
    """
    if given is None:
        # So long that each CA below it can be renewed once for its whole validity.
        return 2 * inventory.cluster.spec.certificates.ca_validity
    if inventory.ca_keys is CAKeys.OFFLINE:
        raise UsageError(
            "--root-validity can only be used with caKeys: site", hint="with caKeys: offline there is no root"
        )
    return given


def require_own(store: Reader) -> None:
    """Sign only with the CAs that the ledger of this directory records.

    Raises:
        AuthorityError: They are others.
    """
    require_recorded(
        store, way="another authority is made in another directory: `pkigen airgap authority init`"
    )


def require_known(names: Collection[str], opened: OfflineAuthority) -> None:
    """Refuse the name of a CA that this authority has not.

    Raises:
        UsageError: There is one.
    """
    for name in names:
        if name not in opened.issuers:
            raise UsageError(
                f"this authority has no CA {name!r}",
                hint=suggestion(name, opened.issuers) or f"choose from {', '.join(opened.issuers)}",
            )


def make(
    inventory: Inventory,
    store: Store,
    tools: Tools,
    *,
    root_validity: timedelta,
    fleet: str | None = None,
) -> None:
    """Make an offline authority, wholly or not at all; what a person has brought is used.

    Args:
        inventory: Of the cluster that it is for, or of one of a fleet.
        store: The directory, held alone.
        tools: Clock, random source.
        root_validity: How long the root lives, where there is one.
        fleet: The fleet above whose clusters the root is to be.

    Raises:
        AuthorityError: What was brought is unfit.
        StoreError: The directory could not be written; it is unchanged.
    """
    name = fleet or inventory.cluster.name
    described = Described(cluster=name, ca_keys=inventory.ca_keys, is_shared=fleet is not None)
    with store.transaction() as transaction:
        entries = [
            _make_authority(wish, transaction, tools)
            for wish in _planned_cas(inventory, root_validity, name)
            if not _is_brought(store, wish.files, now=tools.now)
        ]
        if not _has(store, BUNDLE_KEY_PATH):
            seed = base64.b64encode(tools.entropy(BUNDLE_KEY_SIZE))
            transaction.stage(BUNDLE_KEY_PATH, mode=layout.SECRET_MODE, content=seed)
            entries.append(LedgerEntry(event=Event.KEY_MADE, id="bundle-key", reason=None, facts={}))
        description = encode_description(described)
        transaction.stage(DESCRIPTION, mode=layout.PUBLIC_MODE, content=description)
        record_entries(store, transaction, entries, now=tools.now)
        transaction.commit(keep_backups=KEEP_BACKUPS)


def renew_all(
    identifiers: Sequence[str],
    authority: OfflineAuthority,
    inventory: Inventory,
    store: Store,
    tools: Tools,
    *,
    root_validity: timedelta,
) -> None:
    """Give CAs of the authority a new validity, all of them or none.

    Raises:
        AuthorityError: One was signed by somebody else.
    """
    name = authority.described.cluster
    wishes = {wish.id: wish for wish in _planned_cas(inventory, root_validity, name)}
    entries: list[LedgerEntry] = []
    with store.transaction() as transaction:
        # A name that is given twice is renewed once.
        for identifier in dict.fromkeys(identifiers):
            wish, issuer = wishes[identifier], authority.issuers[identifier]
            if not is_self_issued(issuer.certificate):
                raise AuthorityError(
                    f"{identifier} is not self-signed: only its issuer can renew it",
                    hint=f"have its issuer renew it, and replace {wish.files.certificate}",
                )
            issued = renew_root(
                issuer.certificate,
                key=issuer.key,
                validity=wish.content.validity,
                now=tools.now,
                entropy=tools.entropy,
            )
            content = certificate_pem(issued.certificate)
            transaction.stage(wish.files.certificate, mode=layout.CERTIFICATE_MODE, content=content)
            facts = certificate_facts(issued.certificate)
            entries.append(
                LedgerEntry(event=Event.ISSUED, id=identifier, reason=Reason.REQUESTED, facts=facts)
            )
        record_entries(store, transaction, entries, now=tools.now)
        transaction.commit(keep_backups=KEEP_BACKUPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _PlannedCA:
    """A CA that the authority is to have."""

    id: str
    files: KeyPairFiles
    content: CertificateContent
    key_algorithm: KeyAlgorithm


def root_name(owner: str) -> str:
    """What the root of a cluster or a fleet is called: its end, where a certificate cannot hold more."""
    # X.520 allows 64 characters (RFC 5280 appendix A.1, ub-common-name), pyca 64 octets of UTF-8.
    return f"{owner}-root".encode()[-64:].decode(errors="ignore").strip()


def _planned_cas(inventory: Inventory, root_validity: timedelta, owner: str) -> Iterator[_PlannedCA]:
    """The root, where the site has the CA keys, or else the CAs of the cluster themselves."""
    cluster = inventory.cluster
    if inventory.ca_keys is CAKeys.SITE:
        yield _PlannedCA(
            id=ROOT,
            files=_ROOT_FILES,
            content=CertificateContent(
                subject=Subject(common_name=root_name(owner)),
                sans=SANs(),
                profile=Profile.OFFLINE_ROOT,
                validity=root_validity,
            ),
            key_algorithm=cluster.spec.certificates.key_algorithm,
        )
        return
    for ca in inventory.authorities:
        item = inventory.certificates[ca_id(ca)]
        yield _PlannedCA(
            id=item.id,
            files=ca_files(ca),
            content=content_of(item),
            key_algorithm=item.key_algorithm,
        )


def ca_files(ca: CA) -> KeyPairFiles:
    """Where the offline side keeps a CA."""
    stem = layout.authority_path(ca)
    return KeyPairFiles(certificate=f"{stem}.crt", key=f"{stem}.key")


def _is_brought(store: Store, files: KeyPairFiles, *, now: datetime) -> bool:
    """Whether a CA exists already; refused where it cannot sign."""
    if not _has(store, files.certificate) and not _has(store, files.key):
        return False
    _chain(store, files, now=now)
    return True


def _make_authority(wish: _PlannedCA, transaction: Transaction, tools: Tools) -> LedgerEntry:
    """Make a CA that signs itself, and the line that records it."""
    with generated((wish.key_algorithm,), tools.makers) as keys:
        key = next(keys)
    issued = issue(wish.content, key=key, issuer=None, now=tools.now, entropy=tools.entropy)
    transaction.stage(wish.files.key, mode=layout.KEY_MODE, content=private_pem(key))
    transaction.stage(
        wish.files.certificate, mode=layout.CERTIFICATE_MODE, content=certificate_pem(issued.certificate)
    )
    return LedgerEntry(
        event=Event.ISSUED, id=wish.id, reason=None, facts=certificate_facts(issued.certificate)
    )


def _has(reader: Reader, path: str) -> bool:
    """Whether there is a file; one that cannot be read raises."""
    try:
        reader.read(path)
    except MissingError:
        return False
    return True


# -- opening ----------------------------------------------------------------------------------------------


def open_authority(
    inventory: Inventory,
    reader: Reader,
    *,
    now: datetime,
    revived: Collection[str] = (),
    fleet: str | None = None,
) -> OfflineAuthority:
    """Read what an offline authority signs with.

    Args:
        inventory: Of the cluster that it is for, or of one of a fleet.
        reader: The directory.
        now: The present, in UTC.
        revived: CAs that are about to get a new validity: that they have ended is no obstacle.
        fleet: The fleet above whose clusters it is.

    Raises:
        BundleError: The directory is none, or another cluster's.
        AuthorityError: A CA is missing or unfit.
    """
    described = _require_description(reader, inventory, fleet)
    places = _places(inventory)
    chains = {
        identifier: _chain(reader, files, now=None if identifier in revived else now)
        for identifier, files in places.items()
    }
    return OfflineAuthority(
        described=described,
        key=bundle_key(reader),
        issuers={
            identifier: _issuer(chains[identifier], _private_key(reader, files.key))
            for identifier, files in places.items()
        },
        files=chains,
    )


def _require_description(reader: Reader, inventory: Inventory, fleet: str | None) -> Described:
    """Before anything is opened: with the wrong authority every certificate would be refused later."""
    described = read_description(reader)
    if described is None:
        raise BundleError(
            f"there is no {DESCRIPTION}: this is not the directory of an offline authority",
            hint="make one with `pkigen airgap authority init SPEC`, or give it with --authority",
        )
    cluster = inventory.cluster
    require_owner(described, fleet or cluster.name, is_shared=fleet is not None)
    if described.ca_keys is not inventory.ca_keys:
        raise BundleError(
            f"this authority was made for caKeys: {described.ca_keys}, and the spec has {inventory.ca_keys}",
            hint="nothing was signed; a different caKeys needs another authority",
        )
    return described


def _places(inventory: Inventory) -> dict[str, KeyPairFiles]:
    """What the authority signs with, by id: one root above the site's own CAs, or the CAs themselves."""
    if inventory.ca_keys is CAKeys.SITE:
        return {ROOT: _ROOT_FILES}
    return {ca_id(ca): ca_files(ca) for ca in inventory.authorities}


def _issuer(chain: tuple[x509.Certificate, ...], key: PrivateKey) -> Issuer:
    signer = CACertificates.of_chain(chain)
    return Issuer(certificate=signer.certificate, key=key, chain=signer.chain)


def _chain(reader: Reader, files: KeyPairFiles, *, now: datetime | None) -> tuple[x509.Certificate, ...]:
    """A CA that is there, and what stands above it; without a present its end is no matter.

    Raises:
        AuthorityError: It is not whole, or cannot sign.
    """
    observed = observe_certificate(reader, files)
    for fault in (observed.certificate_fault, observed.key_fault):
        if fault is not None:
            raise AuthorityError(f"{fault.path} {fault.message}", hint="an authority has both files of a CA")
    chain = tuple(link for link in (observed.certificate, *observed.chain) if link is not None)
    # A second before the first link ends, everything about the chain is judged but its end.
    moment = now or min(link.not_valid_after_utc for link in chain) - timedelta(seconds=1)
    # The site's CAs must fit below a root's path length (RFC 5280 4.2.1.9).
    below = 1 if files == _ROOT_FILES else 0
    reason = unfit(chain, public_key=observed.public_key, now=moment, below=below)
    if reason is not None:
        raise AuthorityError(
            f"{files.certificate} is unfit to sign: {reason}", hint="provide a CA that is fit"
        )
    return chain


def _private_key(reader: Reader, path: str) -> PrivateKey:
    """The key of a CA; raises `AuthorityError` where it cannot sign."""
    try:
        return load_private(reader.read(path).data)
    except UnsupportedKeyError as error:
        raise AuthorityError(f"{path} {error}") from None


# -- recording --------------------------------------------------------------------------------------------


def record_entries(
    store: Store, transaction: Transaction, entries: list[LedgerEntry], *, now: datetime
) -> None:
    """Record this transaction's events in the ledger, and the keys that the authority then has."""
    view = StagedView(store, transaction, PlainVault())
    for path in transaction.staged_paths:
        view.note(path)
    existing, authority = read_ledger(store), observe_authority(view)
    # As a slice, so that an authority that was never recorded differs as well.
    if (authority,) != recorded_authorities(existing)[-1:]:
        entries = [*entries, recorded_entry("", authority)]
    ledger, _ = appended(existing, entries, now=now)
    # No backup: the ledger is only appended to, so an older one says nothing that this one does not.
    transaction.stage(layout.LEDGER_FILE, mode=layout.SECRET_MODE, content=ledger, backup=False)
