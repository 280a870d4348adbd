"""Carry out a plan: issue → render → stage → look at the staged tree again → commit.

The whole of it happens in one transaction of the store. Before the commit the staged tree is planned again
with the same checks; anything left to do would mean a fault of pkigen's own, and nothing is committed.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.age import is_sealed
from pkigen.crypto.ca_fitness import has_name_constraints
from pkigen.crypto.issuance import Issued, Issuer, certificate_pem, issue, issue_for, renew_root
from pkigen.crypto.key_makers import generated
from pkigen.crypto.keys import (
    KeyAlgorithm,
    PrivateKey,
    algorithm_of,
    load_own_private,
    load_private,
    private_pem,
    public_pem,
)
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.crypto.profiles import PROFILES
from pkigen.crypto.service_account_tokens import Claims, in_kubeconfig, token_facts
from pkigen.crypto.service_account_tokens import read as read_token
from pkigen.crypto.service_account_tokens import sign as sign_token
from pkigen.desired.generations import (
    CA,
    CertificateFile,
    InKubeconfig,
    KeyPairFiles,
    Slot,
    ca_id,
    ca_location,
    sa_path,
)
from pkigen.desired.inventory import Inventory, private_paths
from pkigen.desired.items import (
    Desired,
    DesiredCertificate,
    DesiredCopy,
    DesiredFile,
    DesiredKeyPair,
    DesiredKubeconfig,
    DesiredSecret,
    DesiredToken,
    MaterialKind,
    content_of,
    identifier_of,
)
from pkigen.errors import AuthorityError, StoreError
from pkigen.reconcile.lock_builder import LockBuilder
from pkigen.reconcile.make import Approved, Delivery, Made, Tools
from pkigen.reconcile.plan import Action, Create, Keep, Plan, Reissue, Remove, Renew
from pkigen.reconcile.survey import Survey
from pkigen.reconcile.surveyed import Selection, certificate_modes
from pkigen.state.authority import CACertificates, certificates_of, load_all, load_issuer
from pkigen.state.ledger import Event, LedgerEntry, appended, mismatch, read_ledger
from pkigen.state.lockfile import certificate_facts, read_lock
from pkigen.state.materials import Materials
from pkigen.state.observed import (
    KEY_PLACEHOLDER,
    Fault,
    client_key_pem,
    observe_certificate,
    parse_certificates,
    read_file,
)
from pkigen.state.reasons import Reason
from pkigen.state.seals import LARGEST_RECORD, digest
from pkigen.state.views import Opened, StagedView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cryptography import x509

    from pkigen.crypto.keys import PublicKey
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
    reuse_keys: bool = False,
    inspect: Callable[[StagedView], None] | None = None,
    delivery: Delivery | Approved | None = None,
    held: frozenset[str] = frozenset(),
) -> Applied:
    """Carry out a plan, wholly or not at all.

    Args:
        plan: What to do; it must have been made from this inventory and store.
        inventory: What must exist.
        store: The PKI directory, held exclusively.
        tools: Clock, random source, templates, progress.
        reuse_keys: Whether renewals and rotations keep the leaves' private keys, where these can be read.
        inspect: Looks at the staged tree, and raises where it must not be committed.
        delivery: What has come by file: what the offline authority has issued, put in place instead of being
            issued here; or the keys that nodes have asked to certify.
        held: The ids of what is left as it is for a later plan.

    Raises:
        StoreError: The tree could not be written; it is unchanged.
        AuthorityError: A CA cannot sign.
    """
    with store.transaction() as transaction:
        work = _Work(
            plan,
            inventory,
            store,
            transaction,
            tools,
            reuse_keys=reuse_keys,
            delivery=delivery,
            held=held,
        )
        work.stage()
        if inspect is not None:
            inspect(work.view)
        return work.commit()


def rehearse(
    plan: Plan, inventory: Inventory, store: Store, tools: Tools, *, inspect: Callable[[StagedView], None]
) -> None:
    """Stage a plan, show the tree that it would give to `inspect`, and discard it."""
    with store.transaction() as transaction:
        work = _Work(plan, inventory, store, transaction, tools, reuse_keys=False)
        work.stage()
        inspect(work.view)


class _Work:
    """One application of a plan: the state that its steps share."""

    def __init__(
        self,
        plan: Plan,
        inventory: Inventory,
        store: Store,
        transaction: Transaction,
        tools: Tools,
        *,
        reuse_keys: bool,
        delivery: Delivery | Approved | None = None,
        held: frozenset[str] = frozenset(),
    ) -> None:
        self._plan = plan
        self._inventory = inventory
        self._store = store
        self._transaction = transaction
        self._tools = tools
        self._reuse_keys = reuse_keys
        self._delivery = delivery if isinstance(delivery, Delivery) else None
        self._held = held
        self._vault = tools.vault
        self.view = StagedView(store, transaction, self._vault)
        self._opened = Opened(self.view, self._vault)
        self._private = frozenset(private_paths(inventory))
        self._issuers: dict[CA, Issuer] = {}
        self._authorities: dict[CA, CACertificates] = {}
        self._materials = Materials(self._opened, self._authorities)
        self._outcome = Made()
        self._judge = PathVerifier(tools.now)
        self._requested: Mapping[str, PublicKey] = {}
        if isinstance(delivery, Approved):
            self._requested = delivery.keys
            self._outcome.entries.extend(delivery.entries)

    def stage(self) -> None:
        """Stage everything, and look at it again."""
        self._move()
        changes = {action.id: action for action in self._plan.changes if action.id not in self._held}
        pending = [
            item
            for item in self._inventory.items
            if not isinstance(item, DesiredKubeconfig) and identifier_of(item) in changes
        ]
        progress = self._tools.progress
        with generated(self._algorithms(pending, changes), self._tools.makers) as keys:
            # Only now: showing progress may start a thread, and a process with threads should not fork.
            progress.begin("issuing and rendering", len(pending))
            for item in pending:
                self._carry_out(item, changes[identifier_of(item)], keys)
                progress.step()
        for action in changes.values():
            if isinstance(action, Remove):
                self._remove(action)
        if self._delivery is not None:
            self._receive(self._delivery)
        self._finish()

    def commit(self) -> Applied:
        """Put it all in place."""
        backup = self._transaction.commit(keep_backups=self._inventory.cluster.spec.backups.keep)
        return Applied(issued=tuple(self._outcome.issued), capped=tuple(self._outcome.capped), backup=backup)

    def _move(self) -> None:
        for identifier, step in self._plan.rotated.items():
            self._outcome.entries.append(
                LedgerEntry(event=Event.ROTATED, id=identifier, reason=Reason.ROTATION, facts={"step": step})
            )
        targets = {move.target for move in self._plan.moves}
        for move in self._plan.moves:
            if move.target is not None:
                content = self._store.read(move.source)
                self._stage(move.target, content.mode, content.data)
        for move in self._plan.moves:
            if move.source not in targets:
                self._transaction.remove(move.source)
                self.view.hide(move.source)

    # -- keys -----------------------------------------------------------------------------------------

    def _algorithms(self, pending: Iterable[Desired], changes: dict[str, Action]) -> Iterator[KeyAlgorithm]:
        for item in pending:
            if isinstance(item, DesiredCertificate | DesiredKeyPair) and self._needs_key(
                item, changes[identifier_of(item)]
            ):
                yield item.key_algorithm

    def _needs_key(self, item: DesiredCertificate | DesiredKeyPair, action: Action) -> bool:
        if not isinstance(action, Create | Renew | Reissue):
            return False
        if isinstance(item, DesiredCertificate) and item.key_is_elsewhere:
            return False
        if isinstance(item, DesiredCertificate) and item.issuer is None and isinstance(action, Renew):
            return False
        if isinstance(item, DesiredCertificate) and self._inventory.is_signed_offline(item):
            return False  # the request was made with it
        return not (isinstance(item, DesiredCertificate) and self._reused_key(item, action) is not None)

    def _reused_key(self, item: DesiredCertificate, action: Action) -> PrivateKey | None:
        replaced = isinstance(action, Reissue) and action.reason is Reason.ISSUER_REPLACED
        if not self._reuse_keys or not (isinstance(action, Renew) or replaced):
            return None
        key = load_own_private(self._key_pem(item))
        return key if algorithm_of(key) is item.key_algorithm else None

    def _key_pem(self, item: DesiredCertificate) -> bytes:
        match item.location:
            case KeyPairFiles() as files:
                return self._opened.read(files.key).data
            case InKubeconfig() as place:
                return client_key_pem(self.view.read(place.kubeconfig).data) or b""
            case CertificateFile():
                raise AuthorityError(f"the private key of {item.id} is not here")

    # -- one object -----------------------------------------------------------------------------------

    def _carry_out(self, item: Desired, action: Action, keys: Iterator[PrivateKey]) -> None:
        match item:
            case DesiredCertificate():
                self._certificate(item, action, keys)
            case DesiredKeyPair():
                self._key_pair(item, action, keys)
            case DesiredSecret():
                self._secret(item, action)
            case DesiredToken():
                self._token(item, action)
            case DesiredCopy() | DesiredFile():
                self._stage(item.path, item.mode, self._content(item))
            case _:  # pragma: no cover -- kubeconfigs have no action of their own
                raise AssertionError(item)

    def _certificate(self, item: DesiredCertificate, action: Action, keys: Iterator[PrivateKey]) -> None:
        if not isinstance(action, Create | Renew | Reissue):
            self._rewrite(item, action)
            return
        if self._inventory.is_signed_offline(item):
            self._deliver(item, action)
            return
        issuer = self._issuer(item.issuer) if item.issuer is not None else None
        if issuer is None and isinstance(action, Renew):
            self._renew_authority(item, action)
            return
        if issuer is not None and item.key_is_elsewhere:
            self._certify(item, action, issuer)
            return
        key = self._reused_key(item, action) or next(keys)
        issued = issue(
            content_of(item),
            key=key,
            issuer=issuer,
            now=self._tools.now,
            entropy=self._tools.entropy,
        )
        certificate = certificate_pem(issued.certificate, *self._chain_after(item))
        self._place(item, certificate, private_pem(key))
        self._record(item, issued, action)

    def _certify(self, item: DesiredCertificate, action: Action, issuer: Issuer) -> None:
        """Certify a key that only the item's node has."""
        issued = issue_for(
            content_of(item),
            public_key=self._requested[item.id],
            issuer=issuer,
            now=self._tools.now,
            entropy=self._tools.entropy,
        )
        self._place(item, certificate_pem(issued.certificate, *self._chain_after(item)), None)
        self._record(item, issued, action)

    def _deliver(self, item: DesiredCertificate, action: Action) -> None:
        """Put a certificate of the offline authority in place."""
        delivered = self._delivery.certificates.get(item.id) if self._delivery is not None else None
        if delivered is None:
            raise AuthorityError(
                f"only the offline authority can issue {item.id}",
                hint="ask it: `pkigen authority request SPEC`",
            )
        self._place(item, delivered.certificate, delivered.key)
        certificates = parse_certificates(delivered.certificate)
        if isinstance(certificates, str):
            raise AuthorityError(f"the certificate for {item.id} {certificates}")
        self._outcome.issued.append(item.id)
        facts = certificate_facts(certificates[0])
        self._outcome.entries.append(
            LedgerEntry(event=Event.DELIVERED, id=item.id, reason=action.reason, facts=facts)
        )

    def _receive(self, delivery: Delivery) -> None:
        for path, content in delivery.files.items():
            self._stage(path, layout.PUBLIC_MODE, content)
        self._transaction.remove(delivery.spent)
        self.view.hide(delivery.spent)
        self._outcome.entries.append(delivery.entry)

    def _renew_authority(self, item: DesiredCertificate, action: Action) -> None:
        """The same key and subject with a new validity: whatever the CA has signed stays good."""
        observed = observe_certificate(self.view, item.location)
        certificate = observed.certificate
        if certificate is None or certificate.subject != certificate.issuer:
            raise AuthorityError(
                f"{item.id} is not self-signed: only whoever signed it can renew it",
                hint="have it renewed there, and put the new certificate in its place",
            )
        key = load_own_private(self._key_pem(item))
        issued = renew_root(
            certificate, key=key, validity=item.validity, now=self._tools.now, entropy=self._tools.entropy
        )
        self._place(item, certificate_pem(issued.certificate), self._key_pem(item))
        self._record(item, issued, action)

    def _place(self, item: DesiredCertificate, certificate: bytes, key: bytes | None) -> None:
        if isinstance(item.location, InKubeconfig):
            kubeconfig = self._inventory.kubeconfigs[item.location.kubeconfig]
            self._authority(kubeconfig.trust)
            trust = self._materials.of(MaterialKind.TRUST_BUNDLE, kubeconfig.trust) or b""
            if key is None:
                key = KEY_PLACEHOLDER if item.key_is_elsewhere else self._key_pem(item)
            content = self._tools.renderer.kubeconfig(
                kubeconfig, trust_bundle=trust, certificate=certificate, key=key
            )
            self._stage(kubeconfig.path, layout.KUBECONFIG_MODE, content)
            return
        if isinstance(item.location, KeyPairFiles) and key is not None and item.issuer is None:
            self._stage_private(item.location.key, key)
        elif isinstance(item.location, KeyPairFiles) and key is not None:
            self._stage(item.location.key, layout.KEY_MODE, key)
        self._stage(item.location.certificate, layout.CERTIFICATE_MODE, certificate)

    def _require_permitted(self, item: DesiredCertificate, certificate: x509.Certificate) -> None:
        """A CA of the user's may be constrained to names that are not this cluster's (RFC 5280 4.2.1.10)."""
        if item.issuer is None:
            return
        anchor = self._issuer(item.issuer).certificate
        if not has_name_constraints(anchor):
            return
        name = next((name for name in item.sans.texts() if not name.startswith("*.")), None)
        refusal = (
            self._judge.client((certificate,), (anchor,))
            if name is None
            else self._judge.server((certificate,), (anchor,), name)
        )
        if refusal is not None:
            raise AuthorityError(
                f"{ca_location(item.issuer).certificate} must not sign {item.id}: {refusal}",
                hint="bring a CA whose name constraints permit every name and address of the cluster",
            )

    def _record(self, item: DesiredCertificate, issued: Issued, action: Action) -> None:
        self._require_permitted(item, issued.certificate)
        self._outcome.issued.append(item.id)
        if issued.capped:
            self._outcome.capped.append(item.id)
        facts = certificate_facts(issued.certificate)
        self._outcome.entries.append(
            LedgerEntry(event=Event.ISSUED, id=item.id, reason=action.reason, facts=facts)
        )

    def _rewrite(self, item: DesiredCertificate, action: Action) -> None:
        """The certificate and its key stay; the modes or the kubeconfig around them change."""
        if action.reason is Reason.MODE:
            self._modes(certificate_modes(item))
            return
        observed = observe_certificate(self.view, item.location)
        if observed.certificate is not None:
            chain = self._chain_after(item)
            self._place(item, certificate_pem(observed.certificate, *chain), None)

    def _key_pair(self, item: DesiredKeyPair, action: Action, keys: Iterator[PrivateKey]) -> None:
        if action.reason is Reason.NOT_SEALED:
            return  # what lies open is sealed in the end
        if action.reason is Reason.MODE:
            self._modes({item.private_path: layout.KEY_MODE, item.public_path: layout.PUBLIC_MODE})
            return
        if isinstance(action, Create | Reissue):
            key = next(keys)
            self._stage_private(item.private_path, private_pem(key))
            self._outcome.issued.append(item.id)
            self._outcome.entries.append(
                LedgerEntry(event=Event.KEY_MADE, id=item.id, reason=action.reason, facts={})
            )
        else:
            key = load_private(self._opened.read(item.private_path).data)
            self._modes({item.private_path: layout.KEY_MODE})
        self._stage(item.public_path, layout.PUBLIC_MODE, public_pem(key))

    def _secret(self, item: DesiredSecret, action: Action) -> None:
        if action.reason is Reason.NOT_SEALED:
            return
        if action.reason is Reason.MODE:
            self._modes({item.path: layout.SECRET_MODE})
            return
        content = base64.b64encode(self._tools.entropy(item.size))
        self._stage_private(item.path, content)
        self._outcome.issued.append(item.id)
        self._outcome.entries.append(
            LedgerEntry(event=Event.KEY_MADE, id=item.id, reason=action.reason, facts={})
        )

    def _token(self, item: DesiredToken, action: Action) -> None:
        if action.reason is Reason.MODE:
            self._modes({item.path: layout.KUBECONFIG_MODE})
            return
        if isinstance(action, Create | Renew | Reissue):
            token = self._signed(item)
            self._outcome.issued.append(item.id)
            facts = token_facts(read_token(token))
            self._outcome.entries.append(
                LedgerEntry(event=Event.SIGNED, id=item.id, reason=action.reason, facts=facts)
            )
        else:
            token = in_kubeconfig(self.view.read(item.path).data) or ""
        self._authority(item.trust)
        trust = self._materials.of(MaterialKind.TRUST_BUNDLE, item.trust) or b""
        content = self._tools.renderer.token_kubeconfig(item, trust_bundle=trust, token=token)
        self._stage(item.path, layout.KUBECONFIG_MODE, content)

    def _signed(self, item: DesiredToken) -> str:
        key = load_own_private(self._opened.read(sa_path(Slot.CURRENT, layout.SA_PRIVATE_KEY)).data)
        claims = Claims(
            issuer=item.issuer,
            namespace=item.namespace,
            account=item.account,
            uid=item.uid,
            audiences=item.audiences,
            not_before=self._tools.now.replace(microsecond=0),
            validity=item.validity,
        )
        return sign_token(claims, key, entropy=self._tools.entropy)

    def _content(self, item: DesiredCopy | DesiredFile) -> bytes:
        if isinstance(item, DesiredFile):
            secrets = self._materials.encryption_keys(self._inventory.rotations) if item.secret else ()
            return self._tools.renderer.file(item, secrets=secrets or ())
        if item.ca is not None:
            self._authority(item.ca)
        content = self._materials.for_copy(item)
        if content is None:
            raise AuthorityError(f"the authority has no {item.material} for {item.path}")
        return content

    def _remove(self, action: Remove) -> None:
        for path in action.paths:
            self._transaction.remove(path)
            self.view.hide(path)
        self._outcome.entries.append(
            LedgerEntry(
                event=Event.REMOVED,
                id=action.id,
                reason=action.reason,
                facts={"paths": list(action.paths)},
            )
        )

    # -- the authority --------------------------------------------------------------------------------

    def _authority(self, ca: CA) -> CACertificates:
        if ca not in self._authorities:
            certificates = certificates_of(self.view, self._inventory, ca, now=self._tools.now)
            if certificates is None:
                raise AuthorityError(f"the authority has no {ca_id(ca)} CA")
            self._authorities[ca] = certificates
        return self._authorities[ca]

    def _chain_after(self, item: DesiredCertificate) -> tuple[x509.Certificate, ...]:
        """What the holder of a leaf sends after it."""
        if item.issuer is None or not PROFILES[item.profile].sends_chain:
            return ()
        return self._authority(item.issuer).chain

    def _issuer(self, ca: CA) -> Issuer:
        if ca not in self._issuers:
            self._issuers[ca] = load_issuer(self._opened, ca, self._authority(ca))
        return self._issuers[ca]

    # -- staging --------------------------------------------------------------------------------------

    def _stage(self, path: str, mode: int, content: bytes) -> None:
        self._transaction.stage(path, mode=mode, content=content)
        self.view.note(path)

    def _stage_private(self, path: str, content: bytes) -> None:
        """A private file of the authority: no byte of it reaches the disk but through the vault."""
        sealed = self._vault.close(path, content)
        self._transaction.stage(path, mode=layout.KEY_MODE, content=sealed, backup=self._may_be_kept(path))
        self.view.note(path)

    def _may_be_kept(self, path: str) -> bool:
        """Where keys are sealed, an open one that is replaced must not live on in a backup."""
        present = read_file(self._store, path)
        return not self._vault.seals or isinstance(present, Fault) or is_sealed(present.data)

    def _seal(self) -> None:
        """Seal what lies open, and put the vault's own files beside the keys."""
        present = {
            path: content.data
            for path in private_paths(self._inventory)
            if not isinstance(content := read_file(self.view, path), Fault)
        }
        if self._vault.seals:
            for path in (path for path, data in present.items() if not is_sealed(data)):
                self._stage_private(path, present[path])
                present[path] = self.view.read(path).data
        for path, data in present.items():
            self._vault.open(path, data)  # what cannot be opened again must not be committed
        for path, wanted in self._vault.files({digest(data) for data in present.values()}).items():
            before = read_file(self._store, path, limit=LARGEST_RECORD)
            if isinstance(before, Fault) or before.data != wanted:
                self._stage(path, layout.SECRET_MODE, wanted)

    def _modes(self, modes: dict[str, int]) -> None:
        for path, mode in modes.items():
            if path in self._private and not self._may_be_kept(path):
                continue  # it is sealed in the end, and gets its mode with that
            if self._store.read(path).mode != mode:
                self._transaction.stage_mode(path, mode=mode)
                self.view.note(path)

    def _finish(self) -> None:
        """Look at the staged tree with the planner's own eyes, then write the ledger and the lock file."""
        self._seal()
        lock = LockBuilder(inventory=self._inventory)
        survey = Survey(
            inventory=self._inventory,
            reader=self.view,
            renderer=self._tools.renderer,
            authorities=load_all(self.view, self._inventory, now=self._tools.now),
            now=self._tools.now,
            selection=Selection(within=timedelta()),
        )
        issued = set(self._outcome.issued)
        self._tools.progress.begin("verifying", len(self._inventory.items))
        for surveyed in survey.objects():
            action = surveyed.action
            # What has expired but was not asked for (`renew cp-1/apiserver`) is no fault.
            left_alone = (isinstance(action, Renew) and action.id not in issued) or action.id in self._held
            if not isinstance(action, Keep) and not left_alone:
                raise StagedTreeError(action)
            lock.add(surveyed)
            self._tools.progress.step()
        existing, known = read_ledger(self._store), read_lock(self._store)
        gap = mismatch(existing, known.ledger) if known is not None else None
        entries = [*([gap] if gap else []), *self._outcome.entries]
        ledger, head = appended(existing, entries, now=self._tools.now)
        self._transaction.stage(layout.LEDGER_FILE, mode=layout.SECRET_MODE, content=ledger, backup=False)
        self._transaction.stage(layout.LOCK_FILE, mode=layout.PUBLIC_MODE, content=lock.encode(head))


class StagedTreeError(StoreError):
    """The staged tree is not what the spec asks for; nothing was committed."""

    def __init__(self, action: Action) -> None:
        details = "; ".join(action.details)
        super().__init__(
            f"the staged tree still needs a change: {action.verb} {action.id} ({details})",
            hint="nothing was changed; if nobody else writes to this directory, this is a fault of pkigen",
        )


def _with_chain(item: DesiredCertificate, issued: Issued, issuer: Issuer | None) -> bytes:
    """A certificate as its holder sends it."""
    chain = issuer.chain if issuer is not None and PROFILES[item.profile].sends_chain else ()
    return certificate_pem(issued.certificate, *chain)
