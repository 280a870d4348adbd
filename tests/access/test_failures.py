"""`pkigen explain` of an error: what it means, and the next step out of it."""

# ruff: noqa: E501 -- messages stand here as programs write them

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from tests.cli.program import unaddressed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.access.team_cluster import TeamCluster


def explained(place: TeamCluster, *arguments: object) -> str:
    result = place.run("explain", *arguments)
    assert result.code == 0, result.err
    return result.out


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
    "unknown authority": (UNKNOWN, "`pkigen access kubeconfig show FILE`", "the cluster's CA is sha256:"),
    "a wrong name": (
        WRONG,
        "or add api.example.com to spec.apiServer.certSANs",
        "it is the certificate of cp-1/apiserver\nnext: add api.example.com to spec.apiServer.certSANs",
    ),
    "a name that the spec has": (
        "certificate is valid for cp-1, kubernetes, not 10.0.0.11",
        "next: connect to cp-1, kubernetes",
        "the spec gives cp-1/apiserver this name already",
    ),
    "a name of nobody": (
        "certificate is valid for example.org, not 192.0.2.1.",
        "or add 192.0.2.1 to",
        "a server that is not in this spec",
    ),
    "a name of etcd": (
        "certificate is valid for worker-1, 10.0.0.21, not worker-1.lan",
        "next: connect to 10.0.0.21, worker-1",
        "next: add worker-1.lan to certSANs of its node",
    ),
    "a name that etcd has and the API server does not": (
        f"certificate is valid for cp-1, {NAMES}, 10.0.0.11, not localhost",
        "(`kubectl --tls-server-name`)",
        (
            "it is the certificate of cp-1/apiserver\nnext: add localhost to spec.apiServer.certSANs (or certSANs of "
            "the node), run `pkigen apply`, and copy the node's files, or connect with `kubectl --tls-server-name cp-1`"
        ),
    ),
    "a kubelet behind the API server": (
        (
            "Error from server: error dialing backend: tls: failed to verify certificate: x509: certificate is valid for "
            "worker-1, 10.0.0.21, not worker-1.lan"
        ),
        "it is the certificate of a kubelet",
        "it is the certificate of worker-1/kubelet-serving\nnext: add worker-1.lan to certSANs of its node",
    ),
    "a kubelet at its port": (
        (
            'Get "https://10.0.0.11:10250/pods": x509: cannot validate certificate for 10.0.0.11 because it '
            "doesn't contain any IP SANs"
        ),
        "it is the certificate of a kubelet",
        "it is the certificate of cp-1/kubelet-serving\nthe spec gives cp-1/kubelet-serving this name already",
    ),
    "a peer of etcd": (
        (
            'Get "https://10.0.0.11:2380/members": x509: certificate is valid for localhost, cp-1, 10.0.0.11, '
            "127.0.0.1, ::1, not etcd-1"
        ),
        "it is the certificate of etcd, for its other members",
        "it is the certificate of cp-1/etcd-peer\nnext: add etcd-1 to spec.etcd.peerCertSANs",
    ),
    "a webhook": (
        "x509: certificate is valid for localhost.localdomain, not metrics-server.kube-system.svc",
        "next: ",
        "or a webhook or aggregated API server, whose certificates pkigen does not make",
    ),
    "a client that refuses etcd": (
        'rejected connection from "10.0.0.11:1" (error "remote error: tls: bad certificate", ServerName "")',
        "a client aborted: it does not trust the CA of this server's certificate",
        "etcd-ca of this cluster is sha256:",
    ),
    "a client that etcd refuses": (
        f'rejected connection on client endpoint","remote-addr":"10.0.0.11:1","error":"{UNKNOWN}"',
        "that is --trusted-ca-file of etcd",
        "etcd-ca of this cluster is sha256:",
    ),
    "a server's certificate as a client's": (
        (
            'rejected connection from "127.0.0.1:46322" (error "tls: failed to verify client\'s certificate: x509: '
            'certificate specifies an incompatible key usage", ServerName "")'
        ),
        "the certificate that the client presents is not for clients: its extendedKeyUsage lacks clientAuth",
        "etcd needs both usages in server.crt and peer.crt",
    ),
    "a client's certificate as a server's": (
        'Get "https://10.0.0.21:10250/pods": x509: certificate specifies an incompatible key usage',
        "the certificate that the server presents is not for servers: its extendedKeyUsage lacks serverAuth",
        "for kubelet-serving",
    ),
    "a kubelet without a certificate": (
        "Error from server: error dialing backend: remote error: tls: internal error",
        "`kubectl certificate approve NAME`",
        "the server has no certificate to present",
    ),
    "anonymous": (
        ANONYMOUS,
        "no credential reached the API server",
        "users/<name>.conf, for dev1, glass",
    ),
    "a right that is missing": (
        cannot("delete", "pods", "", "web"),
        "next: list its permissions with `kubectl auth can-i --list --as dev1`",
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
    "a subresource of whatever has it": (
        cannot("update", "statefulsets/scale", "apps", "web"),
        "then bind a role",
        "its file was not applied, or was changed since\nnext: `kubectl apply -f addons/user-dev1.yaml`",
    ),
    "a subresource of another verb": (
        cannot("patch", "pods/scale", "apps", "web"),
        "then bind",
        "verbs: [patch]",
    ),
    "another namespace": (cannot("patch", "deployments", "apps", "prod"), "then bind", "namespace: prod"),
    "another verb": (cannot("delete", "deployments", "apps", "web"), "then bind", "verbs: [delete]"),
    "what view allows everywhere": (
        cannot("watch", "pods/log", "", "prod"),
        "then bind",
        "its file was not applied, or was changed since\nnext: `kubectl apply -f addons/user-dev1.yaml`",
    ),
    "what view does not allow": (cannot("get", "secrets", "", "web"), "then bind", "next: add this to dev1"),
    "what edit allows in a namespace": (
        cannot("create", "pods/exec", "", "web", user="system:serviceaccount:web:deployer"),
        "then bind",
        "next: `kubectl apply -f addons/user-web.deployer.yaml`",
    ),
    "what edit allows in another namespace": (
        cannot("create", "pods/exec", "", "prod", user="system:serviceaccount:web:deployer"),
        "then bind",
        "next: add this to web/deployer in spec.users",
    ),
    "what only admin allows": (
        cannot("create", "rolebindings", "rbac.authorization.k8s.io", "web", user="bob"),
        "then bind",
        "next: add this to arn:aws:iam::111122223333:user/div/Bob in spec.iam",
    ),
    "no kubeconfig": (
        "The connection to the server localhost:8080 was refused - did you specify the right host or port?",
        "kubectl has no kubeconfig",
        "next: give one with --kubeconfig",
    ),
    "no credential in it": (
        "Please enter Username: ",
        "has no credential",
        "`pkigen access kubeconfig show FILE`",
    ),
    "no ConfigMap of IAM": (
        'Error from server (NotFound): configmaps "aws-auth" not found',
        "no user of AWS IAM is known",
        "`pkigen access iam` renders it",
    ),
    "a path": (
        METRICS.format("/healthz"),
        "then bind",
        "rules: [{nonResourceURLs: [/healthz], verbs: [get]}]",
    ),
    "a path that was not applied": (
        METRICS.format("/metrics/x"),
        "then bind",
        "the spec grants this permission",
    ),
    "no more than a verb": ('User "dev1" cannot impersonate', "then bind", 'nonResourceURLs: ["/…"]'),
    "a service account": (
        cannot("get", "nodes", "", user="system:serviceaccount:web:deployer"),
        "then bind",
        "next: add this to web/deployer in spec.users",
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
        cannot("get", "nodes", "", user="bob"),
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
        "for the kubelet, check that the Node object is called worker-1",
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
        "it trusts a CA of the same name, kubernetes, with another key",
        "that is an earlier CA, or another cluster's",
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
        "a client aborted: it does not trust",
        "the cluster's CA is sha256:",
    ),
    "a name that openssl does not say": (
        "verify error:num=62:hostname mismatch",
        "`pkigen explain apiserver -C DIR` lists its names",
        "next: ",
    ),
    "a name that curl says": (
        "curl: (60) SSL: no alternative certificate subject name matches target host name 'api.example.com'",
        "set tls-server-name in the kubeconfig",
        "it is the certificate of cp-1/apiserver\nnext: add api.example.com to spec.apiServer.certSANs",
    ),
    "a token for others": (
        "invalid bearer token, token audiences [vault] is invalid for the target audiences",
        "it is for other audiences",
        "this cluster's API servers are https://kubernetes.default.svc.cluster.local",
    ),
    "Kubernetes itself": (
        cannot("get", "secrets", "", user="system:kube-scheduler"),
        "then bind",
        "it is reserved for Kubernetes, which binds its own users itself",
    ),
    "a token of a node that joins": (
        cannot("create", "certificatesigningrequests", "certificates.k8s.io", user="system:bootstrap:abcdef"),
        "then bind",
        "what `pkigen access bootstrap-token` wrote",
    ),
    "super-admin.conf": (
        cannot("get", "nodes", "", user="kubernetes-super-admin"),
        "then bind",
        "whether its certificate has the group system:masters",
    ),
    "a kubelet with another node's files": (
        'Get "https://10.0.0.11:10250/pods": x509: certificate is valid for worker-1, 10.0.0.21, not 10.0.0.11',
        "it is the certificate of a kubelet",
        (
            "it is the certificate of worker-1/kubelet-serving, and 10.0.0.11:10250 is where cp-1/kubelet-serving belongs\n"
            "next: copy the files of cp-1 to that node again"
        ),
    ),
    "a certificate without addresses at a strange place": (
        'Get "https://10.0.0.5:6443/": x509: cannot validate certificate for 10.0.0.5 because it doesn\'t contain any IP SANs',
        "that certificate has no addresses at all",
        "it is the certificate of a server that is not in this spec",
    ),
    "the scheduler's own": (
        'Get "https://127.0.0.1:10259/metrics": x509: certificate is valid for localhost, not 127.0.0.1',
        "kube-scheduler makes its serving certificate itself",
        "tls-cert-file and tls-private-key-file in scheduler.extraArgs",
    ),
    "the controller manager's own": (
        f'Get "https://cp-1:10257/metrics": tls: failed to verify certificate: x509: {UNKNOWN}',
        "kube-controller-manager makes its serving certificate itself",
        "curl -k https://127.0.0.1:10257/healthz",
    ),
    "a client without a certificate": (
        'rejected connection on client endpoint","error":"tls: client didn\'t provide a certificate"',
        "a server asks for a client certificate, and the client presented none",
        "etcd lets nobody in without one",
    ),
    "a name that the certificate has": (
        f"certificate is valid for {NAMES}, 10.0.0.11, not kube.local",
        "`kubectl --tls-server-name`",
        "or connect with `kubectl --tls-server-name kubernetes`",
    ),
    "a certificate that a kubelet waits for": (
        "kubernetes.io/kube-apiserver-client-kubelet: Reached backoff limit, still unable to rotate certs: timed out",
        "a kubelet asks the cluster for a new client certificate, and gets none",
        "`kubectl apply -f addons/node-certificate-rotation.yaml`",
    ),
    "expired": (
        "x509: certificate has expired or is not yet valid: current time",
        "`date` on",
        "ca CA expires in",
    ),
    "unauthorized": (
        "error: You must be logged in to the server (Unauthorized)",
        "the API server refuses the credential",
        "the role must be in spec.iam (arn:aws:iam::111122223333:role/Admin, ",
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_failures(place: TeamCluster, failure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, alone, known = FAILURES[failure]
    monkeypatch.chdir(place.folder)
    assert alone in explained(place, "--error", text)
    out = explained(place, text, "-C", place.tree)
    assert known in unaddressed(out)
    assert out == explained(place, "--error", text, "-C", place.tree)
    assert out == explained(place, "--error", text, place.spec, "-C", place.tree)


def test_every_failure_says_what_to_do_next(place: TeamCluster) -> None:
    for text, _, _ in FAILURES.values():
        for arguments in ((), ("-C", place.tree)):
            assert "next: " in explained(place, "--error", text, *arguments)


def test_an_error_from_standard_input(place: TeamCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(UNKNOWN.encode())

    monkeypatch.setattr("sys.stdin", Stdin)
    assert "trust bundle" in explained(place, "--error", "-")


def test_other_errors(place: TeamCluster, tmp_path: Path) -> None:
    result = place.run("explain", "--error", "no space left on device")
    assert (result.code, result.error) == (1, "pkigen does not know this message")
    (place.tree / "pki/ca.crt").unlink()
    (place.tree / "pki/ca.key").unlink()
    assert "trust bundle" in explained(place, "--error", UNKNOWN, "-C", place.tree)
    nobody = tmp_path / "nobody.yaml"
    nobody.write_text(place.spec.read_text().partition("  users:")[0])
    assert "users/<name>.conf" not in explained(place, "--error", ANONYMOUS, nobody)
