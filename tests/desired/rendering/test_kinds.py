"""Every kind of file, for every version, runtime and topology, reads back as what it was made from."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredFile, FileKind
from pkigen.desired.rendering import file_syntax, read_back, renderer
from tests.desired.rendering.clusters import MINORS, RUNTIMES, TOPOLOGIES, cluster, one, render


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Make every renderer read back what it renders, as it does for templates of a user's own."""
    seen: list[object] = []
    original, read = renderer.Renderer.__init__, read_back.check

    def check(text: str, context: object, place: str) -> None:
        seen.append(context)
        read(text, context, place)

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self._checked = True

    monkeypatch.setattr(renderer.Renderer, "__init__", init)
    monkeypatch.setattr(renderer.read_back, "check", check)
    return seen


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("minor", MINORS)
def test_every_file_reads_back(minor: int, runtime: str, topology: str, checked: list[object]) -> None:
    spec = cluster(version=f"v1.{minor}.1", runtime=runtime, **TOPOLOGIES[topology])
    files = render(spec)
    assert len(checked) == len(files)
    for path, content in files.items():
        text = content.decode()
        assert text.endswith("\n"), path
        assert not text.endswith("\n\n"), path
        assert "{" not in text.replace("identity: {}", "").replace("status: {}", ""), path


def test_no_kind_is_left_out() -> None:
    kinds = {
        item.kind
        for runtime in RUNTIMES
        for topology in TOPOLOGIES.values()
        for item in derive(cluster(version=f"v1.{MINORS[-1]}.0", runtime=runtime, **topology)).items
        if isinstance(item, DesiredFile)
    }
    assert kinds == set(FileKind)


def test_rendering_twice_gives_the_same_bytes() -> None:
    spec = cluster(**TOPOLOGIES["ha"])
    assert render(spec) == render(spec)


def test_the_order_of_nodes_means_nothing() -> None:
    topology = TOPOLOGIES["dedicated"]
    turned = {**topology, "nodes": topology["nodes"][::-1]}
    assert render(cluster(**topology)) == render(cluster(**turned))


def test_static_pods_and_units_have_the_same_flags() -> None:
    pods, units = (render(cluster(runtime=runtime, **TOPOLOGIES["ha"])) for runtime in RUNTIMES)
    for component in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        command = yaml.safe_load(one(pods, f"/manifests/{component}.yaml"))["spec"]["containers"][0][
            "command"
        ]
        (flags,) = file_syntax.environment(one(units, f"/flags/{component}.env")).values()
        assert command == [component, *flags]


def test_kubelet_configuration() -> None:
    spec = cluster(**TOPOLOGIES["dedicated"])
    assert yaml.safe_load(one(render(spec), "/var/lib/kubelet/config.yaml")) == {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "systemd",
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "rotateCertificates": True,
        "staticPodPath": "/etc/kubernetes/manifests",
        "tlsCertFile": "/var/lib/kubelet/pki/kubelet.crt",
        "tlsPrivateKeyFile": "/var/lib/kubelet/pki/kubelet.key",
    }


def test_kubelet_configuration_of_ipv6_and_systemd() -> None:
    files = render(cluster(runtime="systemd", **TOPOLOGIES["ipv6"]))
    configuration = yaml.safe_load(one(files, "/var/lib/kubelet/config.yaml"))
    assert configuration["clusterDNS"] == ["fd00:10:96::a"]
    assert configuration["rotateCertificates"] is False
    assert "staticPodPath" not in configuration


def test_kube_proxy_configuration() -> None:
    files = render(cluster(runtime="systemd", **TOPOLOGIES["ipv6"]))
    assert yaml.safe_load(one(files, "/var/lib/kube-proxy/config.yaml")) == {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": "::",
        "clientConnection": {"kubeconfig": "/etc/kubernetes/kube-proxy.conf"},
        "clusterCIDR": "fd00:10:244::/56",
        "hostnameOverride": "cp-1",
    }


@pytest.mark.parametrize(
    ("version", "mode"), [("v1.36.5", None), ("v1.37.0", "iptables"), ("v1.38.0", "iptables")]
)
def test_kube_proxy_is_told_its_mode_where_it_asks_for_it(version: str, mode: str | None) -> None:
    files = render(cluster(runtime="systemd", version=version))
    assert yaml.safe_load(one(files, "/var/lib/kube-proxy/config.yaml")).get("mode") == mode


def test_encryption_configuration() -> None:
    configuration = yaml.safe_load(one(render(cluster(**TOPOLOGIES["ha"])), "/encryption-config.yaml"))
    (rule,) = configuration["resources"]
    assert rule["resources"] == ["secrets", "configmaps."]
    first, last = rule["providers"]
    assert first["aescbc"]["keys"][0]["name"].startswith("key-")
    assert last == {"identity": {}}


def test_objects_of_a_user() -> None:
    text = one(render(cluster(**TOPOLOGIES["single"])), "addons/user-dev1.yaml")
    objects = {
        (item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]): item
        for item in yaml.safe_load_all(text)
    }
    assert set(objects) == {
        ("ClusterRole", None, "pkigen:dev1"),
        ("ClusterRoleBinding", None, "pkigen:dev1"),
        ("ClusterRoleBinding", None, "pkigen:dev1,clusterrole:view"),
        ("Role", "web", "pkigen:dev1"),
        ("RoleBinding", "web", "pkigen:dev1"),
        ("RoleBinding", "web", "pkigen:dev1,clusterrole:edit"),
        ("RoleBinding", "web", "pkigen:dev1,role:deployer"),
    }
    assert objects["Role", "web", "pkigen:dev1"]["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]},
    ]
    assert objects["ClusterRole", None, "pkigen:dev1"]["rules"] == [
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"], "verbs": ["get", "list"]},
    ]
    for item in objects.values():
        if item["kind"].endswith("Binding"):
            user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "dev1"}
            assert item["subjects"] == [user]
    assert objects["RoleBinding", "web", "pkigen:dev1,role:deployer"]["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": "deployer",
    }


def test_addons_that_the_groups_need() -> None:
    files = render(cluster())
    admins = yaml.safe_load(files["addons/cluster-admins.yaml"])
    assert (admins["metadata"]["name"], admins["roleRef"]["name"]) == (
        "kubeadm:cluster-admins",
        "cluster-admin",
    )
    assert admins["subjects"][0]["kind"] == "Group"
    client = yaml.safe_load(files["addons/apiserver-kubelet-client.yaml"])
    assert client["roleRef"]["name"] == "system:kubelet-api-admin"
    assert client["subjects"] == [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "kube-apiserver-kubelet-client"}
    ]


def test_kubelets_may_renew_their_own_certificate() -> None:
    files = render(cluster())
    rotation = yaml.safe_load(files["addons/node-certificate-rotation.yaml"])
    role = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"
    assert rotation["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": role,
    }
    assert [subject["name"] for subject in rotation["subjects"]] == ["system:nodes"]
    without = render(cluster(kubelet={"rotateCertificates": False}))
    assert "addons/node-certificate-rotation.yaml" not in without


def test_a_kubeconfig_has_the_bytes_that_client_go_writes() -> None:
    # What `kubeadm init phase kubeconfig admin` of v1.36.2 wrote, with other PEM.
    assert one(render(cluster(name="home")), "cp-1/etc/kubernetes/admin.conf") == (
        "apiVersion: v1\n"
        "clusters:\n"
        "- cluster:\n"
        "    certificate-authority-data: Q0EgUEVN\n"
        "    server: https://10.0.0.11:6443\n"
        "  name: home\n"
        "contexts:\n"
        "- context:\n"
        "    cluster: home\n"
        "    user: kubernetes-admin\n"
        "  name: kubernetes-admin@home\n"
        "current-context: kubernetes-admin@home\n"
        "kind: Config\n"
        "users:\n"
        "- name: kubernetes-admin\n"
        "  user:\n"
        "    client-certificate-data: Q0VSVElGSUNBVEUgUEVN\n"
        "    client-key-data: S0VZIFBFTQ==\n"
    )


def test_a_kubeconfig_names_the_namespace() -> None:
    files = render(cluster(**TOPOLOGIES["single"]))
    context = yaml.safe_load(files["users/dev1.conf"])["contexts"][0]["context"]
    assert context == {"cluster": "prod", "namespace": "web", "user": "dev1"}
    assert "namespace" not in files["users/plain.conf"].decode()
