"""What surrounds a certificate that stays, what a CA carries along, and what `renew` asks for."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pkigen.desired.generations import CA
from pkigen.reconcile.survey import Survey
from pkigen.reconcile.surveyed import Selection
from pkigen.state.authority import load_all
from pkigen.state.reasons import Reason
from tests.reconcile import test_checks, test_lock_builder, test_planner, test_survey_files
from tests.reconcile.altered_trees import ADMIN, API, PKI, TreeCase, assert_planned, assert_put_right, edit
from tests.samples import NOW, World, spec

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
        "has another server, name or CA than the spec gives",
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
        Reason.NOT_SEALED,
        Reason.AWAITS_REQUEST,
        Reason.KEY_NOT_ALONE,
        Reason.LIVES_TOO_LONG,
        Reason.CREDENTIAL_CHANGED,  # of what is shown again: test_changes
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
