from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from pkigen.cli.app import run
from pkigen.cli.system import System
from tests.adoption import kubeadm_trees
from tests.adoption.altered_nodes import AlteredNode, moment

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

SPEC = """\
apiVersion: pkigen/v1
kind: Cluster
metadata:
  name: prod
spec:
  kubernetesVersion: v1.36.2
  controlPlaneEndpoint: api.prod.example.com:6443
  certificates:
    keyAlgorithm: ECDSA-P256
  nodes:
    - {name: cp-1, roles: [control-plane], addresses: [10.0.0.11]}
    - {name: cp-2, roles: [control-plane], addresses: [10.0.0.12]}
    - {name: cp-3, roles: [control-plane], addresses: [10.0.0.13]}
    - {name: worker-1, roles: [worker], addresses: [10.0.0.21]}
"""
"""The cluster whose nodes are altered: the same by both makers."""


@pytest.fixture(scope="session")
def now() -> datetime:
    return moment()


@pytest.fixture(scope="session")
def of_pkigen(tmp_path_factory: pytest.TempPathFactory, now: datetime) -> Path:
    """The nodes of a cluster by pkigen, with the CAs' keys where kubeadm has them; never changed."""
    place = tmp_path_factory.mktemp("of-pkigen")
    (place / "spec.yaml").write_text(SPEC)
    arguments = ["init", str(place / "spec.yaml"), "-C", str(place / "prod")]
    assert run(arguments, system=System(clock=lambda: now)) == 0
    for node in ("cp-1", "cp-2", "cp-3"):
        pki = place / "prod/nodes" / node / "etc/kubernetes/pki"
        for name in ("ca", "front-proxy-ca", "etcd/ca"):
            shutil.copy2(place / "prod/pki" / f"{name}.key", pki / f"{name}.key")
    return place / "prod/nodes"


@pytest.fixture(scope="session")
def of_kubeadm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same cluster by kubeadm."""
    kubeadm_trees.kubeadm()
    place = tmp_path_factory.mktemp("of-kubeadm")
    cluster = {"controlPlaneEndpoint": "api.prod.example.com:6443"}
    first = kubeadm_trees.control_plane(place / "cp-1", cluster=cluster)
    for number in (2, 3):
        kubeadm_trees.control_plane(
            place / f"cp-{number}",
            name=f"cp-{number}",
            address=f"10.0.0.1{number}",
            cluster=cluster,
            first=first,
        )
    kubeadm_trees.worker(place / "worker-1", first, name="worker-1", address="10.0.0.21", cluster=cluster)
    return place


@pytest.fixture
def node(of_pkigen: Path, tmp_path: Path, now: datetime) -> AlteredNode:
    """A control plane node of one's own, alone."""
    shutil.copytree(of_pkigen / "cp-1", tmp_path / "cp-1", symlinks=True)
    return AlteredNode(root=tmp_path / "cp-1", now=now)
