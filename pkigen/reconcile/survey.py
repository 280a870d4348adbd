"""One pass over the inventory and the disk: what `plan`, `status`, `verify` and the lock are made of.

Work streams through: one object is looked at, compared and forgotten, so that memory stays flat however many
nodes there are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.age import is_sealed
from pkigen.crypto.issuance import END_OF_TIME, certificate_pem, end_of_validity
from pkigen.crypto.profiles import PROFILES
from pkigen.crypto.service_account_tokens import TOKEN_PLACEHOLDER
from pkigen.desired.generations import CA, InKubeconfig, KeyPairFiles
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
)
from pkigen.reconcile.checks import Case, Finding, examine
from pkigen.reconcile.plan import Action, Ask, Await, Create, Reissuance, Reissue, Renew, Rewrite
from pkigen.reconcile.survey_files import is_secret
from pkigen.reconcile.surveyed import (
    Selection,
    Surveyed,
    certificate_modes,
    fault_finding,
    keep,
    rewrite,
    wrong_modes,
)
from pkigen.reconcile.token_checks import ObservedToken, examine_token, observe_token
from pkigen.state.materials import Materials
from pkigen.state.observed import (
    KEY_PLACEHOLDER,
    Fault,
    FaultKind,
    ObservedCertificate,
    Reader,
    observe_bundle,
    observe_certificate,
    observe_file,
    observe_key_pair,
    parse_certificates,
    read_file,
)
from pkigen.state.reasons import TIME_REASONS, Reason
from pkigen.state.vault import is_encrypted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.rendering import Renderer
    from pkigen.state.authority import CACertificates


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
    """

    inventory: Inventory
    reader: Reader
    renderer: Renderer
    authorities: Mapping[CA, CACertificates]
    now: datetime
    selection: Selection = field(default_factory=Selection)

    def __post_init__(self) -> None:
        self._materials = Materials(self.reader, self.authorities)
        self._encrypted = is_encrypted(self.reader)
        self._renewed: set[CA] = set()

    def objects(self) -> Iterator[Surveyed]:
        """Look at every object, issuers first."""
        for item in self.inventory.items:
            match item:
                case DesiredCertificate():
                    yield self._certificate(item)
                case DesiredKeyPair():
                    yield self._key_pair(item)
                case DesiredSecret():
                    yield self._secret(item)
                case DesiredCopy():
                    yield self._copy(item)
                case DesiredFile():
                    yield self._file(item)
                case DesiredToken():
                    yield self._token(item)
                case DesiredKubeconfig():
                    pass  # looked at together with the certificate that it embeds

    # -- certificates ---------------------------------------------------------------------------------

    def _certificate(self, item: DesiredCertificate) -> Surveyed:
        observed = observe_certificate(self.reader, item.location)
        issuer = self.authorities.get(item.issuer) if item.issuer is not None else None
        findings = examine(
            Case(
                desired=item,
                observed=observed,
                issuer=issuer.certificate if issuer else None,
                issuer_replaced=item.issuer is not None and issuer is None,
                previous_issuer=issuer.other if issuer else None,
                chain=issuer.chain if issuer and _sends_chain(item) else (),
                now=self.now,
                renew_within=self.selection.within,
            )
        )
        findings = self.selection.chosen(item.id, findings)
        if not findings and item.issuer in self._renewed and issuer and issuer.chain and _sends_chain(item):
            findings = (
                Finding(reason=Reason.CHAIN_CHANGED, detail=f"its CA {item.issuer} has a new certificate"),
            )
        # An existing CA is never replaced by a plan: that is a rotation.
        untouchable = item.issuer is None and observed.certificate is not None
        if untouchable and item.id in self.selection.ids:
            findings = (Finding(reason=Reason.REQUESTED, detail="the same key and name, a new validity"),)
            self._renewed.add(CA.of_id(item.id))
            action = self._issue_again(item, findings, observed, issuer)
        elif findings and not untouchable and not self._waits(item):
            action = self._issue_again(item, findings, observed, issuer)
            if _is_of_chain_only(findings):
                action = rewrite(item.id, item.read_paths, item.node, findings[0])
            elif self._must_wait(item, findings):
                action, findings = self._awaited(action, item, observed, findings)
        else:
            surroundings = self._surroundings(item, observed)
            if surroundings is not None:
                action = rewrite(item.id, item.read_paths, item.node, surroundings)
                findings = (*findings, surroundings)
            elif findings and self._waits(item) and _is_of_chain_only(findings):
                action = rewrite(item.id, item.read_paths, item.node, findings[0])
            elif findings and self._waits(item):
                action = _ask(item, findings)
            else:
                action = keep(item.id, item.read_paths, item.node)
        return Surveyed(item=item, action=action, findings=findings, observed=observed, issuer=issuer)

    def _must_wait(self, item: DesiredCertificate, findings: tuple[Finding, ...]) -> bool:
        """Whether all that is wrong is a certificate's age, and nobody here could give it another."""
        return (
            self.inventory.is_signed_offline(item)
            and item.id not in self.selection.ids
            and all(finding.reason in TIME_REASONS for finding in findings)
        )

    def _awaited(
        self,
        renewal: Action,
        item: DesiredCertificate,
        observed: ObservedCertificate,
        findings: tuple[Finding, ...],
    ) -> tuple[Action, tuple[Finding, ...]]:
        """What is done meanwhile to a certificate that has to wait: what is around it is kept right."""
        surroundings = self._surroundings(item, observed)
        if surroundings is not None:
            return rewrite(item.id, renewal.paths, item.node, surroundings), (*findings, surroundings)
        awaited = Await(
            id=renewal.id,
            paths=renewal.paths,
            node=renewal.node,
            reason=renewal.reason,
            details=renewal.details,
            reissuance=renewal.reissuance,
        )
        return awaited, findings

    def _waits(self, item: DesiredCertificate) -> bool:
        """Whether only the item's node can say for which key it is to be issued."""
        return item.key_is_elsewhere and item.id not in self.selection.requested

    def _issue_again(
        self,
        item: DesiredCertificate,
        findings: tuple[Finding, ...],
        observed: ObservedCertificate,
        issuer: CACertificates | None,
    ) -> Action:
        reason = findings[0].reason
        if reason in {Reason.MISSING, Reason.AWAITS_REQUEST}:
            kind: type[Action] = Create
        else:
            kind = Renew if reason in TIME_REASONS else Reissue
        # What the CA allows; a CA that is about to be made allows at least as much.
        is_older = issuer is not None and item.issuer not in self._renewed
        latest = issuer.certificate.not_valid_after_utc if issuer and is_older else END_OF_TIME
        present = observed.certificate
        return kind(
            id=item.id,
            paths=item.read_paths,
            node=item.node,
            reason=reason,
            details=tuple(finding.detail for finding in findings),
            reissuance=Reissuance(
                issuer=item.issuer.certificate_name if item.issuer else None,
                key_algorithm=item.key_algorithm,
                expires=present.not_valid_after_utc if present else None,
                will_expire=min(end_of_validity(self.now, item.validity), latest),
                offline=self.inventory.is_signed_offline(item),
            ),
        )

    def _surroundings(self, item: DesiredCertificate, observed: ObservedCertificate) -> Finding | None:
        """The certificate stays; what about the kubeconfig around it and its files' modes?"""
        # Content comes first: writing it anew also gives it its mode.
        unsealed = (
            self._not_sealed(item.location.key)
            if item.issuer is None and isinstance(item.location, KeyPairFiles)
            else None
        )
        return (
            self._kubeconfig_around(item, observed)
            or unsealed
            or _key_beside(item, observed)
            or wrong_modes(observed.modes, certificate_modes(item))
        )

    def _not_sealed(self, path: str) -> Finding | None:
        """A private file of an encrypted authority that lies open: brought by its owner, or put back."""
        if not self._encrypted:
            return None
        content = read_file(self.reader, path)
        if isinstance(content, Fault) or is_sealed(content.data):
            return None
        return Finding(
            reason=Reason.NOT_SEALED,
            detail=f"{path} is not encrypted, but the authority is: it is to be sealed",
        )

    def _kubeconfig_around(self, item: DesiredCertificate, observed: ObservedCertificate) -> Finding | None:
        if not isinstance(item.location, InKubeconfig) or observed.certificate is None:
            return None
        kubeconfig = self.inventory.kubeconfigs[item.location.kubeconfig]
        trust = self._materials.of(MaterialKind.TRUST_BUNDLE, kubeconfig.trust)
        if trust is not None and kubeconfig.trust not in self._renewed:
            wanted = self.renderer.kubeconfig(
                kubeconfig,
                trust_bundle=trust,
                certificate=certificate_pem(observed.certificate, *observed.chain),
                key=KEY_PLACEHOLDER,
            )
            if hashlib.sha256(wanted).digest() == observed.skeleton:
                return None
        return Finding(
            reason=Reason.CONTENT_CHANGED,
            detail=f"{item.location.kubeconfig} has another server, name or CA than the spec gives",
        )

    # -- everything else ------------------------------------------------------------------------------

    def _key_pair(self, item: DesiredKeyPair) -> Surveyed:
        observed = observe_key_pair(self.reader, item.private_path, item.public_path)
        paths = item.paths
        fault = observed.private_fault
        if fault is not None:
            finding = fault_finding(fault)
            kind: type[Action] = Create if fault.kind is FaultKind.MISSING else Reissue
            action: Action = kind(
                id=item.id, paths=paths, node=None, reason=finding.reason, details=(finding.detail,)
            )
            return Surveyed(item=item, action=action, findings=(finding,))
        if observed.public != self._materials.of(MaterialKind.SA_PUBLIC_KEY, slot=item.slot):
            finding = Finding(
                reason=Reason.CONTENT_CHANGED,
                detail=f"{item.public_path} is not the public half of {item.private_path}",
            )
            action = rewrite(item.id, paths, None, finding)
            return Surveyed(item=item, action=action, findings=(finding,))
        modes = {item.private_path: layout.KEY_MODE, item.public_path: layout.PUBLIC_MODE}
        wrong = self._not_sealed(item.private_path) or wrong_modes(observed.modes, modes)
        surveyed = self._by_mode(item, item.id, paths, None, wrong)
        return replace(surveyed, sha256=hashlib.sha256(observed.public or b"").digest())

    def _secret(self, item: DesiredSecret) -> Surveyed:
        if not self._materials.has_secret(item.path, item.size):
            observed = observe_file(self.reader, item.path)
            if isinstance(observed, Fault):
                finding = fault_finding(observed)
            else:
                finding = Finding(
                    reason=Reason.UNREADABLE, detail=f"{item.path} is not {item.size} bytes in base64"
                )
            kind: type[Action] = Create if finding.reason is Reason.MISSING else Reissue
            action = kind(
                id=item.id, paths=(item.path,), node=None, reason=finding.reason, details=(finding.detail,)
            )
            return Surveyed(item=item, action=action, findings=(finding,))
        observed = observe_file(self.reader, item.path)
        modes = () if isinstance(observed, Fault) else ((item.path, observed.mode),)
        wrong = self._not_sealed(item.path) or wrong_modes(modes, {item.path: layout.SECRET_MODE})
        return self._by_mode(item, item.id, (item.path,), None, wrong)

    def _token(self, item: DesiredToken) -> Surveyed:
        observed = observe_token(self.reader, item.path)
        wanted_key = self._materials.of(MaterialKind.SA_PUBLIC_KEY)
        within = item.renew_before if self.selection.within is None else self.selection.within
        found = examine_token(item, observed, key=wanted_key, now=self.now, renew_within=within)
        findings = self.selection.chosen(item.id, found)
        if findings:
            reason = findings[0].reason
            kind: type[Action] = Renew if reason in TIME_REASONS else Reissue
            action = (Create if reason is Reason.MISSING else kind)(
                id=item.id,
                paths=(item.path,),
                node=None,
                reason=reason,
                details=tuple(finding.detail for finding in findings),
            )
            return Surveyed(item=item, action=action, findings=findings, expires=observed.expires)
        finding = self._around_token(item, observed) or wrong_modes(
            ((item.path, observed.mode),), {item.path: layout.KUBECONFIG_MODE}
        )
        return replace(self._by_mode(item, item.id, (item.path,), None, finding), expires=observed.expires)

    def _around_token(self, item: DesiredToken, observed: ObservedToken) -> Finding | None:
        trust = self._materials.of(MaterialKind.TRUST_BUNDLE, item.trust)
        if trust is not None and item.trust not in self._renewed:
            wanted = self.renderer.token_kubeconfig(item, trust_bundle=trust, token=TOKEN_PLACEHOLDER)
            if hashlib.sha256(wanted).digest() == observed.skeleton:
                return None
        return Finding(
            reason=Reason.CONTENT_CHANGED,
            detail=f"{item.path} has another server, name or CA than the spec gives",
        )

    def _copy(self, item: DesiredCopy) -> Surveyed:
        what = item.material if item.ca is None else f"{item.ca.certificate_name} {item.material}"
        renewed = item.ca in self._renewed and item.material is not MaterialKind.CA_KEY
        digest = None if renewed else self._materials.digest_for_copy(item)
        surveyed = self._bytes(item, item.node, digest, f"is not the {what} of the authority")
        if digest is not None and item.material is MaterialKind.TRUST_BUNDLE and surveyed.findings:
            return self._reordered(surveyed, item, self._materials.for_copy(item) or b"")
        return surveyed

    def _reordered(self, surveyed: Surveyed, item: DesiredCopy, wanted: bytes) -> Surveyed:
        """A bundle of the same certificates in another order asks nothing of those who read it."""
        present, meant = observe_bundle(self.reader, item.path), parse_certificates(wanted)
        if isinstance(present, Fault) or isinstance(meant, str) or set(present) != set(meant):
            return surveyed
        if surveyed.findings[0].reason is not Reason.CONTENT_CHANGED:
            return surveyed
        finding = Finding(
            reason=Reason.ORDER_CHANGED, detail=f"{item.path} does not have the signing CA first"
        )
        action = rewrite(item.path, (item.path,), item.node, finding)
        return replace(surveyed, action=action, findings=(finding,))

    def _file(self, item: DesiredFile) -> Surveyed:
        secrets = self._secrets(item) if item.secret else ()
        wanted = None if secrets is None else self.renderer.file(item, secrets=secrets)
        digest = None if wanted is None else hashlib.sha256(wanted).digest()
        return self._bytes(item, item.node, digest, "differs from what the spec and the templates give")

    def _secrets(self, item: DesiredFile) -> tuple[bytes, ...] | None:
        """The encryption keys; sealed ones are recognised in the file that is there."""
        if not self._encrypted:
            return self._materials.encryption_keys(self.inventory.rotations)
        present = read_file(self.reader, item.path)
        if isinstance(present, Fault):
            return None
        return self._materials.encryption_keys_in(self.inventory.rotations, present.data)

    def _bytes(
        self, item: DesiredCopy | DesiredFile, node: str | None, wanted: bytes | None, difference: str
    ) -> Surveyed:
        """Compare a file with the SHA-256 of what it must hold; None where that cannot be known yet."""
        observed = observe_file(self.reader, item.path)
        if isinstance(observed, Fault):
            finding = fault_finding(observed)
            kind: type[Action] = Create if observed.kind is FaultKind.MISSING else Rewrite
            action = kind(
                id=item.path, paths=(item.path,), node=node, reason=finding.reason, details=(finding.detail,)
            )
            return Surveyed(item=item, action=action, findings=(finding,))
        if wanted is None or wanted != observed.sha256:
            finding = Finding(reason=Reason.CONTENT_CHANGED, detail=f"{item.path} {difference}")
            return Surveyed(
                item=item, action=rewrite(item.path, (item.path,), node, finding), findings=(finding,)
            )
        wrong = wrong_modes(((item.path, observed.mode),), {item.path: item.mode})
        surveyed = self._by_mode(item, item.path, (item.path,), node, wrong)
        return surveyed if is_secret(item) else replace(surveyed, sha256=observed.sha256)

    def _by_mode(
        self, item: Desired, identifier: str, paths: tuple[str, ...], node: str | None, wrong: Finding | None
    ) -> Surveyed:
        if wrong is None:
            return Surveyed(item=item, action=keep(identifier, paths, node))
        return Surveyed(item=item, action=rewrite(identifier, paths, node, wrong), findings=(wrong,))


def _is_of_chain_only(findings: tuple[Finding, ...]) -> bool:
    """Whether the certificate is good, and only what follows it in its file is not."""
    return all(finding.reason is Reason.CHAIN_CHANGED for finding in findings)


def _sends_chain(item: DesiredCertificate) -> bool:
    return PROFILES[item.profile].sends_chain


def _key_beside(item: DesiredCertificate, observed: ObservedCertificate) -> Finding | None:
    """A private key in a kubeconfig whose key is to be the node's alone."""
    if (
        not item.key_is_elsewhere
        or observed.public_key is None
        or not isinstance(item.location, InKubeconfig)
    ):
        return None
    return Finding(
        reason=Reason.KEY_NOT_ALONE,
        detail=f"{item.location.kubeconfig} holds a private key, which the spec leaves to {item.node}",
    )


def _ask(item: DesiredCertificate, findings: tuple[Finding, ...]) -> Ask:
    return Ask(
        id=item.id,
        paths=item.read_paths,
        node=item.node,
        reason=findings[0].reason,
        details=tuple(finding.detail for finding in findings),
    )
