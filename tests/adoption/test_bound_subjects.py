"""Certificates whose rights hang on what the cluster itself says of their subject keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from pkigen.crypto.names import subject_of
from tests.adoption.altered_nodes import PKI, AlteredNode, name_of
from tests.adoption.test_adopt import Adopted, adopted, copy

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["adopted", "copy"]  # the fixtures
NODES = ("cp-1", "cp-2", "cp-3")
CLIENT = "apiserver-kubelet-client"


@pytest.fixture
def older(copy: Path, adopted: Adopted) -> Path:
    """As kubeadm v1.35 leaves it: no binding knows the API servers' user, but their group has one."""
    for name in NODES:
        node = AlteredNode(root=copy / name, now=adopted.now)
        subject = name_of("kube-apiserver-kubelet-client", "kubeadm:cluster-admins")
        node.reissue(CLIENT, node.issuer(), subject=subject)
        node.reissue("front-proxy-client", node.issuer("front-proxy-ca"), subject=name_of("aggregator"))
        node.set_flag("kube-apiserver", "requestheader-allowed-names", "aggregator")
    return copy


def test_a_renewal_keeps_them(older: Path, adopted: Adopted) -> None:
    assert adopted.adopt(older) == 0, adopted.err
    assert "subject-changed" not in adopted.out
    assert yaml.safe_load(adopted.spec.read_text())["spec"]["certificates"]["overrides"] == {
        CLIENT: {"groups": ["kubeadm:cluster-admins"]},
        "front-proxy-client": {"user": "aggregator"},
    }
    assert adopted.planned() == []
    before = [adopted.certificate(f"{name}/{PKI}/{CLIENT}.crt") for name in NODES]
    assert adopted.run("renew", "--all", "-C", str(adopted.root), "--yes") == 0, adopted.err
    after = [adopted.certificate(f"{name}/{PKI}/{CLIENT}.crt") for name in NODES]
    assert [each.subject for each in after] == [each.subject for each in before]
    assert all(one.serial_number != other.serial_number for one, other in zip(before, after, strict=True))
    proxy = adopted.certificate(f"cp-1/{PKI}/front-proxy-client.crt")
    assert subject_of(proxy).common_name == "aggregator"
    assert adopted.planned() == []
    # Once the binding for the user is in the cluster, the group can go.
    adopted.edit(certificates={"keyAlgorithm": "ECDSA-P256"}, manage=["addons"])
    planned = [(action, reason) for action, which, reason in adopted.planned() if which.endswith(CLIENT)]
    assert planned == [("reissue", "subject-changed")] * len(NODES)


def test_nodes_that_differ_are_kept_until_they_are_due(copy: Path, adopted: Adopted) -> None:
    """One administrator of before v1.29 does not make three."""
    node = AlteredNode(root=copy / "cp-1", now=adopted.now)
    node.reissue_login("admin.conf", node.issuer(), subject=name_of("kubernetes-admin", "system:masters"))
    assert adopted.adopt(copy) == 0, adopted.err
    assert "overrides" not in adopted.spec.read_text()
    assert "subject-changed" in adopted.out
