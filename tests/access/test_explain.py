"""`pkigen explain`: credentials, components and errors in words."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.access.places import Place, plain, request
from tests.cli.program import NOW

if TYPE_CHECKING:
    from pathlib import Path


def explained(place: Place, *arguments: object) -> str:
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
        "rights:       ClusterRole view in the whole cluster (addons/user-dev1.yaml)",
        "rights:       Role pkigen:dev1 in the namespace web",
        "signed by:    ca",
        "at its end:   the API server answers 401 Unauthorized to this user",
    ),
    "user:plain": ("no groups", "none of its own; what its groups are bound to, the cluster knows"),
    "glass": ("system:masters passes by RBAC",),
    "web/deployer": (
        "serviceaccount:web:deployer: a service account token",
        "users/web.deployer.conf, until 2026-12-22 03:00 UTC (in 30d)",
        "verified by:  kube-apiserver --service-account-key-file",
        "groups system:serviceaccounts, system:serviceaccounts:web",
        "ClusterRole edit in the namespace web",
        "signed by:    sa",
    ),
    "system:serviceaccount:web:robot": ("waits for its UID", "kubectl -n web get serviceaccount robot"),
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
        "verifies:     everything that it has signed",
        "at its end:   every cert",
    ),
    "bob": (
        "arn:aws:iam::111122223333:user/div/Bob: comes in through AWS IAM",
        "verified by:  aws-iam-authenticator",
        "identity:     user bob, no groups",
        "rights:       ClusterRole edit in the whole cluster (addons/iam.yaml)",
    ),
    "arn:aws:iam::111122223333:role/Admin": ("user admin:{{SessionName}}, groups admins",),
    "etcd-ca": ("etcd's members and the API servers refuse one another",),
    "sa": ("sa: the key pair", "pkigen rotate sa"),
}


@pytest.mark.parametrize("who", WHO)
def test_who(place: Place, who: str) -> None:
    out = explained(place, who, place.tree)
    for said in WHO[who]:
        assert said in out


def test_cluster_admins_have_every_right(place: Place) -> None:
    place.replace("clusterRoles: [view]\n      roles:", "clusterRoles: [cluster-admin]\n      roles:")
    said = explained(place, cannot("get", "secrets", "", "web"), place.spec, "--pki", place.tree)
    assert "the spec gives it this right" in said


def test_a_spec_alone_and_files_that_are_gone(place: Place) -> None:
    assert "(is missing)" not in explained(place, "dev1", place.spec, "--pki", place.tree)
    (place.tree / "users/dev1.conf").unlink()
    (place.tree / "users/web.deployer.conf").unlink()
    assert "users/dev1.conf (is missing)" in explained(place, "dev1", place.tree)
    assert "(cannot be read)" in explained(place, "web/deployer", place.tree)
    assert "(is missing)" in explained(place, "dev1", place.spec, "--pki", place.folder / "none")
    place.pkigen.now = NOW + timedelta(days=400)
    assert "expired 35d ago" in explained(place, "apiserver", place.tree)


def test_many_nodes_are_not_all_listed(place: Place) -> None:
    more = "".join(
        f"    - {{name: w-{n}, roles: [worker], addresses: [10.0.1.{n}]}}\n" for n in range(10, 20)
    )
    place.replace("  users:\n", f"{more}  users:\n")
    out = explained(place, "kubelet-serving", place.spec, "--pki", place.folder / "none")
    assert "… and on 4 more nodes" in out


def test_a_generation_that_rotates(place: Place) -> None:
    assert place.run("rotate", "ca", "kubernetes", place.spec, "--out", place.tree, "--yes").code == 0
    out = explained(place, "ca-next", place.tree)
    assert "nothing: it is only trusted beside the signing one" in out
    said = explained(place, "--error", "x509: certificate signed by unknown authority", place.tree)
    assert "a rotation of ca is prepared: both generations must be in every trust bundle" in said


def test_a_ca_under_an_offline_root(place: Place) -> None:
    place.replace("  nodes:\n", "  certificates: {authority: offline}\n  nodes:\n")
    out = explained(place, "etcd-ca", place.spec, "--pki", place.folder / "none")
    assert "etcd-ca: a CA under the offline authority's root, CN=etcd-ca" in out


def test_names_that_nobody_has(place: Place) -> None:
    near = place.run("explain", "dev2", place.tree)
    assert (near.code, near.hint) == (2, "did you mean dev1?")
    far = place.run("explain", "xxxxxxxx", place.tree)
    assert far.hint == "`pkigen status` lists the certificates"


def test_without_a_cluster(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.run("explain").error.startswith("say what to explain")
    monkeypatch.chdir(place.folder)
    assert "no cluster is given" in place.run("explain", "dev1").error
    monkeypatch.chdir(place.tree)
    assert "CN=dev1" in explained(place, "dev1")


# -- files -------------------------------------------------------------------------------------------------


def test_files(place: Place) -> None:
    place.sign(request(plain("ann")), "--out", place.folder / "ann.crt")
    certificate = explained(place, place.folder / "ann.crt")
    assert "verified by:  kube-apiserver --client-ca-file" in certificate
    assert "`kubectl auth can-i --list`" in certificate
    known = explained(place, place.folder / "ann.crt", place.tree)
    assert "this cluster: its CA signed it" in known
    assert "not in spec.users" in known
    kubeconfig = explained(place, place.tree / "users/dev1.conf", place.tree)
    assert "context dev1@team (current)" in kubeconfig
    assert "rights:       ClusterRole view in the whole cluster" in kubeconfig
    own = explained(place, place.tree / "nodes/cp-1/etc/kubernetes/scheduler.conf", place.tree)
    assert "rights:       ClusterRole system:kube-scheduler" in own
    etcd = explained(place, place.tree / "nodes/cp-1/etc/kubernetes/pki/etcd/server.crt", place.tree)
    assert "this cluster: it refuses it" in etcd
    asked = explained(place, place.write("a.csr", request(plain("ann"), None)))
    assert "a certificate signing request, CN=ann; key ECDSA-P256" in asked
    token = place.write("token", place.run("token", "--service-account", "web/deployer", place.tree).out)
    said = explained(place, token, place.tree)
    assert "rights:       ClusterRole edit in the namespace web" in said
    assert token.read_text().strip() not in said
    opaque = explained(place, place.write("token", "abcdef.0123456789abcdef"))
    assert "kube-apiserver --enable-bootstrap-token-auth" in opaque
    contextless = place.write("c", "kind: Config\ncurrent-context: x\n")
    assert "it has no context" in explained(place, contextless)
    assert "verified by:  whatever" in explained(place, place.write("token", "opaque"))


def test_files_that_cannot_be_read(place: Place) -> None:
    damaged = place.write("c.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert "holds a certificate that cannot be read" in place.run("explain", damaged).error
    for content, said in (
        ("a b c", "is neither a kubeconfig nor a PEM certificate, a request or a token"),
        (b"\xff\xfe\0", "is neither a kubeconfig nor"),
        ("kind: Pod\n", "is neither a kubeconfig nor"),
        ("clusters: 7\n", "clusters is no list"),
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
    assert "and no such file" in place.run("explain", place.folder / "none", place.tree).error
    (place.tree / "pki/ca.crt").write_text("x")
    place.write(
        "c.crt", (place.tree / "nodes/cp-1/etc/kubernetes/pki/apiserver-kubelet-client.crt").read_bytes()
    )
    assert "the trust bundle is empty" in explained(place, place.folder / "c.crt", place.tree)


# -- errors ------------------------------------------------------------------------------------------------

UNKNOWN = "Unable to connect to the server: x509: certificate signed by unknown authority"
NAMES = (
    "kubernetes, kubernetes.default, kubernetes.default.svc, kubernetes.default.svc.cluster.local, 10.96.0.1"
)
WRONG = (
    f"tls: failed to verify certificate: x509: certificate is valid for cp-1, {NAMES}, not api.example.com"
)
ANONYMOUS = (
    'Error from server (Forbidden): nodes is forbidden: User "system:anonymous" cannot list resource "nodes"'
)


def cannot(verb: str, resource: str, group: str, namespace: str | None = None, *, user: str = "dev1") -> str:
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    return (
        f'Error from server (Forbidden): x is forbidden: User "{user}" cannot {verb} resource "{resource}" '
        f'in API group "{group}" {where}'
    )


METRICS = 'Error from server (Forbidden): forbidden: User "dev1" cannot get path "{}"'

FAILURES: dict[str, tuple[str, str, str]] = {
    "unknown authority": (UNKNOWN, "`pkigen kubeconfig show FILE`", "the cluster's CA is sha256:"),
    "a wrong name": (
        WRONG,
        "or add api.example.com to spec.apiServer.certSANs",
        "it is the certificate of cp-1/apiserver\nnext: add api.example.com to spec.apiServer.certSANs",
    ),
    "a name that the spec has": (
        "certificate is valid for cp-1, kubernetes, not 10.0.0.11",
        "next: dial cp-1, kubernetes",
        "the spec gives cp-1/apiserver this name already",
    ),
    "a name of nobody": (
        "certificate is valid for example.org, not 192.0.2.1.",
        "or add 192.0.2.1 to",
        "a server that is not in this spec",
    ),
    "a name of etcd": (
        "certificate is valid for worker-1, 10.0.0.21, not worker-1.lan",
        "next: dial 10.0.0.21, worker-1",
        "next: add worker-1.lan to certSANs of its node",
    ),
    "anonymous": (
        ANONYMOUS,
        "the API server saw no credential at all",
        "users/<name>.conf, for dev1, glass",
    ),
    "a right that is missing": (
        cannot("delete", "pods", "", "web"),
        "next: see what there is with `kubectl auth can-i --list --as dev1`",
        'roles: [{namespace: web, rules: [{apiGroups: [""], resources: [pods], verbs: [delete]}]}]',
    ),
    "in the whole cluster": (
        cannot("list", "nodes", "metrics.k8s.io"),
        "then bind a role",
        "  rules: [{apiGroups: [metrics.k8s.io], resources: [nodes], verbs: [list]}]",
    ),
    "a right that was not applied": (
        cannot("patch", "deployments", "apps", "web"),
        "then bind a role",
        "its file was not applied, or was changed since\nnext: `kubectl apply -f addons/user-dev1.yaml`",
    ),
    "another namespace": (cannot("patch", "deployments", "apps", "prod"), "then bind", "namespace: prod"),
    "another verb": (cannot("get", "deployments", "apps", "web"), "then bind", "verbs: [get]"),
    "a path": (
        METRICS.format("/healthz"),
        "then bind",
        "rules: [{nonResourceURLs: [/healthz], verbs: [get]}]",
    ),
    "a path that was not applied": (
        METRICS.format("/metrics/x"),
        "then bind",
        "the spec gives it this right",
    ),
    "no more than a verb": ('User "dev1" cannot impersonate', "then bind", 'nonResourceURLs: ["/…"]'),
    "a service account": (
        cannot("get", "secrets", "", "web", user="system:serviceaccount:web:deployer"),
        "then bind",
        "next: add this to web.deployer in spec.users",
    ),
    "somebody else": (
        cannot("get", "secrets", "", "web", user="joe"),
        "then bind",
        "bind it yourself: `kubectl create rolebinding NAME -n web --clusterrole ROLE --user joe`",
    ),
    "a service account of nobody": (
        cannot("get", "secrets", "", "web", user="system:serviceaccount:kube-system:default"),
        "then bind",
        "--clusterrole ROLE --serviceaccount kube-system:default`",
    ),
    "what is bound": (
        cannot("delete", "pods", "", "web"),
        "then bind",
        "bound by the spec: ClusterRole view in the whole cluster (addons/user-dev1.yaml)",
    ),
    "somebody from IAM": (
        cannot("get", "secrets", "", "web", user="admin:ann@example.com"),
        "then bind",
        "spec.iam makes admin:ann@example.com of arn:aws:iam::111122223333:role/Admin",
    ),
    "one of IAM": (
        cannot("get", "secrets", "", user="bob"),
        "then bind",
        "next: add this to arn:aws:iam::111122223333:user/div/Bob in spec.iam, `pkigen apply`, `kubectl ",
    ),
    "admin.conf on the first day": (
        cannot("list", "nodes", "", user="kubernetes-admin"),
        "then bind",
        "`kubectl --kubeconfig super-admin.conf apply -f addons/cluster-admins.yaml`",
    ),
    "logs": (
        "Forbidden (user=kube-apiserver-kubelet-client, verb=get, resource=nodes, subresource(s)=[proxy])",
        "then bind",
        "`kubectl apply -f addons/apiserver-kubelet-client.yaml`: without it",
    ),
    "a kubelet": (
        cannot("get", "nodes", "", user="system:node:worker-1"),
        "then bind",
        "next: see that the Node object is called worker-1",
    ),
    "a kubelet of another node": (
        cannot("get", "nodes", "", user="system:node:worker-9"),
        "then bind",
        "no node of the spec is called worker-9",
    ),
    "etcd": (
        f'Get "https://10.0.0.11:2379/health": {UNKNOWN}',
        "kube-apiserver trusts --etcd-cafile",
        "etcd-ca of this cluster is sha256:",
    ),
    "a kubelet's certificate": (
        f'Get "https://10.0.0.21:10250/pods": {UNKNOWN}',
        "--kubelet-certificate-authority",
        "openssl s_client -showcerts -connect 10.0.0.21:10250",
    ),
    "a CA of the same name": (
        (
            f'{UNKNOWN} (possibly because of "x509: ECDSA verification failure" while trying to verify '
            'candidate authority certificate "kubernetes")'
        ),
        "it knows a CA of the same name, kubernetes, with another key",
        "is of an earlier CA, or of another cluster",
    ),
    "a client that the API server does not know": (
        (
            'authentication.go:75] "Unable to authenticate the request" err="[x509: certificate signed by '
            'unknown authority]"'
        ),
        "a server refuses the client's certificate",
        "the cluster's CA is sha256:",
    ),
    "a client that does not know the API server": (
        "http: TLS handshake error from 10.0.0.9:1234: remote error: tls: bad certificate",
        "a client broke off",
        "the cluster's CA is sha256:",
    ),
    "a name that openssl does not say": (
        "verify error:num=62:hostname mismatch",
        "`pkigen explain apiserver DIR` lists its names",
        "next: ",
    ),
    "a name that curl says": (
        "curl: (60) SSL: no alternative certificate subject name matches target host name 'api.example.com'",
        "set tls-server-name in the kubeconfig",
        "it is the certificate of cp-1/apiserver\nnext: add api.example.com to spec.apiServer.certSANs",
    ),
    "a token for others": (
        "invalid bearer token, token audiences [vault] is invalid for the target audiences",
        "it is for others, by its audiences",
        "this cluster's API servers are https://kubernetes.default.svc.cluster.local",
    ),
    "Kubernetes itself": (
        cannot("get", "secrets", "", user="system:kube-scheduler"),
        "then bind",
        "it is an identity of Kubernetes itself",
    ),
    "expired": (
        "x509: certificate has expired or is not yet valid: current time",
        "`date` on",
        "ca CA ends in",
    ),
    "unauthorized": (
        "error: You must be logged in to the server (Unauthorized)",
        "the API server refuses the credential",
        "`pkigen apply` makes a new one",
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_failures(place: Place, failure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, alone, known = FAILURES[failure]
    monkeypatch.chdir(place.folder)
    assert alone in explained(place, "--error", text)
    out = explained(place, text, place.tree)
    assert known in out
    assert out == explained(place, "--error", text, place.tree)
    assert out == explained(place, "--error", text, place.spec, "--pki", place.tree)


def test_every_failure_says_what_to_do_next(place: Place) -> None:
    for text, _, _ in FAILURES.values():
        for arguments in ((), (place.tree,)):
            assert "next: " in explained(place, "--error", text, *arguments)


def test_an_error_from_standard_input(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(UNKNOWN.encode())

    monkeypatch.setattr("sys.stdin", Stdin)
    assert "trust bundle" in explained(place, "--error", "-")


def test_other_errors(place: Place, tmp_path: Path) -> None:
    result = place.run("explain", "--error", "no space left on device")
    assert (result.code, result.error) == (1, "this message is not one that pkigen knows")
    (place.tree / "pki/ca.crt").unlink()
    (place.tree / "pki/ca.key").unlink()
    assert "trust bundle" in explained(place, "--error", UNKNOWN, place.tree)
    nobody = tmp_path / "nobody.yaml"
    nobody.write_text(place.spec.read_text().partition("  users:")[0])
    assert "users/<name>.conf" not in explained(place, "--error", ANONYMOUS, nobody)
