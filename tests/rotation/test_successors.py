"""The next generation of a CA is asked for as if its rotation were prepared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pkigen.desired.generations import Phase, Rotations
from pkigen.errors import RotationError
from pkigen.rotation.successors import with_successors

if TYPE_CHECKING:
    from pkigen.desired.inventory import Inventory


class Planning:
    """A planner as far as it is asked: what rotates, and the same with other rotations."""

    def __init__(self, phases: dict[str, Phase]) -> None:
        self.rotations = Rotations(phases=phases)

    @property
    def inventory(self) -> Inventory:
        return self  # type: ignore[return-value]

    def under(self, rotations: Rotations) -> Planning:
        return Planning(dict(rotations.phases))


def phases(before: dict[str, Phase], *identifiers: str) -> dict[str, Phase]:
    found = with_successors(Planning(before), identifiers)  # type: ignore[arg-type]
    return dict(found.inventory.rotations.phases)


def test_a_successor_exists_once_its_rotation_is_prepared() -> None:
    assert phases({}, "ca-next", "etcd-ca", "cp-1/apiserver") == {"ca": Phase.PREPARED}
    assert phases({}, "etcd-ca-next", "ca-next") == {"ca": Phase.PREPARED, "etcd-ca": Phase.PREPARED}


def test_what_is_no_successor_changes_nothing() -> None:
    planner: Any = Planning({"sa": Phase.PROMOTED})
    assert with_successors(planner, ("ca", "sa-next")) is planner


def test_a_ca_that_is_being_rotated_gets_no_other_successor() -> None:
    with pytest.raises(RotationError, match="ca is promoted: it cannot prepare now"):
        phases({"ca": Phase.PROMOTED}, "ca-next")
