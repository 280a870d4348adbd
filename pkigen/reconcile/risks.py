"""What is dangerous about a plan."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.generations import BUNDLE_KEY, BUNDLE_KEY_PATH, CA, Slot, encryption_key_path
from pkigen.desired.items import DesiredFile
from pkigen.reconcile.plan import Action, Create, Plan, Reissue, Remove
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pkigen.desired.inventory import Inventory


def risks(plan: Plan, inventory: Inventory) -> tuple[str, ...]:
    """What a plan does that can lock people out, one sentence each; `apply` wants `--force` for it."""
    cas = {identifier for identifier, item in inventory.certificates.items() if item.issuer is None}
    leaves = [
        action for action in plan.actions if action.id in inventory.certificates and action.id not in cas
    ]
    absent = {Reason.MISSING, Reason.AWAITS_REQUEST}
    existing = [action for action in leaves if action.reason not in absent]
    sentences = [
        f"it makes a new {action.id} CA although certificates of the present one exist: "
        "every component must get new files at the same moment; `pkigen rotate ca` does it without downtime"
        for action in plan.changes
        if action.id in cas
        and isinstance(action, Create | Reissue)  # with the same key all that it has signed stays good
        and any(inventory.certificates[leaf.id].issuer == CA.of_id(action.id) for leaf in existing)
    ]
    sentences.extend(
        f"it removes {path}, a CA's private key"
        for action in plan.changes
        if isinstance(action, Remove)
        for path in action.paths
        if path.startswith(f"{layout.AUTHORITY}/") and path.endswith("ca.key")
    )
    sentences.extend(
        "it replaces the service account key: every token that workloads hold becomes invalid at once; "
        "`pkigen rotate sa` does it without downtime"
        for action in plan.changes
        if action.id == "sa" and (isinstance(action, Reissue) or (isinstance(action, Create) and existing))
    )
    sentences.extend(_encryption_risks(plan, inventory))
    sentences.extend(
        f"it makes a new {BUNDLE_KEY_PATH} although there was one: nodes that trust it refuse new bundles; "
        "put it back, or pin the new key on every node"
        for action in plan.changes
        if action.id == BUNDLE_KEY and isinstance(action, Reissue)
    )
    unforced = [action for action in existing if isinstance(action, Reissue)]
    if len(unforced) * 2 > len(existing):
        sentences.append(
            f"it reissues {len(unforced)} of {len(existing)} certificates for a reason other than expiry "
            f"({_commonest_reason(unforced)})"
        )
    return tuple(sentences)


def _encryption_risks(plan: Plan, inventory: Inventory) -> Iterator[str]:
    in_use = {item.path for item in inventory.items if isinstance(item, DesiredFile) and item.secret}
    used = any(action.id in in_use and not isinstance(action, Create) for action in plan.actions)
    path = encryption_key_path(Slot.CURRENT)
    for action in plan.changes:
        if path not in action.paths:
            continue
        if isinstance(action, Remove):
            yield f"it removes {path}: Secrets that etcd holds encrypted cannot be read without it"
        elif isinstance(action, Create | Reissue) and used:
            yield (
                f"it makes a new {path}: Secrets that etcd holds encrypted with the present key cannot be "
                "read any more; put the key back, every control-plane node's encryption-config.yaml has it"
            )


def _commonest_reason(actions: Sequence[Action]) -> str:
    counts = Counter(str(action.reason) for action in actions)
    return counts.most_common(1)[0][0]
