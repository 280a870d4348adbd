"""Trees that a real kubeadm makes, phase by phase, each node in a root directory of its own."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.adoption.altered_nodes import AlteredNode, moment, new_ca, pem_of
from tests.desired.rendering.reference_programs import find, need_root

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.adoption.altered_nodes import Issuer

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
    """A control-plane node; with `first`, one that has that node's CAs, or those that were put there."""
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
    if first is not None and (first / "etc/kubernetes/admin.conf").exists():
        # `kubeadm join` makes none.
        (root / "etc/kubernetes/super-admin.conf").unlink()
    return root


def stacked(place: Path, addresses: Mapping[str, str], *, given: Path | None = None) -> None:
    """Control planes with a member of etcd each, which knows all of them; ready to be started.

    Args:
        place: Where each gets its root directory, called like it.
        addresses: Theirs, by their names; the first one is the endpoint.
        given: A root directory that has the CAs which the first one takes.
    """
    (first, endpoint), *others = addresses.items()
    settings = {
        "controlPlaneEndpoint": f"{endpoint}:6443",
        "apiServer": {"certSANs": [address for _, address in others]},
    }
    members = ",".join(f"{name}=https://{address}:2380" for name, address in addresses.items())
    for name, address in addresses.items():
        known = given if name == first else place / first
        root = control_plane(place / name, name=name, address=address, cluster=settings, first=known)
        _join(root / "etc/kubernetes/manifests/etcd.yaml", members)
        (root / "kubeadm.yaml").unlink()


def _join(manifest: Path, members: str) -> None:
    """The members that a member's manifest names, once all have joined."""
    content = yaml.safe_load(manifest.read_text())
    (container,) = content["spec"]["containers"]
    container["command"] = [
        f"--initial-cluster={members}" if word.startswith("--initial-cluster=") else word
        for word in container["command"]
    ]
    manifest.write_text(yaml.safe_dump(content))


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
    kubeconfig = root / "etc/kubernetes/kubelet.conf"
    endpoint = (cluster or {}).get("controlPlaneEndpoint", "10.0.0.11:6443")
    text = re.sub(r"server: \S+", f"server: https://{endpoint}", kubeconfig.read_text())
    kubeconfig.write_text(text)
    return root


def rotated_kubelet(root: Path, issuer: Issuer) -> None:
    """What a kubelet has once it has renewed its certificate, with the kubeconfig that kubeadm then makes."""
    node = AlteredNode(root=root, now=moment())
    before = node.path("kubelet.conf").read_bytes()
    node.rotate_kubelet(issuer)
    node.write("kubelet.conf", before)
    phase = "init phase kubelet-finalize enable-client-cert-rotation"
    run(root, *phase.split(), "--config", "/kubeadm.yaml")
    assert b"kubelet-client-current.pem" in node.path("kubelet.conf").read_bytes()


def external_etcd_client(root: Path) -> None:
    """What the operator of an external etcd puts there; kubeadm does not make it."""
    pki = root / "etc/etcd/pki"
    pki.mkdir(parents=True)
    node = AlteredNode(root=root, now=moment())
    ca = new_ca("etcd-ca", node.now)
    (pki / "ca.crt").write_bytes(ca.pem)
    node.write("pki/client.crt", pem_of(node.certificate("pki/apiserver-kubelet-client.crt")))
    node.write("pki/client.key", node.path("pki/apiserver-kubelet-client.key").read_bytes())
    node.reissue("client", ca)
    for name in ("client.crt", "client.key"):
        shutil.move(node.path(f"pki/{name}"), pki / name)


_CLIENTS = {
    "apiserver-etcd-client",
    "apiserver-kubelet-client",
    "front-proxy-client",
    "etcd/healthcheck-client",
}


def external_ca(root: Path, authority: Path) -> Path:
    """kubeadm's external CA mode: its requests, which the CA's machine (another root) signs with openssl."""
    cluster = {"encryptionAlgorithm": "ECDSA-P256"}
    new_root(authority)
    configure(authority, name="ca", address="10.0.0.9", cluster=cluster)
    for kind in ("ca", "front-proxy-ca", "etcd-ca"):
        run(authority, *f"init phase certs {kind} --config /kubeadm.yaml".split())
    new_root(root)
    configure(root, name="cp-1", address="10.0.0.11", cluster=cluster)
    run(root, *["certs", "generate-csr", "--config", "/kubeadm.yaml"])
    run(root, *["init", "phase", "certs", "sa", "--config", "/kubeadm.yaml"])
    for name in _SHARED:
        shutil.copy2(
            authority / "etc/kubernetes/pki" / f"{name}.crt", root / "etc/kubernetes/pki" / f"{name}.crt"
        )
    kubernetes = root / "etc/kubernetes"
    for request in sorted(kubernetes.rglob("*.csr")):
        name = str(request.relative_to(kubernetes)).removeprefix("pki/").removesuffix(".csr")
        certificate = _signed(request, name, authority / "etc/kubernetes/pki")
        if name.endswith(".conf"):
            _complete(kubernetes / name, certificate, kubernetes / "pki/ca.crt")
        else:
            request.with_suffix(".crt").write_bytes(certificate)
        request.unlink()
    for phase in ("control-plane all", "etcd local", "kubelet-start"):
        run(root, "init", "phase", *phase.split(), "--config", "/kubeadm.yaml")
    return root


def _signed(request: Path, name: str, pki: Path) -> bytes:
    is_client = name in _CLIENTS or name.endswith(".conf")
    ca = "etcd/ca" if "etcd" in name else "front-proxy-ca" if "front-proxy" in name else "ca"
    usages = "clientAuth" if is_client else "serverAuth,clientAuth" if "etcd/" in name else "serverAuth"
    extensions = request.with_suffix(".ext")
    extensions.write_text(f"keyUsage=critical,digitalSignature\nextendedKeyUsage={usages}\n")
    command = ["openssl", "x509", "-req", "-in", str(request), "-days", "365", "-sha256"]
    command += ["-CA", str(pki / f"{ca}.crt"), "-CAkey", str(pki / f"{ca}.key"), "-CAcreateserial"]
    command += ["-copy_extensions", "copy", "-extfile", str(extensions)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    extensions.unlink()
    return done.stdout


def _complete(kubeconfig: Path, certificate: bytes, ca: Path) -> None:
    """A partial kubeconfig with the certificate and the CA that kubeadm's guide has its reader put in."""
    content = yaml.safe_load(kubeconfig.read_text())
    content["users"][0]["user"]["client-certificate-data"] = base64.b64encode(certificate).decode()
    cluster = content["clusters"][0]["cluster"]
    cluster["certificate-authority-data"] = base64.b64encode(ca.read_bytes()).decode()
    kubeconfig.write_text(yaml.safe_dump(content))


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
