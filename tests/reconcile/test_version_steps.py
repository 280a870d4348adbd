"""Versions that a control plane cannot change to in one step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.reconcile.risks import risks
from pkigen.reconcile.version_steps import Versions, version_steps
from pkigen.spec.values import parse_version
from pkigen.state.lockfile import read_lock
from pkigen.store import Store
from tests.rotation.test_rollback import risks_of_rollback
from tests.samples import CP1, World, spec

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "nodes/cp-1/etc/kubernetes/manifests/kube-apiserver.yaml"


def versions(kubernetes: str, etcd: tuple[int, ...] = (3, 6)) -> Versions:
    return Versions(kubernetes=parse_version(kubernetes), etcd=etcd)


@pytest.mark.parametrize(
    ("before", "after", "beginnings"),
    [
        (versions("v1.34.3"), versions("v1.34.9"), ()),
        (versions("v1.34.9"), versions("v1.34.3"), ()),
        (versions("v1.34.3"), versions("v1.35.1"), ()),
        (
            versions("v1.34.3"),
            versions("v1.36.2"),
            ("it skips Kubernetes v1.35: API servers of",),
        ),
        (versions("v1.36.2"), versions("v1.35.1"), ("it takes Kubernetes back from v1.36 to v1.35",)),
        (versions("v1.33.2", (3, 5)), versions("v1.34.3"), ()),
        (
            versions("v1.34.3"),
            versions("v1.33.2", (3, 5)),
            ("it takes Kubernetes back from v1.34", "it takes etcd back from v3.6 to v3.5"),
        ),
        (versions("v1.36.2"), versions("v1.36.2", (3, 5)), ("it takes etcd back from v3.6 to v3.5",)),
        (versions("v1.36.2"), versions("v1.36.2", ()), ()),
        (versions("v1.36.2", ()), versions("v1.36.2", (3, 5)), ()),
        (None, versions("v1.36.2"), ()),
        (versions("v1.34.2"), None, ()),
    ],
)
def test_one_minor_version_at_a_time(
    before: Versions | None, after: Versions | None, beginnings: tuple[str, ...]
) -> None:
    told = list(version_steps(before, after, ["pki.lock", MANIFEST]))
    assert len(told) == len(beginnings)
    assert all(sentence.startswith(each) for sentence, each in zip(told, beginnings, strict=True))
    assert list(version_steps(before, after, ["nodes/cp-1/etc/kubernetes/admin.conf"])) == []


def made(root: Path, **fields: Any) -> World:
    return World(root=root, cluster=spec(CP1, **fields))


def test_an_upgrade_that_skips_a_version_is_a_risk(tmp_path: Path) -> None:
    made(tmp_path / "prod", kubernetesVersion="v1.34.3").apply()
    skipping = made(tmp_path / "prod", kubernetesVersion="v1.36.2")
    (sentence,) = risks(skipping.plan(), skipping.inventory)
    assert "go by way of v1.35" in sentence
    next_one = made(tmp_path / "prod", kubernetesVersion="v1.35.1")
    assert risks(next_one.plan(), next_one.inventory) == ()


@pytest.mark.parametrize("others", [{"runtime": "systemd"}, {"manage": []}])
def test_who_chooses_the_programs_is_not_told(others: dict[str, Any], tmp_path: Path) -> None:
    made(tmp_path / "prod", kubernetesVersion="v1.34.3", **others).apply()
    skipping = made(tmp_path / "prod", kubernetesVersion="v1.36.2", **others)
    assert risks(skipping.plan(), skipping.inventory) == ()


def test_a_rollback_of_an_upgrade_is_one_too(tmp_path: Path) -> None:
    made(tmp_path / "prod", kubernetesVersion="v1.33.2").apply()
    upgraded = made(tmp_path / "prod", kubernetesVersion="v1.34.3")
    assert risks(upgraded.plan(), upgraded.inventory) == ()
    upgraded.apply()
    told = risks_of_rollback(upgraded)
    assert [each.partition(" back")[0] for each in told] == ["it takes Kubernetes", "it takes etcd"]


def test_an_etcd_of_its_own_image(tmp_path: Path) -> None:
    made(tmp_path / "prod", etcd={"imageTag": "3.6.9-0"}).apply()
    older = made(tmp_path / "prod", etcd={"imageTag": "3.5.24-0"})
    (sentence,) = risks(older.plan(), older.inventory)
    assert "`etcdctl downgrade enable 3.5`" in sentence


@pytest.mark.parametrize(
    ("fields", "etcd"),
    [
        ({}, (3, 6)),
        ({"etcd": {"imageTag": "3.5.24-0"}}, (3, 5)),
        ({"etcd": {"external": {"endpoints": ["https://10.0.0.9:2379"]}}}, ()),
    ],
)
def test_what_a_spec_asks_for(fields: dict[str, Any], etcd: tuple[int, ...]) -> None:
    assert Versions.wanted(spec(CP1, **fields)) == versions("v1.36.2", etcd)


@pytest.mark.parametrize("fields", [{"runtime": "systemd"}, {"manage": []}])
def test_others_choose_the_programs_of_units_and_of_what_is_not_managed(fields: dict[str, Any]) -> None:
    assert Versions.wanted(spec(CP1, **fields)) is None


V1_36 = {"kubernetesVersion": "v1.36.2"}


@pytest.mark.parametrize(
    ("said", "etcd"),
    [
        (None, None),
        ([], None),
        ({"kubernetesVersion": 5}, None),
        (V1_36 | {"etcd": None}, (3, 6)),
        (V1_36 | {"etcd": []}, (3, 6)),
        (V1_36 | {"etcd": {"imageTag": []}}, (3, 6)),
        (V1_36 | {"etcd": {"imageTag": 5}}, ()),
    ],
)
def test_a_lock_file_may_say_anything(said: object, etcd: tuple[int, ...] | None, tmp_path: Path) -> None:
    """Somebody has edited it: then it is no error to be told by a traceback."""
    world = made(tmp_path / "prod")
    world.apply()
    lock = json.loads(world.read("pki.lock"))
    lock["spec"]["spec"] = said
    world.path("pki.lock").write_text(json.dumps(lock))
    with Store.open_reading(world.root) as store:
        found = Versions.recorded(read_lock(store))
    assert (found.etcd if found is not None else None) == etcd
    assert [action.id for action in world.plan().changes] == ["pki.lock"]
