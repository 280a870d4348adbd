"""From what somebody calls a credential to the ids that API servers refuse it by."""

from __future__ import annotations

import re
from dataclasses import field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

from pkigen.access.credentials import of_entry, only_certificates, token_of
from pkigen.access.issued_credentials import (
    ACCOUNT,
    PERSON,
    REQUESTED,
    IssuedCredential,
    issued_credentials,
)
from pkigen.access.kubeconfigs import Section, load
from pkigen.crypto import service_account_tokens as tokens
from pkigen.crypto.go_paths import refusal as refusal_of_path
from pkigen.crypto.issuance import fingerprint
from pkigen.crypto.names import common_names
from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.desired.certificates import MASTERS
from pkigen.desired.generations import CA, ca_id, ca_location
from pkigen.desired.revocations import (
    LONGEST_REASON,
    CredentialId,
    CredentialIdKind,
    Revocation,
    short,
)
from pkigen.errors import AccessError, UsageError
from pkigen.notation import parse_duration, suggestion
from pkigen.records import dataclass
from pkigen.state.ledger import read_ledger
from pkigen.state.observed import Fault, observe_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

    from pkigen.desired.inventory import Inventory
    from pkigen.state.observed import Reader

_HEXADECIMAL: Final = re.compile(r"[0-9a-f]+")
_FINGERPRINT: Final = 64
# Shorter words of hexadecimal digits are rather names than serial numbers.
_SHORTEST_SERIAL: Final = 8
_NODE: Final = "node:"
_SIGNING_FLAG: Final = "cluster-signing-duration"
# Of `ClusterSigningDuration` (`controller/certificates/signer/config/v1alpha1/defaults.go`).
_SIGNING_DEFAULT: Final = timedelta(days=365)
_MASTERS_MESSAGE: Final = (
    f"it is in the group {MASTERS}, which passes before every authorizer: no list keeps it out"
)
MASTERS_HINT: Final = (
    "rotate the CA, which ends every certificate of it: `pkigen rotate ca kubernetes`, step by step; --force "
    "lists it all the same, which changes nothing for it (docs/how-to/revocation.md)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCredential:
    """A credential that a word means; `note` is what whoever revokes it should know."""

    credential: CredentialId
    of: str
    expires: datetime | None
    is_masters: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class RevocationScope:
    """A cluster, and what was issued in it, to look words up in."""

    inventory: Inventory
    reader: Reader
    now: datetime
    read: Callable[[Path], bytes | str] = field(repr=False)
    """Reads a file that a word or a kubeconfig names, or says why it cannot."""

    @cached_property
    def issued(self) -> tuple[IssuedCredential, ...]:
        """Everything that the ledger knows."""
        return tuple(issued_credentials(read_ledger(self.reader)))

    @cached_property
    def nodes(self) -> frozenset[str]:
        """The nodes of the spec, and those that have left it."""
        own = {node.name for node in self.inventory.cluster.spec.nodes}
        return frozenset(own | {each.of.partition("/")[0] for each in self.issued if "/" in each.of})

    def found(self, word: str, *, before: datetime | None) -> tuple[NamedCredential, ...]:
        """The credentials that a word means.

        Args:
            word: A user, a node, a certificate's id, serial or SHA-256, `JTI=…`, or a file.
            before: Only what was issued before, where a name means several.

        Raises:
            AccessError: Nothing of it is for a list that API servers read.
            UsageError: It means nothing, or too much.
        """
        # Exact ids before names: a user who is called like somebody's fingerprint cannot shadow it.
        exact = self._exact(word)
        if exact is not None:
            return exact
        return tuple(self._named(word, before))

    # -- what means one credential -------------------------------------------------------------------------

    def _exact(self, word: str) -> tuple[NamedCredential, ...] | None:
        """An id, a digest or a file; None where the word is a name."""
        if "=" in word and word.partition("=")[0] in set(CredentialIdKind):
            return (self._by_id(word),)
        # As `openssl x509 -fingerprint` and `-serial` print them, too.
        plain = word.removeprefix("sha256:").replace(":", "").lower()
        if len(plain) == _FINGERPRINT and _HEXADECIMAL.fullmatch(plain):
            return (self._by_id(f"{CredentialIdKind.CERTIFICATE}={plain}"),)
        return self._by_serial(plain)

    def _by_id(self, text: str) -> NamedCredential:
        try:
            credential = CredentialId.parse(text)
        except ValueError as error:
            raise UsageError(f"{text[:80]!r} {error}") from None
        if credential.kind is CredentialIdKind.USER:
            raise UsageError(
                f"{text[:80]!r} is what a node is revoked by",
                hint=f"name the node: `pkigen access revoke {_NODE}{credential.value.rpartition(':')[2]}`",
            )
        known = next((each for each in self.issued if each.credential == credential), None)
        if known is None:
            note = f"{short(credential)} is not in the ledger: it stays on the list until it is unrevoked"
            return NamedCredential(credential=credential, of="unknown", expires=None, note=note)
        return self._of_known(known)

    def _by_serial(self, text: str) -> tuple[NamedCredential, ...] | None:
        """A certificate by its serial number, with or without colons and leading zeros."""
        digits = text.removeprefix("0x").lstrip("0")
        if len(digits) < _SHORTEST_SERIAL or not _HEXADECIMAL.fullmatch(digits):
            return None
        known = [each for each in self.issued if each.serial == digits]
        return tuple(map(self._of_known, known)) or None

    def _of_known(self, known: IssuedCredential) -> NamedCredential:
        if known.refusal is not None:
            raise AccessError(f"the certificate of {known.of} {known.refusal}")
        return _as_found(known)

    # -- files ---------------------------------------------------------------------------------------------

    def of_file(self, path: Path, data: bytes) -> tuple[NamedCredential, ...]:
        """What a certificate, a kubeconfig or a token in a file is known by.

        Raises:
            AccessError: It holds none that this cluster's API servers would let in.
        """
        if b"-----BEGIN CERTIFICATE-----" in data and b"kind:" not in data:
            parsed = parse_certificates(only_certificates(data))
            if isinstance(parsed, str):
                raise AccessError(f"{path} {parsed}")
            return (self._of_certificate(parsed, str(path)),)
        text = data.strip().decode("ascii", "replace")
        if len(text.split()) == 1 and text.isascii():
            return (self._of_token(text, str(path)),)
        found = tuple(self._of_kubeconfig(path, data))
        if not found:
            raise AccessError(f"{path} has no certificate and no token in it")
        return found

    def _of_kubeconfig(self, path: Path, data: bytes) -> Iterator[NamedCredential]:
        """Of every user in it: whoever has the file has all of them."""
        config = load(data, path)
        for name, entry in config.entries[Section.USER].items():
            certificate = of_entry(entry, self.read, now=self.now).certificate
            if certificate is not None:
                yield self._of_certificate((certificate,), f"{path}, user {name}")
            token, _ = token_of(entry, self.read)
            if token:
                yield self._of_token(token, f"{path}, user {name}")

    def _anchors(self) -> tuple[x509.Certificate, ...]:
        """Every generation of the CA that API servers may accept clients of."""
        slots = self.inventory.rotations.slots(ca_id(CA.KUBERNETES))
        # Every generation: a certificate of the previous one lets somebody in for as long as that is trusted.
        bundles = (
            observe_bundle(self.reader, ca_location(CA.KUBERNETES, slot).certificate) for slot in slots
        )
        return tuple(each for bundle in bundles if not isinstance(bundle, Fault) for each in bundle)

    def _of_certificate(self, chain: Sequence[x509.Certificate], place: str) -> NamedCredential:
        certificate = chain[0]
        credential = CredentialId.of_certificate(fingerprint(certificate))
        known = next((each for each in self.issued if each.credential == credential), None)
        if known is not None:
            return self._of_known(known)
        # By Go's rules: what API servers let in can be revoked, whoever has made it.
        refusal = refusal_of_path(chain, self._anchors(), "", self.now)
        if refusal is not None:
            raise AccessError(
                f"the certificate of {place} lets nobody into this cluster: {refusal}",
                hint="there is nothing to revoke; is it another cluster's?",
            )
        subject = common_names(certificate.subject)
        return NamedCredential(
            credential=credential,
            of=f"CN={subject.common_name}",
            expires=certificate.not_valid_after_utc,
            is_masters=MASTERS in subject.organizations,
            note=f"the certificate of {place} is not in the ledger: the cluster has signed it itself",
        )

    def _of_token(self, text: str, place: str) -> NamedCredential:
        token = tokens.read(text)
        if isinstance(token, str):
            raise AccessError(f"what is in {place} is no token of a service account: it {token}")
        jti = token.claims.get("jti")
        if not isinstance(jti, str) or not jti:
            raise AccessError(
                f"the token of {place} has no id (jti), as those of Secrets have none",
                hint="delete its Secret, or its service account: it ends with either",
            )
        try:
            credential = CredentialId.parse(f"{CredentialIdKind.TOKEN}={jti}")
        except ValueError as error:
            raise AccessError(f"the id of the token of {place} {error}") from None
        return NamedCredential(
            credential=credential, of=str(token.claims.get("sub", place)), expires=token.expires
        )

    # -- names -----------------------------------------------------------------------------------------------

    def _named(self, word: str, before: datetime | None) -> Iterator[NamedCredential]:
        """Everything of a user, of a node, or of one id that has not expired."""
        name = self._node_meant(word)
        if name is None:
            yield from self._of_all(
                [each for each in self.issued if _is_of_user(each.of, word)], word, before
            )
            return
        yield from map(
            _as_found, self._current([each for each in self.issued if each.of.startswith(f"{name}/")], before)
        )
        yield self._every_credential_of(name)

    def _node_meant(self, word: str) -> str | None:
        """The node that a word means; None where it means something else.

        Raises:
            UsageError: It means both a node and a user.
        """
        if word.startswith(_NODE):
            name = word.removeprefix(_NODE)
            if name not in self.nodes:
                raise UsageError(f"there is no node {name[:80]!r}", hint=self._meant(name))
            return name
        if word not in self.nodes:
            return None
        if any(_is_of_user(each.of, word) for each in self.issued):
            raise UsageError(
                f"{word!r} is a user and a node", hint=f"say which: {PERSON}{word} or {_NODE}{word}"
            )
        return word

    def _of_all(
        self, wanted: Sequence[IssuedCredential], word: str, before: datetime | None
    ) -> Iterator[NamedCredential]:
        if not wanted:
            raise UsageError(f"nothing here is called {word[:80]!r}", hint=self._meant(word))
        if all(each.refusal is not None for each in wanted):
            raise AccessError(f"the certificate of {wanted[0].of} {wanted[0].refusal}")
        yield from map(_as_found, self._current(wanted, before))

    def _current(
        self, wanted: Iterable[IssuedCredential], before: datetime | None
    ) -> Iterator[IssuedCredential]:
        for each in wanted:
            is_over = each.expires is not None and each.expires <= self.now
            # What was issued at an unknown time counts as issued before.
            is_later = before is not None and each.issued is not None and each.issued >= before
            if each.refusal is None and not is_over and not is_later:
                yield each

    def _every_credential_of(self, node: str) -> NamedCredential:
        """A kubelet renews its certificate at the cluster itself, and the ledger knows nothing of that."""
        return NamedCredential(
            credential=CredentialId(CredentialIdKind.USER, f"system:node:{node}"),
            of=f"{_NODE}{node}",
            # What the controller manager signs lives no longer (controller/certificates/signer `duration`),
            # so that the entry may leave the list by itself then.
            expires=(self.now + self._signing_duration()).replace(microsecond=0),
            note=f"whatever authenticates as system:node:{node} is refused, also what the kubelet has got "
            f"for itself; a host that is set up again under this name needs "
            f"`pkigen access unrevoke {_NODE}{node}`",
        )

    def _signing_duration(self) -> timedelta:
        """How long what the controller manager has signed lives at most."""
        arguments = self.inventory.cluster.spec.controller_manager.extra_args
        given = [each.value for each in arguments if each.name == _SIGNING_FLAG]
        try:
            return parse_duration(given[-1]) if given else _SIGNING_DEFAULT
        except ValueError:
            return _SIGNING_DEFAULT

    def _meant(self, word: str) -> str:
        names = {_bare(each.of) for each in self.issued} | {each.of for each in self.issued} | self.nodes
        return suggestion(word, sorted(names)) or (
            "give a user, a node, an id of `pkigen status`, a serial, a SHA-256, JTI=…, or a file"
        )


def _bare(identifier: str) -> str:
    return identifier.removeprefix(PERSON).removeprefix(REQUESTED)


def _is_of_user(identifier: str, word: str) -> bool:
    """Whether an id is a person's, a service account's or one certificate's of this name."""
    accounts = {f"{ACCOUNT}{word.replace('/', ':')}", word}
    people = {f"{PERSON}{word}", f"{REQUESTED}{word}", f"{REQUESTED}{word.removeprefix(PERSON)}"}
    return identifier in accounts | people


def _as_found(known: IssuedCredential) -> NamedCredential:
    return NamedCredential(
        credential=known.credential, of=known.of, expires=known.expires, is_masters=known.is_masters
    )


def require_reason(text: str) -> str:
    """A reason for the record: one line of text that everybody may read.

    Raises:
        UsageError: It is none.
    """
    reason = text.strip()
    if not reason or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise UsageError(f"--reason must be one line of 1 to {LONGEST_REASON} printable characters")
    return reason


def revoked_by(
    found: Iterable[NamedCredential],
    present: Iterable[Revocation],
    *,
    reason: str,
    now: datetime,
    force: bool,
) -> tuple[Revocation, ...]:
    """What is new on the list; what is on it already, or has expired, is left out.

    Raises:
        AccessError: It is somebody whom no list keeps out.
    """
    listed = {each.credential for each in present}
    # By credential: two words may mean the same one.
    new = {each.credential: each for each in found if each.credential not in listed}
    for each in new.values():
        if each.is_masters and not force:
            raise AccessError(
                f"the credential of {each.of} cannot be revoked: {_MASTERS_MESSAGE}", hint=MASTERS_HINT
            )
    revocations = (
        Revocation(
            credential=each.credential,
            of=each.of,
            reason=reason,
            revoked=now.replace(microsecond=0),
            expires=each.expires,
        )
        for each in new.values()
    )
    return tuple(each for each in revocations if not each.is_over(now))


def lifted_by(
    word: str, ids: Iterable[CredentialId], present: Iterable[Revocation]
) -> tuple[Revocation, ...]:
    """What of a list a word means.

    Args:
        word: Whose, or the beginning of an id.
        ids: What else the word is known to mean: the ids of a file's credentials.
        present: The list.

    Raises:
        UsageError: Nothing of it.
    """
    present, known = tuple(present), set(ids)
    found = tuple(
        each
        for each in present
        if each.credential in known or _is_owner(each.of, word) or _is_id(each.credential, word)
    )
    if not found:
        listed = ", ".join(sorted({each.of for each in present})) or "nothing"
        raise UsageError(f"nothing that is revoked is called {word[:80]!r}", hint=f"revoked: {listed}")
    return found


def _is_owner(whose: str, word: str) -> bool:
    """Whether what stands on the list is of somebody, or of a node, of this name."""
    name = word.removeprefix(_NODE)
    return _is_of_user(whose, word) or whose == f"{_NODE}{name}" or whose.startswith(f"{name}/")


def _is_id(credential: CredentialId, word: str) -> bool:
    """Whether a word is an id, or the beginning of a SHA-256 that is long enough to mean one."""
    digits = word.removeprefix(f"{CredentialIdKind.CERTIFICATE}=").removeprefix("sha256:").lower()
    is_digits = len(digits) >= _SHORTEST_SERIAL and _HEXADECIMAL.fullmatch(digits) is not None
    return str(credential) == word or (is_digits and credential.value.startswith(digits))
