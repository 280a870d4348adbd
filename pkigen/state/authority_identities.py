"""The public identity of every key of an authority: by it a key is recorded, and known again.

Every CA and signing key of `pki/` is known by its public half; a secret has none, and is known by a digest
from which nobody finds it. A new kind of key is one line in `_LOCATIONS`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.age_header import is_sealed
from pkigen.crypto.keys import ed25519_public, public_der, spki_fingerprint
from pkigen.desired.generations import (
    BUNDLE_KEY_PATH,
    BUNDLE_KEY_SIZE,
    CA,
    ENCRYPTION_KEY,
    SA,
    Slot,
    ca_location,
    encryption_key_path,
    pair_at,
    sa_path,
)
from pkigen.state.observed import (
    Fault,
    FaultKind,
    observe_certificate,
    observe_key_pair,
    read_file,
    sealed_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pkigen.desired.generations import KeyPairFiles
    from pkigen.state.observed import Reader

OFFLINE_ROOT = pair_at(layout.authority_path("root"))
"""The root above the CAs, where an offline authority has it."""

Identities = dict[str, str]
"""The public identity of every key of an authority, by the file that holds it, sorted."""

# An identity like any other, so that a damaged key counts as replaced, and never as missing and to be made
# anew.
UNREADABLE = "unreadable"
# Part of every digest of a secret, so that it equals no digest made of it for another purpose.
_SECRET_CONTEXT = b"pkigen authority record 1\0"
CHAIN = " (chain)"
"""Behind the file of a CA: the identities of what stands above it there."""


def _ca_identities(reader: Reader, location: KeyPairFiles) -> Iterator[tuple[str, str]]:
    """A CA by its certificate: that its key is the certificate's own is verified wherever it signs."""
    path = location.certificate
    observed = observe_certificate(reader, location)
    if observed.certificate is not None:
        yield path, spki_fingerprint(public_der(observed.certificate.public_key()))
        # Recorded apart, so that a CA whose chain changes is told from one that was replaced.
        if observed.chain:
            above = (spki_fingerprint(public_der(link.public_key())) for link in observed.chain)
            yield path + CHAIN, " ".join(above)
    elif _is_there(observed.certificate_fault):
        yield path, UNREADABLE


def _sa_identity(reader: Reader, slot: Slot) -> Iterator[tuple[str, str]]:
    """The service account key by its public half; unreadable where something is there that is no key."""
    path = sa_path(slot, layout.SA_PRIVATE_KEY)
    observed = observe_key_pair(reader, path, sa_path(slot, layout.SA_PUBLIC_KEY))
    if observed.private is not None:
        yield path, spki_fingerprint(observed.private)
    elif _is_there(observed.private_fault):
        yield path, UNREADABLE


def _secret_identity(reader: Reader, path: str) -> Iterator[tuple[str, str]]:
    """A secret by a digest, which reveals nothing: the secret is random, and too long to be guessed."""
    found = read_file(reader, path)
    if isinstance(found, Fault):
        if _is_there(found):
            yield path, UNREADABLE
        return
    sealed = sealed_key(reader, found.data) if is_sealed(found.data) else None
    if is_sealed(found.data) and sealed is None:
        yield path, UNREADABLE
        return
    # Of the content, not of the file: encrypting the authority changes nobody's identity.
    content = sealed.sha256 if sealed is not None else hashlib.sha256(found.data).digest()
    yield path, f"hmac-sha256:{hmac.digest(_SECRET_CONTEXT, content, hashlib.sha256).hex()}"


def _bundle_key_identity(reader: Reader) -> Iterator[tuple[str, str]]:
    """The key that signs bundles, by its public half; unreadable where it is no such key."""
    found = read_file(reader, BUNDLE_KEY_PATH)
    if isinstance(found, Fault):
        if _is_there(found):
            yield BUNDLE_KEY_PATH, UNREADABLE
        return
    public = _bundle_public(reader, found.data)
    yield BUNDLE_KEY_PATH, UNREADABLE if public is None else spki_fingerprint(public)


def _bundle_public(reader: Reader, data: bytes) -> bytes | None:
    """The public half of the bundle key, sealed or not; None where it is not one."""
    if is_sealed(data):
        sealed = sealed_key(reader, data)
        return sealed.public if sealed is not None else None
    try:
        seed = base64.b64decode(data, validate=True)
    except ValueError:
        return None
    return ed25519_public(seed) if len(seed) == BUNDLE_KEY_SIZE else None


_LOCATIONS: tuple[Callable[[Reader], Iterator[tuple[str, str]]], ...] = (
    lambda reader: (
        each for ca in CA for slot in Slot for each in _ca_identities(reader, ca_location(ca, slot))
    ),
    lambda reader: _ca_identities(reader, OFFLINE_ROOT),
    lambda reader: (each for slot in Slot for each in _sa_identity(reader, slot)),
    lambda reader: (each for slot in Slot for each in _secret_identity(reader, encryption_key_path(slot))),
    _bundle_key_identity,
)


def generation_path(identifier: str, slot: Slot) -> str:
    """The file by which a generation of what rotates is recorded."""
    if identifier == SA:
        return sa_path(slot, layout.SA_PRIVATE_KEY)
    if identifier == ENCRYPTION_KEY:
        return encryption_key_path(slot)
    return ca_location(CA.of_id(identifier), slot).certificate


def observe_authority(reader: Reader) -> Identities:
    """The identity of every key that a directory's authority has; sealed ones need not be opened for it."""
    return dict(sorted(each for location in _LOCATIONS for each in location(reader)))


def _is_there(fault: Fault | None) -> bool:
    return fault is not None and fault.kind is not FaultKind.MISSING
