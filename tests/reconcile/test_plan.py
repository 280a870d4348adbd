"""A plan that was reviewed is no longer the plan once anything that it was made from has changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.cli.saved_plan import plan_content
from pkigen.desired.inventory import derive
from pkigen.reconcile.lock_builder import LockBuilder
from pkigen.reconcile.plan import (
    Ask,
    Await,
    Create,
    Keep,
    Plan,
    Reissuance,
    Reissue,
    Remove,
    Renew,
    Rewrite,
)
from pkigen.state.authority_record import UNCOMPARED, compare_authority
from pkigen.state.reasons import Reason
from tests.reconcile.altered_trees import MANIFEST, PKI, follow, reissued
from tests.rotation.phases import Photograph
from tests.samples import CP1, NOW, W1, W2, World, spec
from tests.state.test_lockfile import LEAST, as_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from pkigen.reconcile.plan import Action


MOVES: dict[str, Callable[[World], object]] = {
    "another-finding": lambda w: w.path(f"{PKI}/sa.pub").unlink(),
    "a-file-edited-again": lambda w: w.path(MANIFEST).write_bytes(b"other"),
    "a-kept-file-touched": lambda w: w.path(f"{PKI}/ca.key").chmod(0o400),
    "a-certificate-renewed": lambda w: reissued(w, "cp-1/kubelet-serving"),
    "the-spec": lambda w: follow(w, certificates={"validity": "1000h"}),
    "a-node-more": lambda w: follow(w, CP1, W1, W2),
    "time": lambda w: setattr(w, "now", NOW + timedelta(days=340)),
}


# -- what a plan says of its actions --------------------------------------------------------------------


def act(kind: type[Action], identifier: str = "x", **more: Any) -> Action:
    return kind(**{"id": identifier, "paths": (), "node": None, "reason": None, **more})


def reissuance(**offline: bool) -> Reissuance:
    return Reissuance(issuer="ca", key_algorithm="", expires=None, will_expire=NOW, **offline)


def test_each_action_has_its_verb() -> None:
    verbs = [each.verb for each in (Create, Renew, Reissue, Rewrite, Remove, Keep, Await, Ask)]
    assert verbs == ["create", "renew", "reissue", "rewrite", "remove", "keep", "await", "ask"]


def test_what_is_kept_or_waits_is_no_change() -> None:
    kinds = (Create, Renew, Reissue, Rewrite, Remove, Keep, Await, Ask)
    plan = Plan(actions=tuple(map(act, kinds)))
    assert tuple(map(type, plan.changes)) == kinds[:5]
    assert tuple(map(type, plan.waiting)) == (Ask,)
    assert tuple(map(type, plan.awaited)) == (Await,)


def test_advice_is_of_what_is_kept_although_something_is_said_of_it() -> None:
    reason = Reason.CONTENT_CHANGED
    told = act(Keep, reason=reason)
    others = (act(Keep), act(Await, reason=reason), act(Ask, reason=reason), act(Rewrite, reason=reason))
    assert Plan(actions=(told, *others)).advice == (told,)


def test_what_the_offline_authority_has_to_issue() -> None:
    asked = act(Create, reissuance=reissuance(offline=True))
    others = (
        act(Create, reissuance=reissuance()),
        act(Create),
        act(Await, reissuance=reissuance(offline=True)),
    )
    assert Plan(actions=(asked, *others)).offline == (asked,)


@pytest.mark.parametrize(
    ("blank", "actions", "makes"),
    [
        (True, [act(Create, "ca")], True),
        (True, [act(Create, "cp-1/apiserver"), act(Create, "etcd-ca")], True),
        (True, [act(Create, "cp-1/apiserver")], False),
        (True, [act(Reissue, "ca")], False),
        (True, [], False),
        (False, [act(Create, "ca")], False),
    ],
)
def test_an_authority_is_made_where_there_was_none(
    blank: bool,  # noqa: FBT001 -- a table
    actions: list[Action],
    makes: bool,  # noqa: FBT001 -- a table
) -> None:
    authority = replace(UNCOMPARED, is_blank=blank)
    assert Plan(actions=tuple(actions), authority=authority).makes_authority is makes


def test_what_differs_from_the_records_is_an_alarm() -> None:
    lock = as_file({**LEAST, "authority": {"pki/ca.crt": "sha256:1"}})
    authority = compare_authority(Photograph({"pki.lock": lock}))
    plan = Plan(actions=(), authority=authority)
    assert plan.alarms == authority.alarms
    assert [each.path for each in plan.alarms] == ["pki/ca.crt"]
    assert Plan(actions=()).alarms == ()


def test_a_plan_is_the_same_whenever_it_is_made_and_shows_no_content() -> None:
    plan = Plan(actions=(act(Keep),), given={"addons/a.yaml": (b"the content",)})
    lock = LockBuilder(inventory=derive(spec(CP1)), templates=None)
    assert plan == replace(plan, until=NOW) == replace(plan, lock=lock)
    assert "the content" not in repr(plan)
    assert "LockBuilder" not in repr(replace(plan, lock=lock))
    assert plan != replace(plan, given={})


# -- what a saved plan is bound to ----------------------------------------------------------------------


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
