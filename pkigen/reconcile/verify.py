"""Is the tree on disk the one that the spec asks for, and does every TLS edge of the cluster hold?

Nothing is repaired here; `plan` and `apply` do that.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.ca_fitness import remarks
from pkigen.crypto.keys import public_der
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.desired.connections import Edge, edges
from pkigen.desired.items import DesiredCertificate, DesiredKeyPair
from pkigen.errors import UnsafePathError
from pkigen.reconcile.lock_builder import LockBuilder
from pkigen.reconcile.survey import Survey
from pkigen.spec.model import Authority
from pkigen.state.authority import look_at_all
from pkigen.state.encryption import open_in_backups
from pkigen.state.ledger import LARGEST_LEDGER, mismatches, problems
from pkigen.state.lockfile import LARGEST_LOCK, read_lock
from pkigen.state.observed import Fault, observe_bundle, observe_certificate, observe_key_pair
from pkigen.state.reasons import Reason
from pkigen.state.seals import IDENTITY_PATH, RECORD_PATH
from pkigen.state.vault import is_encrypted
from pkigen.store import Lapse, MissingError, RefusedError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cryptography import x509

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.rendering import Renderer
    from pkigen.reconcile.surveyed import Surveyed
    from pkigen.store import Store

_REMEMBERED = 4096
_NO_FINDINGS = {Reason.EXPIRES_SOON, Reason.AWAITS_REQUEST}
_OWN_TREES = frozenset({layout.AUTHORITY, layout.NODES, layout.USERS, layout.ADDONS})
_WITH_AN_OFFLINE_AUTHORITY = frozenset({layout.PENDING_REQUEST, layout.AUTHORITY_PIN})
_OWN_FILES = frozenset({layout.LOCK_FILE, IDENTITY_PATH, RECORD_PATH})
_USED_WHOLE = {
    layout.NODES: "would be copied to the host",
    layout.ADDONS: "would be applied to the cluster",
}
"""What is used as it stands, with whatever is in it, and how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Something that is not as it must be (a finding), or worth knowing (a remark)."""

    subject: str
    reason: str
    detail: str
    is_finding: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a verification looked at and found."""

    objects: int
    edges: int
    observations: tuple[Observation, ...]

    @property
    def findings(self) -> tuple[Observation, ...]:
        """What makes the verification fail."""
        return tuple(each for each in self.observations if each.is_finding)

    @property
    def remarks(self) -> tuple[Observation, ...]:
        """What does not."""
        return tuple(each for each in self.observations if not each.is_finding)


def verify(inventory: Inventory, store: Store, renderer: Renderer, *, now: datetime) -> Verified:
    """Verify a PKI directory against its inventory.

    Every object is examined with the planner's checks, every edge with an independent path verifier, and the
    ledger and the lock file against the tree.

    Raises:
        RefusedError: The system does not let a file be read: whether the tree is right is not known.
    """
    work = _Verification(inventory, store, renderer, now)
    observations = tuple(work.observations())
    return Verified(objects=work.objects, edges=work.edges, observations=observations)


class _Verification:
    def __init__(self, inventory: Inventory, store: Store, renderer: Renderer, now: datetime) -> None:
        self._inventory = inventory
        self._store = store
        self._renderer = renderer
        self._now = now
        self._judge = PathVerifier(now)
        self._keys: dict[bytes, str] = {}
        self._awaited: dict[str, str] = {}
        # Edges share certificates and bundles, and follow one another by node.
        self._chain = lru_cache(_REMEMBERED)(self._read_chain)
        self._anchors = lru_cache(_REMEMBERED)(self._read_anchors)
        self.objects = 0
        self.edges = 0

    def observations(self) -> Iterator[Observation]:
        authorities, faults = look_at_all(self._store, self._inventory, now=self._now)
        for ca, fault in faults.items():
            yield Observation(subject=ca.certificate_name, reason="unfit-authority", detail=fault)
        for ca, certificates in authorities.items():
            for remark in remarks(certificates.certificate):
                yield Observation(
                    subject=ca.certificate_name, reason="remark", detail=f"the CA {remark}", is_finding=False
                )
        survey = Survey(
            inventory=self._inventory,
            reader=self._store,
            renderer=self._renderer,
            authorities=authorities,
            now=self._now,
        )
        lock = LockBuilder(inventory=self._inventory)
        for surveyed in survey.objects():
            self.objects += 1
            lock.add(surveyed)
            yield from self._shared_key(surveyed)
            for finding in surveyed.findings:
                yield Observation(
                    subject=surveyed.action.id,
                    reason=finding.reason,
                    detail=finding.detail,
                    is_finding=finding.reason not in _NO_FINDINGS,
                )
                if finding.reason is Reason.AWAITS_REQUEST:
                    self._awaited[surveyed.action.id] = surveyed.action.paths[0]
        yield from self._unexpected()
        yield from self._open_in_backups()
        yield from self._lapses()
        yield from self._records(lock)
        yield from self._edges()

    # -- keys -----------------------------------------------------------------------------------------

    def _shared_key(self, surveyed: Surveyed) -> Iterator[Observation]:
        """No two objects have one key; least of all may that of a CA, or of tokens, be another's."""
        match surveyed.item:
            case DesiredKeyPair() as item:
                key = observe_key_pair(self._store, item.private_path, item.public_path).private
            case DesiredCertificate() if surveyed.observed and surveyed.observed.certificate:
                key = public_der(surveyed.observed.certificate.public_key())
            case _:
                return
        if key is None:
            return
        owner = self._keys.setdefault(hashlib.sha256(key).digest(), surveyed.action.id)
        if owner != surveyed.action.id:
            yield Observation(
                subject=surveyed.action.id,
                reason="shared-key",
                detail=f"has the same private key as {owner}",
            )

    def _unexpected(self) -> Iterator[Observation]:
        """A private key where the spec puts none, or a file that would be used together with ours."""
        for path in self._store.walk():
            if path in self._inventory.paths or path in _OWN_FILES:
                continue
            if path in _WITH_AN_OFFLINE_AUTHORITY and self._asks_offline():
                continue
            is_ours = (
                path.partition("/")[0] in _OWN_TREES
            )  # what else people keep beside them is their affair
            try:
                data = self._store.read(path).data
            except UnreadableError as error:
                if is_ours:
                    yield Observation(subject=path, reason=Reason.UNREADABLE, detail=f"{path} {error.reason}")
            except RefusedError:
                if is_ours:
                    raise
            except (MissingError, UnsafePathError):
                continue
            else:
                yield from self._stranger(path, data)

    @staticmethod
    def _stranger(path: str, data: bytes) -> Iterator[Observation]:
        tree = path.partition("/")[0]
        if b"PRIVATE KEY" in data or b"client-key-data" in data:
            yield Observation(
                subject=path,
                reason="unexpected-key",
                detail=f"{path} holds a private key that the spec does not ask for",
            )
        elif tree in _OWN_TREES:
            use = _USED_WHOLE.get(tree)
            yield Observation(
                subject=path,
                reason="unexpected-file",
                detail=f"{path} is nothing that the spec asks for{f', and {use}' if use else ''}",
                is_finding=use is not None,
            )

    def _asks_offline(self) -> bool:
        return self._inventory.cluster.spec.certificates.authority is Authority.OFFLINE

    def _open_in_backups(self) -> Iterator[Observation]:
        """A backup from before the authority was encrypted holds what was encrypted."""
        for place in open_in_backups(self._store) if is_encrypted(self._store) else ():
            yield Observation(
                subject=place,
                reason=Reason.NOT_SEALED,
                detail="the authority is encrypted, and a backup holds this private file in the open; "
                "`pkigen authority encrypt` removes it",
            )

    def _lapses(self) -> Iterator[Observation]:
        """What other users may change or read; the exact modes of the inventory's files are checked above."""
        for lapsed in self._store.lapses((*_OWN_TREES, layout.LOCK_FILE)):
            foreign = lapsed.lapse is Lapse.FOREIGN
            if not foreign and lapsed.path in self._inventory.paths:
                continue
            told = f"uid {lapsed.uid}" if foreign else f"mode {lapsed.mode:04o}"
            yield Observation(
                subject=lapsed.path,
                reason="owner" if foreign else Reason.MODE,
                detail=f"{lapsed.path} {lapsed.lapse} ({told})",
            )

    # -- records --------------------------------------------------------------------------------------

    def _records(self, lock: LockBuilder) -> Iterator[Observation]:
        known = read_lock(self._store)
        if known is None:
            yield Observation(
                subject=layout.LOCK_FILE,
                reason=Reason.MISSING,
                detail=f"{layout.LOCK_FILE} is missing or cannot be understood",
            )
        try:
            file = self._store.read(layout.LEDGER_FILE, limit=LARGEST_LEDGER)
        except MissingError:
            yield Observation(
                subject=layout.LEDGER_FILE, reason=Reason.MISSING, detail=f"{layout.LEDGER_FILE} is missing"
            )
            ledger = b""
        except UnreadableError as error:
            yield Observation(
                subject=layout.LEDGER_FILE,
                reason=Reason.UNREADABLE,
                detail=f"{layout.LEDGER_FILE} {error.reason}",
            )
            ledger = b""
        else:
            ledger = file.data
            if file.mode & ~layout.SECRET_MODE:
                yield Observation(
                    subject=layout.LEDGER_FILE,
                    reason=Reason.MODE,
                    detail=f"{layout.LEDGER_FILE} mode {file.mode:04o}, must be {layout.SECRET_MODE:04o}",
                )
            for problem in problems(ledger, head=known.ledger if known else None):
                yield Observation(subject=layout.LEDGER_FILE, reason="ledger", detail=problem)
        for remark in mismatches(ledger):
            yield Observation(subject=layout.LEDGER_FILE, reason="remark", detail=remark, is_finding=False)
        if known is not None:
            written = self._store.read(layout.LOCK_FILE, limit=LARGEST_LOCK).data
            if written != lock.encode(known.ledger):
                yield Observation(
                    subject=layout.LOCK_FILE,
                    reason=Reason.CONTENT_CHANGED,
                    detail=f"{layout.LOCK_FILE} does not describe this tree",
                )

    # -- edges ----------------------------------------------------------------------------------------

    def _edges(self) -> Iterator[Observation]:
        for edge in edges(self._inventory):
            self.edges += 1
            for detail in self._broken(edge.without(self._awaited)):
                yield Observation(subject=str(edge), reason="broken-edge", detail=detail)

    def _broken(self, edge: Edge) -> Iterator[str]:
        if edge.server_certificate is not None and edge.client_trust is not None:
            chain = self._chain(edge.server_certificate)
            anchors = self._anchors(edge.client_trust)
            if isinstance(chain, str) or isinstance(anchors, str):
                yield chain if isinstance(chain, str) else str(anchors)
            else:
                for name in edge.names:
                    refusal = self._judge.server(chain, anchors, name)
                    if refusal is not None:
                        yield (
                            f"{edge.client} ({edge.client_trust}) refuses the certificate "
                            f"{edge.server_certificate} for {name}: {refusal}"
                        )
        if edge.client_certificate is not None and edge.server_trust is not None:
            chain = self._chain(edge.client_certificate)
            anchors = self._anchors(edge.server_trust)
            if isinstance(chain, str) or isinstance(anchors, str):
                yield chain if isinstance(chain, str) else str(anchors)
            else:
                refusal = self._judge.client(chain, anchors)
                if refusal is not None:
                    yield (
                        f"{edge.server} ({edge.server_trust}) refuses the certificate "
                        f"{edge.client_certificate}: {refusal}"
                    )

    def _read_chain(self, identifier: str) -> Sequence[x509.Certificate] | str:
        item = self._inventory.certificates[identifier]
        observed = observe_certificate(self._store, item.location)
        if observed.certificate is None:
            fault = observed.certificate_fault
            return f"{fault.path} {fault.message}" if fault else f"{identifier} cannot be read"
        return (observed.certificate, *observed.chain)

    def _read_anchors(self, path: str) -> Sequence[x509.Certificate] | str:
        found = observe_bundle(self._store, path)
        return f"{found.path} {found.message}" if isinstance(found, Fault) else found
