"""What a cluster is rooted in, read once: its CAs and service account key, as distributions take them."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.issuance import certificate_pem
from pkigen.crypto.keys import UnsupportedKeyError, load_private, private_pem, public_pem
from pkigen.desired.generations import CA, SA, Phase, Slot, ca_id, ca_location, sa_path
from pkigen.errors import AuthorityError
from pkigen.records import dataclass
from pkigen.state.authority import certificates_of, load_issuer
from pkigen.state.observed import content_at, observe_certificate

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
        above: PEM of what stands above it, the nearest first; empty for a root.
        cross: PEM of a certificate of the same key by the generation before it; empty where there is none.
        other: PEM of the generation that is trusted beside it while a rotation is under way.
        key: PEM of its private key, PKCS #1 or SEC 1.
        other_key: The same of the generation before, where it is still here.
    """

    certificate: bytes
    above: bytes = b""
    cross: bytes = b""
    other: bytes = b""
    key: bytes = field(repr=False)
    other_key: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdAccess:
    """How an API server comes to an etcd that somebody else runs: PEM of its CA, and of a client of it."""

    ca: bytes
    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityFiles:
    """The CAs that are the cluster's own, and what its service account tokens are signed with.

    Attributes:
        name: What the cluster is called where it goes.
        namespace: The namespace of its object there.
        cas: One for each CA whose key is at the site; etcd's is not among them where etcd is external.
        sa_keys: PEM of the key that signs, and of the one before it while that is still accepted.
        sa_public: PEM of the public halves of these, in the same order.
        external_etcd: What an API server needs for an etcd that is not the cluster's own.
    """

    name: str
    namespace: str
    cas: dict[CA, CAFiles]
    sa_keys: tuple[bytes, ...] = field(repr=False)
    sa_public: tuple[bytes, ...]
    external_etcd: EtcdAccess | None = None


def read_authority(
    reader: Reader,
    inventory: Inventory,
    *,
    name: str,
    namespace: str,
    now: datetime,
    overlaps: frozenset[str],
) -> AuthorityFiles:
    """Read everything that leaves.

    Args:
        reader: The PKI directory, with the authority's private files opened.
        inventory: The cluster's.
        name: What the cluster is called where it goes.
        namespace: The namespace of its object there.
        now: The present, in UTC.
        overlaps: The ids of what the form that is wanted has a place for two generations of.

    Raises:
        AuthorityError: A CA or the key is not there, its key is elsewhere, or a rotation is in progress that
            cannot be carried over.
    """
    _require_carried(inventory, overlaps)
    # The one that signs first.
    # Private keys of both, for k3s verifies by its file of private keys, too (service.key).
    keys = [_signing_key(reader, slot) for slot in inventory.rotations.slots(SA)]
    return AuthorityFiles(
        name=name,
        namespace=namespace,
        cas={ca: _ca(reader, inventory, ca, now=now) for ca in inventory.authorities},
        sa_keys=tuple(map(private_pem, keys)),
        sa_public=tuple(map(public_pem, keys)),
    )


def _require_carried(inventory: Inventory, overlaps: frozenset[str]) -> None:
    """Refuse a moment at which half of what is trusted would be left behind."""
    for identifier in (*map(ca_id, inventory.authorities), SA):
        # Asked of etcd's CA only where it is the cluster's own: `authorities` leaves an external one out.
        phase = inventory.rotations.phase(identifier)
        if phase is not Phase.STABLE and identifier not in overlaps:
            raise AuthorityError(
                f"{identifier} is being rotated ({phase}), and this form has no place for both generations",
                hint="export again when the rotation is finished: `pkigen next` says how to go on",
            )


def _ca(reader: Reader, inventory: Inventory, ca: CA, *, now: datetime) -> CAFiles:
    found = certificates_of(reader, inventory, ca, now=now)
    if found is None:
        raise AuthorityError(
            f"the {ca.certificate_name} CA is not there", hint="`pkigen apply` makes what is missing"
        )
    return CAFiles(
        certificate=certificate_pem(found.certificate),
        # With its root, which servers need not send, but whoever is to trust this CA may want to see.
        above=_pem(*observe_certificate(reader, ca_location(ca)).chain),
        cross=_pem(found.cross),
        other=_pem(found.other),
        key=private_pem(load_issuer(reader, ca, found).key),
        # k3s and k8s-snap go on signing with it for servers; other forms leave it behind.
        other_key=_previous_key(reader, ca),
    )


def _previous_key(reader: Reader, ca: CA) -> bytes:
    path = ca_location(ca, Slot.PREVIOUS).key
    # Missing is no error: to trust the CA before, its certificate is enough, and a brought one may have no
    # key here.
    content = content_at(reader, path)
    return private_pem(_private(content, path)) if content is not None else b""


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
    return _private(content, path)


def _private(content: bytes, path: str) -> PrivateKey:
    try:
        return load_private(content)
    except UnsupportedKeyError as error:
        raise AuthorityError(f"{path} {error}") from None
