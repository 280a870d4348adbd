"""What is dangerous about undoing an install on a node: what comes back, what goes, and what has expired."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.keys import public_der, spki_fingerprint
from pkigen.crypto.names import is_ca
from pkigen.crypto.pem_certificates import parse_certificates
from pkigen.reconcile.encrypted_data import CipherChange, ciphers, unread
from pkigen.reconcile.restore import RestoredView
from pkigen.reconcile.revocation_list import let_in
from pkigen.state.observed import Fault, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pkigen.reconcile.restore import Rollback
    from pkigen.state.observed import Reader
    from pkigen.store import Store

# As `templates/` writes it; the name of a key's entry says nothing of its content.
_SECRET = re.compile(rb"(?m)^\s*secret: \"?([A-Za-z0-9+/=]{16,})\"?\s*$")


def risks_of(rollback: Rollback, store: Store, *, now: datetime) -> tuple[str, ...]:
    """What undoing an install can break, one sentence each; undoing the very first one breaks nothing.

    Raises:
        StoreError: A backup does not hold what was put there.
    """
    if not rollback.undone:
        return ()
    paths = (*(each.path for each in rollback.restores), *rollback.removes)
    view = RestoredView(store, rollback)
    return tuple(
        sentence
        for risk in (_trust, _secrets, _account_keys, _revoked)
        for path in paths
        for sentence in risk(path, store, view)
    ) + tuple(_expired(rollback, view, now))


def _trust(path: str, before: Reader, after: Reader) -> Iterator[str]:
    """CAs that a file of trust anchors gains or loses."""
    if not path.endswith(".crt"):
        return
    old, new = _anchors(path, before), _anchors(path, after)
    if not old or not new:
        return  # a file that comes or goes does so with all that reads it
    for spki in new.keys() - old.keys():
        yield f"it brings back {new[spki]} ({spki[:23]}), which /{path} no longer trusts"
    for spki in old.keys() - new.keys():
        yield f"it takes away {old[spki]} ({spki[:23]}): who reads /{path} refuses what it has signed"


def _anchors(path: str, reader: Reader) -> dict[str, str]:
    """The CAs in a file, by public key: a renewed one is the same CA."""
    found = read_file(reader, path)
    certificates = () if isinstance(found, Fault) else parse_certificates(found.data)
    if isinstance(certificates, str):
        return {}
    return {
        spki_fingerprint(public_der(each.public_key())): f"CA {each.subject.rfc4514_string()}"
        for each in certificates
        if is_ca(each)
    }


def _secrets(path: str, before: Reader, after: Reader) -> Iterator[str]:
    """Keys that Secrets may be encrypted with."""
    if path.endswith(f"/{layout.ENCRYPTION_CONFIGURATION}"):
        gone = _matches(_SECRET, path, before) - _matches(_SECRET, path, after)
        if gone:
            yield f"it takes a key out of /{path}: Secrets that are encrypted with it cannot be read any more"
        present, then = (ciphers(_bytes(path, reader)) for reader in (before, after))
        if then:
            yield from unread(CipherChange(before=present, after=then))


def _revoked(path: str, before: Reader, after: Reader) -> Iterator[str]:
    """Credentials that the API server refuses now."""
    found = let_in(f"/{path}", _bytes(path, before) or b"", _bytes(path, after) or b"")
    if found is not None:
        yield found


def _account_keys(path: str, before: Reader, after: Reader) -> Iterator[str]:
    """Keys by which the API server accepts tokens."""
    # A file that only comes back takes no key away.
    if path.endswith(".pub") and _bytes(path, before) not in {None, _bytes(path, after)}:
        yield f"it takes back /{path}: tokens that its present key has signed may be refused"


def _expired(rollback: Rollback, view: Reader, now: datetime) -> Iterator[str]:
    """Certificates that come back although they have ended."""
    found = [each.path for each in rollback.restores if _has_expired(each.path, view, now)]
    if found:
        count = f"{len(found)} expired certificate{'' if len(found) == 1 else 's'}"
        yield f"it restores {count}, such as /{found[0]}"


def _has_expired(path: str, view: Reader, now: datetime) -> bool:
    """Whether a file that comes back holds a certificate that has ended."""
    data = _bytes(path, view) if path.endswith(".crt") else None
    certificates = parse_certificates(data) if data is not None else ()
    return not isinstance(certificates, str) and any(each.not_valid_after_utc <= now for each in certificates)


def _matches(pattern: re.Pattern[bytes], path: str, reader: Reader) -> set[bytes]:
    return set(pattern.findall(_bytes(path, reader) or b""))


def _bytes(path: str, reader: Reader) -> bytes | None:
    found = read_file(reader, path)
    return None if isinstance(found, Fault) else found.data
