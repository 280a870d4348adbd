"""Client certificates for keys that pkigen has never had, as the ledger remembers them: nobody else does."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from pkigen.crypto.names import parse_subject
from pkigen.records import dataclass
from pkigen.state.ledger import Event, lines_of, read_ledger

if TYPE_CHECKING:
    from pkigen.crypto.names import Subject
    from pkigen.state.observed import Reader

REQUEST: Final = "request:"
"""What the ids of such certificates begin with; the user's name follows."""
BY_CLUSTER: Final = "signer"
"""The fact that says that the cluster itself has signed one, by which of its signers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCertificate:
    """A certificate that somebody outside has: whose it is, and how long it works.

    `signer` is that of the cluster which has signed it; None where `pkigen access sign` has.
    """

    subject: Subject
    serial: str
    fingerprint: str
    expires: datetime
    signer: str | None

    @property
    def user(self) -> str:
        """The user name that it gives."""
        return self.subject.common_name


def signed_certificates(reader: Reader, *, now: datetime) -> tuple[SignedCertificate, ...]:
    """The certificates that still work, by user, and of each the one that works longest first."""
    found: dict[str, SignedCertificate] = {}
    for line in lines_of(read_ledger(reader), Event.SIGNED):
        # One line of another form must not hide the certificates in all the others.
        with suppress(ValueError, KeyError, TypeError):
            each = _of_line(line)
            if each.expires > now:
                found[each.fingerprint] = each
    return tuple(
        sorted(found.values(), key=lambda each: (each.user, -each.expires.timestamp(), each.fingerprint))
    )


def _of_line(line: dict[str, Any]) -> SignedCertificate:
    """What a line says; a token, which has no such id, is none."""
    if not str(line["id"]).startswith(REQUEST):
        raise ValueError(line["id"])
    signer = line.get(BY_CLUSTER)
    return SignedCertificate(
        subject=parse_subject(str(line["subject"])),
        serial=str(line["serial"]),
        fingerprint=str(line["fingerprint"]),
        expires=datetime.fromisoformat(line["notAfter"]).astimezone(UTC),
        signer=None if signer is None else str(signer),
    )
