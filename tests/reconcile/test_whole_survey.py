"""One survey answers as several do: what is planned, what `verify` finds, what stands in the rows."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.cli.reports.status import rows, rows_of
from pkigen.crew import ALL_HANDS, Hands
from pkigen.desired.generations import CA
from pkigen.errors import AuthorityError
from pkigen.reconcile.division import Summary
from pkigen.reconcile.planner import make_plan
from pkigen.reconcile.progress import SILENCE
from pkigen.reconcile.surveyed import Selection
from pkigen.reconcile.verify import verify
from pkigen.reconcile.whole_survey import survey_for_plan, survey_whole
from pkigen.state.lockfile import read_lock
from pkigen.state.views import HashedView, MovedView
from pkigen.store import Store
from tests.rotation.phases import Photograph
from tests.samples import NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from pkigen.reconcile.whole_survey import WholeSurvey
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


class Told:
    """A progress that counts the steps that it is told of."""

    def __init__(self) -> None:
        self.steps = 0

    @contextmanager
    def over(self, what: str, total: int) -> Iterator[Callable[[], None]]:  # noqa: ARG002 -- as the protocol
        yield self.step

    def step(self) -> None:
        self.steps += 1


def planned(
    world: World, *, now: datetime = NOW, seen: WholeSurvey | None = None, **more: Any
) -> list[Summary]:
    """What a plan is made from, out of a photograph of a directory."""
    given = {"selection": Selection(), "progress": SILENCE, **more}
    moved = MovedView(Photograph.of(world.root), ())
    reader, found = survey_for_plan(world.inventory, moved, world.renderer, now=now, seen=seen, **given)
    assert (reader is seen.reader) if seen is not None else isinstance(reader, HashedView)
    return list(found)


def test_progress_is_told_of_each_object(pattern: World) -> None:
    told = [Told(), Told()]
    tree = Photograph.of(pattern.root)
    survey_whole(pattern.inventory, tree, pattern.renderer, now=NOW, progress=told[0])
    planned(pattern, progress=told[1])
    assert [each.steps for each in told] == [len(planned(pattern))] * 2


def test_what_was_seen_is_not_looked_at_again(pattern: World) -> None:
    whole = survey_whole(pattern.inventory, Photograph.of(pattern.root), pattern.renderer, now=NOW)
    part = replace(whole, objects=whole.objects[:1])
    assert planned(pattern, seen=part) == [Summary.of(whole.objects[0])]


def test_a_plan_renews_what_is_selected(pattern: World) -> None:
    found = planned(pattern, selection=Selection(ids=frozenset({"cp-1/apiserver"})))
    assert [each.item.id for each in found if each.action.verb == "renew"] == ["cp-1/apiserver"]


def test_a_ca_that_has_ended_may_be_revived_where_that_is_asked_for(pattern: World) -> None:
    later = NOW + timedelta(days=10_000)
    with pytest.raises(AuthorityError, match="expired"):
        planned(pattern, now=later)
    assert planned(pattern, now=later, selection=Selection(revived=frozenset(CA)))


def test_so_many_processes_share_it_as_are_given(pattern: World, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Hands] = []

    def noted(_: object, *, hands: Hands) -> Iterator[Summary]:
        given.append(hands)
        yield from ()

    monkeypatch.setattr("pkigen.reconcile.whole_survey.summaries", noted)
    planned(pattern, hands=Hands(most=1))
    planned(pattern)
    assert given == [Hands(most=1), ALL_HANDS]


def test_a_ca_that_may_not_sign_is_refused_all_the_same(world: World) -> None:
    (world.root / "pki/etcd/ca.crt").unlink()
    with Store.open_reading(world.root) as store:
        seen = survey_whole(world.inventory, store, world.renderer, now=NOW)
        assert seen.faults
        with pytest.raises(AuthorityError):
            make_plan(world.inventory, store, world.renderer, now=NOW, owned=frozenset(), seen=seen)
