"""Rotations of a control plane of real programs, with two API servers, under continuous load.

The kubernetes CA, the front proxy's CA and the service account key rotate together. Clients have the files of
the step before or of the present step, tokens of both keys, and one of them asks through the API servers for
what a kubelet answers. API servers restart one at a time, and only where the restart map says so.
"""

from __future__ import annotations

import base64
import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.desired.readers import ComponentName
from tests.live import programs
from tests.live.control_plane import CREATE, Cluster, make, plug_in, spec_text, static_pods
from tests.live.hosts import Network
from tests.live.rotating import Clients, asking, deliver, restart, restarts_of, rotate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.live

_NODES = {"cp-1": "10.79.0.1", "cp-2": "10.79.0.2", "etcd-1": "10.79.0.11", "worker-1": "10.79.0.21"}
_API = [f"https://{_NODES[name]}:6443" for name in ("cp-1", "cp-2")]
_STAND_IN = Path(__file__).with_name("stand_in_kubelet.py")
_KUBELET_PKI = "var/lib/kubelet/pki"
_REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_CAS = ("ca", "kubernetes", "front-proxy")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    programs.require(*programs.LEAST)
    spec = {
        "controlPlaneEndpoint": f"{_NODES['cp-1']}:6443",
        "apiServer": {"certSANs": [_NODES["cp-2"]]},
        "kubelet": {"rotateCertificates": False},
        "nodes": [
            {"name": "cp-1", "roles": ["control-plane"], "addresses": [_NODES["cp-1"]]},
            {"name": "cp-2", "roles": ["control-plane"], "addresses": [_NODES["cp-2"]]},
            {"name": "etcd-1", "roles": ["etcd"], "addresses": [_NODES["etcd-1"]]},
            {"name": "worker-1", "roles": ["worker"], "addresses": [_NODES["worker-1"]]},
        ],
    }
    made = make(tmp_path, spec_text("rotating", spec))
    with Network() as network:
        plug_in(network, made, {name: (address,) for name, address in _NODES.items()})
        etcd = made.machines["etcd-1"].start("etcd", static_pods(made, "etcd-1")["etcd"].command)
        answer = made.machines["etcd-1"].request("http://127.0.0.1:2381/health", until=180)
        assert answer.status == 200, (answer, etcd.tail())
        for name in ("cp-1", "cp-2"):
            machine = made.machines[name]
            server = machine.start("kube-apiserver", static_pods(made, name)["kube-apiserver"].command)
            answer = machine.request(f"https://{_NODES[name]}:6443/readyz", until=300)
            assert answer.status == 200, (answer, server.tail())
        yield made


@dataclass
class Fleet:
    """The clients' files: a folder for who has those of the step before, one for who has the present ones."""

    cluster: Cluster
    folder: Path
    number: int = 0
    count: dict[str, int] = field(default_factory=dict)

    def update(self, name: str) -> None:
        """Give a client the files of now, in one go."""
        self.number += 1
        place = self.folder / f"{name}-{self.number}"
        place.mkdir(parents=True)
        self.cluster.unpack(self.cluster.kubeconfig("cp-1", "super-admin.conf"), place)
        for suffix in ("crt", "key"):
            shutil.copy(self.cluster.pki("cp-1") / f"front-proxy-client.{suffix}", place)
        link = self.folder / f"{name}.link"
        link.symlink_to(place)
        link.replace(self.folder / name)

    def series(self) -> list[dict[str, Any]]:
        """Who asks what."""
        common = {"kind": "api", "urls": _API, "ca": "ca.crt", "deadline": 60, "pause": 0.05}
        admin = {"certificate": "client.crt", "key": "client.key"}
        proxy = {
            "certificate": "front-proxy-client.crt",
            "key": "front-proxy-client.key",
            "headers": {"X-Remote-User": "somebody", "X-Remote-Group": "system:masters"},
        }
        found = []
        for age in ("old", "new"):
            files = {**common, "folder": str(self.folder / age)}
            found += [
                {**files, **admin, "name": f"{age} kubeconfig", "path": "/api/v1/namespaces/default"},
                {**files, **proxy, "name": f"{age} front proxy", "path": "/api/v1/namespaces/kube-system"},
                {
                    **files,
                    "name": f"{age} token",
                    "token": str(self.folder / f"{age}.token"),
                    "path": _REVIEWS,
                    "body": _REVIEW,
                },
            ]
        kubelet = {"name": "kubelet", "path": "/api/v1/nodes/worker-1/proxy/healthz"}
        found.append({**common, **admin, **kubelet, "folder": str(self.folder / "new")})
        return found

    def sign(self, name: str) -> str:
        """Have a token signed with the key that signs now."""
        account = ("create", "token", "steady", "--duration=2h")
        token = self.cluster.kubectl("cp-1", self._admin, *account).strip()
        (self.folder / f"{name}.new").write_text(token)
        (self.folder / f"{name}.new").replace(self.folder / f"{name}.token")
        return _key_id(token)

    @property
    def _admin(self) -> Path:
        return self.cluster.kubeconfig("cp-1", "super-admin.conf")

    def begin(self) -> None:
        """What the clients ask for is there."""
        status = {"addresses": [{"type": "InternalIP", "address": _NODES["worker-1"]}]}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-1"}, "status": status}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "steady"}}
        for each in (node, account):
            self.cluster.kubectl("cp-1", self._admin, *CREATE, stdin=json.dumps(each))
        for name in ("old", "new"):
            self.update(name)
            self.sign(name)

    def keys(self) -> list[set[str]]:
        """The ids of the keys that each API server shows."""
        found = []
        for url in _API:
            shown = self.cluster.kubectl(
                "cp-1", self._admin, "--server", url, "get", "--raw", "/openid/v1/jwks"
            )
            found.append({key["kid"] for key in json.loads(shown)["keys"]})
        return found


def _key_id(token: str) -> str:
    header = token.partition(".")[0]
    key: str = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]
    return key


class Kubelet:
    """A server in a kubelet's place, which takes its files up when they come, as a kubelet does."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._running: Any = None

    def take_up(self) -> None:
        self.close()
        machine = self._cluster.machines["worker-1"]
        node = self._cluster.node("worker-1")
        self._running = machine.listening(
            _STAND_IN,
            _NODES["worker-1"],
            node / _KUBELET_PKI / "kubelet.crt",
            node / _KUBELET_PKI / "kubelet.key",
            self._cluster.pki("worker-1") / "ca.crt",
        )
        self._running.__enter__()

    def close(self) -> None:
        if self._running is not None:
            self._running.__exit__(None, None, None)


def _carry_out(
    cluster: Cluster, restarts: Sequence[dict[str, Any]], kubelet: Kubelet, order: Sequence[str]
) -> int:
    """Bring the files to one node after the other; how many API servers had to restart."""
    count = 0
    for node in order:
        deliver(cluster, node)
        if node == "worker-1":
            kubelet.take_up()
        elif ComponentName.API_SERVER in restarts_of(restarts, node):
            count += 1
            url = f"https://{_NODES[node]}:6443/readyz"
            restart(cluster, node, "kube-apiserver", url)
        time.sleep(1.2)  # what reloads by itself has done so after this
    return count


def test_everything_rotates_under_load(cluster: Cluster, tmp_path: Path) -> None:
    fleet = Fleet(cluster, tmp_path / "clients")
    fleet.begin()
    kubelet = Kubelet(cluster)
    kubelet.take_up()
    first_key = _key_id((fleet.folder / "old.token").read_text())
    forward, backward = ("worker-1", "cp-1", "cp-2"), ("cp-2", "worker-1", "cp-1")
    try:
        with asking(cluster.machines["worker-1"], fleet.series()) as clients:
            assert fleet.keys() == [{first_key}] * 2
            # From 1.36 on they take up the kubelets' CA while they run; new token keys ask for a restart.
            of_cas = 0 if programs.version("kube-apiserver") >= (1, 36) else 2
            assert _step(cluster, fleet, kubelet, "prepare", forward) == (of_cas, 2)
            both = fleet.keys()
            assert both[0] == both[1]
            assert len(both[0]) == 2
            assert _step(cluster, fleet, kubelet, "promote", backward) == (0, 2)
            second_key = fleet.sign("new")
            assert both == fleet.keys() == [{first_key, second_key}] * 2
            time.sleep(1)
            fleet.sign("old")  # the last token of the old key has ended before `finish`
            time.sleep(1)
            assert _step(cluster, fleet, kubelet, "finish", forward) == (of_cas, 2)
            assert fleet.keys() == [{second_key}] * 2
            _expect(clients, f"prepare, promote, finish: {2 * of_cas + 6} restarts")
    finally:
        kubelet.close()


def _step(
    cluster: Cluster, fleet: Fleet, kubelet: Kubelet, step: str, order: Sequence[str]
) -> tuple[int, ...]:
    """One step, with clients that have its files at once and clients that get them last."""
    counts = []
    for what, more in ((_CAS, "--assume-distributed"), (("sa",), "--force")):
        restarts = rotate(cluster, *what, f"{step} {more}" if step == "finish" else step)
        fleet.update("new")
        counts.append(_carry_out(cluster, restarts, kubelet, order))
        fleet.update("old")
    return tuple(counts)


def _expect(clients: Clients, what: str) -> None:
    figures = clients.stop()
    print(f"{what}: {figures}")  # noqa: T201
    for name, found in figures.series.items():
        print(f"  {name}: {found['asked']} asked, {found['retried']} retried")  # noqa: T201
    assert {name: found["refused"] for name, found in figures.series.items() if found["refused"]} == {}
    assert {name: found["failed"] for name, found in figures.series.items() if found["failed"]} == {}
    assert all(found["asked"] > 50 for found in figures.series.values())
