"""The desired and the observed state, now → a plan: what is to be done to each object, and why."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import field, replace
from typing import TYPE_CHECKING

from pkigen import __version__, layout
from pkigen.crew import ALL_HANDS, Hands
from pkigen.desired.generations import Slot, encryption_key_path
from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredCopy, MaterialKind
from pkigen.desired.rendering import Renderer
from pkigen.desired.rendering.templates import Templates
from pkigen.desired.token_trust import rendered_with
from pkigen.errors import AuthorityError, PkigenError
from pkigen.notation import dir_option
from pkigen.reconcile.checkout import withheld_ids
from pkigen.reconcile.cluster_changes import cluster_steps, given_until_now, planned_objects, remembered
from pkigen.reconcile.encrypted_data import cipher_change, unread
from pkigen.reconcile.first_run import require_read
from pkigen.reconcile.index import Glance
from pkigen.reconcile.lock_builder import LockBuilder
from pkigen.reconcile.moments import Lasting, lasting, next_moment
from pkigen.reconcile.plan import Action, Create, Keep, Plan, Rewrite
from pkigen.reconcile.progress import SILENCE
from pkigen.reconcile.remainders import with_remainders
from pkigen.reconcile.removals import removals
from pkigen.reconcile.surveyed import Selection
from pkigen.reconcile.version_steps import Versions, version_steps
from pkigen.reconcile.whole_survey import survey_for_plan
from pkigen.records import dataclass
from pkigen.state.authority_record import (
    UNCOMPARED,
    AuthorityDifference,
    compare_authority,
    require_unchanged,
)
from pkigen.state.cluster_objects import merged
from pkigen.state.lockfile import LARGEST_LOCK, read_lock, spec_facts
from pkigen.state.observed import Fault, FaultKind, observe_file
from pkigen.state.reasons import Reason
from pkigen.state.revocations import revocations
from pkigen.state.rotation_phases import observe_rotations
from pkigen.state.vault import is_encrypted
from pkigen.state.views import MovedView, PublicView
from pkigen.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from pkigen.desired.generations import Rotations
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.revocations import RevocationChange
    from pkigen.reconcile.cluster_changes import ClusterStep
    from pkigen.reconcile.progress import Progress
    from pkigen.reconcile.whole_survey import WholeSurvey
    from pkigen.spec.model import ClusterSpec
    from pkigen.state.authority_record import AuthorityComparison
    from pkigen.state.observed import Reader, Tree
    from pkigen.state.views import Move

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """What a plan of one cluster needs beside its directory: what must exist, how it is rendered, and when.

    `templates_name` is what the lock file calls the folder that replaces pkigen's own templates. `progress`
    is told how far a look at the directory is.
    """

    inventory: Inventory
    renderer: Renderer
    now: datetime
    templates_name: str | None = None
    progress: Progress = field(default=SILENCE, compare=False)

    @classmethod
    def of(
        cls,
        inventory: Inventory,
        *,
        now: datetime,
        templates: Path | None = None,
        templates_name: str | None = None,
        progress: Progress = SILENCE,
    ) -> Planner:
        """The planner of what must exist, with the renderer that goes with it.

        Raises:
            TemplateError: The folder of templates is none, or holds a file that replaces nothing.
        """
        known = rendered_with(inventory, Templates(templates))
        return cls(
            inventory=known,
            renderer=Renderer(known, overrides_name=templates_name),
            now=now,
            templates_name=templates_name,
            progress=progress,
        )

    @property
    def folder(self) -> Path | None:
        """The folder that replaces pkigen's own templates."""
        return self.inventory.templates.folder if self.inventory.templates is not None else None

    def at(self, tree: Reader) -> Planner:
        """The same over what a directory's past adds: rotations in progress, members of etcd."""
        known, lock = self.inventory, read_lock(tree)
        rotations, etcd, adopted = observe_rotations(tree), known.etcd, known.adopted
        revoked = revocations(tree, lock, now=self.now)
        if lock is not None:
            # Who founded etcd is known from the past only: a member that comes
            # later joins, and is admitted first.
            etcd = lock.etcd.grown([member.name for member in known.cluster.etcd_members])
            rotations = rotations.with_crossed(lock.paths)
            adopted = lock.adopted
        found = (rotations, etcd, adopted, revoked)
        if found == (known.rotations, known.etcd, known.adopted, known.revocations):
            return self
        return self._over(derive(known.cluster, *found))

    def of_spec(self, cluster: ClusterSpec) -> Planner:
        """The same over another spec."""
        return self._over(derive(cluster))

    def under(self, rotations: Rotations) -> Planner:
        """The same with rotations in these phases."""
        known = self.inventory
        return self._over(derive(known.cluster, rotations, known.etcd, known.adopted, known.revocations))

    def revoking(self, change: RevocationChange) -> Planner:
        """The same with other credentials revoked."""
        known = self.inventory
        changed = known.revocations.changed(change)
        return self._over(derive(known.cluster, known.rotations, known.etcd, known.adopted, changed))

    def in_cluster(self, tree: Tree) -> tuple[ClusterStep, ...]:
        """What earlier changes have left to do in the running cluster, by the ledger.

        That is about the spec that the directory was made from last, whatever the spec asks for by now.
        """
        held = remembered(tree)
        if not held:
            return ()
        lock, last = read_lock(tree), self
        if lock is not None and lock.spec != spec_facts(self.inventory.cluster):
            with suppress(PkigenError):  # an older pkigen's spec
                last = self.of_spec(lock.cluster()).at(tree)
        return cluster_steps(held, last.inventory, tree, last.renderer)

    def _over(self, inventory: Inventory) -> Planner:
        templates = self.inventory.templates
        # The templates of a run stay what they were when it began.
        known = inventory if templates is None else rendered_with(inventory, templates)
        renderer = Renderer(known, overrides_name=self.templates_name)
        return replace(self, inventory=known, renderer=renderer)

    def plan(
        self,
        tree: Tree,
        *,
        selection: Selection | None = None,
        moves: tuple[Move, ...] = (),
        rotated: Mapping[str, str] | None = None,
        seen: WholeSurvey | None = None,
    ) -> Plan:
        """Plan everything that the spec asks for and a directory does not hold (`make_plan`).

        What earlier runs wrote there is what its lock file names. A directory that nobody has touched since
        nothing was to do is not looked at again (`index`).

        Raises:
            AuthorityError: A CA is half there or unfit, or is encrypted here but unencrypted on nodes.
        """
        is_plain = selection in {None, Selection()} and not (moves or rotated) and seen is None
        glance = self._glance(tree) if is_plain else None
        known = glance.known_plan() if glance is not None else None
        if known is not None:
            return known
        files = glance.files() if glance is not None else None
        lock = read_lock(tree)
        made = make_plan(
            self.inventory,
            tree,
            self.renderer,
            now=self.now,
            # Without a lock file nothing is known to be pkigen's, and so nothing is removed.
            owned=lock.paths if lock is not None else frozenset(),
            selection=selection,
            moves=moves,
            rotated=rotated,
            progress=self.progress,
            seen=seen,
        )
        if glance is not None:
            glance.keep(made, files)
        return made

    def is_settled(self, tree: Tree) -> bool:
        """Whether a directory is known to be all that the spec asks for, without a look at it.

        Raises:
            TemplateError: A template cannot be read.
        """
        glance = self._glance(tree)
        return glance is not None and glance.is_settled()

    def _glance(self, tree: Tree) -> Glance | None:
        """How a directory stands before it is looked at; None of what is no directory as it lies there."""
        if not isinstance(tree, Store):
            return None
        return Glance.at(tree, self.inventory, self.renderer, now=self.now)


def make_plan(  # noqa: PLR0913 -- all that a plan depends on
    inventory: Inventory,
    tree: Tree,
    renderer: Renderer,
    *,
    now: datetime,
    owned: frozenset[str],
    selection: Selection | None = None,
    moves: tuple[Move, ...] = (),
    rotated: Mapping[str, str] | None = None,
    progress: Progress = SILENCE,
    seen: WholeSurvey | None = None,
    hands: Hands = ALL_HANDS,
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
        progress: Is told of each object that is looked at.
        seen: The survey of this directory, where there is one, and nothing is selected or moved.
        hands: How many processes look at it.

    Raises:
        AuthorityError: A CA is half there or unfit, or is encrypted here but unencrypted on nodes.
        PkigenError: A CA would be made beside one that lies there under a name that is not read.
    """
    # As it is after the moves: a promoted generation is looked for where it will be.
    moved = MovedView(tree, moves)
    if is_encrypted(moved):
        require_no_ca_keys_on_nodes(inventory)
    is_whole = not isinstance(tree, PublicView)
    # Not through the digest: a line of the ledger more is no other plan.
    authority = compare_authority(tree) if is_whole else UNCOMPARED
    wanted = selection or Selection()
    reader, objects = survey_for_plan(
        inventory, moved, renderer, now=now, selection=wanted, progress=progress, seen=seen, hands=hands
    )
    reader.note("the spec", json.dumps(spec_facts(inventory.cluster)))
    # Neither is seen in an action: what a file is created with, and what would be made of the same spec.
    reader.note("the templates", renderer.digest())
    reader.note("pkigen's version", __version__)
    lock = LockBuilder(inventory=inventory, templates=renderer.overrides())
    actions: list[Action] = []
    others: list[Lasting] = []
    for summary in objects:
        actions.append(summary.action)
        others.extend(lasting(summary))
        lock.add(summary)
    actions.extend(_rotations(moves, rotated or {}))
    actions.extend(removals(inventory, moved.walk(), owned))
    if is_whole and all(isinstance(action, Keep) for action in actions):
        # With any change it is written again.
        actions.extend(_lock_file(reader, lock, authority))
    actions = list(with_remainders(actions, tree, inventory))
    _log(actions)
    given = given_until_now(actions, tree, renderer, inventory)
    planned = planned_objects(given, actions, inventory, tree, renderer, encrypts_anew=_encrypts_anew(moves))
    held = merged(remembered(tree), planned)
    plan = Plan(
        actions=tuple(actions),
        observed=reader.digests,
        moves=moves,
        rotated=rotated or {},
        authority=authority,
        withheld=withheld_ids(inventory, tree),
        given=given,
        in_cluster=cluster_steps(held, inventory, tree, renderer),
        unread=tuple(unread(cipher_change(actions, tree, inventory, renderer))),
        version_steps=_version_steps(inventory, tree, actions),
        until=next_moment(inventory, lock.certificates, others, now=now),
        lock=lock,
    )
    require_read(plan, moved, inventory)
    return plan


def _encrypts_anew(moves: Iterable[Move]) -> bool:
    """Whether another generation of the encryption key becomes the one that encrypts."""
    current = encryption_key_path(Slot.CURRENT)
    return any(current in {move.source, move.target} for move in moves)


def _version_steps(inventory: Inventory, tree: Tree, actions: Iterable[Action]) -> tuple[str, ...]:
    """What cannot be done in one step of what becomes of the programs."""
    paths = [path for action in actions if not isinstance(action, Keep) for path in action.paths]
    if not paths:
        return ()
    before, after = Versions.recorded(read_lock(tree)), Versions.wanted(inventory.cluster)
    return tuple(version_steps(before, after, paths))


def _log(actions: Iterable[Action]) -> None:
    """The plan in counts, and line by line for those who asked for every object."""
    if not logger.isEnabledFor(logging.INFO):
        return
    counts = Counter(action.verb for action in actions)
    logger.info("planned: %s", ", ".join(f"{count} to {verb}" for verb, count in sorted(counts.items())))
    for action in actions:
        if action.reason is not None:
            logger.debug("planned: %s %s (%s)", action.verb, action.id, action.reason)


def require_no_ca_keys_on_nodes(inventory: Inventory) -> None:
    """Encrypting the authority is no use where the nodes' trees beside it hold the CA keys open.

    Raises:
        AuthorityError: The spec would have them there.
    """
    for item in inventory.items:
        if isinstance(item, DesiredCopy) and item.material is MaterialKind.CA_KEY:
            raise AuthorityError(
                f"an encrypted authority does not allow {item.path}, an unencrypted CA key",
                hint="set spec.certificates.distributeCAKeys to false: the controller managers then sign "
                "nothing, and kubelets' certificates are renewed with pkigen",
            )


def require_nothing_pending(plan: Plan) -> None:
    """Refuse what goes with a directory only once it is what the spec asks for.

    Raises:
        PkigenError: Changes are pending.
        AuthorityError: The authority is another one than is recorded.
    """
    require_unchanged(plan.authority)
    if plan.changes:
        first = plan.changes[0]
        raise PkigenError(
            f"{len(plan.changes)} changes are pending, the first is {first.verb} {first.id}",
            hint="`pkigen apply` them first",
        )


def require_signed_here(plan: Plan, root: Path) -> None:
    """Refuse what waits for the offline authority before anybody is asked about it.

    Args:
        plan: What is to be done.
        root: The PKI directory, for the hint.

    Raises:
        AuthorityError: The plan holds such a change.
    """
    if plan.offline:
        first, count = plan.offline[0], len(plan.offline)
        raise AuthorityError(
            f"{count} of the changes need{'s' if count == 1 else ''} a certificate from the offline "
            f"authority, the first being {first.verb} {first.id} ({first.reason}): nothing was changed",
            hint=f"`pkigen airgap authority request {dir_option(root)}` requests them; accepting its "
            "answer makes all changes at once",
        )


def _rotations(moves: tuple[Move, ...], rotated: Mapping[str, str]) -> Iterator[Action]:
    """What a rotation does to the authority itself, for those who read the plan."""
    details = tuple(
        f"{move.source} becomes {move.target}" if move.target else f"{move.source} is moved to the backup"
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


def _lock_file(reader: Reader, lock: LockBuilder, authority: AuthorityComparison) -> Iterator[Action]:
    """The lock file where nothing else is to change: gone, edited, or made from another spec or authority.

    Where the ledger ends and which keys the authority has is taken from it as it is: that is compared apart.
    """
    known = read_lock(reader)
    found = observe_file(reader, layout.LOCK_FILE, limit=LARGEST_LOCK)
    if isinstance(found, Fault):
        kind: type[Action] = Create if found.kind is FaultKind.MISSING else Rewrite
        reason = Reason.MISSING if found.kind is FaultKind.MISSING else Reason.UNREADABLE
        detail = f"{found.path} {found.message}"
    # A new successor is recorded with the step that takes it up.
    elif any(change.difference is not AuthorityDifference.NEW for change in authority.changes):
        kind, reason = Rewrite, Reason.CONTENT_CHANGED
        detail = f"{layout.LOCK_FILE} or the ledger records another authority"
    elif known is not None and known.authority is None:
        kind, reason = Rewrite, Reason.CONTENT_CHANGED
        detail = f"{layout.LOCK_FILE} does not record the keys of the authority yet"
    elif known is not None and _digest(lock.encode(known.ledger, known.authority)) == found.sha256:
        return
    else:
        kind, reason = Rewrite, Reason.CONTENT_CHANGED
        detail = f"{layout.LOCK_FILE} does not describe this tree and this spec"
    yield kind(id=layout.LOCK_FILE, paths=(layout.LOCK_FILE,), node=None, reason=reason, details=(detail,))


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
