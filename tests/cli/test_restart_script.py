"""Which component on which node must restart after a change, in which order, and how an operator does it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pkigen.cli.app import run
from pkigen.cli.reports.plan_text import runbook_script
from pkigen.cli.system import System
from pkigen.desired.readers import ComponentName
from pkigen.reconcile.file_readers import Effect
from pkigen.reconcile.restart_map import Restart
from pkigen.reconcile.rollout import removing, restarting
from pkigen.spec.model import ClusterSpec
from tests.cli.program import HOME, NOW, InProcess, copy_of
from tests.cli.shell import assert_sound

if TYPE_CHECKING:
    from pathlib import Path

THREE = HOME.replace(
    "  users:",
    "    - {name: cp-2, roles: [control-plane], addresses: [10.0.0.12]}\n"
    "    - {name: cp-3, roles: [control-plane], addresses: [10.0.0.13]}\n"
    "    - {name: worker-1, roles: [worker], addresses: [10.0.0.21]}\n"
    "  controlPlaneEndpoint: api.example.com:6443\n"
    "  users:",
)
RESTART, RECREATED, RELOADS = "restart", "recreated by the kubelet", "reloads by itself"
ETCD, API, MANAGER = "etcd", "kube-apiserver", "kube-controller-manager"
PKI = "etc/kubernetes/pki"

# One of each effect; tests/reconcile/test_restart_map.py has every file.
TABLE: dict[str, list[tuple[str, str]]] = {
    f"cp-1/{PKI}/etcd/healthcheck-client.crt": [],
    f"cp-1/{PKI}/front-proxy-client.key": [(API, RELOADS)],
    f"cp-1/{PKI}/ca.crt": [(API, RELOADS), (MANAGER, RESTART), ("kubelet", RELOADS)],
    "worker-1/etc/kubernetes/kubelet.conf": [("kubelet", RESTART)],
    "cp-1/etc/kubernetes/manifests/etcd.yaml": [(ETCD, RECREATED)],
}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("three")
    (place / "three.yaml").write_text(THREE)
    system = System(clock=lambda: NOW)
    assert run(["init", str(place / "three.yaml"), "-C", str(place / "home")], system=system) == 0
    return place


@pytest.mark.parametrize("path", TABLE)
def test_a_changed_file(pkigen: InProcess, three: Path, tmp_path: Path, path: str) -> None:
    root = copy_of(three / "home", tmp_path / "home")
    (root / "nodes" / path).unlink()
    content = pkigen("plan", three / "three.yaml", "-C", root, "-o", "json").json
    node, _, on_node = path.partition("/")
    steps = content["restarts"]
    assert [(step["component"], step["effect"]) for step in steps] == TABLE[path]
    assert all(step["node"] == node for step in steps)
    # A key pair is named by both of its files.
    assert all(f"/{on_node}" in step["files"] for step in steps)
    assert all(
        bool(step["commands"]) is (step["effect"] == RESTART or step["copiesInTurn"]) for step in steps
    )


@pytest.mark.parametrize("path", ["users/dev1.conf", "addons/kubeadm-cluster-admins.yaml"])
def test_files_that_no_component_reads(pkigen: InProcess, three: Path, tmp_path: Path, path: str) -> None:
    root = copy_of(three / "home", tmp_path / "home")
    for found in [root / path] if (root / path).exists() else sorted(root.glob("addons/*"))[:1]:
        found.unlink()
    content = pkigen("plan", three / "three.yaml", "-C", root, "-o", "json").json
    assert content["actions"]
    assert content["restarts"] == []


def test_the_order_is_safe(pkigen: InProcess, three: Path, tmp_path: Path) -> None:
    root = copy_of(three / "home", tmp_path / "home")
    for name in ("ca.crt", "sa.key", "etcd/ca.crt"):
        for found in root.glob(f"nodes/*/{PKI}/{name}"):
            found.unlink()
    for found in root.glob("nodes/*/etc/kubernetes/*.conf"):
        found.unlink()
    content = pkigen("plan", three / "three.yaml", "-C", root, "-o", "json").json
    nodes = ["cp-1", "cp-2", "cp-3"]
    assert [(step["component"], step["node"]) for step in content["restarts"]] == [
        (component, node)
        for component, where in (
            (ETCD, nodes),  # one member at a time, and before those that need it
            (API, nodes),
            (MANAGER, nodes),
            ("kube-scheduler", nodes),
            ("kubelet", [*nodes, "worker-1"]),
        )
        for node in where
    ]
    text = pkigen("plan", three / "three.yaml", "-C", root, "--full").out
    assert "  1. cp-1: etcd must restart\n  2. cp-2: etcd must restart\n" in text


@pytest.mark.parametrize("runtime", ["", "  runtime: systemd\n"], ids=["static-pods", "systemd"])
def test_the_runbook(pkigen: InProcess, tmp_path: Path, runtime: str) -> None:
    spec, root, book = tmp_path / "three.yaml", tmp_path / "home", tmp_path / "book"
    spec.write_text(THREE.replace("  users:", f"{runtime}  users:"))
    assert pkigen("init", spec, "-C", root).code == 0
    for found in root.glob(f"nodes/cp-*/{PKI}/etcd/ca.crt"):
        found.unlink()
    assert pkigen("plan", spec, "-C", root, "--runbook", book).code == 0
    text = (book / "restart.txt").read_text()
    assert "  1. cp-1: etcd must restart\n" in text
    script = book / "restart.sh"
    assert_sound(script)
    content = script.read_text()
    if runtime:
        assert "    systemctl restart etcd\n" in content
        assert "crictl" not in content
    else:
        assert "    mv /etc/kubernetes/manifests/etcd.yaml /etc/kubernetes/etcd.yaml.away\n" in content
        assert "etcd.yaml.away /etc/kubernetes/manifests/etcd.yaml" in content
    assert "  1:cp-1)\n" in content
    assert "/health" in content
    # Nothing runs by itself, nor what is not there.
    for arguments, said in (([], "usage: "), (["cp-1"], "usage: "), (["cp-1", "99"], "there is no step 99")):
        done = subprocess.run(["sh", script, *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr


def test_shellcheck_would_object(tmp_path: Path) -> None:
    (tmp_path / "bad.sh").write_text("#!/bin/sh\nrm -rf $1/x\n")
    with pytest.raises(AssertionError, match="SC2086"):
        assert_sound(tmp_path / "bad.sh")


def test_each_etcd_member_is_healthy_before_the_next_is_touched(
    pkigen: InProcess, three: Path, tmp_path: Path
) -> None:
    """Be it restarted by the script or recreated by the kubelet."""
    root, book = copy_of(three / "home", tmp_path / "home"), tmp_path / "book"
    (root / f"nodes/cp-1/{PKI}/etcd/ca.crt").unlink()
    (root / "nodes/cp-2/etc/kubernetes/manifests/etcd.yaml").unlink()
    assert pkigen("plan", three / "three.yaml", "-C", root, "--runbook", book).code == 0
    assert_sound(book / "restart.sh")
    cases = (book / "restart.sh").read_text().split(";;\n")
    health = (
        "until curl --fail --silent --insecure 'http://127.0.0.1:2381/health' >/dev/null; do sleep 1; done"
    )
    for number, node in ((1, "cp-1"), (2, "cp-2")):
        case = next(case for case in cases if f"  {number}:{node})\n" in case)
        assert "# etcd " in case
        assert case.rstrip().endswith(health)
    # An API server is asked on its own node: any other one would answer at the load balancer.
    asked = next(case for case in cases if ":cp-1)\n" in case and "# kube-apiserver " in case)
    assert "--kubeconfig /etc/kubernetes/controller-manager.conf get --raw /readyz" in asked


@pytest.mark.parametrize("to_units", [True, False], ids=["to-units", "to-static-pods"])
def test_another_runtime_takes_the_former_one_away(
    pkigen: InProcess,
    tmp_path: Path,
    to_units: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    """Copying a tree over a node removes nothing: two etcds would fight for one port."""
    spec, root, book = tmp_path / "three.yaml", tmp_path / "home", tmp_path / "book"
    kinds = [THREE, THREE.replace("  users:", "  runtime: systemd\n  users:")]
    before, after = kinds if to_units else reversed(kinds)
    spec.write_text(before)
    assert pkigen("init", spec, "-C", root).code == 0
    spec.write_text(after)
    result = pkigen("apply", spec, "-C", root, "--yes", "-o", "json", "--runbook", book)
    assert result.code == 0
    manifest, unit = "/etc/kubernetes/manifests/etcd.yaml", "/etc/systemd/system/etcd.service"
    step = next(each for each in result.json["restarts"] if each["component"] == ETCD)
    assert step["removes"] == [manifest if to_units else unit]
    first = [f"rm -f {manifest}", GONE] if to_units else ["systemctl disable --now etcd", f"rm -f {unit}"]
    assert step["commands"][:2] == first
    assert ("systemctl enable etcd" in step["commands"]) is to_units
    assert_sound(book / "restart.sh")
    text = (book / "restart.txt").read_text()
    assert f"etcd {'must restart' if to_units else RECREATED_TEXT}, once " in text
    left = {each["node"]: each["files"] for each in result.json["leftovers"]}
    assert all(manifest not in files and unit not in files for files in left.values())
    if not to_units:
        assert any(file.endswith("/etcd.env") for file in left["cp-1"])


GONE = "while crictl ps --quiet --name '^etcd$' | grep -q .; do sleep 1; done"
RECREATED_TEXT = "is recreated by the kubelet when its manifest arrives"


def test_what_nodes_should_lose_is_named(pkigen: InProcess, tmp_path: Path) -> None:
    spec, root, book = tmp_path / "three.yaml", tmp_path / "home", tmp_path / "book"
    spec.write_text(THREE.replace("  users:", "  encryption: {}\n  users:"))
    assert pkigen("init", spec, "-C", root).code == 0
    spec.write_text(THREE)
    result = pkigen("apply", spec, "-C", root, "--yes", "--force", "--runbook", book)
    assert result.code == 0
    line = "  cp-2: /etc/kubernetes/pki/encryption-config.yaml"
    for text in (result.out, (book / "restart.txt").read_text()):
        assert "remove on the nodes, because copying a tree removes nothing:\n" in text
        assert f"{line}\n" in text
    assert_sound(book / "restart.sh")
    assert "  remove:cp-2)\n" in (book / "restart.sh").read_text()


@pytest.mark.parametrize(
    "name",
    ["pki;touch ran", "pki $(touch ran)", "pki`touch ran`", "it's; touch ran", "pki&&touch ran", "two words"],
)
def test_no_word_of_a_spec_is_the_shells(tmp_path: Path, name: str) -> None:
    """What the script removes has a path that a spec has chosen; so has what it asks etcd with."""
    cluster = ClusterSpec.model_validate(
        {
            "metadata": {"name": "home"},
            "spec": {
                "kubernetesVersion": "v1.36.2",
                "runtime": "systemd",
                "nodes": [
                    {"name": node, "roles": ["control-plane"], "addresses": [address]}
                    for node, address in (("cp-1", "10.0.0.11"), ("cp-2", "10.0.0.12"))
                ],
                "controlPlaneEndpoint": "api.example.com:6443",
            },
        }
    )
    certificates = cluster.spec.certificates.model_copy(update={"directory": str(tmp_path / name)})
    cluster = cluster.model_copy(
        update={"spec": cluster.spec.model_copy(update={"certificates": certificates})}
    )
    doomed = tmp_path / name / "file.yaml"
    doomed.parent.mkdir(parents=True)
    doomed.write_text("")
    step = Restart(node="cp-1", component=ComponentName.ETCD, effect=Effect.ADMITS, files=(), member="cp-2")
    script = tmp_path / "restart.sh"
    steps = (
        restarting(1, step, cluster, host=cluster.spec.nodes[0].host, served={}),
        removing(cluster.spec.nodes[0], (str(doomed),)),
    )
    script.write_text(runbook_script(steps, cluster.name))
    (tmp_path / "etcdctl").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > asked\n')
    (tmp_path / "etcdctl").chmod(0o755)
    (tmp_path / "curl").symlink_to("/bin/true")
    for number in ("1", "remove"):
        subprocess.run(
            ["sh", script, "cp-1", number],
            cwd=tmp_path,
            check=True,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        )
    assert not doomed.exists()
    assert not (tmp_path / "ran").exists()
    assert f"--cacert={tmp_path}/{name}/etcd/ca.crt" in (tmp_path / "asked").read_text().splitlines()


def test_a_kubelet_forgets_what_it_would_prefer_to_a_new_kubelet_conf(
    pkigen: InProcess, tmp_path: Path
) -> None:
    """kubernetes/kubeadm#2054: kubelet.conf is read only where the kubelet has no certificate of its own."""
    spec, root, book = tmp_path / "spec.yaml", tmp_path / "t", tmp_path / "book"
    spec.write_text(RENEWED)
    assert pkigen("init", spec, "-C", root).code == 0
    result = pkigen("renew", spec, "w1/kubelet.conf", "-C", root, "--yes", "--runbook", book, "-o", "json")
    assert result.code == 0, result
    (step,) = result.json["restarts"]
    assert (step["component"], step["node"]) == ("kubelet", "w1")
    own = "/var/lib/kubelet/pki/kubelet-client-current.pem"
    assert step["commands"] == [f"rm -f {own}", "systemctl daemon-reload", "systemctl restart kubelet"]
    assert own in (book / "restart.txt").read_text()
    assert_sound(book / "restart.sh")
    # The control: a kubeconfig that is only written anew has the certificate that it had.
    (root / "nodes/w1/etc/kubernetes/pki/ca.crt").unlink()
    assert own not in pkigen("plan", spec, "-C", root).out


def test_kubelets_serve_their_certificate_before_it_is_verified(pkigen: InProcess, tmp_path: Path) -> None:
    """An API server that verifies kubelets which have not restarted yet has neither logs nor exec."""
    spec, root, book = tmp_path / "three.yaml", tmp_path / "home", tmp_path / "book"
    unverified = "  apiServer: {extraArgs: [{name: kubelet-certificate-authority, value: ''}]}\n"
    elsewhere = "  kubelet: {extraArgs: [{name: tls-cert-file, value: /srv/own.crt}]}\n"
    spec.write_text(THREE.replace("  users:", f"{unverified}{elsewhere}  users:"))
    assert pkigen("init", spec, "-C", root).code == 0
    spec.write_text(THREE)
    done = pkigen("apply", spec, "-C", root, "--yes", "--runbook", book, "-o", "json")
    assert done.code == 0, done
    kubelets = [("kubelet", node) for node in ("cp-1", "cp-2", "cp-3", "worker-1")]
    servers = [("kube-apiserver", node) for node in ("cp-1", "cp-2", "cp-3")]
    steps = [(step["component"], step["node"]) for step in done.json["restarts"]]
    assert steps == [*kubelets, *servers]
    assert "only when every kubelet is done" in (book / "restart.txt").read_text()
    again = pkigen("show", "-C", root, "-o", "json").json["restarts"]
    assert [(step["component"], step["node"]) for step in again] == steps
    # The way back, and the control: nothing begins to be verified, so the usual order is safe.
    spec.write_text(THREE.replace("  users:", f"{unverified}{elsewhere}  users:"))
    back = pkigen("plan", spec, "-C", root, "-o", "json").json["restarts"]
    assert [(step["component"], step["node"]) for step in back] == [*servers, *kubelets]


RENEWED = """\
apiVersion: pkigen/v1
kind: Cluster
metadata: {name: kub}
spec:
  kubernetesVersion: v1.36.2
  certificates: {distributeCAKeys: false}
  nodes:
    - {name: cp1, roles: [control-plane], addresses: [10.20.0.11]}
    - {name: w1, roles: [worker], addresses: [10.20.0.21]}
"""


def test_a_runbook_when_nothing_has_to_restart(pkigen: InProcess, three: Path, tmp_path: Path) -> None:
    root = copy_of(three / "home", tmp_path / "home")
    (root / "users/dev1.conf").unlink()
    book = tmp_path / "book"
    assert pkigen("plan", three / "three.yaml", "-C", root, "--runbook", book).code == 0
    assert "nothing has to restart" in (book / "restart.txt").read_text()
    subprocess.run(["sh", "-n", book / "restart.sh"], check=True)
