"""The Ansible collection against real hosts: control planes of kubeadm, each with an sshd of its own.

PKIGEN_TEST_ANSIBLE names the `ansible-playbook` that is run, PKIGEN_TEST_SSHD an sshd that is not on PATH. A
run takes minutes. PKIGEN_TEST_CONTROL_PLANES is 3, or fewer. Clients ask without pause; nobody may be
refused, however often a run is ended and begun.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509

from pkigen.crypto.keys import public_der
from tests.adoption import kubeadm_trees
from tests.live import programs
from tests.live.control_plane import Cluster, pkigen, plug_in
from tests.live.hosts import Network
from tests.live.rotating import asking, pkigen_in
from tests.live.test_untouched_clients import Untouched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.hosts import Machine

pytestmark = pytest.mark.live

_PLAYBOOK = os.environ.get("PKIGEN_TEST_ANSIBLE", "")
_SSHD = os.environ.get("PKIGEN_TEST_SSHD") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin") or ""
_COLLECTION = Path(__file__).parents[2] / "ansible"
_STAND_IN = Path(__file__).with_name("stand_in_node.py")
_CONTROL_PLANES = int(os.environ.get("PKIGEN_TEST_CONTROL_PLANES", "3"))
_NODES = {f"cp-{number}": f"10.81.0.{number}" for number in range(1, _CONTROL_PLANES + 1)}
_CAS = ("ca", "etcd/ca", "front-proxy-ca")
_SECONDS = 1200
_KILLS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The machine that runs playbooks: this one, in the network of the first node."""

    cluster: Cluster
    settings: Path
    inventory: Path

    def start(self, playbook: str, *options: str) -> subprocess.Popen[str]:
        machine = self.cluster.machines["cp-1"]
        command = [_PLAYBOOK, "-i", str(self.inventory), f"pkigen.pki.{playbook}", *options]
        return subprocess.Popen(
            ["nsenter", "--target", str(machine.pid), "--net", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "ANSIBLE_CONFIG": str(self.settings)},
        )

    def run(self, playbook: str, *options: str) -> tuple[int, str]:
        """Run a playbook to its end; its exit code, and all that it printed."""
        process = self.start(playbook, *options)
        said, _ = process.communicate(timeout=_SECONDS)
        return process.returncode, said

    def must(self, playbook: str, *options: str) -> str:
        code, said = self.run(playbook, *options)
        assert code == 0, said[-6000:]
        return said


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """Three control planes that kubeadm made, taken over, reached by SSH alone."""
    if not _PLAYBOOK:
        pytest.skip("PKIGEN_TEST_ANSIBLE does not name an ansible-playbook; this takes minutes")
    if not _SSHD:
        pytest.skip("no sshd in PKIGEN_TEST_SSHD or on PATH")
    programs.require(*programs.LEAST, "kube-controller-manager", "kube-scheduler")
    kubeadm_trees.kubeadm()
    place = tmp_path_factory.mktemp("ansible")
    trees = place / "kubeadm/nodes"
    first, *others = _NODES.values()
    settings = {"controlPlaneEndpoint": f"{first}:6443", "apiServer": {"certSANs": others}}
    for name, address in _NODES.items():
        known = trees / "cp-1" if name != "cp-1" else None
        root = kubeadm_trees.control_plane(
            trees / name, name=name, address=address, cluster=settings, first=known
        )
        _join(root / "etc/kubernetes/manifests/etcd.yaml")
        (root / "kubeadm.yaml").unlink()
    cluster = Cluster(out=trees.parent, scratch=place)
    with Network() as network:
        plug_in(network, cluster, {name: (address,) for name, address in _NODES.items()})
        keys = _keys(place)
        for machine in cluster.machines.values():
            _serve(machine, place, keys)
        for name, address in _NODES.items():
            answer = cluster.machines[name].request(f"https://{address}:6443/readyz", until=300)
            assert answer.status == 200, (name, answer)
        cluster.out = place / "out"
        pkigen("adopt", trees, "-C", cluster.out)
        yield Control(
            cluster=cluster, settings=_settings(place, keys), inventory=_inventory(place, cluster.out)
        )


def _join(manifest: Path) -> None:
    members = ",".join(f"{name}=https://{address}:2380" for name, address in _NODES.items())
    content = yaml.safe_load(manifest.read_text())
    (container,) = content["spec"]["containers"]
    container["command"] = [
        f"--initial-cluster={members}" if word.startswith("--initial-cluster=") else word
        for word in container["command"]
    ]
    manifest.write_text(yaml.safe_dump(content))


def _keys(place: Path) -> Path:
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / name], check=True)
    return place


def _serve(machine: Machine, place: Path, keys: Path) -> None:
    """An sshd, the static Pods, and a unit for the kubelet."""
    configuration = place / f"{machine.name}-sshd"
    configuration.write_text(
        f"HostKey {keys}/host\nAuthorizedKeysFile {keys}/user.pub\nListenAddress {_NODES[machine.name]}\n"
        "StrictModes no\nUsePAM no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\nMaxSessions 50\n"
        f"PidFile none\nSetEnv PATH=/usr/local/bin:{os.environ.get('PATH', os.defpath)}\n"
    )
    user = "id sshd 2>/dev/null || echo 'sshd:x:122:65534::/run/sshd:/usr/sbin/nologin' >>/etc/passwd"
    machine.run("sh", "-c", f"mkdir -p /run/sshd && {user}")
    machine.start("sshd", [_SSHD, "-D", "-e", "-f", str(configuration)])
    systemctl = place / "programs/systemctl"
    systemctl.write_text(f'#!/bin/sh\nexec {sys.executable} {_STAND_IN} systemctl "$@"\n')
    systemctl.chmod(0o755)
    machine.run("systemctl", "restart", "kubelet")
    machine.start("pods", [sys.executable, str(_STAND_IN), "pods", str(place / machine.name)])


def _settings(place: Path, keys: Path) -> Path:
    collections = place / "collections/ansible_collections/pkigen"
    collections.mkdir(parents=True)
    (collections / "pki").symlink_to(_COLLECTION)
    file = place / "ansible.cfg"
    file.write_text(
        f"[defaults]\ncollections_path = {place}/collections\nlocal_tmp = {place}/local\n"
        f"private_key_file = {keys}/user\nhost_key_checking = False\nnocows = True\ntimeout = 10\n"
        f"[ssh_connection]\npipelining = True\nssh_args = -o ControlMaster=auto -o ControlPersist=60s "
        f"-o UserKnownHostsFile=/dev/null -o ConnectTimeout=5\ncontrol_path_dir = {place}/cm\n"
    )
    return file


def _inventory(place: Path, root: Path) -> Path:
    """What `pkigen inventory` says, as Ansible runs it, and what is of these machines alone."""
    folder = place / "inventory"
    folder.mkdir()
    script = folder / "cluster.sh"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} -m pkigen -C {root} inventory -o ansible\n")
    script.chmod(0o755)
    content = {
        "all": {
            "vars": {
                "ansible_python_interpreter": sys.executable,
                "ansible_user": "root",
                "pkigen_become": False,
                "pkigen_program": [sys.executable, "-m", "pkigen"],
            }
        }
    }
    (folder / "machines.yml").write_text(yaml.safe_dump(content))
    return folder


_ROTATE = ("-e", '{"pkigen_rotate_force_tokens": true, "pkigen_rotate_settle": 2}')


def _certificates(cluster: Cluster) -> set[bytes]:
    files = (cluster.out / f"pki/{name}.crt" for name in _CAS)
    return {public_der(x509.load_pem_x509_certificate(file.read_bytes()).public_key()) for file in files}


def _canaries(root: Path) -> set[str]:
    """A line of every private key below a directory, as it is and as kubeconfigs embed it."""
    found: set[str] = set()
    for file in root.rglob("*"):
        if file.is_file() and not file.is_symlink():
            text = file.read_text(errors="ignore")
            texts = [text]
            for embedded in re.findall(r"client-key-data: (\S+)", text):
                found.add(embedded[40:90])
                texts.append(base64.b64decode(embedded).decode())
            for each in texts:
                for body in re.findall(r"PRIVATE KEY-----\n(.+?)\n-----END", each, re.DOTALL):
                    found.update(line for line in body.splitlines() if len(line) > 30)
    assert len(found) > 20
    return found


class Follower(threading.Thread):
    """A person who takes the kubeconfig of now after every step, as one reads it where it is made."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        super().__init__(daemon=True)
        self._cluster = cluster
        self._untouched = Untouched(cluster=cluster, folder=folder)
        self._file = cluster.kubeconfig("cp-1", "super-admin.conf")
        self._link = folder / "present"
        self._number = 0
        self._held = b""
        self._ended = threading.Event()
        self.series = {**self._take(), "name": "present", "folder": str(self._link)}

    def _take(self) -> dict[str, Any]:
        self._held = self._file.read_bytes()
        self._number += 1
        series = self._untouched.hand_out(f"present-{self._number}")
        new = self._link.with_suffix(".new")
        new.symlink_to(series["folder"])
        new.replace(self._link)
        return series

    def run(self) -> None:
        while not self._ended.wait(0.5):
            if self._file.read_bytes() != self._held:
                self._take()

    def stop(self) -> None:
        self._ended.set()
        self.join()


@contextlib.contextmanager
def _nobody_refused(control: Control, folder: Path, what: str) -> Iterator[None]:
    """Ask the API servers all the while; nobody is turned away, and nobody waits in vain."""
    follower = Follower(control.cluster, folder)
    follower.start()
    with asking(control.cluster.machines["cp-1"], [follower.series]) as clients:
        yield
        time.sleep(3)
        (found,) = clients.stop().series.values()
    follower.stop()
    counted = [f"{found[each]} {each}" for each in ("asked", "retried")]
    counted += [f"{len(found[each])} {each}" for each in ("refused", "failed")]
    print(f"{what}: {', '.join(counted)}")  # noqa: T201
    assert found["refused"] + found["failed"] == []
    assert found["asked"] > 20


def _is_done(control: Control, before: set[bytes]) -> bool:
    """Whether all three CAs are others, nothing is in progress, and every endpoint serves the tree."""
    cluster = control.cluster
    plan = json.loads(pkigen("plan", "-C", cluster.out, "-o", "json").stdout)
    assert plan["rotations"] == {}
    assert plan["actions"] == []
    assert not _certificates(cluster) & before
    return pkigen_in(cluster.machines["cp-1"], "verify", "-C", cluster.out, "--live").returncode == 0


def test_one_run_rotates_everything(control: Control, tmp_path: Path) -> None:
    cluster = control.cluster
    spec = cluster.out / "cluster.yaml"
    content = yaml.safe_load(spec.read_text())
    content["spec"]["manage"] = ["manifests"]
    spec.write_text(yaml.safe_dump(content))
    pkigen("apply", "-C", cluster.out, "--force", "--yes")
    preview = control.must("distribute", "--check", "--diff")
    assert "~ /etc/kubernetes/manifests/kube-apiserver.yaml" in preview
    before, old = _certificates(cluster), _canaries(cluster.out)
    with _nobody_refused(control, tmp_path / "distribute", "distribute"):
        control.must("distribute")
    again = control.must("distribute", "--diff")
    assert re.search(r"localhost +: ok=\d+ +changed=0 ", again), again[-1500:]
    manifest = "etc/kubernetes/manifests/kube-apiserver.yaml"
    for name, machine in cluster.machines.items():
        assert machine.run("cat", f"/{manifest}") == (cluster.node(name) / manifest).read_text()
    started = time.monotonic()
    with _nobody_refused(control, tmp_path / "rotate", "one run"):
        said = control.must("rotate", "-vvv", *_ROTATE)
    print(f"one run: {time.monotonic() - started:.0f} s")  # noqa: T201
    assert _is_done(control, before)
    for canary in old | _canaries(cluster.out):
        assert canary not in said
    assert "PRIVATE KEY" not in said
    again = control.must("rotate", "--diff", *_ROTATE)
    assert re.search(r"localhost +: ok=\d+ +changed=0 ", again), again[-1500:]
    control.must("status")


def test_it_goes_on_wherever_it_was_killed(control: Control, tmp_path: Path) -> None:
    before, chance = _certificates(control.cluster), random.Random()  # noqa: S311 -- no secret
    options, kills = _once_more(), []
    with _nobody_refused(control, tmp_path, f"killed {_KILLS} times"):
        for _ in range(_KILLS):
            process = control.start("rotate", *options)
            wait = chance.uniform(5, 60)
            kills.append(round(wait))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=wait)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        control.must("rotate", *options)
    print(f"killed after {kills} s")  # noqa: T201
    assert _is_done(control, before)


def test_it_stops_at_a_node_that_is_down(control: Control, tmp_path: Path) -> None:
    before, options = _certificates(control.cluster), _once_more()
    down = control.cluster.machines["cp-3"]
    with _nobody_refused(control, tmp_path, "one node down"):
        down.run("ip", "link", "set", "eth0", "down")
        code, said = control.run("rotate", *options)
        assert code != 0
        assert "cp-3 cannot be reached: nothing was done" in said
        assert _certificates(control.cluster) == before
        down.run("ip", "link", "set", "eth0", "up")
        control.must("rotate", *options)
    assert _is_done(control, before)


def _once_more() -> tuple[str, ...]:
    """Rotate although the last rotation was finished a moment ago; what is finished from now on counts."""
    time.sleep(2)  # the moment is one of whole seconds
    return (*_ROTATE, "-e", f"pkigen_rotate_since={time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}")
