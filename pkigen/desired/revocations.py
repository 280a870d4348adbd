"""Credentials that API servers refuse although they are valid, by the ids that these know them by.

An API server knows a client certificate by the SHA-256 of its DER (`X509SHA256=…`, apiserver
`authentication/request/x509/x509.go`) and a token by its jti (`JTI=…`, `authentication/token/jwt`); both are
in the user's extra `authentication.kubernetes.io/credential-id`. `USER=…` is pkigen's own, for what a node
has got for itself: whatever authenticates as that user.
"""

from __future__ import annotations

import enum
import hashlib
import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pkigen.notation import timestamp
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST: Final = 10_000
"""How many credentials one file bears: measured, docs/how-to/revocation.md."""
# In characters: it stands beside every credential in `pki.lock` and in messages.
LONGEST_REASON: Final = 200
_LONGEST_TEXT: Final = 1000
# What a token's `exp` is exceeded by (go-jose's leeway of a minute), and what clocks differ by.
_GRACE: Final = timedelta(minutes=5)


class CredentialIdKind(enum.StrEnum):
    """What an id is of."""

    CERTIFICATE = "X509SHA256"
    TOKEN = "JTI"  # noqa: S105 -- a kind
    USER = "USER"


# No quote and no backslash: an id stands as a string in an expression.
_VALUES: Final = {
    CredentialIdKind.CERTIFICATE: re.compile(r"[0-9a-f]{64}"),
    CredentialIdKind.TOKEN: re.compile(r"[A-Za-z0-9._:/+=@~-]{1,253}"),
    CredentialIdKind.USER: re.compile(r"system:node:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"),
}


@dataclass(frozen=True, slots=True, order=True)
class CredentialId:
    """One credential, or everything of one user."""

    kind: CredentialIdKind
    value: str

    def __str__(self) -> str:
        return f"{self.kind}={self.value}"

    @classmethod
    def parse(cls, text: str) -> CredentialId:
        """Read `KIND=VALUE`.

        Raises:
            ValueError: It is none; what it must be, without a subject.
        """
        name, _, value = text.partition("=")
        try:
            kind = CredentialIdKind(name)
        # Which kinds there are is what helps; Python's own words name the enum.
        except ValueError:
            msg = f"must be {', '.join(f'{each}=…' for each in CredentialIdKind)}"
            raise ValueError(msg) from None
        if _VALUES[kind].fullmatch(value) is None:
            raise ValueError(_FORMS[kind])
        return cls(kind, value)

    @classmethod
    def of_certificate(cls, fingerprint: str) -> CredentialId:
        """The id of a certificate, by its SHA-256 with or without `sha256:` before it."""
        return cls.parse(f"{CredentialIdKind.CERTIFICATE}={fingerprint.removeprefix('sha256:')}")


_FORMS: Final = {
    CredentialIdKind.CERTIFICATE: "must be X509SHA256= and 64 hexadecimal digits in lower case",
    CredentialIdKind.TOKEN: "must be JTI= and a token's id: letters, digits and . _ : / + = @ ~ -",
    CredentialIdKind.USER: "must be USER=system:node: and a node's name",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One credential that is refused.

    `of` is whose it is: an id of the inventory, or what else is known of it. `expires` is when it would have
    ended by itself; None where nobody knows.
    """

    credential: CredentialId
    of: str
    reason: str
    revoked: datetime
    expires: datetime | None

    def is_over(self, now: datetime) -> bool:
        """Whether the credential has expired, and need not be refused any more."""
        return self.ends is not None and self.ends <= now

    @property
    def ends(self) -> datetime | None:
        """From when on it is over; None where that is not known."""
        return None if self.expires is None else self.expires + _GRACE

    @property
    def facts(self) -> dict[str, str]:
        """What records say of it, beside its id."""
        return {
            "of": self.of,
            "reason": self.reason,
            "revoked": timestamp(self.revoked),
            **({"notAfter": timestamp(self.expires)} if self.expires is not None else {}),
        }

    @classmethod
    def read(cls, credential: str, facts: Any) -> Revocation:
        """What `facts` has written.

        Raises:
            ValueError: It is something else.
        """
        try:
            reason, whose = _told(facts["reason"]), _told(facts["of"])
            revoked, expires = _moment(facts["revoked"]), facts.get("notAfter")
        except (KeyError, TypeError, AttributeError):
            raise ValueError("is no record of a revocation") from None
        return cls(
            credential=CredentialId.parse(credential),
            of=whose,
            reason=reason,
            revoked=revoked,
            expires=None if expires is None else _moment(expires),
        )

    def __str__(self) -> str:
        ends = f", valid until {self.expires:%Y-%m-%d %H:%M} UTC" if self.expires is not None else ""
        return f"{short(self.credential)} of {self.of}{ends}: {self.reason}"


def short(credential: CredentialId) -> str:
    """An id as people compare it: 16 digits of a fingerprint."""
    text = str(credential)
    # `X509SHA256=` and 16 digits.
    return f"{text[:27]}…" if credential.kind is CredentialIdKind.CERTIFICATE else text


def _told(text: object) -> str:
    """A text that is shown to people: others may have written the record."""
    if not isinstance(text, str) or not text.isprintable() or len(text) > _LONGEST_TEXT:
        raise ValueError("has a text that is not one line")
    return text


def _moment(text: object) -> datetime:
    """A moment with its zone; one without would be anybody's."""
    moment = datetime.fromisoformat(str(text))
    if moment.tzinfo is None:
        raise ValueError("has a moment without a zone")
    return moment


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationChange:
    """What is revoked from now on, and what is not any more."""

    revoked: tuple[Revocation, ...] = ()
    lifted: tuple[Revocation, ...] = ()


UNCHANGED: Final = RevocationChange()


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """What must be refused, and what was until it expired, and may stand in files still."""

    active: tuple[Revocation, ...] = ()
    over: tuple[Revocation, ...] = ()

    @classmethod
    def of(cls, revocations: Iterable[Revocation], *, now: datetime) -> RevocationList:
        """Both, of all that is recorded and was not lifted."""
        found = in_order(revocations)
        return cls(
            active=tuple(each for each in found if not each.is_over(now)),
            over=tuple(each for each in found if each.is_over(now)),
        )

    def changed(self, change: RevocationChange) -> RevocationList:
        """The list with a change."""
        lifted = {each.credential for each in change.lifted}
        kept = (each for each in self.active if each.credential not in lifted)
        return replace(self, active=in_order((*kept, *change.revoked)))


NOBODY: Final = RevocationList()


def in_order(revocations: Iterable[Revocation]) -> tuple[Revocation, ...]:
    """Sorted by id, each once: the same list has the same bytes."""
    by_id = {each.credential: each for each in revocations}
    return tuple(by_id[credential] for credential in sorted(by_id))


def marker(revocations: Iterable[Revocation]) -> CredentialId:
    """An id that no certificate has, and that stands for this list as a whole.

    An API server that refuses it has read this very list: asking needs none of the refused credentials.
    """
    listed = "\n".join(str(each.credential) for each in in_order(revocations))
    return CredentialId.of_certificate(hashlib.sha256(f"pkigen revocations\n{listed}".encode()).hexdigest())
