"""One step of a rotation: what it would do, what stands against it, and how it is carried out.

`propose` says all that a person has to know before agreeing; nothing is written. `rehearse` proves the step
over a staged tree that is thrown away. `carry_out` stages it, proves it, and commits it in one transaction.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.generations import CA, ENCRYPTION_KEY, SA, Slot, ca_id, ca_location
from pkigen.errors import RotationError, UsageError
from pkigen.notation import dir_option
from pkigen.reconcile import apply
from pkigen.reconcile.source import IssuedHere
from pkigen.records import dataclass
from pkigen.rotation import phases
from pkigen.rotation.caveats import Caveats
from pkigen.rotation.crossing import Crossing
from pkigen.rotation.issuers import issuer_premises, issuer_risks
from pkigen.rotation.live import look
from pkigen.rotation.proof import Proof, State
from pkigen.rotation.prover import prove
from pkigen.rotation.step_names import RotationStep
from pkigen.rotation.unmanaged import unmanaged
from pkigen.spec.certificates import CAKeys
from pkigen.state.authority import certificates_of
from pkigen.state.authority_identities import generation_path
from pkigen.state.authority_record import RESTORE, AuthorityDifference, compare_authority
from pkigen.state.ledger import last_step, read_ledger
from pkigen.state.materials import discovery_hash
from pkigen.state.observed import Fault, observe_certificate, observe_file
from pkigen.store import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.apply import Applied
    from pkigen.reconcile.plan import Plan
    from pkigen.reconcile.planner import Planner
    from pkigen.reconcile.workbench import Tools
    from pkigen.rotation.evidence import Evidence
    from pkigen.rotation.live import Dial, Live
    from pkigen.rotation.phases import WantedStep
    from pkigen.state.authority_record import AuthorityChange, AuthorityComparison
    from pkigen.state.views import StagedView
    from pkigen.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenStep:
    """An earlier run took the step: `planner` is what the spec asks for now, and `plan` changes nothing."""

    planner: Planner
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedStep:
    """What a step would do.

    `before` and `after` are the desired state around it, and `plan` leads from one to the other. `premises`
    are assumed because no file shows them; `risks` is what may break that no proof can see.
    `obstacle` is why the step must not be taken now, `seen` what the endpoints serve, if anybody asked, and
    `evidence` what audit logs say of who still uses the old generation.
    """

    step: RotationStep
    identifiers: tuple[str, ...]
    before: Planner
    after: Planner
    plan: Plan
    premises: tuple[str, ...]
    risks: tuple[str, ...]
    obstacle: RotationError | None
    seen: Live | None
    evidence: Evidence | None = None

    def require(self) -> None:
        """Go on only if nothing stands against it.

        Raises:
            RotationError: Something does.
        """
        if self.obstacle is not None:
            raise self.obstacle


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedStep:
    """What was done, the proof that it broke nothing, and what joining nodes pin, where that has changed."""

    applied: Applied
    proof: Proof
    discovery_hashes: tuple[str, ...]


def require_rotatable(inventory: Inventory, identifiers: Iterable[str]) -> None:
    """Refuse what this cluster does not have, or cannot rotate here.

    Raises:
        UsageError: There is no such thing.
        RotationError: The CA keys are with the offline authority.
    """
    for identifier in identifiers:
        if identifier == ENCRYPTION_KEY and inventory.cluster.spec.encryption is None:
            raise UsageError(
                "this cluster does not encrypt Secrets", hint="set spec.encryption, then `pkigen apply`"
            )
        if identifier not in {SA, ENCRYPTION_KEY}:
            _require_rotatable_ca(inventory, CA.of_id(identifier))


def _require_rotatable_ca(inventory: Inventory, ca: CA) -> None:
    """Refuse a CA whose key is not here, or that this cluster has not."""
    if inventory.ca_keys is CAKeys.OFFLINE:
        raise RotationError(
            "the CA keys are at the offline authority (caKeys: offline): no step of a rotation can be "
            "signed here",
            hint="a new validity for the same CA needs no rotation: `pkigen airgap authority renew` there; "
            "another CA needs another authority, and every node must change at once",
        )
    if ca not in inventory.authorities:
        raise UsageError(
            f"this cluster has no {ca.certificate_name} CA", hint="its etcd is external: rotate it there"
        )


def propose(
    planner: Planner, store: Store, wanted: WantedStep, *, dial: Dial | None = None
) -> ProposedStep | TakenStep:
    """Plan one step, and find every obstacle to it.

    Args:
        planner: What the spec asks for.
        store: The PKI directory, held alone.
        wanted: Which step, and what the operator vouches for.
        dial: Makes the handshakes of a look at the endpoints; real ones by default.

    Raises:
        UsageError: What is to rotate is in different phases, so no one step is next.
        RotationError: Other changes are pending, the step is out of turn, or a successor has to be brought.
        AuthorityError: A CA is half there or unfit.
    """
    # First of all: with an exchanged CA, everything that follows would be signed by a stranger.
    _require_recorded(store, wanted)
    # From a tree that is what the spec asks for: two changes at once could not be told apart in the proof.
    before, settled = _settled(planner.at(store), store, wanted)
    # Before the phase is looked at: after an interruption it is the next one already.
    if _is_taken(before.inventory, store, wanted):
        return TakenStep(planner=before, plan=settled)
    rotations = before.inventory.rotations
    step = wanted.step or phases.proposed(rotations, wanted.identifiers)
    reached = phases.after(rotations, wanted.identifiers, step)
    crossing = Crossing.of(store, wanted) if step is RotationStep.PREPARE else Crossing()
    after = before.under(reached.crossing(crossing.identifiers))
    _require_of_use(wanted, step)
    # Before planning, which would otherwise make a successor of its own.
    if step is RotationStep.PREPARE:
        _require_successors(before.inventory, store, wanted.identifiers)
    plan = after.plan(
        store,
        moves=phases.moves(store, rotations, wanted.identifiers, step),
        rotated={identifier: str(step) for identifier in wanted.identifiers},
    )
    seen: Live | None = None
    # Only where the step relies on it: it may take a minute.
    if step in {RotationStep.PROMOTE, RotationStep.FINISH} and wanted.live:
        # Compared with the files before the step: those are what every node must serve by now.
        seen = look(before.inventory, store, now=before.now, dial=dial, only=wanted.identifiers)
    caveats = Caveats(before, store, wanted)
    return ProposedStep(
        step=step,
        identifiers=wanted.identifiers,
        before=before,
        after=after,
        plan=plan,
        premises=(
            *phases.premises(rotations, wanted.identifiers, step),
            *issuer_premises(before.inventory, wanted.identifiers, step),
        ),
        risks=(
            *map(str, _alarms(plan.authority, wanted)),
            *caveats.risks(step),
            *crossing.risks,
            *issuer_risks(before.inventory, store, wanted.identifiers, step),
        ),
        # The flags first: against them neither waiting nor distributing helps.
        obstacle=unmanaged(after.inventory, store, wanted.identifiers, step) or caveats.obstacle(step, seen),
        seen=seen,
        evidence=caveats.evidence(),
    )


def _require_of_use(wanted: WantedStep, step: RotationStep) -> None:
    """Refuse audit logs where they would say nothing.

    Raises:
        UsageError: The step drops no CA.
    """
    if wanted.evidence is not None and step is not RotationStep.FINISH:
        raise UsageError(
            f"--evidence is about finish, and the next step is {step}",
            hint="leave it out; it shows who still uses the CA that finish drops",
        )


def rehearse(proposed: ProposedStep, store: Store, tools: Tools) -> Proof:
    """Stage a step, prove it, and discard what was staged.

    Raises:
        StoreError: The tree could not be staged.
        AuthorityError: A CA cannot sign.
    """
    proofs: list[Proof] = []
    apply.rehearse(
        proposed.plan,
        proposed.after.inventory,
        store,
        replace(tools, renderer=proposed.after.renderer),
        inspect=lambda view: proofs.append(_proof(proposed, store, view)),
    )
    (proof,) = proofs
    return proof


def carry_out(
    proposed: ProposedStep,
    store: Store,
    tools: Tools,
    *,
    reuse_keys: bool = False,
    inspect: Callable[[StagedView], None] | None = None,
) -> CompletedStep:
    """Take a step, whole or not at all; the staged tree is proven before the commit.

    Args:
        proposed: The step, as somebody has agreed to it.
        store: The PKI directory, held alone since it was proposed.
        tools: Clock, random source, progress, the opened authority.
        reuse_keys: Whether leaves keep their private keys.
        inspect: Looks at the staged tree once it is proven, and raises where it must not be committed.

    Raises:
        RotationError: Something stands against it, or it would break an edge; nothing is changed.
        StoreError: The tree could not be written; it is unchanged.
        AuthorityError: A CA cannot sign.
    """
    proposed.require()
    proofs: list[Proof] = []

    def look_at(view: StagedView) -> None:
        proof = _proof(proposed, store, view)
        proof.require()
        proofs.append(proof)
        if inspect is not None:
            inspect(view)

    # Before the change: afterwards the files of the state before it are gone.
    known = _discovery_hashes(proposed.before, store)
    # With the renderer of the state after the step; the one in `tools` renders the present phase.
    applied = apply.apply_plan(
        proposed.plan,
        proposed.after.inventory,
        store,
        replace(tools, renderer=proposed.after.renderer),
        source=IssuedHere(reuses_keys=reuse_keys),
        inspect=look_at,
    )
    found = _discovery_hashes(proposed.after, store)
    # The staged tree is inspected exactly once, or nothing was committed.
    (proof,) = proofs
    return CompletedStep(applied=applied, proof=proof, discovery_hashes=found if found != known else ())


def _proof(proposed: ProposedStep, store: Store, view: StagedView) -> Proof:
    """The proof over the tree that is there and the staged one."""
    old = State(inventory=proposed.before.inventory, reader=store)
    new = State(inventory=proposed.after.inventory, reader=view)
    return prove(old, new, now=proposed.after.now, progress=proposed.after.progress)


def _discovery_hashes(planner: Planner, store: Store) -> tuple[str, ...]:
    """What joining nodes pin, the signing CA's first."""
    found = certificates_of(store, planner.inventory, CA.KUBERNETES, now=planner.now)
    # `kubeadm join` wants one CA of cluster-info among its pins (kubeadm, util/pubkeypin, CheckAny): with
    # both pinned, a node joins at any time of a rotation.
    return tuple(map(discovery_hash, found.anchors if found is not None else ()))


# -- where a step starts ----------------------------------------------------------------------------------


def _settled(found: Planner, store: Store, wanted: WantedStep) -> tuple[Planner, Plan]:
    """The state that the step starts from, and its plan: what the spec asks for, with nothing else to change.

    A next generation that an operator put into the authority is not prepared before the tree trusts it.

    Raises:
        RotationError: Other changes are pending.
    """
    if wanted.step in {None, RotationStep.PREPARE}:
        rotations = phases.before_preparing(found.inventory.rotations, wanted.identifiers)
        if rotations != found.inventory.rotations:
            earlier = found.under(rotations)
            plan = earlier.plan(store)
            if not plan.changes:
                return earlier, plan
    plan = found.plan(store)
    # With force another authority is accepted, and the lock file is what records it.
    changes = [each for each in plan.changes if not (wanted.force and each.id == layout.LOCK_FILE)]
    if changes:
        first = changes[0]
        raise RotationError(
            f"{len(changes)} other changes are pending, the first is {first.verb} {first.id}",
            hint="`pkigen apply` them first, and distribute them to every node",
        )
    return found, plan


def _alarms(found: AuthorityComparison, wanted: WantedStep) -> Iterator[AuthorityChange]:
    """How the authority differs from its records, but for the successors that are taken up."""
    taken_up = {generation_path(identifier, Slot.NEXT) for identifier in wanted.identifiers}
    for change in found.alarms:
        prepares = wanted.step in {None, RotationStep.PREPARE} and change.path in taken_up
        if not (prepares and change.difference is AuthorityDifference.NEW):
            yield change


def _require_recorded(store: Store, wanted: WantedStep) -> None:
    """No step is taken with another authority than the one that is recorded, unless it is forced.

    Raises:
        RotationError: It is another.
    """
    alarms = tuple(_alarms(compare_authority(store), wanted))
    if alarms and not wanted.force:
        raise RotationError(
            f"the authority is not the one that is recorded: {alarms[0]}",
            hint=f"{RESTORE}; if the change is intended, add --force",
        )


def _is_taken(inventory: Inventory, store: Store, wanted: WantedStep) -> bool:
    """Whether an earlier run took the step, or this one has just finished what it left.

    The way back and the next step depend on the phase: after an interruption they must not be taken twice.
    """
    recovered = store.recovered
    # Opening the store has finished that run already, and tells under which words it was started.
    if recovered is not None and (recovered.outcome, recovered.command) == (Outcome.FINISHED, wanted.words):
        return True
    if wanted.step is None or not phases.is_taken(inventory.rotations, wanted.identifiers, wanted.step):
        return False
    ledger = read_ledger(store)
    # What was never prepared is stable as well: that a rotation has ended, only the ledger knows.
    return wanted.step is not RotationStep.FINISH or all(
        last_step(ledger, identifier) == RotationStep.FINISH for identifier in wanted.identifiers
    )


def _require_successors(inventory: Inventory, store: Store, identifiers: Iterable[str]) -> None:
    """Refuse to prepare an intermediate whose successor is missing.

    It is signed by whoever signed the intermediate, which is not this machine.
    """
    for ca in (ca for ca in CA if ca_id(ca) in identifiers):
        certificate = observe_certificate(store, ca_location(ca)).certificate
        successor = ca_location(ca, Slot.NEXT)
        # A root's successor is another root, made here; only an intermediate needs whoever is above it.
        is_intermediate = certificate is not None and certificate.subject != certificate.issuer
        if not is_intermediate or not isinstance(observe_file(store, successor.certificate), Fault):
            continue
        if inventory.is_signed_offline(inventory.certificates[ca_id(ca)]):
            raise RotationError(
                f"the successor of the {ca.certificate_name} CA comes from the offline authority",
                hint="request it: "
                f"`pkigen airgap authority request --next {ca_id(ca)} {dir_option(store.root)}`",
            )
        raise RotationError(
            f"the {ca.certificate_name} CA is an intermediate: pkigen cannot sign its successor",
            hint=f"put the next one into {store.root}/{successor.certificate}, followed by the chain "
            f"above it, and its key into {store.root}/{successor.key}; a root is possible too",
        )
