"""What a cluster is rooted in, read once: its CAs and service account key, as distributions take them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.issuance import certificate_pem
from pkigen.crypto.keys import UnsupportedKeyError, load_private, private_pem, public_pem
from pkigen.desired.generations import CA, SA, Phase, Slot, ca_id, sa_path
from pkigen.errors import AuthorityError
from pkigen.state.authority import certificates_of, load_issuer
from pkigen.state.observed import content_at

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from pkigen.crypto.keys import PrivateKey
    from pkigen.desired.inventory import Inventory
    from pkigen.state.observed import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class CAFiles:
    """One CA.

    Attributes:
        certificate: PEM of the certificate whose key signs.
        above: PEM of the intermediates above it, the nearest first; empty for a root.
        cross: PEM of a certificate of the same key by the generation before it; empty where there is none.
        before: PEM of the generation before it, as long as it is trusted.
        key: PEM of its private key, PKCS #1 or SEC 1.
    """

    certificate: bytes
    above: bytes = b""
    cross: bytes = b""
    before: bytes = b""
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityFiles:
    """The CAs that are the cluster's own, and what its service account tokens are signed with.

    Attributes:
        name: What the cluster is called where it goes.
        namespace: The namespace of its object there.
        cas: One for each CA whose key is at the site; etcd's is not among them where etcd is external.
        sa_keys: PEM of the key that signs, and of the one before it while that is still accepted.
        sa_public: PEM of the signing key's public half.
    """

    name: str
    namespace: str
    cas: dict[CA, CAFiles]
    sa_keys: tuple[bytes, ...] = field(repr=False)
    sa_public: bytes


def read_authority(
    reader: Reader, inventory: Inventory, *, name: str, namespace: str, now: datetime, during_rotation: bool
) -> AuthorityFiles:
    """Read everything that leaves.

    Args:
        reader: The PKI directory, with the authority's private files opened.
        inventory: The cluster's.
        name: What the cluster is called where it goes.
        namespace: The namespace of its object there.
        now: The present, in UTC.
        during_rotation: Whether the form that is wanted has a place for two generations of a CA.

    Raises:
        AuthorityError: A CA or the key is not there, its key is elsewhere, or a rotation is in progress that
            cannot be carried over.
    """
    _require_carried(inventory, during_rotation=during_rotation)
    # The one that signs first.
    keys = [_signing_key(reader, slot) for slot in inventory.rotations.slots(SA)]
    return AuthorityFiles(
        name=name,
        namespace=namespace,
        cas={ca: _ca(reader, inventory, ca, now=now) for ca in inventory.authorities},
        sa_keys=tuple(map(private_pem, keys)),
        sa_public=public_pem(keys[0]),
    )


def _require_carried(inventory: Inventory, *, during_rotation: bool) -> None:
    """Refuse a moment at which half of what is trusted would be left behind."""
    for identifier in (*map(ca_id, inventory.authorities), SA):
        phase = inventory.rotations.phase(identifier)
        if phase is Phase.STABLE or (during_rotation and phase is Phase.PROMOTED):
            continue
        ready = "promoted" if during_rotation else "finished"
        raise AuthorityError(
            f"{identifier} is being rotated ({phase}), and this form has no place for both generations",
            hint=f"export again when the rotation is {ready}: `pkigen next` says how to go on",
        )


def _ca(reader: Reader, inventory: Inventory, ca: CA, *, now: datetime) -> CAFiles:
    found = certificates_of(reader, inventory, ca, now=now)
    if found is None:
        raise AuthorityError(
            f"the {ca.certificate_name} CA is not there", hint="`pkigen apply` makes what is missing"
        )
    return CAFiles(
        certificate=certificate_pem(found.certificate),
        above=_pem(*found.chain[1:]),
        cross=_pem(found.cross),
        before=_pem(found.other),
        key=private_pem(load_issuer(reader, ca, found).key),
    )


def _pem(*certificates: x509.Certificate | None) -> bytes:
    return b"".join(certificate_pem(each) for each in certificates if each is not None)


def _signing_key(reader: Reader, slot: Slot) -> PrivateKey:
    """One generation of the service account key; raises `AuthorityError` where there is none to be had."""
    path = sa_path(slot, layout.SA_PRIVATE_KEY)
    content = content_at(reader, path)
    if content is None:
        raise AuthorityError(
            f"{path} is missing: no token can be signed with it", hint="export from the directory that has it"
        )
    try:
        return load_private(content)
    except UnsupportedKeyError as error:
        raise AuthorityError(f"{path} {error}") from None
