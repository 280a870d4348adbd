"""`pkigen explain` beside real programs: what it says of their messages, and whether it comes true."""

from __future__ import annotations

import base64
import copy
import json
import shlex
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.faults import scenes
from tests.live import certificates, programs
from tests.live.control_plane import CREATE, Cluster, apply_addons, boot_static_pods, make, plug_in, spec_text
from tests.live.hosts import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

_ADDRESS = "10.20.0.41"
_NOW = datetime.now(UTC)
_SECONDS = 180
_DAY = timedelta(days=1)
_SPEC: dict[str, Any] = {
    "nodes": [{"name": "cp-1", "roles": ["control-plane", "worker"], "addresses": [_ADDRESS]}],
    "users": [
        {"name": "ann", "namespace": "web", "roles": [{"namespace": "web", "clusterRole": "admin"}]},
        {"name": "late", "clusterRoles": ["view"]},
    ],
}
_WEB = "{apiVersion: v1, kind: Namespace, metadata: {name: web}}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    programs.require(*programs.LEAST)
    made = make(tmp_path_factory.mktemp("messages"), spec_text("messages", _SPEC))
    with Network() as network:
        plug_in(network, made, {"cp-1": (_ADDRESS,)})
        boot_static_pods(made)
        super_admin = made.kubeconfig("cp-1", "super-admin.conf")
        made.kubectl("cp-1", super_admin, *CREATE, stdin=_WEB)
        apply_addons(made, "cp-1", super_admin)
        # `admin` is empty until the controller manager leads and has put it together.
        deadline = time.monotonic() + _SECONDS
        rules = ("get", "clusterrole", "admin", "-o", "jsonpath={.rules[0].verbs}")
        while not made.kubectl("cp-1", super_admin, *rules):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        yield made


def _explained(cluster: Cluster, *arguments: object) -> str:
    done = scenes.pkigen("explain", *arguments, "-C", cluster.out)
    assert done.code == 0, done
    return done.out


def _said(cluster: Cluster, command: str) -> str:
    """What a program says that does not succeed, in its own words."""
    kubernetes = cluster.kubeconfig("cp-1", ".")
    places = {"E": kubernetes, "U": cluster.out / "users", "L": cluster.scratch / "cp-1-etcd.log"}
    words = command.format(K="kubectl --request-timeout=30s", **places)
    done = cluster.machines["cp-1"].attempt("sh", "-c", words)
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


# A command that fails, and what `explain` says of its message.
MESSAGES = {
    "a name": (
        "{K} --kubeconfig {E}/admin.conf --server https://localhost:6443 get nodes",
        "it is the certificate of cp-1/apiserver\nnext: add localhost to spec.apiServer.certSANs",
    ),
    "an address": (
        "{K} --kubeconfig {E}/admin.conf --server https://127.0.0.1:6443 get nodes",
        "it is the certificate of cp-1/apiserver\nnext: add 127.0.0.1 to spec.apiServer.certSANs",
    ),
    "a name, by curl": (
        "curl -sS --cacert {E}/pki/ca.crt https://localhost:6443/",
        "if an API server did, it is the certificate of cp-1/apiserver\nnext: add localhost to",
    ),
    "a name, by a talkative curl": (
        "curl -v --cacert {E}/pki/ca.crt https://localhost:6443/",
        "it is the certificate of cp-1/apiserver\nnext: add localhost to",
    ),
    "a name, by openssl": (
        (
            "openssl s_client -CAfile {E}/pki/ca.crt -verify_hostname a.example -verify_return_error "
            f"-connect {_ADDRESS}:6443 </dev/null"
        ),
        "the client connects to a name that the server's certificate does not contain",
    ),
    "a name, by Python": (
        shlex.quote(sys.executable)
        + ' -c \'import ssl, urllib.request as u; u.urlopen("https://localhost:6443/", '
        'context=ssl.create_default_context(cafile="{E}/pki/ca.crt"))\'',
        "the client connects to localhost, which is not among the names of the server's certificate",
    ),
    "the controller manager": (
        "curl -v --cacert {E}/pki/ca.crt https://127.0.0.1:10257/healthz",
        "kube-controller-manager makes its serving certificate itself",
    ),
    "the scheduler": (
        "curl -v --cacert {E}/pki/ca.crt https://127.0.0.1:10259/healthz",
        "kube-scheduler makes its serving certificate itself",
    ),
    "no kubeconfig": ("HOME=/nowhere {K} get nodes", "kubectl has no kubeconfig"),
    "nobody": (
        "{K} --kubeconfig /tmp/nobody.conf get nodes </dev/null",
        "the kubeconfig's user has no credential",
    ),
    "an old program": ("{K} --kubeconfig /tmp/old.conf get nodes", "speak different versions of"),
    "a program of another version": (
        "{K} --kubeconfig /tmp/other.conf get nodes",
        "speak different versions of",
    ),
    "no program": (
        "{K} --kubeconfig /tmp/missing.conf get nodes",
        "from a program (exec) that kubectl does not find",
    ),
    "a program that fails": (
        "{K} --kubeconfig /tmp/failing.conf get nodes",
        "gets its credential from (exec) failed",
    ),
    "another's key": (
        "{K} --kubeconfig /tmp/mismatch.conf get nodes",
        "with a private key that is not its own",
    ),
    "no such context": (
        "{K} --kubeconfig {E}/admin.conf --context nope get nodes",
        "has no context of that name",
    ),
    "a token of nobody": (
        "{K} --kubeconfig /tmp/token.conf get nodes",
        "the API server refuses the credential",
    ),
    "no ConfigMap": (
        "{K} --kubeconfig {E}/admin.conf -n kube-system get configmap aws-auth",
        "no user of AWS IAM is known to it",
    ),
    "more than view": (
        "{K} --kubeconfig {U}/late.conf get secrets -A",
        'rules: [{apiGroups: [""], resources: [secrets], verbs: [list]}]',
    ),
    "more than one has": (
        "{K} --kubeconfig {U}/ann.conf -n web create rolebinding x --clusterrole cluster-admin --user ann",
        "whoever gives a permission must have it",
    ),
    "a kubelet": (
        "{K} --kubeconfig {E}/kubelet.conf get nodes",
        "next: for yourself, take admin.conf; for the kubelet",
    ),
    "an old kind": (
        (
            "echo '{{apiVersion: extensions/v1beta1, kind: Ingress, metadata: {{name: x}}}}' | "
            "{K} --kubeconfig {E}/admin.conf apply --validate=false -f -"
        ),
        "a file has a kind of object in a version that the program reading it does not know",
    ),
    "a client of etcd without a certificate": (
        (
            "curl -sS --cacert {E}/pki/etcd/ca.crt https://127.0.0.1:2379/health; "
            'grep "didn\'t provide" {L}; false'
        ),
        "etcd lets nobody in without one",
    ),
}


def _program(*command: str, version: str = "v1") -> dict[str, Any]:
    program, *arguments = command
    api = f"client.authentication.k8s.io/{version}"
    return {"exec": {"apiVersion": api, "command": program, "args": arguments, "interactiveMode": "Never"}}


_OLD = json.dumps({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1alpha1"})
_USERS: dict[str, dict[str, Any]] = {
    "nobody": {},
    "old": _program("aws", version="v1alpha1"),
    "other": _program("echo", _OLD),
    "missing": _program("no-such-program"),
    "failing": _program("false"),
    "token": {"token": "abcdefghijklmnop"},
}


@pytest.mark.parametrize("case", MESSAGES)
def test_the_messages_of_real_programs(cluster: Cluster, case: str) -> None:
    command, expected = MESSAGES[case]
    machine = cluster.machines["cp-1"]
    admin = yaml.safe_load(cluster.kubeconfig("cp-1", "admin.conf").read_text())
    key = yaml.safe_load((cluster.out / "users/late.conf").read_text())["users"][0]["user"]["client-key-data"]
    mismatch = {**admin["users"][0]["user"], "client-key-data": key}
    for name, user in {**_USERS, "mismatch": mismatch}.items():
        text = json.dumps({**admin, "users": [{"name": admin["users"][0]["name"], "user": user}]})
        machine.run("sh", "-c", f"cat >/tmp/{name}.conf", stdin=text)
    said = _said(cluster, command)
    assert expected in _explained(cluster, "--error", said[-60_000:]), said


def test_the_way_out_of_a_wrong_name_works(cluster: Cluster) -> None:
    """The name to verify instead is taken from the answer, not from the test."""
    admin, server = cluster.kubeconfig("cp-1", "admin.conf"), ("--server", "https://localhost:6443")
    refused = cluster.try_kubectl("cp-1", admin, *server, "get", "namespaces")
    assert refused.returncode != 0
    said = _explained(cluster, "--error", refused.stderr)
    name = said.partition("`kubectl --tls-server-name ")[2].partition("`")[0]
    assert "web" in cluster.kubectl("cp-1", admin, *server, "--tls-server-name", name, "get", "namespaces")


def _own(
    cluster: Cluster, user: str = "late", *, signer: ec.EllipticCurvePrivateKey | None = None, **more: Any
) -> dict[str, str]:
    """A certificate as others make it: with nothing in it that it does not need."""
    pki = cluster.pki("cp-1")
    authority = x509.load_pem_x509_certificate((pki / "ca.crt").read_bytes())
    key = serialization.load_pem_private_key((pki / "ca.key").read_bytes(), None)
    own = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(certificates.name(user))
        .issuer_name(authority.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(more.get("begin", _NOW - _DAY))
        .not_valid_after(more.get("end", _NOW + _DAY))
    )
    for usage in more.get("usages", ()):
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    made = builder.sign(signer or key, hashes.SHA256())  # type: ignore[arg-type]
    private = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "client-certificate-data": base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode(),
        "client-key-data": base64.b64encode(private).decode(),
    }


def _files(cluster: Cluster, name: str) -> dict[str, str]:
    pki = cluster.pki("cp-1")
    return {"client-certificate": str(pki / f"{name}.crt"), "client-key": str(pki / f"{name}.key")}


def _ca(cluster: Cluster, *names: str) -> dict[str, str]:
    text = b"".join((cluster.pki("cp-1") / f"{name}.crt").read_bytes() for name in names)
    return {"certificate-authority-data": base64.b64encode(text).decode()}


# What of a kubeconfig is another: its cluster's fields, and its user.
_Changes = dict[str, Any]
KUBECONFIGS: dict[str, Callable[[Cluster], tuple[_Changes, _Changes | None]]] = {
    "as it is": lambda _: ({}, None),
    "a name that no certificate has": lambda _: ({"server": "https://localhost:6443"}, None),
    "an address that no certificate has": lambda _: ({"server": "https://127.0.0.1:6443"}, None),
    "another name to verify": lambda _: (
        {"server": "https://127.0.0.1:6443", "tls-server-name": "kubernetes"},
        None,
    ),
    "a wrong name to verify": lambda _: ({"tls-server-name": "other"}, None),
    "no TLS": lambda _: ({"server": f"http://{_ADDRESS}:6443"}, None),
    "no CA": lambda _: ({"certificate-authority-data": None}, None),
    "etcd's CA": lambda c: (_ca(c, "etcd/ca"), None),
    "two CAs": lambda c: (_ca(c, "etcd/ca", "ca"), None),
    "a CA by its path": lambda c: (
        {"certificate-authority-data": None, "certificate-authority": str(c.pki("cp-1") / "ca.crt")},
        None,
    ),
    "a CA that is not there": lambda _: (
        {"certificate-authority-data": None, "certificate-authority": "none.crt"},
        None,
    ),
    "nobody verifies": lambda _: (
        {"certificate-authority-data": None, "insecure-skip-tls-verify": True},
        None,
    ),
    "nobody verifies, by a CA": lambda _: ({"insecure-skip-tls-verify": True}, None),
    "etcd's client": lambda c: ({}, _files(c, "apiserver-etcd-client")),
    "the front proxy's": lambda c: ({}, _files(c, "front-proxy-client")),
    "the API server's for kubelets": lambda c: ({}, _files(c, "apiserver-kubelet-client")),
    "a server's": lambda c: ({}, _files(c, "apiserver")),
    "the CA itself": lambda c: ({}, _files(c, "ca")),
    "nothing in it": lambda c: ({}, _own(c)),
    "no user of the spec": lambda c: ({}, _own(c, "joe", usages=[x509.ExtendedKeyUsageOID.CLIENT_AUTH])),
    "for servers alone": lambda c: ({}, _own(c, usages=[x509.ExtendedKeyUsageOID.SERVER_AUTH])),
    "over": lambda c: ({}, _own(c, begin=_NOW - 3 * _DAY, end=_NOW - _DAY)),
    "not yet": lambda c: ({}, _own(c, begin=_NOW + _DAY, end=_NOW + 3 * _DAY)),
    "another CA of that name": lambda c: ({}, _own(c, signer=ec.generate_private_key(ec.SECP256R1()))),
    "no key": lambda c: ({}, {key: value for key, value in _own(c).items() if "key" not in key}),
    "another's key": lambda c: ({}, {**_own(c), "client-key-data": _own(c)["client-key-data"]}),
    "nothing": lambda _: ({}, {}),
    "a token of no key": lambda _: ({}, {"token": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"}),
}
_WORKS = frozenset(
    {
        "as it is",
        "another name to verify",
        "two CAs",
        "a CA by its path",
        "nobody verifies",
        "the API server's for kubelets",
        "the CA itself",
        "nothing in it",
        "no user of the spec",
    }
)
_AGAINST = ("refuses it", "broken:", "HTTPS alone", "no key of pkigen's has signed it")


@pytest.mark.parametrize("case", KUBECONFIGS)
def test_what_is_said_of_a_kubeconfig_comes_true(cluster: Cluster, case: str) -> None:
    changes, user = KUBECONFIGS[case](cluster)
    config: dict[str, Any] = copy.deepcopy(
        yaml.safe_load(cluster.kubeconfig("cp-1", "admin.conf").read_text())
    )
    entry = config["clusters"][0]["cluster"]
    entry.update(changes)
    config["clusters"][0]["cluster"] = {key: value for key, value in entry.items() if value is not None}
    if user is not None:
        config["users"][0]["user"] = user
    file: Path = cluster.scratch / "tried.conf"
    file.write_text(yaml.safe_dump(config))
    said = _explained(cluster, file)
    works = cluster.try_kubectl("cp-1", file, "auth", "whoami").returncode == 0
    assert works is (case in _WORKS), said
    assert works is not any(each in said for each in _AGAINST), said
