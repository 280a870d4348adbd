"""What is recorded of the authority's own keys, and how the directory differs from that.

Every CA, signing key and secret of `pki/` is known to `pki.lock` and to the ledger by its identity. Both are
compared with the directory before anything is planned or signed, so that an authority that is gone, replaced
or older is never taken for its own successor.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.generations import CA, ENCRYPTION_KEY, SA, Slot, ca_id, ca_location
from pkigen.errors import AuthorityError
from pkigen.records import dataclass
from pkigen.state.authority_identities import CHAIN, Identities, generation_path, observe_authority
from pkigen.state.ledger import Head, head_at, head_of, read_ledger, recorded_authorities
from pkigen.state.lockfile import read_lock
from pkigen.store import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pkigen.state.lockfile import Lock
    from pkigen.state.observed import Reader

# `sha256:` and sixteen digits.
_SHOWN = 23
_ROTATING = (*map(ca_id, CA), SA, ENCRYPTION_KEY)
_NEXT = frozenset(generation_path(identifier, Slot.NEXT) for identifier in _ROTATING)
# Trust bundles hold these generations beside the current one, so a key put there is trusted without any
# signature.
_TRUSTED_BESIDE = _NEXT | {generation_path(identifier, Slot.PREVIOUS) for identifier in _ROTATING}


class AuthorityDifference(enum.StrEnum):
    """How one key of the authority differs from what is recorded."""

    MISSING = "missing"
    REPLACED = "replaced"
    OLDER = "older"
    """It is one that this directory had before: a backup was restored."""
    NEW = "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityChange:
    """One key that is not what is recorded; `witness` is the file that records it otherwise, or would."""

    path: str
    difference: AuthorityDifference
    recorded: str | None
    found: str | None
    witness: str

    @property
    def is_expected(self) -> bool:
        """Whether no alarm is needed: the key replaces no other, and is not trusted beside one.

        The next and the previous generation of a key are trusted as soon as they are there. A next one that
        goes was only trusted.
        """
        if self.difference is AuthorityDifference.MISSING:
            return self.path in _NEXT  # nothing has used a successor that goes
        return self.difference is AuthorityDifference.NEW and self.path not in _TRUSTED_BESIDE

    def __str__(self) -> str:
        """One sentence without a full stop."""
        recorded, found = (_shown(each) for each in (self.recorded, self.found))
        match self.difference:
            case AuthorityDifference.MISSING:
                return f"{self.path} is missing, and {self.witness} records it ({recorded})"
            case AuthorityDifference.REPLACED:
                return f"{self.path} was replaced: it is {found}, and {self.witness} records {recorded}"
            case AuthorityDifference.OLDER:
                return (
                    f"{self.path} is older than what {self.witness} records: it is {found}, which "
                    f"{recorded} has followed; a backup was restored"
                )
            case AuthorityDifference.NEW:
                return f"{self.path} is new ({found}): nothing records it, and it would be trusted at once"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityComparison:
    """The authority beside its records.

    `is_empty` says that there is none, `is_blank` that none is recorded, either.
    """

    changes: tuple[AuthorityChange, ...]
    is_empty: bool
    is_blank: bool

    @property
    def is_lost(self) -> bool:
        """Whether nothing is left of an authority that is recorded."""
        # A ledger that is gone by itself is an alarm, and no lost authority.
        keys = [change for change in self.alarms if change.path != layout.LEDGER_FILE]
        return self.is_empty and bool(keys)

    @property
    def alarms(self) -> tuple[AuthorityChange, ...]:
        """What must not happen unnoticed."""
        return tuple(change for change in self.changes if not change.is_expected)


UNCOMPARED = AuthorityComparison(changes=(), is_empty=False, is_blank=False)
"""What is said where it is not looked at."""
SETTLED = UNCOMPARED
"""What is said of an authority that is there, and is the one that is recorded."""


def _shown(identity: str | None) -> str:
    """As much of an identity as tells two of them apart."""
    return (identity or "").removeprefix("hmac-")[:_SHOWN]


# -- the comparison ----------------------------------------------------------------------------------------


def compare_authority(reader: Reader) -> AuthorityComparison:
    """Compare a directory's authority with what its ledger and its lock file record.

    Records of an older pkigen know the CAs only, or nothing: what they do not know is no change.
    """
    lock, ledger = read_lock(reader), _ledger(reader)
    found = observe_authority(reader)
    history = recorded_authorities(ledger)
    earlier = _earlier(history)
    changes: dict[str, AuthorityChange] = {}
    for witness in _witnesses(lock, ledger, history):
        seen = witness.known_of(found)
        for change in compare(witness.recorded, seen, earlier=earlier, witness=witness.name):
            # The ledger speaks first: it never leaves this directory, and the lock file is in Git.
            changes.setdefault(change.path, change)
    gap = _ledger_change(ledger, lock)
    return AuthorityComparison(
        changes=(*changes.values(), *(() if gap is None else (gap,))),
        is_empty=not found,
        is_blank=not found and lock is None and not ledger,
    )


def _earlier(history: tuple[Identities, ...]) -> dict[str, set[str]]:
    """Everything that was ever recorded, by path."""
    earlier: dict[str, set[str]] = {}
    for identities in history:
        for path, identity in identities.items():
            # Every one of them, not only the last: a backup may be from before several changes.
            earlier.setdefault(path, set()).add(identity)
    return earlier


def compare(
    recorded: Mapping[str, str],
    found: Mapping[str, str],
    *,
    earlier: Mapping[str, set[str]],
    witness: str,
) -> Iterator[AuthorityChange]:
    """Every key that differs, in the order of the paths.

    Args:
        recorded: What is recorded.
        found: What is there.
        earlier: Everything that was ever recorded, by path.
        witness: What records it, for people.
    """
    for path in sorted(recorded.keys() | found.keys()):
        before, now = recorded.get(path), found.get(path)
        # A chain that nothing records takes no other's place.
        if before == now or (before is None and path.endswith(CHAIN)):
            continue
        difference = _difference(before, now, earlier.get(path, set()))
        yield AuthorityChange(path=path, difference=difference, recorded=before, found=now, witness=witness)


def _difference(before: str | None, now: str | None, earlier: set[str]) -> AuthorityDifference:
    """What happened to one key that is not as recorded."""
    # A file that is there and not to be read counts as another key, not as missing (`UNREADABLE`).
    if now is None:
        return AuthorityDifference.MISSING
    if before is None:
        return AuthorityDifference.NEW
    return AuthorityDifference.OLDER if now in earlier else AuthorityDifference.REPLACED


@dataclass(frozen=True, slots=True, kw_only=True)
class _Witness:
    """One record of the authority; that of an older pkigen does not know all of its keys."""

    name: str
    recorded: Identities
    knows_all: bool = True

    def known_of(self, found: Identities) -> Identities:
        """What is there, as far as this record would know it."""
        return {path: each for path, each in found.items() if self.knows_all or path in self.recorded}


def _witnesses(lock: Lock | None, ledger: bytes, history: tuple[Identities, ...]) -> Iterator[_Witness]:
    """What records the authority: the ledger's last word, and the lock file unless it is merely older."""
    if history:
        yield _Witness(name="the ledger", recorded=history[-1])
    if lock is None:
        return
    # A lock file that was restored alone, or checked out from Git, is older than the ledger and knows less.
    is_older = head_of(ledger) != lock.ledger and _reaches(ledger, lock.ledger)
    if lock.authority is not None and not (history and is_older):
        yield _Witness(name=layout.LOCK_FILE, recorded=lock.authority)
    elif not history:
        yield _Witness(name=layout.LOCK_FILE, recorded=_recorded_cas(lock), knows_all=False)


def recorded_cas(reader: Reader, identity: str) -> frozenset[CA]:
    """The CAs one of whose generations is recorded with this key (`spki_fingerprint`)."""
    lock, ledger = read_lock(reader), _ledger(reader)
    recorded = {
        path
        for witness in _witnesses(lock, ledger, recorded_authorities(ledger))
        for path, each in witness.recorded.items()
        if each == identity
    }
    return frozenset(ca for ca in CA if recorded & {ca_location(ca, slot).certificate for slot in Slot})


def is_recorded(reader: Reader, path: str, identity: str) -> bool:
    """Whether this key is recorded at a path, or nothing is: an older pkigen recorded fewer keys."""
    lock, ledger = read_lock(reader), _ledger(reader)
    known = [witness.recorded.get(path) for witness in _witnesses(lock, ledger, recorded_authorities(ledger))]
    return all(each in {None, identity} for each in known)


def _recorded_cas(lock: Lock) -> Identities:
    """What a lock file says that has no record of the authority: its CAs are among the certificates."""
    paths = {ca_id(ca): ca_location(ca).certificate for ca in CA}
    return {paths[identifier]: spki for spki, identifier in lock.keys.items() if identifier in paths}


def _reaches(ledger: bytes, head: Head) -> bool:
    """Whether a ledger goes on from where `head` says that it ended."""
    return head_at(ledger, head.entries) == head


def _ledger_change(ledger: bytes, lock: Lock | None) -> AuthorityChange | None:
    """How the ledger is not the one that the lock file knows; None where it is, or goes on from it."""
    if lock is None or _reaches(ledger, lock.ledger):
        return None
    there = head_of(ledger)
    difference = (
        AuthorityDifference.OLDER if there.entries < lock.ledger.entries else AuthorityDifference.REPLACED
    )
    return AuthorityChange(
        path=layout.LEDGER_FILE,
        # Fewer lines than the lock file knows is a restored backup; as many or more, but
        # other ones, is another ledger.
        difference=difference if ledger else AuthorityDifference.MISSING,
        recorded=_head_text(lock.ledger),
        found=_head_text(there) if ledger else None,
        witness=layout.LOCK_FILE,
    )


def _head_text(head: Head) -> str:
    return f"{head.entries} lines, {head.hash[:8]}"


def _ledger(reader: Reader) -> bytes:
    """The ledger's bytes; an unreadable one counts as none, which the lock file then tells of."""
    try:
        return read_ledger(reader)
    # Raising here would hide everything else that the comparison finds.
    except UnreadableError:
        return b""


# -- what is made of it ------------------------------------------------------------------------------------

RESTORE = "restore pki/ and .pkigen/ together from the newest backup of this directory"


_RECORDING = "if the change is intended, record it first: `pkigen apply --force`"


def require_recorded(reader: Reader, *, way: str = _RECORDING) -> None:
    """Sign only with the authority that is recorded.

    Raises:
        AuthorityError: It is another one.
    """
    require_unchanged(compare_authority(reader), way=way)


def require_unchanged(found: AuthorityComparison, *, way: str = _RECORDING) -> None:
    """Go on only with the authority that is recorded.

    Args:
        found: What is there beside what is recorded.
        way: How to go on where the change is intended, for the hint.

    Raises:
        AuthorityError: It is another one.
    """
    if not found.alarms:
        return
    more = f" (and {len(found.alarms) - 1} more)" if len(found.alarms) > 1 else ""
    raise AuthorityError(
        f"the authority is not the one that is recorded: {found.alarms[0]}{more}",
        hint=f"{RESTORE}; {way}",
    )
