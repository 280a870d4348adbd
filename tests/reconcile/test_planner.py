"""What a plan removes, and what it leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pkigen.reconcile.plan import Keep
from pkigen.reconcile.restart_map import leftovers, restart_map
from pkigen.reconcile.risks import risks
from pkigen.state.reasons import Reason
from tests.reconcile.altered_trees import PKI, TreeCase, assert_planned, assert_put_right, follow
from tests.samples import CP1, W1, W2, World, node, snapshot, spec

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.reconcile.plan import Action, Plan


CASES: dict[str, TreeCase] = {
    "not-wanted": (
        lambda w: follow(w, CP1),
        "nodes/worker-1",
        "remove",
        Reason.NOT_WANTED,
        "node worker-1 is not in the spec; its",
    ),
    "not-wanted-file": (
        lambda w: w.follow(spec(CP1, W1)),
        f"{PKI}/encryption-config.yaml",
        "remove",
        Reason.NOT_WANTED,
        "it is no longer in the spec",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_reason(name: str, world: World) -> None:
    assert_planned(world, CASES[name])
    assert_put_right(world, CASES[name])


def test_a_second_plan_reads_and_writes_nothing(world: World) -> None:
    def stamps() -> dict[str, tuple[int, int]]:
        return {str(each): (each.lstat().st_mtime_ns, each.lstat().st_ino) for each in world.root.rglob("*")}

    before, files = stamps(), snapshot(world.root)
    assert world.plan().changes == ()
    assert world.verify().findings == ()
    assert stamps() == before
    assert snapshot(world.root) == files


def test_a_node_called_like_a_ca(tmp_path: Path) -> None:
    nodes = [
        node(name, f"10.0.0.{number}") for number, name in enumerate(("ca", "sa", "etcd-ca", "pki.lock"), 31)
    ]
    world = World(root=tmp_path / "prod", cluster=spec(CP1, *nodes))
    world.apply()
    before = {name: world.pem(name) for name in ("ca", "etcd-ca")}
    world.follow(spec(CP1))
    assert {action.verb for action in world.plan().changes} == {"remove"}
    assert risks(world.plan(), world.inventory) == ()
    world.apply()
    assert {name: world.pem(name) for name in before} == before
    assert world.plan().changes == ()


def test_keys_that_no_program_reads_leave_the_nodes(tmp_path: Path) -> None:
    """A tree from before, when control planes had every CA's key; the authority and a backup keep them."""
    every = {"distributeCAKeys": ["ca", "etcd-ca", "front-proxy-ca"]}
    world = World(root=tmp_path / "prod", cluster=spec(CP1, W1, certificates=every))
    world.apply()
    keys = {name: world.read(f"pki/{name}.key") for name in ("ca", "etcd/ca", "front-proxy-ca")}
    assert {name: world.read(f"{PKI}/{name}.key") for name in keys} == keys
    world.follow(spec(CP1, W1))
    plan = world.plan()
    assert {(action.verb, action.id, action.details) for action in plan.changes} == {
        (
            "remove",
            f"{PKI}/{name}.key",
            (f"certificates.distributeCAKeys does not name {ca}; the authority keeps the key",),
        )
        for name, ca in (("etcd/ca", "etcd-ca"), ("front-proxy-ca", "front-proxy-ca"))
    }
    assert restart_map(world.inventory, plan.changes) == ()
    assert leftovers(world.inventory, plan.changes) == {
        "cp-1": ("/etc/kubernetes/pki/etcd/ca.key", "/etc/kubernetes/pki/front-proxy-ca.key")
    }
    assert risks(plan, world.inventory) == ()
    world.apply()
    assert {name: world.read(f"pki/{name}.key") for name in keys} == keys
    left = world.root / "nodes" / "cp-1"
    assert [path.name for path in left.rglob("*ca.key")] == ["ca.key"]
    (backup,) = (world.root / ".pkigen" / "backups").iterdir()
    kept = backup / "files" / PKI
    assert (kept / "etcd" / "ca.key").read_bytes() == keys["etcd/ca"]
    assert (kept / "front-proxy-ca.key").read_bytes() == keys["front-proxy-ca"]
    assert world.plan().changes == ()
    assert world.verify().findings == ()


def test_files_of_other_origin_stay(world: World) -> None:
    others = ["README.md", "nodes/cp-1/etc/mine.txt", "nodes/notes.txt", "pki/notes.txt"]
    for path in others:
        world.path(path).write_text("mine")
    follow(world, CP1, W1, W2)
    world.apply()
    assert all(world.path(path).read_text() == "mine" for path in others)
    # Kept, and said of those that would be copied to a host.
    found = {(each.subject, each.reason) for each in world.verify().findings}
    assert found == {(path, "unexpected-file") for path in others if path.startswith("nodes/")}


def actions_of(plan: Plan, kind: type[Action]) -> list[str]:
    return [action.id for action in plan.actions if isinstance(action, kind)]


def test_a_plan_without_changes_keeps_everything(world: World) -> None:
    plan = world.plan()
    assert len(actions_of(plan, Keep)) == len(plan.actions) > 0
