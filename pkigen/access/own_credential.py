"""A credential that somebody has already: what this cluster's API servers would refuse is refused here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.access.credentials import key_fault, of_certificate, of_token
from pkigen.access.identities import declared
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.crypto.service_account_tokens import (
    LONGEST_TOKEN,
    SERVICE_ACCOUNT_PREFIX,
    Token,
    is_signed_by,
    read,
)
from pkigen.desired.generations import SA, sa_path
from pkigen.errors import AccessError
from pkigen.state.observed import Fault, read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

    from pkigen.access.credentials import Credential
    from pkigen.desired.inventory import Inventory
    from pkigen.state.observed import Reader

LARGEST_CERTIFICATE = 256 << 10


def certificate_credential(
    data: bytes, file: Path, *, trust_bundle: bytes, now: datetime
) -> tuple[Credential, tuple[x509.Certificate, ...]]:
    """What a client certificate and its chain make somebody in this cluster.

    Args:
        data: PEM.
        file: Where it comes from, for the messages.
        trust_bundle: What the API servers verify clients by.
        now: The present, in UTC.

    Raises:
        AccessError: It is no certificate, or the API servers would refuse it.
    """
    chain = parse_certificates(data) if len(data) <= LARGEST_CERTIFICATE else "is larger than 256 KiB"
    if isinstance(chain, str):
        raise AccessError(f"{file} {chain}")
    anchors = parse_certificates(trust_bundle)
    refusal = "" if isinstance(anchors, str) else PathVerifier(now).client(chain, anchors)
    if refusal:
        raise AccessError(
            f"this cluster's API servers refuse the certificate in {file}: {refusal}",
            hint="it must be a client certificate of this cluster's CA that has not expired",
        )
    found = of_certificate(chain[0], now=now)
    if not found.user:
        raise AccessError(f"the certificate in {file} names no user (CN)")
    return found, chain


def require_key_of(certificate: x509.Certificate, data: bytes, path: Path) -> None:
    """Refuse a private key that is not the certificate's.

    Raises:
        AccessError: It is another's, or none.
    """
    fault = key_fault(data, certificate)
    if fault is not None:
        raise AccessError(f"the private key {path} {fault}", hint="give the path of its key with --key-path")


def token_credential(data: bytes, file: Path, *, now: datetime) -> tuple[Credential, str]:
    """What a token makes somebody in this cluster, and its text.

    Raises:
        AccessError: It is no token, or the API servers would refuse it.
    """
    # `replace` makes a sign that `isascii` then refuses, instead of an exception without the file's name.
    text = data.decode("ascii", "replace").strip()
    if not text or len(text) > LONGEST_TOKEN or not (text.isascii() and text.isprintable()) or " " in text:
        raise AccessError(f"{file} holds no token")
    found = of_token(text, now=now)
    if found.faults:
        raise AccessError(
            f"this cluster's API servers refuse it: {found.faults[0]}",
            hint="make a new one with `kubectl create token` or `pkigen access token`",
        )
    return found, text


def is_foreign(text: str, keys: Iterable[bytes]) -> bool:
    """Whether none of a cluster's service account keys has signed a token that says that one has."""
    token = read(text)
    return isinstance(token, Token) and not any(is_signed_by(token, key) for key in keys)


def service_account_keys(inventory: Inventory, reader: Reader) -> Iterator[bytes]:
    """The public keys that the API servers accept tokens by, PEM."""
    for slot in inventory.rotations.slots(SA):
        content = read_file(reader, sa_path(slot, layout.SA_PUBLIC_KEY))
        if not isinstance(content, Fault):
            yield content.data


def home_of(inventory: Inventory, found: Credential) -> str | None:
    """Where somebody works by default: the spec says so of people, a service account lives in a namespace."""
    person = declared(inventory, found.user)
    account = found.user.removeprefix(SERVICE_ACCOUNT_PREFIX)
    if person is not None:
        return person.namespace
    return account.partition(":")[0] if account != found.user else None
