"""What a name on the command line means for a renewal, and what a renewal leaves alone."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.generations import CA, Phase, Rotations
from pkigen.desired.inventory import derive
from pkigen.errors import AuthorityError, PkigenError, RotationError, UsageError
from pkigen.reconcile.plan import Plan, Reissue, Renew, Rewrite
from pkigen.reconcile.planner import Planner
from pkigen.reconcile.renewal import (
    ending_authorities,
    ids_of,
    leaf_ids,
    require_keys_here,
    require_renewable,
    require_renewals_only,
)
from pkigen.state.reasons import Reason
from tests.rotation.phases import Photograph
from tests.samples import CP1, CP2, ENDPOINT, NOW, W1, spec

if TYPE_CHECKING:
    from datetime import datetime

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.rendering import Renderer
    from pkigen.reconcile.plan import Action

INVENTORY = derive(spec(CP1, CP2, W1, users=[{"name": "dev1"}], **ENDPOINT))


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("apiserver", ("cp-1/apiserver", "cp-2/apiserver")),
        ("cp-2/apiserver", ("cp-2/apiserver",)),
        ("user:dev1", ("user:dev1",)),
        ("etcd-ca", ("etcd-ca",)),
    ],
)
def test_a_name_means_one_certificate_or_those_of_all_nodes(name: str, ids: tuple[str, ...]) -> None:
    assert ids_of(INVENTORY, name) == ids


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("apisrver", "did you mean apiserver?"),
        ("cp-3/apiserver", "did you mean cp-2/apiserver?"),
        ("front-prxy", "did you mean front-proxy?"),
        ("all", "every leaf is renewed by --all"),
        ("zzz", "choose from admin.conf, apiserver, "),
    ],
)
def test_a_name_that_means_nothing(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match="there is no certificate") as refused:
        ids_of(INVENTORY, name)
    assert refused.value.hint.startswith(hint)


def test_what_there_is_to_choose_from_has_no_ca() -> None:
    with pytest.raises(UsageError) as refused:
        ids_of(INVENTORY, "zzz")
    names = refused.value.hint.removeprefix("choose from ").split(", ")
    assert "apiserver" in names
    assert not {"ca", "etcd-ca", "front-proxy-ca"} & set(names)


def test_no_ca_is_a_leaf() -> None:
    leaves = leaf_ids(INVENTORY)
    assert {"cp-1/apiserver", "user:dev1"} <= leaves
    assert not leaves & {"ca", "etcd-ca", "front-proxy-ca"}


def test_a_node_that_has_its_key_alone_is_asked() -> None:
    inventory = derive(spec(CP1, {**W1, "keys": "node"}))
    leaf = next(each.id for each in inventory.certificates.values() if each.key_is_elsewhere)
    with pytest.raises(UsageError, match=r"is only on worker-1: the node must request") as refused:
        require_keys_here(inventory, [leaf], {leaf})
    assert refused.value.hint.startswith("`pkigen airgap node request --out MEDIUM SPEC` there")
    require_keys_here(inventory, [leaf, "apiserver"], {leaf, "cp-1/apiserver"})
    require_keys_here(inventory, [], {leaf})


def plan(*actions: Action) -> Plan:
    return Plan(actions=actions)


def action(kind: type[Action], identifier: str) -> Action:
    return kind(id=identifier, paths=(identifier,), node=None, reason=Reason.REQUESTED)


def test_a_renewed_ca_reaches_the_files_that_carry_it_and_no_others() -> None:
    bundle = "nodes/cp-1/etc/kubernetes/pki/ca.crt"
    require_renewals_only(plan(action(Renew, "ca"), action(Rewrite, bundle)), INVENTORY)
    with pytest.raises(PkigenError, match=r"1 other change is pending, such as rewrite nodes/cp-1"):
        require_renewals_only(plan(action(Renew, "etcd-ca"), action(Rewrite, bundle)), INVENTORY)
    with pytest.raises(PkigenError, match=r"2 other changes are pending, such as reissue cp-1/apiserver"):
        require_renewals_only(
            plan(action(Reissue, "cp-1/apiserver"), action(Rewrite, "x"), action(Renew, "ca")), INVENTORY
        )
    reached = [action(Reissue, bundle), action(Renew, "ca")]
    with pytest.raises(PkigenError, match="1 other change") as refused:
        require_renewals_only(plan(*reached), INVENTORY)
    assert refused.value.hint.startswith("review them with `pkigen plan`")
    # A CA that is issued anew is not renewed: what it would reach is a change of its own.
    with pytest.raises(PkigenError, match="2 other changes"):
        require_renewals_only(plan(action(Reissue, "ca"), action(Rewrite, bundle)), INVENTORY)


BOT = {
    "kind": "ServiceAccount",
    "name": "bot",
    "namespace": "web",
    "uid": "3f2b0c1e-8d5a-4c07-9b6e-2a1d4f5e6c7b",
}


def test_tokens_are_renewed_by_name_and_with_all() -> None:
    inventory = derive(spec(CP1, users=[BOT]))
    (token,) = inventory.tokens
    assert token in leaf_ids(inventory)
    assert ids_of(inventory, token) == (token,)
    require_keys_here(inventory, [token], {token})
    with pytest.raises(UsageError) as refused:
        ids_of(inventory, token[:-1] + "x")
    assert refused.value.hint == f"did you mean {token}?"


def test_a_ca_of_a_rotation_is_not_renewed() -> None:
    rotating = derive(spec(CP1), rotations=Rotations(phases={"ca": Phase.PREPARED}))
    with pytest.raises(UsageError, match="ca-next is a CA of a rotation in progress") as refused:
        ids_of(rotating, "ca-next")
    assert refused.value.hint == "finish the rotation, or roll it back"
    with pytest.raises(RotationError, match=r"ca is being rotated") as rotated:
        renewable(rotating, {"ca"})
    assert rotated.value.hint == "finish the rotation, or roll it back, then renew"
    renewable(rotating, {"etcd-ca"})


def certificate(name: str, issuer: Issuer | None = None, days: int = 1000) -> Issuer:
    content = CertificateContent(
        subject=Subject(common_name=name), sans=SANs.of(), profile=Profile.CA, validity=timedelta(days=days)
    )
    key = ec.generate_private_key(ec.SECP256R1())
    issued = issue(content, key=key, issuer=issuer, now=NOW, entropy=os.urandom)
    return Issuer(certificate=issued.certificate, key=key)


OURS = certificate("kubernetes")
TREE = Photograph(
    {
        "pki/ca.crt": certificate_pem(OURS.certificate),
        "pki/etcd/ca.crt": certificate_pem(certificate("etcd", days=365).certificate),
        "pki/front-proxy-ca.crt": certificate_pem(certificate("proxy", days=364).certificate),
    }
)


def planner(inventory: Inventory, now: datetime = NOW) -> Planner:
    return Planner(inventory=inventory, renderer=cast("Renderer", None), now=now)


def renewable(inventory: Inventory, ids: set[str], tree: Photograph = TREE) -> None:
    require_renewable(planner(inventory), tree, ids, root=Path("/srv/prod"))


def test_a_ca_is_renewed_alone_and_also_when_it_has_ended() -> None:
    renewable(INVENTORY, {"ca", "etcd-ca"})
    require_renewable(planner(INVENTORY, NOW + timedelta(days=2000)), TREE, {"ca"}, root=Path("/srv"))
    with pytest.raises(UsageError, match="cannot be renewed together with other") as refused:
        renewable(INVENTORY, {"ca", "cp-1/apiserver"})
    assert refused.value.hint == "renew the other certificates afterwards"


def test_only_its_issuer_renews_an_intermediate() -> None:
    root = certificate("root")
    below = Photograph(
        {**TREE.files, "pki/ca.crt": certificate_pem(certificate("kubernetes", root, 900).certificate)}
    )
    with pytest.raises(AuthorityError, match="ca is an intermediate: only its issuer") as refused:
        renewable(INVENTORY, {"ca"}, below)
    assert refused.value.hint == "have its issuer renew it, replace the file, then `pkigen apply`"
    renewable(INVENTORY, {"etcd-ca"}, below)


@pytest.mark.parametrize(
    ("keys", "hint"),
    [
        ("site", "request it: `pkigen airgap authority request ca -C /srv/prod`"),
        (
            "offline",
            "at the authority: `pkigen airgap authority renew SPEC ca`; the next answer contains it",
        ),
    ],
)
def test_only_the_offline_authority_renews_its_cas(keys: str, hint: str) -> None:
    inventory = derive(spec(CP1, certificates={"authority": "offline", "caKeys": keys}))
    with pytest.raises(AuthorityError, match="ca comes from the offline authority") as refused:
        renewable(inventory, {"ca"})
    assert refused.value.hint == hint


def test_which_cas_end_sooner_than_a_leaf_would() -> None:
    found = dict(ending_authorities(planner(INVENTORY), TREE))
    assert list(found) == [CA.FRONT_PROXY]
    assert found[CA.FRONT_PROXY] == NOW + timedelta(days=364)
    later = ending_authorities(planner(INVENTORY, NOW + timedelta(days=500)), TREE)
    assert {ca for ca, _ in later} == {CA.ETCD, CA.FRONT_PROXY}
