"""What of the authority goes to nodes: trust bundles, CA keys, the service account key pair."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.age_header import is_sealed
from pkigen.crypto.issuance import certificate_pem
from pkigen.crypto.keys import UnsupportedKeyError, load_private, public_der, public_pem, public_pem_of
from pkigen.desired.generations import (
    CA,
    ENCRYPTION_KEY,
    ENCRYPTION_KEY_SIZE,
    Rotations,
    Slot,
    ca_location,
    encryption_key_path,
    sa_path,
)
from pkigen.desired.items import DesiredCopy, MaterialKind
from pkigen.state.observed import is_withheld, sealed_key
from pkigen.store import MissingError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography import x509

    from pkigen.state.authority import CACertificates
    from pkigen.state.observed import Reader
    from pkigen.state.seals import SealedKey

# That many characters hold 18 bytes, and every key has more.
_WORDS = re.compile(rb"[A-Za-z0-9+/=]{24,}")
"""What in a file could be a secret's base64."""


def discovery_hash(certificate: x509.Certificate) -> str:
    """What a joining node pins the cluster's CA by (`discovery-token-ca-cert-hash`)."""
    # As kubeadm computes it: over the public key, so that a renewed CA keeps it (util/pubkeypin).
    return f"sha256:{hashlib.sha256(public_der(certificate.public_key())).hexdigest()}"


class Materials:
    """Reads each material once, and gives the same bytes to every node.

    Args:
        reader: The PKI directory.
        authority: Gives a CA's certificates; None while that CA is still to be made.
    """

    def __init__(self, reader: Reader, authority: Callable[[CA], CACertificates | None]) -> None:
        self._reader = reader
        self._authority = authority
        self._known: dict[tuple[MaterialKind, CA | None, Slot], bytes | None] = {}

    def of(self, kind: MaterialKind, ca: CA | None = None, slot: Slot = Slot.CURRENT) -> bytes | None:
        """The bytes of one material; None while the authority does not have it (yet)."""
        key = (kind, ca, slot)
        # A thousand nodes ask for the same bundle.
        if key not in self._known:
            self._known[key] = self._load(kind, ca, slot)
        return self._known[key]

    def for_copy(self, copy: DesiredCopy) -> bytes | None:
        """What a copy on a node must hold; None while the authority does not have it."""
        return self.of(copy.material, copy.ca, copy.slot)

    def digest_for_copy(self, copy: DesiredCopy) -> bytes | None:
        """The SHA-256 of what a copy on a node must hold; known of sealed keys, too."""
        content = self.of(copy.material, copy.ca, copy.slot)
        if content is None:
            return None
        sealed = self._sealed(content)
        return sealed.sha256 if sealed is not None else hashlib.sha256(content).digest()

    def has_secret(self, path: str, size: int) -> bool:
        """Whether there is a random secret of that many bytes."""
        content = self._read(path)
        sealed = self._sealed(content) if content is not None else None
        # A sealed file says its size in the record, so nobody is asked for the passphrase.
        return sealed.size == size if sealed is not None else self.secret(path, size) is not None

    def secret(self, path: str, size: int) -> bytes | None:
        """A random secret's base64 text, or None where there is none that decodes to `size` bytes."""
        text = self._read(path)
        try:
            return None if text is None or len(base64.b64decode(text, validate=True)) != size else text
        except binascii.Error:
            return None

    def encryption_keys(self, rotations: Rotations) -> tuple[bytes, ...] | None:
        """The keys that Secrets are encrypted with, the one that writes first; None while one is not made."""
        slots = rotations.slots(ENCRYPTION_KEY)
        keys = tuple(self.secret(encryption_key_path(slot), ENCRYPTION_KEY_SIZE) for slot in slots)
        present = tuple(key for key in keys if key is not None)
        # All or nothing: with one key fewer, Secrets would be written that others
        # cannot read, or not be readable.
        return present if len(present) == len(keys) else None

    def encryption_keys_in(self, rotations: Rotations, text: bytes) -> tuple[bytes, ...] | None:
        """The same keys as they stand in a node's file, where the authority's are sealed.

        Args:
            rotations: Which of them there are.
            text: The file; what in it has the digest of a key is that key.
        """
        # Every word is tried: a template may put the keys anywhere in the file.
        words = {hashlib.sha256(word).digest(): word for word in set(_WORDS.findall(text))}
        found = []
        for slot in rotations.slots(ENCRYPTION_KEY):
            path = encryption_key_path(slot)
            content = self._read(path)
            sealed = self._sealed(content) if content is not None else None
            # The digest finds the key in a node's file, without opening the authority. What the record
            # does not know, and is no key by itself, is none.
            word = words.get(sealed.sha256) if sealed is not None else self.secret(path, ENCRYPTION_KEY_SIZE)
            if word is None:
                return None
            found.append(word)
        return tuple(found)

    def _sealed(self, content: bytes) -> SealedKey | None:
        """What is known of a sealed file; None for one that lies open."""
        return sealed_key(self._reader, content) if is_sealed(content) else None

    def _load(self, kind: MaterialKind, ca: CA | None, slot: Slot) -> bytes | None:
        """The bytes of a material as they lie on the disk, sealed or not; None while its CA is to be made."""
        if ca is not None:
            certificates = self._authority(ca)
            return self._of_ca(kind, ca, certificates) if certificates is not None else None
        match kind:
            case MaterialKind.SA_PUBLIC_KEY:
                return self._public_half(sa_path(slot, layout.SA_PRIVATE_KEY))
            case _:
                return self._read(sa_path(slot, layout.SA_PRIVATE_KEY))

    def _of_ca(self, kind: MaterialKind, ca: CA, certificates: CACertificates) -> bytes | None:
        """The trust bundle, the signing certificate or the key of a CA; None while one is not there."""
        match kind:
            case MaterialKind.TRUST_BUNDLE:
                return certificates.trust_bundle
            case MaterialKind.SIGNING_CERTIFICATE:
                return certificate_pem(certificates.certificate)
            case _:
                return self._read(ca_location(ca).key)

    def _read(self, path: str) -> bytes | None:
        """The bytes of a file; None where nothing can be read, for the plan to make it."""
        try:
            return self._reader.read(path).data
        # Not RefusedError: a key that the system withholds must not be made anew.
        except (MissingError, UnreadableError):
            return None

    def _public_half(self, path: str) -> bytes | None:
        """Nodes get the public key that belongs to the private one, whatever `sa.pub` says."""
        if is_withheld(self._reader, path):
            # In a checkout without private files the public half is all that there is.
            return self._read(path.removesuffix(".key") + ".pub")
        private = self._read(path)
        if private is None:
            return None
        try:
            if not is_sealed(private):
                return public_pem(load_private(private))
            sealed = self._sealed(private)
            return public_pem_of(sealed.public or b"") if sealed is not None else None
        except UnsupportedKeyError:
            return None
