"""What surrounds a certificate that stays, what a CA carries along, and what `renew` asks for."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.issuance import CertificateContent, certificate_pem, issue
from pkigen.crypto.keys import private_pem
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.generations import CA
from pkigen.reconcile.plan import Action, Ask, Await, Create, Keep, Reissuance, Reissue, Renew, Rewrite
from pkigen.reconcile.survey import Survey
from pkigen.reconcile.surveyed import Selection
from pkigen.state.authority import CACertificates, load_all
from pkigen.state.reasons import Reason
from tests.reconcile import test_checks, test_lock_builder, test_planner, test_survey_files
from tests.reconcile.altered_trees import (
    ADMIN,
    API,
    PKI,
    TreeCase,
    assert_planned,
    assert_put_right,
    edit,
    follow,
    signer,
    stranger,
)
from tests.samples import CP1, NOW, World, spec

CASES: dict[str, TreeCase] = {
    "mode": (
        lambda w: w.path(f"{API}.key").chmod(0o644),
        "cp-1/apiserver",
        "rewrite",
        Reason.MODE,
        f"{API}.key mode 0644, must be 0600",
    ),
    "mode-of-a-kubeconfig": (
        lambda w: w.path(ADMIN).chmod(0o604),
        "cp-1/admin.conf",
        "rewrite",
        Reason.MODE,
        f"{ADMIN} mode 0604, must be 0600",
    ),
    "content-of-a-kubeconfig": (
        lambda w: edit(w, ADMIN, b"https://10.0.0.11:6443", b"https://10.0.0.66:6443"),
        "cp-1/admin.conf",
        "rewrite",
        Reason.CONTENT_CHANGED,
        f"{ADMIN} differs from what the spec gives in its server",
    ),
    "names-in-a-kubeconfig": (
        lambda w: edit(w, ADMIN, b"kubernetes-admin@", b"me@"),
        "cp-1/admin.conf",
        "rewrite",
        Reason.CONTENT_CHANGED,
        f"{ADMIN} differs from what the spec gives in its names",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_reason(name: str, world: World) -> None:
    assert_planned(world, CASES[name])
    assert_put_right(world, CASES[name])


TABLES = (CASES, test_checks.CASES, test_survey_files.CASES, test_planner.CASES, test_lock_builder.CASES)
EVERY_CASE = {name: case for table in TABLES for name, case in table.items()}


@pytest.mark.parametrize("name", EVERY_CASE)
def test_each_reason_where_every_mode_is_wrong_too(name: str, world: World) -> None:
    """The plan has one reason for an object; what it does puts all of it right."""
    assert_planned(world, EVERY_CASE[name])
    for path in filter(Path.is_file, map(world.path, world.inventory.paths)):
        path.chmod(0o620)
    assert_put_right(world, EVERY_CASE[name])


def test_every_reason_has_a_case() -> None:
    assert len(EVERY_CASE) == sum(map(len, TABLES)), "each name once"
    covered = {reason for _, _, _, reason, _ in EVERY_CASE.values()} | {Reason.REQUESTED}
    # Rotations, sealed authorities, keys that are on the nodes and the times of tokens have their own tests.
    elsewhere = {
        Reason.ROTATION,
        Reason.ROLLBACK,
        Reason.NOT_SEALED,
        Reason.AWAITS_REQUEST,
        Reason.KEY_NOT_ALONE,
        Reason.LIVES_TOO_LONG,
        Reason.SHARED_KEY,  # of clusters that were taken over: tests/adoption/test_one_ca
        Reason.CREDENTIAL_CHANGED,  # of what is shown again: test_changes
        Reason.ANONYMOUS_CHANGED,  # of a file that is made whole: tests/live/test_ways_in, test_restart_map
        Reason.LOCATION_CHANGED,  # of what another spec wanted elsewhere: test_kubeconfig_files
        *(Reason.REVOKED, Reason.REVOCATION_OVER),  # test_revoke
    }
    assert set(Reason) - covered <= elsewhere


def test_a_kubeconfig_with_another_server_and_a_loose_mode(world: World) -> None:
    edit(world, ADMIN, b"https://10.0.0.11:6443", b"https://10.0.0.66:6443")
    world.path(ADMIN).chmod(0o666)
    assert world.reasons()["cp-1/admin.conf"] == ("rewrite", Reason.CONTENT_CHANGED)
    before = world.pem("cp-1/admin.conf")
    world.apply()
    assert world.plan().changes == ()
    assert world.pem("cp-1/admin.conf") == before


def test_a_changed_ca_carries_to_all_that_depends_on_it(world: World) -> None:
    for kind in ("crt", "key"):
        world.path(f"pki/ca.{kind}").unlink()
    changes = world.reasons()
    assert changes["ca"] == ("create", Reason.MISSING)
    for identifier, item in world.inventory.certificates.items():
        if item.issuer is CA.KUBERNETES:
            assert changes[identifier] == ("reissue", Reason.ISSUER_REPLACED)
    for path in (
        f"{PKI}/ca.crt",
        f"{PKI}/ca.key",
        f"{PKI}/ca-signing.crt",
        "nodes/worker-1/etc/kubernetes/pki/ca.crt",
    ):
        assert changes[path] == ("rewrite", Reason.CONTENT_CHANGED)
    assert "cp-1/etcd-server" not in changes
    world.apply()
    assert world.verify().findings == ()


def test_a_window_takes_what_ends_within_it(world: World) -> None:
    everything = {name for name, item in world.inventory.certificates.items() if item.issuer is not None}
    assert world.plan(Selection(within=timedelta(hours=8759))).changes == ()
    wide = world.plan(Selection(within=timedelta(hours=8760)))
    assert {action.id for action in wide.changes} == everything
    assert {action.verb for action in wide.changes} == {"renew"}


def test_a_survey_knows_how_many_objects_it_looks_at(tmp_path: Path) -> None:
    world = World(root=tmp_path / "prod", cluster=spec())
    world.apply()
    with world.writing() as store:
        survey = Survey(
            inventory=world.inventory,
            reader=store,
            renderer=world.renderer,
            authorities=load_all(store, world.inventory, now=NOW),
            now=NOW,
        )
        assert len(survey) == sum(1 for _ in survey.objects()) < len(world.inventory.items)


def test_what_is_surveyed_comes_with_its_issuer(world: World) -> None:
    """`status` needs it: a certificate is not valid beyond the end of its CA."""
    with world.writing() as store:
        authorities = load_all(store, world.inventory, now=NOW)
        survey = Survey(
            inventory=world.inventory,
            reader=store,
            renderer=world.renderer,
            authorities=authorities,
            now=NOW,
        )
        issuers = {each.item.id: each.issuer for each in survey.objects()}
    for identifier in ("cp-1/apiserver", "cp-1/admin.conf", "cp-1/etcd-server"):
        ca = world.inventory.certificates[identifier].issuer
        assert ca is not None
        assert issuers[identifier] == authorities[ca]
    assert issuers["ca"] is None


# -- who can give a certificate a successor, and which ------------------------------------------------


def actions(world: World, selection: Selection | None = None, *, days: int = 0) -> dict[str, Action]:
    return {each.id: each for each in world.plan(selection, after=timedelta(days=days)).actions}


def test_only_its_node_can_ask_for_what_is_for_its_own_key(tmp_path: Path) -> None:
    world = World(root=tmp_path / "prod", cluster=spec(CP1, certificates={"nodeKeys": "node"}))
    waits = actions(world)["cp-1/apiserver"]
    assert (type(waits), waits.reason) == (Ask, Reason.AWAITS_REQUEST)
    asked = actions(world, Selection(requested=frozenset({"cp-1/apiserver"})))
    assert type(asked["cp-1/apiserver"]) is Create
    assert type(asked["cp-1/kubelet.conf"]) is Ask
    assert type(asked["ca"]) is Create


def test_a_private_key_that_should_be_on_its_node_alone(world: World) -> None:
    follow(world, certificates={"nodeKeys": "node"})
    found = actions(world)["cp-1/admin.conf"]
    detail = f"{ADMIN} contains a private key that only cp-1 should have"
    assert (type(found), found.reason, found.details) == (Rewrite, Reason.KEY_NOT_ALONE, (detail,))


@pytest.fixture
def offline(world: World) -> World:
    """A tree whose CA keys are with the offline authority."""
    follow(world, certificates={"authority": "offline", "caKeys": "offline"})
    for path in world.root.rglob("*ca.key"):
        path.unlink()
    return world


def test_what_only_the_offline_authority_can_issue_waits_while_it_is_merely_due(offline: World) -> None:
    due, asked = actions(offline, days=350), Selection(ids=frozenset({"cp-1/apiserver"}))
    assert (type(due["cp-1/apiserver"]), due["cp-1/apiserver"].reason) == (Await, Reason.EXPIRES_SOON)
    wanted = actions(offline, asked, days=350)
    assert type(wanted["cp-1/apiserver"]) is Renew
    assert type(wanted["cp-1/admin.conf"]) is Await
    for action in (due["cp-1/apiserver"], wanted["cp-1/apiserver"]):
        assert action.reissuance is not None
        assert action.reissuance.offline


def test_a_ca_that_is_there_is_never_replaced_by_a_plan(world: World) -> None:
    assert type(actions(world, days=3640)["ca"]) is Keep
    follow(world, certificates={"keyAlgorithm": "ECDSA-P384"})
    found = actions(world)
    assert (type(found["ca"]), type(found["cp-1/apiserver"])) == (Keep, Reissue)


def test_what_a_successor_would_be(world: World) -> None:
    name = "cp-1/apiserver"
    present = world.certificate(name).not_valid_after_utc
    ca_ends = world.certificate("ca").not_valid_after_utc
    kept = actions(world)
    assert all(each.reissuance is None for each in kept.values())
    assert actions(world, days=350)[name].reissuance == Reissuance(
        issuer="ca",
        key_algorithm="ECDSA-P256",
        expires=present,
        will_expire=NOW + timedelta(days=350 + 365),
    )
    # The last one ends with its CA …
    last = actions(world, days=3400)[name].reissuance
    assert last is not None
    assert last.will_expire == ca_ends
    # … unless that is renewed in the same plan.
    both = actions(world, Selection(ids=frozenset({"ca", name})), days=3400)
    ca, leaf = both["ca"].reissuance, both[name].reissuance
    assert ca is not None
    assert leaf is not None
    assert (ca.issuer, ca.expires) == (None, ca_ends)
    assert leaf.will_expire == NOW + timedelta(days=3400 + 365) < ca.will_expire


def test_another_generation_of_its_ca_is_told_from_an_unknown_one(world: World) -> None:
    present, other = signer(world, CA.KUBERNETES).certificate, stranger().certificate

    def reasons(authorities: dict[CA, CACertificates]) -> dict[str, Reason | None]:
        with world.writing() as store:
            survey = Survey(
                inventory=world.inventory,
                reader=store,
                renderer=world.renderer,
                authorities=authorities,
                now=NOW,
            )
            return {each.action.id: each.action.reason for each in survey.objects()}

    two = CACertificates(certificate=other, chain=(), other=present)
    one = CACertificates(certificate=other, chain=())
    assert reasons({CA.KUBERNETES: two})["cp-1/apiserver"] is Reason.ISSUER_REPLACED
    assert reasons({CA.KUBERNETES: one})["cp-1/apiserver"] is Reason.UNKNOWN_ISSUER
    assert reasons({})["cp-1/apiserver"] is Reason.ISSUER_REPLACED
    assert reasons({})["ca"] is None


def test_a_renewed_ca_changes_what_servers_send_after_their_certificate(world: World) -> None:
    """An intermediate is sent along; a root is not, and peers that have it verify its leaves as before."""
    renewed = Selection(ids=frozenset({"ca"}))
    assert type(actions(world, renewed)["cp-1/apiserver"]) is Keep
    key = ec.generate_private_key(ec.SECP256R1())
    content = CertificateContent(
        subject=Subject(common_name="issuing"),
        sans=SANs(),
        profile=Profile.INTERMEDIATE,
        validity=timedelta(days=8000),
    )
    made = issue(content, key=key, issuer=stranger(), now=NOW, entropy=os.urandom).certificate
    world.path("pki/ca.crt").write_bytes(certificate_pem(made))
    world.path("pki/ca.key").write_bytes(private_pem(key))
    world.apply()
    found = actions(world, renewed)["cp-1/apiserver"]
    assert (type(found), found.reason) == (Rewrite, Reason.CHAIN_CHANGED)
    assert found.details == ("its CA ca has a new certificate",)
    assert type(actions(world)["cp-1/apiserver"]) is Keep
    assert type(actions(world, renewed)["cp-1/etcd-server"]) is Keep
    expired = actions(world, renewed, days=366)["cp-1/apiserver"]
    assert (type(expired), expired.reason) == (Renew, Reason.EXPIRED)
