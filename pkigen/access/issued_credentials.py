"""Every credential that was ever issued here, by the ledger: whose it is, and what API servers know it by."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from pkigen.crypto.profiles import Profile
from pkigen.desired.certificates import CERTIFICATES, MASTERS
from pkigen.desired.generations import CA
from pkigen.desired.revocations import CredentialId, CredentialIdKind
from pkigen.records import dataclass
from pkigen.state.ledger import CERTIFYING, lines_of, moment_of

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUESTED: Final = "request:"
"""What the ledger puts before the name of whoever brought a request of his own."""
PERSON: Final = "user:"
ACCOUNT: Final = "serviceaccount:"
# In RFC 4514's text a comma inside a value is escaped: it begins no attribute.
_MASTERS: Final = re.compile(rf"(?<!\\)(?:^|,)O={re.escape(MASTERS)}(?:,|$)")
_KINDS: Final = {kind.name: kind for kind in CERTIFICATES}


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCredential:
    """One certificate or token.

    `of` is the id that it was issued under. `refusal` says why no list of API servers concerns it; None where
    one does.
    """

    credential: CredentialId
    of: str
    serial: str
    issued: datetime | None
    expires: datetime | None
    is_masters: bool
    refusal: str | None


def issued_credentials(ledger: bytes) -> Iterator[IssuedCredential]:
    """Everything that the ledger knows, CAs left out, the oldest of each kind of line first."""
    for event in CERTIFYING:
        for line in lines_of(ledger, event):
            # A line that is damaged, or tells of no credential, hides no other.
            with suppress(ValueError, KeyError, TypeError):
                yield _of_line(line)


def _of_line(line: dict[str, Any]) -> IssuedCredential:
    """The credential of a line; `ValueError` or `KeyError` where it tells of none."""
    whose = str(line["id"])
    is_token = "tokenId" in line
    credential = (
        CredentialId.parse(f"{CredentialIdKind.TOKEN}={line['tokenId']}")
        if is_token
        else CredentialId.of_certificate(str(line["fingerprint"]))
    )
    return IssuedCredential(
        credential=credential,
        of=whose,
        serial=str(line.get("serial", "")),
        issued=moment_of(line),
        expires=_end(line),
        is_masters=_MASTERS.search(str(line.get("subject", ""))) is not None,
        refusal=None if is_token else why_not_judged(whose),
    )


def _end(line: dict[str, Any]) -> datetime | None:
    text = line.get("notAfter")
    return datetime.fromisoformat(str(text)) if text else None


def why_not_judged(identifier: str) -> str | None:
    """Why API servers do not let anybody in by a certificate of this id; None where they do."""
    if identifier.startswith((REQUESTED, PERSON)):
        return None
    kind = _KINDS.get(identifier.rpartition("/")[2])
    if kind is None or kind.issuer is None:
        return "is a CA's: rotate the CA instead (`pkigen rotate ca`)"
    if kind.profile is Profile.SERVER:
        return "is a serving certificate, with which nobody comes in: `pkigen renew` gives it a new key"
    if kind.issuer is CA.KUBERNETES:
        return None
    return _NOT_OF_API_SERVERS[kind.issuer]


_NOT_OF_API_SERVERS: Final = {
    CA.ETCD: "is for etcd, which cannot refuse a single certificate: `pkigen rotate ca etcd`",
    CA.FRONT_PROXY: "is for aggregated API servers, which cannot refuse a single certificate: "
    "`pkigen rotate ca front-proxy`",
}
