"""What a plan removes, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen import layout
from pkigen.crypto.keys import private_pem
from pkigen.desired.generations import CA, Phase, Rotations
from pkigen.desired.inventory import EtcdMembership, TokenTrust, derive
from pkigen.errors import AuthorityError, PkigenError
from pkigen.reconcile.checkout import without_secrets
from pkigen.reconcile.plan import Keep, Plan, Reissuance, Remove, Renew
from pkigen.reconcile.planner import (
    Planner,
    removals,
    require_no_ca_keys_on_nodes,
    require_nothing_pending,
    require_signed_here,
)
from pkigen.reconcile.restart_map import leftovers, restart_map
from pkigen.reconcile.risks import risks
from pkigen.state.reasons import Reason
from pkigen.state.views import Move
from pkigen.store import Store
from tests.reconcile.altered_trees import PKI, TreeCase, assert_planned, assert_put_right, follow
from tests.samples import CP1, CP2, ENDPOINT, NOW, W1, W2, World, node, snapshot, spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from pkigen.reconcile.plan import Action


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


def test_a_ca_under_another_name_is_not_passed_over_for_a_new_one(tmp_path: Path) -> None:
    world = World(root=tmp_path / "prod", cluster=spec(CP1))
    world.path("pki").mkdir(parents=True)
    world.path("pki/ca.pem").write_text("mine")
    with pytest.raises(PkigenError, match=r"^pki/ca\.pem: not read under this name"):
        world.plan()


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


# -- the planner of a directory --------------------------------------------------------------------------


def planner(world: World, **more: Any) -> Planner:
    return Planner.of(world.inventory, now=world.now, **more)


def test_over_another_spec_or_in_other_phases(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    (folder / "manifests").mkdir(parents=True)
    (folder / "manifests" / "etcd.yaml.j2").write_text("# ours")
    world.follow(spec(CP1, CP2, W1, **ENDPOINT))
    ours = planner(world, templates=folder, templates_name="ours")
    with Store.open_reading(world.root) as store:
        assert ours.at(store) is not ours, "the lock file knows who founded etcd"
        known = ours.at(store)
        assert known.at(store) is known
    assert known.inventory.etcd == EtcdMembership(founders=("cp-1",), joined=("cp-2",))
    assert known.inventory.cluster is ours.inventory.cluster
    other = ours.of_spec(spec(CP1, W2))
    trust = TokenTrust.of(spec(CP1, W2))
    assert other.inventory == derive(spec(CP1, W2), token_trust=trust), "what the templates render is read"
    rotations = Rotations(phases={CA.KUBERNETES.certificate_name: Phase.PREPARED})
    rotating = known.under(rotations)
    assert (rotating.inventory.rotations, rotating.inventory.etcd) == (rotations, known.inventory.etcd)
    for each in (ours, known, other, rotating):
        assert (each.folder, each.templates_name, each.now) == (folder, "ours", world.now)
        assert each.renderer.overrides() == ours.renderer.overrides()
    assert ours.renderer.overrides() != planner(world).renderer.overrides()


def test_a_plan_knows_what_earlier_runs_wrote(world: World) -> None:
    follow(world, CP1)
    with Store.open_reading(world.root) as store:
        plan = planner(world).at(store).plan(store)
    assert actions_of(plan, Remove)
    world.follow(spec(CP1, W1))
    with Store.open_reading(world.root) as store:
        plan = planner(world).at(store).plan(store)
    assert actions_of(plan, Remove) == [f"{PKI}/encryption-config.yaml", "pki/encryption.key"]
    world.path(layout.LOCK_FILE).unlink()
    mine = world.path("pki/mine.txt")
    mine.write_text("mine")
    with Store.open_reading(world.root) as store:
        plan = planner(world).plan(store)
    assert not [each for each in actions_of(plan, Remove) if not each.startswith("nodes/")]


def test_of_a_checkout_only_what_it_shows_is_planned(world: World) -> None:
    """Without the private files nobody can compare the authority, or describe the tree in the lock file."""
    world.path(f"{PKI}/ca.crt").unlink()
    lock = json.loads(world.read(layout.LOCK_FILE))
    lock["authority"]["pki/sa.key"] = "sha256:another"
    world.path(layout.LOCK_FILE).write_bytes(json.dumps(lock).encode())
    with Store.open_reading(world.root) as store:
        assert planner(world).at(store).plan(store).alarms
        view = without_secrets(store, world.inventory)
        assert view is not None
        plan = planner(world).at(view).plan(view)
    assert (plan.alarms, {"ca", "cp-1/apiserver"} <= set(plan.withheld)) == ((), True)
    assert [action.id for action in plan.changes] == [f"{PKI}/ca.crt"]
    world.path(f"{PKI}/ca.crt").write_bytes(world.read("pki/ca.crt"))
    with Store.open_reading(world.root) as store:
        view = without_secrets(store, world.inventory)
        assert view is not None
        assert planner(world).at(view).plan(view).changes == ()


def test_a_saved_plan_is_bound_to_what_no_action_shows(world: World) -> None:
    with Store.open_reading(world.root) as store:
        plan = planner(world).at(store).plan(store)
        other = planner(world.follow(spec(CP1, W2))).at(store).plan(store)
    assert {"the spec", "the templates", "pkigen's version"} <= plan.observed.keys()
    changed = {name for name in plan.observed if plan.observed[name] != other.observed.get(name)}
    assert "the spec" in changed
    assert not changed & {"the templates", "pkigen's version"}


def test_an_encrypted_authority_is_planned_with_no_open_ca_key_beside_it(world: World) -> None:
    world.path("pki/sealed.json").write_bytes(b"{}")
    with pytest.raises(AuthorityError, match="an encrypted authority does not allow"):
        world.plan()


def test_what_is_pending_is_refused_where_nothing_may_be(world: World) -> None:
    require_nothing_pending(world.plan())
    world.path(f"{PKI}/apiserver.crt").unlink()
    with pytest.raises(
        PkigenError, match=r"^1 changes are pending, the first is create cp-1/apiserver"
    ) as info:
        require_nothing_pending(world.plan())
    assert info.value.hint == "`pkigen apply` them first"


def test_nor_is_an_authority_that_nobody_has_recorded(world: World) -> None:
    own = private_pem(ec.generate_private_key(ec.SECP256R1()))
    world.path("pki/encryption.key").write_bytes(world.read("pki/encryption.key")[::-1])
    world.path("pki/sa.key").write_bytes(own)
    with pytest.raises(AuthorityError, match=r"is not the one that is recorded: pki/.* was replaced"):
        require_nothing_pending(world.plan())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lock: lock.pop("authority"), "pki.lock does not record the keys of the authority yet"),
        (
            lambda lock: lock["authority"].update({"pki/sa.key": "sha256:other"}),
            "pki.lock or the ledger records another authority",
        ),
        (
            lambda lock: lock["authority"].pop("pki/sa.key"),
            "pki.lock does not describe this tree and this spec",
        ),
    ],
)
def test_a_lock_file_is_made_again_for_what_it_says_of_the_authority(
    world: World, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    lock = json.loads(world.read(layout.LOCK_FILE))
    change(lock)
    world.path(layout.LOCK_FILE).write_bytes(json.dumps(lock).encode())
    (action,) = world.plan().changes
    assert (action.verb, action.id, action.paths, action.node) == ("rewrite", "pki.lock", ("pki.lock",), None)
    assert (action.reason, action.details) == (Reason.CONTENT_CHANGED, (told,))


def test_a_lock_file_that_cannot_be_understood_is_made_again(world: World) -> None:
    world.path(layout.LOCK_FILE).write_bytes(b"{")
    (action,) = world.plan().changes
    assert (action.verb, action.id) == ("rewrite", "pki.lock")
    assert action.details == ("pki.lock does not describe this tree and this spec",)


def test_what_goes_is_a_node_or_what_pkigen_has_written() -> None:
    inventory = derive(spec(CP1))
    mine = ("nodes/old/etc/x", "nodes/old/etc/y", "pki/old/x", "nodes/notes.txt", f"{PKI}/etcd/ca.key")
    (old,) = removals(inventory, mine, frozenset())
    assert (old.id, old.paths, old.node) == ("nodes/old", mine[:2], "old")
    found = {action.id: action for action in removals(inventory, mine, frozenset(mine))}
    assert found.keys() == {"nodes/old", *mine[2:]}
    key = found[f"{PKI}/etcd/ca.key"]
    assert key.details == (
        "certificates.distributeCAKeys does not name etcd-ca; the authority keeps the key",
    )
    assert found["pki/old/x"].details == ("it is no longer in the spec",)
    offline = {"authority": "offline", "caKeys": "offline", "distributeCAKeys": False}
    (key,) = removals(derive(spec(CP1, certificates=offline)), mine[-1:], frozenset(mine))
    assert key.details == ("it is no longer in the spec",), "the authority has no such key"


def test_an_encrypted_authority_has_no_open_ca_keys_beside_it() -> None:
    offline = spec(CP1, certificates={"distributeCAKeys": False})
    require_no_ca_keys_on_nodes(derive(offline))
    with pytest.raises(AuthorityError, match="an unencrypted CA key") as info:
        require_no_ca_keys_on_nodes(derive(spec(CP1)))
    assert "distributeCAKeys" in (info.value.hint or "")


def test_what_a_rotation_does_to_the_authority_is_read_in_the_plan(world: World) -> None:
    for name in ("one", "other"):
        world.path(f"pki/{name}").write_text("mine")
    moves = (Move(source="pki/one", target="pki/two"), Move(source="pki/other", target=None))
    with Store.open_reading(world.root) as store:
        plan = planner(world).at(store).plan(store, moves=moves, rotated={"ca": "promote"})
    (action,) = plan.changes
    assert (action.verb, action.id, action.node, action.reason) == (
        *("rewrite", "rotation of ca", None, Reason.ROTATION),
    )
    assert action.paths == ("pki/one", "pki/two", "pki/other")
    assert action.details == (*("promote", "pki/one becomes pki/two", "pki/other is moved to the backup"),)
    assert (plan.moves, plan.rotated) == (moves, {"ca": "promote"})


@pytest.mark.parametrize(("count", "need"), [(1, "1 of the changes needs"), (2, "2 of the changes need")])
def test_what_waits_for_the_offline_authority_is_refused_before_anybody_is_asked(
    count: int, need: str
) -> None:
    def renewed(number: int, *, offline: bool) -> Renew:
        terms = Reissuance(
            issuer="ca", key_algorithm="RSA-2048", expires=NOW, will_expire=NOW, offline=offline
        )
        name = f"cp-{number}/apiserver"
        return Renew(id=name, paths=(), node=f"cp-{number}", reason=Reason.EXPIRED, reissuance=terms)

    here = renewed(0, offline=False)
    require_signed_here(Plan(actions=(here,)), Path("prod"))
    there = [renewed(number, offline=True) for number in range(1, count + 1)]
    with pytest.raises(AuthorityError) as info:
        require_signed_here(Plan(actions=(here, *there)), Path("prod"))
    assert str(info.value) == (
        f"{need} a certificate from the offline authority, "
        "the first being renew cp-1/apiserver (expired): nothing was changed"
    )
    assert "`pkigen airgap authority request -C prod`" in (info.value.hint or "")
