"""What is dangerous about a plan: a chain of small functions, each with its own sentence.

A new risk is one function in `RISKS`.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.generations import (
    BUNDLE_KEY,
    BUNDLE_KEY_PATH,
    CA,
    SA,
    Slot,
    ca_id,
    ca_location,
    encryption_key_path,
)
from pkigen.desired.items import DesiredFile
from pkigen.reconcile.plan import Action, Create, Plan, Reissue, Remove
from pkigen.records import dataclass
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pkigen.desired.inventory import Inventory

# What does not exist yet cannot break by being made.
_ABSENT = frozenset({Reason.MISSING, Reason.AWAITS_REQUEST})
_CA_KEYS = frozenset(ca_location(ca).key for ca in CA)


@dataclass(frozen=True, kw_only=True)
class RiskCase:
    """A plan and the inventory that it was made from: everything that a risk may look at."""

    plan: Plan
    inventory: Inventory

    @cached_property
    def leaves(self) -> tuple[Action, ...]:
        """What happens to each leaf that exists, whether it can be used or not."""
        certificates = self.inventory.certificates
        return tuple(
            action
            for action in self.plan.actions
            if action.id in certificates
            and certificates[action.id].issuer is not None
            and action.reason not in _ABSENT
        )


def changed_authority(case: RiskCase) -> Iterator[str]:
    """The authority is not the one that is recorded: gone, replaced, or older."""
    alarms = case.plan.alarms
    if case.plan.authority.is_lost:
        yield (
            f"{layout.AUTHORITY}/ holds no authority, and {alarms[0].witness} records one "
            f"({alarms[0].path} {alarms[0].recorded}): this makes a NEW authority, which nothing that exists "
            "trusts"
        )
        return
    yield from map(str, alarms)


def new_ca(case: RiskCase) -> Iterator[str]:
    """A CA is replaced under leaves of the present one; a renewal with the same key is no such thing."""
    issuers = {case.inventory.certificates[leaf.id].issuer for leaf in case.leaves}
    authorities = {ca_id(ca): ca for ca in CA}
    for action in case.plan.changes:
        # Create as well: the CA's files are gone, and its leaves are still there.
        # A renewal keeps the key, so that everything that the CA has signed stays valid.
        # For everything else this gives None, which is no leaf's issuer.
        if isinstance(action, Create | Reissue) and authorities.get(action.id) in issuers:
            yield (
                f"it makes a new {action.id} CA although certificates of the present one exist: "
                "every component needs new files at the same time; `pkigen rotate ca` does it "
                "without downtime"
            )


def removed_ca_key(case: RiskCase) -> Iterator[str]:
    """The key of a CA goes: nothing that trusts the CA can get a new certificate."""
    for action in case.plan.changes:
        if isinstance(action, Remove):
            yield from (f"it removes {path}, a CA's private key" for path in action.paths if path in _CA_KEYS)


def new_service_account_key(case: RiskCase) -> Iterator[str]:
    """Tokens are signed by another key; in a cluster of which nothing exists yet there are none."""
    for action in case.plan.changes:
        if action.id == SA and (isinstance(action, Reissue) or (isinstance(action, Create) and case.leaves)):
            yield (
                "it replaces the service account key: every token that workloads hold becomes invalid at "
                "once; `pkigen rotate sa` does it without downtime"
            )


def removed_encryption_key(case: RiskCase) -> Iterator[str]:
    """The key that Secrets are encrypted with goes."""
    path = encryption_key_path(Slot.CURRENT)
    for action in case.plan.changes:
        if isinstance(action, Remove) and path in action.paths:
            yield f"it removes {path}: Secrets that etcd holds encrypted cannot be read without it"


def new_encryption_key(case: RiskCase) -> Iterator[str]:
    """The key that Secrets are encrypted with is replaced, and API servers have used the present one."""
    path = encryption_key_path(Slot.CURRENT)
    users = {item.path for item in case.inventory.items if isinstance(item, DesiredFile) and item.secret}
    # Where no API server has such a file yet, nothing was encrypted with the key.
    if all(isinstance(action, Create) for action in case.plan.actions if action.id in users):
        return
    for action in case.plan.changes:
        if isinstance(action, Create | Reissue) and path in action.paths:
            yield (
                f"it makes a new {path}: Secrets that etcd holds encrypted with the present key cannot be "
                "read any more; restore the key, every control-plane node's encryption-config.yaml has it"
            )


def unread_ciphers(case: RiskCase) -> Iterator[str]:
    """What etcd holds encrypted is no longer read, though its key stays."""
    yield from case.plan.unread


def versions_at_once(case: RiskCase) -> Iterator[str]:
    """Programs that do not run beside one another, or do not start with what is there."""
    yield from case.plan.version_steps


def new_bundle_key(case: RiskCase) -> Iterator[str]:
    """Node bundles are signed by another key than the one that nodes have pinned."""
    for action in case.plan.changes:
        # One that is made for the first time cannot have been pinned.
        if action.id == BUNDLE_KEY and isinstance(action, Reissue):
            yield (
                f"it makes a new {BUNDLE_KEY_PATH} although there was one: nodes that trust it refuse new "
                "bundles; restore it, or pin the new key on every node"
            )


def mass_reissue(case: RiskCase) -> Iterator[str]:
    """More than half of the leaves that exist change: a typing error in the spec looks like that."""
    reissued = [action for action in case.leaves if isinstance(action, Reissue)]
    # A renewal of all is not counted: it is asked for, and changes no content.
    if len(reissued) * 2 > len(case.leaves):
        (commonest, _), *_ = Counter(str(action.reason) for action in reissued).most_common(1)
        yield (
            f"it reissues {len(reissued)} of {len(case.leaves)} certificates for a reason other than expiry "
            f"({commonest})"
        )


RISKS: tuple[Callable[[RiskCase], Iterator[str]], ...] = (
    new_ca,
    removed_ca_key,
    new_service_account_key,
    removed_encryption_key,
    new_encryption_key,
    unread_ciphers,
    versions_at_once,
    new_bundle_key,
    mass_reissue,
    changed_authority,
)


def risks(plan: Plan, inventory: Inventory) -> tuple[str, ...]:
    """What a plan does that can lock people out, one sentence each; `apply` wants `--force` for it."""
    case = RiskCase(plan=plan, inventory=inventory)
    return tuple(sentence for risk in RISKS for sentence in risk(case))
