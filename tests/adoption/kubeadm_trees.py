"""Trees that a real kubeadm makes, phase by phase, each node in a root directory of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.desired.rendering.reference_programs import find, need_root

_SHARED = ("ca", "front-proxy-ca", "etcd/ca")
_PHASES = ("certs all", "kubeconfig all", "control-plane all", "etcd local", "kubelet-start")
_API = "kubeadm.k8s.io/v1beta4"


def kubeadm() -> str:
    """A kubeadm that may change its root directory; the test is skipped without one, and says which."""
    program = find("kubeadm")
    need_root()
    said = subprocess.run([program, "version", "-o", "short"], capture_output=True, text=True, check=True)
    if not said.stdout.startswith("v1.36."):
        pytest.skip(f"{program} is {said.stdout.strip()}, needed is v1.36")
    return program


def run(root: Path, *arguments: str) -> None:
    command = [find("kubeadm"), *arguments, "--rootfs", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def new_root(root: Path) -> Path:
    (root / "etc").mkdir(parents=True)
    for name in ("hosts", "resolv.conf"):
        shutil.copy(Path("/etc") / name, root / "etc" / name)
    return root


def configure(root: Path, *, name: str, address: str, cluster: dict[str, Any]) -> None:
    documents = [
        {
            "apiVersion": _API,
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": address},
            "nodeRegistration": {"name": name, "criSocket": "unix:///run/containerd/containerd.sock"},
        },
        {"apiVersion": _API, "kind": "ClusterConfiguration", "kubernetesVersion": "v1.36.2", **cluster},
    ]
    (root / "kubeadm.yaml").write_text(yaml.safe_dump_all(documents))


def control_plane(
    root: Path,
    *,
    name: str = "cp-1",
    address: str = "10.0.0.11",
    cluster: dict[str, Any] | None = None,
    first: Path | None = None,
) -> Path:
    """A control-plane node; with `first`, one that has that node's CAs."""
    cluster = {"encryptionAlgorithm": "ECDSA-P256", **(cluster or {})}
    new_root(root)
    configure(root, name=name, address=address, cluster=cluster)
    pki = str(cluster.get("certificatesDir", "/etc/kubernetes/pki")).lstrip("/")
    if first is not None:
        (root / pki / "etcd").mkdir(parents=True)
        files = [f"{each}.{end}" for each in _SHARED for end in ("crt", "key")]
        for file in (*files, "sa.key", "sa.pub"):
            if (first / pki / file).exists():
                shutil.copy2(first / pki / file, root / pki / file)
    for phase in _PHASES:
        if phase != "etcd local" or "external" not in cluster.get("etcd", {}):
            run(root, "init", "phase", *phase.split(), "--config", "/kubeadm.yaml")
    return root


def worker(
    root: Path, first: Path, *, name: str, address: str, cluster: dict[str, Any] | None = None
) -> Path:
    """A worker as joining leaves it: its kubeconfig, the CA, the kubelet's files, and no key of a CA."""
    control_plane(root, name=name, address=address, cluster=cluster, first=first)
    for path in (root / "etc/kubernetes").iterdir():
        if path.name not in {"kubelet.conf", "pki"}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    authority = (root / "etc/kubernetes/pki/ca.crt").read_bytes()
    shutil.rmtree(root / "etc/kubernetes/pki")
    shutil.rmtree(root / "var/lib/etcd", ignore_errors=True)
    (root / "etc/kubernetes/pki").mkdir()
    (root / "etc/kubernetes/pki/ca.crt").write_bytes(authority)
    (root / "etc/kubernetes/manifests").mkdir()
    kubeconfig = yaml.safe_load((root / "etc/kubernetes/kubelet.conf").read_text())
    endpoint = (cluster or {}).get("controlPlaneEndpoint", "10.0.0.11:6443")
    kubeconfig["clusters"][0]["cluster"]["server"] = f"https://{endpoint}"
    (root / "etc/kubernetes/kubelet.conf").write_text(yaml.safe_dump(kubeconfig))
    return root


def dedicated_etcd(place: Path, *, members: int) -> None:
    """A control plane and members apart, as kubeadm's guide to an external etcd makes them."""
    names = [f"etcd-{number}" for number in range(1, members + 1)]
    addresses = {name: f"10.0.0.3{number}" for number, name in enumerate(names, 1)}
    plain = {"encryptionAlgorithm": "ECDSA-P256"}
    pki = "etc/kubernetes/pki"
    for name, address in addresses.items():
        root = new_root(place / name)
        configure(root, name=name, address=address, cluster=plain)
        if name == names[0]:
            run(root, *["init", "phase", "certs", "etcd-ca", "--config", "/kubeadm.yaml"])
        else:
            shutil.copytree(place / names[0] / pki / "etcd", root / pki / "etcd", ignore=_all_but_the_ca)
        for phase in (
            *(f"certs {kind}" for kind in ("etcd-server", "etcd-peer", "etcd-healthcheck-client")),
            *("certs apiserver-etcd-client", "etcd local"),
        ):
            run(root, "init", "phase", *phase.split(), "--config", "/kubeadm.yaml")
    client = [f"{pki}/etcd/ca.crt", *(f"{pki}/apiserver-etcd-client.{end}" for end in ("crt", "key"))]
    external = {
        "endpoints": [f"https://{address}:2379" for address in addresses.values()],
        **dict(zip(("caFile", "certFile", "keyFile"), (f"/{path}" for path in client), strict=True)),
    }
    first = control_plane(place / "cp-1", cluster={"etcd": {"external": external}})
    (first / pki / "etcd").mkdir()
    for path in client:
        shutil.copy2(place / names[0] / path, first / path)


def _all_but_the_ca(_: str, names: list[str]) -> set[str]:
    return {name for name in names if not name.startswith("ca.")}
