"""Which of its files a real etcd reads again while it runs: what the test of the restart map builds on."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.live import certificates, programs
from tests.live.hosts import Identity, Machine, Network
from tests.live.rotating import end
from tests.live.test_etcd import PKI, rendered_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ADDRESS = "10.79.0.1"
_URLS = (f"https://{_ADDRESS}:2379/health", f"https://{_ADDRESS}:2380/version")
"""What answers on the port of clients, and on that of peers."""
_SECONDS = 300


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A node whose etcd runs, by the rendered command to the letter."""
    programs.require("etcd")
    spec, out, found = tmp_path / "cluster.yaml", tmp_path / "out", tmp_path / "programs"
    old = programs.version("etcd") < (3, 6)
    spec.write_text(
        "apiVersion: pkigen/v1\nkind: Cluster\nmetadata: {name: reload}\nspec:\n"
        f"  kubernetesVersion: {'v1.33.7' if old else 'v1.36.2'}\n"
        f"  nodes: [{{name: cp-1, roles: [control-plane], addresses: [{_ADDRESS}]}}]\n"
    )
    subprocess.run([sys.executable, "-m", "pkigen", "init", spec, "-C", out], check=True, timeout=_SECONDS)
    found.mkdir()
    program = programs.find("etcd")
    assert program is not None
    (found / "etcd").symlink_to(program)
    with Network() as network:
        made = network.machine(
            "cp-1", out / "nodes/cp-1", addresses=[_ADDRESS], programs=found, scratch=tmp_path
        )
        made.start("etcd", rendered_command(made.tree, "etcd"))
        yield made


def _put(machine: Machine, name: str, content: str) -> None:
    """Replace a file of etcd's certificates in one go."""
    path = f"/{PKI}/etcd/{name}"
    machine.run("tee", f"{path}.new", stdin=content)
    machine.run("mv", f"{path}.new", path)


@pytest.mark.live
def test_what_a_running_member_takes_up(machine: Machine, tmp_path: Path) -> None:
    pki = machine.tree / PKI
    own_ca = pki / "etcd/ca.crt"
    known = Identity(certificate=pki / "apiserver-etcd-client.crt", key=pki / "apiserver-etcd-client.key")
    other = certificates.make_ca(tmp_path, "other-ca", parent=None)
    stranger = certificates.client_of(other, tmp_path, "stranger")
    for url in _URLS:
        assert machine.request(url, ca=own_ca, identity=known, until=_SECONDS).status == 200
        assert machine.request(url, ca=own_ca, identity=stranger).status is None

    # Its pairs: the very next connection gets the new certificate, which is another CA's to be told apart.
    pair = certificates.server_of(other, tmp_path, _ADDRESS)
    for name in ("server", "peer"):
        _put(machine, f"{name}.key", pair.key.read_text())
        _put(machine, f"{name}.crt", pair.certificate.read_text())
    for url in _URLS:
        assert machine.request(url, ca=other.certificate, identity=known).status == 200
        assert machine.request(url, ca=own_ca, identity=known).status is None

    # Whom it trusts: that it never reads again.
    _put(machine, "ca.crt", own_ca.read_text() + other.certificate.read_text())
    time.sleep(2)
    for url in _URLS:
        assert machine.request(url, ca=other.certificate, identity=stranger).status is None
        assert machine.request(url, ca=other.certificate, identity=known).status == 200
    end(machine, "etcd")
    machine.start("etcd", rendered_command(machine.tree, "etcd"))
    for url in _URLS:
        assert machine.request(url, ca=other.certificate, identity=stranger, until=_SECONDS).status == 200
