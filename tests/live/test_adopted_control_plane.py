"""A control plane that kubeadm made and real programs run: taken over, and its CAs and token key rotated.

Clients ask without pause, with files of before anybody touched the cluster and with present ones; at the end
the old CAs' credentials are refused: a kubeconfig, a token, a client of etcd, a member of etcd as its peers
know it, and a front proxy. Once more where kubeadm was given one CA for all three purposes.
PKIGEN_TEST_CONTROL_PLANES=3 makes it three nodes, each with a member of etcd, instead of one, and goes back
once in the middle, which takes minutes.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509

from pkigen.crypto.keys import private_pem, public_der
from tests.adoption import kubeadm_trees
from tests.adoption.altered_nodes import PKI, moment, new_ca
from tests.live import programs
from tests.live.control_plane import Cluster, boot_static_pods, pkigen, plug_in, static_pods
from tests.live.hosts import Identity, Network
from tests.live.real_kubelet import RealKubelet, real_kubelet
from tests.live.rotating import asking, deliver, end, pkigen_in, restart, restarts_of
from tests.live.test_untouched_clients import _CONTROL_PLANES, Untouched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

_NODES = {f"cp-{number}": f"10.81.0.{number}" for number in range(1, _CONTROL_PLANES + 1)}
_SECONDS = 120
_STEPS = (
    ("prepare", "promote") if len(_NODES) == 1 else ("prepare", "promote", "rollback", "prepare", "promote")
)
_ALONE = {"kube-controller-manager": 10257, "kube-scheduler": 10259}


_CAS = ("ca", "etcd/ca", "front-proxy-ca")
_REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


@pytest.fixture(params=["a CA for each purpose", "one CA for all"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """Running as kubeadm made it, and taken over."""
    programs.require(*programs.LEAST, "kube-controller-manager")
    kubeadm_trees.kubeadm()
    place = tmp_path / "kubeadm/nodes"
    given = _one_ca(tmp_path / "given") if request.param == "one CA for all" else None
    kubeadm_trees.stacked(place, _NODES, given=given)
    made = Cluster(out=place.parent, scratch=tmp_path)
    with Network() as network:
        plug_in(network, made, {name: (address,) for name, address in _NODES.items()})
        boot_static_pods(made, elected_on="cp-1")
        made.out = tmp_path / "out"
        pkigen("adopt", place, "-C", made.out)
        yield made


def _one_ca(root: Path) -> Path:
    """One CA in the three places from which kubeadm takes what is there."""
    ca, pki = new_ca("company", moment()), root / PKI
    (pki / "etcd").mkdir(parents=True)
    for name in _CAS:
        (pki / f"{name}.crt").write_bytes(ca.pem)
        (pki / f"{name}.key").write_bytes(private_pem(ca.key))
    return root


def _keys(cluster: Cluster) -> set[bytes]:
    """The keys of the three CAs."""
    files = (cluster.out / f"pki/{name}.crt" for name in _CAS)
    return {public_der(x509.load_pem_x509_certificate(file.read_bytes()).public_key()) for file in files}


class Operator:
    """Does what the runbook says."""

    def __init__(self, cluster: Cluster, kubelet: RealKubelet | None) -> None:
        self._cluster = cluster
        self._kubelet = kubelet

    def manage(self, *kinds: str) -> None:
        """Have pkigen write these kinds of files from now on."""
        spec = self._cluster.out / "cluster.yaml"
        content = yaml.safe_load(spec.read_text())
        content["spec"]["manage"] = list(kinds)
        spec.write_text(yaml.safe_dump(content))
        self.carry_out(self.run("apply", "--force"))

    def rotate(self, step: str, *more: str) -> None:
        """Take a step with all CAs and the token key, and bring it to one node after the other."""
        found = []
        for what in (("ca", "kubernetes", "etcd", "front-proxy"), ("sa",)):
            found += self.run("rotate", *what, "--phase", step, *more)
        self.carry_out(found)

    def run(self, *arguments: str) -> list[dict[str, Any]]:
        """A command that changes the tree; what must restart."""
        machine = self._cluster.machines["cp-1"]
        done = pkigen_in(machine, *arguments, "-C", self._cluster.out, "--yes", "-o", "json")
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        restarts: list[dict[str, Any]] = json.loads(done.stdout)["restarts"]
        return restarts

    def carry_out(self, restarts: list[dict[str, Any]]) -> None:
        """Copy and restart, node by node."""
        for node, address in _NODES.items():
            deliver(self._cluster, node)
            asked = restarts_of(restarts, node)
            probes = {
                "etcd": "http://127.0.0.1:2381/health",
                "kube-apiserver": f"https://{address}:6443/readyz",
            }
            for component, probe in probes.items():
                if component in asked:
                    restart(self._cluster, node, component, probe)
            for component in _ALONE if node == "cp-1" else ():
                if component in asked:
                    self._restart_alone(node, component)
            time.sleep(1.5)  # what reloads by itself has done so after this
            if self._kubelet is not None and node == self._kubelet.node:
                if "kubelet" in asked:
                    self._kubelet.restart()
                self._kubelet.expect_in()

    def _restart_alone(self, node: str, component: str) -> None:
        """One that may have ended by itself, where its only API server was away for long."""
        machine = self._cluster.machines[node]
        if any(process.name == component and process.alive() for process in machine.processes):
            end(machine, component)
        process = machine.start(component, static_pods(self._cluster, node)[component].command)
        probe = f"https://127.0.0.1:{_ALONE[component]}/healthz"
        assert machine.request(probe, until=_SECONDS).status == 200, process.tail()


class Present:
    """A client that gets the files of now after every step."""

    def __init__(self, untouched: Untouched) -> None:
        self._untouched = untouched
        self._number = 0
        self._link = untouched.folder / "present"
        self.series = {**self.update(), "name": "present", "folder": str(self._link)}

    def update(self) -> dict[str, Any]:
        """Give it the files of now, in one go."""
        self._number += 1
        series = self._untouched.hand_out(f"present-{self._number}")
        new = self._link.with_suffix(".new")
        new.symlink_to(series["folder"])
        new.replace(self._link)
        return series


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Certificates of the present CAs that somebody copies and keeps: of etcd, and of the front proxy.

    Of each node its own: a member lets in a peer from the addresses that its certificate names alone.
    """

    cluster: Cluster
    folder: Path

    @classmethod
    def of(cls, cluster: Cluster, folder: Path) -> Kept:
        names = ("etcd/healthcheck-client", "etcd/peer", "apiserver-etcd-client", "front-proxy-client")
        names += ("apiserver-kubelet-client",)
        for node, name, suffix in product(_NODES, names, ("crt", "key")):
            target = folder / node / f"{name}.{suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(cluster.pki(node) / f"{name}.{suffix}", target)
        return cls(cluster=cluster, folder=folder)

    def pair(self, node: str, name: str) -> tuple[Path, Path]:
        """A certificate that a node had, and its key."""
        return self.folder / node / f"{name}.crt", self.folder / node / f"{name}.key"

    def let_in(self) -> set[str]:
        """Who is let in on every node, by whom: the judges' own certificates are not what is asked."""
        found = {
            "a client of etcd": self._all("2379", "/version", "etcd/healthcheck-client"),
            "an API server at etcd": self._all("2379", "/version", "apiserver-etcd-client"),
            "a peer of etcd": self._all("2380", "/members", "etcd/peer"),
            "a front proxy": self._all("6443", _REVIEWS, "front-proxy-client"),
        }
        assert all(len(set(each)) == 1 for each in found.values()), found
        return {who for who, answers in found.items() if answers[0]}

    def _all(self, port: str, path: str, name: str) -> list[bool]:
        is_proxy = port == "6443"
        answers = [
            machine.request(
                f"https://{_NODES[node]}:{port}{path}",
                identity=Identity(
                    certificate=self.folder / node / f"{name}.crt", key=self.folder / node / f"{name}.key"
                ),
                headers={"X-Remote-User": "somebody", "X-Remote-Group": "system:masters"} if is_proxy else {},
                body=_REVIEW if is_proxy else None,
            )
            for node, machine in self.cluster.machines.items()
        ]
        wanted = 201 if is_proxy else 200
        # Nothing else counts as refused: neither a server that is not there, nor one that is not ready. A
        # member ends the connection of a peer that it does not know without an alert.
        assert all(each.status in {wanted, 401} or "SSL" in (each.error or "") for each in answers), answers
        assert all('"somebody"' in each.body for each in answers if is_proxy and each.status == wanted)
        return [each.status == wanted for each in answers]


_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_EVERYBODY = {"a client of etcd", "an API server at etcd", "a peer of etcd", "a front proxy"}


def test_its_cas_and_token_key_rotate_under_load(cluster: Cluster, tmp_path: Path) -> None:
    untouched = Untouched(cluster=cluster, folder=tmp_path / "clients")
    before = [untouched.hand_out("before"), untouched.start_pod("pod"), untouched.dump_etcd("backup")]
    present = Present(untouched)
    kept = Kept.of(cluster, tmp_path / "kept")
    assert kept.let_in() == _EVERYBODY
    with (
        real_kubelet(cluster, "cp-1", _NODES["cp-1"]) as kubelet,
        asking(cluster.machines["cp-1"], before) as early,
        asking(cluster.machines["cp-1"], [present.series]) as late,
    ):
        operator = Operator(cluster, kubelet)
        _expect_kubelet(kubelet, kept, lets_in_old=True)
        operator.manage("manifests")
        for step in _STEPS:
            operator.rotate(step, *(("--assume-distributed",) if step == "promote" else ()))
            present.update()
        figures = early.stop().series
        assert _lets_in(cluster, tmp_path, untouched, "before")
        assert kept.let_in() == _EVERYBODY, "before the old CAs go"
        operator.rotate("finish", "--assume-distributed", "--force")
        figures |= late.stop().series
        _expect_kubelet(kubelet, kept, lets_in_old=False)
        assert operator.run("apply") == []
    for name, found in figures.items():
        counted = [f"{found[each]} {each}" for each in ("asked", "retried")]
        counted += [f"{len(found[each])} {each}" for each in ("refused", "failed")]
        print(f"{len(_NODES)} control planes, {name}: {', '.join(counted)}")  # noqa: T201
    assert {name: found["refused"] + found["failed"] for name, found in figures.items()} == {
        name: [] for name in ("before", "pod", "backup", "present")
    }
    assert all(found["asked"] > 20 for found in figures.values())
    assert not _lets_in(cluster, tmp_path, untouched, "before"), "a certificate of the old CA"
    assert not _lets_in(cluster, tmp_path, untouched, "pod"), "a token of the old key"
    assert kept.let_in() == set(), "certificates of the old CAs of etcd and of the front proxy"
    # The same questions with what they have now.
    assert Kept.of(cluster, tmp_path / "new").let_in() == _EVERYBODY
    assert len(_keys(cluster)) == len(_CAS)
    assert pkigen_in(cluster.machines["cp-1"], "verify", "-C", cluster.out).returncode == 0


def _expect_kubelet(kubelet: RealKubelet | None, kept: Kept, *, lets_in_old: bool) -> None:
    """A real kubelet, where there is one, is a node of the cluster, and knows the API server by its CA."""
    if kubelet is not None:
        kubelet.expect_in()
        assert kubelet.lets_in(*kept.pair("cp-1", "apiserver-kubelet-client")) is lets_in_old
        print(f"a real kubelet is in; it lets in the API server of before: {lets_in_old}")  # noqa: T201


def _lets_in(cluster: Cluster, scratch: Path, untouched: Untouched, name: str) -> bool:
    """Whether the API servers let somebody in by what he has, who trusts the present CA."""
    folder = untouched.folder / name
    with_token = ("--token", (folder / "token").read_text()) if (folder / "token").exists() else ()
    with_pair = ("--client-certificate", folder / "client.crt", "--client-key", folder / "client.key")
    bare = scratch / "empty.conf"
    bare.touch()
    authority = ("--certificate-authority", cluster.pki("cp-1") / "ca.crt")
    server = ("--server", untouched.urls["cp-1"])
    done = cluster.try_kubectl(
        "cp-1", bare, *server, *authority, *(with_token or with_pair), "auth", "whoami"
    )
    assert done.returncode == 0 or "nauthorized" in done.stderr, done.stderr
    return done.returncode == 0
