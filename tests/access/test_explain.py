"""`pkigen explain`: credentials, components and files in words."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.access.made_requests import plain, request
from tests.cli.program import NOW

if TYPE_CHECKING:
    from tests.access.team_cluster import TeamCluster


def explained(place: TeamCluster, *arguments: object) -> str:
    result = place.run("explain", *arguments)
    assert result.code == 0, result.err
    return result.out


WHO: dict[str, tuple[str, ...]] = {
    "dev1": (
        "user:dev1: a client certificate, CN=dev1,O=platform-team",
        "file:         users/dev1.conf, until 2026-11-29 03:00 UTC (in 7d)",
        "presented to: kube-apiserver on cp-1",
        "verified by:  kube-apiserver --client-ca-file",
        "identity:     user dev1, groups platform-team",
        "permissions:  ClusterRole view in the whole cluster (addons/user-dev1.yaml)",
        "permissions:  Role pkigen:dev1 in the namespace web",
        "signed by:    ca",
        "on expiry:    the API server answers 401 Unauthorized to this user",
    ),
    "user:plain": ("no groups", "none of its own; `kubectl auth can-i --list` shows those of its groups"),
    "glass": ("system:masters bypasses RBAC",),
    "web/deployer": (
        "serviceaccount:web:deployer: a service account token",
        "users/web.deployer.conf, until 2026-12-22 03:00 UTC (in 30d)",
        "verified by:  kube-apiserver --service-account-key-file",
        "groups system:serviceaccounts, system:serviceaccounts:web",
        "ClusterRole edit in the namespace web",
        "signed by:    sa",
    ),
    "system:serviceaccount:web:robot": ("needs its UID", "kubectl -n web get serviceaccount robot"),
    "apiserver": (
        "cp-1/apiserver: a serving certificate, CN=kube-apiserver, for cp-1, kubernetes",
        "given by:     kube-apiserver --tls-cert-file",
        "verified by:  certificate-authority-data of the client's kubeconfig",
        "kube-controller-manager --root-ca-file",
    ),
    "cp-1/apiserver-etcd-client": ("verified by:  etcd --trusted-ca-file", "etcd without its own users"),
    "front-proxy-client": ("--requestheader-client-ca-file", "aggregated APIs"),
    "etcd-server": (
        "kube-apiserver --etcd-cafile",
        "etcdctl --cacert",
        "a certificate for serving and for clients",
    ),
    "kubelet.conf": (
        "kubelet.conf: a client certificate, CN=system:node:cp-1",
        "nodes/worker-1/etc/kubernetes/kubelet.conf",
        "the Node authorizer",
    ),
    "kubelet": ("kubelet-serving: a serving", "kubelet.conf: a client", "--kubelet-certificate-authority"),
    "kubelet on worker-1": ("worker-1/kubelet-serving", "worker-1/kubelet.conf"),
    "kube-scheduler": ("new Pods stay Pending", "ClusterRole system:kube-scheduler"),
    "admin.conf": ("ClusterRole cluster-admin through the group kubeadm:cluster-admins",),
    "ca": (
        "ca: a CA, CN=kubernetes",
        "verifies:     everything it has signed",
        "on expiry:    every cert",
    ),
    "bob": (
        "arn:aws:iam::111122223333:user/div/Bob: authenticates through AWS IAM",
        "verified by:  aws-iam-authenticator",
        "identity:     user bob, no groups",
        "permissions:  ClusterRole edit in the whole cluster (addons/iam.yaml)",
    ),
    "arn:aws:iam::111122223333:role/Admin": ("user admin:{{SessionName}}, groups admins",),
    "etcd-ca": ("etcd's members and the API servers refuse one another",),
    "sa": ("sa: the key pair", "pkigen rotate sa"),
}


@pytest.mark.parametrize("who", WHO)
def test_who(place: TeamCluster, who: str) -> None:
    out = explained(place, who, "-C", place.tree)
    for said in WHO[who]:
        assert said in out


def test_cluster_admins_have_every_right(place: TeamCluster) -> None:
    place.replace("clusterRoles: [view]\n      roles:", "clusterRoles: [cluster-admin]\n      roles:")
    said = explained(place, cannot("get", "secrets", "", "web"), place.spec, "-C", place.tree)
    assert "the spec grants this permission" in said


def test_a_spec_alone_and_files_that_are_gone(place: TeamCluster) -> None:
    assert "(is missing)" not in explained(place, "dev1", place.spec, "-C", place.tree)
    (place.tree / "users/dev1.conf").unlink()
    (place.tree / "users/web.deployer.conf").unlink()
    assert "users/dev1.conf (is missing)" in explained(place, "dev1", "-C", place.tree)
    assert "(cannot be read)" in explained(place, "web/deployer", "-C", place.tree)
    assert "(is missing)" in explained(place, "dev1", place.spec)
    place.pkigen.now = NOW + timedelta(days=400)
    assert "expired 35d ago" in explained(place, "apiserver", "-C", place.tree)


def test_many_nodes_are_not_all_listed(place: TeamCluster) -> None:
    more = "".join(
        f"    - {{name: w-{n}, roles: [worker], addresses: [10.0.1.{n}]}}\n" for n in range(10, 20)
    )
    place.replace("  users:\n", f"{more}  users:\n")
    out = explained(place, "kubelet-serving", place.spec)
    assert "… and on 4 more nodes" in out


def test_a_generation_that_rotates(place: TeamCluster) -> None:
    assert place.run("rotate", "ca", "kubernetes", place.spec, "-C", place.tree, "--yes").code == 0
    out = explained(place, "ca-next", "-C", place.tree)
    assert "nothing: it is only trusted beside the signing CA" in out
    said = explained(place, "--error", "x509: certificate signed by unknown authority", "-C", place.tree)
    assert "a rotation of ca is prepared: both generations must be in every trust bundle" in said


def test_a_ca_under_an_offline_root(place: TeamCluster) -> None:
    place.replace("  nodes:\n", "  certificates: {authority: offline}\n  nodes:\n")
    out = explained(place, "etcd-ca", place.spec)
    assert "etcd-ca: a CA under the offline authority's root, CN=etcd-ca" in out


def test_names_that_nobody_has(place: TeamCluster) -> None:
    near = place.run("explain", "dev2", "-C", place.tree)
    assert (near.code, near.hint) == (2, "did you mean dev1?")
    far = place.run("explain", "xxxxxxxx", "-C", place.tree)
    assert far.hint == "`pkigen status` lists the certificates"


def test_without_a_cluster(place: TeamCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.run("explain").error.startswith("give what to explain")
    monkeypatch.chdir(place.folder)
    assert "no cluster was given" in place.run("explain", "dev1").error
    monkeypatch.chdir(place.tree)
    assert "CN=dev1" in explained(place, "dev1")


# -- files -------------------------------------------------------------------------------------------------


def test_files(place: TeamCluster) -> None:
    place.sign(request(plain("ann")), "--out", place.folder / "ann.crt")
    certificate = explained(place, place.folder / "ann.crt")
    assert "verified by:  kube-apiserver --client-ca-file" in certificate
    assert "`kubectl auth can-i --list`" in certificate
    known = explained(place, place.folder / "ann.crt", "-C", place.tree)
    assert "this cluster: its CA signed it" in known
    assert "not in spec.users" in known
    kubeconfig = explained(place, place.tree / "users/dev1.conf", "-C", place.tree)
    assert "context dev1@team (current)" in kubeconfig
    assert "permissions:  ClusterRole view in the whole cluster" in kubeconfig
    own = explained(place, place.tree / "nodes/cp-1/etc/kubernetes/scheduler.conf", "-C", place.tree)
    assert "permissions:  ClusterRole system:kube-scheduler" in own
    etcd = explained(place, place.tree / "nodes/cp-1/etc/kubernetes/pki/etcd/server.crt", "-C", place.tree)
    assert "this cluster: refuses it" in etcd
    asked = explained(place, place.write("a.csr", request(plain("ann"), None)))
    assert "a certificate signing request, CN=ann; key ECDSA-P256" in asked
    token = place.write(
        "token", place.run("token", "--service-account", "web/deployer", "-C", place.tree).out
    )
    said = explained(place, token, "-C", place.tree)
    assert "permissions:  ClusterRole edit in the namespace web" in said
    assert token.read_text().strip() not in said
    opaque = explained(place, place.write("token", "abcdef.0123456789abcdef"))
    assert "kube-apiserver --enable-bootstrap-token-auth" in opaque
    contextless = place.write("c", "kind: Config\ncurrent-context: x\n")
    assert "it has no context" in explained(place, contextless)
    assert "verified by:  what the API server is configured with" in explained(
        place, place.write("token", "opaque")
    )


def test_files_that_cannot_be_read(place: TeamCluster) -> None:
    damaged = place.write("c.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert "holds a certificate that cannot be read" in place.run("explain", damaged).error
    for content, said in (
        ("a b c", "is neither a kubeconfig nor a PEM certificate, a request or a token"),
        (b"\xff\xfe\0", "is neither a kubeconfig nor"),
        ("kind: Pod\n", "is neither a kubeconfig nor"),
        ("clusters: 7\n", "clusters is not a list"),
        ((place.tree / "pki/ca.key").read_bytes(), "is a private key"),
        ((place.tree / "pki/sa.pub").read_bytes(), "is a public key"),
    ):
        result = place.run("explain", place.write("x", content))
        assert (result.code, result.out) == (1, "")
        assert said in result.error
    both = (place.tree / "nodes/cp-1/etc/kubernetes/pki/apiserver.key").read_bytes()
    both += (place.tree / "nodes/cp-1/etc/kubernetes/pki/apiserver-kubelet-client.crt").read_bytes()
    assert "user:       kube-apiserver-kubelet-client" in explained(place, place.write("current.pem", both))
    assert place.run("explain", place.tree).error == f"{place.tree} is a directory"
    assert "and there is no such file" in place.run("explain", place.folder / "none", "-C", place.tree).error
    (place.tree / "pki/ca.crt").write_text("x")
    place.write(
        "c.crt", (place.tree / "nodes/cp-1/etc/kubernetes/pki/apiserver-kubelet-client.crt").read_bytes()
    )
    assert "the trust bundle is empty" in explained(place, place.folder / "c.crt", "-C", place.tree)


def cannot(verb: str, resource: str, group: str, namespace: str | None = None, *, user: str = "dev1") -> str:
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    return (
        f'Error from server (Forbidden): x is forbidden: User "{user}" cannot {verb} resource "{resource}" '
        f'in API group "{group}" {where}'
    )
