"""A real etcd and control plane of certificates that an authority on another machine has signed, by file."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import TYPE_CHECKING

import pytest
import yaml

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

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

_ADDRESS = "10.20.0.11"
_API, _ETCD = f"https://{_ADDRESS}:6443", f"https://{_ADDRESS}:2379"
_SECONDS = 30


def _make(scratch: Path, keys: str) -> Cluster:
    """Both sides, as two directories; what goes between them is two files."""
    spec = {
        "certificates": {"authority": "offline", "caKeys": keys},
        "kubelet": {"rotateCertificates": keys == "site"},
        "nodes": [{"name": "cp-1", "roles": ["control-plane"], "addresses": [_ADDRESS]}],
        "users": [{"name": "dev1", "groups": ["dev"]}],
    }
    path, out, vault = scratch / "cluster.yaml", scratch / "out", scratch / "vault"
    path.write_text(spec_text("offline", spec))
    made = pkigen("authority", "init", path, "--authority", vault).stdout
    asked = pkigen("init", path, "--out", out).stdout
    site, authority = (
        re.search(rf"^{who} key: (\S+) ", text, re.MULTILINE)
        for who, text in (("site", asked), ("authority", made))
    )
    assert site is not None
    assert authority is not None
    request, answer = scratch / "out.request", scratch / "answer"
    sign = ("authority", "sign", request, "--spec", path, "--authority", vault, "--out", answer)
    pkigen(*sign, "--pin", site[1], "--yes")
    pkigen("authority", "accept", answer, path, "--out", out, "--pin", authority[1], "--yes")
    pkigen("verify", out, "--spec", path)
    return Cluster(out=out, scratch=scratch)


@pytest.fixture(scope="module", params=["site", "offline"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    programs.require(*programs.LEAST)
    made = _make(tmp_path_factory.mktemp(request.param), request.param)
    with Network() as network:
        plug_in(network, made, {"cp-1": (_ADDRESS,)})
        boot_static_pods(made)
        yield made


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
    root = cluster.scratch / "vault/pki/root.crt"
    if root.exists():
        assert machine.request(f"{_API}/readyz", ca=root).status == 200, "the server sends its intermediate"


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


def test_the_controller_manager_signs_with_the_intermediate_or_not_at_all(cluster: Cluster) -> None:
    programs.require("kube-controller-manager")
    admin = cluster.kubeconfig("cp-1", "super-admin.conf")
    apply_addons(cluster, "cp-1", admin)
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
        body={"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
    )
    assert answer.status == 201, answer
    assert answer.json()["status"]["userInfo"]["username"] == "somebody"
