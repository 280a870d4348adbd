"""Which process takes up which file while it runs: a rotation of the kubernetes CA in which nothing restarts.

The scheduler and the controller manager have kubeconfigs that name their credentials by path; files are
replaced by rename. Audit logs say which certificate each of them presents. There is no cross certificate, so
whoever keeps the old CA is refused. client-go looks at its files every five minutes, and so this takes up to
twenty: PKIGEN_TEST_RELOADS=1 runs it.
"""

from __future__ import annotations

import base64
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.live import programs
from tests.live.control_plane import CREATE, Cluster, make, plug_in, spec_text, static_pods
from tests.live.hosts import Network
from tests.live.rotating import deliver, rotate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.hosts import Process

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        "PKIGEN_TEST_RELOADS" not in os.environ, reason="takes minutes: set PKIGEN_TEST_RELOADS=1"
    ),
]

_ADDRESSES = {"cp-1": "10.82.0.1", "worker-1": "10.82.0.21"}
_STAND_IN = Path(__file__).with_name("stand_in_kubelet.py")
_PLACE = "/etc/kubernetes/by-path"
_POLICY, _LOG = "/etc/kubernetes/audit-policy.yaml", "/etc/kubernetes/audit.log"
_BY_PATH = ("scheduler", "controller-manager")
_LONGEST = 330
"""In seconds: client-go's five minutes, and some."""


@dataclass
class Observed:
    """The cluster, its processes, and how much of the audit log was read."""

    cluster: Cluster
    processes: dict[str, Process] = field(default_factory=dict)
    read: int = 0
    kubelet: Any = None

    def __post_init__(self) -> None:
        self.machine = self.cluster.machines["cp-1"]

    def start(self) -> None:
        policy = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata"}],
        }
        self.machine.run("sh", "-c", f"mkdir {_PLACE}; cat >{_POLICY}", stdin=yaml.safe_dump(policy))
        pods = static_pods(self.cluster, "cp-1")
        for name in ("etcd", "kube-apiserver", *(f"kube-{each}" for each in _BY_PATH)):
            component = name.removeprefix("kube-")
            if component in _BY_PATH:
                self.place(component)
                self.machine.run("sh", "-c", f"cat >{_PLACE}/{component}.conf", stdin=_by_path(component))
            own = f"/etc/kubernetes/{component}.conf"
            words = (word.replace(own, f"{_PLACE}/{component}.conf") for word in pods[name].command)
            self.processes[name] = process = self.machine.start(name, tuple(words))
            assert self.machine.request(pods[name].probe, until=300).status == 200, process.tail()
        status = {"addresses": [{"type": "InternalIP", "address": _ADDRESSES["worker-1"]}]}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-1"}, "status": status}
        self.cluster.kubectl("cp-1", self.admin, *CREATE, stdin=json.dumps(node))
        self.serve_kubelet()

    @property
    def admin(self) -> Path:
        return self.cluster.kubeconfig("cp-1", "super-admin.conf")

    def step(self, name: str, *options: str) -> None:
        """A step whose files come, and whose restarts do not."""
        rotate(self.cluster, "ca", "kubernetes", " ".join((name, *options)))
        for node in self.cluster.machines:
            deliver(self.cluster, node)
        for component in _BY_PATH:
            self.place(component)
        self.serve_kubelet()

    def place(self, component: str) -> None:
        """Put a component's credentials in place by rename, as `mv` does on one file system."""
        user = _user(self.cluster, component)
        pairs = (("crt", "client-certificate-data"), ("key", "client-key-data"))
        for suffix, key in pairs:
            text = base64.b64decode(user[key]).decode()
            self.machine.run("sh", "-c", f"cat >{_PLACE}/{component}.{suffix}.new", stdin=text)
        for suffix, _ in pairs:
            stem = f"{_PLACE}/{component}.{suffix}"
            self.machine.run("mv", f"{stem}.new", stem)

    def serve_kubelet(self) -> None:
        """A kubelet's server takes its files up at once."""
        self.close()
        own, tree = self.cluster.machines["worker-1"], self.cluster.node("worker-1")
        pair = (tree / f"var/lib/kubelet/pki/kubelet.{suffix}" for suffix in ("crt", "key"))
        trust = self.cluster.pki("worker-1") / "ca.crt"
        self.kubelet = own.listening(_STAND_IN, _ADDRESSES["worker-1"], *pair, trust)
        self.kubelet.__enter__()

    def close(self) -> None:
        if self.kubelet is not None:
            self.kubelet.__exit__(None, None, None)

    def used(self) -> dict[str, set[str]]:
        """Which certificates each component has presented since the last look."""
        lines = self.machine.run("tail", "-n", f"+{self.read + 1}", _LOG).splitlines()
        self.read += len(lines)
        found: dict[str, set[str]] = {}
        for line in lines:
            user = json.loads(line)["user"]
            for each in user.get("extra", {}).get("authentication.kubernetes.io/credential-id", ()):
                component = user["username"].removeprefix("system:kube-")
                found.setdefault(component, set()).add(each.removeprefix("X509SHA256="))
        return found

    def answers(self) -> bool:
        """Whether the API server accepts the kubelet's certificate."""
        words = ("get", "--raw", "/api/v1/nodes/worker-1/proxy/healthz")
        return self.cluster.try_kubectl("cp-1", self.admin, *words).returncode == 0

    def settled(self) -> float:
        """Wait until everybody presents what is on the disk, and the API server reaches the kubelet."""
        wanted = {each: {_fingerprint(_user(self.cluster, each))} for each in _BY_PATH}
        began = time.monotonic()
        self.used()
        while True:
            time.sleep(15)
            used = self.used()
            if {each: used.get(each) for each in _BY_PATH} == wanted and self.answers():
                return time.monotonic() - began
            assert time.monotonic() - began < _LONGEST, (used, wanted)


def _by_path(component: str) -> str:
    cluster = {
        "server": f"https://{_ADDRESSES['cp-1']}:6443",
        "certificate-authority": "/etc/kubernetes/pki/ca.crt",
    }
    user = {"client-certificate": f"{_PLACE}/{component}.crt", "client-key": f"{_PLACE}/{component}.key"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "a", "cluster": cluster}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "users": [{"name": "a", "user": user}],
        "current-context": "a",
    }
    return yaml.safe_dump(config)


def _user(cluster: Cluster, component: str) -> dict[str, str]:
    content = yaml.safe_load(cluster.kubeconfig("cp-1", f"{component}.conf").read_text())
    found: dict[str, str] = content["users"][0]["user"]
    return found


def _fingerprint(user: dict[str, str]) -> str:
    pem = base64.b64decode(user["client-certificate-data"])
    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()


@pytest.fixture
def observed(tmp_path: Path) -> Iterator[Observed]:
    programs.require(*programs.LEAST, "kube-controller-manager", "kube-scheduler")
    if programs.version("kube-apiserver") < (1, 36):
        pytest.skip("client-go reads CA files again from 1.36 on")
    spec = {
        "controlPlaneEndpoint": f"{_ADDRESSES['cp-1']}:6443",
        "kubelet": {"rotateCertificates": False},
        "apiServer": {
            "extraArgs": [
                {"name": "audit-policy-file", "value": _POLICY},
                {"name": "audit-log-path", "value": _LOG},
            ]
        },
        "nodes": [
            {"name": "cp-1", "roles": ["control-plane"], "addresses": [_ADDRESSES["cp-1"]]},
            {"name": "worker-1", "roles": ["worker"], "addresses": [_ADDRESSES["worker-1"]]},
        ],
    }
    cluster = make(tmp_path, spec_text("reloads", spec))
    with Network() as network:
        plug_in(network, cluster, {name: (address,) for name, address in _ADDRESSES.items()})
        found = Observed(cluster)
        found.start()
        try:
            yield found
        finally:
            found.close()


def test_nothing_restarts(observed: Observed) -> None:
    observed.step("prepare", "--no-cross-sign")
    time.sleep(_LONGEST)  # whoever verifies with a CA file has looked at it since
    for step in ("promote", "finish --assume-distributed"):
        observed.step(step)
        print(f"{step}: everything is taken up after {observed.settled():.0f} s")  # noqa: T201
    for name, process in observed.processes.items():
        assert process.alive(), process.tail()
        print(f"{name}: process {process.popen.pid}, from the beginning to the end")  # noqa: T201
    # The exception: what Pods are given is what the controller manager read when it started.
    words = ("get", "configmap", "kube-root-ca.crt", "-o", "jsonpath={.data.ca\\.crt}")
    published = observed.cluster.kubectl("cp-1", observed.admin, *words)
    assert published.strip() != (observed.cluster.pki("cp-1") / "ca.crt").read_text().strip()
