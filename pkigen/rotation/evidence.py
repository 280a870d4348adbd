"""Who would be locked out when a CA is dropped: the certificates of an audit log, by the ledger.

Before *promote* every certificate was signed by the previous generation, and since then by the present one.
The ledger knows which certificate is whose and when it was issued; what a controller manager has signed it
does not know, and there the log's own past tells: what was used before *promote* is of the previous one.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pkigen.records import dataclass
from pkigen.state.ledger import CERTIFYING, lines_of, moment_of, promoted_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pkigen.desired.inventory import Inventory
    from pkigen.rotation.audit_log import AuditLog, CredentialUse

QUIET = timedelta(days=1)
"""How long nobody may have used an outdated certificate: as long as most jobs take to come round."""
BEFORE = timedelta(hours=1)
"""How far a log has to reach back before *promote*: kubelets renew their lease every ten seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outdated:
    """A certificate of the previous generation that somebody still has, and where pkigen has its successor.

    `id` and `file` are None where the ledger does not know it.
    """

    username: str
    fingerprint: str
    id: str | None
    file: str | None
    last: datetime
    count: int
    why: str

    def __str__(self) -> str:
        """One line: who, with which file, when last."""
        whose = f" ({self.file or self.id})" if self.id is not None else ", which the ledger does not know"
        return (
            f"{self.username} with certificate {self.fingerprint[:16]}{whose}: {self.count} requests, "
            f"the last {self.last:%Y-%m-%d %H:%M} UTC; {self.why}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What audit logs say before a *finish*: who would break, and why the logs say too little, if they do."""

    begins: datetime
    ends: datetime
    certificates: int
    outdated: tuple[Outdated, ...]
    gap: str | None

    @property
    def obstacle(self) -> str | None:
        """Why the previous CA must stay; None where the logs are good evidence that nobody needs it."""
        if self.outdated:
            more = f" (and {len(self.outdated) - 1} more)" if len(self.outdated) > 1 else ""
            return f"the previous CA is still in use: {self.outdated[0]}{more}"
        return self.gap


def weigh(
    log: AuditLog, ledger: bytes, inventory: Inventory, *, identifier: str, now: datetime
) -> Evidence | None:
    """Compare audit logs with the ledger; None where the logs name no certificate at all.

    Args:
        log: What the logs say.
        ledger: The ledger of the directory.
        inventory: Says which file a certificate stands in.
        identifier: The id of the CA that is to be dropped.
        now: The present, in UTC.
    """
    if not log.uses:
        return None
    promoted = promoted_at(ledger, identifier)
    files = {each.id: each.file for each in inventory.certificates.values()}
    outdated = (
        tuple(_Scales(log, dict(_issued(ledger)), promoted, files).outdated()) if promoted is not None else ()
    )
    return Evidence(
        begins=log.begins,
        ends=log.ends,
        certificates=len(log.uses),
        outdated=outdated,
        gap=_gap(log, promoted, now),
    )


def _gap(log: AuditLog, promoted: datetime | None, now: datetime) -> str | None:
    """Why the logs say too little."""
    if promoted is None:
        return "the ledger does not say when the CA was promoted"
    # Who has gone on with the old certificate since the log ended would not be seen.
    if log.ends < now - QUIET:
        return f"the audit log ends at {log.ends:%Y-%m-%d %H:%M} UTC, more than a day ago"
    # Uses before the promotion say nothing: there was no other certificate to use.
    if log.ends - max(log.begins, promoted) < QUIET:
        return "the audit log covers less than a day since the promotion"
    return None


def _issued(ledger: bytes) -> Iterator[tuple[str, tuple[str, datetime]]]:
    """Whose each certificate is and when it was issued, by fingerprint."""
    for event in CERTIFYING:
        for entry in lines_of(ledger, event):
            moment = moment_of(entry)
            # The ledger writes `sha256:` before a fingerprint; the API server's id has a prefix of its own
            # (`audit_log`).
            fingerprint = str(entry.get("fingerprint", "")).removeprefix("sha256:")
            if moment is not None and fingerprint:
                yield fingerprint, (str(entry.get("id")), moment)


class _Scales:
    """The uses of a log, weighed one after the other."""

    def __init__(
        self,
        log: AuditLog,
        issued: Mapping[str, tuple[str, datetime]],
        promoted: datetime,
        files: Mapping[str, str],
    ) -> None:
        self._log = log
        self._issued = issued
        self._promoted = promoted
        self._files = files
        # Only then is a certificate that the log first sees after the promotion a new one.
        self._reaches_back = log.begins <= promoted - BEFORE

    def outdated(self) -> Iterator[Outdated]:
        """Who still needs the previous generation, the latest use first."""
        by_user: dict[str, list[CredentialUse]] = defaultdict(list)
        for use in self._log.uses.values():
            by_user[use.username].append(use)
        found = [each for uses in by_user.values() for each in self._of_user(uses)]
        yield from sorted(found, key=lambda each: (each.last, each.username), reverse=True)

    def _of_user(self, uses: Iterable[CredentialUse]) -> Iterator[Outdated]:
        """By user, since only a newer certificate of the same one shows that the older was given up."""
        uses = tuple(uses)
        present = [use for use in uses if self._is_present(use)]
        for use in uses:
            # Before the promotion everybody used it.
            if use.last < self._promoted or use in present:
                continue
            why = self._why_needed(use, present)
            if why is not None:
                identifier = self._issued.get(use.fingerprint, (None,))[0]
                yield Outdated(
                    username=use.username,
                    fingerprint=use.fingerprint,
                    id=identifier,
                    file=self._files.get(identifier or ""),
                    last=use.last,
                    count=use.count,
                    why=why,
                )

    def _is_present(self, use: CredentialUse) -> bool:
        """Whether the generation that stays has signed it."""
        known = self._issued.get(use.fingerprint)
        # The ledger knows when it was issued, and since the promotion the present CA signs.
        if known is not None:
            return known[1] >= self._promoted
        return self._reaches_back and use.first >= self._promoted

    def _why_needed(self, use: CredentialUse, present: Iterable[CredentialUse]) -> str | None:
        """Why a certificate is still needed; None where its user has changed to another one."""
        if use.fingerprint not in self._issued and use.first >= self._promoted:
            return "the log does not reach back before the promotion, so nobody knows which CA has signed it"
        # A process that keeps its old certificate in memory shows here, whatever stands on its disk.
        # From the end of the log, not from now: that it ends too early is another question (`_gap`).
        if use.last > self._log.ends - QUIET:
            return "it was used within the last day of the log"
        # Silence alone is no proof: a job that runs once a month is silent, too.
        if not any(other.last > use.last for other in present):
            return "no certificate of the present CA has taken its place"
        return None
