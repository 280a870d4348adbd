"""An etcd CA rotation on three real members, one step and one member at a time, under continuous load.

Members restart only where the restart map says so, and what it says reloads by itself is left alone: so the
load is also the proof of that table. The clients are the API server's: they hold the CA that they began with
and read their certificate and key for every connection.
"""

from __future__ import annotations

import base64
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.live import programs
from tests.live.control_plane import Cluster, make, plug_in, spec_text, static_pods
from tests.live.hosts import Identity, Network
from tests.live.rotating import Clients, Figures, asking, deliver, pkigen_in, restart, restarts_of, rotate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.live

_NODES = {
    "cp-1": ("10.78.0.1",),
    "etcd-1": ("10.78.0.11",),
    "etcd-2": ("10.78.0.12",),
    "etcd-3": ("10.78.0.13",),
}
_MEMBERS = ("etcd-1", "etcd-2", "etcd-3")
_URLS = [f"https://{_NODES[member][0]}:2379" for member in _MEMBERS]
_HEALTH = "http://127.0.0.1:2381/health"
_PKI = "etc/kubernetes/pki"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    programs.require("etcd")
    spec = {
        "kubernetesVersion": "v1.33.7" if programs.version("etcd") < (3, 6) else "v1.36.2",
        "nodes": [
            {
                "name": name,
                "roles": ["control-plane" if name == "cp-1" else "etcd"],
                "addresses": list(addresses),
            }
            for name, addresses in _NODES.items()
        ],
    }
    made = make(tmp_path, spec_text("rotating", spec))
    with Network() as network:
        plug_in(network, made, _NODES)
        started = [
            made.machines[member].start("etcd", static_pods(made, member)["etcd"].command)
            for member in _MEMBERS
        ]
        for member, process in zip(_MEMBERS, started, strict=True):
            answer = made.machines[member].request(_HEALTH, until=180)
            assert answer.status == 200, (answer, process.tail())
        yield made


def _series(cluster: Cluster) -> list[dict[str, Any]]:
    """Two clients with the API server's files, as they are on its machine."""
    folder = f"/proc/{cluster.machines['cp-1'].pid}/root/{_PKI}"
    return [
        {
            "name": name,
            "kind": "etcd",
            "urls": _URLS,
            "folder": folder,
            "ca": "etcd/ca.crt",
            "certificate": "apiserver-etcd-client.crt",
            "key": "apiserver-etcd-client.key",
            "holds": True,
            "deadline": 60,  # each member may hang once, for as long as an attempt lasts
            "pause": 0.05,  # without one they would keep a processor busy, and ask no more at a restart
        }
        for name in ("one", "two")
    ]


def _carry_out(
    cluster: Cluster, restarts: Sequence[dict[str, Any]], clients: Clients, nodes: Sequence[str] = ()
) -> int:
    """Bring a step to nodes, one after the other; how many members had to restart."""
    count = 0
    for node in nodes or _NODES:
        deliver(cluster, node)
        wanted = restarts_of(restarts, node)
        if "etcd" in wanted:
            count += 1
            restart(cluster, node, "etcd", _HEALTH)
        if "kube-apiserver" in wanted:
            clients.restart()
        time.sleep(0.3)
    return count


def _expect_nothing_lost(cluster: Cluster, figures: Figures, what: str) -> None:
    """Every write that was acknowledged is in etcd, and nobody was turned away or left without an answer."""
    lost = []
    for name, found in figures.series.items():
        answer = cluster.machines["cp-1"].request(
            f"{_URLS[0]}/v3/kv/range",
            ca=cluster.pki("cp-1") / "etcd/ca.crt",
            identity=cluster.identity("cp-1", "apiserver-etcd-client"),
            body={
                "key": _b64(f"steady/{name}/"),
                "range_end": _b64(f"steady/{name}0"),
                "keys_only": True,
            },
        )
        assert answer.status == 200, answer
        kept = {
            int(base64.b64decode(pair["key"]).decode().rpartition("/")[2]) for pair in answer.json()["kvs"]
        }
        lost += sorted(set(found["written"]) - kept)
    print(f"{what}: {figures}, {figures.total('written')} writes, {len(lost)} lost")  # noqa: T201
    assert lost == []
    assert [found["refused"] for found in figures.series.values()] == [[], []]
    assert [found["failed"] for found in figures.series.values()] == [[], []]
    assert figures.total("written") > 100


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _kept_identity(cluster: Cluster, name: str) -> Identity:
    """The API server's client certificate of now, for later."""
    present = cluster.identity("cp-1", "apiserver-etcd-client")
    kept = Identity(certificate=cluster.scratch / f"{name}.crt", key=cluster.scratch / f"{name}.key")
    kept.certificate.write_bytes(present.certificate.read_bytes())
    kept.key.write_bytes(present.key.read_bytes())
    return kept


def test_a_whole_rotation_under_load(cluster: Cluster) -> None:
    old, old_ca = _kept_identity(cluster, "old"), cluster.scratch / "old-ca.crt"
    old_ca.write_bytes((cluster.pki("cp-1") / "etcd/ca.crt").read_bytes())
    first = cluster.machines["cp-1"]
    with asking(first, _series(cluster)) as clients:
        assert _carry_out(cluster, rotate(cluster, "ca", "etcd", "prepare"), clients) == 3

        promoted = rotate(cluster, "ca", "etcd", "promote")
        assert _carry_out(cluster, promoted, clients, ("cp-1", "etcd-1", "etcd-2")) == 0
        early = pkigen_in(
            first,
            *("rotate", "ca", "etcd", cluster.scratch / "cluster.yaml", "-C", cluster.out),
            *("--phase", "finish", "--live", "--yes"),
        )
        assert early.returncode == 1
        assert "etcd on etcd-3 (10.78.0.13:2379): old-certificate: still serves the certificate of" in (
            early.stderr
        )
        assert "not serving the certificate in pki.lock: etcd-3\n" in early.stderr
        assert _carry_out(cluster, promoted, clients, ("etcd-3",)) == 0

        finished = rotate(cluster, "ca", "etcd", "finish --live")
        assert _carry_out(cluster, finished, clients) == 3
        time.sleep(1)
        figures = clients.stop()
    _expect_nothing_lost(cluster, figures, "prepare, promote, finish: 6 restarts")
    for url in _URLS:
        current = cluster.identity("cp-1", "apiserver-etcd-client")
        ca = cluster.pki("cp-1") / "etcd/ca.crt"
        assert first.request(f"{url}/health", ca=ca, identity=current).status == 200
        assert first.request(f"{url}/health", ca=ca, identity=old).status is None
        distrusted = first.request(f"{url}/health", ca=old_ca, identity=current)
        assert distrusted.error is not None
        assert ssl.SSLCertVerificationError.__name__ in distrusted.error


def test_rolled_back_in_the_middle(cluster: Cluster) -> None:
    """With the leaves' keys kept: so no member ever has a new certificate beside an old key."""
    with asking(cluster.machines["cp-1"], _series(cluster)) as clients:
        assert _carry_out(cluster, rotate(cluster, "ca", "etcd", "prepare"), clients) == 3
        half = ("etcd-2", "cp-1")
        assert _carry_out(cluster, rotate(cluster, "ca", "etcd", "promote --reuse-keys"), clients, half) == 0
        assert _carry_out(cluster, rotate(cluster, "ca", "etcd", "rollback --reuse-keys"), clients) == 0
        assert _carry_out(cluster, rotate(cluster, "ca", "etcd", "rollback"), clients) == 3
        time.sleep(1)
        figures = clients.stop()
    _expect_nothing_lost(cluster, figures, "prepare, half of promote, back, back: 6 restarts")
