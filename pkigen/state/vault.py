"""How the authority's private files are kept: as they are, or sealed while they lie on a disk.

Whoever signs opens the vault once, with the passphrase or the identity that closes `pki/identity.age`; the
identity in it opens every key. Opened keys are in memory only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Protocol

from pkigen.crypto.age_header import is_sealed
from pkigen.crypto.keys import UnsupportedKeyError, ed25519_public, load_own_private, public_der
from pkigen.desired.generations import BUNDLE_KEY_PATH, BUNDLE_KEY_SIZE, PRIVATE_PATHS
from pkigen.errors import AuthorityError, BundleError
from pkigen.state.observed import Fault, FaultKind, exists, read_file
from pkigen.state.seals import (
    IDENTITY_PATH,
    LARGEST_RECORD,
    RECORD_PATH,
    SealedKey,
    SealRecord,
    decode_record,
    digest,
)
from pkigen.store import FileContent

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pkigen.crypto.age import Identity, Seal, Unseal
    from pkigen.state.observed import Reader


class Vault(Protocol):
    """Closes and opens private files of the authority."""

    @property
    def seals(self) -> bool:
        """Whether what it closes is sealed."""
        ...

    @property
    def record(self) -> bytes | None:
        """`pki/sealed.json` as it must be by now; None where there is to be none."""
        ...

    def close(self, path: str, content: bytes) -> bytes:
        """What is written to the disk for a private file."""
        ...

    def open(self, path: str, data: bytes) -> bytes:
        """A private file's content.

        Raises:
            AuthorityError: It is sealed, and this vault cannot open it.
        """
        ...

    def files(self, present: Collection[str]) -> dict[str, bytes]:
        """What has to stand beside the private files, by path.

        Args:
            present: The digests of the sealed files that there are.
        """
        ...


class PlainVault:
    """Private files stand on the disk as they are."""

    seals = False
    record = None

    def close(self, path: str, content: bytes) -> bytes:  # noqa: ARG002 -- the vault's signature
        """The content itself."""
        return content

    def open(self, path: str, data: bytes) -> bytes:
        """The content itself.

        Raises:
            AuthorityError: It is sealed, and nothing is left that opens it.
        """
        if is_sealed(data):
            raise AuthorityError(
                f"{path} is sealed, and {IDENTITY_PATH} is missing",
                hint="restore it from a copy: nothing else opens the authority's keys",
            )
        return data

    def files(self, present: Collection[str]) -> dict[str, bytes]:  # noqa: ARG002 -- the vault's signature
        """Nothing."""
        return {}


class SealedVault:
    """Private files are sealed to one identity, which is itself sealed."""

    seals = True

    def __init__(self, identity: Identity, sealed_identity: bytes, record: SealRecord) -> None:
        self._identity = identity
        self._recipient = identity.recipient
        self._sealed_identity = sealed_identity
        self._record = record

    @classmethod
    def new(cls, seal: Seal) -> SealedVault:
        """A vault that nothing is in yet, with an identity of its own.

        Args:
            seal: Closes the identity: a passphrase, or the recipient of whoever is to open it.
        """
        from pkigen.crypto.age import Identity  # noqa: PLC0415 -- few authorities are encrypted

        # A key pair between passphrase and keys: new keys are closed without the passphrase, and many are
        # opened with one run of scrypt.
        identity = Identity.generate()
        record = SealRecord(recipient=identity.recipient.text, keys={})
        return cls(identity, seal.close(f"{identity.text}\n".encode()), record)

    @classmethod
    def unlock(cls, reader: Reader, sealed_identity: bytes, key: Unseal) -> SealedVault:
        """Open a vault.

        Args:
            reader: The PKI directory.
            sealed_identity: What stands in `pki/identity.age`.
            key: What opens it.

        Raises:
            AuthorityError: It is the wrong passphrase or identity, or something was changed.
        """
        from pkigen.crypto.age import Identity  # noqa: PLC0415 -- few authorities are encrypted

        try:
            text = key.open(sealed_identity)
        except BundleError as error:
            raise AuthorityError(
                f"{IDENTITY_PATH} cannot be opened: {error.message}",
                hint="nothing was changed; use the passphrase or identity that the authority was last "
                "encrypted with",
            ) from None
        identity = Identity.of_file(text, IDENTITY_PATH)
        record = _require_record(reader)
        # Before the record is relied on: whoever can write there could name other keys.
        record.require_genuine(identity)
        if record.recipient != identity.recipient.text:
            raise AuthorityError(f"{RECORD_PATH} belongs to another {IDENTITY_PATH}")
        _require_nothing_laid_over(reader, record)
        # The sealed identity is kept as it is: sealing it again would give other bytes with every run.
        return cls(identity, sealed_identity, record)

    @property
    def record(self) -> bytes:
        """`pki/sealed.json` as it must be by now."""
        return self._record.signed(self._identity).encode()

    def close(self, path: str, content: bytes) -> bytes:
        """The content, sealed; the record knows it from now on."""
        sealed = self._recipient.close(content)
        self._record = self._record.with_key(sealed, sealed_key_of(path, content))
        return sealed

    def open(self, path: str, data: bytes) -> bytes:
        """The content, once it is found to be what the record says.

        Raises:
            AuthorityError: It does not open, or is not what the record says.
        """
        if not is_sealed(data):
            # Not sealed yet, such as a CA that the user brought; `unlock` has
            # refused one in a sealed key's place.
            return data
        try:
            content = self._identity.open(data)
        except BundleError:
            raise AuthorityError(
                f"{path} cannot be opened: it was changed, or is sealed for something else",
                hint="restore it from a backup: `pkigen rollback --list` shows them",
            ) from None
        # Anybody who knows the public half can seal something else to it; only the record tells it apart.
        known = self._record.of(data)
        if known is None or known.sha256 != hashlib.sha256(content).digest():
            raise AuthorityError(
                f"{path} does not match {RECORD_PATH}: it was replaced",
                hint="restore both from a backup: `pkigen rollback --list` shows them",
            )
        return content

    def files(self, present: Collection[str]) -> dict[str, bytes]:
        """The sealed identity, and the record of what there is."""
        # Entries of files that are gone would vouch for an old key that somebody puts back.
        self._record = self._record.only(present)
        return {IDENTITY_PATH: self._sealed_identity, RECORD_PATH: self.record}


def sealed_identity(reader: Reader) -> bytes | None:
    """What stands in `pki/identity.age`; None where the authority is not encrypted.

    Raises:
        AuthorityError: Something else stands there, or only the record of the seals is left.
    """
    found = read_file(reader, IDENTITY_PATH)
    if isinstance(found, FileContent):
        if not is_sealed(found.data):
            raise AuthorityError(f"{IDENTITY_PATH} is not an age file", hint="restore it from a copy")
        return found.data
    if found.kind is not FaultKind.MISSING:
        raise AuthorityError(f"{found.path} {found.message}")
    if is_encrypted(reader):
        raise AuthorityError(
            f"{IDENTITY_PATH} is missing, and {RECORD_PATH} is there",
            hint="restore it from a copy: nothing else opens the authority's keys",
        )
    return None


def is_encrypted(reader: Reader) -> bool:
    """Whether the authority's private files must be sealed."""
    return exists(reader, RECORD_PATH, limit=LARGEST_RECORD)


def _require_nothing_laid_over(reader: Reader, record: SealRecord) -> None:
    """See that no unencrypted key stands where the record has a sealed one of another content.

    A key that was never sealed here may lie open: a CA that the user provides is sealed when it is taken up.

    Raises:
        AuthorityError: Somebody who cannot open the authority has put a key into it.
    """
    found = _private_content(reader)
    sealed = {digest(data) for data in found.values() if is_sealed(data)}
    gone = tuple(key for each, key in record.keys.items() if each not in sealed)
    for path, data in found.items():
        own = None if is_sealed(data) else sealed_key_of(path, data)
        if own is not None and _takes_the_place(own, gone):
            raise AuthorityError(
                f"{path} is not encrypted, and is another key than the sealed one that stood there",
                hint="restore the sealed file from a backup: `pkigen rollback --list` shows them; to replace "
                "a key, open the authority first (`pkigen airgap authority decrypt`)",
            )


def _takes_the_place(own: SealedKey, gone: Sequence[SealedKey]) -> bool:
    """Whether an unencrypted key is none of those whose sealed files are gone, but of the kind of one."""
    alike = [key for key in gone if key.is_like(own)]
    return bool(alike) and not any(key.sha256 == own.sha256 or key.is_same(own) for key in alike)


def _private_content(reader: Reader) -> dict[str, bytes]:
    """The authority's private files, of every generation, as they lie on the disk."""
    found = ((path, read_file(reader, path)) for path in PRIVATE_PATHS)
    return {path: content.data for path, content in found if not isinstance(content, Fault)}


def _require_record(reader: Reader) -> SealRecord:
    """Read the record of the seals; raises `AuthorityError` where it is missing or in any other form."""
    found = read_file(reader, RECORD_PATH, limit=LARGEST_RECORD)
    record = None if isinstance(found, Fault) else decode_record(found.data)
    if record is None:
        what = found.message if isinstance(found, Fault) else "is not in pkigen's canonical form"
        raise AuthorityError(
            f"{RECORD_PATH} {what}", hint="`pkigen rollback --list` shows the backups; restore it from one"
        )
    return record


def sealed_key_of(path: str, content: bytes) -> SealedKey:
    """What the record says of a private file.

    Raises:
        AuthorityError: It is neither a key that Kubernetes can use nor a secret of pkigen's.
    """
    sha256 = hashlib.sha256(content).digest()
    if b"-----BEGIN" in content:
        try:
            return SealedKey(sha256=sha256, public=public_der(load_own_private(content)))
        except UnsupportedKeyError as error:
            raise AuthorityError(f"{path} {error}") from None
    try:
        secret = base64.b64decode(content, validate=True)
    except binascii.Error:
        raise AuthorityError(f"{path} is not a secret that pkigen made", hint="it must be base64") from None
    # By its path: an encryption key has the same size, and any such bytes are an Ed25519 seed.
    is_bundle_key = path == BUNDLE_KEY_PATH and len(secret) == BUNDLE_KEY_SIZE
    public = ed25519_public(secret) if is_bundle_key else None
    return SealedKey(sha256=sha256, public=public, size=len(secret))
