"""The nodes of a cluster, for scripts and for Ansible."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.program import InProcess

_SPEC = """\
apiVersion: pkigen/v1
kind: Cluster
metadata: {name: edge}
spec:
  kubernetesVersion: v1.36.2
  controlPlaneEndpoint: api.example.com:6443
  nodes:
    - {name: cp-1, roles: [control-plane], addresses: [10.0.0.11]}
    - {name: worker-1, roles: [worker], addresses: [10.0.0.21], keys: node}
"""


@pytest.fixture
def edge(pkigen: InProcess, tmp_path: Path) -> Path:
    (tmp_path / "edge.yaml").write_text(_SPEC)
    assert pkigen("init", tmp_path / "edge.yaml", "-C", tmp_path / "edge").code == 0
    return tmp_path / "edge"


def test_the_nodes_of_a_cluster(pkigen: InProcess, edge: Path) -> None:
    text = pkigen("inventory", "-C", edge).out
    assert [line.split() for line in text.splitlines()] == [
        ["NODE", "HOST", "ROLES", "KEYS"],
        ["cp-1", "10.0.0.11", "control-plane", "etcd", "authority"],
        ["worker-1", "10.0.0.21", "worker", "node"],
    ]
    content = pkigen("inventory", "-C", edge, "-o", "json").json
    assert content["nodes"][1] == {
        "name": "worker-1",
        "host": "10.0.0.21",
        "addresses": ["10.0.0.21"],
        "roles": ["worker"],
        "keys": "node",
    }
    answer = pkigen("inventory", "-C", edge, "-o", "ansible").json
    assert answer["pkigen_control_plane"] == answer["pkigen_etcd"] == {"hosts": ["cp-1"]}
    assert answer["pkigen_worker"] == {"hosts": ["worker-1"]}
    assert answer["_meta"]["hostvars"]["cp-1"]["ansible_host"] == "10.0.0.11"
    assert answer["pkigen"]["vars"] == {"pkigen_cluster": "edge", "pkigen_directory": str(edge)}
