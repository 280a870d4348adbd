"""Why a service account's token is not what it must be: the reasons of `checks`, for tokens."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pkigen.crypto.service_account_tokens import LEEWAY, Token, in_kubeconfig, is_signed_by, read, withheld
from pkigen.notation import format_duration, residual
from pkigen.reconcile.checks import Finding
from pkigen.records import dataclass
from pkigen.state.observed import Fault, FaultKind, read_file
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from pkigen.desired.items import DesiredToken
    from pkigen.state.observed import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedToken:
    """A kubeconfig with a token as it was found; `fault` says why there is no token."""

    token: Token | None
    fault: Fault | None
    mode: int = 0
    skeleton: bytes = b""

    @property
    def expires(self) -> datetime | None:
        """When the token ends, as far as it can be read."""
        return self.token.expires if self.token is not None else None


def observe_token(reader: Reader, path: str) -> ObservedToken:
    """Look at a kubeconfig with a token."""
    content = read_file(reader, path)
    if isinstance(content, Fault):
        return ObservedToken(token=None, fault=content)
    text = in_kubeconfig(content.data)
    found = "is not a kubeconfig with a token" if text is None else read(text)
    if isinstance(found, str):
        message = found if text is None else f"its token {found}"
        fault = Fault(path=path, kind=FaultKind.UNREADABLE, message=message)
        return ObservedToken(token=None, fault=fault, mode=content.mode)
    # The rest of the kubeconfig is compared without the token, which is never shown or stored.
    skeleton = hashlib.sha256(withheld(content.data)).digest()
    return ObservedToken(token=found, fault=None, mode=content.mode, skeleton=skeleton)


def examine_token(
    desired: DesiredToken,
    observed: ObservedToken,
    *,
    key: bytes | None,
    now: datetime,
    renew_within: timedelta,
) -> tuple[Finding, ...]:
    """Every reason to sign the token again; the first decides.

    Args:
        desired: What it must say.
        observed: What is there.
        key: The PEM of the public key that it must be signed by; None while that is still to be made.
        now: The present, in UTC.
        renew_within: How long before its end it is renewed.
    """
    if observed.token is None:
        if observed.fault is None:  # pragma: no cover -- one of the two is always there
            raise AssertionError
        missing = observed.fault.kind is FaultKind.MISSING
        reason = Reason.MISSING if missing else Reason.UNREADABLE
        return (Finding(reason=reason, detail=f"{desired.path} {observed.fault.message}"),)
    return (
        *_signature(observed.token, key),
        *_content(desired, observed.token),
        *_begun(observed.token, now),
        *_time(observed.token, now, renew_within),
        *_bounded(observed.token, now, desired.longest),
    )


def _signature(token: Token, key: bytes | None) -> Iterator[Finding]:
    """Whether the current service account key has signed it: no other one may be accepted for much longer."""
    # As with a CA: what a replaced key has signed goes with it, in the same plan.
    if key is None:
        yield Finding(reason=Reason.ISSUER_REPLACED, detail="the service account key is replaced")
    elif not is_signed_by(token, key):
        detail = "its token is not signed by the present service account key"
        yield Finding(reason=Reason.UNKNOWN_ISSUER, detail=detail)


def _content(desired: DesiredToken, token: Token) -> Iterator[Finding]:
    """Whether it is for this account, issuer and audience."""
    # With its UID: an account that was deleted and made again has another, and the API server compares it.
    account = {"name": desired.account, "uid": desired.uid}
    wanted: dict[str, object] = {
        "iss": desired.issuer,
        "sub": f"system:serviceaccount:{desired.namespace}:{desired.account}",
        "aud": list(desired.audiences),
        "kubernetes.io": {"namespace": desired.namespace, "serviceaccount": account},
    }
    different = [name for name, value in wanted.items() if token.claims.get(name) != value]
    if different:
        yield Finding(reason=Reason.SUBJECT_CHANGED, detail=f"its token differs in {', '.join(different)}")


def _begun(token: Token, now: datetime) -> Iterator[Finding]:
    """Whether it is valid already."""
    begins = token.not_before
    # The API server grants the same leeway, so a clock that is a little behind is no reason.
    if begins is not None and begins > now + LEEWAY:
        detail = (
            f"its token is not valid before {begins:%Y-%m-%d %H:%M UTC}, in the future: "
            "check this machine's clock"
        )
        yield Finding(reason=Reason.NOT_YET_VALID, detail=detail)


def _bounded(token: Token, now: datetime, longest: timedelta) -> Iterator[Finding]:
    """None lives longer than a rotation of its key waits for; one that did would still work after it."""
    if token.expires is None:
        return
    # From now on where it began earlier than now it says: `nbf` is whatever its signer has written.
    lifetime = token.expires - min(token.not_before or now, now)
    if lifetime > longest:
        detail = (
            f"its token expires {token.expires:%Y-%m-%d %H:%M UTC}, {residual(lifetime)} after it becomes "
            f"valid, and serviceAccounts.maxTokenLifetime is {format_duration(longest)}"
        )
        yield Finding(reason=Reason.LIVES_TOO_LONG, detail=detail)


def _time(token: Token, now: datetime, renew_within: timedelta) -> Iterator[Finding]:
    """Whether it still lives for long enough; one without an end is none of ours."""
    expires = token.expires
    if expires is None:
        yield Finding(reason=Reason.UNREADABLE, detail="its token has no expiry")
    elif expires <= now:
        yield Finding(reason=Reason.EXPIRED, detail=f"its token expired {expires:%Y-%m-%d %H:%M UTC}")
    elif expires - now <= renew_within:
        left = residual(expires - now)
        detail = f"its token expires {expires:%Y-%m-%d %H:%M UTC}, in {left}"
        yield Finding(reason=Reason.EXPIRES_SOON, detail=detail)
