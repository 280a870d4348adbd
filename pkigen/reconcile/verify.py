"""Is the tree on disk the one that the spec asks for, and does every TLS edge of the cluster hold?

Nothing is repaired here; `plan` and `apply` do that.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crew import ALL_HANDS, Hands
from pkigen.crypto.ca_fitness import remarks
from pkigen.crypto.keys import spki_fingerprint
from pkigen.desired.adopted import ABSENT
from pkigen.desired.connections import edges
from pkigen.desired.file_references import SECRET_USES, foreign_files, not_judged
from pkigen.desired.items import DesiredCertificate, DesiredKeyPair
from pkigen.desired.revocations import CredentialId, RevocationList, in_order
from pkigen.desired.trust_graph import TrustGraph
from pkigen.errors import UnsafePathError
from pkigen.notation import quoted
from pkigen.reconcile.checkout import looked_at, withheld_ids
from pkigen.reconcile.division import Summary, summaries
from pkigen.reconcile.edge_verdicts import EdgeVerdicts, judged
from pkigen.reconcile.lock_builder import LockBuilder
from pkigen.reconcile.observations import Observation, ObservationSeverity, Verified
from pkigen.reconcile.progress import SILENCE
from pkigen.reconcile.survey import Survey
from pkigen.spec.certificates import Authority
from pkigen.state.authority import look_at_all, unrecorded_sharing
from pkigen.state.authority_record import compare_authority
from pkigen.state.encryption import open_in_backups
from pkigen.state.ledger import LARGEST_LEDGER, mismatches, problems
from pkigen.state.lockfile import LARGEST_LOCK, read_lock
from pkigen.state.observed import (
    content_at,
    observe_key_pair,
)
from pkigen.state.reasons import Anomaly, Reason
from pkigen.state.seals import IDENTITY_PATH, RECORD_PATH
from pkigen.state.vault import is_encrypted
from pkigen.store import Lapse, MissingError, RefusedError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from pkigen.desired.adopted import Adopted
    from pkigen.desired.generations import CA
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.rendering import Renderer
    from pkigen.desired.trust_graph import Connection
    from pkigen.reconcile.progress import Progress
    from pkigen.reconcile.whole_survey import WholeSurvey
    from pkigen.state.authority import CACertificates
    from pkigen.state.ledger import Head
    from pkigen.store import Store

# What stands around the subject in the sentences of `not_judged`; the subject is what the observation is
# about.
_NOT_JUDGED = re.compile("^not judged: | reads | dials ")
_REMARKS = frozenset({Reason.EXPIRES_SOON, Reason.AWAITS_REQUEST, Reason.REVOCATION_OVER})
_WITH_AN_OFFLINE_AUTHORITY = frozenset({layout.PENDING_REQUEST, layout.AUTHORITY_PIN})
# The inventory is of what the spec asks for; these describe the tree or its seals, and are of no spec.
_OWN_FILES = frozenset({layout.LOCK_FILE, IDENTITY_PATH, RECORD_PATH})
_USED_WHOLE = {
    layout.NODES: "would be copied to the host",
    layout.ADDONS: "would be applied to the cluster",
}
"""What is used as it stands, with whatever is in it, and how."""


def verify(
    inventory: Inventory,
    store: Store,
    renderer: Renderer,
    *,
    now: datetime,
    progress: Progress = SILENCE,
    seen: WholeSurvey | None = None,
    hands: Hands = ALL_HANDS,
) -> Verified:
    """Verify a PKI directory against its inventory.

    Every object is examined with the planner's checks, every edge with an independent path verifier, and the
    ledger and the lock file against the tree. The objects are those of a survey where there is one.
    `hands` are the processes that share it.

    Raises:
        RefusedError: The system does not let a file be read: whether the tree is right is not known.
    """
    work = _Verification(inventory, store, renderer, now, progress, hands)
    observations = tuple(work.observations(seen))
    graph = TrustGraph(connections=tuple(work.connections))
    return Verified(objects=work.objects, observations=observations, graph=graph)


class _Verification:
    """One pass over the tree; `objects` counts what was looked at, `connections` are the edges."""

    def __init__(
        self,
        inventory: Inventory,
        store: Store,
        renderer: Renderer,
        now: datetime,
        progress: Progress,
        hands: Hands,
    ) -> None:
        self._progress = progress
        self._hands = hands
        self._inventory = inventory
        self._store = store
        self._tree = looked_at(store, inventory)
        self._withheld = withheld_ids(inventory, self._tree)
        self._renderer = renderer
        self._now = now
        self._keys: dict[str, str] = {}
        self._may_share: frozenset[str] = frozenset()
        self._awaited: dict[str, str] = {}
        self._references = foreign_files(inventory, self._text)
        # A file with a private key stays unexpected, whichever flag names it.
        self._foreign = {each.path for each in self._references if each.use not in SECRET_USES}
        self._unknown = {each.path for each in self._references if self._text(each.path) is None}
        self.objects = 0
        self.connections: list[Connection] = []

    def observations(self, seen: WholeSurvey | None) -> Iterator[Observation]:
        """All that is found, by the survey of this tree where there is one."""
        authorities, faults = look_at_all(self._tree, self._inventory, now=self._now)
        yield from _of_authorities(authorities, faults)
        if not any(unrecorded_sharing(self._tree, authorities)):
            # One that was taken over may be several CAs, and it is recorded that it is.
            cas = (item.id for item in self._inventory.certificates.values() if item.issuer is None)
            self._may_share = frozenset(cas)
        survey = Survey(
            inventory=self._inventory,
            reader=self._tree,
            renderer=self._renderer,
            authorities=authorities,
            now=self._now,
            progress=self._progress,
            what="verifying objects",
        )
        lock = LockBuilder(inventory=self._inventory, templates=self._renderer.overrides())
        found = summaries(survey, hands=self._hands) if seen is None else map(Summary.of, seen.objects)
        for summary in found:
            self.objects += 1
            lock.add(summary)
            yield from self._shared_key(summary)
            yield from self._findings(summary)
            yield from self._revoked(summary)
        yield from self._unexpected()
        yield from self._open_in_backups()
        # A checkout has the modes and owners that Git gives it, and no ledger.
        if self._tree is self._store:
            yield from self._lapses()
            yield from self._records(lock)
        else:
            yield from self._not_judged()
        yield from self._edges()

    def _not_judged(self) -> Iterator[Observation]:
        """What a checkout without private files does not show; Git keeps no modes and no owners either."""
        for identifier in self._withheld:
            yield Observation(
                subject=identifier,
                reason=Anomaly.NOT_JUDGED,
                detail="not judged: its private files are not in this checkout",
                severity=ObservationSeverity.REMARK,
            )
        yield Observation(
            subject=layout.LOCK_FILE,
            reason=Anomaly.NOT_JUDGED,
            detail="not judged: the ledger, modes and owners, and the keys of the authority",
            severity=ObservationSeverity.REMARK,
        )

    # -- objects --------------------------------------------------------------------------------------

    def _findings(self, summary: Summary) -> Iterator[Observation]:
        """What the planner's checks find about an object."""
        action = summary.action
        for finding in summary.findings:
            is_remark = finding.reason in _REMARKS
            yield Observation(
                subject=action.id,
                reason=finding.reason,
                detail=finding.detail,
                severity=ObservationSeverity.REMARK if is_remark else ObservationSeverity.FINDING,
            )
            if finding.reason is Reason.AWAITS_REQUEST:
                self._awaited[action.id] = action.paths[0]
        if summary.adopted is not None:
            self._leave_out(summary, summary.adopted)

    def _revoked(self, summary: Summary) -> Iterator[Observation]:
        """A certificate of the tree that API servers refuse: what it is for does not work with it."""
        listed = self._inventory.revocations.active
        told = str(summary.facts["fingerprint"]) if summary.facts is not None and listed else None
        credential = CredentialId.of_certificate(told) if told is not None else None
        for each in listed:
            if each.credential == credential:
                yield Observation(
                    subject=summary.action.id,
                    reason=Reason.REVOKED,
                    detail=f"is revoked ({each.reason}): "
                    f"`pkigen renew {quoted(summary.action.id)}` makes another",
                    severity=ObservationSeverity.REMARK,
                )

    def _leave_out(self, summary: Summary, adopted: Adopted) -> None:
        """Leave out of the edges what was missing at adoption, and what kubelets renew themselves."""
        path = summary.action.paths[0]
        if not isinstance(summary.item, DesiredCertificate):
            self._unknown |= {path} if adopted.found == ABSENT else set()
        elif summary.facts is None:
            # Whom a kubeconfig trusts is judged all the same, where there is one.
            self._awaited[summary.action.id] = path if adopted.found == ABSENT else ""

    def _shared_key(self, summary: Summary) -> Iterator[Observation]:
        """No two objects have one key; least of all may that of a CA, or of tokens, be another's."""
        match summary.item:
            case DesiredKeyPair() as item:
                public = observe_key_pair(self._tree, item.private_path, item.public_path).private
                key = spki_fingerprint(public) if public is not None else None
            case DesiredCertificate() if summary.facts is not None:
                key = str(summary.facts["spki"])
            case _:
                return
        if key is None:
            return
        # By a digest of the public half: it is short, and memory holds one for every object of the cluster.
        owner = self._keys.setdefault(key, summary.action.id)
        if owner != summary.action.id and not {owner, summary.action.id} <= self._may_share:
            yield Observation(
                subject=summary.action.id,
                reason=Reason.SHARED_KEY,
                detail=f"has the same private key as {owner}",
                severity=ObservationSeverity.FINDING
                if summary.adopted is None
                else ObservationSeverity.REMARK,
            )

    # -- files ----------------------------------------------------------------------------------------

    def _unexpected(self) -> Iterator[Observation]:
        """A private key where the spec puts none, or a file that would be used together with ours."""
        known = self._inventory.paths | _OWN_FILES | self._foreign  # a flag of the spec asks for these
        if self._inventory.cluster.spec.certificates.authority is Authority.OFFLINE:
            known |= _WITH_AN_OFFLINE_AUTHORITY
        for path in self._store.walk():
            if path not in known:
                yield from self._stranger(path)

    def _stranger(self, path: str) -> Iterator[Observation]:
        """What is wrong with a file that nobody asked for."""
        # What else people keep beside our trees is their affair.
        is_ours = path.partition("/")[0] in layout.OWN_TREES
        try:
            data = self._store.read(path).data
        except UnreadableError as error:
            if is_ours:
                yield Observation(subject=path, reason=Reason.UNREADABLE, detail=f"{path} {error.reason}")
        # Nothing is concluded from what cannot be read; `verify` must not call it right.
        except RefusedError:
            if is_ours:
                raise
        # Gone since it was listed, or of a name that no path here has.
        except (MissingError, UnsafePathError):
            return
        else:
            yield from _of_stranger(path, data)

    def _open_in_backups(self) -> Iterator[Observation]:
        """A backup from before the authority was encrypted holds what was encrypted."""
        for place in open_in_backups(self._store) if is_encrypted(self._store) else ():
            yield Observation(
                subject=place,
                reason=Reason.NOT_SEALED,
                detail="the authority is encrypted, but a backup contains this private file unencrypted; "
                "`pkigen airgap authority encrypt` removes it",
            )

    def _lapses(self) -> Iterator[Observation]:
        """What other users may change or read; the exact modes of the inventory's files are checked above."""
        for lapsed in self._store.lapses((*layout.OWN_TREES, layout.LOCK_FILE)):
            foreign = lapsed.lapse is Lapse.FOREIGN
            if not foreign and lapsed.path in self._inventory.paths:
                continue
            told = f"uid {lapsed.uid}" if foreign else f"mode {lapsed.mode:04o}"
            yield Observation(
                subject=lapsed.path,
                reason=Anomaly.OWNER if foreign else Reason.MODE,
                detail=f"{lapsed.path} {lapsed.lapse} ({told})",
            )

    # -- records --------------------------------------------------------------------------------------

    def _records(self, lock: LockBuilder) -> Iterator[Observation]:
        """Whether lock file, ledger and authority agree with the tree and with one another."""
        known = read_lock(self._store)
        if known is None:
            yield _of_lock_file(Reason.MISSING, "is missing or cannot be understood")
        yield from self._ledger(known.ledger if known is not None else None)
        if known is not None:
            written = self._store.read(layout.LOCK_FILE, limit=LARGEST_LOCK).data
            # What has expired comes off with the next change, and is no fault until then.
            listed = (*self._inventory.revocations.active, *known.over(self._now))
            lock.inventory = replace(self._inventory, revocations=RevocationList(active=in_order(listed)))
            # With its own word for the ledger and the authority: these two are
            # compared below, each by itself.
            if written != lock.encode(known.ledger, known.authority):
                yield _of_lock_file(Reason.CONTENT_CHANGED, "does not describe this tree")
        for change in compare_authority(self._store).alarms:
            if change.path != layout.LEDGER_FILE:  # the ledger is told of line by line
                yield Observation(subject=change.path, reason=Anomaly.CHANGED_AUTHORITY, detail=str(change))

    def _ledger(self, head: Head | None) -> Iterator[Observation]:
        """The ledger's lines, and that it ends where the lock file says."""
        try:
            file = self._store.read(layout.LEDGER_FILE, limit=LARGEST_LEDGER)
        except MissingError:
            yield _of_ledger(Reason.MISSING, f"{layout.LEDGER_FILE} is missing")
            return
        except UnreadableError as error:
            yield _of_ledger(Reason.UNREADABLE, f"{layout.LEDGER_FILE} {error.reason}")
            return
        # Stricter is fine; what matters is whom it lets in.
        if file.mode & ~layout.SECRET_MODE:
            yield _of_ledger(
                Reason.MODE,
                f"{layout.LEDGER_FILE} mode {file.mode:04o}, must be {layout.SECRET_MODE:04o}",
            )
        for problem in problems(file.data, head=head):
            yield _of_ledger(Anomaly.LEDGER, problem)
        for remark in mismatches(file.data):
            yield _of_ledger(Anomaly.LEDGER_GAP, remark, ObservationSeverity.REMARK)

    # -- edges ----------------------------------------------------------------------------------------

    def _edges(self) -> Iterator[Observation]:
        """Every connection whose two ends do not trust each other, and what cannot be judged."""
        unknown = [each for each in self._references if each.path in self._unknown]
        for sentence in not_judged(unknown):
            yield Observation(
                subject=_NOT_JUDGED.split(sentence)[1],
                reason=Anomaly.NOT_JUDGED,
                detail=sentence,
                severity=ObservationSeverity.REMARK,
            )
        found = [edge.without(self._awaited) for edge in edges(self._inventory, self._text)]
        verdicts = EdgeVerdicts(self._inventory, self._tree, now=self._now, unknown=self._unknown)
        for connection in judged(verdicts, found, progress=self._progress, hands=self._hands):
            self.connections.append(connection)
            for shown in connection.presentations:
                for detail in shown.refusals:
                    yield Observation(subject=str(connection), reason=Anomaly.BROKEN_EDGE, detail=detail)

    def _text(self, path: str) -> bytes | None:
        return content_at(self._tree, path)


def _of_authorities(
    authorities: Mapping[CA, CACertificates], faults: Mapping[CA, str]
) -> Iterator[Observation]:
    """Why a CA cannot sign, and what is unusual about one that can."""
    for ca, fault in faults.items():
        yield Observation(subject=ca.certificate_name, reason=Anomaly.UNFIT_AUTHORITY, detail=fault)
    for ca, certificates in authorities.items():
        for remark in remarks(certificates.certificate):
            yield Observation(
                subject=ca.certificate_name,
                reason=Anomaly.UNUSUAL_AUTHORITY,
                detail=f"the CA {remark}",
                severity=ObservationSeverity.REMARK,
            )


def _of_stranger(path: str, data: bytes) -> Iterator[Observation]:
    """What is wrong with a file that is not of the inventory, going by what it holds and where it lies."""
    tree = path.partition("/")[0]
    # By what it holds, whatever it is called.
    if b"PRIVATE KEY" in data or b"client-key-data" in data:
        yield Observation(
            subject=path,
            reason=Anomaly.UNEXPECTED_KEY,
            detail=f"{path} contains a private key that is not in the spec",
        )
    elif tree in layout.OWN_TREES:
        use = _USED_WHOLE.get(tree)
        yield Observation(
            subject=path,
            reason=Anomaly.UNEXPECTED_FILE,
            detail=f"{path} is not in the spec{f', and {use}' if use else ''}",
            severity=ObservationSeverity.FINDING if use else ObservationSeverity.REMARK,
        )


def _of_lock_file(reason: Reason, what: str) -> Observation:
    return Observation(subject=layout.LOCK_FILE, reason=reason, detail=f"{layout.LOCK_FILE} {what}")


def _of_ledger(
    reason: Reason | Anomaly, detail: str, severity: ObservationSeverity = ObservationSeverity.FINDING
) -> Observation:
    """An observation about the ledger."""
    return Observation(subject=layout.LEDGER_FILE, reason=reason, detail=detail, severity=severity)
