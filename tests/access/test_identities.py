"""Which names a credential may carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pkigen.access.identities import approved
from pkigen.desired.certificates import CERTIFICATES
from pkigen.desired.inventory import derive
from pkigen.errors import AccessError
from pkigen.spec.loader import load
from tests.access.made_requests import plain, request

if TYPE_CHECKING:
    from tests.access.team_cluster import TeamCluster


@pytest.mark.parametrize(
    ("user", "groups", "said"),
    [
        ("system:admin", [], "the user 'system:admin' is reserved for Kubernetes"),
        ("ann", ["system:masters"], "the group 'system:masters' is reserved for Kubernetes"),
        ("ann", ["kubeadm:cluster-admins"], "'kubeadm:cluster-admins' is reserved for Kubernetes"),
        ("kubernetes-admin", [], "is the identity of this cluster's cp-1/admin.conf"),
        ("kube-apiserver", [], "the user 'kube-apiserver' is reserved for Kubernetes"),
        ("system:node:worker-1", [], "is the identity of this cluster's worker-1/kubelet.conf"),
        ("front-proxy-client", [], None),
        ("", [], "must not be empty"),
        ("ann", [""], "must not be empty"),
        ("a b ", [], "must not begin or end with a space"),
        ("x" * 65, [], "65 characters"),
        ("ann", ["a\u200bb"], "must be one line of printable text, without U+200B"),
        ("ann", ["SYSTEM:masters"], "the group 'SYSTEM:masters' is reserved for Kubernetes"),
        ("CORP\\ann", ["Domain Users", "/devs"], None),
    ],
)
def test_whom_nobody_may_approve(place: TeamCluster, user: str, groups: list[str], said: str | None) -> None:
    options = [word for group in groups for word in ("--group", group)]
    result = place.sign(request(), *options, user=user)
    if said is None:
        assert result.code == 0, "another CA decides about that one"
        return
    assert (result.code, result.out) == (1, "")
    assert said in result.error
    if "must" not in said and "65" not in said:
        assert "cannot be revoked by RBAC" in result.hint
        reason = ("--allow-system-identity", "runbook 7")
        assert place.sign(request(plain(user, *groups)), *options, *reason, user=user).code == 0
        assert place.ledger()[-1]["systemIdentity"] == "runbook 7"
        place.assert_clean()


def test_the_clusters_own_identities_are_taken(place: TeamCluster) -> None:

    inventory = derive(load(place.spec, kinds=CERTIFICATES).spec)
    assert approved("dev1", (), inventory=inventory, reason=None).common_name == "dev1"
    with pytest.raises(AccessError, match="is the identity of this cluster's cp-1/apiserver-kubelet-client"):
        approved("kube-apiserver-kubelet-client", (), inventory=inventory, reason=None)
