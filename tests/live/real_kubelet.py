"""A real kubelet on a machine, with a container runtime that runs nothing: it is a node, and serves."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.live import programs
from tests.live.hosts import Identity
from tests.live.rotating import end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.control_plane import Cluster

_RUNTIME = Path(__file__).with_name("stand_in_runtime.py")
_UNIFIED_CGROUPS = Path("/sys/fs/cgroup/cgroup.controllers")
_OWN = "/var/lib/kubelet/pki/kubelet-client-current.pem"
_SECONDS = 120
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class RealKubelet:
    """A kubelet that comes in with its node's kubelet.conf, and judges the API server by the CA there."""

    cluster: Cluster
    node: str
    address: str
    configuration: Path

    def start(self) -> None:
        """Start it, and wait until it serves."""
        command = ("kubelet", "--kubeconfig=/etc/kubernetes/kubelet.conf", f"--config={self.configuration}")
        machine = self.cluster.machines[self.node]
        named = (f"--hostname-override={self.node}", f"--node-ip={self.address}")
        process = machine.start("kubelet", (*command, *named))
        answer = machine.request("http://127.0.0.1:10248/healthz", until=_SECONDS)
        assert answer.status == 200, process.tail()

    def restart(self) -> None:
        """As the restart map says it: without the certificate of its own, which it would prefer."""
        machine = self.cluster.machines[self.node]
        end(machine, "kubelet")
        machine.run("rm", "-f", _OWN)
        self.start()

    def expect_in(self) -> None:
        """The API server lets it in, and it the API server: its lease is renewed, its port answers."""
        begun = datetime.now(UTC) + timedelta(seconds=1)
        deadline = time.monotonic() + _SECONDS
        while self._renewed() < begun:
            assert time.monotonic() < deadline, self.cluster.machines[self.node].processes[-1].tail()
            time.sleep(0.5)
        assert self._get(f"/api/v1/nodes/{self.node}/proxy/healthz") == "ok"

    def lets_in(self, certificate: Path, key: Path) -> bool:
        """Whether it takes somebody for an API server."""
        identity = Identity(certificate=certificate, key=key)
        machine = self.cluster.machines[self.node]
        answer = machine.request(f"https://{self.address}:10250/healthz", identity=identity)
        assert answer.status in {200, 401}, answer
        return answer.status == 200

    def _renewed(self) -> datetime:
        lease = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{self.node}"
        said = self._get(lease)
        return datetime.fromisoformat(json.loads(said)["spec"]["renewTime"]) if said else _NEVER

    def _get(self, path: str) -> str:
        admin = self.cluster.kubeconfig(self.node, "super-admin.conf")
        done = self.cluster.try_kubectl(self.node, admin, "get", "--raw", path)
        return done.stdout if done.returncode == 0 else ""


def _settings(found: dict[str, Any], socket: Path) -> dict[str, Any]:
    """kubeadm's, for a host without control groups of its own and without anything to run."""
    found.pop("staticPodPath", None)
    return found | {
        "authorization": {"mode": "AlwaysAllow"},  # kubeadm's bindings are not in this cluster
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "containerRuntimeEndpoint": f"unix://{socket}",
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "featureGates": {"KubeletInUserNamespace": True},
        "localStorageCapacityIsolation": False,
        "nodeLeaseDurationSeconds": 4,
        "resolvConf": "",
        **({} if _UNIFIED_CGROUPS.exists() else {"failCgroupV1": False}),
    }


@contextlib.contextmanager
def real_kubelet(cluster: Cluster, node: str, address: str) -> Iterator[RealKubelet | None]:
    """A kubelet that runs; None where the program, or grpc for its runtime, is absent."""
    if programs.find("kubelet") is None or importlib.util.find_spec("grpc") is None:
        yield None
        return
    socket = cluster.scratch / "runtime.sock"
    settings = yaml.safe_load((cluster.node(node) / "var/lib/kubelet/config.yaml").read_text())
    configuration = cluster.scratch / "kubelet.yaml"
    configuration.write_text(yaml.safe_dump(_settings(settings, socket)))
    with cluster.machines[node].listening(_RUNTIME, socket):
        kubelet = RealKubelet(cluster=cluster, node=node, address=address, configuration=configuration)
        kubelet.start()
        yield kubelet
