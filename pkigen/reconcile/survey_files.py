"""The survey of everything that is no certificate: key pairs, secrets, tokens, copies and rendered files."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.age_header import is_sealed
from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.crypto.service_account_tokens import TOKEN_PLACEHOLDER
from pkigen.desired.generations import ENCRYPTION_KEY, ENCRYPTION_KEY_SIZE, encryption_key_path
from pkigen.desired.items import (
    KUBECONFIG_KINDS,
    DesiredCopy,
    DesiredCrossCertificate,
    DesiredFile,
    DesiredKeyPair,
    DesiredSecret,
    DesiredToken,
    FileKind,
    MaterialKind,
)
from pkigen.desired.rendering.authentication import anonymous_in
from pkigen.reconcile.adopted_state import copy_state
from pkigen.reconcile.checks import Finding
from pkigen.reconcile.cross_checks import examine_cross
from pkigen.reconcile.decision import issuing
from pkigen.reconcile.file_diffs import changed_fields, encryption_diff, file_diff, kubeconfig_diff
from pkigen.reconcile.flag_changes import defines_component, flag_change
from pkigen.reconcile.plan import Action, Create, Rewrite
from pkigen.reconcile.revocation_list import list_change
from pkigen.reconcile.surveyed import Selection, Surveyed, fault_finding, kept, wrong_modes
from pkigen.reconcile.token_checks import ObservedToken, examine_token, observe_token
from pkigen.records import dataclass
from pkigen.state.observed import (
    Fault,
    FaultKind,
    Reader,
    WithheldContent,
    content_at,
    is_withheld,
    observe_bundle,
    observe_file,
    observe_key_pair,
    read_file,
)
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pkigen.desired.adopted import Adopted
    from pkigen.desired.generations import CA, Rotations
    from pkigen.desired.rendering import Renderer
    from pkigen.desired.revocations import RevocationList
    from pkigen.state.materials import Materials

_DIFFERS = "differs from what the spec and the templates give"
_NoCertificate = DesiredKeyPair | DesiredSecret | DesiredToken | DesiredCopy | DesiredFile
SurveyableFile = _NoCertificate | DesiredCrossCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSurvey:
    """Compares one object after the other with what is on disk for it.

    `renewed` are the CAs whose certificate changes with this plan, and with it whatever holds a copy.
    """

    reader: Reader
    renderer: Renderer
    materials: Materials
    rotations: Rotations
    revocations: RevocationList
    encrypted: bool
    renewed: frozenset[CA]
    now: datetime
    selection: Selection

    def look(self, item: _NoCertificate) -> Surveyed:
        """Look at one object."""
        # A key pair has a public half, which a checkout without private files has too.
        if not isinstance(item, DesiredKeyPair) and is_withheld(self.reader, item.path):
            return _kept(item, None)
        match item:
            case DesiredKeyPair():
                return self._key_pair(item)
            case DesiredSecret():
                return self._secret(item)
            case DesiredToken():
                return self._token(item)
            case DesiredCopy():
                return self._copy(item)
            case DesiredFile():
                return self._file(item)

    def unsealed(self, path: str) -> Finding | None:
        """The finding that a private file of an encrypted authority is open; None where it is not.

        Its owner has provided it, or a backup was restored.
        """
        if not self.encrypted:
            return None
        content = read_file(self.reader, path)
        if isinstance(content, Fault | WithheldContent) or is_sealed(content.data):
            return None
        return Finding(
            reason=Reason.NOT_SEALED,
            detail=f"{path} is not encrypted, but the authority is: it will be sealed",
        )

    def trust_bundle(self, ca: CA) -> bytes | None:
        """What a kubeconfig embeds of a CA; None where that is about to change."""
        return None if ca in self.renewed else self.materials.of(MaterialKind.TRUST_BUNDLE, ca)

    def cross_certificate(self, item: DesiredCrossCertificate) -> Surveyed:
        """The certificate of a CA's new key by its old generation: made again where it would not serve."""
        finding = examine_cross(item, self.reader, now=self.now)
        if finding is not None:
            return _made_anew(item, finding)
        observed = observe_file(self.reader, item.path)
        if isinstance(observed, Fault):
            return _made_anew(item, fault_finding(observed))
        wrong = wrong_modes(((item.path, observed.mode),), {item.path: layout.CERTIFICATE_MODE})
        return replace(_kept(item, wrong), sha256=observed.sha256)

    # -- the authority's own --------------------------------------------------------------------------

    def _key_pair(self, item: DesiredKeyPair) -> Surveyed:
        """The service account key: made anew if the private half cannot be read, else what is around it."""
        observed = observe_key_pair(self.reader, item.private_path, item.public_path)
        if observed.private_fault is not None:
            return _made_anew(item, fault_finding(observed.private_fault))
        if observed.public != self.materials.of(MaterialKind.SA_PUBLIC_KEY, slot=item.slot):
            detail = f"{item.public_path} is not the public half of {item.private_path}"
            return _rewritten(item, Finding(reason=Reason.CONTENT_CHANGED, detail=detail))
        modes = {item.private_path: layout.KEY_MODE, item.public_path: layout.PUBLIC_MODE}
        # Sealing writes the file again, with its mode.
        wrong = self.unsealed(item.private_path) or wrong_modes(observed.modes, modes)
        return replace(_kept(item, wrong), sha256=hashlib.sha256(observed.public or b"").digest())

    def _secret(self, item: DesiredSecret) -> Surveyed:
        """A random secret of the authority: made anew where it is missing or of another size."""
        observed = observe_file(self.reader, item.path)
        if not self.materials.has_secret(item.path, item.size):
            if isinstance(observed, Fault):
                return _made_anew(item, fault_finding(observed))
            detail = f"{item.path} is not {item.size} bytes in base64"
            return _made_anew(item, Finding(reason=Reason.UNREADABLE, detail=detail))
        modes = () if isinstance(observed, Fault) else ((item.path, observed.mode),)
        return _kept(item, self.unsealed(item.path) or wrong_modes(modes, {item.path: layout.SECRET_MODE}))

    # -- tokens ---------------------------------------------------------------------------------------

    def _token(self, item: DesiredToken) -> Surveyed:
        """A service account's token and the kubeconfig around it."""
        observed = observe_token(self.reader, item.path)
        within = item.renew_before if self.selection.within is None else self.selection.within
        key = self.materials.of(MaterialKind.SA_PUBLIC_KEY)
        found = examine_token(item, observed, key=key, now=self.now, renew_within=within)
        findings = self.selection.chosen(item.id, found)
        modes = ((item.path, observed.mode),)
        wrong = self._around_token(item, observed) or wrong_modes(modes, {item.path: layout.KUBECONFIG_MODE})
        surveyed = _made_anew(item, *findings) if findings else _kept(item, wrong)
        diff = self._token_diff(item) if surveyed.findings else ()
        return replace(with_diff(surveyed, diff), expires=observed.expires)

    def _token_diff(self, item: DesiredToken) -> tuple[str, ...]:
        """What changes around a token."""
        present = content_at(self.reader, item.path)
        if present is None:
            return ()
        trust = self.trust_bundle(item.trust) or b""
        return kubeconfig_diff(
            present, self.renderer.token_kubeconfig(item, trust_bundle=trust, token=TOKEN_PLACEHOLDER)
        )

    def _around_token(self, item: DesiredToken, observed: ObservedToken) -> Finding | None:
        """What is wrong with the kubeconfig around a token that stays; None where nothing."""
        trust = self.trust_bundle(item.trust)
        if trust is not None:
            wanted = self.renderer.token_kubeconfig(item, trust_bundle=trust, token=TOKEN_PLACEHOLDER)
            if hashlib.sha256(wanted).digest() == observed.skeleton:
                return None
            different = changed_fields(content_at(self.reader, item.path) or b"", wanted)
        else:
            different = "CA"
        detail = f"{item.path} differs from what the spec gives in its {different}"
        return Finding(reason=Reason.CONTENT_CHANGED, detail=detail)

    def state_of(self, item: DesiredCopy, *, named: bool) -> Adopted:
        """What a copy is, and what is asked of it."""
        return copy_state(item, reader=self.reader, wanted=self.materials.for_copy(item), named=named)

    # -- copies and rendered files --------------------------------------------------------------------

    def _copy(self, item: DesiredCopy) -> Surveyed:
        """A copy of the authority's on a node, which must hold the same bytes."""
        what = item.material if item.ca is None else f"{item.ca.certificate_name} {item.material}"
        # A renewed CA has a new certificate and its old key, so every copy but that of the key changes.
        changes = item.ca in self.renewed and item.material is not MaterialKind.CA_KEY
        # Not known yet: the CA's new certificate is made while the plan is carried out.
        digest = None if changes else self.materials.digest_for_copy(item)
        surveyed = self._bytes(item, lambda: digest, f"is not the {what} of the authority")
        if digest is not None and item.material is MaterialKind.TRUST_BUNDLE and surveyed.findings:
            return self._reordered(surveyed, item, self.materials.for_copy(item) or b"")
        return surveyed

    def _reordered(self, surveyed: Surveyed, item: DesiredCopy, wanted: bytes) -> Surveyed:
        """A bundle of the same certificates in another order asks nothing of those who read it."""
        present, meant = observe_bundle(self.reader, item.path), parse_certificates(wanted)
        if isinstance(present, Fault) or isinstance(meant, str) or set(present) != set(meant):
            return surveyed
        # A file that is missing or has a wrong mode is told as such.
        if surveyed.findings[0].reason is not Reason.CONTENT_CHANGED:
            return surveyed
        is_first = present[0] == meant[0]
        how = (
            "has the same certificates, written otherwise"
            if is_first
            else "does not have the signing CA first"
        )
        detail = f"{item.path} {how}"
        return _rewritten(item, Finding(reason=Reason.ORDER_CHANGED, detail=detail))

    def _file(self, item: DesiredFile) -> Surveyed:
        """A rendered file, compared with what the spec and the templates give now, where it is pkigen's."""
        if not item.managed:
            return _kept(item, None)
        surveyed = self._bytes(item, partial(self._digest, item), _DIFFERS)
        if not surveyed.findings:
            return surveyed
        wanted = self._rendered(item)
        explained = self._explained(surveyed, item, wanted) if wanted is not None else surveyed
        return with_diff(explained, self._file_diff(item, wanted))

    def differs(self, item: DesiredFile) -> Surveyed:
        """A rendered file that is not looked at, and that is known to hold something else than it must."""
        return _rewritten(item, Finding(reason=Reason.CONTENT_CHANGED, detail=f"{item.path} {_DIFFERS}"))

    def _rendered(self, item: DesiredFile) -> bytes | None:
        """What a rendered file must hold; None where that cannot be known yet."""
        return self._with_material(item, self.renderer.file)

    def _digest(self, item: DesiredFile) -> bytes | None:
        """The SHA-256 of that."""
        return self._with_material(item, self.renderer.digest_of)

    def _with_material(self, item: DesiredFile, made: Callable[..., bytes]) -> bytes | None:
        """What is made of a file's secrets and trust bundle; None while one of them is not known."""
        secrets = self._secrets(item) if item.secret else ()
        trust = b"" if item.trust is None else self.trust_bundle(item.trust)
        if secrets is None or trust is None:
            return None
        return made(item, secrets=secrets, trust_bundle=trust)

    def _file_diff(self, item: DesiredFile, wanted: bytes | None) -> tuple[str, ...]:
        """What changes in a file that is there."""
        present = content_at(self.reader, item.path)
        if present is None:
            return ()
        if item.secret:
            slots = len(self.rotations.slots(ENCRYPTION_KEY))
            known = self._known_keys(present)
            return encryption_diff(present, item, self.renderer, known=known, keys=slots)
        if wanted is None:
            return ()
        # What is there may embed a key: it is from before the spec wanted files.
        compare = kubeconfig_diff if item.kind in KUBECONFIG_KINDS else file_diff
        return compare(present, wanted)

    def _known_keys(self, present: bytes) -> tuple[bytes | None, ...]:
        """The encryption keys that a file may hold, as far as they are known."""
        if self.encrypted:
            return self.materials.encryption_keys_in(self.rotations, present) or ()
        slots = self.rotations.slots(ENCRYPTION_KEY)
        return tuple(self.materials.secret(encryption_key_path(slot), ENCRYPTION_KEY_SIZE) for slot in slots)

    def _explained(self, surveyed: Surveyed, item: DesiredFile, wanted: bytes) -> Surveyed:
        """A change of a flag that asks for more than a restart says so."""
        if item.kind is FileKind.AUTHORIZATION_CONFIGURATION:
            finding = list_change(self.reader, item.path, self.revocations)
            if finding is None:
                return surveyed
            # Until then the file is the one that the lock file describes: nobody has changed it.
            found = content_at(self.reader, item.path) or b""
            is_kept = finding.reason is Reason.REVOCATION_OVER
            digest = hashlib.sha256(found).digest() if is_kept else None
            return replace(_rewritten(item, finding), sha256=digest)
        if item.kind is FileKind.AUTHENTICATION_CONFIGURATION:
            return self._anonymous_explained(surveyed, item, wanted)
        present = content_at(self.reader, item.path) if defines_component(item.path) else None
        change = flag_change(item.path, present, wanted) if present is not None else None
        if change is None:
            return surveyed
        return _rewritten(item, Finding(reason=change.reason, detail=change.detail))

    def _anonymous_explained(self, surveyed: Surveyed, item: DesiredFile, wanted: bytes) -> Surveyed:
        """What a running API server would not take up: it says so, and stays with all that it had."""
        present = content_at(self.reader, item.path)
        if present is None or anonymous_in(present) == anonymous_in(wanted):
            return surveyed
        detail = f"{item.path}: other requests without a credential are let in, which is read at start alone"
        return _rewritten(item, Finding(reason=Reason.ANONYMOUS_CHANGED, detail=detail))

    def _secrets(self, item: DesiredFile) -> tuple[bytes, ...] | None:
        """The encryption keys, sealed ones as they stand in the present file; None while one is not known."""
        if not self.encrypted:
            return self.materials.encryption_keys(self.rotations)
        present = read_file(self.reader, item.path)
        if isinstance(present, Fault):
            return None
        return self.materials.encryption_keys_in(self.rotations, present.data)

    def _bytes(
        self, item: DesiredCopy | DesiredFile, digest: Callable[[], bytes | None], difference: str
    ) -> Surveyed:
        """Compare a file with the SHA-256 of what it must hold; None where that cannot be known yet."""
        observed = observe_file(self.reader, item.path)
        if isinstance(observed, Fault):
            kind = Create if observed.kind is FaultKind.MISSING else Rewrite
            return _changed(item, kind, fault_finding(observed))
        # Only now: for a file that is missing, nothing need be rendered.
        wanted = digest()
        # What cannot be known yet changes with this plan.
        if wanted is None or wanted != observed.sha256:
            detail = f"{item.path} {difference}"
            return _rewritten(item, Finding(reason=Reason.CONTENT_CHANGED, detail=detail))
        surveyed = _kept(item, wrong_modes(((item.path, observed.mode),), {item.path: item.mode}))
        # The digest goes into `pki.lock`, which is public: of a secret there is none.
        return surveyed if is_secret(item) else replace(surveyed, sha256=observed.sha256)


def is_secret(item: DesiredCopy | DesiredFile) -> bool:
    """Whether the bytes of a file must not be shown or hashed."""
    if isinstance(item, DesiredFile):
        return item.secret
    return item.material in {MaterialKind.CA_KEY, MaterialKind.SA_PRIVATE_KEY}


def with_diff(surveyed: Surveyed, diff: tuple[str, ...]) -> Surveyed:
    """An object with what changes in its text."""
    return replace(surveyed, action=replace(surveyed.action, diff=diff)) if diff else surveyed


def _made_anew(item: SurveyableFile, *findings: Finding) -> Surveyed:
    """An object that is made again, for the first of its findings."""
    return _changed(item, issuing(findings[0].reason), *findings)


def _rewritten(item: SurveyableFile, finding: Finding) -> Surveyed:
    """An object whose file is written again with what it has to hold."""
    return _changed(item, Rewrite, finding)


def _kept(item: SurveyableFile, wrong: Finding | None) -> Surveyed:
    """An object that holds what it must; `wrong` is what is to be put right about the file all the same."""
    return Surveyed(item=item, action=kept(item)) if wrong is None else _rewritten(item, wrong)


def _changed(item: SurveyableFile, kind: type[Action], *findings: Finding) -> Surveyed:
    """An object with its action, for the first of its findings."""
    action = kind(
        id=item.id,
        paths=item.paths,
        node=item.node,
        reason=findings[0].reason,
        details=tuple(finding.detail for finding in findings),
    )
    return Surveyed(item=item, action=action, findings=findings)
