from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pkigen import layout
from pkigen.desired.certificates import CERTIFICATES
from pkigen.desired.command_lines import CommandLines
from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredFile
from pkigen.desired.readers import ComponentName
from pkigen.spec.loader import load_text

if TYPE_CHECKING:
    from pkigen.spec.model import ClusterSpec

SPEC = """\
apiVersion: pkigen/v1
kind: Cluster
metadata: {name: home}
spec:
  kubernetesVersion: v1.36.2
  manage: [%s]
  nodes:
    - {name: cp-1, roles: [control-plane], addresses: [10.0.0.11]}
"""
MANIFEST = b"""\
apiVersion: v1
kind: Pod
metadata: {name: kube-controller-manager, namespace: kube-system}
spec:
  containers:
    - name: kube-controller-manager
      command: [kube-controller-manager, --cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt]
"""


WITH_ARGUMENTS = b"""\
apiVersion: v1
kind: Pod
metadata: {name: kcm, namespace: kube-system}
spec:
  containers:
    - {name: sidecar, image: sidecar, command: [/sidecar]}
    - name: manager
      command: [/usr/local/bin/kube-controller-manager]
      args: [--v, "2", --cluster-signing-cert-file, /etc/kubernetes/pki/ca.crt]
"""


def cluster(managed: str) -> ClusterSpec:
    return load_text((SPEC % managed).encode(), file="spec", kinds=CERTIFICATES).spec


@pytest.mark.parametrize(
    ("managed", "written"),
    [
        ("", set()),
        (
            "manifests",
            {
                *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"),
                *("authorization-configuration", "authorization-webhook"),
            },
        ),
        ("kubelet", {"kubelet-configuration", "kubelet.flags"}),
        ("addons", {"addon-cluster-admins", "addon-kubelet-client", "addon-node-rotation"}),
    ],
)
def test_only_what_is_managed_is_written(managed: str, written: set[str]) -> None:
    files = [item for item in derive(cluster(managed)).items if isinstance(item, DesiredFile)]
    assert {str(item.kind) for item in files if item.managed} == written


@pytest.mark.parametrize(
    ("managed", "text", "signing"),
    [
        ("", MANIFEST, "/etc/kubernetes/pki/ca.crt"),
        ("", WITH_ARGUMENTS, "/etc/kubernetes/pki/ca.crt"),
        ("", None, "/etc/kubernetes/pki/ca-signing.crt"),
        ("", b"no manifest", "/etc/kubernetes/pki/ca-signing.crt"),
        ("manifests", MANIFEST, "/etc/kubernetes/pki/ca-signing.crt"),
    ],
)
def test_somebody_elses_manifest_says_what_runs(managed: str, text: bytes | None, signing: str) -> None:
    known = cluster(managed)
    place = layout.node_path("cp-1", "/etc/kubernetes/manifests/kube-controller-manager.yaml")
    lines = CommandLines(derive(known), {place: text}.get)
    flags = lines.of(ComponentName.CONTROLLER_MANAGER, known.control_plane[0])
    assert flags.value("cluster-signing-cert-file") == signing


@pytest.mark.parametrize(
    ("managed", "authority"), [("manifests", ""), ("manifests, kubelet", "/etc/kubernetes/pki/ca.crt")]
)
def test_kubelets_of_others_are_not_verified(managed: str, authority: str) -> None:
    """They serve certificates that they signed themselves: `kubectl logs` and `exec` would fail."""
    known = cluster(managed)
    flags = CommandLines(derive(known)).of(ComponentName.API_SERVER, known.control_plane[0])
    assert flags.value("kubelet-certificate-authority") == authority
