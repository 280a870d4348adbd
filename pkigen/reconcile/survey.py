"""One pass over the inventory and the disk: what `plan`, `status`, `verify` and the lock are made of.

Work streams through: one object is looked at, compared and forgotten, so that memory stays flat however many
nodes there are. What is to be done to a certificate is decided in `decision`; everything that is no
certificate is looked at in `survey_files`.
"""

from __future__ import annotations

import hashlib
from dataclasses import field, replace
from typing import TYPE_CHECKING

from pkigen.crypto.issuance import END_OF_TIME, certificate_pem, end_of_validity
from pkigen.desired.certificates import KUBELET_SERVING
from pkigen.desired.generations import CA, InKubeconfig, KeyPairFiles, ca_id
from pkigen.desired.items import (
    DesiredCertificate,
    DesiredCopy,
    DesiredCrossCertificate,
    DesiredFile,
    DesiredKubeconfig,
    MaterialKind,
)
from pkigen.reconcile.adopted_state import TOLERATED, certificate_state
from pkigen.reconcile.checks import Case, Finding, examine
from pkigen.reconcile.decision import Decision, Signer, decide
from pkigen.reconcile.file_diffs import changed_fields, kubeconfig_diff
from pkigen.reconcile.plan import Action, Await, Create, Keep, Reissuance, Reissue, Renew
from pkigen.reconcile.progress import SILENCE
from pkigen.reconcile.relocations import elsewhere, former_place, is_unseen, moved
from pkigen.reconcile.survey_files import FileSurvey, SurveyableFile, with_diff
from pkigen.reconcile.surveyed import Selection, Surveyed, certificate_modes, kept, wrong_modes
from pkigen.records import dataclass
from pkigen.spec.model import ManagedFiles
from pkigen.state.authority import sharing
from pkigen.state.materials import Materials
from pkigen.state.observed import (
    KEY_PLACEHOLDER,
    ObservedCertificate,
    Reader,
    content_at,
    is_withheld,
    observe_certificate,
    observe_certificate_alone,
)
from pkigen.state.reasons import Reason
from pkigen.state.vault import is_encrypted
from pkigen.state.views import HashedView, SteadyView

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from pkigen.desired.adopted import Adopted
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.rendering import Renderer
    from pkigen.reconcile.progress import Progress
    from pkigen.state.authority import CACertificates

Surveyable = DesiredCertificate | SurveyableFile


@dataclass(kw_only=True)
class Survey:
    """One pass over the inventory and what is on disk for it.

    Args:
        inventory: What must exist.
        reader: Where the bytes come from.
        renderer: Says what rendered files must hold.
        authorities: The CAs that the authority has.
        now: The present, in UTC.
        selection: What `renew` asks for.
        progress: Is told of each object.
        what: What it is told that this is.
        kinds: The kinds of objects that are looked at; all of them by default.
        without: The ids of objects that are not looked at.
        settled: Whether all is known to be right: of certificates, no more is read than what they say.
    """

    inventory: Inventory
    reader: Reader
    renderer: Renderer
    authorities: Mapping[CA, CACertificates]
    now: datetime
    selection: Selection = field(default_factory=Selection)
    progress: Progress = SILENCE
    what: str = "looking at"
    kinds: tuple[type, ...] = (object,)
    without: frozenset[str] = frozenset()
    settled: bool = False

    def __post_init__(self) -> None:
        self.hashed = self.reader if isinstance(self.reader, HashedView) else None
        self.reader = self._steady = SteadyView(self.reader)
        # A kubeconfig is looked at together with the certificate that it embeds.
        self.items: list[Surveyable] = [
            item
            for item in self.inventory.items
            if isinstance(item, self.kinds)
            and not isinstance(item, DesiredKubeconfig)
            and item.id not in self.without
        ]
        # A CA that is there and named is renewed, so that whatever holds its certificate changes too.
        self._sharing = sharing(self.authorities)
        self._renewed = frozenset(ca for ca in self.authorities if ca_id(ca) in self.selection.ids)
        # The kubeconfigs that certificates move out of.
        self._left: set[str] = set()
        self._files = FileSurvey(
            reader=self.reader,
            renderer=self.renderer,
            materials=Materials(self.reader, self.authorities.get),
            rotations=self.inventory.rotations,
            revocations=self.inventory.revocations,
            encrypted=is_encrypted(self.reader),
            renewed=self._renewed,
            now=self.now,
            selection=self.selection,
        )

    def __len__(self) -> int:
        """How many objects are looked at."""
        return len(self.items)

    def objects(self) -> Iterator[Surveyed]:
        """Look at every object, issuers first."""
        with self.progress.over(self.what, len(self)) as step:
            for item in self.items:
                yield self.look(item)
                step()

    def look(self, item: Surveyable) -> Surveyed:
        """Look at one object; those of a node in the order of the inventory."""
        # Of what was looked at before, nothing stays in memory.
        self._steady.forget()
        match item:
            case DesiredCertificate() if self.settled:
                return self._settled(item)
            case DesiredCertificate():
                return self._certificate(item)
            case DesiredCrossCertificate():
                return self._files.cross_certificate(item)
            case DesiredCopy():
                return self._copy(item)
            case DesiredFile() if item.path in self._left and is_withheld(self.reader, item.path):
                return self._files.differs(item)
            case _:
                return self._files.look(item)

    def _copy(self, item: DesiredCopy) -> Surveyed:
        """A copy of the authority's; one that was taken over is kept while it is what it was."""
        surveyed, known = self._files.look(item), self.inventory.adopted.get(item.id)
        if known is None or not surveyed.findings:
            return surveyed
        state = self.state_of_copy(item)
        # The first deviation, of the file or of the wish, ends what was tolerated since it was taken over.
        if not known.stands(state) or not _tolerated(surveyed.findings, known, state):
            return surveyed
        return _advised(replace(surveyed, action=kept(item), findings=(), adopted=known), surveyed.findings)

    def state_of_copy(self, item: DesiredCopy) -> Adopted:
        """What a copy of the authority's is, and what is asked of it."""
        is_new = item.material is MaterialKind.SIGNING_CERTIFICATE or self._lacks(item.ca)
        named = is_new and self.inventory.cluster.manages(ManagedFiles.MANIFESTS)
        return self._files.state_of(item, named=named)

    def _lacks(self, ca: CA | None) -> bool:
        """Whether the cluster does without a CA, as those made by hand do without a front proxy's."""
        return ca is not None and ca not in self.authorities

    def _is_led_to(self, item: DesiredCertificate) -> bool:
        """Whether a file that pkigen writes leads a component to what another maker does without."""
        if item.kind is KUBELET_SERVING:
            return self.inventory.cluster.manages(ManagedFiles.KUBELET)
        ca = item.issuer or next((each for each in CA if ca_id(each) == item.id), None)
        return self._lacks(ca) and self.inventory.cluster.manages(ManagedFiles.MANIFESTS)

    def state_of(self, item: DesiredCertificate, observed: ObservedCertificate) -> Adopted:
        """What a certificate is, and what is asked of it."""
        kubeconfig = self.inventory.kubeconfigs.get(item.file)
        return certificate_state(
            item,
            observed,
            reader=self.reader,
            kubeconfig=kubeconfig,
            trust_bundle=self._files.trust_bundle(kubeconfig.trust) if kubeconfig is not None else None,
            issuer=self.authorities.get(item.issuer) if item.issuer is not None else None,
            named=self._is_led_to(item),
        )

    def _settled(self, item: DesiredCertificate) -> Surveyed:
        """A certificate that is known to be right: what it says is all that is read."""
        observed = observe_certificate_alone(self.reader, item.location)
        issuer = self.authorities.get(item.issuer) if item.issuer is not None else None
        return Surveyed(item=item, action=kept(item), observed=observed, issuer=issuer)

    def _certificate(self, item: DesiredCertificate) -> Surveyed:
        observed = observe_certificate(self.reader, item.location)
        former = former_place(self.reader, item, observed)
        if former is None and is_unseen(self.reader, item.location):
            return Surveyed(item=item, action=kept(item))
        if isinstance(former, InKubeconfig):
            self._left.add(former.kubeconfig)
        if former is not None and is_unseen(self.reader, former):
            return moved(item, former)
        if former is not None:
            observed = observe_certificate(self.reader, former)
        issuer = self.authorities.get(item.issuer) if item.issuer is not None else None
        found = self._examined(item, observed, issuer)
        around = self._around(item, observed) if former is None else elsewhere(item, former)
        adopted = self._adopted(item, observed, issuer, found, around)
        surveyed = adopted or self._decided(item, observed, issuer, found, around)
        return _advised(surveyed, (*self._shared_key(item), *surveyed.advice))

    def _adopted(
        self,
        item: DesiredCertificate,
        observed: ObservedCertificate,
        issuer: CACertificates | None,
        found: tuple[Finding, ...],
        around: Finding | None,
    ) -> Surveyed | None:
        """A certificate that was taken over, while it and its wish are what they were; None where not."""
        known = self.inventory.adopted.get(item.id)
        if known is None or not known.stands(state := self.state_of(item, observed)):
            return None
        advice = _tolerated((*found, *((around,) if around is not None else ())), known, state)
        if observed.certificate is None:
            # Whatever is asked for: it is not there, or its kubelet renews it by itself.
            surveyed = Surveyed(item=item, action=kept(item), observed=observed, issuer=issuer)
        else:
            left = tuple(each for each in found if each not in advice)
            surveyed = self._decided(item, observed, issuer, left, None if around in advice else around)
        return replace(surveyed, adopted=known, advice=advice)

    def _decided(
        self,
        item: DesiredCertificate,
        observed: ObservedCertificate,
        issuer: CACertificates | None,
        found: tuple[Finding, ...],
        around: Finding | None,
    ) -> Surveyed:
        """What is to be done for what was found of a certificate and around it."""
        decision = decide(
            self._findings(item, issuer, found),
            signer=self._signer(item, observed),
            requested=item.id in self.selection.ids,
            around=around,
        )
        action = self._action(item, decision, observed, issuer)
        surveyed = Surveyed(
            item=item, action=action, findings=decision.findings, observed=observed, issuer=issuer
        )
        return surveyed if isinstance(action, Keep) else with_diff(surveyed, self._diff(item, observed))

    def _diff(self, item: DesiredCertificate, observed: ObservedCertificate) -> tuple[str, ...]:
        """What changes around a certificate in its kubeconfig; that it is another one, the action says."""
        if not isinstance(item.location, InKubeconfig):
            return ()
        kubeconfig = self.inventory.kubeconfigs[item.location.kubeconfig]
        present = content_at(self.reader, kubeconfig.path)
        # Nothing to compare with: the whole file is new.
        if present is None or observed.certificate is None:
            return ()
        wanted = self.renderer.kubeconfig(
            kubeconfig,
            trust_bundle=self._files.trust_bundle(kubeconfig.trust) or b"",
            certificate=certificate_pem(observed.certificate, *observed.chain),
            key=KEY_PLACEHOLDER,
        )
        return kubeconfig_diff(present, wanted)

    def _examined(
        self, item: DesiredCertificate, observed: ObservedCertificate, issuer: CACertificates | None
    ) -> tuple[Finding, ...]:
        """What is wrong with the certificate and its key."""
        case = Case(
            desired=item,
            observed=observed,
            issuer=issuer.certificate if issuer is not None else None,
            issuer_replaced=item.issuer is not None and issuer is None,
            previous_issuer=issuer.other if issuer is not None else None,
            chain=issuer.sent_after(item) if issuer is not None else (),
            now=self.now,
            renew_within=self.selection.within,
        )
        return examine(case)

    def _shared_key(self, item: DesiredCertificate) -> Iterator[Finding]:
        """The advice about a CA that is another one at the same time, as some makers have one for all."""
        for ca, other in self._sharing.items():
            if item.id == ca_id(ca):
                detail = (
                    f"has the key of {ca_id(other)}: a client of one is a client of the other; "
                    f"`pkigen rotate ca {ca_id(ca)}` separates them"
                )
                yield Finding(reason=Reason.SHARED_KEY, detail=detail)

    def _findings(
        self, item: DesiredCertificate, issuer: CACertificates | None, found: tuple[Finding, ...]
    ) -> tuple[Finding, ...]:
        """What was found, as far as it is to be acted on."""
        findings = self.selection.chosen(item.id, found)
        # What its holder sends contains the CA's certificate, which is about to be another one.
        chain = issuer.sent_after(item) if issuer is not None else ()
        above = issuer is not None and issuer.certificate in chain
        if not findings and above and item.issuer in self._renewed:
            detail = f"its CA {item.issuer} has a new certificate"
            return (Finding(reason=Reason.CHAIN_CHANGED, detail=detail),)
        return findings

    def _signer(self, item: DesiredCertificate, observed: ObservedCertificate) -> Signer:
        """Who can give a certificate a successor, the most restrictive answer first."""
        # A CA that is there is never replaced unasked: `rotate` does that, with both generations trusted.
        if item.issuer is None and observed.certificate is not None:
            return Signer.NOBODY
        if item.key_is_elsewhere and item.id not in self.selection.requested:
            return Signer.NODE
        # The node comes first: without its request there is nothing that any authority could sign.
        return Signer.OFFLINE if self.inventory.is_signed_offline(item) else Signer.HERE

    def _action(
        self,
        item: DesiredCertificate,
        decision: Decision,
        observed: ObservedCertificate,
        issuer: CACertificates | None,
    ) -> Action:
        """The action that a decision stands for, with what a reviewer needs to know."""
        # Await is among them: a reviewer sees what the offline authority will be asked for.
        gets_another = issubclass(decision.kind, Create | Renew | Reissue | Await)
        return decision.kind(
            id=item.id,
            paths=item.read_paths,
            node=item.node,
            reason=decision.causes[0].reason if decision.causes else None,
            details=tuple(finding.detail for finding in decision.causes),
            reissuance=self._reissuance(item, observed, issuer) if gets_another else None,
        )

    def _reissuance(
        self, item: DesiredCertificate, observed: ObservedCertificate, issuer: CACertificates | None
    ) -> Reissuance:
        """What the next certificate will be like, before it is made."""
        # What the CA allows; a CA that is about to be made allows at least as much.
        is_older = issuer is not None and item.issuer not in self._renewed
        latest = issuer.certificate.not_valid_after_utc if issuer and is_older else END_OF_TIME
        present = observed.certificate
        return Reissuance(
            issuer=item.issuer.certificate_name if item.issuer else None,
            key_algorithm=item.key_algorithm,
            expires=present.not_valid_after_utc if present else None,
            will_expire=min(end_of_validity(self.now, item.validity), latest),
            offline=self.inventory.is_signed_offline(item),
        )

    def _around(self, item: DesiredCertificate, observed: ObservedCertificate) -> Finding | None:
        """What is wrong around a certificate that stays: its kubeconfig, its files' modes; None if right."""
        # Content comes first: writing it again also gives it its mode.
        return (
            self._kubeconfig_around(item, observed)
            or self._unsealed_key(item)
            or _key_beside(item, observed)
            or wrong_modes(observed.modes, certificate_modes(item))
        )

    def _unsealed_key(self, item: DesiredCertificate) -> Finding | None:
        """The finding that a CA's key is open in an encrypted authority; leaves' keys are never sealed."""
        # An offline CA has no key here that could be open.
        if item.issuer is not None or not isinstance(item.location, KeyPairFiles):
            return None
        return self._files.unsealed(item.location.key)

    def _kubeconfig_around(self, item: DesiredCertificate, observed: ObservedCertificate) -> Finding | None:
        """The finding that a kubeconfig differs outside of certificate and key; None where not."""
        if not isinstance(item.location, InKubeconfig) or observed.certificate is None:
            return None
        kubeconfig = self.inventory.kubeconfigs[item.location.kubeconfig]
        trust = self._files.trust_bundle(kubeconfig.trust)
        if trust is not None:
            wanted = self.renderer.kubeconfig(
                kubeconfig,
                trust_bundle=trust,
                certificate=certificate_pem(observed.certificate, *observed.chain),
                key=KEY_PLACEHOLDER,
            )
            # Both with a placeholder for the key, so the comparison needs no private bytes.
            if hashlib.sha256(wanted).digest() == observed.skeleton:
                return None
            different = changed_fields(content_at(self.reader, kubeconfig.path) or b"", wanted)
        else:
            different = "CA"
        detail = f"{item.location.kubeconfig} differs from what the spec gives in its {different}"
        return Finding(reason=Reason.CONTENT_CHANGED, detail=detail)


def _advised(surveyed: Surveyed, advice: tuple[Finding, ...]) -> Surveyed:
    """An object that is kept as it was taken over: its plan says what pkigen would make otherwise."""
    action = surveyed.action
    if isinstance(action, Keep) and advice:
        details = tuple(finding.detail for finding in advice)
        action = replace(action, reason=advice[0].reason, details=details)
    return replace(surveyed, action=action, advice=advice)


def _tolerated(findings: Iterable[Finding], known: Adopted, state: Adopted) -> tuple[Finding, ...]:
    """In what an adopted object may differ; in modes only if it had the same ones then."""
    allowed = TOLERATED if known.modes == state.modes else TOLERATED - {Reason.MODE}
    return tuple(finding for finding in findings if finding.reason in allowed)


def _key_beside(item: DesiredCertificate, observed: ObservedCertificate) -> Finding | None:
    """The finding that a kubeconfig holds a key that is to be the node's alone; None where not."""
    if (
        not item.key_is_elsewhere
        or observed.public_key is None
        or not isinstance(item.location, InKubeconfig)
    ):
        return None
    detail = f"{item.location.kubeconfig} contains a private key that only {item.node} should have"
    return Finding(reason=Reason.KEY_NOT_ALONE, detail=detail)
