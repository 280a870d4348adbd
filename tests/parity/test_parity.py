"""Whole trees of `pkigen init` and of a real kubeadm for the same configuration, judged by `compare.py`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.program import program
from tests.desired.rendering.reference_programs import find, need_root

HERE = Path(__file__).resolve().parent
CASES = ("01-single", "02-ha")
API = "kubeadm.k8s.io/v1beta4"
OLD_API = "kubeadm.k8s.io/v1beta3"
PKI = "/etc/kubernetes/pki"


def _describe(directory: Path, to: Path) -> Path:
    done = subprocess.run(
        [sys.executable, HERE / "pki_inventory.py", directory], capture_output=True, check=True
    )
    to.write_bytes(done.stdout)
    return to


def _compare(expected: Path, actual: Path) -> list[str]:
    """The differences that `compare.py` prints."""
    done = subprocess.run(
        [sys.executable, HERE / "compare.py", expected, actual], capture_output=True, check=False, text=True
    )
    *differences, count = done.stdout.split("\n")[:-1]
    found = [line for line in differences if line]
    assert count == f"{len(found)} differences from kubeadm", done.stderr
    assert bool(done.returncode) is bool(found)
    return found


@pytest.mark.parametrize("case", CASES)
def test_the_given_cases(case: str, tmp_path: Path) -> None:
    result = program("init", HERE / case / "kubeadm.yaml", "-C", tmp_path / "tree")
    assert (result.code, result.err) == (0, "")
    kubernetes = tmp_path / "tree/nodes/cp1/etc/kubernetes"
    actual = _describe(kubernetes, tmp_path / "actual.json")
    assert _compare(HERE / case / "expected.json", actual) == []
    # The comparison sees what is wrong: otherwise it would say nothing here.
    kubernetes.joinpath("admin.conf").chmod(0o644)
    kubernetes.joinpath("pki/apiserver.crt").write_bytes(
        kubernetes.joinpath("pki/front-proxy-client.crt").read_bytes()
    )
    spoilt = _compare(HERE / case / "expected.json", _describe(kubernetes, tmp_path / "spoilt.json"))
    assert any("admin.conf mode" in line for line in spoilt)
    assert any("pki/apiserver.crt dns" in line for line in spoilt)


def _flags(**flags: str) -> list[dict[str, str]]:
    return [{"name": name.replace("_", "-"), "value": value} for name, value in flags.items()]


REAL: dict[str, dict[str, Any]] = {
    "IPv6, ECDSA-P384, other port and folder": {
        "address": "fd00:10::11",
        "port": 7443,
        "encryptionAlgorithm": "ECDSA-P384",
        "certificatesDir": "/srv/certificates",
        "controlPlaneEndpoint": "[fd00:10::10]:8443",
        "networking": {"serviceSubnet": "fd00:10:96::/112"},
    },
    "dual stack, RSA-3072, names, lifetimes": {
        "encryptionAlgorithm": "RSA-3072",
        "clusterName": "prod",
        "controlPlaneEndpoint": "api.example.com",
        "certificateValidityPeriod": "100h30m0s",
        "caCertificateValidityPeriod": "1000h",
        "networking": {
            "serviceSubnet": "10.96.0.0/16,fd00:10:96::/112",
            "podSubnet": "10.244.0.0/16,fd00:10:244::/56",
            "dnsDomain": "k8s.example.com",
        },
        "apiServer": {
            "certSANs": ["*.apps.example.com", "API.Example.COM", "10.1.1.1", "fd00::99", "localhost"]
        },
        "etcd": {
            "local": {
                "serverCertSANs": ["*.etcd.example.com", "10.2.2.2"],
                "peerCertSANs": ["peer.example.com", "fd00::5"],
            }
        },
    },
    "external etcd, ECDSA-P256 by the gate, flags": {
        "featureGates": {"PublicKeysECDSA": True},
        "etcd": {
            "external": {
                "endpoints": ["https://10.0.0.31:2379", "https://[fd00::31]:2379"],
                "caFile": f"{PKI}/etcd/ca.crt",
                "certFile": f"{PKI}/apiserver-etcd-client.crt",
                "keyFile": f"{PKI}/apiserver-etcd-client.key",
            }
        },
        "apiServer": {"extraArgs": _flags(tls_cert_file=f"{PKI}/other.crt", v="4", external_hostname="")},
    },
    "v1beta3": {
        "api": OLD_API,
        "apiServer": {"extraArgs": {"v": "3", "audit-log-path": "/var/log/audit"}, "certSANs": ["a.example"]},
        "etcd": {"local": {"extraArgs": {"election-timeout": "5000"}}},
    },
}


def _configuration(case: dict[str, Any]) -> str:
    fields = dict(case)
    api = fields.pop("api", API)
    endpoint = {
        "advertiseAddress": fields.pop("address", "10.0.0.11"),
        "bindPort": fields.pop("port", 6443),
    }
    registration = {"name": "cp1", "criSocket": "unix:///run/containerd/containerd.sock"}
    return yaml.safe_dump_all(
        [
            {
                "apiVersion": api,
                "kind": "InitConfiguration",
                "localAPIEndpoint": endpoint,
                "nodeRegistration": registration,
            },
            {"apiVersion": api, "kind": "ClusterConfiguration", "kubernetesVersion": "v1.36.2", **fields},
        ]
    )


def _gather(root: Path, folder: str) -> Path:
    """`/etc/kubernetes` with the certificates where `pki_inventory.py` looks for them."""
    kubernetes = root / "etc/kubernetes"
    if folder != PKI:
        shutil.copytree(root / folder.lstrip("/"), kubernetes / "pki")
    return kubernetes


@pytest.mark.live
@pytest.mark.parametrize("name", REAL)
def test_a_real_kubeadm(name: str, tmp_path: Path) -> None:
    kubeadm = find("kubeadm")
    need_root()
    version = subprocess.run([kubeadm, "version", "-o", "short"], capture_output=True, text=True, check=True)
    if not version.stdout.startswith("v1.36."):
        pytest.skip(f"{kubeadm} is {version.stdout.strip()}, compared is v1.36")
    case = REAL[name]
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    for file in ("hosts", "resolv.conf"):
        shutil.copy(Path("/etc") / file, root / "etc" / file)
    configuration = root / "kubeadm.yaml"
    configuration.write_text(_configuration(case))
    phases = ["certs all", "kubeconfig all", "control-plane all"]
    if "external" not in case.get("etcd", {}):
        phases.append("etcd local")
    for phase in phases:
        command = [kubeadm, "init", "phase", *phase.split(), "--config", "/kubeadm.yaml", "--rootfs", root]
        subprocess.run(command, capture_output=True, check=True, timeout=600)
    assert program("init", configuration, "-C", tmp_path / "tree").code == 0
    folder = case.get("certificatesDir", PKI)
    theirs = _describe(_gather(root, folder), tmp_path / "expected.json")
    ours = _describe(_gather(tmp_path / "tree/nodes/cp1", folder), tmp_path / "actual.json")
    assert json.loads(theirs.read_text())["certificates"], "kubeadm wrote nothing"
    assert _compare(theirs, ours) == []
