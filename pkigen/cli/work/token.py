"""What `pkigen access token` says of a token."""

from __future__ import annotations

from pkigen.cli.console import note
from pkigen.cli.session import Session
from pkigen.crypto.service_account_tokens import Claims
from pkigen.desired.generations import SA, Phase


def say_limits(session: Session, claims: Claims) -> None:
    """Say for whom a token is, and where it is refused."""
    until = f"{claims.expires:%Y-%m-%d %H:%M} UTC"
    note(f"signed: {claims.subject} for {', '.join(claims.audiences)} until {until}")
    if claims.uid is None:
        note(
            "warning: it has no UID, so the API server refuses it (it compares it with the live object's); "
            "only other verifiers that use the published keys accept it"
        )
        note(
            f"hint: --uid $(kubectl -n {claims.namespace} get serviceaccount {claims.account} "
            "-o jsonpath='{.metadata.uid}')"
        )
    if not set(claims.audiences) & set(session.inventory.token_trust.audiences):
        note("note: the API server itself refuses it: it is for other audiences")
    note("note: it is bound to no Pod, and it can only be revoked by deleting the service account")
    if session.inventory.rotations.phase(SA) is Phase.PROMOTED:
        note("note: the service account key rotates: API servers that lack the promoted key refuse it")
