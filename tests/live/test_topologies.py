"""Control planes of other shapes, of real programs: each boots from what `pkigen init` wrote.

What identities may and may not do is in `test_control_plane.py`; here it is whether every shape comes up.
"""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.live import certificates, programs
from tests.live.control_plane import (
    CREATE,
    Cluster,
    apply_addons,
    boot_static_pods,
    boot_units,
    kubelet_says,
    make,
    plug_in,
    spec_text,
)
from tests.live.hosts import Network

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.live


def _expect_identities(cluster: Cluster, node: str) -> None:
    """Every kubeconfig of a control-plane node is who it says, at the API server that it names."""
    expected = {
        "admin.conf": ("kubernetes-admin", {"kubeadm:cluster-admins"}),
        "controller-manager.conf": ("system:kube-controller-manager", set()),
        "scheduler.conf": ("system:kube-scheduler", set()),
        "kubelet.conf": (f"system:node:{node}", {"system:nodes"}),
    }
    found = {name: cluster.whoami(node, cluster.kubeconfig(node, name)) for name in expected}
    assert found == expected


def _expect_a_kubelet_to_start(cluster: Cluster, node: str) -> None:
    """A real kubelet takes what is rendered for it, up to the container runtime, which is not there."""
    if programs.find("kubelet") is None:
        return
    runtime = "validate service connection"
    assert runtime in kubelet_says(cluster, node)
    said = kubelet_says(cluster, node, "readOnlyPort: -1\n")
    assert runtime not in said
    assert "invalid configuration: readOnlyPort" in said


def test_a_kubeadm_configuration_becomes_a_cluster(tmp_path: Path) -> None:
    """Unchanged, with RSA keys as kubeadm's users expect."""
    programs.require(*programs.LEAST)
    tag = programs.etcd_image_tag()
    init = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "localAPIEndpoint": {"advertiseAddress": "10.20.0.11", "bindPort": 8443},
        "nodeRegistration": {"name": "cp1", "criSocket": "unix:///run/containerd/containerd.sock"},
    }
    cluster_wide = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "kubernetesVersion": programs.kubernetes_version(),
        "networking": {"serviceSubnet": "10.96.0.0/12", "podSubnet": "10.244.0.0/16"},
        "etcd": {"local": {"imageTag": tag} if tag else {}},
        "controllerManager": {"extraArgs": [{"name": "node-cidr-mask-size", "value": "25"}]},
        "certificatesDir": "/srv/certificates",
        "encryptionAlgorithm": "RSA-3072",
    }
    cluster = make(tmp_path, yaml.safe_dump_all([init, cluster_wide]))
    with Network() as network:
        plug_in(network, cluster, {"cp1": ("10.20.0.11",)})
        boot_static_pods(cluster)
        _expect_identities(cluster, "cp1")
        apply_addons(cluster, "cp1", cluster.kubeconfig("cp1", "super-admin.conf"))
        admin = cluster.kubeconfig("cp1", "admin.conf")
        assert "https://10.20.0.11:8443" in cluster.kubectl("cp1", admin, "cluster-info")
        _expect_a_kubelet_to_start(cluster, "cp1")
    key = (cluster.node("cp1") / "srv/certificates/apiserver.key").read_text()
    assert "BEGIN RSA PRIVATE KEY" in key


def test_three_dual_stack_nodes_share_a_cluster(tmp_path: Path) -> None:
    """IPv6 first, stacked etcd, a name in front: what one API server stores and signs, the others know."""
    programs.require(*programs.LEAST)
    nodes = {f"cp-{number}": (f"fd00:20::1{number}", f"10.20.0.1{number}") for number in (1, 2, 3)}
    spec = {
        "controlPlaneEndpoint": "api.ha.example.com:6443",
        "networking": {
            "serviceSubnets": ["fd00:96::/112", "10.96.0.0/16"],
            "podSubnets": ["fd00:244::/56", "10.244.0.0/16"],
        },
        "certificates": {"keyAlgorithm": "ECDSA-P384"},
        "nodes": [
            {"name": name, "roles": ["control-plane"], "addresses": list(addresses)}
            for name, addresses in nodes.items()
        ],
    }
    cluster = make(tmp_path, spec_text("ha", spec))
    with Network() as network:
        # Every machine takes its own API server for the load balancer.
        plug_in(network, cluster, nodes, names={"api.ha.example.com": "::1"})
        boot_static_pods(cluster, elected_on="cp-1")
        for node, addresses in nodes.items():
            _expect_identities(cluster, node)
            for address in (f"[{addresses[0]}]", addresses[1]):
                answer = cluster.machines["cp-1"].request(
                    f"https://{address}:6443/readyz", ca=cluster.pki("cp-1") / "ca.crt"
                )
                assert answer.status == 200, (node, address, answer)
        apply_addons(cluster, "cp-1", cluster.kubeconfig("cp-1", "super-admin.conf"))
        second, third = cluster.kubeconfig("cp-2", "admin.conf"), cluster.kubeconfig("cp-3", "admin.conf")
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "traveller"}}
        cluster.kubectl("cp-2", second, *CREATE, stdin=json.dumps(account))
        token = cluster.kubectl("cp-2", second, "create", "token", "traveller").strip()
        answer = cluster.machines["cp-3"].request(
            f"https://[{nodes['cp-3'][0]}]:6443/apis/authentication.k8s.io/v1/selfsubjectreviews",
            ca=cluster.pki("cp-3") / "ca.crt",
            headers={"Authorization": f"Bearer {token}"},
            body={"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
        )
        assert answer.json()["status"]["userInfo"]["username"] == "system:serviceaccount:default:traveller"
        service = cluster.kubectl(
            "cp-3", third, "get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}"
        )
        assert service == "fd00:96::1"


def test_units_start_a_cluster_with_an_etcd_node(tmp_path: Path) -> None:
    """The systemd runtime, IPv6 alone, etcd on a node of its own; who promised to say READY=1 says it."""
    programs.require(*programs.LEAST)
    nodes = {"etcd-1": ("fd00:20::21",), "m1": ("fd00:20::11",)}
    spec = {
        "runtime": "systemd",
        "networking": {"serviceSubnets": ["fd00:96::/112"]},
        "encryption": {"provider": "aescbc"},
        "etcd": {"dataDir": "/srv/etcd"},
        "nodes": [
            {"name": "etcd-1", "roles": ["etcd"], "addresses": list(nodes["etcd-1"])},
            {"name": "m1", "roles": ["control-plane", "worker"], "addresses": list(nodes["m1"])},
        ],
    }
    cluster = make(tmp_path, spec_text("metal", spec))
    with Network() as network:
        plug_in(network, cluster, nodes)
        ready = boot_units(cluster)
        assert ready["m1"] == {"kube-apiserver"}
        if "PKIGEN_TEST_ETCD" not in os.environ:  # an etcd with a main of its own need not tell anybody
            assert ready["etcd-1"] == {"etcd"}
        _expect_identities(cluster, "m1")
        proxy = cluster.kubeconfig("m1", "kube-proxy.conf")
        assert cluster.whoami("m1", proxy) == ("system:kube-proxy", set())
        assert cluster.kubectl("m1", proxy, "auth", "can-i", "list", "services").strip() == "yes"
        assert cluster.machines["etcd-1"].run("ls", "/srv/etcd").strip() == "member"
        _expect_a_kubelet_to_start(cluster, "m1")


def test_an_etcd_of_somebody_elses_serves_a_cluster(tmp_path: Path) -> None:
    """Its CA, its port, and files where pkigen writes none; what is stored there is encrypted."""
    programs.require(*programs.LEAST)
    files = tmp_path / "etcd/srv/etcd"
    files.mkdir(parents=True)
    authority = certificates.make_ca(files, "ca", parent=None)
    certificates.server_of(authority, files, "10.20.0.31")
    client = certificates.client_of(authority, files, "client")
    url = "https://10.20.0.31:3379"
    external = {"endpoints": [url], "caFile": "/srv/etcd/ca.crt"}
    spec = {
        "encryption": {"provider": "aesgcm"},
        "etcd": {
            "external": {**external, "certFile": "/srv/etcd/client.crt", "keyFile": "/srv/etcd/client.key"}
        },
        "nodes": [{"name": "cp-1", "roles": ["control-plane"], "addresses": ["10.20.0.11"]}],
    }
    cluster = make(tmp_path, spec_text("guest", spec))
    assert not (cluster.pki("cp-1") / "etcd").exists()
    with Network() as network:
        plug_in(network, cluster, {"cp-1": ("10.20.0.11",)})
        cluster.machines["cp-1"].run("cp", "-r", files, "/srv/")
        etcd = network.machine(
            "etcd",
            tmp_path / "etcd",
            addresses=("10.20.0.31",),
            programs=tmp_path / "programs",
            scratch=tmp_path,
        )
        etcd.start(
            "etcd",
            [
                *("etcd", "--data-dir=/var/lib/etcd", f"--listen-client-urls={url}"),
                *(f"--advertise-client-urls={url}", "--client-cert-auth=true"),
                *("--cert-file=/srv/etcd/server.crt", "--key-file=/srv/etcd/server.key"),
                "--trusted-ca-file=/srv/etcd/ca.crt",
            ],
        )
        boot_static_pods(cluster)
        _expect_identities(cluster, "cp-1")
        super_admin = cluster.kubeconfig("cp-1", "super-admin.conf")
        song = "a canary that sings"
        cluster.kubectl(
            "cp-1", super_admin, "create", "secret", "generic", "one", f"--from-literal=it={song}"
        )
        asked = {"key": base64.b64encode(b"/registry/secrets/default/one").decode()}
        answer = cluster.machines["cp-1"].request(
            f"{url}/v3/kv/range", ca=authority.certificate, identity=client, body=asked
        )
        stored = base64.b64decode(answer.json()["kvs"][0]["value"])
        assert stored.startswith(b"k8s:enc:aesgcm:v1:")
        assert song.encode() not in stored


def test_an_intermediate_ca_of_the_users_carries_a_cluster(tmp_path: Path) -> None:
    """Put into pki/ before `init`, followed by the root above it."""
    programs.require(*programs.LEAST)
    company = certificates.make_ca(tmp_path, "company-root", parent=None)
    own = certificates.make_ca(tmp_path, "cluster-issuing", parent=company)
    authority = tmp_path / "out/pki"
    authority.mkdir(parents=True, mode=0o700)
    (authority / "ca.crt").write_bytes(own.certificate.read_bytes() + company.certificate.read_bytes())
    (authority / "ca.key").write_bytes(own.key.read_bytes())
    (authority / "ca.key").chmod(0o600)
    spec = {
        "certificates": {"validity": "2h", "renewBefore": "30m"},
        "nodes": [{"name": "cp-1", "roles": ["control-plane"], "addresses": ["10.20.0.11"]}],
    }
    cluster = make(tmp_path, spec_text("branch", spec))
    with Network() as network:
        plug_in(network, cluster, {"cp-1": ("10.20.0.11",)})
        boot_static_pods(cluster)
        _expect_identities(cluster, "cp-1")
        machine, url = cluster.machines["cp-1"], "https://10.20.0.11:6443/readyz"
        for anchors in (cluster.pki("cp-1") / "ca.crt", company.certificate):
            answer = machine.request(url, ca=anchors)
            assert answer.status == 200, (anchors, answer)
        # A client of the company's that this cluster's CA has not signed stays outside.
        stranger = certificates.client_of(company, tmp_path, "kubernetes-admin")
        answer = machine.request("https://10.20.0.11:6443/api/v1/namespaces", identity=stranger)
        assert answer.status == 401, answer
