"""`pkigen rollback` asks what every change of the authority asks: what comes back, what goes, what breaks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pkigen.desired.generations import Phase
from pkigen.reconcile.planner import Planner
from pkigen.reconcile.restore import plan_rollback
from pkigen.reconcile.surveyed import Selection
from pkigen.rotation.prover import prove
from pkigen.rotation.rollback import ProposedRollback, propose_rollback
from pkigen.state.cluster_objects import ClusterObject
from tests.reconcile.test_revocation_list import A, B, C, text_of
from tests.samples import CP1, NOW, W1, World, spec

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.spec.model import ClusterSpec
    from tests.cli.program import Result
    from tests.rotation.phases import Workshop


def back(workshop: Workshop, *options: object) -> Result:
    return workshop.run("rollback", "-C", workshop.tree, "--yes", *options)


def risks(result: Result) -> list[str]:
    return [line.removeprefix("risk: ") for line in result.out.splitlines() if line.startswith("risk: ")]


def rotated(workshop: Workshop, what: str, *steps: str) -> None:
    for step in steps:
        workshop.step(what, step)


def oldest_backup(workshop: Workshop) -> str:
    return min(path.name for path in (workshop.tree / ".pkigen/backups").iterdir())


@pytest.mark.parametrize(
    ("what", "path", "consequence"),
    [
        (
            "encryption-key",
            "pki/encryption.key",
            "Secrets that are encrypted with it cannot be read any more",
        ),
        ("sa", "pki/sa.key", "every token that it has signed is refused"),
        ("ca etcd", "pki/etcd/ca.crt", "every certificate that it has signed is refused"),
    ],
)
def test_a_whole_rotation_is_not_undone_unasked(
    what: str, path: str, consequence: str, workshop: Workshop
) -> None:
    rotated(workshop, what, "prepare", "promote", "finish")
    before = workshop.photograph().files
    first = oldest_backup(workshop)
    refused = back(workshop, first)
    found = risks(refused)
    assert refused.code == 1
    assert any(each.startswith(f"it takes away {path} (") and each.endswith(consequence) for each in found)
    assert any(each.startswith(f"it brings back {path} (") for each in found)
    assert refused.error == f"the rollback is dangerous: {found[0]}"
    assert workshop.photograph().files == before
    assert back(workshop, first, "--force").code == 0
    assert workshop.run("verify", "-C", workshop.tree).code == 0
    plan = workshop.run("plan", workshop.spec, "-C", workshop.tree, "-o", "json").json
    assert (plan["actions"], plan["authority"]["changes"]) == ([], [])


def test_what_was_distrusted_does_not_come_back_in_silence(workshop: Workshop) -> None:
    rotated(workshop, "ca kubernetes", "prepare", "promote", "finish")
    refused = back(workshop)
    assert refused.code == 1
    assert risks(refused)[0].startswith("it brings back pki/ca-previous.crt (sha256:")


def test_a_step_that_harms_nothing_goes_back_as_it_did(workshop: Workshop) -> None:
    workshop.step("ca kubernetes", "prepare")
    done = back(workshop)
    assert (done.code, risks(done)) == (0, [])
    assert workshop.phases() == {}
    assert workshop.run("verify", "-C", workshop.tree).code == 0


def test_connections_that_would_break_are_named(workshop: Workshop, cluster: ClusterSpec) -> None:
    before = workshop.photograph()
    for step in ("prepare", "promote"):
        workshop.step("ca kubernetes", step)
    after = workshop.photograph()
    found = prove(after.state(cluster), before.state(cluster), now=workshop.now).broken
    refused = back(workshop, oldest_backup(workshop))
    said = f"while its files reach the nodes, it breaks a connection: {found[0]} (and {len(found) - 1} more)"
    assert said in risks(refused)


def test_what_has_expired_meanwhile_is_named(workshop: Workshop) -> None:
    assert workshop.run("renew", workshop.spec, "--all", "-C", workshop.tree, "--yes").code == 0
    assert risks(workshop.run("rollback", "-C", workshop.tree)) == []
    workshop.now += timedelta(days=400)
    assert "certificates that have expired, such as " in back(workshop).error


def test_a_next_generation_that_has_signed_does_not_go_in_silence(workshop: Workshop) -> None:
    """It was promoted, and taken back: what it has signed meanwhile is in use."""
    rotated(workshop, "ca etcd", "prepare", "promote", "rollback")
    refused = back(workshop, oldest_backup(workshop))
    assert refused.code == 1
    (gone,) = (each for each in risks(refused) if each.startswith("it takes away "))
    assert gone.startswith("it takes away pki/etcd/ca-next.crt (sha256:")
    assert gone.endswith("every certificate that it has signed is refused")


def test_what_is_harmless_hides_no_key_that_goes(workshop: Workshop) -> None:
    """In the order of their paths: the bundle key, a successor that has signed nothing, and a CA in use."""
    (workshop.tree / "pki/bundle.key").write_bytes(b"damaged")
    assert workshop.run("apply", workshop.spec, "-C", workshop.tree, "--yes", "--force").code == 0
    rotated(workshop, "ca etcd", "prepare")
    rotated(workshop, "ca front-proxy", "prepare", "promote", "finish")
    found = risks(back(workshop, oldest_backup(workshop)))
    gone = [each.split()[3].rstrip(":") for each in found if each.startswith("it takes away ")]
    assert gone == ["pki/bundle.key", "pki/front-proxy-ca.crt"]


def test_a_ca_that_has_expired_is_named(workshop: Workshop) -> None:
    rotated(workshop, "ca front-proxy", "prepare", "promote", "finish")
    workshop.now += timedelta(days=3660)
    found = risks(back(workshop, oldest_backup(workshop)))
    assert any(each.endswith("have expired, such as front-proxy-ca") for each in found)


# -- one change and its way back, without a command line ------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> World:
    world = World(root=tmp_path / "prod", cluster=spec(CP1, users=[{"name": "dev1"}]))
    world.apply()
    return world


def risks_of_rollback(world: World, days: float = 0) -> tuple[str, ...]:
    planner = Planner.of(world.inventory, now=NOW + timedelta(days=days))
    with world.writing() as store:
        return propose_rollback(planner, store, plan_rollback(store, None)).risks


def renewed(world: World, *identifiers: str) -> None:
    later = World(root=world.root, cluster=world.cluster, now=NOW + timedelta(days=10))
    later.apply(Selection(ids=frozenset(identifiers), only=True))


def test_a_bundle_key_that_goes_is_named(small: World) -> None:
    small.path("pki/bundle.key").write_bytes(b"damaged")
    small.apply()
    assert risks_of_rollback(small) == (
        "it takes away pki/bundle.key: nodes that trust it refuse bundles of another key",
    )


def test_an_authority_that_somebody_has_exchanged_is_not_recorded_in_silence(
    small: World, tmp_path: Path
) -> None:
    other = World(root=tmp_path / "other", cluster=small.cluster)
    other.apply()
    renewed(small, "cp-1/apiserver")
    assert risks_of_rollback(small) == ()
    for name in ("sa.key", "sa.pub"):
        small.path(f"pki/{name}").write_bytes(other.path(f"pki/{name}").read_bytes())
    (risk,) = risks_of_rollback(small)
    said = "it would record an authority that is not the recorded one: pki/sa.key was replaced: it is sha256:"
    assert risk.startswith(said)


def test_a_ledger_that_is_gone_is_not_begun_anew_in_silence(small: World) -> None:
    renewed(small, "cp-1/apiserver")
    small.path(".pkigen/ledger.jsonl").unlink()
    (risk,) = risks_of_rollback(small)
    assert ": .pkigen/ledger.jsonl is missing, and pki.lock records it (" in risk


def test_an_exchanged_key_that_the_rollback_puts_back_is_no_risk_by_itself(small: World) -> None:
    first = small.path("pki/bundle.key").read_bytes()
    small.path("pki/bundle.key").write_bytes(b"damaged")
    small.apply()
    small.path("pki/bundle.key").write_bytes(first)
    assert not any("is not the recorded one" in risk for risk in risks_of_rollback(small))


@pytest.mark.parametrize(
    ("identifiers", "told"),
    [
        (("cp-1/apiserver",), "1 certificate that has expired, such as cp-1/apiserver"),
        (
            ("cp-1/apiserver", "cp-1/admin.conf"),
            "2 certificates that have expired, such as cp-1/apiserver",
        ),
    ],
)
def test_a_certificate_has_expired_from_its_last_moment_on(
    identifiers: tuple[str, ...], told: str, small: World
) -> None:
    renewed(small, *identifiers)
    assert risks_of_rollback(small, 365 - 1 / 86400) == ()
    assert risks_of_rollback(small, 365) == (f"it restores {told}",)


def test_what_people_hold_is_short_lived_and_no_risk(small: World) -> None:
    renewed(small, "user:dev1")
    assert risks_of_rollback(small, 400) == ()


def test_a_cipher_that_goes_back_is_named(tmp_path: Path) -> None:
    world = World(root=tmp_path / "prod", cluster=spec(CP1, encryption={}))
    world.apply()
    wider = World(root=world.root, cluster=spec(CP1, encryption={"resources": ["secrets", "configmaps"]}))
    wider.apply()
    (sentence,) = risks_of_rollback(wider)
    assert "it has API servers no longer read what secretbox has encrypted (configmaps)" in sentence
    other = World(root=world.root, cluster=spec(CP1, encryption={"resources": ["*.*"]}))
    other.apply()
    assert "secretbox has encrypted (*.*)" in risks_of_rollback(other)[0]


def test_a_cipher_that_goes_back_to_another_place_is_named(tmp_path: Path) -> None:
    world = World(root=tmp_path / "prod", cluster=spec(CP1, encryption={}))
    world.apply()
    elsewhere = {"certificates": {"directory": "/opt/pki"}}
    moved = World(root=world.root, cluster=spec(CP1, encryption={"resources": ["configmaps"]}, **elsewhere))
    moved.apply()
    assert "secretbox has encrypted (configmaps)" in risks_of_rollback(moved)[0]


def test_an_encryption_configuration_that_goes_does_so_with_its_key_which_is_told(small: World) -> None:
    encrypting = World(root=small.root, cluster=spec(CP1, users=[{"name": "dev1"}], encryption={}))
    encrypting.apply()
    (risk,) = risks_of_rollback(encrypting)
    assert risk.startswith("it takes away pki/encryption.key (")


def test_a_version_that_goes_back_is_named(tmp_path: Path) -> None:
    World(root=tmp_path / "prod", cluster=spec(CP1, kubernetesVersion="v1.35.0")).apply()
    newer = World(root=tmp_path / "prod", cluster=spec(CP1))
    newer.apply()
    assert "it takes Kubernetes back from v1.36 to v1.35, which" in risks_of_rollback(newer)[0]


LIST, MOVED, OF_ANOTHER = (
    f"nodes/{place}/authorization-config.yaml"
    for place in ("cp-1/etc/kubernetes/pki", "cp-1/opt/pki", "cp-2/etc/kubernetes/pki")
)
MANIFEST = "nodes/cp-1/etc/kubernetes/manifests/kube-apiserver.yaml"


def changed(world: World, files: dict[str, bytes | None]) -> None:
    """One change of these files; None takes one away."""
    with world.writing() as store, store.transaction() as transaction:
        for path, content in files.items():
            if content is None:
                transaction.remove(path)
            else:
                transaction.stage(path, mode=0o600, content=content)
        transaction.commit()


def told_to_pass(count: str, path: str) -> tuple[str]:
    return (
        f"it lets {count} pass again, by {path}, until `pkigen apply`: `pkigen access unrevoke` is the way",
    )


def test_whoever_passes_again_is_counted(small: World) -> None:
    changed(small, {LIST: text_of(A)})
    changed(small, {LIST: text_of(A, B, C)})
    assert risks_of_rollback(small) == told_to_pass("2 revoked credentials", LIST)
    changed(small, {LIST: None})
    assert risks_of_rollback(small) == (), "nobody is kept out now"


def test_a_list_that_goes_because_it_came_with_the_change_lets_everybody_on_it_pass(small: World) -> None:
    changed(small, {LIST: None})
    changed(small, {LIST: text_of(A), MANIFEST: b"with the flag"})
    assert risks_of_rollback(small) == told_to_pass("1 revoked credential", LIST)


def test_a_list_that_goes_back_to_another_place_keeps_out_whom_it_kept_out(small: World) -> None:
    changed(small, {LIST: text_of(A)})
    changed(small, {LIST: None, MOVED: text_of(A)})
    assert risks_of_rollback(small) == ()
    changed(small, {MOVED: text_of(A, B)})
    with small.writing() as store:
        both = plan_rollback(store, sorted(each.id for each in store.backups())[-2])
        found = propose_rollback(Planner.of(small.inventory, now=NOW), store, both).risks
    assert found == told_to_pass("1 revoked credential", LIST)


def test_a_node_that_has_no_api_server_then_lets_nobody_pass(small: World) -> None:
    changed(small, {OF_ANOTHER: text_of(A), MANIFEST: b"another"})
    assert risks_of_rollback(small) == ()


# -- what the directory asks for then -------------------------------------------------------------------


def proposed_in(world: World, backup: str | None = None) -> ProposedRollback:
    planner = Planner.of(world.inventory, now=NOW)
    with world.writing() as store:
        return propose_rollback(planner, store, plan_rollback(store, backup))


def test_the_spec_goes_back_too(small: World) -> None:
    wider = World(root=small.root, cluster=spec(CP1, W1, users=[{"name": "dev1"}]))
    wider.apply()
    found = proposed_in(wider)
    assert found.after.inventory.cluster == small.cluster
    assert "worker-1/kubelet.conf" not in found.after.inventory.certificates


@pytest.mark.parametrize("lock", ["damaged", '{"files": {}, "spec": {"spec": {"later": true}}}'])
def test_a_spec_that_is_not_known_then_is_that_of_now(lock: str, small: World) -> None:
    small.path("pki.lock").write_text(lock)
    small.apply()
    found = proposed_in(small)
    assert found.after.inventory.cluster == small.cluster
    assert found.rollback.restores


def with_roles(world: World, **roles: str) -> World:
    """From now on each of these people has one role in the whole cluster."""
    users = [{"name": name, "clusterRoles": [role]} for name, role in roles.items()]
    return World(root=world.root, cluster=spec(CP1, users=users))


def test_the_cluster_is_given_what_the_directory_then_asks_for(small: World) -> None:
    for world in (with_roles(small, ann="view", zed="view"), with_roles(small, ann="view")):
        world.apply()
    last = with_roles(small, ann="edit")
    last.apply()
    found = proposed_in(last)
    new, old = (
        ClusterObject(kind="ClusterRoleBinding", name=f"pkigen:ann,clusterrole:{role}")
        for role in ("edit", "view")
    )
    assert found.superseded.keys() == {new, old}
    assert found.superseded[old] == {None}, "which it may not hold any more"
    commands = [each.command().partition("admin.conf ")[2] for each in found.in_cluster]
    assert commands == [
        "apply -f addons/user-ann.yaml",
        "delete clusterrolebinding pkigen:ann,clusterrole:edit --ignore-not-found",
        # Nobody has said that this was done, after the change before.
        "delete clusterrolebinding pkigen:zed,clusterrole:view --ignore-not-found",
    ]


def test_what_was_deleted_from_the_directory_may_be_in_the_cluster(small: World) -> None:
    with_roles(small, ann="view").apply()
    last = with_roles(small, ann="edit")
    last.apply()
    last.path("addons/user-ann.yaml").unlink()
    assert len(proposed_in(last).superseded) == 2


def test_who_changes_no_addon_has_nothing_to_tell_the_cluster(small: World) -> None:
    renewed(small, "cp-1/apiserver")
    found = proposed_in(small)
    assert (found.superseded, found.in_cluster) == ({}, ())


def test_the_phase_goes_back_too(workshop: Workshop, cluster: ClusterSpec) -> None:
    rotated(workshop, "ca etcd", "prepare", "promote")
    found = proposed_in(World(root=workshop.tree, cluster=cluster))
    assert found.after.inventory.rotations.phase("etcd-ca") is Phase.PREPARED
