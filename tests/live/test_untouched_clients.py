"""Clients that are given nothing new until `finish`, before a real control plane of which every CA rotates.

Every node runs etcd and an API server; the first one a controller manager as well, which publishes the CA.
The clients: a kubeconfig from before *prepare*, one from between, a Pod's token with `kube-root-ca.crt` from
before, a client of etcd with etcd's old CA, and an aggregated API server with the front proxy's old CA.
PKIGEN_TEST_CONTROL_PLANES=3 makes it three nodes instead of one.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredFile
from pkigen.desired.rendering import Renderer
from pkigen.spec.model import ClusterSpec
from tests.live import programs
from tests.live.control_plane import CREATE, Cluster, boot_static_pods, make, plug_in, spec_text, static_pods
from tests.live.hosts import Network
from tests.live.rotating import asking, deliver, end, pkigen_in, restart, restarts_of, rotate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.hosts import Machine

pytestmark = pytest.mark.live

_CAS = ("ca", "kubernetes", "etcd", "front-proxy")
_REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_SECONDS = 120
_LATER = {
    "kubernetesVersion": "v1.37.0",
    "nodes": [{"name": "cp-1", "roles": ["control-plane"], "addresses": ["10.81.0.1"]}],
}
_TRUST_BUNDLES = "certificates.k8s.io/v1beta1/clustertrustbundles"
_POLICY = "/etc/kubernetes/audit-policy.yaml"
_LOG = "/etc/kubernetes/audit.log"
_METADATA = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}


_CONTROL_PLANES = int(os.environ.get("PKIGEN_TEST_CONTROL_PLANES", "1"))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    programs.require(*programs.LEAST, "kube-controller-manager")
    addresses = {f"cp-{number}": f"10.81.0.{number}" for number in range(1, _CONTROL_PLANES + 1)}
    nodes = [
        {"name": name, "roles": ["control-plane"], "addresses": [address]}
        for name, address in addresses.items()
    ]
    first, *others = addresses.values()
    spec = {
        "controlPlaneEndpoint": f"{first}:6443",
        "apiServer": {
            "certSANs": others,
            "extraArgs": [
                {"name": "audit-policy-file", "value": _POLICY},
                {"name": "audit-log-path", "value": _LOG},
                # Off by default until v1.37.
                {"name": "feature-gates", "value": "ClusterTrustBundle=true"},
                {"name": "runtime-config", "value": f"{_TRUST_BUNDLES}=true"},
            ],
        },
        "kubelet": {"rotateCertificates": False},
        "nodes": nodes,
    }
    made = make(tmp_path, spec_text("untouched", spec))
    with Network() as network:
        plug_in(network, made, {name: (address,) for name, address in addresses.items()})
        for machine in made.machines.values():
            machine.run("sh", "-c", f"cat >{_POLICY}", stdin=yaml.safe_dump(_METADATA))
        boot_static_pods(made, elected_on="cp-1")
        yield made


@dataclass(frozen=True, slots=True, kw_only=True)
class Untouched:
    """Files that clients were given once."""

    cluster: Cluster
    folder: Path

    @property
    def urls(self) -> dict[str, str]:
        found = {}
        for number, name in enumerate(self.cluster.machines, 1):
            found[name] = f"https://10.81.0.{number}:6443"
        return found

    def hand_out(self, name: str) -> dict[str, Any]:
        """Copy a kubeconfig, for somebody who keeps it."""
        place = self.folder / name
        place.mkdir(parents=True)
        self.cluster.unpack(self.cluster.kubeconfig("cp-1", "super-admin.conf"), place)
        shutil.copy(self.cluster.kubeconfig("cp-1", "super-admin.conf"), place / "kubeconfig")
        return {
            **self._common(place, name),
            "certificate": "client.crt",
            "key": "client.key",
            "path": "/api/v1/namespaces/default",
        }

    def start_pod(self, name: str) -> dict[str, Any]:
        """A Pod's token, and what its namespace publishes as the CA."""
        place = self.folder / name
        place.mkdir(parents=True)
        admin = self.cluster.kubeconfig("cp-1", "super-admin.conf")
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        self.cluster.kubectl("cp-1", admin, *CREATE, stdin=json.dumps(account))
        (place / "token").write_text(
            self.cluster.kubectl("cp-1", admin, "create", "token", name, "--duration=2h").strip()
        )
        (place / "ca.crt").write_text(self.published())
        return {
            **self._common(place, name),
            "token": str(place / "token"),
            "path": _REVIEWS,
            "body": _REVIEW,
        }

    def published(self) -> str:
        """`kube-root-ca.crt`, once the controller manager has made it."""
        admin = self.cluster.kubeconfig("cp-1", "super-admin.conf")
        deadline = time.monotonic() + _SECONDS
        while True:
            words = ("get", "configmap", "kube-root-ca.crt", "-o", "jsonpath={.data.ca\\.crt}")
            done = self.cluster.try_kubectl("cp-1", admin, *words)
            if done.returncode == 0 and done.stdout:
                return done.stdout
            assert time.monotonic() < deadline, done
            time.sleep(0.5)

    def dump_etcd(self, name: str) -> dict[str, Any]:
        """A backup job's files: etcd's CA and a client certificate of it."""
        place = self.folder / name
        place.mkdir(parents=True)
        pki = self.cluster.pki("cp-1")
        shutil.copy(pki / "etcd/ca.crt", place / "ca.crt")
        for suffix in ("crt", "key"):
            shutil.copy(pki / f"etcd/healthcheck-client.{suffix}", place / f"client.{suffix}")
        urls = [url.replace(":6443", ":2379") for url in self.urls.values()]
        common = {**self._common(place, name), "kind": "etcd", "urls": urls}
        return {**common, "certificate": "client.crt", "key": "client.key"}

    def _common(self, place: Path, name: str) -> dict[str, Any]:
        return {
            "kind": "api",
            "name": name,
            "urls": list(self.urls.values()),
            "folder": str(place),
            "ca": "ca.crt",
            "deadline": 90,
            "pause": 0.1,
        }


def _take(cluster: Cluster, untouched: Untouched, step: str) -> None:
    """One step of all three CAs, one node after the other."""
    restarts = rotate(cluster, *_CAS, step)
    for number, node in enumerate(cluster.machines):
        deliver(cluster, node)
        url = f"{untouched.urls[node]}/readyz"
        asked = restarts_of(restarts, node)
        for component, probe in (("etcd", "http://127.0.0.1:2381/health"), ("kube-apiserver", url)):
            if component in asked:
                restart(cluster, node, component, probe)
        if "kube-controller-manager" in asked and number == 0:
            _restart_controller_manager(cluster, node)
        time.sleep(1.5)  # what reloads by itself has done so after this
    _publish(cluster)


def _publish(cluster: Cluster) -> None:
    """Apply the ClusterTrustBundle of v1.37 as far as this API server serves it, and read it back."""
    inventory = derive(ClusterSpec.model_validate({"metadata": {"name": "untouched"}, "spec": _LATER}))
    (item,) = (each for each in inventory.items if isinstance(each, DesiredFile) and each.trust is not None)
    bundle = (cluster.pki("cp-1") / "ca.crt").read_bytes()
    text = Renderer(inventory).file(item, trust_bundle=bundle).decode()
    if programs.version("kube-apiserver") < (1, 37):
        text = text.replace("certificates.k8s.io/v1\n", "certificates.k8s.io/v1beta1\n")
    admin = cluster.kubeconfig("cp-1", "super-admin.conf")
    cluster.kubectl("cp-1", admin, "apply", "--validate=false", "-f", "-", stdin=text)
    words = ("get", "clustertrustbundle", "pkigen-kubernetes-ca", "-o", "jsonpath={.spec.trustBundle}")
    assert cluster.kubectl("cp-1", admin, *words).encode() == bundle


def _restart_controller_manager(cluster: Cluster, node: str) -> None:
    """Do the kubelet's part: it may have ended by itself, where its only API server was away for long."""
    machine = cluster.machines[node]
    pod = static_pods(cluster, node)["kube-controller-manager"]
    if any(process.name == pod.name and process.alive() for process in machine.processes):
        end(machine, pod.name)
    process = machine.start(pod.name, pod.command)
    assert machine.request(pod.probe, until=_SECONDS).status == HTTPStatus.OK, process.tail()


def test_they_go_on_until_finish(cluster: Cluster, tmp_path: Path) -> None:
    untouched = Untouched(cluster=cluster, folder=tmp_path / "clients")
    series = [
        untouched.hand_out("before"),
        untouched.start_pod("pod"),
        untouched.dump_etcd("backup"),
    ]
    front_proxy = (cluster.pki("cp-1") / "front-proxy-ca.crt").read_bytes()
    with asking(cluster.machines["cp-1"], series) as early:
        _take(cluster, untouched, "prepare")
        between = untouched.hand_out("between")
        with asking(cluster.machines["cp-1"], [between]) as late:
            _take(cluster, untouched, "promote")
            assert "kubernetes-g2" in _issuer(cluster.machines["cp-1"], untouched.urls["cp-1"])
            time.sleep(3)  # with the new certificate everywhere
            figures = {**early.stop().series, **late.stop().series}
    for name, found in figures.items():
        counted = [f"{found[each]} {each}" for each in ("asked", "retried")]
        counted += [f"{len(found[each])} {each}" for each in ("refused", "failed")]
        print(f"{len(cluster.machines)} control planes, {name}: {', '.join(counted)}")  # noqa: T201
    assert {name: found["refused"] + found["failed"] for name, found in figures.items()} == {
        name: [] for name in ("before", "pod", "backup", "between")
    }
    assert all(found["asked"] > 20 for found in figures.values())
    assert _aggregated(cluster, tmp_path, front_proxy), "an aggregated API server with the old CA alone"
    assert _works(cluster, untouched, "before")
    _assert_named(cluster, tmp_path)
    _take(cluster, untouched, "finish --assume-distributed")
    assert not _works(cluster, untouched, "before")
    assert not _works(cluster, untouched, "between"), "its certificate is of the old CA"
    assert not _aggregated(cluster, tmp_path, front_proxy)


def _assert_named(cluster: Cluster, scratch: Path) -> None:
    """The audit logs name who would be refused, by the file that he has the like of."""
    logs: list[Path] = []
    for name, machine in cluster.machines.items():
        logs.append(scratch / f"{name}-audit.log")
        logs[-1].write_text(machine.run("cat", _LOG))
    evidence = (word for log in logs for word in ("--evidence", log))
    command = ("rotate", "ca", "kubernetes", "-C", cluster.out, "--phase", "finish", "--yes", *evidence)
    refused = pkigen_in(cluster.machines["cp-1"], *command)
    assert refused.returncode == 1, refused
    assert "error: the previous CA is still in use: " in refused.stderr
    named = [line for line in refused.stderr.splitlines() if line.startswith("would be refused: ")]
    print("\n".join(named))  # noqa: T201
    (holder,) = (line for line in named if "kubernetes-super-admin" in line)
    assert "(nodes/cp-1/etc/kubernetes/super-admin.conf)" in holder


def _works(cluster: Cluster, untouched: Untouched, name: str) -> bool:
    done = cluster.try_kubectl("cp-1", untouched.folder / name / "kubeconfig", "get", "namespaces")
    return done.returncode == 0


def _issuer(machine: Machine, url: str) -> str:
    place = url.removeprefix("https://")
    return machine.attempt("openssl", "s_client", "-showcerts", "-connect", place).stdout


def _aggregated(cluster: Cluster, scratch: Path, authority: bytes) -> bool:
    """Whether who judges the front proxy's client by this CA alone accepts what an API server would send."""
    bundle, sent = scratch / "front-proxy-before.crt", cluster.pki("cp-1") / "front-proxy-client.crt"
    bundle.write_bytes(authority)
    words = ("openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile")
    done = cluster.machines["cp-1"].attempt(*words, bundle, "-untrusted", sent, sent)
    return done.returncode == 0
