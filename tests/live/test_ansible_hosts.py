"""The Ansible collection and a single host: keys that are born there, and a machine that is no node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.live import ansible_control, programs
from tests.live.ansible_control import Control, key_lines
from tests.live.control_plane import Cluster, make, plug_in, spec_text
from tests.live.hosts import Network
from tests.live.sites import require_own_directories

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.hosts import Machine

pytestmark = pytest.mark.live

_ADDRESS = "10.82.0.21"
_ALONE = ("-e", "pkigen_nodes=worker-1")
_LOCAL = ("-c", "local")
_WRITTEN = ("test", "-e", "/etc/kubernetes", "-o", "-e", "/var/lib/pkigen")
_KEYS = "find /etc/kubernetes /var/lib/kubelet -type f -exec cat {} +"


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    """A worker that has nothing yet, whose keys are to be its own; nobody runs its control plane here."""
    ansible_control.require()
    programs.require()
    require_own_directories()
    nodes = [
        {"name": "cp-1", "roles": ["control-plane"], "addresses": ["10.82.0.1"]},
        {"name": "worker-1", "roles": ["worker"], "addresses": [_ADDRESS], "keys": "node"},
    ]
    made = make(tmp_path, spec_text("small", {"controlPlaneEndpoint": "10.82.0.1:6443", "nodes": nodes}))
    bare = Cluster(out=tmp_path / "bare", scratch=tmp_path)
    bare.node("worker-1").mkdir(parents=True)
    with Network() as network:
        plug_in(network, bare, {"worker-1": (_ADDRESS,)})
        made_control = Control.plug_in(network, tmp_path, made.out, "10.82.0.100")
        made_control.serve(bare.machines["worker-1"], _ADDRESS)
        yield made_control


def _node(control: Control) -> Machine:
    return control.hosts["worker-1"]


def test_keys_are_born_on_their_node_and_stay_there(control: Control) -> None:
    node = _node(control)
    checked = control.must("enrol", "--check", *_ALONE)
    assert node.attempt("test", "-e", "/etc/kubernetes").returncode == 1, checked
    said = control.must("enrol", "-vvv", *_ALONE)
    keys = key_lines(node.run("sh", "-c", _KEYS))
    assert len(keys) > 1
    assert not [line for line in keys if line in said]
    everywhere = [
        path for path in control.place.rglob("*") if path.is_file() and "programs" not in path.parts
    ]
    texts = "".join(path.read_text(errors="ignore") for path in everywhere)
    assert not [line for line in keys if line in texts]
    assert "certificate-authority" in node.run("cat", "/etc/kubernetes/kubelet.conf")
    again = control.must("enrol", *_ALONE)
    assert "changed=0" in again, again
    assert key_lines(node.run("sh", "-c", _KEYS)) == keys


def test_the_control_machine_is_no_node(control: Control) -> None:
    playbooks = ("distribute", "rotate", "renew", "rescue", "enrol")
    ways = [(name, _LOCAL) for name in playbooks]
    ways += [("enrol", ("-e", "ansible_connection=local")), ("enrol", ("-e", "ansible_host=127.0.0.1"))]
    for playbook, way in ways:
        code, said = control.run(playbook, *way)
        assert code != 0
        assert "leads to the control machine" in said, said
        assert control.machine.attempt(*_WRITTEN).returncode == 1, (playbook, way)
    # Unless it is said to be one.
    control.must("enrol", *_ALONE, *_LOCAL, "-e", '{"pkigen_allow_local": true}')
    assert control.machine.attempt(*_WRITTEN).returncode == 0
    assert _node(control).attempt("test", "-e", "/etc/kubernetes").returncode == 1


def test_nodes_that_cannot_be_reached_are_named(control: Control) -> None:
    code, said = control.run("distribute")
    assert code != 0
    assert "cp-1 cannot be reached: nothing was done" in said
    _node(control).run("ip", "link", "set", "eth0", "down")
    # The connection of before is still open, and would wait for a quarter of an hour.
    code, said = control.run("distribute")
    assert code != 0
    assert "cp-1, worker-1 cannot be reached: nothing was done" in said


def test_a_component_that_is_not_up_is_named(control: Control) -> None:
    step: dict[str, Any] = {"component": "etcd", "node": "worker-1", "process": None, "commands": []}
    for command, code in (("true", 0), ("until false; do sleep 1; done", 2)):
        well = {**step, "health": {"url": "http://127.0.0.1:2381/health", "command": command}}
        task = {"pkigen.pki.node": {"well": [well], "timeout": 3}}
        play = {"hosts": "worker-1", "gather_facts": False, "tasks": [task]}
        file = control.place / "look.yml"
        file.write_text(yaml.safe_dump([play]))
        found, said = control.run(str(file))
        assert found == code, said
    assert "etcd on worker-1 is not up" in said
