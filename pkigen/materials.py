"""What of the authority goes to nodes: trust bundles, CA keys, the service account key pair."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.authority import ca_location
from pkigen.inventory import (
    CA,
    ENCRYPTION_KEY,
    ENCRYPTION_KEY_SIZE,
    DesiredCopy,
    MaterialKind,
    Rotations,
    Slot,
    encryption_key_path,
    sa_path,
)
from pkigen.issuing import certificate_pem
from pkigen.keys import UnsupportedKeyError, load_private, public_der, public_pem
from pkigen.store import MissingError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography import x509

    from pkigen.authority import CACertificates
    from pkigen.observing import Reader


def discovery_hash(certificate: x509.Certificate) -> str:
    """What a joining node pins the cluster's CA by (`discovery-token-ca-cert-hash`)."""
    return f"sha256:{hashlib.sha256(public_der(certificate.public_key())).hexdigest()}"


class Materials:
    """Reads each material once, and gives the same bytes to every node."""

    def __init__(self, reader: Reader, authorities: Mapping[CA, CACertificates]) -> None:
        self._reader = reader
        self._authorities = authorities
        self._known: dict[tuple[MaterialKind, CA | None, Slot], bytes | None] = {}

    def of(self, kind: MaterialKind, ca: CA | None = None, slot: Slot = Slot.CURRENT) -> bytes | None:
        """The bytes of one material; None while the authority does not have it (yet)."""
        key = (kind, ca, slot)
        if key not in self._known:
            self._known[key] = self._load(kind, ca, slot)
        return self._known[key]

    def for_copy(self, copy: DesiredCopy) -> bytes | None:
        """What a copy on a node must hold."""
        return self.of(copy.material, copy.ca, copy.slot)

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
        return present if len(present) == len(keys) else None

    def _load(self, kind: MaterialKind, ca: CA | None, slot: Slot) -> bytes | None:
        if ca is not None and ca not in self._authorities:
            return None
        match kind:
            case MaterialKind.TRUST_BUNDLE if ca is not None:
                return self._authorities[ca].trust_bundle
            case MaterialKind.SIGNING_CERTIFICATE if ca is not None:
                return certificate_pem(self._authorities[ca].certificate)
            case MaterialKind.CA_KEY if ca is not None:
                return self._read(ca_location(ca).key)
            case MaterialKind.SA_PUBLIC_KEY:
                return _public_half(self._read(sa_path(slot, layout.SA_PRIVATE_KEY)))
            case _:
                return self._read(sa_path(slot, layout.SA_PRIVATE_KEY))

    def _read(self, path: str) -> bytes | None:
        try:
            return self._reader.read(path).data
        except (MissingError, UnreadableError):
            return None


def _public_half(private: bytes | None) -> bytes | None:
    if private is None:
        return None
    try:
        return public_pem(load_private(private))
    except UnsupportedKeyError:
        return None
