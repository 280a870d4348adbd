"""What `apply` wants `--force` for."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.desired.inventory import Inventory, derive
from pkigen.reconcile.plan import Action, Ask, Create, Keep, Plan, Reissue, Remove, Renew, Rewrite
from pkigen.reconcile.risks import (
    RISKS,
    RiskCase,
    changed_authority,
    mass_reissue,
    new_bundle_key,
    new_ca,
    new_encryption_key,
    new_service_account_key,
    removed_ca_key,
    removed_encryption_key,
    risks,
    unread_ciphers,
    versions_at_once,
)
from pkigen.state.authority_record import AuthorityChange, AuthorityComparison, AuthorityDifference
from pkigen.state.reasons import Reason
from tests.reconcile.altered_trees import follow
from tests.samples import CP1, CP2, ENDPOINT, NOW, W1, W2, World, spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ENCRYPTION_CONFIG = "nodes/cp-1/etc/kubernetes/pki/encryption-config.yaml"
API_SERVER_MANIFEST = "nodes/cp-1/etc/kubernetes/manifests/kube-apiserver.yaml"


def risks_of(world: World) -> tuple[str, ...]:
    return risks(world.plan(), world.inventory)


def test_no_risk_in_ordinary_changes(world: World, tmp_path: Path) -> None:
    assert risks_of(World(root=tmp_path / "new", cluster=world.cluster)) == ()
    assert risks_of(world) == ()
    follow(world, CP1, W1, W2)
    assert risks_of(world) == ()
    later = World(root=world.root, cluster=world.cluster, now=NOW + timedelta(days=364))
    assert risks_of(later) == ()  # all are due, which is what renewal is for


def test_a_new_ca_is_a_risk(world: World) -> None:
    for kind in ("crt", "key"):
        world.path(f"pki/front-proxy-ca.{kind}").unlink()
    sentence, changed = risks_of(world)
    assert "it makes a new front-proxy-ca CA although certificates of the present one exist" in sentence
    assert changed.startswith("pki/front-proxy-ca.crt is missing, and the ledger records it (sha256:")


def test_reissuing_more_than_half_is_a_risk(world: World) -> None:
    follow(world, certificates={"keyAlgorithm": "ECDSA-P384"})
    sentences = risks_of(world)
    assert len(sentences) == 1
    assert re.fullmatch(
        r"it reissues (\d+) of \1 certificates for a reason other than expiry \(algorithm-changed\)",
        sentences[0],
    )


def test_a_new_service_account_key_is_a_risk(world: World) -> None:
    world.path("pki/sa.key").unlink()
    assert "it replaces the service account key" in risks_of(world)[0]
    world.path("pki/sa.key").write_bytes(b"damaged")
    assert "it replaces the service account key" in risks_of(world)[0]


@pytest.mark.parametrize("damage", [None, b"damaged"])
def test_a_new_encryption_key_is_a_risk(damage: bytes | None, world: World) -> None:
    if damage is None:
        world.path("pki/encryption.key").unlink()
    else:
        world.path("pki/encryption.key").write_bytes(damage)
    assert (
        "Secrets that etcd holds encrypted with the present key cannot be read any more" in risks_of(world)[0]
    )


def test_giving_up_encryption_is_a_risk(world: World) -> None:
    world.follow(spec(CP1, W1))
    assert "it removes pki/encryption.key" in risks_of(world)[0]


@pytest.mark.parametrize(
    ("encryption", "lost"),
    [
        ({"provider": "aescbc"}, "what secretbox has encrypted (secrets)"),
        ({"resources": ["configmaps"]}, "what secretbox has encrypted (secrets)"),
        ({"resources": ["*.apps"]}, "what secretbox has encrypted (secrets)"),
        ({"resources": ["secrets", "configmaps"]}, None),
        ({"resources": ["*."]}, None),
        ({"resources": ["*.*"]}, None),
    ],
)
def test_what_api_servers_could_not_read_any_more_is_a_risk(
    encryption: dict[str, Any], lost: str | None, world: World
) -> None:
    """With kube-apiserver 1.36.2: one that cannot read a single Secret does not become ready."""
    follow(world, encryption=encryption)
    told = risks_of(world)
    assert len(told) == (lost is not None)
    assert all(f"it has API servers no longer read {lost}" in sentence for sentence in told)


def test_everything_is_more_than_a_part(world: World) -> None:
    follow(world, encryption={"resources": ["*.*"]})
    world.apply()
    follow(world, encryption={"resources": ["*."]})
    assert "what secretbox has encrypted (*.*)" in risks_of(world)[0]


def test_giving_up_the_etcd_ca_is_a_risk(world: World) -> None:
    follow(world, etcd={"external": {"endpoints": ["http://10.0.1.1:2379"]}})
    assert "it removes pki/etcd/ca.key, a CA's private key" in risks_of(world)


# -- each risk, of plans made by hand -----------------------------------------------------------------


def made_plan(*actions: Action) -> Plan:
    return Plan(actions=actions)


def action(kind: type[Action], identifier: str, reason: Reason | None = None, *paths: str) -> Action:
    return kind(id=identifier, paths=paths, node=None, reason=reason)


@pytest.fixture(scope="module")
def inventory() -> Inventory:
    return derive(spec(CP1, W1, encryption={}))


API_SERVER = action(Keep, "cp-1/apiserver")

# Which risk, what the plan does, and how its sentence begins; None where it is no risk.
RISK_TABLE: dict[str, tuple[Callable[[RiskCase], Iterator[str]], tuple[Action, ...], str | None]] = {
    "new-ca": (new_ca, (action(Create, "ca", Reason.MISSING), API_SERVER), "it makes a new ca CA"),
    "damaged-ca": (new_ca, (action(Reissue, "ca", Reason.UNREADABLE), API_SERVER), "it makes a new ca CA"),
    "new-ca-that-signed-nothing": (
        new_ca,
        (action(Create, "etcd-ca", Reason.MISSING), API_SERVER),
        None,
    ),
    "first-ca": (
        new_ca,
        (action(Create, "ca", Reason.MISSING), action(Create, "cp-1/apiserver", Reason.MISSING)),
        None,
    ),
    "first-ca-after-certificates-that-await-their-nodes": (
        new_ca,
        (
            action(Create, "ca", Reason.MISSING),
            action(Ask, "worker-1/kubelet.conf", Reason.AWAITS_REQUEST),
        ),
        None,
    ),
    "renewed-ca": (new_ca, (action(Renew, "ca", Reason.REQUESTED), API_SERVER), None),
    "removed-ca-key": (
        removed_ca_key,
        (action(Remove, "pki/etcd/ca.key", Reason.NOT_WANTED, "pki/etcd/ca.crt", "pki/etcd/ca.key"),),
        "it removes pki/etcd/ca.key, a CA's private key",
    ),
    "removed-copy-of-a-ca-key": (
        removed_ca_key,
        (action(Remove, "nodes/cp-2", Reason.NOT_WANTED, "nodes/cp-2/etc/kubernetes/pki/ca.key"),),
        None,
    ),
    "new-sa": (
        new_service_account_key,
        (action(Create, "sa", Reason.MISSING), API_SERVER),
        "it replaces the service account key",
    ),
    "damaged-sa": (
        new_service_account_key,
        (action(Reissue, "sa", Reason.UNREADABLE),),
        "it replaces the service account key",
    ),
    "first-sa": (new_service_account_key, (action(Create, "sa", Reason.MISSING),), None),
    "rewritten-sa": (new_service_account_key, (action(Rewrite, "sa", Reason.MODE), API_SERVER), None),
    "removed-encryption-key": (
        removed_encryption_key,
        (action(Remove, "pki/encryption.key", Reason.NOT_WANTED, "pki/encryption.key"),),
        "it removes pki/encryption.key",
    ),
    "new-encryption-key": (
        new_encryption_key,
        (
            action(Create, "encryption-key", Reason.MISSING, "pki/encryption.key"),
            action(Rewrite, ENCRYPTION_CONFIG, Reason.CONTENT_CHANGED, ENCRYPTION_CONFIG),
        ),
        "it makes a new pki/encryption.key",
    ),
    "first-encryption-key": (
        new_encryption_key,
        (
            action(Create, "encryption-key", Reason.MISSING, "pki/encryption.key"),
            action(Create, ENCRYPTION_CONFIG, Reason.MISSING, ENCRYPTION_CONFIG),
        ),
        None,
    ),
    "sealed-encryption-key": (
        new_encryption_key,
        (
            action(Rewrite, "encryption-key", Reason.NOT_SEALED, "pki/encryption.key"),
            action(Keep, ENCRYPTION_CONFIG),
        ),
        None,
    ),
    "first-encryption-key-of-a-running-cluster": (
        new_encryption_key,
        (
            action(Create, "encryption-key", Reason.MISSING, "pki/encryption.key"),
            action(Create, ENCRYPTION_CONFIG, Reason.MISSING, ENCRYPTION_CONFIG),
            action(Rewrite, API_SERVER_MANIFEST, Reason.CONTENT_CHANGED, API_SERVER_MANIFEST),
        ),
        None,
    ),
    "damaged-bundle-key": (
        new_bundle_key,
        (action(Reissue, "bundle-key", Reason.UNREADABLE, "pki/bundle.key"),),
        "it makes a new pki/bundle.key although there was one",
    ),
    "first-bundle-key": (
        new_bundle_key,
        (action(Create, "bundle-key", Reason.MISSING, "pki/bundle.key"),),
        None,
    ),
}


@pytest.mark.parametrize("name", RISK_TABLE)
def test_each_risk(name: str, inventory: Inventory) -> None:
    risk, actions, beginning = RISK_TABLE[name]
    sentences = tuple(risk(RiskCase(plan=made_plan(*actions), inventory=inventory)))
    assert len(sentences) == (beginning is not None)
    assert all(sentence.startswith(beginning or "") for sentence in sentences)
    # A plan with this one risk is said to have it, and no other.
    assert risks(made_plan(*actions), inventory) == sentences


def test_a_control_plane_node_that_joins_does_not_hide_a_new_encryption_key() -> None:
    inventory = derive(spec(CP1, CP2, encryption={}, **ENDPOINT))
    key = "pki/encryption.key"
    made = made_plan(
        action(Create, "encryption-key", Reason.MISSING, key),
        action(Rewrite, ENCRYPTION_CONFIG, Reason.CONTENT_CHANGED, ENCRYPTION_CONFIG),
        action(Create, ENCRYPTION_CONFIG.replace("cp-1", "cp-2"), Reason.MISSING),
    )
    (sentence,) = risks(made, inventory)
    assert sentence.startswith(f"it makes a new {key}")


def test_every_risk_has_a_case() -> None:
    # Below, and in tests/state/test_authority_record.py, test_encrypted_data.py and test_version_steps.py.
    others = {mass_reissue, changed_authority, unread_ciphers, versions_at_once}
    assert set(RISKS) - {risk for risk, _, _ in RISK_TABLE.values()} == others


@pytest.mark.parametrize(("reissued", "existing", "dangerous"), [(5, 10, False), (6, 10, True), (1, 1, True)])
def test_more_than_half_is_too_many(
    reissued: int, existing: int, inventory: Inventory, *, dangerous: bool
) -> None:
    """Not two thirds, and what is made for the first time is no part of the whole."""
    leaves = [identifier for identifier, item in inventory.certificates.items() if item.issuer is not None]
    actions = [action(Reissue, each, Reason.ALGORITHM_CHANGED) for each in leaves[:reissued]]
    actions += [action(Keep, each) for each in leaves[reissued:existing]]
    actions += [action(Create, each, Reason.MISSING) for each in leaves[existing:]]
    sentence = f"it reissues {reissued} of {existing} certificates for a reason other than expiry"
    told = (f"{sentence} (algorithm-changed)",) if dangerous else ()
    assert risks(made_plan(*actions), inventory) == told


def test_what_is_renewed_is_not_counted(inventory: Inventory) -> None:
    leaves = [identifier for identifier, item in inventory.certificates.items() if item.issuer is not None]
    renewals = [action(Renew, each, Reason.EXPIRES_SOON) for each in leaves]
    assert risks(made_plan(*renewals), inventory) == ()


def test_a_lost_authority_is_told_by_the_first_thing_that_is_missing(inventory: Inventory) -> None:
    missing = tuple(
        AuthorityChange(
            path=path,
            difference=AuthorityDifference.MISSING,
            recorded=f"sha256:{path}",
            found=None,
            witness=witness,
        )
        for path, witness in (("pki/ca.crt", "pki.lock"), ("pki/sa.pub", "the ledger"))
    )
    found = AuthorityComparison(changes=missing, is_empty=True, is_blank=False)
    (sentence,) = risks(Plan(actions=(), authority=found), inventory)
    assert sentence.startswith(
        "pki/ holds no authority, and pki.lock records one (pki/ca.crt sha256:pki/ca.crt): "
        "this makes a NEW authority"
    )
    found = replace(found, is_empty=False)
    assert risks(Plan(actions=(), authority=found), inventory) == tuple(map(str, missing))
