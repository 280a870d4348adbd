"""The rules of the phases by themselves: what each step leads to, moves, and takes for granted."""

from __future__ import annotations

import pytest

from pkigen.desired.generations import CA, ENCRYPTION_KEY, SA, Phase, Rotations, Slot, ca_id
from pkigen.errors import RotationError, UsageError
from pkigen.rotation.phases import (
    COMMANDS,
    WantedStep,
    after,
    before_preparing,
    files_of,
    is_taken,
    moves,
    premises,
    proposed,
)
from pkigen.rotation.step_names import RotationStep
from tests.rotation.phases import Photograph

STABLE, PREPARED, PROMOTED = Phase.STABLE, Phase.PREPARED, Phase.PROMOTED
PREPARE, PROMOTE, FINISH, ROLLBACK = RotationStep
OUTCOMES = {
    (STABLE, PREPARE): PREPARED,
    (PREPARED, PROMOTE): PROMOTED,
    (PROMOTED, FINISH): STABLE,
    (PREPARED, ROLLBACK): STABLE,
    (PROMOTED, ROLLBACK): PREPARED,
}
ALL = Photograph(
    {path: b"" for identifier in COMMANDS for slot in Slot for path in files_of(identifier, slot)}
    | dict.fromkeys(("pki/ca-cross.crt", "pki/etcd/ca-cross.crt", "pki/front-proxy-ca-cross.crt"), b"")
    | {"nodes/cp-1/ca-next.crt": b""}
)


def in_phase(phase: Phase, *identifiers: str, crossed: tuple[str, ...] = ()) -> Rotations:
    phases = {} if phase is STABLE else dict.fromkeys(identifiers or ("etcd-ca",), phase)
    return Rotations(phases=phases, next_generations={"ca": 4}, crossed=frozenset(crossed))


@pytest.mark.parametrize("step", RotationStep)
@pytest.mark.parametrize("phase", Phase)
def test_what_a_step_leads_to(phase: Phase, step: RotationStep) -> None:
    before = in_phase(phase)
    outcome = OUTCOMES.get((phase, step))
    if outcome is None:
        with pytest.raises(RotationError, match=f"etcd-ca is {phase}: it cannot {step} now") as refused:
            after(before, ("etcd-ca",), step)
        forward = {STABLE: PREPARE, PREPARED: PROMOTE, PROMOTED: FINISH}[phase]
        assert f"`{'pkigen rollback' if step is ROLLBACK else forward}`" in refused.value.hint
    else:
        assert after(before, ("etcd-ca",), step) == in_phase(outcome)
        assert proposed(before, ("etcd-ca",)) is step or step is ROLLBACK


def test_others_stay_in_their_phase_and_a_cross_certificate_as_long_as_it_is_of_use() -> None:
    before = Rotations(
        phases={"ca": PREPARED, "etcd-ca": PROMOTED, "sa": PROMOTED},
        next_generations={"ca": 2, "etcd-ca": 3},
        crossed=frozenset({"ca", "etcd-ca"}),
    )
    found = after(before, ("etcd-ca", "sa"), FINISH)
    assert (dict(found.phases), found.crossed) == ({"ca": PREPARED}, {"ca"})
    assert found.next_generations == before.next_generations
    kept = after(before, ("ca",), PROMOTE)
    assert (kept.phases["ca"], kept.crossed) == (PROMOTED, {"ca", "etcd-ca"})
    with pytest.raises(RotationError, match="ca is prepared: it cannot finish now"):
        after(before, ("etcd-ca", "ca"), FINISH)
    assert before.phases == {"ca": PREPARED, "etcd-ca": PROMOTED, "sa": PROMOTED}


def test_one_step_for_those_of_one_phase() -> None:
    rotations = in_phase(PREPARED, "ca", "sa")
    assert proposed(rotations, ("ca", "sa")) is PROMOTE
    with pytest.raises(UsageError, match="ca is prepared, etcd-ca is stable: they are in different phases"):
        proposed(rotations, ("ca", "etcd-ca"))


@pytest.mark.parametrize("step", RotationStep)
@pytest.mark.parametrize("phase", Phase)
def test_which_step_was_taken(phase: Phase, step: RotationStep) -> None:
    taken = {PREPARE: PREPARED, PROMOTE: PROMOTED, FINISH: STABLE}.get(step) is phase
    assert is_taken(in_phase(phase), ("etcd-ca",), step) == taken
    # Of two, both.
    assert is_taken(in_phase(phase), ("etcd-ca", "sa"), step) == (taken and phase is STABLE)


def test_next_generations_that_nothing_trusts_yet() -> None:
    rotations = Rotations(
        phases={"ca": PREPARED, "etcd-ca": PREPARED, "sa": PROMOTED}, crossed=frozenset({"ca", "etcd-ca"})
    )
    found = before_preparing(rotations, ("ca", "sa"))
    assert (dict(found.phases), found.crossed) == ({"etcd-ca": PREPARED, "sa": PROMOTED}, {"etcd-ca"})


MOVED = {
    (STABLE, PREPARE): (),
    (PREPARED, PROMOTE): (("", "-previous"), ("-next", "")),
    (PROMOTED, FINISH): (("-previous", None),),
    (PREPARED, ROLLBACK): (("-next", None),),
    (PROMOTED, ROLLBACK): (("", "-next"), ("-previous", "")),
}
FILES = {
    "ca": ("pki/ca{}.crt", "pki/ca{}.key"),
    "etcd-ca": ("pki/etcd/ca{}.crt", "pki/etcd/ca{}.key"),
    "front-proxy-ca": ("pki/front-proxy-ca{}.crt", "pki/front-proxy-ca{}.key"),
    SA: ("pki/sa{}.key", "pki/sa{}.pub"),
    ENCRYPTION_KEY: ("pki/encryption{}.key",),
}


@pytest.mark.parametrize(("phase", "step"), MOVED)
@pytest.mark.parametrize("identifier", FILES)
def test_what_changes_places(identifier: str, phase: Phase, step: RotationStep) -> None:
    found = moves(ALL, in_phase(phase, identifier), (identifier,), step)
    assert [(move.source, move.target) for move in found] == [
        (path.format(source), None if target is None else path.format(target))
        for source, target in MOVED[phase, step]
        for path in FILES[identifier]
    ]


def test_only_what_is_there_changes_places() -> None:
    """A CA whose key is elsewhere has a certificate alone; a cross certificate goes with its rotation."""
    names = {ca: ca_id(ca) for ca in CA}
    rotations = in_phase(PROMOTED, *names.values(), crossed=(names[CA.KUBERNETES], names[CA.ETCD]))
    some = Photograph({path: b"" for path in ALL.files if not path.endswith(".key")})
    found = moves(some, rotations, ("etcd-ca", "ca"), FINISH)
    assert [(move.source, move.target) for move in found] == [
        ("pki/etcd/ca-previous.crt", None),
        ("pki/ca-previous.crt", None),
        ("pki/ca-cross.crt", None),
        ("pki/etcd/ca-cross.crt", None),
    ]
    (only, cross) = moves(some, rotations, ("etcd-ca",), FINISH)
    assert (only.source, cross.source) == ("pki/etcd/ca-previous.crt", "pki/etcd/ca-cross.crt")
    back = moves(some, rotations, ("etcd-ca",), ROLLBACK)
    assert "pki/etcd/ca-cross.crt" not in {move.source for move in back}


USED = {
    "ca": "no certificate that the {} ca has signed is still in use, a kubelet's own "
    "(kubelet-client-current.pem) and those of approved requests among them",
    "etcd-ca": "no certificate that the {} etcd-ca has signed is still in use",
    "front-proxy-ca": "no certificate that the {} front-proxy-ca has signed is still in use",
    SA: "no token that the {} key has signed is still in use",
    ENCRYPTION_KEY: "no Secret in etcd is still encrypted with the {} key",
}


@pytest.mark.parametrize("identifier", USED)
def test_what_no_file_shows(identifier: str) -> None:
    for phase, step in OUTCOMES:
        always, *found = premises(in_phase(phase, identifier), (identifier,), step)
        assert always == "every node has the present files, and has restarted what they required"
        dropped = {(PROMOTED, FINISH): "previous", (PREPARED, ROLLBACK): "next"}.get((phase, step))
        assert found == ([] if dropped is None else [USED[identifier].format(dropped)])


def test_what_the_command_line_calls_them() -> None:
    assert [*RotationStep] == ["prepare", "promote", "finish", "rollback"]
    assert COMMANDS == {
        "ca": "ca kubernetes",
        "etcd-ca": "ca etcd",
        "front-proxy-ca": "ca front-proxy",
        "sa": "sa",
        "encryption-key": "encryption-key",
    }


def test_what_the_journal_calls_it() -> None:
    assert WantedStep(identifiers=("ca", "sa"), step=PROMOTE).words == "rotate ca sa promote"
    wanted = WantedStep(identifiers=("ca",))
    assert wanted.words == "rotate ca next"
    assert (wanted.distributed, wanted.force, wanted.live, wanted.cross_sign) == (False, False, False, True)
