"""What a plan consists of: one action per object, each with its reason; rendering them is elsewhere."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, ClassVar

from pkigen.desired.generations import CA, ca_id
from pkigen.desired.revocations import UNCHANGED, RevocationChange
from pkigen.records import dataclass
from pkigen.state.authority_record import UNCOMPARED, AuthorityComparison

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pkigen.reconcile.cluster_changes import ClusterStep
    from pkigen.reconcile.lock_builder import LockBuilder
    from pkigen.state.authority_record import AuthorityChange
    from pkigen.state.reasons import Reason
    from pkigen.state.views import Move


@dataclass(frozen=True, slots=True, kw_only=True)
class Reissuance:
    """What changes from the present certificate to the next; `expires` is None where there is none yet.

    `offline` says that only the offline authority can issue it.
    """

    issuer: str | None
    key_algorithm: str
    expires: datetime | None
    will_expire: datetime
    # The hint of whoever applies it depends on that, not its reason.
    offline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What is to be done to one object; the class says what, `reason` says why.

    `diff` are the hunks of a unified diff of its file, where that is rendered; no secret is in it.
    """

    verb: ClassVar[str]

    id: str
    paths: tuple[str, ...]
    node: str | None
    reason: Reason | None
    details: tuple[str, ...] = ()
    reissuance: Reissuance | None = None
    diff: tuple[str, ...] = ()


class Create(Action):
    """Nothing is there yet."""

    verb = "create"


class Renew(Action):
    """The same content with a new validity."""

    verb = "renew"


class Reissue(Action):
    """A certificate whose content changes, or that cannot be used as it is."""

    verb = "reissue"


class Rewrite(Action):
    """A file that holds something else, or has another mode, than it must."""

    verb = "rewrite"


class Remove(Action):
    """A file that the spec no longer asks for; it is moved to the backup."""

    verb = "remove"


class Keep(Action):
    """Nothing is to be done."""

    verb = "keep"


class Await(Keep):
    """Kept although it is due: only the offline authority can renew it, and a request has to ask for that."""

    verb = "await"


class Ask(Keep):
    """Kept, or still absent: its key is on the node alone, and only the node can ask for a certificate."""

    verb = "ask"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every object of the inventory with its action, then the removals.

    `observed` are digests of all that was read to make the plan, by what it is: a file of the authority, a
    node's whole tree, the spec. A saved plan is refused when they differ.
    """

    actions: tuple[Action, ...]
    observed: Mapping[str, str] = field(default_factory=dict)
    moves: tuple[Move, ...] = ()
    rotated: Mapping[str, str] = field(default_factory=dict)
    authority: AuthorityComparison = UNCOMPARED
    """The authority beside what the lock file and the ledger record of it, before anything is changed."""
    revocation: RevocationChange = UNCHANGED
    """What `access revoke` puts on the list, or takes off it."""
    withheld: tuple[str, ...] = ()
    """The ids of what could not be judged, because its private files are not in this checkout."""
    given: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict, repr=False)
    """What the cluster may have been given of the addons that change, by path."""
    in_cluster: tuple[ClusterStep, ...] = ()
    """What has to be done in the running cluster after it, with what was left to do there before."""
    unread: tuple[str, ...] = ()
    """What etcd may hold encrypted that API servers could not read any more, a sentence for each cipher."""
    version_steps: tuple[str, ...] = ()
    """What its versions cannot do in one step, a sentence each."""
    until: datetime | None = field(default=None, compare=False)
    """The next moment at which time alone would change it; None where none is known."""
    lock: LockBuilder | None = field(default=None, compare=False, repr=False)
    """What the lock file would tell of what was looked at; None where nothing was."""

    @property
    def changes(self) -> tuple[Action, ...]:
        """The actions that do something."""
        return tuple(action for action in self.actions if not isinstance(action, Keep))

    @property
    def waiting(self) -> tuple[Ask, ...]:
        """What nodes have to ask for first."""
        return tuple(action for action in self.actions if isinstance(action, Ask))

    @property
    def advice(self) -> tuple[Action, ...]:
        """What was taken over from another maker, is not as pkigen makes it, and is kept until it is due."""
        # Exactly `Keep`: what waits for the offline authority, or for a node, is a kind of it.
        return tuple(each for each in self.actions if type(each) is Keep and each.reason is not None)

    @property
    def offline(self) -> tuple[Action, ...]:
        """The changes that need a certificate from the offline authority."""
        return tuple(action for action in self.changes if action.reissuance and action.reissuance.offline)

    @property
    def awaited(self) -> tuple[Action, ...]:
        """What is due and can only be renewed by the offline authority: nothing that is changed here."""
        return tuple(action for action in self.actions if isinstance(action, Await))

    @property
    def alarms(self) -> tuple[AuthorityChange, ...]:
        """How the authority differs from its records in a way that must not go unnoticed."""
        return self.authority.alarms

    @property
    def makes_authority(self) -> bool:
        """Whether a CA is made where there was no authority, and none is recorded."""
        cas = {ca_id(ca) for ca in CA}
        return self.authority.is_blank and any(
            isinstance(action, Create) and action.id in cas for action in self.actions
        )
