"""A rotation of the kubernetes CA in which only what must restarts, and certificates that end afterwards.

`certificates.kubeconfigs: files` has the scheduler and the controller manager read their credentials by path;
files are replaced by rename, and restarted is what the restart map names. Certificates live for minutes, so
that whoever has not taken up new ones is refused before the test ends. Audit logs say which certificate each
component presents. The broken control is a scheduler with the same credentials in its kubeconfig.

client-go looks at its files every five minutes, and so this takes half an hour: PKIGEN_TEST_RELOADS=1 runs
it.
"""

from __future__ import annotations

import base64
import json
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.live import programs
from tests.live.control_plane import CREATE, Cluster, make, plug_in, spec_text, static_pods
from tests.live.hosts import Network
from tests.live.rotating import current, deliver, pkigen_in, restart, restarts_of, rotate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.hosts import Process

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        "PKIGEN_TEST_RELOADS" not in os.environ, reason="takes half an hour: set PKIGEN_TEST_RELOADS=1"
    ),
]

_ADDRESSES = {"cp-1": "10.82.0.1", "worker-1": "10.82.0.21"}
_STAND_IN = Path(__file__).with_name("stand_in_kubelet.py")
_POLICY, _LOG = "/etc/kubernetes/audit-policy.yaml", "/etc/kubernetes/audit.log"
_BY_PATH = ("scheduler", "controller-manager")
_CONTROL = "embedding"
_VALIDITY = "16m"
"""A third of it is the time in which client-go takes up what was renewed, and some."""
_RENEWALS = 2
_WHILE = 30
"""In seconds."""
_LONGEST = 330
"""In seconds: client-go's five minutes, and some."""
_DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "spec": {
        "template": {
            "spec": {
                "containers": [{"name": "a", "image": "registry.example/a"}],
                "tolerations": [{"operator": "Exists"}],
            }
        }
    },
}


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
        self.machine.run("sh", "-c", f"cat >{_POLICY}", stdin=yaml.safe_dump(policy))
        pods = static_pods(self.cluster, "cp-1")
        for name in ("etcd", "kube-apiserver", *(f"kube-{each}" for each in _BY_PATH)):
            self.processes[name] = process = self.machine.start(name, pods[name].command)
            assert self.machine.request(pods[name].probe, until=300).status == 200, process.tail()
        self.start_control(pods["kube-scheduler"].command)
        status = {
            "addresses": [{"type": "InternalIP", "address": _ADDRESSES["worker-1"]}],
            "allocatable": {"cpu": "4", "memory": "4Gi", "pods": "100"},
        }
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-1"}, "status": status}
        self.cluster.kubectl("cp-1", self.admin, *CREATE, stdin=json.dumps(node))
        self.serve_kubelet()

    def start_control(self, command: tuple[str, ...]) -> None:
        """A scheduler that leads nobody but itself, and has its credentials in its kubeconfig."""
        place = "/etc/kubernetes/embedding.conf"
        self.machine.run("sh", "-c", f"cat >{place}", stdin=self.embedding())
        words = [word.replace("/etc/kubernetes/scheduler.conf", place) for word in command]
        words += ["--leader-elect-resource-namespace=default", "--secure-port=10269"]
        self.processes[_CONTROL] = process = self.machine.start(_CONTROL, words)
        answer = self.machine.request("https://127.0.0.1:10269/healthz", until=300)
        assert answer.status == 200, process.tail()

    def embedding(self) -> str:
        """The scheduler's kubeconfig with everything in it."""
        content = yaml.safe_load(self.cluster.kubeconfig("cp-1", "scheduler.conf").read_text())
        for part in (content["clusters"][0]["cluster"], content["users"][0]["user"]):
            for name in [name for name, value in part.items() if value.startswith("/")]:
                data = (self.cluster.node("cp-1") / part.pop(name).lstrip("/")).read_bytes()
                part[f"{name}-data"] = base64.b64encode(data).decode()
        return yaml.safe_dump(content)

    @property
    def admin(self) -> Path:
        return self.cluster.kubeconfig("cp-1", "super-admin.conf")

    def step(self, name: str) -> set[str]:
        """A step, with the restarts that it asks for; these components."""
        return self.distribute(rotate(self.cluster, "ca", "kubernetes", name))

    def renew(self) -> set[str]:
        """What is due, with the restarts that it asks for."""
        done = pkigen_in(self.machine, "apply", "-C", self.cluster.out, "--yes", "-o", "json")
        assert done.returncode == 0, done
        return self.distribute(json.loads(done.stdout)["restarts"])

    def distribute(self, restarts: list[dict[str, Any]]) -> set[str]:
        for node in self.cluster.machines:
            deliver(self.cluster, node)
        self.serve_kubelet()
        asked = restarts_of(restarts, "cp-1")
        if "kube-controller-manager" in asked:
            time.sleep(_WHILE)
            assert not self.publishes(), "it would not have to restart"
        for component in asked:
            restart(self.cluster, "cp-1", component, static_pods(self.cluster, "cp-1")[component].probe)
            until = time.monotonic() + 4 * _WHILE
            while not self.publishes():
                assert time.monotonic() < until, current(self.machine, component).tail()
                time.sleep(1)
        return asked | restarts_of(restarts, "worker-1")

    def publishes(self) -> bool:
        """Whether Pods are given the CAs that are on the disk: the exception, read at start alone."""
        words = ("get", "configmap", "kube-root-ca.crt", "-o", "jsonpath={.data.ca\\.crt}")
        published = self.cluster.kubectl("cp-1", self.admin, *words).strip()
        return published == (self.cluster.pki("cp-1") / "ca.crt").read_text().strip()

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
        """Which certificates each component has presented since the last look, the control left out."""
        lines = self.machine.run("tail", "-n", f"+{self.read + 1}", _LOG).splitlines()
        self.read += len(lines)
        found: dict[str, set[str]] = {}
        for line in lines:
            event = json.loads(line)
            if "/namespaces/default/leases" in event["requestURI"]:
                continue
            for each in event["user"].get("extra", {}).get("authentication.kubernetes.io/credential-id", ()):
                component = event["user"]["username"].removeprefix("system:kube-")
                found.setdefault(component, set()).add(each.removeprefix("X509SHA256="))
        return found

    def answers(self) -> bool:
        """Whether the API server accepts the kubelet's certificate."""
        words = ("get", "--raw", "/api/v1/nodes/worker-1/proxy/healthz")
        return self.cluster.try_kubectl("cp-1", self.admin, *words).returncode == 0

    def certificate(self, component: str) -> x509.Certificate:
        """What a component's kubeconfig names."""
        return x509.load_pem_x509_certificate(
            (self.cluster.pki("cp-1") / component / "client.crt").read_bytes()
        )

    def settled(self) -> float:
        """Wait until everybody presents what is on the disk, and the API server reaches the kubelet."""
        wanted = {each: self.certificate(each).fingerprint(hashes.SHA256()).hex() for each in _BY_PATH}
        began = time.monotonic()
        self.used()
        while True:
            time.sleep(15)
            used = self.used()
            if all(wanted[each] in used.get(each, ()) for each in _BY_PATH) and self.answers():
                return time.monotonic() - began
            assert time.monotonic() - began < _LONGEST, (used, wanted)

    def works(self, name: str) -> None:
        """Both components do their work: what is asked for gets Pods, and these get a node."""
        labels = {"app": name}
        deployment = {**_DEPLOYMENT, "metadata": {"name": name}}
        template = {**_DEPLOYMENT["spec"]["template"], "metadata": {"labels": labels}}
        deployment["spec"] = {"selector": {"matchLabels": labels}, "template": template}
        self.cluster.kubectl("cp-1", self.admin, *CREATE, stdin=json.dumps(deployment))
        words = ("get", "pods", "-l", f"app={name}", "-o", "jsonpath={.items[*].spec.nodeName}")
        until = time.monotonic() + 60
        while self.cluster.kubectl("cp-1", self.admin, *words).strip() != "worker-1":
            assert time.monotonic() < until, self.processes["kube-scheduler"].tail()
            time.sleep(1)

    def say(self, what: str) -> None:
        print(what)  # noqa: T201 -- docs/how-to/rotation.md has it


@pytest.fixture
def observed(tmp_path: Path) -> Iterator[Observed]:
    programs.require(*programs.LEAST, "kube-controller-manager", "kube-scheduler")
    if programs.version("kube-apiserver") < (1, 36):
        pytest.skip("client-go reads CA files again from 1.36 on")
    spec = {
        "controlPlaneEndpoint": f"{_ADDRESSES['cp-1']}:6443",
        "certificates": {"kubeconfigs": "files", "validity": _VALIDITY},
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


def test_only_what_must_restarts(observed: Observed) -> None:
    manager, control = "kube-controller-manager", observed.processes[_CONTROL]
    for step, restarted in (("prepare", {manager}), ("promote", set())):
        assert observed.step(step) == restarted
        observed.say(f"{step}: restarted {', '.join(restarted) or 'nothing'}")
    observed.say(f"promote: everything is taken up after {observed.settled():.0f} s")
    assert control.alive(), control.tail()
    assert observed.step("finish --assume-distributed") == {manager}
    observed.say(f"finish: restarted {manager}, everything is taken up after {observed.settled():.0f} s")
    control.popen.wait(timeout=_LONGEST)
    observed.say("the scheduler whose kubeconfig embeds its credentials has ended")
    assert "unauthorized" in control.tail().lower() or "x509" in control.tail(), control.tail()
    lived = current(observed.machine, manager)
    for number in range(1, _RENEWALS + 1):
        until = observed.certificate("scheduler").not_valid_after_utc
        # A third of its life before its end, it is due.
        _sleep_until(until.timestamp() - 16 * 60 / 3 + 5)
        assert observed.renew() == set()
        _sleep_until(until.timestamp() + 5)
        taken = observed.settled()
        observed.works(f"renewed-{number}")
        observed.say(f"renewal {number}: restarted nothing; works after the former certificates ended")
        assert taken < _LONGEST
    for name in ("etcd", "kube-apiserver", "kube-scheduler"):
        process = observed.processes[name]
        assert process.alive(), process.tail()
        observed.say(f"{name}: process {process.popen.pid}, from the beginning to the end")
    assert lived.alive(), lived.tail()
    observed.say(f"{manager}: process {lived.popen.pid}, from the restart after finish to the end")


def _sleep_until(moment: float) -> None:
    time.sleep(max(0, moment - datetime.now(UTC).timestamp()))
