"""`pkigen explain`: credentials, components and files in words."""

# ruff: noqa: E501 -- lines stand here as they are printed

from __future__ import annotations

import base64
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue
from pkigen.crypto.keys import ALGORITHMS, load_own_private
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from tests.access.made_requests import plain, request
from tests.access.team_cluster import UID
from tests.cli.program import DAY, NOW, unaddressed

if TYPE_CHECKING:
    from pathlib import Path

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
    "kubernetes-admin": ("admin.conf: a client certificate", "kubeadm:cluster-admins"),
    "system:node:worker-1": ("worker-1/kubelet.conf: a client certificate", "the Node authorizer"),
    "system:masters": ("system:masters: a group of Kubernetes", "glass", "bypasses RBAC"),
    "system:authenticated": ("everybody whom the API server has authenticated", "system:basic-user"),
    "system:nodes": ("in this spec: cp-1/kubelet.conf, worker-1/kubelet.conf",),
    "system:serviceaccounts:web": ("all service accounts of the namespace web",),
    "kubeadm:cluster-admins": ("ClusterRole cluster-admin",),
    "platform-team": ("platform-team: a group\n", "in this spec: dev1", "what the cluster binds to it"),
    "admins": (
        "admin:{{SessionName}} of arn:aws:iam::111122223333:role/Admin",
        "ClusterRole view in the whole cluster (addons/iam.yaml)",
    ),
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
    assert unaddressed(far.hint) == "`pkigen status` lists the certificates"


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
    assert "a certificate for serving and for clients: that of this cluster's cp-1/etcd-server\n" in etcd
    assert "broken" not in etcd
    asked = explained(place, place.write("a.csr", request(plain("ann"), None)))
    assert "a certificate signing request, CN=ann; key ECDSA-P256" in asked
    token = place.write(
        "token", place.run("access", "token", "--service-account", "web/deployer", "-C", place.tree).out
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


# What a certificate of the tree is, without and with the cluster.
CERTIFICATES: dict[str, tuple[str, str]] = {
    "pki/ca.crt": ("a CA certificate\n", "a CA certificate: that of this cluster's ca\n"),
    "pki/etcd/ca.crt": ("it is never presented itself", "this cluster's etcd-ca\n"),
    "nodes/cp-1/etc/kubernetes/pki/apiserver.crt": (
        "a serving certificate\n",
        "a serving certificate: that of this cluster's cp-1/apiserver\n",
    ),
    "nodes/cp-1/etc/kubernetes/pki/apiserver-etcd-client.crt": (
        "groups:     system:authenticated",
        "presented to: etcd on cp-1",
    ),
    "nodes/cp-1/etc/kubernetes/pki/front-proxy-client.crt": (
        "user:       front-proxy-client",
        "presented to: aggregated API servers",
    ),
}


@pytest.mark.parametrize("file", CERTIFICATES)
def test_a_certificate_as_what_it_is(place: TeamCluster, file: str) -> None:
    alone, known = CERTIFICATES[file]
    for said, expected in (
        (explained(place, place.tree / file), alone),
        (explained(place, place.tree / file, "-C", place.tree), known),
    ):
        assert expected in said
        assert "broken" not in said


def test_a_file_with_a_long_path(place: TeamCluster) -> None:
    folder = place.folder.joinpath(*["d" * 60] * 4)
    folder.mkdir(parents=True)
    file = folder / "dev1.conf"
    file.write_bytes((place.tree / "users/dev1.conf").read_bytes())
    assert "dev1" in explained(place, file)


def test_a_certificate_of_another_cluster(place: TeamCluster) -> None:
    other = place.folder / "other"
    assert place.run("init", place.spec, "-C", other).code == 0
    for file, expected in (
        ("pki/ca.crt", "this cluster: it is not ca: the same name, with another key"),
        (
            "nodes/cp-1/etc/kubernetes/pki/apiserver.crt",
            "this cluster: none of its CAs accepts it: a CA of the same name, but with another key",
        ),
        (
            "nodes/cp-1/etc/kubernetes/pki/apiserver-etcd-client.crt",
            "this cluster: refuses it: no trusted CA has signed it",
        ),
    ):
        assert expected in explained(place, other / file, "-C", place.tree)


def test_a_wildcard_comes_first(place: TeamCluster) -> None:
    """What it stands for is verified by, not the domain below it, which it does not name."""
    authority, key = ((place.tree / f"pki/ca.{ending}").read_bytes() for ending in ("crt", "key"))
    issued = issue(
        CertificateContent(
            subject=Subject(common_name="web"),
            sans=SANs.of("*.apps.example", "web.example"),
            profile=Profile.SERVER,
            validity=DAY,
        ),
        key=ALGORITHMS[KeyAlgorithm.ECDSA_P256].generate(),
        issuer=Issuer(certificate=x509.load_pem_x509_certificate(authority), key=load_own_private(key)),
        now=NOW,
        entropy=secrets.token_bytes,
    )
    served = place.write("w.crt", certificate_pem(issued.certificate))
    assert "this cluster: its ca signed it" in explained(place, served, "-C", place.tree)


def test_what_was_issued_before(place: TeamCluster) -> None:
    """Certificates of the cluster's CAs that the tree no longer has, or never had."""
    pki = place.tree / "nodes/cp-1/etc/kubernetes/pki"
    kept = {name: (pki / name).read_bytes() for name in ("apiserver-etcd-client.crt", "etcd/server.crt")}
    assert place.run("renew", "--all", place.spec, "-C", place.tree, "--yes").code == 0
    etcd = explained(place, place.write("c.crt", kept["apiserver-etcd-client.crt"]), "-C", place.tree)
    assert "presented to: etcd, by --trusted-ca-file" in etcd
    assert "this cluster: its etcd-ca signed it" in etcd
    served = explained(place, place.write("s.crt", kept["etcd/server.crt"]), "-C", place.tree)
    assert "its etcd-ca signed it" in served


def test_a_request_as_the_cluster_takes_it(place: TeamCluster) -> None:
    """pkigen's own manifest, DER and base64: what `sign` reads is explained."""
    pem = request(plain("ann", "dev"))
    manifest = place.run("access", "csr", "manifest", "--csr", place.write("ann.csr", pem)).out
    der = x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER)
    assert "kind: CertificateSigningRequest" in manifest
    for content in (manifest, der, base64.b64encode(pem), base64.b64encode(der)):
        said = explained(place, place.write("asked", content))
        assert "a certificate signing request, O=dev, CN=ann; key ECDSA-P256" in said


def entry_of(place: TeamCluster, **changes: str | None) -> Path:
    """dev1's kubeconfig with other fields in its cluster."""
    config = yaml.safe_load((place.tree / "users/dev1.conf").read_text())
    fields = config["clusters"][0]["cluster"]
    fields |= {name.replace("_", "-"): value for name, value in changes.items()}
    config["clusters"][0]["cluster"] = {name: value for name, value in fields.items() if value is not None}
    return place.write("dev1.conf", yaml.safe_dump(config))


SERVERS: dict[str, tuple[dict[str, str | None], str]] = {
    "as it is": ({}, "kubectl accepts its API servers as 10.0.0.11"),
    "a name that it has": (
        {"server": "https://kubernetes:443"},
        "kubectl accepts its API servers as kubernetes",
    ),
    "another name": (
        {"server": "https://api.example.com"},
        "kubectl refuses its API servers: no certificate has the name api.example.com; add it to spec.apiServer.",
    ),
    "another address": ({"server": "https://[::1]:6443"}, "no certificate has the address ::1"),
    "named otherwise": (
        {"server": "https://api.example.com", "tls_server_name": "kubernetes"},
        "kubectl accepts its API servers as kubernetes",
    ),
    "no CA": (
        {"certificate_authority_data": None},
        "kubectl refuses its API servers: the kubeconfig has no CA",
    ),
    "no TLS": ({"server": "http://10.0.0.11:6443"}, "the server's address is not https://"),
    "a CA that is not there": (
        {"certificate_authority_data": None, "certificate_authority": "none.crt"},
        "kubectl refuses its API servers: its CA ",
    ),
}


@pytest.mark.parametrize("case", SERVERS)
def test_what_kubectl_would_say_to_the_servers(place: TeamCluster, case: str) -> None:
    changes, expected = SERVERS[case]
    assert expected in explained(place, entry_of(place, **changes), "-C", place.tree)


def test_a_kubeconfig_with_the_ca_of_another_cluster(place: TeamCluster) -> None:
    other = place.folder / "other"
    assert place.run("init", place.spec, "-C", other).code == 0
    foreign = base64.b64encode((other / "pki/ca.crt").read_bytes()).decode()
    said = explained(place, entry_of(place, certificate_authority_data=foreign), "-C", place.tree)
    assert (
        "kubectl refuses its API servers: a CA of the same name, but with another key, has signed it" in said
    )
    assert "this cluster: refuses it: " in explained(place, other / "users/dev1.conf", "-C", place.tree)


def test_tokens_of_this_cluster_and_of_others(place: TeamCluster) -> None:
    other = place.folder / "other"
    assert place.run("init", place.spec, "-C", other).code == 0
    own = place.run("access", "token", "--service-account", "web/deployer", "-C", place.tree).out.strip()
    head, _, signature = own.rpartition(".")
    forged = f"{head}.{signature[:-8]}AAAAAAAA"
    foreign = place.run("access", "token", "--service-account", "web/deployer", "-C", other).out.strip()
    vault = place.run(
        "access", "token", "--service-account", "web/deployer", "--audience", "vault", "-C", place.tree
    ).out
    for token, expected in (
        (own, "this cluster: one of its service account keys has signed it"),
        (forged, "this cluster: refuses it: none of its service account keys has signed it"),
        (foreign, "this cluster: refuses it: none of its service account keys has signed it"),
        (vault, "this cluster: refuses it: its API servers are https://kubernetes.default.svc"),
    ):
        assert expected in explained(place, place.write("token", token), "-C", place.tree)
    used = explained(place, place.tree / "users/web.deployer.conf", "-C", place.tree)
    assert "this cluster: one of its service account keys has signed it" in used
    stolen = explained(place, other / "users/web.deployer.conf", "-C", place.tree)
    assert "none of its service account keys has signed it" in stolen


def test_files_that_cannot_be_read(place: TeamCluster) -> None:
    damaged = place.write("c.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert "holds a certificate that cannot be read" in place.run("explain", damaged).error
    for content, said in (
        ("a b c", "is neither a kubeconfig nor a PEM certificate, a request or a token"),
        (b"\xff\xfe\0", "holds UTF-16 text"),
        (b"\xff\0", "is neither a kubeconfig nor"),
        (b" \n", "is empty"),
        (b"\x30\x82\x01\x00\x02\x01\x03", "holds PKCS #12: `openssl pkcs12"),
        ("-----BEGIN PKCS7-----\n", "holds PKCS #7: `openssl pkcs7"),
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


def test_a_certificate_in_other_forms(place: TeamCluster) -> None:
    """DER, and base64 of either, as the fields of a kubeconfig have it."""
    pem = (place.tree / "nodes/cp-1/etc/kubernetes/pki/etcd/peer.crt").read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    for name, content in (
        ("a.der", der),
        ("a.b64", base64.b64encode(der)),
        ("a.txt", base64.encodebytes(pem)),
    ):
        said = explained(place, place.write(name, content), "-C", place.tree)
        assert "a certificate for serving and for clients: that of this cluster's cp-1/etcd-peer" in said


def test_everything_that_a_bundle_holds_is_named(place: TeamCluster) -> None:
    both = (place.tree / "pki/ca.crt").read_bytes() + (place.tree / "pki/etcd/ca.crt").read_bytes()
    said = explained(place, place.write("both.pem", both), "-C", place.tree)
    assert "a CA certificate: that of this cluster's ca\n" in said
    assert "  holds, too:   CN=etcd-ca\n" in said


def _token(place: TeamCluster, *arguments: str) -> bytes:
    done = place.run("access", "token", "--service-account", "web/deployer", *arguments, "-C", place.tree)
    assert done.code == 0, done
    return done.out.strip().encode()


def test_tokens_that_would_be_refused(place: TeamCluster) -> None:
    """One of before the account was made again, one that is over, and one that pkigen's keys do not sign."""
    good, gone = _token(place), _token(place, "--uid", "00000000-0000-4000-8000-000000000000")
    said = explained(place, place.write("good", good), "-C", place.tree)
    assert "this cluster: one of its service account keys has signed it" in said
    said = explained(place, place.write("gone", gone), "-C", place.tree)
    assert f"this cluster: refuses it: the account's UID is {UID} by the spec" in said
    said = explained(place, place.write("opaque", b"0123456789abcdef0123"), "-C", place.tree)
    assert "this cluster: no key of pkigen's has signed it" in said
    place.at(NOW + 400 * DAY)
    said = explained(place, place.write("good", good), "-C", place.tree)
    assert "this cluster: refuses it: the token expired" in said


GROUPS = {
    "system:authenticated": "in this spec: everybody, and every component",
    "system:unauthenticated": "in this spec: nobody",
    "system:serviceaccounts": "in this spec: web/deployer, web/robot",
    "system:serviceaccounts:web": "in this spec: web/deployer, web/robot",
    "system:serviceaccounts:kube-system": "in this spec: nobody",
    "system:bootstrappers:kubeadm:default-node-token": "members:      whoever has a bootstrap token",
    "system:monitoring": "permissions:  /healthz, /livez, /metrics and /readyz",
    "platform-team": "in this spec: dev1",
}


@pytest.mark.parametrize("group", GROUPS)
def test_who_of_the_spec_is_in_a_group(place: TeamCluster, group: str) -> None:
    assert GROUPS[group] in explained(place, group, "-C", place.tree)
