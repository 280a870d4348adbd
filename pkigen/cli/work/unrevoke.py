"""The work of `pkigen access unrevoke`: what a word means."""

from __future__ import annotations

from pkigen.cli.session import Session
from pkigen.cli.work.revoke import found_of, scope_of
from pkigen.desired.revocations import CredentialId
from pkigen.errors import PkigenError
from pkigen.store import Store


def credential_ids(word: str, session: Session, store: Store) -> tuple[CredentialId, ...]:
    """What a word is known to mean; nothing where it is only on the list."""
    try:
        return tuple(each.credential for each in found_of(word, scope_of(session, store), before=None))
    except PkigenError:
        return ()
