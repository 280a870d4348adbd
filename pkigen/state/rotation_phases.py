"""In which phase of a rotation each CA and the token key is, by the files that are there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.names import subject_of
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
from pkigen.state.observed import (
    Fault,
    Reader,
    observe_certificate,
    observe_file,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def observe_rotations(reader: Reader) -> Rotations:
    """Read from the authority itself which rotations are in progress.

    Nothing else records the phase, so whatever was interrupted, the files say where to go on.
    """
    phases: dict[str, Phase] = {}
    generations: dict[str, int] = {}
    crossed: set[str] = set()
    for ca in CA:
        paths = {slot: ca_location(ca, slot).certificate for slot in Slot}
        phases[ca_id(ca)] = _phase(reader, paths)
        generations[ca_id(ca)] = _next_generation(reader, ca)
        is_there = not isinstance(observe_file(reader, cross_path(ca)), Fault)
        if is_there and phases[ca_id(ca)] is not Phase.STABLE:
            crossed.add(ca_id(ca))
    # The private key decides: the public half is made from it, and may lag behind.
    phases[SA] = _phase(reader, {slot: sa_path(slot, layout.SA_PRIVATE_KEY) for slot in Slot})
    phases[ENCRYPTION_KEY] = _phase(reader, {slot: encryption_key_path(slot) for slot in Slot})
    return Rotations(
        phases={identifier: phase for identifier, phase in phases.items() if phase is not Phase.STABLE},
        next_generations=generations,
        crossed=frozenset(crossed),
    )


def _phase(reader: Reader, paths: Mapping[Slot, str]) -> Phase:
    """By the files alone: where a previous generation is there, the next one has been promoted."""

    def present(slot: Slot) -> bool:
        return not isinstance(observe_file(reader, paths[slot]), Fault)

    # One transaction moves both generations, so no mixture of them is ever on the disk.
    if present(Slot.PREVIOUS):
        return Phase.PROMOTED
    return Phase.PREPARED if present(Slot.NEXT) else Phase.STABLE


def _next_generation(reader: Reader, ca: CA) -> int:
    """The number of the next generation: after `kubernetes` comes `kubernetes-g2`, then `kubernetes-g3`.

    Verifiers that look issuers up by name must never find the wrong generation.
    """
    certificate = observe_certificate(reader, ca_location(ca)).certificate
    name = subject_of(certificate).common_name if certificate is not None else ""
    match = re.fullmatch(r".*-g(\d{1,6})", name, re.DOTALL)
    # Any other name, such as that of a CA that the user brought, counts as the first generation.
    return int(match[1]) + 1 if match else 2
