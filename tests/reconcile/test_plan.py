"""A plan that was reviewed is no longer the plan once anything that it was made from has changed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pkigen.cli.saved_plan import plan_content
from tests.reconcile.altered_trees import MANIFEST, PKI, follow, reissued
from tests.samples import CP1, NOW, W1, W2, World

if TYPE_CHECKING:
    from collections.abc import Callable


MOVES: dict[str, Callable[[World], object]] = {
    "another-finding": lambda w: w.path(f"{PKI}/sa.pub").unlink(),
    "a-file-edited-again": lambda w: w.path(MANIFEST).write_bytes(b"other"),
    "a-kept-file-touched": lambda w: w.path(f"{PKI}/ca.key").chmod(0o400),
    "a-certificate-renewed": lambda w: reissued(w, "cp-1/kubelet-serving"),
    "the-spec": lambda w: follow(w, certificates={"validity": "1000h"}),
    "a-node-more": lambda w: follow(w, CP1, W1, W2),
    "time": lambda w: setattr(w, "now", NOW + timedelta(days=340)),
}


def digest(world: World) -> str:
    """What a saved plan is bound to."""
    plan = world.plan()
    with world.writing() as store:
        content = plan_content(plan, world.inventory, store)
    return str(content["digest"])


@pytest.mark.parametrize("name", MOVES)
def test_the_digest_changes_when_anything_changes(name: str, world: World) -> None:
    world.path(MANIFEST).write_bytes(b"edited")
    before = digest(world)
    assert digest(world) == before
    MOVES[name](world)
    assert digest(world) != before


def test_the_digest_does_not_depend_on_the_order_of_nodes(world: World) -> None:
    before = digest(world)
    follow(world, W1, CP1)
    assert digest(world) == before
