"""People and workloads before a real API server: who is let in, as whom, with what pkigen signed."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from joserfc import jws
from joserfc.errors import BadSignatureError
from joserfc.jwk import OctKey

from tests.live import certificates, programs
from tests.live.control_plane import (
    CREATE,
    Cluster,
    apply_addons,
    boot_static_pods,
    make,
    pkigen,
    plug_in,
    spec_text,
    static_pods,
)
from tests.live.hosts import Network
from tests.live.rotating import deliver, restart, rotate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

_ADDRESS = "10.20.0.21"
_SECONDS = 180
_SPEC: dict[str, Any] = {
    "nodes": [{"name": "cp-1", "roles": ["control-plane", "worker"], "addresses": [_ADDRESS]}],
    "users": [
        {
            "name": "ann",
            "groups": ["dev"],
            "namespace": "web",
            "clusterRoles": ["view"],
            "roles": [
                {
                    "namespace": "web",
                    "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}],
                }
            ],
        },
        {
            "name": "deployer",
            "kind": "ServiceAccount",
            "namespace": "web",
            "roles": [{"namespace": "web", "clusterRole": "edit"}],
        },
    ],
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    programs.require(*programs.LEAST)
    made = make(tmp_path_factory.mktemp("access"), spec_text("access", _SPEC))
    with Network() as network:
        plug_in(network, made, {"cp-1": (_ADDRESS,)})
        boot_static_pods(made)
        super_admin = made.kubeconfig("cp-1", "super-admin.conf")
        made.kubectl(
            "cp-1", super_admin, *CREATE, stdin="{apiVersion: v1, kind: Namespace, metadata: {name: web}}"
        )
        apply_addons(made, "cp-1", super_admin)
        # `view` and `edit` are empty until the controller manager leads and has put them together.
        deadline = time.monotonic() + _SECONDS
        rules = (
            "get",
            "clusterroles",
            "view",
            "edit",
            "-o",
            "jsonpath={range .items[*]}{.rules[0].verbs}{end}",
        )
        while made.kubectl("cp-1", super_admin, *rules).count("[") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        yield made


@pytest.fixture(scope="module")
def admin(cluster: Cluster) -> Path:
    return cluster.kubeconfig("cp-1", "admin.conf")


@pytest.fixture(scope="module")
def uid(cluster: Cluster, admin: Path) -> str:
    """The UID that the API server gave the service account of the addons."""
    name = ("-n", "web", "get", "serviceaccount", "deployer", "-o", "jsonpath={.metadata.uid}")
    return cluster.kubectl("cp-1", admin, *name)


def _can(cluster: Cluster, kubeconfig: Path, *question: str) -> bool:
    return cluster.try_kubectl("cp-1", kubeconfig, "auth", "can-i", *question).stdout.strip() == "yes"


def _signed(cluster: Cluster, stem: str, *arguments: str) -> Path:
    folder = cluster.scratch
    kubeconfig = folder / f"{stem}.conf"
    pkigen(
        "access", "sign", "--csr", folder / f"{stem}.csr", "--user", "ann", *arguments, "-C", cluster.out,
        "--kubeconfig", kubeconfig, "--key-path", folder / f"{stem}.key",
    )  # fmt: skip
    return kubeconfig


def test_the_owner_of_a_signed_request_is_who_was_approved_and_may_what_the_spec_says(
    cluster: Cluster,
) -> None:
    pkigen("access", "csr", "new", "--user", "ann", "--group", "dev", "--out", cluster.scratch)
    kubeconfig = _signed(cluster, "ann", "--group", "dev")
    assert cluster.whoami("cp-1", kubeconfig) == ("ann", {"dev"})
    rights = cluster.kubectl("cp-1", kubeconfig, "auth", "can-i", "--list", "-n", "web")
    assert "configmaps" in rights
    assert "secrets " not in rights
    assert _can(cluster, kubeconfig, "create", "configmaps", "-n", "web")
    assert _can(cluster, kubeconfig, "list", "pods", "-n", "kube-system")
    assert not _can(cluster, kubeconfig, "create", "configmaps", "-n", "kube-system")
    assert not _can(cluster, kubeconfig, "get", "secrets", "-n", "web")
    pkigen("verify", "-C", cluster.out)


def test_an_ed25519_key_lets_its_owner_in(cluster: Cluster) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    (cluster.scratch / "ed.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(certificates.name("ann")).sign(key, None)
    (cluster.scratch / "ed.csr").write_bytes(request.public_bytes(serialization.Encoding.PEM))
    assert cluster.whoami("cp-1", _signed(cluster, "ed")) == ("ann", {"dev"})


def test_through_the_cluster(cluster: Cluster, admin: Path) -> None:
    programs.require("kube-controller-manager")
    folder = cluster.scratch
    pkigen("access", "csr", "new", "--user", "bob", "--group", "ops", "--out", folder)
    manifest = folder / "bob.yaml"
    steps = pkigen(
        "access", "csr", "manifest", "--csr", folder / "bob.csr", "--validity", "24h", "--out", manifest
    ).stdout
    assert steps.splitlines()[:2] == [f"kubectl apply -f {manifest}", "kubectl certificate approve bob"]
    cluster.kubectl("cp-1", admin, *CREATE, stdin=manifest.read_text())
    cluster.kubectl("cp-1", admin, "certificate", "approve", "bob")
    issued = ""
    deadline = time.monotonic() + _SECONDS
    while not issued and time.monotonic() < deadline:
        issued = cluster.kubectl("cp-1", admin, "get", "csr", "bob", "-o", "jsonpath={.status.certificate}")
        time.sleep(0.5)
    (folder / "bob.crt").write_bytes(base64.b64decode(issued))
    kubeconfig = folder / "bob.conf"
    pkigen(
        "access", "user", "kubeconfig", "--certificate", folder / "bob.crt", "--key-path", folder / "bob.key",
        "--out", kubeconfig, "-C", cluster.out,
    )  # fmt: skip
    assert cluster.whoami("cp-1", kubeconfig) == ("bob", {"ops"})
    (known,) = (
        each
        for each in json.loads(pkigen("status", "-C", cluster.out, "-o", "json").stdout)["signed"]
        if each["user"] == "bob"
    )
    assert (known["groups"], known["signedBy"]) == (["ops"], "cluster")
    denial = cluster.try_kubectl("cp-1", kubeconfig, "get", "secrets", "-n", "web").stderr
    told = pkigen("explain", "--error", denial, "-C", cluster.out).stdout
    assert "a certificate for a key of their own was signed for bob" in told
    assert "{name: bob, credential: external, groups: [ops]" in told
    end = x509.load_pem_x509_certificate((folder / "bob.crt").read_bytes()).not_valid_after_utc
    assert 23 * 3600 < end.timestamp() - time.time() <= 24 * 3600


def _token(cluster: Cluster, *arguments: str) -> Path:
    kubeconfig = cluster.scratch / "token.conf"
    pkigen(
        "access",
        "token",
        "-C",
        cluster.out,
        "--service-account",
        "web/deployer",
        "--kubeconfig",
        kubeconfig,
        *arguments,
    )
    return kubeconfig


def _refused(cluster: Cluster, kubeconfig: Path) -> str:
    done = cluster.try_kubectl("cp-1", kubeconfig, "auth", "whoami")
    assert done.returncode != 0, done.stdout
    return done.stderr


def test_an_offline_token_authenticates(cluster: Cluster, uid: str) -> None:
    kubeconfig = _token(cluster, "--uid", uid)
    assert cluster.whoami("cp-1", kubeconfig) == (
        "system:serviceaccount:web:deployer",
        {"system:serviceaccounts", "system:serviceaccounts:web"},
    )
    assert _can(cluster, kubeconfig, "create", "deployments.apps", "-n", "web")
    assert not _can(cluster, kubeconfig, "create", "deployments.apps", "-n", "kube-system")


def test_other_tokens_get_401(cluster: Cluster, uid: str) -> None:
    assert "Unauthorized" in _refused(cluster, _token(cluster, "--uid", uid, "--audience", "vault"))
    assert "Unauthorized" in _refused(cluster, _token(cluster))
    other = "00000000-0000-4000-8000-000000000000"
    assert "Unauthorized" in _refused(cluster, _token(cluster, "--uid", other))
    # The API server grants a minute for clocks that differ (go-jose, DefaultLeeway).
    expired = _token(cluster, "--uid", uid, "--validity", "1s")
    assert cluster.whoami("cp-1", expired)[0] == "system:serviceaccount:web:deployer"
    time.sleep(63)
    assert "Unauthorized" in _refused(cluster, expired)


def test_a_token_has_the_form_of_the_api_servers_own(cluster: Cluster, admin: Path, uid: str) -> None:
    create = ("-n", "web", "create", "token", "deployer", "--duration", "1h")
    theirs = cluster.kubectl("cp-1", admin, *create).strip()
    ours = yaml.safe_load(_token(cluster, "--uid", uid).read_text())["users"][0]["user"]["token"]

    def part(token: str, number: int) -> dict[str, Any]:
        text = token.split(".")[number]
        found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return found

    assert part(ours, 0) == part(theirs, 0)
    mine, other = part(ours, 1), part(theirs, 1)
    changing = {"exp", "iat", "nbf", "jti"}
    assert {key: mine[key] for key in mine.keys() - changing} == {
        key: other[key] for key in other.keys() - changing
    }
    assert mine["exp"] - mine["iat"] == other["exp"] - other["iat"] == 3600
    assert mine.keys() >= other.keys()


def test_the_discovery_documents_are_the_api_servers_own(cluster: Cluster, admin: Path) -> None:
    jwks = cluster.kubectl("cp-1", admin, "get", "--raw", "/openid/v1/jwks")
    assert pkigen("access", "oidc", "jwks", "-C", cluster.out).stdout.strip() == jwks.strip()
    configuration = cluster.kubectl("cp-1", admin, "get", "--raw", "/.well-known/openid-configuration")
    assert (
        pkigen("access", "oidc", "configuration", "-C", cluster.out).stdout.strip() == configuration.strip()
    )


def test_a_declared_service_account_gets_its_kubeconfig_once_its_uid_is_known(
    cluster: Cluster, uid: str
) -> None:
    spec = cluster.scratch / "cluster.yaml"
    document = yaml.safe_load(spec.read_text())
    document["spec"]["users"][1]["uid"] = uid
    spec.write_text(yaml.safe_dump(document))
    pkigen("apply", spec, "-C", cluster.out, "--yes")
    kubeconfig = cluster.out / "users" / "web.deployer.conf"
    assert cluster.whoami("cp-1", kubeconfig)[0] == "system:serviceaccount:web:deployer"
    assert "nothing to do" in pkigen("plan", spec, "-C", cluster.out).stdout
    pkigen("verify", "-C", cluster.out)


def test_a_bootstrap_token_lets_a_node_ask(cluster: Cluster, admin: Path) -> None:
    folder = cluster.scratch / "join"
    said = pkigen("access", "bootstrap-token", "-C", cluster.out, "--out", folder).stdout
    (manifest,) = folder.glob("bootstrap-token-*.yaml")
    done = cluster.try_kubectl("cp-1", admin, "apply", "--validate=false", "-f", manifest)
    assert done.returncode == 0, done.stderr
    identifier = said.split()[2].rstrip(",")
    deadline = time.monotonic() + _SECONDS
    kubeconfig = folder / "bootstrap-kubelet.conf"
    while (
        cluster.try_kubectl("cp-1", kubeconfig, "auth", "whoami").returncode and time.monotonic() < deadline
    ):
        time.sleep(0.5)  # the API server hears of the Secret through its informer
    user, groups = cluster.whoami("cp-1", kubeconfig)
    assert user == f"system:bootstrap:{identifier}"
    assert groups == {"system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"}
    assert _can(cluster, kubeconfig, "create", "certificatesigningrequests.certificates.k8s.io")
    assert not _can(cluster, kubeconfig, "list", "nodes")
    token = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"]
    _discover(cluster, token, authority=kubeconfig)


_KUBEADM = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: ADDRESS}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: VERSION
controlPlaneEndpoint: ADDRESS:6443
"""


def test_kubeadm_join_needs_two_config_maps_more(cluster: Cluster, admin: Path) -> None:
    """As far as its preflight: it goes on on a host with a container runtime alone."""
    programs.require("kubeadm", "kube-controller-manager")
    kubeadm = str(programs.find("kubeadm"))
    folder, configuration = cluster.scratch / "kubeadm-join", cluster.scratch / "kubeadm.yaml"
    configuration.write_text(
        _KUBEADM.replace("ADDRESS", _ADDRESS).replace("VERSION", programs.kubernetes_version())
    )
    pkigen("access", "bootstrap-token", "-C", cluster.out, "--out", folder)
    (manifest,) = folder.glob("bootstrap-token-*.yaml")
    cluster.kubectl("cp-1", admin, "apply", "--validate=false", "-f", manifest)
    (user,) = yaml.safe_load((folder / "bootstrap-kubelet.conf").read_text())["users"]
    _discover(cluster, user["user"]["token"], authority=folder / "bootstrap-kubelet.conf")
    join = (
        *(kubeadm, "join", "phase", "preflight", f"{_ADDRESS}:6443", "--token", user["user"]["token"]),
        *("--discovery-token-unsafe-skip-ca-verification", "--ignore-preflight-errors=all"),
        *("--node-name", "worker-9"),
    )
    machine = cluster.machines["cp-1"]
    before = machine.attempt(*join)
    assert before.returncode == 1
    assert "unable to fetch the kubeadm-config ConfigMap" in before.stderr
    upload = (kubeadm, "init", "phase", "upload-config", "all", "--config", configuration)
    uploaded = machine.attempt(*upload, "--kubeconfig", cluster.kubeconfig("cp-1", "super-admin.conf"))
    assert uploaded.returncode == 0, uploaded.stderr
    after = machine.attempt(*join)
    assert after.returncode == 0, after.stderr


def _discover(cluster: Cluster, token: str, *, authority: Path) -> None:
    """What a joining node does first: trust nobody, read cluster-info, and believe its signature."""
    programs.require("kube-controller-manager")
    identifier, _, secret = token.partition(".")
    url = f"https://{_ADDRESS}:6443/api/v1/namespaces/kube-public/configmaps/cluster-info"
    machine, signature = cluster.machines["cp-1"], f"jws-kubeconfig-{identifier}"
    data: dict[str, str] = {}
    deadline = time.monotonic() + _SECONDS
    while signature not in data and time.monotonic() < deadline:
        answer = machine.request(url, until=10)
        assert answer.status == 200, answer
        data = json.loads(answer.body)["data"]
        time.sleep(0.5)  # the bootstrap signer of the controller manager hears of both objects
    header, _, signed = data[signature].partition("..")
    payload = base64.urlsafe_b64encode(data["kubeconfig"].encode()).decode().rstrip("=")
    jws.deserialize_compact(f"{header}.{payload}.{signed}", OctKey.import_key(secret), algorithms=["HS256"])
    (found,) = yaml.safe_load(data["kubeconfig"])["clusters"]
    (given,) = yaml.safe_load(authority.read_text())["clusters"]
    assert found["cluster"] == given["cluster"]
    with pytest.raises(BadSignatureError):
        jws.deserialize_compact(
            f"{header}.{payload}.{signed}", OctKey.import_key(secret[::-1]), algorithms=["HS256"]
        )


# -- an RSA key that rotates -------------------------------------------------------------------------------


def test_tokens_and_documents_while_an_rsa_key_rotates(tmp_path: Path) -> None:
    programs.require(*programs.LEAST)
    nodes = [{"name": "cp-1", "roles": ["control-plane"], "addresses": [_ADDRESS]}]
    made = make(tmp_path, spec_text("rsa", {"nodes": nodes, "certificates": {"keyAlgorithm": "RSA-2048"}}))
    with Network() as network:
        plug_in(network, made, {"cp-1": (_ADDRESS,)})
        pods = static_pods(made, "cp-1")
        url = f"https://{_ADDRESS}:6443/readyz"
        machine = made.machines["cp-1"]
        machine.start("etcd", pods["etcd"].command)
        machine.start("kube-apiserver", pods["kube-apiserver"].command)
        answer = machine.request(url, until=300)
        assert answer.status == 200, answer
        admin = made.kubeconfig("cp-1", "super-admin.conf")
        account = '{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "steady"}}'
        created = ("-n", "default", "create", "--validate=false", "-o", "jsonpath={.metadata.uid}", "-f", "-")
        uid = made.kubectl("cp-1", admin, *created, stdin=account)

        def token(name: str) -> Path:
            kubeconfig = tmp_path / f"{name}.conf"
            account = ("--service-account", "default/steady", "--uid", uid)
            pkigen("access", "token", "-C", made.out, *account, "--kubeconfig", kubeconfig)
            return kubeconfig

        def shown() -> list[str]:
            published = made.kubectl("cp-1", admin, "get", "--raw", "/openid/v1/jwks").strip()
            assert pkigen("access", "oidc", "jwks", "-C", made.out).stdout.strip() == published
            return [key["kid"] for key in json.loads(published)["keys"]]

        first = token("first")
        (old,) = shown()
        steps = []
        for step in ("prepare", "promote"):
            rotate(made, "sa", step)
            deliver(made, "cp-1")
            restart(made, "cp-1", "kube-apiserver", url)
            steps.append(shown())
        assert steps[0] == steps[1], "promoting changes no flag"
        assert steps[0][0] == old
        assert len(steps[0]) == 2
        for kubeconfig in (first, token("second")):
            assert made.whoami("cp-1", kubeconfig)[0] == "system:serviceaccount:default:steady"
