"""Clusters of other makers than kubeadm are taken over as they are, and renewed later."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import yaml

from pkigen.adoption.audit import audit
from pkigen.adoption.gathered import node_trees
from pkigen.adoption.inspection import inspect
from pkigen.adoption.severity import AuditSeverity
from pkigen.desired.readers import ComponentName
from tests.adoption import kubeadm_trees, makers
from tests.adoption.altered_nodes import DAY, moment
from tests.adoption.test_adopt import Adopted, contents
from tests.cli.program import REPOSITORY
from tests.pages.blocks import commands_for

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

VERSION = ("--kubernetes-version", makers.VERSION)
BY_HAND = {
    "kubernetes-the-hard-way with cfssl": ("cfssl", "/var/lib/kubernetes", (".pem", "-key.pem"), True),
    "kubernetes-the-hard-way with openssl": ("openssl", "/var/lib/kubernetes", (".crt", ".key"), True),
    "easy-rsa": ("openssl", "/srv/kubernetes", (".crt", ".key"), False),
    "openssl with names of its own": ("openssl", "/opt/pki", (".pem", "-key.pem"), True),
}


@pytest.fixture
def adopted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Adopted:
    """At a moment after that at which the programs, which ask the clock themselves, have made everything."""
    return Adopted(tmp_path, moment() + timedelta(minutes=10), capsys)


@pytest.fixture(scope="module", params=BY_HAND)
def made_by_hand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One node by the programs themselves, which is most of what a test takes; never changed."""
    program, home, ends, beside = BY_HAND[request.param]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    place = tmp_path_factory.mktemp("by-hand")
    (place / "work").mkdir()
    maker = (makers.CFSSL if program == "cfssl" else makers.OpenSSL)(place=place / "work")
    makers.by_hand(place / "nodes", maker, home=home, ends=ends, beside=beside)
    return place / "nodes"


@pytest.fixture
def by_hand(made_by_hand: Path, tmp_path: Path) -> Path:
    shutil.copytree(made_by_hand, tmp_path / "nodes", symlinks=True)
    return tmp_path / "nodes"


@pytest.fixture
def copy(of_pkigen: Path, tmp_path: Path) -> Path:
    shutil.copytree(of_pkigen, tmp_path / "nodes", symlinks=True)
    return tmp_path / "nodes"


def errors(place: Path, now: datetime) -> list[str]:
    found = audit(inspect(node_trees(place), now=now))
    return [str(each) for each in found if each.severity is AuditSeverity.ERROR]


def spec_of(adopted: Adopted) -> dict[str, object]:
    content = yaml.safe_load(adopted.spec.read_text())["spec"]
    assert isinstance(content, dict)
    return content


def test_one_made_by_hand_is_taken_over_as_documented(by_hand: Path, adopted: Adopted) -> None:
    before = contents(by_hand)
    assert errors(by_hand, adopted.now) == []
    page = REPOSITORY / "docs/how-to/adopt.md"
    ((command,),) = commands_for("tests/adoption/test_taken_from_makers.py", page)
    program, *words = command.words.split()
    assert program == "pkigen"
    assert [each for each in words if "=" in each] == [
        f"{path.name}=DIR" for path in sorted(by_hand.iterdir())
    ]
    words = [each.replace("DIR", str(by_hand / each.partition("=")[0])) for each in words]
    assert adopted.run(*(str(adopted.root) if each == "prod" else each for each in words)) == 0, adopted.err
    assert contents(by_hand) == before
    assert adopted.planned() == []
    assert "kept until rotated (shared-key)" in _plan(adopted)
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out
    assert adopted.run("status", "-C", str(adopted.root)) == 0, adopted.err
    spec = spec_of(adopted)
    assert (spec["runtime"], spec["manage"]) == ("systemd", [])
    assert [user["name"] for user in spec["users"]] == ["admin"]  # type: ignore[attr-defined]
    # Every certificate of it is a node's own, byte for byte.
    found = {data for data, _ in before.values()}
    taken = [path for path in (adopted.root / "nodes").rglob("*") if path.suffix in {".crt", ".key", ".conf"}]
    assert taken
    assert all(path.read_bytes() in found for path in taken)


def _plan(adopted: Adopted) -> str:
    assert adopted.run("plan", "-C", str(adopted.root)) == 0, adopted.err
    return adopted.out


def test_one_made_by_hand_is_renewed(by_hand: Path, adopted: Adopted) -> None:
    assert adopted.adopt(by_hand, options=VERSION) == 0, adopted.err
    due = adopted.planned(after=350 * DAY)
    assert due
    assert {(action, reason) for action, _, reason in due} == {("renew", "expires-soon")}
    adopted.apply(after=350 * DAY)
    assert adopted.planned(after=350 * DAY) == []
    assert adopted.run("verify", "-C", str(adopted.root), after=350 * DAY) == 0, adopted.out


def test_what_reads_other_names_is_told_and_no_proof_counts_it(by_hand: Path, adopted: Adopted) -> None:
    assert adopted.adopt(by_hand, options=VERSION) == 0, adopted.err
    assert "note: kube-apiserver reads files under names of their own (--" in adopted.err
    rotate = ("rotate", "ca", "kubernetes", "-C", str(adopted.root), "--yes", "--phase", "prepare")
    assert adopted.run(*rotate) == 1
    assert adopted.run("verify", "-C", str(adopted.root)) == 0
    assert "which pkigen does not manage" in adopted.err


def test_one_made_by_hand_gets_names_and_cas_of_its_own(by_hand: Path, adopted: Adopted) -> None:
    """Without the flags that lead elsewhere, and with manifests managed; then every CA rotates."""
    assert adopted.adopt(by_hand, options=VERSION) == 0, adopted.err
    content = yaml.safe_load(adopted.spec.read_text())
    spec = content["spec"]
    for section in ("apiServer", "controllerManager", "scheduler", "etcd", "kubelet"):
        spec.get(section, {}).pop("extraArgs", None)
    for node in spec["nodes"]:
        node.pop("kubeletExtraArgs", None)
    spec["manage"] = ["manifests", "kubelet", "addons"]
    adopted.spec.write_text(yaml.safe_dump(content))
    changed = {(action, identifier.rpartition("/")[2]) for action, identifier, _ in adopted.planned()}
    assert {("create", "front-proxy-ca"), ("create", "front-proxy-client")} <= changed
    assert not {each for each in changed if each[0] in {"renew", "reissue"}}
    assert adopted.run("apply", "-C", str(adopted.root), "--yes", "--force") == 0, adopted.err
    for phase in ("prepare", "promote", "finish"):
        rotate = ("rotate", "ca", "etcd", "-C", str(adopted.root), "--yes", "--phase", phase)
        assert adopted.run(*rotate, "--assume-distributed") == 0, adopted.err
    assert "shared-key" not in _plan(adopted)
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out


def test_without_a_version_it_is_asked_for(by_hand: Path, adopted: Adopted) -> None:
    assert adopted.adopt(by_hand) == 1
    assert "--kubernetes-version" in adopted.err
    assert not adopted.root.exists()


def test_what_nobody_has_of_it_is_named(by_hand: Path, adopted: Adopted) -> None:
    unit = by_hand / "controller-0/etc/systemd/system/kube-scheduler.service"
    unit.with_name("kube-apiserver.service").write_bytes(
        unit.with_name("kube-apiserver.service").read_bytes().replace(b"/kubernetes", b"/gone")
    )
    assert adopted.adopt(by_hand, options=VERSION) == 1
    assert "apiserver.crt is missing" in adopted.err
    assert not adopted.root.exists()


def test_one_of_kubespray(copy: Path, tmp_path: Path, adopted: Adopted) -> None:
    (tmp_path / "work").mkdir()
    makers.like_kubespray(copy, makers.OpenSSL(place=tmp_path / "work"))
    before = contents(copy)
    assert adopted.adopt(copy) == 0, adopted.err
    assert "note: etcd on cp-1 is run by /etc/systemd/system/etcd.service, apart from" in adopted.err
    assert "(/etc/ssl/etcd/ssl/member-cp-1.pem, /etc/ssl/etcd/ssl/ca.pem)" in adopted.err
    assert contents(copy) == before
    assert adopted.planned() == []
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out
    spec = yaml.safe_load(adopted.spec.read_text())["spec"]
    assert spec["certificates"]["directory"] == "/etc/kubernetes/ssl"
    assert spec["etcd"]["external"] == {
        "endpoints": [f"https://10.0.0.1{number}:2379" for number in (1, 2, 3)],
        "caFile": "/etc/ssl/etcd/ssl/ca.pem",
        "certFile": "/etc/ssl/etcd/ssl/node-{node}.pem",
        "keyFile": "/etc/ssl/etcd/ssl/node-{node}-key.pem",
    }
    assert adopted.run("renew", "--all", "-C", str(adopted.root), "--yes") == 0, adopted.err
    assert adopted.planned() == []
    # With manifests managed, each API server keeps the client certificate that has its node's name.
    adopted.edit(manage=["manifests"])
    assert adopted.run("apply", "-C", str(adopted.root), "--yes", "--force") == 0, adopted.err
    manifest = adopted.root / "nodes/cp-2/etc/kubernetes/manifests/kube-apiserver.yaml"
    assert "--etcd-certfile=/etc/ssl/etcd/ssl/node-cp-2.pem" in manifest.read_text()


def test_one_of_minikube(copy: Path, adopted: Adopted) -> None:
    makers.like_minikube(copy, adopted.now)
    assert errors(copy, adopted.now) == []
    assert adopted.adopt(copy) == 0, adopted.err
    assert adopted.planned() == []
    assert yaml.safe_load(adopted.spec.read_text())["spec"]["certificates"]["directory"] == (
        "/var/lib/minikube/certs"
    )
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out
    assert adopted.run("renew", "--all", "-C", str(adopted.root), "--yes") == 0, adopted.err
    assert adopted.planned() == []


def test_an_etcd_without_certificates_is_external(tmp_path: Path, adopted: Adopted) -> None:
    (tmp_path / "work").mkdir()
    maker = makers.OpenSSL(place=tmp_path / "work")
    makers.by_hand(tmp_path / "nodes", maker, home="/var/lib/kubernetes", ends=(".crt", ".key"))
    units = tmp_path / "nodes/controller-0/etc/systemd/system"
    listening = "--listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379"
    (units / "etcd.service").write_bytes(makers.unit("etcd", "--name controller-0", listening))
    lines = (units / "kube-apiserver.service").read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith(("  --etcd-c", "  --etcd-k")))
    (units / "kube-apiserver.service").write_text(
        text.replace(f"https://{makers.ADDRESS}:2379", "http://127.0.0.1:2379")
    )
    assert adopted.adopt(tmp_path / "nodes", options=VERSION) == 0, adopted.err
    assert "(it has no certificates)" in adopted.err
    assert adopted.planned() == []
    assert spec_of(adopted)["etcd"] == {"external": {"endpoints": ["http://127.0.0.1:2379"]}}


@pytest.mark.live
def test_one_of_kind(tmp_path: Path, adopted: Adopted) -> None:
    """kubeadm's in /etc/kubernetes, with names and flags of kind's own."""
    kubeadm_trees.kubeadm()
    settings = {
        "clusterName": "kind",
        "controlPlaneEndpoint": "kind-control-plane:6443",
        "networking": {"podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/16"},
        "apiServer": {
            "certSANs": ["localhost", "127.0.0.1"],
            "extraArgs": [{"name": "runtime-config", "value": ""}],
        },
        "controllerManager": {"extraArgs": [{"name": "enable-hostpath-provisioner", "value": "true"}]},
    }
    nodes, name = tmp_path / "nodes", "kind-control-plane"
    first = kubeadm_trees.control_plane(nodes / name, name=name, address="172.18.0.2", cluster=settings)
    kubeadm_trees.worker(
        nodes / "kind-worker", first, name="kind-worker", address="172.18.0.3", cluster=settings
    )
    for node in nodes.iterdir():
        makers.with_unit_of_kind(node)
    adopted.now = moment() + timedelta(minutes=1)
    assert errors(nodes, adopted.now) == []
    assert adopted.adopt(nodes) == 0, adopted.err
    assert adopted.planned() == []
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out
    assert adopted.run("renew", "--all", "-C", str(adopted.root), "--yes") == 0, adopted.err
    assert adopted.planned() == []


def test_a_unit_is_read_with_its_drop_ins_and_environment(tmp_path: Path) -> None:
    """As minikube starts its kubelet: the last ExecStart counts, and what files say of its variables."""
    node = makers.Node()
    node.files |= {
        "/lib/systemd/system/kubelet.service": makers.unit("kubelet", "--kubeconfig=/old.conf"),
        "/etc/systemd/system/kubelet.service.d/20-own.conf": b"[Service]\n"
        b"Environment=MORE=--node-ip=10.0.0.9\n",
        "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf": b"[Service]\n"
        b"EnvironmentFile=-/etc/kubernetes/kubelet.env\nExecStart=\n"
        b"ExecStart=/opt/bin/kubelet $FILES \\\n  ${MORE} --hostname-override=m01\n",
        "/etc/kubernetes/kubelet.env": b'FILES="--config=/k.yaml \\\n  --kubeconfig=/new.conf"\n',
    }
    node.write(tmp_path / "m01")
    (found,) = inspect(node_trees(tmp_path), now=moment()).nodes
    (kubelet,) = found.running(ComponentName.KUBELET)
    names = ("config", "kubeconfig", "node-ip", "hostname-override")
    assert [kubelet.flags.value(name) for name in names] == ["/k.yaml", "/new.conf", "10.0.0.9", "m01"]
