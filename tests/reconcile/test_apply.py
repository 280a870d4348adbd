"""A plan is carried out wholly or not at all: what is issued, what is kept, and what failures leave."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from pkigen import layout
from pkigen.crypto.issuance import certificate_pem
from pkigen.crypto.keys import private_pem
from pkigen.desired.rendering import Renderer
from pkigen.errors import StoreError
from pkigen.reconcile.apply import StagedTreeError, apply_plan, rehearse
from pkigen.reconcile.plan import Keep
from pkigen.reconcile.source import IssuedHere
from pkigen.reconcile.surveyed import Selection
from pkigen.state.ledger import Event, LedgerEntry
from pkigen.state.reasons import Reason
from pkigen.store import Store
from tests.faults.scenes import wanted
from tests.reconcile.altered_trees import ADMIN, API, follow, stranger
from tests.samples import CP1, NOW, W1, W2, World, snapshot, spec
from tests.strategies import clusters

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from pkigen.reconcile.plan import Plan
    from pkigen.reconcile.staging import Staging
    from pkigen.spec.model import ClusterSpec
    from pkigen.state.views import StagedView


MANY = 300
PKI_OF_NODE = "etc/kubernetes/pki"


def test_asking_for_one_renews_it_alone(world: World) -> None:
    before = world.fingerprints()
    key = world.read(f"{API}.key")
    done = world.apply(Selection(ids=frozenset({"cp-1/apiserver"})))
    assert done.issued == ("cp-1/apiserver",)
    after = world.fingerprints()
    assert {name for name in after if after[name] != before[name]} == {"cp-1/apiserver"}
    assert world.read(f"{API}.key") != key


def test_asking_for_one_leaves_others_that_are_due(world: World) -> None:
    later = World(root=world.root, cluster=world.cluster, now=NOW + timedelta(days=350))
    done = later.apply(Selection(within=timedelta(), ids=frozenset({"cp-1/apiserver"})))
    assert done.issued == ("cp-1/apiserver",)
    assert later.reasons()["cp-1/admin.conf"] == ("renew", Reason.EXPIRES_SOON)


def test_asking_for_one_leaves_others_that_have_expired(world: World) -> None:
    later = World(root=world.root, cluster=world.cluster, now=NOW + timedelta(days=366))
    done = later.apply(Selection(ids=frozenset({"cp-1/apiserver"}), only=True))
    assert done.issued == ("cp-1/apiserver",)
    assert later.reasons()["cp-1/admin.conf"] == ("renew", Reason.EXPIRED)


def keys_of(world: World) -> dict[str, bytes]:
    return {path: world.read(path) for path in world.inventory.paths if path.endswith(".key")}


def test_keys_are_kept_on_request(world: World) -> None:
    leaves = {name for name, item in world.inventory.certificates.items() if item.issuer is not None}
    keys = keys_of(world)
    admin = re.search(rb"client-key-data: (\S+)", world.read(ADMIN))
    before = world.fingerprints()
    world.apply(Selection(ids=frozenset(leaves)), reuse_keys=True)
    after = world.fingerprints()
    assert keys_of(world) == keys
    again = re.search(rb"client-key-data: (\S+)", world.read(ADMIN))
    assert admin is not None
    assert again is not None
    assert admin[1] == again[1]
    assert {name for name in after if after[name] != before[name]} == leaves


@pytest.mark.parametrize("algorithm", ["RSA-2048", "RSA-3072"])
def test_rsa_keys_are_kept_too(algorithm: str, tmp_path: Path) -> None:
    overrides = {"apiserver": {"keyAlgorithm": algorithm}}
    world = World(root=tmp_path / "prod", cluster=spec(CP1, certificates={"overrides": overrides}))
    world.apply()
    key = world.read(f"{API}.key")
    world.apply(Selection(ids=frozenset({"cp-1/apiserver"})), reuse_keys=True)
    assert world.read(f"{API}.key") == key
    assert world.verify().findings == ()


def test_life_after_years(world: World) -> None:
    """A cluster that is kept: renewed a month before the end each year, until its CA ends."""
    for months in range(0, 120, 11):
        kept = World(root=world.root, cluster=world.cluster, now=NOW + timedelta(days=30 * months))
        assert {action.verb for action in kept.plan().changes} <= {"renew"}
        kept.apply()
        assert kept.plan().changes == ()
        assert kept.verify().findings == ()


def test_a_node_that_left_moves_to_the_backup(world: World) -> None:
    tree = {path: kept for path, kept in snapshot(world.root).items() if path.startswith("nodes/worker-1/")}
    mine = "nodes/worker-1/etc/mine.txt"
    world.path(mine).write_text("a file of the operator's")
    follow(world, CP1)
    done = world.apply()
    assert done.backup is not None
    assert not world.path("nodes/worker-1").exists()
    with Store.open_reading(world.root) as store:
        for path, (mode, content) in tree.items():
            kept = store.read_backup(done.backup, path)
            assert (kept.mode, kept.data) == (mode, content)
        assert store.read_backup(done.backup, mine).data == b"a file of the operator's"
    assert world.plan().changes == ()


def test_as_many_backups_stay_as_the_spec_asks_for(tmp_path: Path) -> None:
    world = World(root=tmp_path / "prod", cluster=spec(CP1, backups={"keep": 2}))
    world.apply()
    left = []
    for hours in range(1, 5):
        again = World(root=world.root, cluster=world.cluster, now=NOW + timedelta(hours=hours))
        left.append(again.apply(Selection(ids=frozenset({"cp-1/apiserver"}))).backup)
    assert sorted(path.name for path in world.path(".pkigen/backups").iterdir()) == left[-2:]


# -- who looks on, and what is put on record ----------------------------------------------------------


def ledger(world: World) -> list[dict[str, Any]]:
    return [json.loads(line) for line in world.read(layout.LEDGER_FILE).splitlines()]


def refused(view: StagedView) -> None:
    assert view.read(f"{API}.crt").mode == layout.PUBLIC_MODE
    raise StoreError("this tree must not be committed")


@pytest.mark.parametrize("carry_out", [apply_plan, rehearse])
def test_a_staged_tree_that_somebody_refuses_is_not_committed(
    carry_out: Callable[..., object], world: World
) -> None:
    follow(world, CP1, W1, W2)
    before = snapshot(world.root)
    with world.writing() as store, pytest.raises(StoreError, match="must not be committed"):
        carry_out(world.plan_of(store), world.inventory, store, world.tools(), inspect=refused)
    assert snapshot(world.root) == before


def test_a_rehearsal_shows_the_tree_to_come_and_leaves_the_one_that_is(world: World) -> None:
    follow(world, CP1, W1, W2)
    path = f"nodes/worker-2/{PKI_OF_NODE}/ca.crt"
    before, seen = snapshot(world.root), []

    def look(view: StagedView) -> None:
        seen.append(view.read(path).data)

    with world.writing() as store:
        rehearse(world.plan_of(store), world.inventory, store, world.tools(), inspect=look)
    assert seen == [world.read("pki/ca.crt")]
    assert snapshot(world.root) == before


def test_what_a_plan_leaves_is_refused_in_a_rehearsal_too(world: World) -> None:
    with world.writing() as store:
        plan = world.plan_of(store)
        follow(world, CP1, W1, W2)
        with pytest.raises(
            StagedTreeError, match="the staged tree still needs a change: create nodes/worker-2/"
        ):
            rehearse(plan, world.inventory, store, world.tools(), inspect=lambda _: None)


class Announced(IssuedHere):
    """Puts on record that it begins and ends, and a file into the tree."""

    def begin(self, staging: Staging) -> None:
        staging.record(LedgerEntry(event=Event.APPROVED, id="first", reason=None, facts={}))

    def end(self, staging: Staging) -> None:
        staging.record(LedgerEntry(event=Event.ANSWERED, id="last", reason=None, facts={}))


def test_the_ledger_says_what_was_done_in_its_order(world: World) -> None:
    known = len(ledger(world))
    world.follow(spec(CP1, encryption={}))
    with world.writing() as store:
        plan = replace(
            world.plan_of(store, Selection(ids=frozenset({"cp-1/apiserver"}))), rotated={"sa": "finish"}
        )
        apply_plan(plan, world.inventory, store, world.tools(), source=Announced())
    added = ledger(world)[known:]
    assert [(line["event"], line["id"]) for line in added] == [
        ("approved", "first"),
        ("rotated", "sa"),
        ("issued", "cp-1/apiserver"),
        ("removed", "nodes/worker-1"),
        ("answered", "last"),
        ("recorded", "pki.lock"),
    ]
    assert (added[1]["reason"], added[1]["step"]) == ("rotation", "finish")
    assert added[3]["reason"] == "not-wanted"
    assert f"nodes/worker-1/{PKI_OF_NODE}/ca.crt" in added[3]["paths"]


def test_what_is_held_back_is_left_for_a_later_plan(world: World) -> None:
    before = world.pem("cp-1/apiserver")
    world.path(f"{API}.crt").write_bytes(b"damaged")
    world.path(ADMIN).chmod(0o644)
    with world.writing() as store:
        apply_plan(
            world.plan_of(store),
            world.inventory,
            store,
            world.tools(),
            held=frozenset({"cp-1/apiserver"}),
        )
    assert world.read(f"{API}.crt") == b"damaged" != before
    assert set(world.reasons()) == {"cp-1/apiserver"}


# -- failures -----------------------------------------------------------------------------------------


class Broken(Renderer):
    """Fails at the n-th file."""

    left = 5

    def file(self, *arguments: Any, **named: Any) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("a template fails")
        return super().file(*arguments, **named)


def failing_entropy(after: int) -> Callable[[int], bytes]:
    left = iter(range(after))

    def entropy(count: int) -> bytes:
        if next(left, None) is None:
            raise OSError("no more randomness")
        return os.urandom(count)

    return entropy


@pytest.mark.parametrize("after", [0, 1, 3, 7])
def test_without_randomness_nothing_changes(after: int, world: World) -> None:
    follow(world, CP1, W1, W2, certificates={"keyAlgorithm": "ECDSA-P384"})
    before = snapshot(world.root)
    world.entropy = failing_entropy(after)
    with pytest.raises(OSError, match="no more randomness"):
        world.apply()
    assert snapshot(world.root) == before
    world.entropy = os.urandom
    world.apply()
    assert world.verify().findings == ()


@pytest.mark.parametrize("fails", [0, 1, 2])
def test_a_template_that_fails_changes_nothing(fails: int, world: World) -> None:
    plan_before = world.plan()
    follow(world, CP1, W1, W2, apiServer={"bindPort": 7443})
    before = snapshot(world.root)
    with world.writing() as store:
        plan = world.plan_of(store)
        world.renderer = Broken(world.inventory)
        world.renderer.left = fails
        with pytest.raises(RuntimeError, match="a template fails"):
            apply_plan(plan, world.inventory, store, world.tools())
    assert snapshot(world.root) == before
    assert plan_before.changes == ()


def test_a_staged_tree_that_is_not_what_was_planned_is_not_committed(world: World) -> None:
    """pkigen's own faults: a renderer that gives other bytes when asked again."""

    class Fickle(Renderer):
        calls = 0

        def file(self, *arguments: Any, **named: Any) -> bytes:
            self.calls += 1
            return super().file(*arguments, **named) + b"# %d\n" % self.calls

    before = snapshot(world.root)
    world.renderer = Fickle(world.inventory)
    with pytest.raises(StagedTreeError, match="the staged tree still needs a change: rewrite nodes/cp-1"):
        world.apply()
    assert snapshot(world.root) == before


def test_an_authority_that_was_exchanged_after_the_plan_signs_nothing(world: World) -> None:
    """Whoever is asked may take hours, and somebody may copy another authority here meanwhile."""
    other = stranger()
    with world.writing() as store:
        plan = world.plan_of(store, Selection(ids=frozenset({"cp-1/apiserver"}), only=True))
        assert [action.id for action in plan.changes] == ["cp-1/apiserver"]
        world.path("pki/ca.crt").write_bytes(certificate_pem(other.certificate))
        world.path("pki/ca.key").write_bytes(private_pem(other.key))
        before = snapshot(world.root)
        with pytest.raises(StagedTreeError):
            apply_plan(plan, world.inventory, store, world.tools())
    assert snapshot(world.root) == before


def test_a_plan_of_another_inventory_is_refused(world: World) -> None:
    with world.writing() as store:
        plan = world.plan_of(store)
        follow(world, CP1, W1, W2)
        with pytest.raises(StoreError, match="the staged tree still needs a change"):
            apply_plan(plan, world.inventory, store, world.tools())


# -- any two specs ------------------------------------------------------------------------------------


@given(first=clusters(), second=clusters())
@settings(
    max_examples=min(wanted(5), MANY),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_from_any_spec_to_any_other(
    first: ClusterSpec, second: ClusterSpec, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = World(root=tmp_path_factory.mktemp("two") / "prod", cluster=first)
    world.apply()
    assert world.plan().changes == ()
    before = world.fingerprints()
    items = world.inventory.certificates
    world.follow(second)
    plan = world.plan()
    world.apply()
    assert world.plan().changes == ()
    assert world.verify().findings == ()
    # Nothing of the first is left that the second does not have …
    left = {path for path in snapshot(world.root) if not path.startswith(".pkigen/")}
    assert left == world.inventory.paths | {"pki.lock", ".gitignore"}
    assert directories(world.root) == {
        str(parent) for path in left for parent in PurePosixPath(path).parents if parent.name
    }
    # … and nothing that both have was issued again.
    after = world.fingerprints()
    for identifier in shared(items, world, plan):
        assert after[identifier] == before[identifier], identifier


def directories(root: Path) -> set[str]:
    """Every directory of the tree, empty ones too."""
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_dir())
    return {str(path) for path in found if path.parts[0] != ".pkigen"}


def shared(items: dict[str, Any], world: World, plan: Plan) -> list[str]:
    """Certificates that both inventories have with the same content at the same place."""

    def content(item: Any) -> tuple[object, ...]:
        return (
            item.subject,
            frozenset(item.sans.texts()),
            item.profile,
            item.key_algorithm,
            item.issuer,
            item.location,
        )

    kept = {
        action.id
        for action in plan.actions
        if isinstance(action, Keep) or action.reason is Reason.CONTENT_CHANGED
    }
    same = [
        name
        for name, item in world.inventory.certificates.items()
        if name in items and (item.issuer is None or content(item) == content(items[name]))
    ]
    # What would be due under the shorter life that the second spec asks for is renewed, with that reason.
    due = {action.id for action in plan.changes if action.reason is Reason.EXPIRES_SOON}
    assert set(same) - kept <= due
    return [name for name in same if name in kept]
