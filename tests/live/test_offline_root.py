"""A real etcd and control plane under roots that are elsewhere: pkigen's offline ones, and companies' own."""

from __future__ import annotations

import base64
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.live import certificates, programs
from tests.live.control_plane import (
    CREATE,
    Cluster,
    apply_addons,
    boot_static_pods,
    pkigen,
    plug_in,
    spec_text,
)
from tests.live.hosts import Identity, Network
from tests.live.sites import said_after

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live

_ADDRESS = "10.20.0.11"
_API, _ETCD = f"https://{_ADDRESS}:6443", f"https://{_ADDRESS}:2379"
_SECONDS = 180
_STAND_IN = Path(__file__).with_name("stand_in_kubelet.py")
_REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
# The companies' CAs that the tests make last for hours.
_HOURS = {"caValidity": "3h", "validity": "2h", "renewBefore": "10m"}


@dataclass(frozen=True, kw_only=True)
class Made:
    """A cluster, and the root above each of its two CAs, where there is one."""

    cluster: Cluster
    root: Path | None = None
    etcd_root: Path | None = None


def _spec(scratch: Path, certificates_: dict[str, Any], *, rotating: bool = True) -> Path:
    spec = {
        "certificates": certificates_,
        "kubelet": {"rotateCertificates": rotating},
        "nodes": [{"name": "cp-1", "roles": ["control-plane"], "addresses": [_ADDRESS]}],
        "users": [{"name": "dev1", "groups": ["dev"], "validity": "1h"}],
    }
    path = scratch / "cluster.yaml"
    path.write_text(spec_text("offline", spec))
    return path


def _by_file(scratch: Path, path: Path) -> Cluster:
    """Both sides, as two directories; what goes between them is two files."""
    out, vault = scratch / "out", scratch / "vault"
    made = pkigen("airgap", "authority", "init", path, "--authority", vault).stdout
    asked = pkigen("init", path, "-C", out).stdout
    site, authority = said_after("site key:", asked), said_after("authority key:", made)
    request, answer = scratch / "out.request", scratch / "answer"
    sign = ("airgap", "authority", "sign", request, "--spec", path, "--authority", vault, "--out", answer)
    pkigen(*sign, "--pin", site, "--yes")
    pkigen("airgap", "authority", "accept", answer, path, "-C", out, "--pin", authority, "--yes")
    pkigen("verify", "-C", out, path)
    return Cluster(out=out, scratch=scratch)


def _own_root(scratch: Path) -> Made:
    cluster = _by_file(scratch, _spec(scratch, {"authority": "offline", "caKeys": "site"}))
    root = scratch / "vault/pki/root.crt"
    return Made(cluster=cluster, root=root, etcd_root=root)


def _external(scratch: Path) -> Made:
    """kubeadm's external CA mode: no CA key at the site."""
    spec = _spec(scratch, {"authority": "offline", "caKeys": "offline"}, rotating=False)
    return Made(cluster=_by_file(scratch, spec))


def _under_a_companys_root(scratch: Path) -> Made:
    """An RSA root, and a P-384 intermediate that allows one below: the offline authority signs with that."""
    company, policy = _company(scratch)
    _put(scratch / "vault/pki/root", policy, company)
    cluster = _by_file(scratch, _spec(scratch, {"authority": "offline", **_HOURS}))
    return Made(cluster=cluster, root=company.certificate, etcd_root=company.certificate)


def _brought(scratch: Path) -> Made:
    """Two levels above the cluster's CA; etcd's, of RSA, under another root; a third root for the last."""
    company, policy = _company(scratch)
    other = certificates.make_ca(scratch, "other-root", parent=None)
    pki = scratch / "out/pki"
    _put(pki / "ca", certificates.make_ca(scratch, "cluster", parent=policy, path_length=0), policy, company)
    etcd = certificates.make_ca(scratch, "etcd", parent=other, key=_rsa(), path_length=0)
    _put(pki / "etcd/ca", etcd, other)
    _put(pki / "front-proxy-ca", certificates.make_ca(scratch, "front-proxy", parent=None))
    path = _spec(scratch, dict(_HOURS))
    pkigen("init", path, "-C", scratch / "out")
    pkigen("verify", "-C", scratch / "out", path)
    cluster = Cluster(out=scratch / "out", scratch=scratch)
    return Made(cluster=cluster, root=company.certificate, etcd_root=other.certificate)


def _company(scratch: Path) -> tuple[Identity, Identity]:
    company = certificates.make_ca(scratch, "company", parent=None, key=_rsa(), path_length=2)
    strong = ec.generate_private_key(ec.SECP384R1())
    return company, certificates.make_ca(scratch, "policy", parent=company, key=strong, path_length=1)


def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _put(stem: Path, *chain: Identity) -> None:
    """A CA as a person brings it: with its key, followed by what stands above it."""
    stem.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    stem.with_suffix(".crt").write_bytes(b"".join(each.certificate.read_bytes() for each in chain))
    shutil.copy(chain[0].key, stem.with_suffix(".key"))


WAYS = {
    "an offline root": _own_root,
    "no CA key at the site": _external,
    "an offline intermediate of a company's root": _under_a_companys_root,
    "CAs of several roots": _brought,
}


@pytest.fixture(scope="module", params=WAYS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    programs.require(*programs.LEAST)
    found = WAYS[request.param](tmp_path_factory.mktemp("roots"))
    with Network() as network:
        plug_in(network, found.cluster, {"cp-1": (_ADDRESS,)})
        boot_static_pods(found.cluster)
        yield found


@pytest.fixture(scope="module")
def cluster(made: Made) -> Cluster:
    return made.cluster


@pytest.fixture(scope="module")
def super_admin(cluster: Cluster) -> Path:
    """The kubeconfig of whoever applies the addons; they are applied."""
    found = cluster.kubeconfig("cp-1", "super-admin.conf")
    apply_addons(cluster, "cp-1", found)
    return found


def keys_are_here(cluster: Cluster) -> bool:
    return (cluster.out / "pki/ca.key").exists()


def test_every_kubeconfig_is_let_in_as_who_it_is(cluster: Cluster) -> None:
    """Go takes the bundle's one certificate for an anchor, intermediate or not, at both ends."""
    for name, user, groups in (
        ("admin.conf", "kubernetes-admin", {"kubeadm:cluster-admins"}),
        ("super-admin.conf", "kubernetes-super-admin", {"system:masters"}),
        ("controller-manager.conf", "system:kube-controller-manager", set()),
        ("kubelet.conf", "system:node:cp-1", {"system:nodes"}),
    ):
        assert cluster.whoami("cp-1", cluster.kubeconfig("cp-1", name)) == (user, groups)
    assert cluster.whoami("cp-1", cluster.out / "users/dev1.conf") == ("dev1", {"dev"})


def test_a_client_that_has_only_the_clusters_ca(cluster: Cluster) -> None:
    machine, pki = cluster.machines["cp-1"], cluster.pki("cp-1")
    assert machine.request(f"{_API}/readyz", ca=pki / "ca.crt").status == 200
    # The control: the CA of another purpose vouches for nothing here, though the same root stands above it.
    answer = machine.request(f"{_API}/readyz", ca=pki / "etcd/ca.crt")
    assert answer.status is None
    assert "verify failed" in str(answer.error)


def test_a_client_that_has_only_the_root_above(made: Made) -> None:
    """It gets there by what the server sends: its certificate, and every intermediate."""
    if made.root is None or made.etcd_root is None:
        pytest.skip("the CAs have no root above them")
    cluster, machine = made.cluster, made.cluster.machines["cp-1"]
    etcd = cluster.identity("cp-1", "apiserver-etcd-client")
    assert machine.request(f"{_API}/readyz", ca=made.root).status == 200
    assert machine.request(f"{_ETCD}/health", ca=made.etcd_root, identity=etcd).status == 200
    # The controls: a root that stands above neither, and one that stands above the other.
    stranger = certificates.make_ca(cluster.scratch, "stranger", parent=None).certificate
    assert "verify failed" in str(machine.request(f"{_API}/readyz", ca=stranger).error)
    crossed = machine.request(f"{_ETCD}/health", ca=made.root, identity=etcd)
    assert (crossed.status == 200) is (made.root == made.etcd_root)


def test_a_certificate_of_another_purpose_is_nobody(cluster: Cluster) -> None:
    """The etcd CA's client, with its intermediate after it, is not let in: no root vouches for both."""
    machine, pki = cluster.machines["cp-1"], cluster.pki("cp-1")
    chain = cluster.scratch / "etcd-client.crt"
    chain.write_bytes(
        (pki / "apiserver-etcd-client.crt").read_bytes() + (cluster.out / "pki/etcd/ca.crt").read_bytes()
    )
    stranger = Identity(certificate=chain, key=pki / "apiserver-etcd-client.key")
    known = cluster.identity_of(cluster.kubeconfig("cp-1", "super-admin.conf"))
    assert machine.request(f"{_API}/api/v1/nodes", ca=pki / "ca.crt", identity=stranger).status == 401
    assert machine.request(f"{_API}/api/v1/nodes", ca=pki / "ca.crt", identity=known).status == 200


def test_etcd_lets_in_the_clients_of_its_own_ca(cluster: Cluster) -> None:
    machine, pki = cluster.machines["cp-1"], cluster.pki("cp-1")

    def health(identity: Identity | None) -> int | None:
        return machine.request(f"{_ETCD}/health", ca=pki / "etcd/ca.crt", identity=identity).status

    assert health(cluster.identity("cp-1", "apiserver-etcd-client")) == 200
    assert health(cluster.identity("cp-1", "apiserver-kubelet-client")) is None
    assert health(None) is None


def test_the_front_proxy_speaks_for_others_and_nobody_else_does(cluster: Cluster) -> None:
    machine, pki = cluster.machines["cp-1"], cluster.pki("cp-1")

    def seen(identity: Identity) -> str:
        answer = machine.request(
            f"{_API}/apis/authentication.k8s.io/v1/selfsubjectreviews",
            ca=pki / "ca.crt",
            identity=identity,
            headers={"X-Remote-User": "somebody"},
            body=_REVIEW,
        )
        return str(answer.json()["status"]["userInfo"]["username"]) if answer.status == 201 else "nobody"

    assert seen(cluster.identity("cp-1", "front-proxy-client")) == "somebody"
    for name in ("apiserver-kubelet-client", "apiserver-etcd-client"):
        chain = cluster.scratch / f"{name}-chain.crt"
        ca = "ca.crt" if name == "apiserver-kubelet-client" else "etcd/ca.crt"
        chain.write_bytes((pki / f"{name}.crt").read_bytes() + (cluster.out / "pki" / ca).read_bytes())
        assert seen(Identity(certificate=chain, key=pki / f"{name}.key")) != "somebody", name


def test_the_api_server_and_the_kubelets_server_know_each_other(cluster: Cluster, super_admin: Path) -> None:
    machine, kubelet = cluster.machines["cp-1"], cluster.node("cp-1") / "var/lib/kubelet/pki"
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "cp-1"},
        "status": {"addresses": [{"type": "InternalIP", "address": _ADDRESS}]},
    }
    cluster.kubectl("cp-1", cluster.kubeconfig("cp-1", "kubelet.conf"), *CREATE, stdin=json.dumps(node))
    ask = ("get", "--raw", "/api/v1/nodes/cp-1/proxy/healthz")
    ca = cluster.pki("cp-1") / "ca.crt"
    with machine.listening(_STAND_IN, _ADDRESS, kubelet / "kubelet.crt", kubelet / "kubelet.key", ca):
        said = cluster.kubectl("cp-1", super_admin, *ask)
    assert said == "/healthz kube-apiserver-kubelet-client\n"
    forged = certificates.forged_like(kubelet / "kubelet.crt", cluster.scratch)
    with machine.listening(_STAND_IN, _ADDRESS, forged.certificate, forged.key, ca):
        done = cluster.try_kubectl("cp-1", super_admin, *ask)
    assert "certificate signed by unknown authority" in done.stderr, done


def test_the_controller_manager_signs_with_the_intermediate_or_not_at_all(
    cluster: Cluster, super_admin: Path
) -> None:
    programs.require("kube-controller-manager")
    admin = super_admin
    pem = certificates.request_pem(cluster.scratch / "somebody.key", certificates.name("somebody", "dev"))
    request = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "somebody"},
        "spec": {
            "request": base64.b64encode(pem.encode()).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        },
    }
    cluster.kubectl("cp-1", admin, *CREATE, stdin=json.dumps(request))
    cluster.kubectl("cp-1", admin, "certificate", "approve", "somebody")
    deadline = time.monotonic() + (_SECONDS if keys_are_here(cluster) else 5)
    issued = ""
    while not issued and time.monotonic() < deadline:
        issued = cluster.kubectl(
            "cp-1", admin, "get", "csr", "somebody", "-o", "jsonpath={.status.certificate}"
        )
    assert bool(issued) is keys_are_here(cluster)
    if not issued:
        manifest = cluster.kubeconfig("cp-1", "manifests") / "kube-controller-manager.yaml"
        command = yaml.safe_load(manifest.read_text())["spec"]["containers"][0]["command"]
        assert "--cluster-signing-cert-file=" in command
        return
    somebody = cluster.scratch / "somebody.crt"
    somebody.write_bytes(base64.b64decode(issued))
    machine = cluster.machines["cp-1"]
    answer = machine.request(
        f"{_API}/apis/authentication.k8s.io/v1/selfsubjectreviews",
        ca=cluster.pki("cp-1") / "ca.crt",
        identity=Identity(certificate=somebody, key=cluster.scratch / "somebody.key"),
        body=_REVIEW,
    )
    assert answer.status == 201, answer
    assert answer.json()["status"]["userInfo"]["username"] == "somebody"
