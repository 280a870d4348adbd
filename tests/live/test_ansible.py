"""The Ansible collection takes a cluster of kubeadm's through whole rotations, over SSH, under load.

PKIGEN_TEST_CONTROL_PLANES=3 makes it three control planes instead of one, which takes minutes; with five
kills, half an hour. Clients ask without pause; nobody may be refused, however often a run is ended and begun.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509

from pkigen.crypto.keys import public_der
from tests.adoption import kubeadm_trees
from tests.live import ansible_control, programs
from tests.live.ansible_control import STAND_IN, Control, canaries
from tests.live.control_plane import CREATE, Cluster, pkigen, plug_in
from tests.live.hosts import Network
from tests.live.rotating import asking, pkigen_in
from tests.live.test_untouched_clients import _CONTROL_PLANES, _REVIEW, _REVIEWS, Untouched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

_NODES = {f"cp-{number}": f"10.81.0.{number}" for number in range(1, _CONTROL_PLANES + 1)}
_CAS = ("ca", "etcd/ca", "front-proxy-ca")
_TOKENS_LAST = "2m"
_RENEWED_EVERY = 20
_KILLS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    cluster: Cluster
    control: Control


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Control planes that kubeadm made, running, taken over by `gather`, and managed."""
    ansible_control.require()
    programs.require(*programs.LEAST, "kube-controller-manager", "kube-scheduler")
    kubeadm_trees.kubeadm()
    place = tmp_path_factory.mktemp("ansible")
    trees = place / "kubeadm/nodes"
    kubeadm_trees.stacked(trees, _NODES)
    cluster = Cluster(out=trees.parent, scratch=place)
    with Network() as network:
        plug_in(network, cluster, {name: (address,) for name, address in _NODES.items()})
        control = Control.plug_in(network, place, place / "out", "10.81.0.100")
        for name, address in _NODES.items():
            machine = cluster.machines[name]
            control.serve(machine, address)
            machine.run("systemctl", "restart", "kubelet")
            machine.start("pods", [sys.executable, str(STAND_IN), "pods", str(place / name)])
        for name, address in _NODES.items():
            answer = cluster.machines[name].request(f"https://{address}:6443/readyz", until=300)
            assert answer.status == 200, (name, answer)
        _take_over(control)
        cluster.out = control.root
        yield Site(cluster=cluster, control=control)


def _take_over(control: Control) -> None:
    """Gather by an inventory of somebody's own; then the one of pkigen is there."""
    gathered = control.place / "gathered"
    by_hand = control.place / "by-hand.yml"
    hosts = {name: {"ansible_host": address} for name, address in _NODES.items()}
    by_hand.write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": control.settings}}))
    given = {"pkigen_gathered": str(gathered), "pkigen_directory": str(control.root)}
    preview = control.must("gather", "--check", "-e", json.dumps(given), inventory=by_hand)
    assert not gathered.exists(), preview
    control.must("gather", "-vvv", "-e", json.dumps(given), inventory=by_hand)
    assert not gathered.exists(), "what was fetched holds private keys"
    again = control.must("gather", "-e", json.dumps(given), inventory=by_hand)
    assert "changed=0" in again
    spec = control.root / "cluster.yaml"
    content = yaml.safe_load(spec.read_text())
    content["spec"]["manage"] = ["manifests"]
    content["spec"]["serviceAccounts"] = {"maxTokenLifetime": _TOKENS_LAST}
    spec.write_text(yaml.safe_dump(content))
    pkigen("apply", "-C", control.root, "--force", "--yes")


_ROTATE = (
    "-e",
    '{"pkigen_rotate_settle": 2, "pkigen_rotate_token_wait": 300, "pkigen_rotate_token_poll": 5}',
)


def _authorities(cluster: Cluster) -> set[bytes]:
    """The keys of the three CAs and of tokens."""
    files = (cluster.out / f"pki/{name}.crt" for name in _CAS)
    found = {public_der(x509.load_pem_x509_certificate(file.read_bytes()).public_key()) for file in files}
    return found | {(cluster.out / "pki/sa.pub").read_bytes()}


class Users(threading.Thread):
    """A person who takes the kubeconfig of now after every step, and a Pod whose token is renewed often."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        super().__init__(daemon=True)
        self._cluster = cluster
        self._folder = folder
        self._untouched = Untouched(cluster=cluster, folder=folder)
        self._admin = cluster.kubeconfig("cp-1", "super-admin.conf")
        self._number = 0
        self._held = b""
        self._ended = threading.Event()
        person = {**self._hand_out(), "name": "person", "folder": str(self._folder / "person")}
        self._token = self._folder / "token"
        self._account = f"steady-{time.time_ns()}"
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": self._account},
        }
        self._cluster.kubectl("cp-1", self._admin, *CREATE, stdin=json.dumps(account))
        assert self._renew_token()
        pod = {key: value for key, value in person.items() if key not in {"certificate", "key"}}
        pod |= {"name": "Pod", "token": str(self._token), "path": _REVIEWS, "body": _REVIEW}
        self.series = [person, pod]

    def _hand_out(self) -> dict[str, Any]:
        self._held = self._admin.read_bytes()
        self._number += 1
        series = self._untouched.hand_out(f"person-{self._number}")
        new = self._folder / "person.new"
        new.symlink_to(series["folder"])
        new.replace(self._folder / "person")
        return series

    def _renew_token(self) -> bool:
        """Ask any API server for it, as kubelets do; who is restarting just now gives none."""
        for node, url in self._untouched.urls.items():
            words = ("create", "token", self._account, "--duration=10m", "--server", url)
            done = self._cluster.try_kubectl(node, self._admin, *words)
            if done.returncode == 0:
                new = self._token.with_suffix(".new")
                new.write_text(done.stdout.strip())
                new.replace(self._token)
                return True
        return False

    def run(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(0.5):
            if self._admin.read_bytes() != self._held:
                self._hand_out()
            if time.monotonic() - last > _RENEWED_EVERY and self._renew_token():
                last = time.monotonic()

    def stop(self) -> None:
        self._ended.set()
        self.join()


@contextlib.contextmanager
def _nobody_refused(site: Site, folder: Path, what: str) -> Iterator[None]:
    """Ask the API servers all the while; nobody is turned away, and nobody waits in vain."""
    users = Users(site.cluster, folder / "clients")
    users.start()
    with asking(site.control.machine, users.series) as clients:
        yield
        time.sleep(3)
        figures = clients.stop()
    users.stop()
    print(f"{len(_NODES)} control planes, {what}: {figures}")  # noqa: T201
    assert [*figures.series] == ["person", "Pod"]
    for found in figures.series.values():
        assert found["refused"] + found["failed"] == []
        assert found["asked"] > 20


def _expect_done(site: Site, before: set[bytes]) -> None:
    """The CAs and the key of tokens are others, nothing is in progress, and all of it is on the nodes."""
    plan = json.loads(pkigen("plan", "-C", site.cluster.out, "-o", "json").stdout)
    assert plan["rotations"] == {}
    assert plan["actions"] == []
    assert len(_authorities(site.cluster) - before) == len(before)
    for name, machine in site.cluster.machines.items():
        tree = site.cluster.node(name)
        for file in (path for path in tree.rglob("*") if path.is_file()):
            assert machine.run("cat", f"/{file.relative_to(tree)}") == file.read_text(), (name, file)
        assert machine.attempt("test", "-e", "/etc/kubernetes/pki/sa-next.pub").returncode == 1
    site.control.must("status")


def _is_unchanged(said: str) -> bool:
    return re.search(r"localhost +: ok=\d+ +changed=0 ", said) is not None


def test_one_run_rotates_everything(site: Site, tmp_path: Path) -> None:
    cluster, control = site.cluster, site.control
    preview = control.must("distribute", "--check", "--diff")
    assert "~ /etc/kubernetes/manifests/kube-apiserver.yaml" in preview
    with _nobody_refused(site, tmp_path / "distribute", "distribute"):
        control.must("distribute")
    assert _is_unchanged(control.must("distribute", "--diff"))
    preview = control.must("rotate", "--check", "--diff", *_ROTATE)
    assert "+ create ca-next" in preview
    before, old = _authorities(cluster), canaries(cluster.out)
    started = time.monotonic()
    with _nobody_refused(site, tmp_path / "rotate", "one run"):
        control.must("rotate", "-vvv", *_ROTATE)
    print(f"one run: {time.monotonic() - started:.0f} s")  # noqa: T201
    _expect_done(site, before)
    kept, told = old | canaries(cluster.out), control.told()
    assert len(kept) > 20
    assert not [canary for canary in kept if canary in told]
    assert "PRIVATE KEY" not in told
    assert _is_unchanged(control.must("rotate", "--diff", *_ROTATE))


def test_it_goes_on_wherever_it_was_killed(site: Site, tmp_path: Path) -> None:
    before, chance = _authorities(site.cluster), random.Random()  # noqa: S311 -- no secret
    options, kills = _once_more(), []
    with _nobody_refused(site, tmp_path, f"killed {_KILLS} times"):
        for _ in range(_KILLS):
            process = site.control.start("rotate", *options)
            wait = chance.uniform(5, 50 * len(_NODES))
            kills.append(round(wait))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=wait)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        site.control.must("rotate", *options)
    print(f"killed after {kills} s")  # noqa: T201
    _expect_done(site, before)


def test_it_stops_where_a_node_is_down(site: Site, tmp_path: Path) -> None:
    if len(_NODES) == 1:
        pytest.skip("one control plane: with PKIGEN_TEST_CONTROL_PLANES=3 one of them is taken down")
    before, options = _authorities(site.cluster), _once_more()
    down = site.cluster.machines["cp-3"]
    with _nobody_refused(site, tmp_path, "one node down"):
        down.run("ip", "link", "set", "eth0", "down")
        code, said = site.control.run("rotate", *options)
        assert code != 0
        assert "cp-3 cannot be reached: nothing was done" in said
        assert _authorities(site.cluster) == before
        down.run("ip", "link", "set", "eth0", "up")
        site.control.must("rotate", *options, "-e", "pkigen_rotate_until=prepare")
    plan = json.loads(pkigen("plan", "-C", site.cluster.out, "-o", "json").stdout)
    assert set(plan["rotations"].values()) == {"prepared"}
    site.control.must("status")


def test_it_goes_back_on_request(site: Site, tmp_path: Path) -> None:
    before, options = _authorities(site.cluster), _once_more()
    with _nobody_refused(site, tmp_path, "there and back"):
        site.control.must("rotate", *options, "-e", "pkigen_rotate_until=promote")
        assert _authorities(site.cluster) != before
        site.control.must("rotate", *options, "-e", '{"pkigen_rotate_back": true}')
    assert _authorities(site.cluster) == before
    plan = json.loads(pkigen("plan", "-C", site.cluster.out, "-o", "json").stdout)
    assert (plan["rotations"], plan["actions"]) == ({}, [])
    assert pkigen_in(site.control.machine, "verify", "-C", site.cluster.out, "--live").returncode == 0


def _once_more() -> tuple[str, ...]:
    """Rotate although the last rotation was finished a moment ago; what is finished from now on counts."""
    time.sleep(2)  # the moment is one of whole seconds
    return (*_ROTATE, "-e", f"pkigen_rotate_since={time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}")
