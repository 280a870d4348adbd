"""Which client certificates were used when, out of the audit logs of API servers.

An API server logs for each request the SHA-256 of the client's certificate, as the credential's id
(`X509SHA256=…` in `user.extra`; apiserver `authentication/request/x509/x509.go`, `CommonNameUserConversion`).
One event stands on each line (`--audit-log-format=json`).
"""

from __future__ import annotations

import json
import re
from dataclasses import field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pkigen.errors import UsageError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

# The API server puts it there for every client certificate since Kubernetes 1.32
# (authentication/request/x509).
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
_MARK = b"X509SHA256="
_FINGERPRINT = re.compile(r"X509SHA256=([0-9a-f]{64})")
_KIND = "audit.k8s.io/"
# A request may hold 3 MiB (apiserver, MaxRequestBodyBytes), and an answer far more.
LONGEST_EVENT = 1 << 24
"""In bytes: an event holds at most what one request and its answer hold."""


@dataclass(kw_only=True)
class CredentialUse:
    """One certificate's use by one user: since when, until when, and how many events."""

    username: str
    fingerprint: str
    first: datetime
    last: datetime
    count: int = 0

    def add(self, moment: datetime) -> None:
        """Take up one more event; logs of several API servers come in no order."""
        self.first, self.last = min(self.first, moment), max(self.last, moment)
        self.count += 1


@dataclass(kw_only=True)
class AuditLog:
    """What logs say of client certificates, by user and fingerprint."""

    uses: dict[tuple[str, str], CredentialUse] = field(default_factory=dict)

    @property
    def begins(self) -> datetime:
        """When the first certificate was used."""
        return min(use.first for use in self.uses.values())

    @property
    def ends(self) -> datetime:
        """When the last one was."""
        return max(use.last for use in self.uses.values())

    def read(self, lines: Iterable[bytes], name: str) -> None:
        """Take up one log.

        Args:
            lines: Its lines; the last one may be cut off, as a log is that is written to.
            name: What the log is called, for messages.

        Raises:
            UsageError: It is no audit log; the first line that is none is named.
        """
        # A line that is not JSON is an error only if another one follows: the API server may be writing the
        # last.
        cut: tuple[int, str] | None = None
        for number, line in enumerate(lines, start=1):
            if cut is not None:
                raise _no_event(name, *cut)
            if not line.strip():
                continue
            try:
                event = json.loads(line)
            # `json` raises RecursionError, which is no ValueError, where brackets are nested too deeply.
            except (ValueError, RecursionError):
                cut = number, "is not JSON"
                continue
            if not isinstance(event, dict) or not str(event.get("apiVersion")).startswith(_KIND):
                raise _no_event(name, number, "is no event of audit.k8s.io")
            # Most events come by tokens: the bytes are looked at before the structure.
            if _MARK in line:
                self._add(event, name, number)
        # A file of one line that is not JSON is no log that is just written to.
        if cut is not None and cut[0] == 1:
            raise _no_event(name, *cut)

    def _add(self, event: dict[str, Any], name: str, number: int) -> None:
        """Take up the certificate of one event, if it came by one."""
        user = event.get("user")
        extra = user.get("extra") if isinstance(user, dict) else None
        ids = extra.get(CREDENTIAL_ID) if isinstance(extra, dict) else None
        found = [match[1] for each in (ids if isinstance(ids, list) else ()) if (match := _match(each))]
        # Tokens, and certificates before 1.32, leave no fingerprint.
        if not found or not isinstance(user, dict):
            return
        moment = _moment(event.get("requestReceivedTimestamp"))
        if moment is None:
            raise _no_event(name, number, "has no requestReceivedTimestamp that can be read")
        username = str(user.get("username", ""))
        for fingerprint in found:
            use = CredentialUse(username=username, fingerprint=fingerprint, first=moment, last=moment)
            self.uses.setdefault((username, fingerprint), use).add(moment)


def _match(text: object) -> re.Match[str] | None:
    """The id of a certificate: tokens have `JTI=…` under the same key (apiserver, `token/jwt/jwt.go`)."""
    return _FINGERPRINT.fullmatch(text) if isinstance(text, str) else None


def _moment(text: object) -> datetime | None:
    """A moment with its zone; one without would be anybody's."""
    try:
        # A MicroTime of the API server is RFC 3339 in UTC; logs that were copied through other programs may
        # have anything.
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo is not None else None


def _no_event(name: str, number: int, fault: str) -> UsageError:
    return UsageError(
        f"{name}:{number} {fault}",
        hint="give the audit log of an API server (--audit-log-path), one event on each line",
    )
