"""An opened bundle: label and manifest agree, and every file is the one that the manifest names."""

from __future__ import annotations

import hashlib
from dataclasses import field
from typing import TYPE_CHECKING

from pkigen.airgap.carrier.archive import LARGEST_ARCHIVE, LARGEST_FILE, Member, decode, encode
from pkigen.airgap.carrier.envelope import Envelope, wrap
from pkigen.airgap.carrier.format import (
    BundleKind,
    Label,
    Manifest,
    ManifestEntry,
    decode_manifest,
    encode_manifest,
)
from pkigen.airgap.carrier.paths import require_known, require_rescue
from pkigen.errors import BundleError
from pkigen.layout import KEY_MODE
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pkigen.airgap.carrier.bundle_key import BundleKey
    from pkigen.crypto.age import Seal, Unseal

MANIFEST = "manifest.json"
_SHOWN_BY = {
    BundleKind.REQUEST: "`pkigen airgap node approve` or `pkigen airgap authority sign` shows its "
    "content and asks "
    "for approval",
    BundleKind.ANSWER: "`pkigen airgap authority accept` shows its content and asks for approval",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle that was found whole.

    `content` is the SHA-256 of the archive before it was sealed: the same tree gives the same.
    """

    label: Label
    public: bytes
    manifest: Manifest
    files: dict[str, bytes] = field(repr=False)
    content: str


def entries_of(members: Iterable[Member]) -> tuple[ManifestEntry, ...]:
    """What a manifest says of some files."""
    return tuple(
        ManifestEntry(
            path=member.path,
            mode=member.mode,
            sha256=hashlib.sha256(member.data).hexdigest(),
            size=len(member.data),
        )
        for member in members
    )


def _largest(kind: BundleKind) -> int:
    """A rescue kit holds the lock file and the ledger, which grow with the cluster."""
    return LARGEST_ARCHIVE if kind is BundleKind.RESCUE else LARGEST_FILE


def archive_of(manifest: Manifest, files: dict[str, bytes]) -> bytes:
    """The bytes before sealing: the manifest, then the files in its order; same content, same bytes."""
    head = Member(path=MANIFEST, mode=KEY_MODE, data=encode_manifest(manifest))
    members = (Member(path=each.path, mode=each.mode, data=files[each.path]) for each in manifest.files)
    return encode((head, *members), largest=_largest(manifest.kind))


def write_bundle(label: Label, archive: bytes, *, seal: Seal, key: BundleKey) -> bytes:
    """Seal an archive and sign it."""
    return wrap(label, seal.close(archive), key)


def require_sealed(envelope: Envelope) -> None:
    """Refuse what is signed and carried like a bundle, but has nothing sealed in it.

    Raises:
        BundleError: It is a request or an answer.
    """
    label = envelope.label
    if label.kind in _SHOWN_BY:
        raise BundleError(
            f"it is the {label.kind} of {label.node} of {label.cluster}, signed by {envelope.fingerprint}",
            hint=_SHOWN_BY[label.kind],
        )


def open_bundle(envelope: Envelope, unseal: Unseal, *, directory: str | None = None) -> Bundle:
    """Open what an envelope holds, and check all of it.

    Raises:
        BundleError: It is sealed for somebody else, or anything in it is not as the manifest says.
    """
    archive = unseal.open(envelope.sealed)
    members = decode(archive, largest=_largest(envelope.label.kind))
    # The manifest first: it says what the archive may hold before any of that is kept.
    first = next(members, None)
    if first is None or first.path != MANIFEST:
        raise BundleError("the archive does not begin with its manifest")
    manifest = decode_manifest(first.data)
    # The label is what was shown and admitted, the manifest what will be installed.
    if not manifest.agrees_with(envelope.label):
        raise BundleError("the bundle's label and manifest differ")
    paths = (entry.path for entry in manifest.files)
    # A kit goes into a PKI directory, every other bundle over a node's root.
    if manifest.kind is BundleKind.RESCUE:
        require_rescue(paths)
    else:
        require_known(paths, directory=directory)
    files: dict[str, bytes] = {}
    found = []
    for member in members:
        found.append(member)
        files[member.path] = member.data
    # All at once and in order: nothing more, nothing less, and every byte.
    if entries_of(found) != manifest.files:
        raise BundleError("the files in the archive differ from its manifest")
    return Bundle(
        label=envelope.label,
        public=envelope.public,
        manifest=manifest,
        files=files,
        content=hashlib.sha256(archive).hexdigest(),
    )
