from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.adoption.audit import audit
from pkigen.adoption.gathered import node_trees
from pkigen.adoption.inspection import inspect
from pkigen.adoption.judgements import judgements
from tests.adoption import kubeadm_trees
from tests.adoption.altered_nodes import AlteredNode, moment, new_ca
from tests.adoption.defects import INFORMATION

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

pytestmark = pytest.mark.live

EXTERNAL_ETCD = {
    "endpoints": ["https://10.0.1.1:2379", "https://10.0.1.2:2379"],
    "caFile": "/etc/etcd/pki/ca.crt",
    "certFile": "/etc/etcd/pki/client.crt",
    "keyFile": "/etc/etcd/pki/client.key",
}
CLUSTERS: dict[str, tuple[str, dict[str, Any]]] = {
    "RSA": ("10.0.0.11", {"encryptionAlgorithm": "RSA-2048"}),
    "ECDSA P-384": ("10.0.0.11", {"encryptionAlgorithm": "ECDSA-P384"}),
    "an endpoint with a name": ("10.0.0.11", {"controlPlaneEndpoint": "api.example.com"}),
    "an endpoint with an address": ("10.0.0.11", {"controlPlaneEndpoint": "10.0.0.100:8443"}),
    "IPv6": (
        "fd00:10::11",
        {"networking": {"serviceSubnet": "fd00:10:96::/112", "podSubnet": "fd00:10:244::/56"}},
    ),
    "dual stack": (
        "10.0.0.11",
        {"networking": {"serviceSubnet": "10.96.0.0/16,fd00:10:96::/112"}},
    ),
    "a certificatesDir": ("10.0.0.11", {"certificatesDir": "/opt/kubernetes/certs"}),
    "external etcd": ("10.0.0.11", {"etcd": {"external": EXTERNAL_ETCD}}),
    "other names and flags": (
        "10.0.0.11",
        {
            "clusterName": "west",
            "networking": {"dnsDomain": "west.example.com"},
            "apiServer": {
                "certSANs": ["api.west.example.com"],
                "extraArgs": [{"name": "secure-port", "value": "8443"}],
            },
        },
    ),
}


def remarkable(place: Path, now: datetime) -> list[str]:
    cluster = inspect(node_trees(place), now=now)
    assert list(judgements(cluster)), "no connection was examined"
    return [
        f"{each.severity}: {each.spot}: {each.rule}: {each.detail}"
        for each in audit(cluster)
        if each.severity is not INFORMATION
    ]


@pytest.mark.parametrize("name", CLUSTERS)
def test_nothing_is_found_in_what_kubeadm_makes(name: str, tmp_path: Path) -> None:
    kubeadm_trees.kubeadm()
    address, cluster = CLUSTERS[name]
    root = kubeadm_trees.control_plane(tmp_path / "cp-1", address=address, cluster=cluster)
    if name == "external etcd":
        kubeadm_trees.external_etcd_client(root)
    assert remarkable(root, moment()) == []


def test_nothing_is_found_in_several_nodes(of_kubeadm: Path, now: datetime) -> None:
    cluster = inspect(node_trees(of_kubeadm), now=now)
    assert [node.name for node in cluster.nodes] == ["cp-1", "cp-2", "cp-3", "worker-1"]
    assert remarkable(of_kubeadm, moment()) == []


def test_nothing_is_found_in_each_node_alone(of_kubeadm: Path) -> None:
    for name in ("cp-1", "cp-2"):
        for place in (of_kubeadm / name, of_kubeadm / name / "etc/kubernetes"):
            assert remarkable(place, moment()) == []


def test_nothing_is_found_in_a_copy_of_etc_kubernetes_alone(of_kubeadm: Path, tmp_path: Path) -> None:
    for name in ("cp-1", "cp-2", "worker-1"):
        shutil.copytree(of_kubeadm / name / "etc/kubernetes", tmp_path / name)
    assert remarkable(tmp_path, moment()) == []


def test_nothing_is_found_in_a_tar(of_kubeadm: Path, tmp_path: Path) -> None:
    archive = tmp_path / "nodes.tar.gz"
    subprocess.run(["tar", "-C", of_kubeadm, "-czf", archive, "."], check=True)
    assert remarkable(archive, moment()) == []


def test_nothing_is_found_without_the_cas_keys(of_kubeadm: Path, tmp_path: Path) -> None:
    """An external CA: kubeadm's controller manager then has no certificate to sign with."""
    shutil.copytree(of_kubeadm / "cp-1", tmp_path / "cp-1", symlinks=True)
    root = tmp_path / "cp-1"
    for name in ("ca", "front-proxy-ca", "etcd/ca"):
        (root / f"etc/kubernetes/pki/{name}.key").unlink()
    kubeadm_trees.run(root, "init", "phase", "control-plane", "all", "--config", "/kubeadm.yaml")
    manifest = (root / "etc/kubernetes/manifests/kube-controller-manager.yaml").read_text()
    assert "--cluster-signing-cert-file=\n" in manifest.replace("''", "").replace('""', "")
    assert remarkable(root, moment()) == []


def test_nothing_is_found_after_a_renewal(of_kubeadm: Path, tmp_path: Path) -> None:
    shutil.copytree(of_kubeadm / "cp-1", tmp_path / "cp-1", symlinks=True)
    root = tmp_path / "cp-1"
    before = (root / "etc/kubernetes/pki/apiserver.crt").read_bytes()
    kubeadm_trees.run(root, "certs", "renew", "all", "--config", "/kubeadm.yaml")
    assert (root / "etc/kubernetes/pki/apiserver.crt").read_bytes() != before
    assert remarkable(root, moment()) == []


def test_nothing_is_found_where_kubelets_have_rotated(
    of_kubeadm: Path, tmp_path: Path, now: datetime
) -> None:
    for name in ("cp-1", "worker-1"):
        shutil.copytree(of_kubeadm / name, tmp_path / name, symlinks=True)
        node = AlteredNode(root=tmp_path / name, now=now)
        node.rotate_kubelet(AlteredNode(root=of_kubeadm / "cp-1", now=now).issuer())
    for place in (tmp_path, tmp_path / "worker-1/etc/kubernetes"):
        found = audit(inspect(node_trees(place), now=moment()))
        assert [each for each in found if each.severity is not INFORMATION and place == tmp_path] == []
        expired = [each for each in found if each.rule == "expired"]
        assert {each.severity for each in expired} == {INFORMATION}, "the replaced certificate was read, too"


def test_a_rotation_under_way_is_no_warning(of_kubeadm: Path, tmp_path: Path, now: datetime) -> None:
    ca = new_ca("kubernetes", now)
    for name in ("cp-1", "cp-2", "cp-3", "worker-1"):
        shutil.copytree(of_kubeadm / name, tmp_path / name, symlinks=True)
        file = tmp_path / name / "etc/kubernetes/pki/ca.crt"
        file.write_bytes(file.read_bytes() + ca.pem)
    found = [
        each for each in audit(inspect(node_trees(tmp_path), now=moment())) if "ca.crt" in each.spot.path
    ]
    assert {(each.rule.value, each.severity) for each in found if each.severity is not INFORMATION} == {
        ("signer-unusable", "error")  # kubeadm's controller manager signs with ca.crt itself, and takes one
    }
