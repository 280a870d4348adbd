"""The phases of a rotation: prepare → promote → finish, each with its way back.

A CA, the service account key and the encryption key rotate alike. *Prepare* makes the next generation and has
it trusted beside the current one; nothing is signed by it yet. *Promote* lets it sign; both are trusted.
*Finish* drops the previous one. The phase is read from the authority's files (`authority.observe_rotations`),
so there is no progress file that could be wrong: whatever was interrupted, the same command goes on.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.generations import (
    CA,
    ENCRYPTION_KEY,
    SA,
    Phase,
    Rotations,
    Slot,
    ca_id,
    ca_location,
    cross_path,
    encryption_key_path,
    sa_path,
)
from pkigen.errors import RotationError, UsageError
from pkigen.records import dataclass
from pkigen.rotation.step_names import RotationStep
from pkigen.state.views import Move

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pkigen.rotation.audit_log import AuditLog
    from pkigen.state.observed import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedStep:
    """Which step an operator wants, and what he vouches for.

    `identifiers` are the ids of what rotates; `step` is None for the next one. `distributed` says that every
    node has the files of the step before and has restarted what must restart; `force` that tokens of the old
    key may be refused, and that the authority may be another one than is recorded; `live` asks for a look at
    what the endpoints serve before `promote` and `finish`; `cross_sign` has a CA certify the next generation
    when that is prepared; `evidence` is what audit logs say of who still uses the old generation.
    """

    identifiers: tuple[str, ...]
    step: RotationStep | None = None
    distributed: bool = False
    force: bool = False
    live: bool = False
    cross_sign: bool = True
    evidence: AuditLog | None = field(default=None, repr=False)

    @property
    def words(self) -> str:
        """What the journal calls this step; by that an interrupted run is known again."""
        return f"rotate {' '.join(self.identifiers)} {self.step or 'next'}"


# Every other pair is out of turn; a rollback undoes one step, not the whole rotation.
_OUTCOMES: dict[tuple[Phase, RotationStep], Phase] = {
    (Phase.STABLE, RotationStep.PREPARE): Phase.PREPARED,
    (Phase.PREPARED, RotationStep.PROMOTE): Phase.PROMOTED,
    (Phase.PROMOTED, RotationStep.FINISH): Phase.STABLE,
    (Phase.PREPARED, RotationStep.ROLLBACK): Phase.STABLE,
    (Phase.PROMOTED, RotationStep.ROLLBACK): Phase.PREPARED,
}

_MOVES: dict[tuple[Phase, RotationStep], tuple[tuple[Slot, Slot | None], ...]] = {
    # Nothing moves: the next generation is made in a place of its own.
    (Phase.STABLE, RotationStep.PREPARE): (),
    # The order matters: each place is emptied before the next move fills it.
    (Phase.PREPARED, RotationStep.PROMOTE): ((Slot.CURRENT, Slot.PREVIOUS), (Slot.NEXT, Slot.CURRENT)),
    (Phase.PROMOTED, RotationStep.FINISH): ((Slot.PREVIOUS, None),),
    (Phase.PREPARED, RotationStep.ROLLBACK): ((Slot.NEXT, None),),
    (Phase.PROMOTED, RotationStep.ROLLBACK): ((Slot.CURRENT, Slot.NEXT), (Slot.PREVIOUS, Slot.CURRENT)),
}

NEXT_STEP = {
    Phase.STABLE: RotationStep.PREPARE,
    Phase.PREPARED: RotationStep.PROMOTE,
    Phase.PROMOTED: RotationStep.FINISH,
}
"""The way forward from each phase."""

COMMANDS = {
    ca_id(CA.KUBERNETES): "ca kubernetes",
    ca_id(CA.ETCD): "ca etcd",
    ca_id(CA.FRONT_PROXY): "ca front-proxy",
    SA: "sa",
    ENCRYPTION_KEY: "encryption-key",
}
"""What follows `pkigen rotate` for each thing that rotates."""
OBSERVABLE = frozenset({ca_id(CA.KUBERNETES), ca_id(CA.ETCD)})
"""The CAs that sign what endpoints serve; what the front proxy's signs, only clients present."""


def proposed(rotations: Rotations, identifiers: Sequence[str]) -> RotationStep:
    """The step that comes next for all of these.

    Raises:
        UsageError: They are in different phases, so no one step is next.
    """
    phases = {rotations.phase(identifier) for identifier in identifiers}
    if len(phases) > 1:
        raise UsageError(
            f"{_phases(rotations, identifiers)}: they are in different phases",
            hint="rotate them one at a time, or name the step with --phase",
        )
    return NEXT_STEP[phases.pop()]


def after(rotations: Rotations, identifiers: Iterable[str], step: RotationStep) -> Rotations:
    """The phases once a step is done.

    Raises:
        RotationError: The step is out of turn.
    """
    phases = dict(rotations.phases)
    for identifier in identifiers:
        present = rotations.phase(identifier)
        outcome = _OUTCOMES.get((present, step))
        # No step is skipped: nodes that lack the trust of one phase would refuse what the next one presents.
        if outcome is None:
            raise RotationError(
                f"{identifier} is {present}: it cannot {step} now", hint=_way_out(present, step)
            )
        phases[identifier] = outcome
    return _with_phases(rotations, phases)


def is_taken(rotations: Rotations, identifiers: Iterable[str], step: RotationStep) -> bool:
    """Whether a step was taken already, as far as phases say: who was interrupted may ask for it again."""
    wanted = {
        RotationStep.PREPARE: Phase.PREPARED,
        RotationStep.PROMOTE: Phase.PROMOTED,
        RotationStep.FINISH: Phase.STABLE,
    }
    # `rollback` is in no row: each phase that it leads to can be reached in another way, too.
    return all(rotations.phase(identifier) is wanted.get(step) for identifier in identifiers)


def before_preparing(rotations: Rotations, identifiers: Iterable[str]) -> Rotations:
    """The phases if the next generations of these are there but nothing trusts them yet.

    So it is when an operator has put a CA of his own beside the current one, for `prepare` to take up.
    """
    waiting = {each for each in identifiers if rotations.phase(each) is Phase.PREPARED}
    return _with_phases(
        rotations, {each: phase for each, phase in rotations.phases.items() if each not in waiting}
    )


def _with_phases(rotations: Rotations, phases: dict[str, Phase]) -> Rotations:
    """The same rotations in other phases; a stable one is not listed, so that equal states compare equal."""
    going = {identifier: phase for identifier, phase in phases.items() if phase is not Phase.STABLE}
    # A cross certificate is of use for as long as both generations are trusted.
    return Rotations(
        phases=going, next_generations=rotations.next_generations, crossed=rotations.crossed & going.keys()
    )


def moves(
    tree: Tree, rotations: Rotations, identifiers: Iterable[str], step: RotationStep
) -> tuple[Move, ...]:
    """Which files of the authority change places in a step; those that are not there are left out."""
    # A CA whose key is kept elsewhere has a certificate only.
    there = set(tree.walk(layout.AUTHORITY))
    moved = [
        Move(source=source, target=target)
        for identifier in identifiers
        for origin, destination in _MOVES[rotations.phase(identifier), step]
        for source, target in _files(identifier, origin, destination)
    ]
    # A cross certificate keeps its place through `promote`: who has the old CA alone still needs it.
    ended = rotations.crossed - after(rotations, identifiers, step).crossed
    moved += [Move(source=cross_path(CA.of_id(each)), target=None) for each in sorted(ended)]
    return tuple(move for move in moved if move.source in there)


def _files(identifier: str, origin: Slot, destination: Slot | None) -> Iterator[tuple[str, str | None]]:
    """Each file of a generation, with the path that it gets; None where the generation is dropped."""
    sources = files_of(identifier, origin)
    targets: Sequence[str | None] = [None] * len(sources)
    if destination is not None:
        targets = files_of(identifier, destination)
    yield from zip(sources, targets, strict=True)


def files_of(identifier: str, slot: Slot) -> tuple[str, ...]:
    """The files in which the authority keeps one generation."""
    if identifier == SA:
        return (sa_path(slot, layout.SA_PRIVATE_KEY), sa_path(slot, layout.SA_PUBLIC_KEY))
    if identifier == ENCRYPTION_KEY:
        return (encryption_key_path(slot),)
    location = ca_location(CA.of_id(identifier), slot)
    return (location.certificate, location.key)


def premises(rotations: Rotations, identifiers: Iterable[str], step: RotationStep) -> tuple[str, ...]:
    """What a step takes for granted because no file shows it: what lies before the present phase.

    The proof covers every mixture of the files before and after the step. It cannot know whether the files of
    the phase before it have reached every node, nor which certificates of the dropped generation are valid.
    """
    found = ["every node has the present files, and has restarted what they required"]
    for identifier in identifiers:
        which = DROPPED.get((rotations.phase(identifier), step))
        if which is not None:
            found.append(_IN_USE.get(identifier, _CERTIFICATES).format(which=which, what=identifier))
    return tuple(found)


DROPPED = {
    (Phase.PROMOTED, RotationStep.FINISH): "previous",
    (Phase.PREPARED, RotationStep.ROLLBACK): "next",
}
"""The generation that a step drops, by the phase before it."""
_CERTIFICATES = (
    "no certificate that the {which} {what} has signed is still in use, a kubelet's own "
    "(kubelet-client-current.pem) and those of approved requests among them"
)
_IN_USE = {
    SA: "no token that the {which} key has signed is still in use",
    ENCRYPTION_KEY: "no Secret in etcd is still encrypted with the {which} key",
    ca_id(CA.ETCD): "no certificate that the {which} {what} has signed is still in use",
    ca_id(CA.FRONT_PROXY): "no certificate that the {which} {what} has signed is still in use",
}


def _phases(rotations: Rotations, identifiers: Iterable[str]) -> str:
    return ", ".join(f"{identifier} is {rotations.phase(identifier)}" for identifier in identifiers)


def _way_out(present: Phase, step: RotationStep) -> str:
    """What may be done instead of a step that is out of turn."""
    if step is RotationStep.ROLLBACK:
        return (
            "no rotation is in progress; what a finished rotation replaced is in the backups: `pkigen "
            "rollback`"
        )
    return f"its next step is `{NEXT_STEP[present]}`; no step can be skipped"
