from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.adoption.description import described
from pkigen.adoption.gathered import node_trees
from pkigen.adoption.inspection import inspect
from pkigen.adoption.kubeadm_record import read_record
from pkigen.desired.certificates import CERTIFICATES
from pkigen.desired.command_lines import CommandLines
from pkigen.desired.inventory import derive
from pkigen.desired.readers import ComponentName
from pkigen.errors import AdoptionError, SpecError
from pkigen.spec.certificates import KubeadmCA
from pkigen.spec.loader import load_text
from pkigen.spec.model import ManagedFiles
from tests.adoption import kubeadm_trees
from tests.adoption.altered_nodes import AlteredNode, name_of
from tests.adoption.test_clean_trees import CLUSTERS

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from pkigen.adoption.description import Description
    from pkigen.spec.model import ClusterSpec

MORE: dict[str, tuple[str, dict[str, Any]]] = {
    "flags of every component": (
        "10.0.0.11",
        {
            "clusterName": "blue",
            "imageRepository": "registry.example.com:5000/k8s",
            "apiServer": {
                "certSANs": ["192.0.2.7", "api.example.com"],
                "extraArgs": [
                    {"name": "audit-log-path", "value": "/var/log/kubernetes/audit.log"},
                    {"name": "service-account-issuer", "value": "https://issuer.example.com"},
                    {"name": "service-account-issuer", "value": "https://old.example.com"},
                ],
                "extraVolumes": [
                    {"name": "audit", "hostPath": "/var/log/kubernetes", "mountPath": "/var/log/kubernetes"},
                    {
                        "name": "policy",
                        "hostPath": "/etc/policy",
                        "mountPath": "/etc/policy",
                        "readOnly": True,
                    },
                ],
            },
            "controllerManager": {"extraArgs": [{"name": "node-cidr-mask-size", "value": "25"}]},
            "scheduler": {"extraArgs": [{"name": "v", "value": "3"}]},
            "networking": {"podSubnet": "10.244.0.0/16"},
            "etcd": {
                "local": {
                    "dataDir": "/data/etcd",
                    "imageTag": "3.6.14-0",
                    "serverCertSANs": ["etcd.example.com"],
                    "peerCertSANs": ["peer.example.com"],
                    "extraArgs": [{"name": "quota-backend-bytes", "value": "8589934592"}],
                }
            },
        },
    ),
}


def describe(place: Path, now: datetime, record: bytes | None = None) -> Description:
    known = read_record(record, file="kubeadm-config") if record is not None else None
    return described(inspect(node_trees(place), now=now), known)


def loaded(text: bytes) -> ClusterSpec:
    return load_text(text, file="spec", kinds=CERTIFICATES).spec


def started_with(cluster: ClusterSpec) -> dict[tuple[str, str], list[str]]:
    """Every component's flags, as sets: bindPort and --secure-port are two ways to say one thing."""
    lines = CommandLines(derive(cluster))
    return {
        (node.name, component): sorted(map(str, lines.of(component, node).flags))
        for node in cluster.control_plane
        for component in (ComponentName.API_SERVER, ComponentName.CONTROLLER_MANAGER, ComponentName.SCHEDULER)
    }


@pytest.mark.live
@pytest.mark.parametrize("name", [*CLUSTERS, *MORE])
def test_it_says_what_kubeadm_was_told(name: str, tmp_path: Path, now: datetime) -> None:
    kubeadm_trees.kubeadm()
    address, cluster = (CLUSTERS | MORE)[name]
    root = kubeadm_trees.control_plane(tmp_path / "cp-1", address=address, cluster=cluster)
    found = describe(tmp_path, now)
    # By another way: what pkigen makes of the configuration that kubeadm was given.
    told = loaded((root / "kubeadm.yaml").read_bytes())
    spec = loaded(found.text.encode())
    assert spec == found.loaded.spec
    assert found.notes == ()
    assert spec.name == told.name
    for part in ("kubernetes_version", "runtime", "image_repository", "networking", "etcd", "nodes", "users"):
        assert getattr(spec.spec, part) == getattr(told.spec, part), part
    assert set(spec.spec.api_server.cert_sans) == set(told.spec.api_server.cert_sans)
    for component in ("api_server", "controller_manager", "scheduler"):
        assert getattr(spec.spec, component).extra_volumes == getattr(told.spec, component).extra_volumes
    # Whoever leaves kubelets to others does not have them verified.
    as_adopted = told.model_copy(update={"spec": told.spec.model_copy(update={"manage": ()})})
    assert started_with(spec) == started_with(as_adopted)
    assert spec.spec.certificates.directory == told.spec.certificates.directory
    assert spec.spec.certificates.key_algorithm is told.spec.certificates.key_algorithm
    assert spec.spec.manage == ()


def test_who_has_kubelets_verified_goes_on_to(node: AlteredNode, now: datetime) -> None:
    """By the same file that pkigen would name: then, too, it is said, and managed manifests keep it."""
    authority = ("kubelet-certificate-authority", "/etc/kubernetes/pki/ca.crt")
    node.set_flag("kube-apiserver", *authority)
    given = describe(node.root.parent, now).loaded.spec.spec.api_server.extra_args
    assert authority in {(each.name, each.value) for each in given}


@pytest.mark.live
def test_several_nodes_are_one_cluster(of_kubeadm: Path, now: datetime) -> None:
    spec = describe(of_kubeadm, now).loaded.spec
    assert [node.name for node in spec.control_plane] == ["cp-1", "cp-2", "cp-3"]
    assert [str(node.advertise_address) for node in spec.control_plane] == [
        "10.0.0.11",
        "10.0.0.12",
        "10.0.0.13",
    ]
    assert [node.name for node in spec.spec.nodes if not node.addresses] == ["worker-1"]
    assert spec.spec.control_plane_endpoint == "api.prod.example.com:6443"
    assert set(spec.spec.certificates.distribute_ca_keys) == set(KubeadmCA)
    assert not any(map(spec.manages, ManagedFiles))


def test_what_kubeadm_recorded_counts_more(of_pkigen: Path, now: datetime) -> None:
    configuration = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "clusterName": "west",
        "certificateValidityPeriod": "43800h0m0s",
    }
    alone = yaml.safe_dump(configuration)
    in_map = yaml.safe_dump(
        {"apiVersion": "v1", "kind": "ConfigMap", "data": {"ClusterConfiguration": alone}}
    )
    for text in (alone, in_map):
        spec = describe(of_pkigen, now, text.encode()).loaded.spec
        assert spec.name == "west"
        assert spec.spec.certificates.validity.total_seconds() == 43800 * 3600


@pytest.mark.parametrize("text", [b"kind: Pod\n", b"a: [", b"kind: ConfigMap\ndata: {}\n"])
def test_another_file_is_no_record(text: bytes) -> None:
    with pytest.raises(AdoptionError, match=r"x\.yaml"):
        read_record(text, file="x.yaml")


def test_people_are_found_by_their_kubeconfigs(node: AlteredNode, now: datetime) -> None:
    node.write("jane.conf", node.path("admin.conf").read_bytes())
    node.reissue_login("jane.conf", node.issuer(), subject=name_of("jane", "ops", "dev"))
    spec = describe(node.root, now).loaded.spec
    assert [(user.name, user.groups) for user in spec.spec.users] == [("jane", ("dev", "ops"))]


def test_without_an_api_server_nothing_is_known(node: AlteredNode, now: datetime) -> None:
    (node.root / "etc/kubernetes/manifests/kube-apiserver.yaml").unlink()
    with pytest.raises(AdoptionError, match="no API server"):
        describe(node.root, now)


def test_what_no_spec_can_say_is_refused_with_its_reason(node: AlteredNode, now: datetime) -> None:
    node.set_flag("kube-apiserver", "service-cluster-ip-range", "10.96.0.1/12")
    with pytest.raises(SpecError) as caught:
        describe(node.root, now)
    assert [problem.path for problem in caught.value.problems] == ["spec.networking.serviceSubnets[0]"]
    assert "no spec can say" in caught.value.hint


def test_a_flag_of_one_node_alone_is_told(of_pkigen: Path, tmp_path: Path, now: datetime) -> None:
    shutil.copytree(of_pkigen, tmp_path / "nodes", symlinks=True)
    AlteredNode(root=tmp_path / "nodes/cp-2", now=now).set_flag("kube-scheduler", "v", "7")
    found = describe(tmp_path / "nodes", now)
    assert found.loaded.spec.spec.scheduler.extra_args == ()
    assert found.notes == ("kube-scheduler of cp-2 alone has --v=7: it is not in the spec",)
