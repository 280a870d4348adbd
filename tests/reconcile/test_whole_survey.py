"""One survey answers as several do: what is planned, what `verify` finds, what stands in the rows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pkigen.cli.reports.status import rows, rows_of
from pkigen.errors import AuthorityError
from pkigen.reconcile.planner import make_plan
from pkigen.reconcile.verify import verify
from pkigen.reconcile.whole_survey import survey_whole
from pkigen.state.lockfile import read_lock
from pkigen.store import Store
from tests.samples import NOW

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.samples import World


def untouched(_: Path) -> None:
    """As it was made."""


def damaged(root: Path) -> None:
    (root / "nodes/worker-1/etc/kubernetes/kubelet.conf").unlink()
    path = root / "nodes/worker-1/var/lib/kubelet/config.yaml"
    path.write_text(path.read_text() + "# edited\n")


@pytest.mark.parametrize("change", [untouched, damaged])
@pytest.mark.parametrize("days", [1, 350])
def test_all_who_ask_get_the_same_answer(world: World, change: Callable[[Path], None], days: int) -> None:
    change(world.root)
    inventory, renderer, now = world.inventory, world.renderer, NOW + timedelta(days=days)
    with Store.open_reading(world.root) as store:
        seen = survey_whole(inventory, store, renderer, now=now)
        lock = read_lock(store)
        owned = lock.paths if lock else frozenset[str]()
        plan = make_plan(inventory, store, renderer, now=now, owned=owned)
        # With the digests of what was read: a plan by a survey is bound to the same files.
        assert make_plan(inventory, store, renderer, now=now, owned=owned, seen=seen) == plan
        assert verify(inventory, store, renderer, now=now, seen=seen) == verify(
            inventory, store, renderer, now=now
        )
        assert list(rows_of(seen.objects, inventory, store, faults=seen.faults)) == list(
            rows(inventory, store, renderer, now=now)
        )
    assert bool(plan.changes) == (change is damaged or days != 1)


def test_a_ca_that_may_not_sign_is_refused_all_the_same(world: World) -> None:
    (world.root / "pki/etcd/ca.crt").unlink()
    with Store.open_reading(world.root) as store:
        seen = survey_whole(world.inventory, store, world.renderer, now=NOW)
        assert seen.faults
        with pytest.raises(AuthorityError):
            make_plan(world.inventory, store, world.renderer, now=NOW, owned=frozenset(), seen=seen)
