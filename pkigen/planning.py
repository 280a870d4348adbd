"""The desired and the observed state, now → a plan: what is to be done to each object, and why."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING

from pkigen import __version__, layout
from pkigen.actions import Action, Create, Keep, Plan, Reissue, Remove, Rewrite
from pkigen.authority import load_all
from pkigen.checks import Reason
from pkigen.errors import AuthorityError
from pkigen.inventory import (
    BUNDLE_KEY,
    BUNDLE_KEY_PATH,
    CA,
    DesiredCopy,
    DesiredFile,
    Inventory,
    MaterialKind,
    Slot,
    ca_id,
    encryption_key_path,
)
from pkigen.lockfile import LARGEST_LOCK, LockBuilder, read_lock, spec_facts
from pkigen.moving import MovedTree
from pkigen.observing import Fault, FaultKind, observe_file
from pkigen.surveying import HashingReader, Selection, Survey
from pkigen.vault import is_encrypted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from pkigen.actions import Move
    from pkigen.observing import Reader, Tree
    from pkigen.rendering import Renderer


def make_plan(
    inventory: Inventory,
    tree: Tree,
    renderer: Renderer,
    *,
    now: datetime,
    owned: frozenset[str],
    selection: Selection | None = None,
    moves: tuple[Move, ...] = (),
    rotated: Mapping[str, str] | None = None,
) -> Plan:
    """Plan everything that the spec asks for and the PKI directory does not hold.

    Args:
        inventory: What must exist.
        tree: The PKI directory.
        renderer: Says what rendered files must hold.
        now: The present, in UTC.
        owned: The paths that earlier runs wrote (from `pki.lock`).
        selection: What `renew` asks for.
        moves: Files of the authority that a rotation puts elsewhere first.
        rotated: Which step of a rotation this is, by what rotates.

    Raises:
        AuthorityError: A CA is half there or unfit, or is encrypted here and to lie open on nodes.
    """
    moved = MovedTree(tree, moves)
    if is_encrypted(moved):
        require_no_ca_keys_on_nodes(inventory)
    reader = HashingReader(moved)
    reader.note(json.dumps(spec_facts(inventory.cluster)))
    # Neither is seen in an action: what a file is created with, and what would be made of the same spec.
    reader.note(renderer.digest())
    reader.note(__version__)
    wanted = selection or Selection()
    survey = Survey(
        inventory=inventory,
        reader=reader,
        renderer=renderer,
        authorities=load_all(reader, inventory, now=now, revived=wanted.revived),
        now=now,
        selection=wanted,
    )
    lock: LockBuilder | None = LockBuilder(inventory=inventory)
    actions = []
    for surveyed in survey.objects():
        actions.append(surveyed.action)
        if not isinstance(surveyed.action, Keep):
            lock = None  # it is written anew with every change
        if lock is not None:
            lock.add(surveyed)
    actions.extend(_rotations(moves, rotated or {}))
    actions.extend(removals(inventory, moved.walk(), owned))
    if lock is not None and all(isinstance(action, Keep) for action in actions):
        actions.extend(_lock_file(reader, lock))
    return Plan(actions=tuple(actions), basis=reader.digest, moves=moves, rotated=rotated or {})


def require_no_ca_keys_on_nodes(inventory: Inventory) -> None:
    """Encrypting the authority is no use where the nodes' trees beside it hold the CA keys open.

    Raises:
        AuthorityError: The spec would have them there.
    """
    for item in inventory.items:
        if isinstance(item, DesiredCopy) and item.material is MaterialKind.CA_KEY:
            raise AuthorityError(
                f"an encrypted authority does not go with {item.path}, a CA key in the open",
                hint="set spec.certificates.distributeCAKeys to false: the controller managers then sign "
                "nothing, and kubelets are renewed from here",
            )


def _rotations(moves: tuple[Move, ...], rotated: Mapping[str, str]) -> Iterator[Action]:
    """What a rotation does to the authority itself, for those who read the plan."""
    details = tuple(
        f"{move.source} becomes {move.target}" if move.target else f"{move.source} goes to the backup"
        for move in moves
    )
    for identifier, step in rotated.items():
        yield Rewrite(
            id=f"rotation of {identifier}",
            paths=tuple(path for move in moves for path in (move.source, move.target) if path is not None),
            node=None,
            reason=Reason.ROTATION,
            details=(step, *details),
        )


def _lock_file(reader: Reader, lock: LockBuilder) -> Iterator[Action]:
    """The lock file where nothing else is to change: gone, edited, or made from another spec.

    Where the ledger ends is taken from it as it is: whether that is true, `verify` says.
    """
    known = read_lock(reader)
    found = observe_file(reader, layout.LOCK_FILE, limit=LARGEST_LOCK)
    if isinstance(found, Fault):
        kind: type[Action] = Create if found.kind is FaultKind.MISSING else Rewrite
        reason = Reason.MISSING if found.kind is FaultKind.MISSING else Reason.UNREADABLE
        detail = f"{found.path} {found.message}"
    elif known is not None and hashlib.sha256(lock.encode(known.ledger)).digest() == found.sha256:
        return
    else:
        kind, reason = Rewrite, Reason.CONTENT_CHANGED
        detail = f"{layout.LOCK_FILE} does not describe this tree and this spec"
    yield kind(id=layout.LOCK_FILE, paths=(layout.LOCK_FILE,), node=None, reason=reason, details=(detail,))


def removals(inventory: Inventory, existing: Iterable[str], owned: frozenset[str]) -> Iterator[Action]:
    """What is to go: whole trees of nodes that left the spec, and files that pkigen wrote and wants no more.

    Files of other origin in the trees of present nodes are not touched.
    """
    nodes = {node.name for node in inventory.cluster.spec.nodes}
    gone: dict[str, list[str]] = {}
    for path in existing:
        if path in inventory.paths:
            continue
        top, _, rest = path.partition("/")
        node = rest.partition("/")[0] if top == layout.NODES and "/" in rest else None
        if node is not None and node not in nodes:
            gone.setdefault(node, []).append(path)
        elif path in owned:
            yield Remove(
                id=path,
                paths=(path,),
                node=node,
                reason=Reason.NOT_WANTED,
                details=("the spec no longer asks for it",),
            )
    for node, paths in gone.items():
        yield Remove(
            id=f"{layout.NODES}/{node}",  # a node may be called like a certificate
            paths=tuple(paths),
            node=node,
            reason=Reason.NOT_WANTED,
            details=(f"node {node} is not in the spec; its {len(paths)} files go to the backup",),
        )


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
        and any(inventory.certificates[leaf.id].issuer == _ca_of(action.id) for leaf in existing)
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


def _ca_of(identifier: str) -> CA:
    return next(ca for ca in CA if ca_id(ca) == identifier)


def _commonest_reason(actions: Sequence[Action]) -> str:
    counts = Counter(str(action.reason) for action in actions)
    return counts.most_common(1)[0][0]
