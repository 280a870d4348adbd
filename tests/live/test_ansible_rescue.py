"""The Ansible collection brings a node back whose certificates have all ended; its components are units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pkigen.cli.app import run
from pkigen.cli.system import System
from tests.live import ansible_control, programs
from tests.live.ansible_control import Control
from tests.live.control_plane import Cluster, plug_in, spec_text
from tests.live.hosts import Network
from tests.live.sites import require_own_directories
from tests.live.test_rescue import long_ago

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.live

_ADDRESS = "10.83.0.1"
_READY = f"https://{_ADDRESS}:6443/readyz"
# As where one program is the kubelet and more.
_UNITS = ("-e", '{"pkigen_units": {"kubelet": "k3s"}}')


def test_a_node_comes_back(tmp_path: Path) -> None:
    ansible_control.require()
    programs.require(*programs.LEAST, *programs.COMPONENTS)
    require_own_directories()
    nodes = [{"name": "cp-1", "roles": ["control-plane"], "addresses": [_ADDRESS]}]
    spec = tmp_path / "old.yaml"
    spec.write_text(spec_text("old", {"runtime": "systemd", "nodes": nodes}))
    cluster = Cluster(out=tmp_path / "out", scratch=tmp_path)
    assert run(["init", str(spec), "-C", str(cluster.out)], system=System(clock=long_ago)) == 0
    with Network() as network:
        plug_in(network, cluster, {"cp-1": (_ADDRESS,)})
        control = Control.plug_in(network, tmp_path, cluster.out, "10.83.0.100")
        machine = cluster.machines["cp-1"]
        control.serve(machine, _ADDRESS)
        for unit in (*programs.COMPONENTS, "k3s"):
            machine.run("systemctl", "restart", unit)
        checked = control.must("rescue", "--check", "--diff", *_UNITS)
        assert "~ renew (expired)    cp-1         8 certificates" in checked
        assert machine.request(_READY, until=10).status != 200
        before = machine.run("cat", "/run/units/k3s")
        control.must("rescue", *_UNITS)
        assert machine.request(_READY).status == 200
        assert machine.run("cat", "/run/units/k3s") != before
        assert machine.attempt("test", "-e", "/run/units/kubelet").returncode == 1
        control.must("status")
        assert "changed=0" in control.must("rescue", *_UNITS)
        served = cluster.pki("cp-1") / "apiserver.crt"
        old = served.read_bytes()
        named = ("-e", '{"pkigen_renew": ["apiserver"]}')
        assert "~ renew apiserver on cp-1" in control.must("renew", "--check", "--diff", *named)
        assert served.read_bytes() == old
        control.must("renew", *named)
        assert served.read_bytes() != old
        control.must("status")
        assert "changed=0" in control.must("renew")
