"""A name means the same certificates and tokens to `explain` and to `renew`."""

from __future__ import annotations

import pytest

from pkigen.access import explanation
from pkigen.desired.inventory import derive
from pkigen.reconcile.renewal import ids_of
from pkigen.state.views import EmptyView
from tests.samples import CP1, NOW, W1, spec

BOT = {
    "kind": "ServiceAccount",
    "name": "bot",
    "namespace": "web",
    "uid": "3f2b0c1e-8d5a-4c07-9b6e-2a1d4f5e6c7b",
}
INVENTORY = derive(spec(CP1, W1, users=[{"name": "dev1"}, BOT]))
TOKEN = {"serviceaccount:web:bot"}
KUBELET = {"cp-1/apiserver-kubelet-client"}

MEANINGS = {
    "cp-1/apiserver": {"cp-1/apiserver"},
    "apiserver": {"cp-1/apiserver"},
    "kubelet.conf": {"cp-1/kubelet.conf", "worker-1/kubelet.conf"},
    "dev1": {"user:dev1"},
    "user:dev1": {"user:dev1"},
    "bot": TOKEN,
    "web/bot": TOKEN,
    "serviceaccount:web:bot": TOKEN,
    "system:serviceaccount:web:bot": TOKEN,
    "kubernetes-admin": {"cp-1/admin.conf"},
    "system:node:worker-1": {"worker-1/kubelet.conf"},
    "kube-scheduler": {"cp-1/scheduler.conf"},
}


@pytest.mark.parametrize("name", MEANINGS)
def test_what_a_name_means(name: str) -> None:
    assert set(ids_of(INVENTORY, name)) == MEANINGS[name]
    cluster = explanation.Cluster(inventory=INVENTORY, reader=EmptyView(), now=NOW)
    assert explanation.explain(cluster, name)
