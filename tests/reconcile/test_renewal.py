"""What a name on the command line means for a renewal, and what a renewal leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pkigen.desired.inventory import derive
from pkigen.errors import PkigenError, UsageError
from pkigen.reconcile.plan import Plan, Reissue, Renew, Rewrite
from pkigen.reconcile.renewal import ids_of, leaf_ids, require_keys_here, require_renewals_only
from pkigen.state.reasons import Reason
from tests.samples import CP1, CP2, ENDPOINT, W1, spec

if TYPE_CHECKING:
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
        ("all", "every leaf is renewed by --all"),
        ("zzz", "choose from admin.conf, apiserver, "),
    ],
)
def test_a_name_that_means_nothing(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match="there is no certificate") as refused:
        ids_of(INVENTORY, name)
    assert refused.value.hint.startswith(hint)


def test_no_ca_is_a_leaf() -> None:
    leaves = leaf_ids(INVENTORY)
    assert {"cp-1/apiserver", "user:dev1"} <= leaves
    assert not leaves & {"ca", "etcd-ca", "front-proxy-ca"}


def test_a_node_that_has_its_key_alone_is_asked() -> None:
    inventory = derive(spec(CP1, {**W1, "keys": "node"}))
    leaf = next(each.id for each in inventory.certificates.values() if each.key_is_elsewhere)
    with pytest.raises(UsageError, match=r"is only on worker-1: the node must request"):
        require_keys_here(inventory, [leaf], {leaf})
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
