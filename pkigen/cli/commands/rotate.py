"""`pkigen rotate`: replace CAs, the service account key or the encryption key without downtime, in phases."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pkigen.cli.console import agreed, note, say
from pkigen.cli.options import Format, FormatOption, OutOption, SpecArgument, TemplatesOption, YesOption
from pkigen.cli.outputs import write_rotation_runbook
from pkigen.cli.reports import structured
from pkigen.cli.reports.live_text import live_text
from pkigen.cli.reports.plan_text import plan_text
from pkigen.cli.reports.proof_text import proof_text
from pkigen.cli.session import Session, open_spec, owned_paths
from pkigen.cli.system import system_of
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.desired.generations import CA, ENCRYPTION_KEY, SA, Phase, Slot, ca_id, ca_location
from pkigen.errors import PkigenError, RotationError, UsageError
from pkigen.reconcile.apply import Applied, apply_plan, rehearse
from pkigen.reconcile.plan import Plan
from pkigen.reconcile.planner import make_plan
from pkigen.reconcile.source import IssuedHere
from pkigen.rotation.live import OBSERVABLE, look
from pkigen.rotation.phases import (
    COMMANDS,
    NEXT_STEP,
    RotationStep,
    after,
    before_preparing,
    is_taken,
    moves,
    premises,
    proposed,
)
from pkigen.rotation.proof import Proof, State
from pkigen.rotation.prover import prove
from pkigen.spec.model import CAKeys
from pkigen.state.ledger import last_step, promoted_and_back, promoted_at, read_ledger
from pkigen.state.lockfile import read_lock
from pkigen.state.materials import discovery_hash
from pkigen.state.observed import Fault, observe_certificate, observe_file
from pkigen.state.views import StagedView
from pkigen.store import Outcome, Store

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Replace CAs and signing keys without downtime, in phases.",
)


class CAName(enum.StrEnum):
    """The CAs by the names that people use."""

    KUBERNETES = "kubernetes"
    ETCD = "etcd"
    FRONT_PROXY = "front-proxy"

    @property
    def ca(self) -> CA:
        """The CA."""
        return {"kubernetes": CA.KUBERNETES, "etcd": CA.ETCD, "front-proxy": CA.FRONT_PROXY}[self]


PhaseOption = Annotated[
    RotationStep | None,
    typer.Option("--phase", help="Which step to take.  [default: the next one]"),
]
ProveOption = Annotated[
    bool, typer.Option("--prove", help="Show the proof for the step, and change nothing.")
]
DistributedOption = Annotated[
    bool,
    typer.Option(
        "--assume-distributed",
        help="Take it that every node has the files of the step before and has restarted what must restart.",
    ),
]
RunbookOption = Annotated[
    Path | None,
    typer.Option("--runbook", metavar="DIR", help="Write there what is to be done on which node, in order."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationOptions:
    """What the operator asked for."""

    identifiers: tuple[str, ...]
    step: RotationStep | None
    prove: bool
    yes: bool
    distributed: bool
    runbook: Path | None
    output: Format
    force: bool = False
    live: bool = False
    reuse_keys: bool = False

    def __post_init__(self) -> None:
        if self.prove and self.runbook is not None:
            raise UsageError(
                "--prove and --runbook do not go together",
                hint="the runbook holds the fingerprints of what a step issues: take it with --runbook",
            )

    @property
    def words(self) -> str:
        """What the journal calls this run."""
        return f"rotate {' '.join(self.identifiers)} {self.step or 'next'}"

    @property
    def command(self) -> str:
        """How to go on on the command line."""
        first, *more = (COMMANDS[identifier] for identifier in self.identifiers)
        return " ".join(["pkigen rotate", first, *(each.removeprefix("ca ") for each in more)])


@app.command("ca")
@unlocked
def rotate_ca(
    context: typer.Context,
    names: Annotated[list[CAName], typer.Argument(metavar="CA", help="kubernetes, etcd, front-proxy.")],
    spec: SpecArgument,
    *,
    phase: PhaseOption = None,
    out: OutOption = None,
    yes: YesOption = False,
    prove: ProveOption = False,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Before finish, see that every endpoint serves its promoted certificate."
        ),
    ] = False,
    assume_distributed: DistributedOption = False,
    reuse_keys: Annotated[
        bool,
        typer.Option(
            "--reuse-keys",
            help="Leaves keep their private keys: no node ever has a new certificate beside an old key.",
        ),
    ] = False,
    runbook: RunbookOption = None,
    templates: TemplatesOption = None,
    unlocking: Unlocking,
    output: FormatOption = Format.TEXT,
) -> None:
    """Replace CAs: prepare → promote → finish, or rollback.

    Between two steps the files must reach every node; the runbook says how. A step that would break a TLS
    connection in any partly distributed cluster is refused. A CA of your own is taken up by prepare from
    pki/ca-next.crt and .key (pki/etcd/ca-next.*, pki/front-proxy-ca-next.*).
    """
    session = open_spec(system_of(context), spec, out=out, templates=templates)
    session = session.with_keys(unlocking)
    chosen = tuple(dict.fromkeys(name.ca for name in names))
    if session.inventory.ca_keys is CAKeys.OFFLINE:
        raise RotationError(
            "the CA keys are with the offline authority (caKeys: offline): no step of a rotation can be "
            "signed here",
            hint="a new validity for the same CA needs no rotation: `pkigen authority renew` there; another "
            "CA means another authority, and every node changed at once",
        )
    for ca in chosen:
        if ca not in session.inventory.authorities:
            raise UsageError(
                f"this cluster has no {ca.certificate_name} CA", hint="its etcd is external: rotate it there"
            )
    wish = RotationOptions(
        identifiers=tuple(ca_id(ca) for ca in chosen),
        step=phase,
        prove=prove,
        yes=yes,
        live=live,
        reuse_keys=reuse_keys,
        distributed=assume_distributed,
        runbook=runbook,
        output=output,
    )
    _rotate(session, wish)


@app.command("sa")
@unlocked
def rotate_sa(
    context: typer.Context,
    spec: SpecArgument,
    *,
    phase: PhaseOption = None,
    out: OutOption = None,
    yes: YesOption = False,
    prove: ProveOption = False,
    assume_distributed: DistributedOption = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Finish although tokens of the old key may still be in use; the plan says which."
        ),
    ] = False,
    runbook: RunbookOption = None,
    templates: TemplatesOption = None,
    unlocking: Unlocking,
    output: FormatOption = Format.TEXT,
) -> None:
    """Replace the key that signs service account tokens: prepare → promote → finish, or rollback.

    Finish is refused until the tokens of the old key have ended (serviceAccounts.maxTokenLifetime).
    """
    session = open_spec(system_of(context), spec, out=out, templates=templates)
    session = session.with_keys(unlocking)
    wish = RotationOptions(
        identifiers=(SA,),
        step=phase,
        prove=prove,
        yes=yes,
        distributed=assume_distributed,
        force=force,
        runbook=runbook,
        output=output,
    )
    _rotate(session, wish)


@app.command("encryption-key")
@unlocked
def rotate_encryption_key(
    context: typer.Context,
    spec: SpecArgument,
    *,
    phase: PhaseOption = None,
    out: OutOption = None,
    yes: YesOption = False,
    prove: ProveOption = False,
    assume_distributed: DistributedOption = False,
    runbook: RunbookOption = None,
    templates: TemplatesOption = None,
    unlocking: Unlocking,
    output: FormatOption = Format.TEXT,
) -> None:
    """Replace the key that encrypts Secrets in etcd: prepare → promote → finish, or rollback.

    Between promote and finish every Secret is written again; promote's runbook has the command.
    """
    session = open_spec(system_of(context), spec, out=out, templates=templates)
    session = session.with_keys(unlocking)
    if session.inventory.cluster.spec.encryption is None:
        raise UsageError(
            "this cluster does not encrypt Secrets", hint="set spec.encryption, then `pkigen apply`"
        )
    wish = RotationOptions(
        identifiers=(ENCRYPTION_KEY,),
        step=phase,
        prove=prove,
        yes=yes,
        distributed=assume_distributed,
        runbook=runbook,
        output=output,
    )
    _rotate(session, wish)


def _rotate(session: Session, wish: RotationOptions) -> None:
    """Take one step: plan it, prove it, show it, ask, and carry it out in one transaction."""
    with session.writing(wish.words) as store:
        old = _settled(session, store, wish)
        if _is_taken(old, store, wish):
            _say_taken(old, store, wish)
            return
        step = wish.step or proposed(old.inventory.rotations, wish.identifiers)
        new = old.under(after(old.inventory.rotations, wish.identifiers, step))
        if step is RotationStep.PREPARE:
            _require_successors(old, store, wish.identifiers)
        plan = make_plan(
            new.inventory,
            store,
            new.renderer,
            now=new.now,
            owned=owned_paths(read_lock(store)),
            moves=moves(store, old.inventory.rotations, wish.identifiers, step),
            rotated={identifier: str(step) for identifier in wish.identifiers},
        )
        judge = _StepProof(old, new, store)
        given = premises(old.inventory.rotations, wish.identifiers, step)
        if wish.prove:
            rehearse(plan, new.inventory, store, new.tools(new.unlocking.vault(store)), inspect=judge.look)
            _say_proof(judge.proof(), given, wish.output)
            judge.proof().require()
            return
        risks = tuple(_risks(old, store, wish, step))
        if step is RotationStep.FINISH:
            _require_over(old, store, wish)
        (say if wish.output is Format.TEXT else note)(plan_text(plan, new.inventory, risks))
        if step is not RotationStep.PREPARE:
            for premise in given:
                note(f"taken for granted: {premise}")
        if not wish.yes and not agreed(f"{step} {', '.join(wish.identifiers)}?"):
            raise PkigenError("not rotated", hint="nothing was changed")
        hashes = _discovery_hashes(old, store)
        tools = new.tools(new.unlocking.vault(store))
        applied = apply_plan(
            plan,
            new.inventory,
            store,
            tools,
            source=IssuedHere(reuses_keys=wish.reuse_keys),
            inspect=_inspection(judge, new, wish, step, plan),
        )
        found = _discovery_hashes(new, store)
        discovery = found if found != hashes else ()
    _say_done(new, wish, step, applied, judge.proof(), discovery)
    if wish.output is not Format.TEXT:
        done = structured.applied(applied, structured.plan(plan, new.inventory, risks), str(new.root))
        said: dict[str, Any] = {
            **done,
            "kind": "Rotated",
            "step": str(step),
            "phases": _phases(new, wish),
            "discoveryHashes": list(discovery),
            "proof": {"edges": judge.proof().edges, "cases": judge.proof().verdicts, "broken": 0},
        }
        say(structured.dump(said, wish.output))


class _StepProof:
    """Proves the step over the tree that is there and the staged one."""

    def __init__(self, old: Session, new: Session, store: Store) -> None:
        self._old = State(inventory=old.inventory, reader=store)
        self._inventory = new.inventory
        self._now: datetime = new.now
        self._proof: Proof | None = None

    def look(self, view: StagedView) -> None:
        new = State(inventory=self._inventory, reader=view)
        self._proof = prove(self._old, new, now=self._now)

    def demand(self, view: StagedView) -> None:
        self.look(view)
        self.proof().require()

    def proof(self) -> Proof:
        if self._proof is None:
            raise AssertionError
        return self._proof


def _inspection(
    judge: _StepProof, new: Session, wish: RotationOptions, step: RotationStep, plan: Plan
) -> Callable[[StagedView], None]:
    """The proof, and the runbook: whoever is interrupted right after the commit must not be left without."""

    def inspect(view: StagedView) -> None:
        judge.demand(view)
        if wish.runbook is not None:
            write_rotation_runbook(
                wish.runbook,
                new.inventory,
                view,
                plan.changes,
                identifiers=wish.identifiers,
                step=step,
                now=new.now,
            )

    return inspect


# -- before a step --------------------------------------------------------------------------------


def _settled(session: Session, store: Store, wish: RotationOptions) -> Session:
    """The state that the step starts from: what the spec asks for, so that its plan holds nothing else.

    A next generation that an operator put into the authority is not prepared before the tree trusts it.
    """
    found = session.at(store)
    if wish.step in {None, RotationStep.PREPARE}:
        earlier = before_preparing(found.inventory.rotations, wish.identifiers)
        if earlier != found.inventory.rotations and not _pending(found.under(earlier), store):
            return found.under(earlier)
    pending = _pending(found, store)
    if pending:
        raise RotationError(
            f"{len(pending)} other changes are pending, the first being {pending[0]}",
            hint="`pkigen apply` them first, and let them reach every node",
        )
    return found


def _is_taken(session: Session, store: Store, wish: RotationOptions) -> bool:
    """Whether an earlier run took the step, or this one has just finished what it left.

    The way back and the next step depend on the phase: after an interruption they must not be taken twice.
    """
    recovered = store.recovered
    if recovered is not None and (recovered.outcome, recovered.command) == (Outcome.FINISHED, wish.words):
        return True
    if wish.step is None or not is_taken(session.inventory.rotations, wish.identifiers, wish.step):
        return False
    ledger = read_ledger(store)
    return wish.step is not RotationStep.FINISH or all(
        last_step(ledger, identifier) == RotationStep.FINISH for identifier in wish.identifiers
    )


def _say_taken(session: Session, store: Store, wish: RotationOptions) -> None:
    phases = _phases(session, wish)
    if wish.output is Format.TEXT:
        said = ", ".join(f"{identifier} is {phase}" for identifier, phase in phases.items())
        say(f"nothing to do: {said} already")
        return
    plan = make_plan(
        session.inventory, store, session.renderer, now=session.now, owned=owned_paths(read_lock(store))
    )
    nothing = Applied(issued=(), capped=(), backup=None)
    content = structured.applied(nothing, structured.plan(plan, session.inventory, ()), str(session.root))
    more = {"kind": "Rotated", "step": str(wish.step or ""), "phases": phases, "discoveryHashes": []}
    say(structured.dump({**content, **more}, wish.output))


def _pending(session: Session, store: Store) -> tuple[str, ...]:
    plan = make_plan(
        session.inventory, store, session.renderer, now=session.now, owned=owned_paths(read_lock(store))
    )
    return tuple(f"{action.verb} {action.id}" for action in plan.changes)


def _require_successors(session: Session, store: Store, identifiers: tuple[str, ...]) -> None:
    """An intermediate's successor is signed by whoever signed the intermediate, which is not this machine."""
    for ca in (ca for ca in CA if ca_id(ca) in identifiers):
        certificate = observe_certificate(store, ca_location(ca)).certificate
        successor = ca_location(ca, Slot.NEXT)
        if (
            certificate is not None
            and certificate.subject != certificate.issuer
            and isinstance(observe_file(store, successor.certificate), Fault)
        ):
            if session.inventory.is_signed_offline(session.inventory.certificates[ca_id(ca)]):
                raise RotationError(
                    f"the successor of the {ca.certificate_name} CA comes from the offline authority",
                    hint=f"ask: `pkigen authority request SPEC --next {ca_id(ca)} --out {session.root}`",
                )
            raise RotationError(
                f"the {ca.certificate_name} CA is an intermediate of yours: pkigen cannot sign its successor",
                hint=f"put the next one into {session.root}/{successor.certificate}, followed by the chain "
                f"above it, and its key into {session.root}/{successor.key}; a root of your own will do too",
            )


def _risks(session: Session, store: Store, wish: RotationOptions, step: RotationStep) -> Iterator[str]:
    """What a step may break that no proof can see, one sentence each."""
    rotations = session.inventory.rotations
    if step is RotationStep.FINISH and wish.force and wish.identifiers == (SA,):
        until = _tokens_end(session, store)
        if until is None or until > session.now:
            yield (
                f"tokens of the previous key that live until {_moment(until)} are refused from now on: "
                "who holds one (Pods, until they are restarted; files; legacy token Secrets) is locked out"
            )
        if not wish.distributed:
            yield (
                "an API server or controller manager that has not restarted with the promoted key goes on "
                "signing with the previous one: what it signs is refused"
            )
    if step is not RotationStep.ROLLBACK:
        return
    ledger = read_ledger(store)
    for identifier in wish.identifiers:
        if rotations.phase(identifier) is Phase.PREPARED and promoted_and_back(ledger, identifier):
            if identifier == ENCRYPTION_KEY and not wish.distributed:
                raise RotationError(
                    "the next encryption key has been promoted before: Secrets may be encrypted with it",
                    hint="write every Secret again (the rollback's runbook has the command), then say so "
                    "with --assume-distributed",
                )
            yield (
                f"the next {identifier} has been promoted before: what it has signed since then is refused "
                "from now on"
            )


def _require_over(session: Session, store: Store, wish: RotationOptions) -> None:
    """The last step cannot be seen to be safe from here: the nodes, and time, must have caught up."""
    if wish.identifiers == (SA,):
        if wish.force:
            return
        until = _tokens_end(session, store)
        if until is None or until > session.now:
            raise RotationError(
                f"tokens of the previous key may live until {_moment(until)} "
                "(serviceAccounts.maxTokenLifetime)",
                hint="wait, or add --force: every token of the previous key is then refused at once, "
                "and Pods that hold one are locked out until they are restarted",
            )
    if wish.live:
        _require_served(session, store, wish)
    if wish.distributed:
        return
    hidden = [identifier for identifier in wish.identifiers if identifier not in OBSERVABLE]
    if not wish.live:
        raise RotationError(
            "it is not known that every node has the promoted files and has restarted what must restart",
            hint=f"see it with `pkigen verify --live {session.root}`, then say so with --assume-distributed"
            + ("" if hidden else "; or do both at once with --live"),
        )
    if hidden:
        raise RotationError(
            f"no endpoint shows whether {' and '.join(hidden)} has reached every node",
            hint="see to it by the runbook, then say so with --assume-distributed",
        )


def _require_served(session: Session, store: Store, wish: RotationOptions) -> None:
    seen = look(session.inventory, store, now=session.now, dial=session.system.dial, only=wish.identifiers)
    note(live_text(seen, cluster=session.inventory.cluster.name))
    if seen.findings:
        raise RotationError(
            f"not every endpoint serves its promoted certificate: {seen.findings[0]}",
            hint="do there what the runbook of promote says, and look again with `pkigen verify --live`",
        )


def _tokens_end(session: Session, store: Store) -> datetime | None:
    """When the last token of the previous key ends; None where the ledger does not say."""
    promoted = promoted_at(read_ledger(store), SA)
    longest = session.inventory.cluster.spec.service_accounts.max_token_lifetime
    return promoted + longest if promoted is not None else None


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "an unknown time"


# -- after a step ---------------------------------------------------------------------------------


def _discovery_hashes(session: Session, store: Store) -> tuple[str, ...]:
    """What joining nodes pin, the signing CA's first."""
    return tuple(map(discovery_hash, session.anchors(store, CA.KUBERNETES)))


def _phases(session: Session, wish: RotationOptions) -> dict[str, str]:
    return {identifier: str(session.inventory.rotations.phase(identifier)) for identifier in wish.identifiers}


def _say_proof(proof: Proof, given: tuple[str, ...], output: Format) -> None:
    if output is Format.TEXT:
        say(proof_text(proof, given))
    else:
        say(structured.dump({**structured.proof(proof), "premises": list(given)}, output))


def _say_done(
    session: Session,
    wish: RotationOptions,
    step: RotationStep,
    applied: Applied,
    proof: Proof,
    discovery: tuple[str, ...],
) -> None:
    tell: Callable[[str], None] = say if wish.output is Format.TEXT else note
    backup = f"; what was replaced is in backup {applied.backup}" if applied.backup else ""
    tell(f"{step}: done, {proof.verdicts} cases of {proof.edges} edges proven{backup}")
    if discovery:
        tell("the discovery hash changes; joining nodes pin the CA by:")
        for each in discovery:
            tell(f"  {each}")
    phases = _phases(session, wish)
    for identifier, phase in phases.items():
        tell(f"{identifier} is now {phase}")
    forward = NEXT_STEP[Phase(next(iter(phases.values())))]
    if forward is not RotationStep.PREPARE:
        note(
            f"next: bring every node its files and restart what must restart (--runbook DIR says how), then "
            f"`{wish.command} SPEC --phase {forward}`"
        )
    elif step is RotationStep.FINISH:
        note(
            "next: bring the files to every node; to undo it, `pkigen rollback` restores what was archived, "
            "and the phase is promoted again"
        )
