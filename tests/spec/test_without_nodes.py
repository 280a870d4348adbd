"""`nodes: []`: the nodes are another distribution's, and what is for nodes is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from pkigen.cli.app import run
from pkigen.cli.system import System
from tests.cli.program import NOW, InProcess, copy_of

if TYPE_CHECKING:
    from pathlib import Path

SPEC = """\
apiVersion: pkigen/v1
kind: Cluster
metadata: {name: remote}
spec:
  kubernetesVersion: v1.36.2
  controlPlaneEndpoint: api.example:6443
  nodes: []
  users:
    - name: jane
      clusterRoles: [view]
"""


@pytest.fixture
def pkigen(capsys: pytest.CaptureFixture[str]) -> InProcess:
    return InProcess(capsys)


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("remote")
    (place / "spec.yaml").write_text(SPEC)
    system = System(clock=lambda: NOW)
    assert run(["init", str(place / "spec.yaml"), "-C", str(place / "tree")], system=system) == 0
    return place / "tree"


@pytest.fixture
def tree(remote: Path, tmp_path: Path) -> Path:
    return copy_of(remote, tmp_path / "tree")


def test_it_has_an_authority_and_people(pkigen: InProcess, tree: Path) -> None:
    assert not (tree / "nodes").exists()
    kubeconfig = yaml.safe_load((tree / "users/jane.conf").read_text())
    assert kubeconfig["clusters"][0]["cluster"]["server"] == "https://api.example:6443"
    assert pkigen("-C", tree, "plan").code == 0
    assert "0 findings" in pkigen("-C", tree, "verify").out
    for words in (("status",), ("next",), ("graph",), ("report", "--out", tree.parent / "report.html")):
        assert pkigen("-C", tree, *words).code in {0, 3}, words


def test_what_changes_in_the_cluster_is_done_by_its_own_administrator(pkigen: InProcess, tree: Path) -> None:
    spec = tree / "cluster.yaml"
    spec.write_text(SPEC.replace("[view]", "[edit]"))
    done = pkigen("-C", tree, "apply", "--yes")
    assert done.code == 0, done
    assert f"  kubectl apply -f {tree}/addons/user-jane.yaml" in done.out


def test_its_cas_are_rotated(pkigen: InProcess, tree: Path) -> None:
    old = (tree / "pki/ca.crt").read_bytes()
    for phase in ("prepare", "promote", "finish"):
        words = ("rotate", "ca", "kubernetes", "--phase", phase, "--yes", "--assume-distributed")
        assert pkigen("-C", tree, *words).code == 0, phase
    assert (tree / "pki/ca.crt").read_bytes() != old


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("airgap", "bundle", "create", "--out", "{out}"), "bundles are for nodes"),
        (
            ("rotate", "ca", "etcd", "--phase", "prepare", "--yes", "--runbook", "{out}"),
            "a runbook is for nodes",
        ),
        (
            ("access", "revoke", "jane", "--reason", "x", "--yes"),
            "the API servers are another distribution's",
        ),
    ],
)
def test_what_is_for_nodes_is_refused(
    pkigen: InProcess, tree: Path, tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    refused = pkigen("-C", tree, *(word.format(out=tmp_path / "out") for word in words))
    assert refused.code in {1, 2}
    assert why in refused.error
    assert refused.hint
    assert not (tmp_path / "out").exists()


def test_people_need_an_endpoint(pkigen: InProcess, tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(SPEC.replace("  controlPlaneEndpoint: api.example:6443\n", ""))
    refused = pkigen("validate", file)
    assert refused.code == 2
    assert "spec.controlPlaneEndpoint: is missing without nodes" in refused.err
    file.write_text(file.read_text().partition("  users:")[0])
    assert pkigen("validate", file).code == 0


def test_nodes_need_the_endpoints_of_an_external_etcd(pkigen: InProcess, tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    external = SPEC + "  etcd: {external: {endpoints: []}}\n"
    file.write_text(external)
    assert pkigen("validate", file).code == 0
    node = "nodes: [{name: a, roles: [control-plane], addresses: [10.0.0.1]}]"
    file.write_text(external.replace("nodes: []", node))
    refused = pkigen("validate", file)
    assert refused.code == 2
    assert "spec.etcd.external.endpoints: must not be empty" in refused.err
