"""kubeadm's record of a cluster, beside the copies of its nodes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.adoption.test_adopt import Adopted, adopted

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["adopted"]  # the fixture
RECORD = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
clusterName: west
kubernetesVersion: v1.36.2
controlPlaneEndpoint: api.prod.example.com:6443
apiServer: {certSANs: [api.prod.example.com, 10.0.0.11%s]}
"""


@pytest.fixture
def one(of_pkigen: Path, tmp_path: Path) -> Path:
    shutil.copytree(of_pkigen / "cp-1", tmp_path / "copies/cp-1", symlinks=True)
    return tmp_path / "copies"


def beside(copies: Path, more: str = "") -> None:
    found = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kubeadm-config"}}
    content = {**found, "data": {"ClusterConfiguration": RECORD % more}}
    (copies / "kubeadm-config.yaml").write_text(yaml.safe_dump(content))


def test_a_path_may_hold_a_sign_of_equation(one: Path, adopted: Adopted) -> None:
    place = one.rename(one.with_name("a=b"))
    assert adopted.adopt(f"cp-1={place / 'cp-1'}", options=("--dry-run",)) == 0, adopted.err


def test_what_it_asks_of_a_certificate_is_compared(one: Path, adopted: Adopted) -> None:
    beside(one)
    assert adopted.run("verify", str(one)) == 0, adopted.out
    beside(one, more=", old.example.com")
    assert adopted.run("verify", str(one)) == 4
    assert "record-differs: it does not name old.example.com, as kubeadm" in adopted.out


@pytest.mark.parametrize("version", ["v1.36.2", "v1.37.0"])
def test_a_record_that_the_clusters_kubeadm_cannot_read_is_told(
    version: str, one: Path, adopted: Adopted
) -> None:
    for manifest in (one / "cp-1/etc/kubernetes/manifests").iterdir():
        manifest.write_text(manifest.read_text().replace(":v1.36.2", f":{version}"))
    beside(one)
    record = one / "kubeadm-config.yaml"
    record.write_text(record.read_text().replace("v1beta4", "v1beta3"))
    assert adopted.adopt(one, options=("--dry-run",)) == 0, adopted.err
    is_told = "the ClusterConfiguration is v1beta3, which the kubeadm of v1.37 does not read" in adopted.err
    assert is_told == (version == "v1.37.0")


def test_it_is_found_when_the_cluster_is_taken_over(one: Path, adopted: Adopted) -> None:
    beside(one)
    (one / "other.yaml").write_text("ClusterConfiguration: [")
    assert adopted.adopt(one, options=("--dry-run",)) == 0, adopted.err
    assert "name: west" in adopted.out
