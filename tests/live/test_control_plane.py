"""One node's control plane, of real programs: who is who, who may do what, and who is turned away.

The programs run as `control_plane.py` describes. Every refusal has, beside it, the case that is let in.
"""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pkigen.spec.values import person_stem
from tests.live import certificates, programs
from tests.live.control_plane import CREATE, Cluster, apply_addons, boot_static_pods, make, plug_in, spec_text
from tests.live.hosts import Identity, Network

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live

_ADDRESS, _SERVICE_ADDRESS = "10.20.0.11", "10.96.0.1"
_API = f"https://{_ADDRESS}:6443"
_ETCD = f"https://{_ADDRESS}:2379"
_STAND_IN = Path(__file__).with_name("stand_in_kubelet.py")
_REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
_SPEC = {
    "networking": {"podSubnets": ["10.244.0.0/16"]},
    "encryption": {},
    "nodes": [{"name": "cp-1", "roles": ["control-plane", "worker"], "addresses": [_ADDRESS]}],
    "users": [
        {
            "name": "dev1",
            "groups": ["platform-team"],
            "namespace": "web",
            "clusterRoles": ["view"],
            "roles": [{"namespace": "web", "clusterRole": "edit"}],
        },
        {
            "name": "ci:deploy",
            "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"]}],
            "roles": [
                {
                    "namespace": "web",
                    "rules": [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"]}],
                }
            ],
        },
    ],
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    programs.require(*programs.LEAST)
    made = make(tmp_path_factory.mktemp("single"), spec_text("single", _SPEC))
    with Network() as network:
        plug_in(network, made, {"cp-1": (_ADDRESS,)})
        boot_static_pods(made)
        yield made


@pytest.fixture(scope="module")
def admin(cluster: Cluster) -> Path:
    return cluster.kubeconfig("cp-1", "admin.conf")


@pytest.fixture(scope="module")
def super_admin(cluster: Cluster) -> Path:
    return cluster.kubeconfig("cp-1", "super-admin.conf")


@pytest.fixture(scope="module")
def before_addons(cluster: Cluster, admin: Path) -> str:
    """What admin.conf is told before anybody bound its group."""
    done = cluster.try_kubectl("cp-1", admin, "get", "nodes")
    assert done.returncode != 0
    return done.stderr


@pytest.fixture(scope="module")
def addons(cluster: Cluster, super_admin: Path, before_addons: str) -> str:
    """Applies the addons, as the command's own last line says."""
    assert before_addons
    cluster.kubectl("cp-1", super_admin, "create", "namespace", "web")
    return apply_addons(cluster, "cp-1", super_admin)


@pytest.fixture(scope="module")
def node(cluster: Cluster, addons: str) -> str:
    """The Node object, made with kubelet.conf as a kubelet makes it."""
    assert addons
    kubelet = cluster.kubeconfig("cp-1", "kubelet.conf")
    status = {"addresses": [{"type": "InternalIP", "address": _ADDRESS}]}
    made = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "cp-1"}, "status": status}
    cluster.kubectl("cp-1", kubelet, *CREATE, stdin=json.dumps(made))
    return "cp-1"


def test_the_api_server_is_ready_for_a_client_that_has_only_the_cluster_ca(cluster: Cluster) -> None:
    answer = cluster.machines["cp-1"].request(f"{_API}/readyz?verbose", ca=cluster.pki("cp-1") / "ca.crt")
    assert answer.status == 200, answer
    assert answer.body.endswith("readyz check passed\n"), answer


@pytest.mark.parametrize(
    ("kubeconfig", "user", "groups"),
    [
        ("admin.conf", "kubernetes-admin", {"kubeadm:cluster-admins"}),
        ("super-admin.conf", "kubernetes-super-admin", {"system:masters"}),
        ("controller-manager.conf", "system:kube-controller-manager", set()),
        ("scheduler.conf", "system:kube-scheduler", set()),
        ("kubelet.conf", "system:node:cp-1", {"system:nodes"}),
    ],
)
def test_every_kubeconfig_is_who_it_says(
    cluster: Cluster, kubeconfig: str, user: str, groups: set[str]
) -> None:
    assert cluster.whoami("cp-1", cluster.kubeconfig("cp-1", kubeconfig)) == (user, groups)


@pytest.mark.parametrize(("name", "groups"), [("dev1", {"platform-team"}), ("ci:deploy", set())])
def test_every_users_kubeconfig_is_who_it_says(cluster: Cluster, name: str, groups: set[str]) -> None:
    assert cluster.whoami("cp-1", cluster.out / "users" / f"{person_stem(name)}.conf") == (name, groups)


def test_admin_may_nothing_until_the_addons_are_applied(before_addons: str) -> None:
    assert 'nodes is forbidden: User "kubernetes-admin"' in before_addons


def test_admin_lists_nodes_after_the_addons(cluster: Cluster, admin: Path, node: str) -> None:
    assert node in cluster.kubectl("cp-1", admin, "get", "nodes", "-o", "name")


@pytest.mark.parametrize(
    ("name", "allowed", "question"),
    [
        ("dev1", True, "list pods --namespace=kube-system"),
        ("dev1", False, "delete pods --namespace=kube-system"),
        ("dev1", True, "delete pods --namespace=web"),
        ("dev1", False, "get secrets --namespace=kube-system"),
        ("ci:deploy", True, "list nodes"),
        ("ci:deploy", False, "delete nodes"),
        ("ci:deploy", True, "patch deployments.apps --namespace=web"),
        ("ci:deploy", False, "create deployments.apps --namespace=web"),
        ("ci:deploy", False, "patch deployments.apps --namespace=default"),
    ],
)
@pytest.mark.usefixtures("addons")
def test_users_may_what_the_spec_declares_and_no_more(
    cluster: Cluster, name: str, *, allowed: bool, question: str
) -> None:
    if name == "dev1":
        programs.require(
            "kube-controller-manager"
        )  # it fills `view` and `edit` with the rules that they gather

    def ask() -> str:
        asker = cluster.out / "users" / f"{person_stem(name)}.conf"
        return cluster.try_kubectl("cp-1", asker, "auth", "can-i", *question.split()).stdout.strip()

    deadline = time.monotonic() + 180
    while allowed and ask() != "yes" and time.monotonic() < deadline:
        time.sleep(0.5)
    assert ask() == ("yes" if allowed else "no")


def test_a_kubelet_may_register_its_own_node_only(cluster: Cluster, node: str) -> None:
    other = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "cp-2"}}
    done = cluster.try_kubectl(
        "cp-1", cluster.kubeconfig("cp-1", "kubelet.conf"), *CREATE, stdin=json.dumps(other)
    )
    assert f'node "{node}" is not allowed to modify node "cp-2"' in done.stderr, done


def _request(signer: str, name: str, pem: str) -> str:
    request = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "signerName": f"kubernetes.io/{signer}",
            "usages": ["client auth", "digital signature"],
            "request": base64.b64encode(pem.encode()).decode(),
        },
    }
    return json.dumps(request)


def _seen_as(cluster: Cluster, admin: Path, name: str, key: Path) -> tuple[str, list[str]]:
    """Whom the API server sees behind the certificate that a request got."""
    issued = "jsonpath={.status.certificate}"
    cluster.kubectl("cp-1", admin, "wait", f"csr/{name}", f"--for={issued}", "--timeout=180s")
    certificate = key.with_suffix(".crt")
    certificate.write_bytes(
        base64.b64decode(cluster.kubectl("cp-1", admin, "get", "csr", name, "-o", issued))
    )
    answer = cluster.machines["cp-1"].request(
        f"{_API}/apis/authentication.k8s.io/v1/selfsubjectreviews",
        ca=cluster.pki("cp-1") / "ca.crt",
        identity=Identity(certificate=certificate, key=key),
        body=_REVIEW,
    )
    info = answer.json()["status"]["userInfo"]
    return info["username"], info["groups"]


def test_the_controller_manager_signs_an_approved_request(
    cluster: Cluster, admin: Path, addons: str, tmp_path: Path
) -> None:
    programs.require("kube-controller-manager")
    assert addons
    key = tmp_path / "client.key"
    pem = certificates.request_pem(key, certificates.name("somebody", "some-team"))
    cluster.kubectl("cp-1", admin, *CREATE, stdin=_request("kube-apiserver-client", "somebody", pem))
    cluster.kubectl("cp-1", admin, "certificate", "approve", "somebody")
    assert _seen_as(cluster, admin, "somebody", key) == ("somebody", ["some-team", "system:authenticated"])


def test_a_kubelet_renews_its_client_certificate_by_itself(
    cluster: Cluster, admin: Path, addons: str, tmp_path: Path
) -> None:
    """As `rotateCertificates` makes it do: nobody has to approve, because the addons let nodes ask."""
    programs.require("kube-controller-manager")
    assert addons
    key = tmp_path / "kubelet.key"
    pem = certificates.request_pem(key, certificates.name("system:node:cp-1", "system:nodes"))
    asked = _request("kube-apiserver-client-kubelet", "renewal", pem)
    cluster.kubectl("cp-1", cluster.kubeconfig("cp-1", "kubelet.conf"), *CREATE, stdin=asked)
    seen = _seen_as(cluster, admin, "renewal", key)
    assert seen == ("system:node:cp-1", ["system:nodes", "system:authenticated"])


def test_controller_manager_and_scheduler_lead(cluster: Cluster, super_admin: Path) -> None:
    programs.require("kube-controller-manager", "kube-scheduler")
    machine = cluster.machines["cp-1"]
    assert machine.request("https://127.0.0.1:10257/healthz").body == "ok"
    assert machine.request("https://127.0.0.1:10259/livez").status == 200
    for name in ("kube-controller-manager", "kube-scheduler"):
        holder = "jsonpath={.spec.holderIdentity}"
        lease = ("lease", name, "--namespace=kube-system")
        cluster.kubectl("cp-1", super_admin, "wait", *lease, f"--for={holder}", "--timeout=180s")
        assert cluster.kubectl("cp-1", super_admin, "get", *lease, "-o", holder).startswith("cp-1_")


def test_the_controller_manager_judges_its_own_clients(cluster: Cluster, admin: Path, addons: str) -> None:
    """It takes certificates of the cluster's CA, and asks the API server what they may."""
    programs.require("kube-controller-manager")
    assert addons
    machine, url = cluster.machines["cp-1"], "https://127.0.0.1:10257/metrics"
    assert machine.request(url).status == 403
    assert machine.request(url, identity=cluster.identity_of(admin)).status == 200
    stranger = cluster.identity_of(cluster.kubeconfig("cp-1", "scheduler.conf"))
    assert machine.request(url, identity=stranger).status == 403


@pytest.mark.parametrize(
    "host", ["kubernetes.default.svc", "kubernetes.default.svc.cluster.local", _SERVICE_ADDRESS]
)
@pytest.mark.usefixtures("addons")
def test_a_pod_knows_the_api_server_by_the_published_ca(
    cluster: Cluster, super_admin: Path, host: str, tmp_path: Path
) -> None:
    """With what every Pod is given: the ConfigMap kube-root-ca.crt and a token of its service account."""
    programs.require("kube-controller-manager")
    wanted = ("configmap", "kube-root-ca.crt", "--namespace=web")
    cluster.kubectl("cp-1", super_admin, "wait", *wanted, "--for=create", "--timeout=180s")
    published = cluster.kubectl("cp-1", super_admin, "get", *wanted, "-o", r"jsonpath={.data.ca\.crt}")
    ca = tmp_path / "ca.crt"
    ca.write_text(published)
    cluster.kubectl(
        "cp-1",
        super_admin,
        "wait",
        "serviceaccount/default",
        "--namespace=web",
        "--for=create",
        "--timeout=180s",
    )
    token = cluster.kubectl("cp-1", super_admin, "create", "token", "default", "--namespace=web").strip()
    answer = cluster.machines["cp-1"].request(
        f"https://{host}/apis/authentication.k8s.io/v1/selfsubjectreviews",
        connect=(_ADDRESS, 6443),
        ca=ca,
        headers={"Authorization": f"Bearer {token}"},
        body=_REVIEW,
    )
    assert answer.status == 201, answer
    assert answer.json()["status"]["userInfo"]["username"] == "system:serviceaccount:web:default"


def test_a_name_that_the_api_server_has_not_is_refused(cluster: Cluster) -> None:
    answer = cluster.machines["cp-1"].request(
        "https://kubernetes.example.com/readyz",
        connect=(_ADDRESS, 6443),
        ca=cluster.pki("cp-1") / "ca.crt",
    )
    assert answer.error is not None
    assert "Hostname mismatch" in answer.error


_FOR_SOMEBODY = {"X-Remote-User": "somebody", "X-Remote-Group": "system:masters"}


def test_the_front_proxy_speaks_for_others(cluster: Cluster) -> None:
    answer = cluster.machines["cp-1"].request(
        f"{_API}/api/v1/namespaces/kube-system/secrets",
        ca=cluster.pki("cp-1") / "ca.crt",
        identity=cluster.identity("cp-1", "front-proxy-client"),
        headers=_FOR_SOMEBODY,
    )
    assert answer.status == 200, answer


def test_another_name_from_the_front_proxy_ca_speaks_for_nobody(cluster: Cluster, tmp_path: Path) -> None:
    front_proxy = cluster.out / "pki/front-proxy-ca"
    authority = Identity(certificate=front_proxy.with_suffix(".crt"), key=front_proxy.with_suffix(".key"))
    answer = cluster.machines["cp-1"].request(
        f"{_API}/api/v1/namespaces/kube-system/secrets",
        ca=cluster.pki("cp-1") / "ca.crt",
        identity=certificates.client_of(authority, tmp_path, "somebody-else"),
        headers=_FOR_SOMEBODY,
    )
    assert answer.status == 401, answer


def test_a_client_of_the_cluster_ca_speaks_only_for_itself(cluster: Cluster) -> None:
    answer = cluster.machines["cp-1"].request(
        f"{_API}/apis/authentication.k8s.io/v1/selfsubjectreviews",
        ca=cluster.pki("cp-1") / "ca.crt",
        identity=cluster.identity_of(cluster.kubeconfig("cp-1", "scheduler.conf")),
        headers=_FOR_SOMEBODY,
        body=_REVIEW,
    )
    assert answer.json()["status"]["userInfo"]["username"] == "system:kube-scheduler"


def test_the_api_server_turns_away_clients_of_the_etcd_ca(cluster: Cluster) -> None:
    answer = cluster.machines["cp-1"].request(
        f"{_API}/api/v1/namespaces",
        ca=cluster.pki("cp-1") / "ca.crt",
        identity=cluster.identity("cp-1", "etcd/healthcheck-client"),
    )
    assert answer.status == 401, answer


@pytest.mark.parametrize("name", ["etcd/healthcheck-client", "apiserver-etcd-client"])
def test_etcd_lets_its_clients_in(cluster: Cluster, name: str) -> None:
    answer = cluster.machines["cp-1"].request(
        f"{_ETCD}/health", ca=cluster.pki("cp-1") / "etcd/ca.crt", identity=cluster.identity("cp-1", name)
    )
    assert answer.status == 200, answer
    assert answer.json()["health"] == "true"


def test_etcd_turns_away_clients_of_the_cluster_ca(cluster: Cluster, super_admin: Path) -> None:
    machine, ca = cluster.machines["cp-1"], cluster.pki("cp-1") / "etcd/ca.crt"
    for identity in (
        cluster.identity("cp-1", "apiserver-kubelet-client"),
        cluster.identity_of(super_admin),
        None,
    ):
        answer = machine.request(f"{_ETCD}/health", ca=ca, identity=identity)
        assert answer.refused, answer


def _stored(cluster: Cluster, key: str) -> bytes:
    """What etcd has under a key, asked through its JSON gateway."""
    answer = cluster.machines["cp-1"].request(
        f"{_ETCD}/v3/kv/range",
        ca=cluster.pki("cp-1") / "etcd/ca.crt",
        identity=cluster.identity("cp-1", "etcd/healthcheck-client"),
        body={"key": base64.b64encode(key.encode()).decode()},
    )
    (found,) = answer.json()["kvs"]
    return base64.b64decode(found["value"])


def test_secrets_lie_encrypted_in_etcd(cluster: Cluster, super_admin: Path) -> None:
    text = "a canary that sings"
    for kind in (("secret", "generic"), ("configmap",)):
        cluster.kubectl("cp-1", super_admin, "create", *kind, "canary", f"--from-literal=song={text}")
    secret = _stored(cluster, "/registry/secrets/default/canary")
    assert secret.startswith(b"k8s:enc:secretbox:v1:")
    assert text.encode() not in secret
    # What is not listed in the spec lies there as it is: the search would find the text if it were there.
    assert text.encode() in _stored(cluster, "/registry/configmaps/default/canary")
    read = cluster.kubectl("cp-1", super_admin, "get", "secret", "canary", "-o", "jsonpath={.data.song}")
    assert base64.b64decode(read).decode() == text


def test_the_api_server_reaches_the_kubelet(cluster: Cluster, admin: Path, node: str) -> None:
    """Both ends of `--kubelet-certificate-authority`, with a server in place of the kubelet's."""
    machine = cluster.machines["cp-1"]
    kubelet = cluster.node("cp-1") / "var/lib/kubelet/pki"
    container = {"name": "one", "image": "none"}
    spec = {"nodeName": node, "serviceAccountName": "sleeper", "containers": [container]}
    for kind, more in (("ServiceAccount", {}), ("Pod", {"spec": spec})):
        made = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "sleeper"}, **more}
        cluster.kubectl("cp-1", admin, *CREATE, stdin=json.dumps(made))
    ca = cluster.pki("cp-1") / "ca.crt"
    with machine.listening(_STAND_IN, _ADDRESS, kubelet / "kubelet.crt", kubelet / "kubelet.key", ca):
        said = cluster.kubectl("cp-1", admin, "get", "--raw", f"/api/v1/nodes/{node}/proxy/healthz")
        logs = cluster.kubectl("cp-1", admin, "logs", "sleeper")
    assert said == "/healthz kube-apiserver-kubelet-client\n"
    assert logs == "/containerLogs/default/sleeper/one kube-apiserver-kubelet-client\n"


def test_the_api_server_turns_away_a_kubelet_of_another_ca(
    cluster: Cluster, admin: Path, node: str, tmp_path: Path
) -> None:
    """The same server with the same names, and a certificate that the cluster's CA has not signed."""
    machine = cluster.machines["cp-1"]
    forged = certificates.forged_like(cluster.node("cp-1") / "var/lib/kubelet/pki/kubelet.crt", tmp_path)
    ca = cluster.pki("cp-1") / "ca.crt"
    with machine.listening(_STAND_IN, _ADDRESS, forged.certificate, forged.key, ca):
        done = cluster.try_kubectl("cp-1", admin, "get", "--raw", f"/api/v1/nodes/{node}/proxy/healthz")
    assert done.returncode != 0
    assert "certificate signed by unknown authority" in done.stderr, done


def test_a_kubelet_takes_the_api_servers_client_for_what_it_may(
    cluster: Cluster, super_admin: Path, addons: str
) -> None:
    """The kubelet asks the API server what its client may; the addons bind that user."""
    assert addons
    may = ("auth", "can-i", "get", "nodes/proxy", "--as")
    assert cluster.kubectl("cp-1", super_admin, *may, "kube-apiserver-kubelet-client").strip() == "yes"
    assert cluster.try_kubectl("cp-1", super_admin, *may, "somebody").stdout.strip() == "no"


def test_every_program_still_runs(cluster: Cluster) -> None:
    for process in cluster.machines["cp-1"].processes:
        assert process.alive(), process.tail()
