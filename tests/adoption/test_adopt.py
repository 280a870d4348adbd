from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import yaml
from cryptography import x509

from pkigen.access.requests import make_request
from pkigen.cli.app import run
from pkigen.cli.system import System
from pkigen.crypto.keys import load_private
from pkigen.crypto.names import Subject
from tests.adoption import kubeadm_trees
from tests.adoption.altered_nodes import DAY, PKI, AlteredNode, name_of, new_ca, pem_of
from tests.adoption.conftest import SPEC
from tests.adoption.test_clean_trees import CLUSTERS
from tests.cli.program import unaddressed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path


class Adopted:
    """A cluster that was taken over, and the commands on it at a moment."""

    def __init__(self, place: Path, now: datetime, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.now, self._capsys = place / "prod", now, capsys
        self.out = self.err = ""

    @property
    def spec(self) -> Path:
        return self.root / "cluster.yaml"

    def run(self, *arguments: str, after: timedelta = timedelta()) -> int:
        code = run(list(arguments), system=System(clock=lambda: self.now + after))
        self.out, self.err = self._capsys.readouterr()
        return code

    def adopt(self, *sources: object, options: tuple[str, ...] = ()) -> int:
        return self.run("adopt", *map(str, sources), "-C", str(self.root), *options)

    def planned(self, *, after: timedelta = timedelta()) -> list[tuple[str, str, str]]:
        arguments = ("plan", "-C", str(self.root), "-o", "json")
        assert self.run(*arguments, after=after) == 0, self.err
        return [(each["action"], each["id"], each["reason"]) for each in json.loads(self.out)["actions"]]

    def edit(self, **settings: object) -> None:
        content = yaml.safe_load(self.spec.read_text())
        content["spec"] |= settings
        self.spec.write_text(yaml.safe_dump(content))

    def apply(self, *, after: timedelta = timedelta()) -> None:
        arguments = ("apply", "-C", str(self.root), "--yes")
        assert self.run(*arguments, after=after) == 0, self.err

    def ledger(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in (self.root / ".pkigen/ledger.jsonl").read_text().splitlines()]

    def certificate(self, path: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.root / "nodes" / path).read_bytes())


@pytest.fixture
def adopted(tmp_path: Path, now: datetime, capsys: pytest.CaptureFixture[str]) -> Adopted:
    return Adopted(tmp_path, now, capsys)


@pytest.fixture
def copy(of_pkigen: Path, tmp_path: Path) -> Path:
    """The nodes of a whole cluster, of one's own."""
    shutil.copytree(of_pkigen, tmp_path / "nodes", symlinks=True)
    return tmp_path / "nodes"


def node_of(place: Path, now: datetime, name: str = "cp-1") -> AlteredNode:
    return AlteredNode(root=place / name, now=now)


def contents(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode & 0o7777)
        for path in root.rglob("*")
        if path.is_file() and path.name != "index"
    }


# -- as it is -----------------------------------------------------------------------------------------------


@pytest.mark.live
def test_nothing_of_a_cluster_by_kubeadm_is_changed(of_kubeadm: Path, adopted: Adopted) -> None:
    assert adopted.adopt(of_kubeadm) == 0, adopted.err
    assert adopted.planned() == []
    for name in ("cp-1", "cp-2", "cp-3", "worker-1"):
        found = contents(of_kubeadm / name / "etc/kubernetes")
        taken = contents(adopted.root / "nodes" / name / "etc/kubernetes")
        assert taken == {path: found[path] for path in taken}
        # All of it but the break-glass kubeconfigs of other nodes than the first.
        assert set(found) - set(taken) <= {"super-admin.conf"}
    assert adopted.run("plan", "-C", str(adopted.root), "--full") == 0
    assert "advice: 35 adopted objects kept until due (extensions-changed)\n" in adopted.out
    assert "  cp-2/apiserver: differs in subjectKeyIdentifier, keyUsage\n" in adopted.out
    assert adopted.err == ""
    events = {line["event"] for line in adopted.ledger()}
    assert events == {"adopted", "recorded"}
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out
    assert adopted.out.endswith(" 0 findings\n")


@pytest.mark.live
@pytest.mark.parametrize("name", CLUSTERS)
def test_whatever_kubeadm_was_told(name: str, tmp_path: Path, adopted: Adopted) -> None:
    kubeadm_trees.kubeadm()
    address, cluster = CLUSTERS[name]
    kubeadm_trees.control_plane(tmp_path / "nodes/cp-1", address=address, cluster=cluster)
    assert adopted.adopt(tmp_path / "nodes") == 0, adopted.err
    assert adopted.planned() == []


def test_a_key_that_was_taken_over_and_renewed_is_certified_for_nobody(copy: Path, adopted: Adopted) -> None:
    """Its old certificate is valid until it expires; the ledger alone still knows of it."""
    assert adopted.adopt(copy) == 0, adopted.err
    key = load_private((adopted.root / "nodes/cp-1" / PKI / "apiserver.key").read_bytes())
    assert adopted.run("renew", "cp-1/apiserver", "-C", str(adopted.root), "--yes") == 0, adopted.err
    asked = adopted.root.parent / "jane.csr"
    asked.write_bytes(make_request(Subject(common_name="jane"), key))
    assert adopted.run("access", "sign", "--csr", str(asked), "--user", "jane", "-C", str(adopted.root)) == 1
    assert "the key of this request is that of cp-1/apiserver" in adopted.err


@pytest.mark.live
def test_what_was_taken_over_as_data(of_kubeadm: Path, adopted: Adopted) -> None:
    assert adopted.adopt(of_kubeadm, options=("-o", "json")) == 0, adopted.err
    said = json.loads(adopted.out)
    assert (said["kind"], said["directory"], said["nodes"]) == ("Adopted", str(adopted.root), 4)
    assert said["due"] == []
    assert said["objects"] == 95
    assert said["advice"]["extensions-changed"] == 35


@pytest.mark.live
def test_what_kubeadm_made_is_renewed_when_it_is_due(of_kubeadm: Path, adopted: Adopted) -> None:
    assert adopted.adopt(of_kubeadm) == 0
    old = adopted.certificate(f"cp-1/{PKI}/apiserver.crt")
    with pytest.raises(x509.ExtensionNotFound):
        old.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    later = 340 * DAY
    due = adopted.planned(after=later)
    assert {(action, reason) for action, _, reason in due} == {("renew", "expires-soon")}
    assert len(due) == 35  # every leaf of three control planes, and the worker's kubelet.conf
    adopted.apply(after=later)
    new = adopted.certificate(f"cp-1/{PKI}/apiserver.crt")
    assert new.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert new.serial_number.bit_length() > 64
    assert adopted.planned(after=later) == []
    assert adopted.run("verify", "-C", str(adopted.root), after=later) == 0, adopted.out


@pytest.mark.live
def test_a_new_name_reissues_what_has_it_and_nothing_else(of_kubeadm: Path, adopted: Adopted) -> None:
    assert adopted.adopt(of_kubeadm) == 0
    adopted.edit(apiServer={"certSANs": ["api.example.com"]})
    changes = adopted.planned()
    assert changes == [("reissue", f"cp-{number}/apiserver", "sans-changed") for number in (1, 2, 3)]
    adopted.apply()
    assert adopted.planned() == []


@pytest.mark.live
def test_manifests_change_once_they_are_managed(of_kubeadm: Path, adopted: Adopted) -> None:
    assert adopted.adopt(of_kubeadm) == 0
    adopted.edit(manage=["manifests"])
    changed = {(action, identifier.rpartition("/")[2]) for action, identifier, _ in adopted.planned()}
    # The controller manager's new manifest names a file that kubeadm does not have, the API servers' two
    # of them, by which credentials are revoked.
    assert changed == {
        ("create", "authorization-config.yaml"),
        ("create", "authorization-webhook.yaml"),
        ("create", "ca-signing.crt"),
        ("rewrite", "kube-apiserver.yaml"),
        ("rewrite", "etcd.yaml"),
        ("rewrite", "kube-controller-manager.yaml"),
    }
    # API servers verify kubelets whose serving certificates are pkigen's, and no others.
    assert "verifies-kubelets" not in {reason for _, _, reason in adopted.planned()}
    adopted.edit(manage=["manifests", "kubelet"])
    assert "verifies-kubelets" in {reason for _, _, reason in adopted.planned()}
    adopted.edit(manage=["kubelet"])
    changed = {(action, identifier.rpartition("/")[2]) for action, identifier, _ in adopted.planned()}
    assert changed == {
        ("create", "kubelet-serving"),
        ("rewrite", "config.yaml"),
        ("rewrite", "kubeadm-flags.env"),
    }


@pytest.mark.live
def test_the_cas_of_an_adopted_cluster_rotate(of_kubeadm: Path, adopted: Adopted) -> None:
    assert adopted.adopt(of_kubeadm) == 0
    cas = ("kubernetes", "etcd", "front-proxy")
    rotate = ("rotate", "ca", *cas, "-C", str(adopted.root), "--yes", "--phase")
    # kubeadm's controller manager signs with ca.crt, of which it takes one certificate only.
    assert adopted.run(*rotate, "prepare") == 1
    assert "--cluster-signing-cert-file" in adopted.err
    assert "`manage`" in adopted.err
    adopted.edit(manage=["manifests"])
    arguments = ("apply", "-C", str(adopted.root), "--yes", "--force")
    assert adopted.run(*arguments) == 0, adopted.err
    for phase in ("prepare", "promote", "finish"):
        assert adopted.run(*rotate, phase, "--assume-distributed") == 0, adopted.err
    assert adopted.planned() == []
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out
    new = x509.load_pem_x509_certificate((adopted.root / "pki/ca.crt").read_bytes())
    adopted.certificate(f"cp-2/{PKI}/apiserver.crt").verify_directly_issued_by(new)


@pytest.mark.live
def test_members_apart_need_no_kubelet_in_the_cluster(tmp_path: Path, adopted: Adopted) -> None:
    kubeadm_trees.kubeadm()
    kubeadm_trees.dedicated_etcd(tmp_path / "nodes", members=3)
    assert adopted.adopt(tmp_path / "nodes") == 0, adopted.err
    assert adopted.planned() == []
    roles = {
        each["name"]: each["roles"] for each in yaml.safe_load(adopted.spec.read_text())["spec"]["nodes"]
    }
    assert roles == {"cp-1": ["control-plane"], **{f"etcd-{number}": ["etcd"] for number in (1, 2, 3)}}
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out
    arguments = ("renew", "etcd-server", "-C", str(adopted.root), "--yes")
    assert adopted.run(*arguments) == 0, adopted.err
    assert adopted.planned() == []


@pytest.mark.live
def test_kubelets_that_renew_their_own_certificate_go_on(
    of_kubeadm: Path, tmp_path: Path, now: datetime, adopted: Adopted
) -> None:
    shutil.copytree(of_kubeadm, tmp_path / "nodes", symlinks=True)
    issuer = node_of(of_kubeadm, now).issuer()
    for name in ("cp-1", "cp-2", "worker-1"):
        node_of(tmp_path / "nodes", now, name).rotate_kubelet(issuer)
    assert adopted.adopt(tmp_path / "nodes") == 0, adopted.err
    assert adopted.planned() == []
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out
    renewed = [identifier for _, identifier, _ in adopted.planned(after=350 * DAY)]
    assert [each for each in renewed if each.endswith("/kubelet.conf")] == ["cp-3/kubelet.conf"]
    arguments = ("renew", "--all", "-C", str(adopted.root), "--yes")
    assert adopted.run(*arguments) == 0, adopted.err
    named = adopted.root / "nodes/worker-1/etc/kubernetes/kubelet.conf"
    assert "kubelet-client-current.pem" in named.read_text()


def test_a_file_that_changes_afterwards_is_judged_like_any_other(
    copy: Path, now: datetime, adopted: Adopted
) -> None:
    node = node_of(copy, now)
    node.reissue("apiserver", node.issuer())  # as openssl would: without a subjectKeyIdentifier
    node.path("pki/ca.crt").chmod(0o640)
    node.path("pki/front-proxy-client.crt").chmod(0o600)  # as the CIS benchmark would have it
    node.path("scheduler.conf").write_text(node.path("scheduler.conf").read_text() + "preferences: {}\n")
    assert adopted.adopt(copy) == 0, adopted.err
    assert adopted.planned() == []
    (adopted.root / "nodes/cp-1" / PKI / "front-proxy-client.crt").chmod(0o640)
    kubeconfig = adopted.root / "nodes/cp-1/etc/kubernetes/scheduler.conf"
    kubeconfig.write_text(kubeconfig.read_text().replace("10.0.0.11", "10.0.0.12"))
    (adopted.root / "nodes/cp-1" / PKI / "ca.crt").chmod(0o600)
    node_of(adopted.root / "nodes", now).reissue("apiserver", node.issuer())
    assert adopted.planned() == [
        ("rewrite", f"nodes/cp-1/{PKI}/ca.crt", "mode"),
        ("reissue", "cp-1/apiserver", "extensions-changed"),
        ("rewrite", "cp-1/front-proxy-client", "mode"),
        ("rewrite", "cp-1/scheduler.conf", "content-changed"),
    ]


def test_a_bundle_of_an_adopted_node_has_no_file_of_somebody_else(
    copy: Path, tmp_path: Path, adopted: Adopted
) -> None:
    assert adopted.adopt(copy) == 0
    (tmp_path / "word").write_text("correct horse battery staple\n")
    (tmp_path / "word").chmod(0o600)
    medium = tmp_path / "medium"
    arguments = ("airgap", "bundle", "create", "-C", str(adopted.root), "--out", str(medium))
    assert adopted.run(*arguments, "--passphrase-file", str(tmp_path / "word")) == 0, adopted.err
    inspected = ("airgap", "bundle", "inspect", str(next(medium.glob("*worker-1*"))))
    assert adopted.run(*inspected, "--passphrase-file", str(tmp_path / "word")) == 0, adopted.err
    assert "/etc/kubernetes/kubelet.conf" in adopted.out
    assert "/var/lib/kubelet/config.yaml" not in adopted.out


def test_kubeconfigs_that_name_files_go_on_to(tmp_path: Path, now: datetime, adopted: Adopted) -> None:
    """A cluster of pkigen's own, whose directory is lost: nothing of it changes, and it renews there."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.replace("keyAlgorithm: ECDSA-P256", "kubeconfigs: files"))
    assert adopted.run("init", str(spec), "-C", str(tmp_path / "lost")) == 0
    for node in ("cp-1", "cp-2", "cp-3"):
        pki = tmp_path / "lost/nodes" / node / "etc/kubernetes/pki"
        for name in ("front-proxy-ca", "etcd/ca"):
            shutil.copy2(tmp_path / "lost/pki" / f"{name}.key", pki / f"{name}.key")
    assert adopted.adopt(tmp_path / "lost/nodes") == 0, adopted.err
    assert "kubeconfigs: files" in adopted.spec.read_text()
    assert adopted.planned() == []
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out
    adopted.apply(after=350 * DAY)
    renewed = adopted.certificate("cp-2/etc/kubernetes/pki/scheduler/client.crt")
    assert renewed.not_valid_before_utc > now + 300 * DAY


def test_kubeconfigs_that_name_files_elsewhere_are_refused(copy: Path, adopted: Adopted) -> None:
    path = copy / "cp-2/etc/kubernetes/scheduler.conf"
    content = yaml.safe_load(path.read_text())
    content["users"][0]["user"] = {"client-certificate": "tls/s.crt", "client-key": "tls/s.key"}
    path.write_text(yaml.safe_dump(content))
    assert adopted.adopt(copy) == 1
    assert adopted.err.splitlines() == [
        (
            "error: cp-2: /etc/kubernetes/scheduler.conf names its client certificate by path, "
            "/etc/kubernetes/tls/s.crt, which is elsewhere than pkigen's"
        ),
        (
            "hint: embed it (`kubectl config view --raw --flatten`), or put CA, certificate and key into "
            "/etc/kubernetes/pki/scheduler/, as ca.crt, client.crt and client.key"
        ),
    ]
    assert not adopted.root.exists()


def test_people_keep_their_kubeconfigs(copy: Path, now: datetime, adopted: Adopted) -> None:
    node = node_of(copy, now, "cp-2")
    for name, groups in (("jane", ("dev",)), ("root", ("system:masters",))):
        node.write(f"{name}.conf", node.path("admin.conf").read_bytes())
        node.reissue_login(f"{name}.conf", node.issuer(), subject=name_of(name, *groups))
    assert adopted.adopt(copy) == 0, adopted.err
    assert adopted.planned() == []
    for name in ("jane", "root"):
        assert (adopted.root / f"users/{name}.conf").read_bytes() == node.path(f"{name}.conf").read_bytes()
    users = yaml.safe_load(adopted.spec.read_text())["spec"]["users"]
    assert [(user["name"], user["groups"]) for user in users] == [
        ("jane", ["dev"]),
        ("root", ["system:masters"]),
    ]
    assert users[1]["allowSystemIdentity"] == "found on cp-2 in /etc/kubernetes/root.conf"
    # The same name and groups later, with a key of its own.
    arguments = ("renew", "user:jane", "-C", str(adopted.root), "--yes")
    assert adopted.run(*arguments) == 0, adopted.err
    assert adopted.planned() == []


def test_an_older_administrator_is_kept_until_it_is_due(copy: Path, now: datetime, adopted: Adopted) -> None:
    """Before v1.29 admin.conf was of system:masters."""
    node = node_of(copy, now)
    node.reissue_login("admin.conf", node.issuer(), subject=name_of("kubernetes-admin", "system:masters"))
    assert adopted.adopt(copy) == 0, adopted.err
    assert adopted.planned() == []
    assert "advice: 1 adopted object kept until due (subject-changed)" in _advice(adopted)


def _advice(adopted: Adopted) -> str:
    adopted.run("plan", "-C", str(adopted.root))
    return adopted.out


def test_a_clone_without_secrets_says_the_same(copy: Path, now: datetime, adopted: Adopted) -> None:
    node = node_of(copy, now)
    node.reissue("apiserver", node.issuer())
    for name in ("apiserver.crt", "sa.pub"):
        node.path(f"pki/{name}").chmod(0o600)
    assert adopted.adopt(copy) == 0, adopted.err
    for path in [path for path in adopted.root.rglob("*") if path.is_file()]:
        path.chmod(0o644)  # Git keeps no modes
        if path.suffix in {".key", ".conf"}:
            path.unlink()
    assert adopted.planned() == []


# -- the authority ------------------------------------------------------------------------------------------


def remove_keys(copy: Path, *names: str) -> None:
    for node in copy.iterdir():
        for name in names:
            (node / PKI / f"{name}.key").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ca", "ca (/etc/kubernetes/pki/ca.key)"),
        ("etcd/ca", "etcd-ca (/etc/kubernetes/pki/etcd/ca.key)"),
        ("front-proxy-ca", "front-proxy-ca (/etc/kubernetes/pki/front-proxy-ca.key)"),
    ],
)
def test_a_ca_key_that_no_node_has_is_asked_for_by_name(
    name: str, told: str, copy: Path, adopted: Adopted
) -> None:
    remove_keys(copy, name)
    assert adopted.adopt(copy) == 1
    assert f"no node has the private key of {told}" in adopted.err
    assert not adopted.root.exists()


def test_a_ca_key_that_nobody_can_read_is_told(copy: Path, adopted: Adopted) -> None:
    remove_keys(copy, "ca")
    (copy / "cp-2" / PKI / "ca.key").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END")
    assert adopted.adopt(copy) == 1
    assert "ca (/etc/kubernetes/pki/ca.key; that of cp-2 " in adopted.err


def test_a_ca_key_of_one_node_is_enough(copy: Path, adopted: Adopted) -> None:
    kept = (copy / "cp-3" / PKI / "ca.key").read_bytes()
    remove_keys(copy, "ca")
    (copy / "cp-3" / PKI / "ca.key").write_bytes(kept)
    assert adopted.adopt(copy) == 0, adopted.err
    assert (adopted.root / "pki/ca.key").read_bytes() == kept
    assert (adopted.root / "pki/ca.key").stat().st_mode & 0o777 == 0o600
    assert adopted.planned() == []


def test_an_external_ca_is_fine(copy: Path, adopted: Adopted) -> None:
    remove_keys(copy, "ca", "etcd/ca", "front-proxy-ca")
    assert adopted.adopt(copy) == 0, adopted.err
    assert adopted.planned() == []
    assert not list((adopted.root / "pki").rglob("ca.key"))
    # What needs it says so.
    assert adopted.run("plan", "-C", str(adopted.root), after=345 * DAY) == 0
    assert "offline authority" in adopted.out


def test_two_roots_are_a_rotation_under_way(copy: Path, now: datetime, adopted: Adopted) -> None:
    second = new_ca("kubernetes-old", now)
    for node in copy.iterdir():
        bundle = node / PKI / "ca.crt"
        bundle.write_bytes(bundle.read_bytes() + second.pem)
    assert adopted.adopt(copy) == 0, adopted.err
    assert (adopted.root / "pki/ca-previous.crt").read_bytes() == second.pem
    assert adopted.planned() == []
    assert adopted.run("plan", "-C", str(adopted.root), "-o", "json") == 0
    document = json.loads(adopted.out)
    assert document["rotations"] == {"ca": "promoted"}
    # Nobody has the key of the CA that goes.
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out


def test_a_key_of_another_ca_is_refused(copy: Path, now: datetime, adopted: Adopted) -> None:
    remove_keys(copy, "ca")
    node = node_of(copy, now)
    node.write("pki/ca.key", node.path("pki/front-proxy-ca.key").read_bytes())
    assert adopted.adopt(copy) == 1
    assert "the private key of ca does not belong to the certificate" in adopted.err


def test_nodes_that_disagree_about_a_ca_are_refused(copy: Path, now: datetime, adopted: Adopted) -> None:
    (copy / "cp-2" / PKI / "front-proxy-ca.crt").write_bytes(pem_of(new_ca("x", now).certificate))
    assert adopted.adopt(copy) == 1
    assert "cp-1 and cp-2 have different CAs in front-proxy-ca.crt" in adopted.err
    assert not adopted.root.exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not a PEM private key"),
        (b"garbage", "is not a PEM private key"),
        (b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", ""),
    ],
)
def test_a_token_key_that_nobody_can_use_is_refused(
    copy: Path, adopted: Adopted, data: bytes, said: str
) -> None:
    for key in copy.glob(f"*/{PKI}/sa.key"):
        key.write_bytes(data)
    assert adopted.adopt(copy) == 1
    assert f"cp-1: sa.key {said}" in adopted.err
    assert "internal error" not in adopted.err
    assert not adopted.root.exists()


@pytest.mark.parametrize("name", ["etcd", "kube-apiserver", "kube-scheduler"])
def test_a_manifest_that_cannot_be_read_hides_no_component(copy: Path, adopted: Adopted, name: str) -> None:
    """Without its member, a cluster would pass for one with an etcd that is elsewhere."""
    (copy / f"cp-2/etc/kubernetes/manifests/{name}.yaml").write_text("spec: [")
    assert adopted.adopt(copy) == 1
    assert f"cp-2:/etc/kubernetes/manifests/{name}.yaml is no manifest of a Pod" in adopted.err
    assert not adopted.root.exists()


@pytest.mark.parametrize("secret", ["token", "password", "client-key-data"])
def test_no_secret_of_a_kubeconfig_decides_what_the_lock_file_says(
    copy: Path, now: datetime, adopted: Adopted, secret: str
) -> None:
    """The digest of a password would be as good as the password."""
    node, found = node_of(copy, now), []
    node.rotate_kubelet(node.issuer())
    for value in ("hunter2", "hunter3"):
        content = node.kubeconfig("kubelet.conf")
        content["users"][0]["user"][secret] = value
        node.write_kubeconfig("kubelet.conf", content)
        assert adopted.adopt(copy) == 0, adopted.err
        found.append(json.loads((adopted.root / "pki.lock").read_text())["adopted"]["cp-1/kubelet.conf"])
        shutil.rmtree(adopted.root)
    assert found[0] == found[1]


def test_a_private_key_that_others_could_read_is_private_here(copy: Path, adopted: Adopted) -> None:
    (copy / "cp-1" / PKI / "apiserver.key").chmod(0o644)
    assert adopted.adopt(copy) == 0, adopted.err
    taken = adopted.root / "nodes/cp-1" / PKI / "apiserver.key"
    assert taken.stat().st_mode & 0o777 == 0o600


# -- what is given ------------------------------------------------------------------------------------------


def test_what_a_node_lacks_is_named_and_nothing_is_written(copy: Path, adopted: Adopted) -> None:
    (copy / "cp-2" / PKI / "apiserver.crt").unlink()
    (copy / "cp-3/etc/kubernetes/scheduler.conf").unlink()
    assert adopted.adopt(copy) == 1
    assert f"nodes/cp-2/{PKI}/apiserver.crt is missing" in adopted.err
    assert "nodes/cp-3/etc/kubernetes/scheduler.conf is missing" in adopted.err
    assert not adopted.root.exists()


def test_an_administrator_with_a_plugin_is_left_out(copy: Path, adopted: Adopted) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "aws", "args": ["eks", "get-token"]}
    for file in copy.glob("cp-*/etc/kubernetes/admin.conf"):
        content = yaml.safe_load(file.read_text())
        content["users"][0]["user"] = {"exec": plugin}
        file.write_text(yaml.safe_dump(content))
    assert adopted.adopt(copy) == 1
    assert "admin.conf is not a kubeconfig with an embedded client certificate" in adopted.err
    assert "hint: leave an administrator's kubeconfig that logs in by a plugin" in adopted.err
    for file in copy.glob("cp-*/etc/kubernetes/admin.conf"):
        file.unlink()
    assert adopted.adopt(copy) == 0, adopted.err
    assert adopted.planned() == []
    assert not list(adopted.root.rglob("admin.conf"))


def test_a_certificate_without_its_key_is_refused(copy: Path, adopted: Adopted) -> None:
    (copy / "cp-2" / PKI / "apiserver.key").write_bytes((copy / "cp-1" / PKI / "apiserver.key").read_bytes())
    assert adopted.adopt(copy) == 1
    assert "cp-2/apiserver: private key does not match" in adopted.err


def test_an_expired_certificate_is_taken_over_and_then_due(
    copy: Path, now: datetime, adopted: Adopted
) -> None:
    node = node_of(copy, now)
    node.reissue("apiserver", node.issuer(), validity=(now - 400 * DAY, now - DAY))
    assert adopted.adopt(copy) == 0, adopted.err
    assert "due: cp-1/apiserver" in adopted.out
    assert [identifier for _, identifier, _ in adopted.planned()] == ["cp-1/apiserver"]


def test_tars_and_named_directories(copy: Path, tmp_path: Path, adopted: Adopted) -> None:
    with tarfile.open(tmp_path / "first.tgz", "w:gz") as archive:
        archive.add(copy / "cp-1", arcname="")
    sources = [f"cp-1={tmp_path / 'first.tgz'}", *(f"{each.name}={each}" for each in _rest(copy))]
    assert adopted.adopt(*sources) == 0, adopted.err
    assert adopted.planned() == []


def _rest(copy: Path) -> Iterator[Path]:
    yield from (each for each in sorted(copy.iterdir()) if each.name != "cp-1")


def test_a_folder_of_tars_as_they_are_gathered(copy: Path, tmp_path: Path, adopted: Adopted) -> None:
    """Beside directories of nodes; one that was cut off, or holds nothing of a node, ends it."""
    (tmp_path / "gathered").mkdir()
    for node in ("cp-1", "cp-2", "worker-1"):
        with tarfile.open(tmp_path / f"gathered/{node}.tar.gz", "w:gz") as archive:
            archive.add(copy / node, arcname="")
    (copy / "cp-3").rename(tmp_path / "gathered/cp-3")
    whole = (tmp_path / "gathered/cp-2.tar.gz").read_bytes()
    (tmp_path / "gathered/cp-2.tar.gz").write_bytes(whole[: len(whole) // 2])
    for command in (("verify",), ("status",), ("adopt", "-C", str(adopted.root))):
        assert adopted.run(command[0], str(tmp_path / "gathered"), *command[1:]) == 1
        assert adopted.err.startswith("error: cp-2.tar.gz is damaged: it cannot be unpacked\n")
    with tarfile.open(tmp_path / "gathered/cp-2.tar.gz", "w:gz"):
        pass
    assert adopted.run("verify", str(tmp_path / "gathered")) == 1
    assert adopted.err.startswith("error: cp-2.tar.gz has no files of a node in it\nhint: ")
    (tmp_path / "gathered/cp-2.tar.gz").write_bytes(whole)
    assert adopted.adopt(tmp_path / "gathered") == 0, adopted.err
    assert adopted.planned() == []
    assert adopted.run("verify", str(tmp_path / "gathered")) == 0
    assert adopted.out.splitlines()[-1].startswith("4 nodes, ")


def test_a_tar_by_option_and_one_from_standard_input(
    copy: Path, tmp_path: Path, adopted: Adopted, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, nodes in (("first.tgz", ["cp-1", "cp-2"]), ("rest.tar", ["cp-3", "worker-1"])):
        with tarfile.open(tmp_path / name, "w:gz" if name.endswith("z") else "w") as archive:
            for node in nodes:
                archive.add(copy / node, arcname=node)
    with (tmp_path / "rest.tar").open("rb") as stream:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
        assert adopted.adopt("-", options=("--from-tar", str(tmp_path / "first.tgz"))) == 0, adopted.err
    assert adopted.planned() == []


def test_the_line_that_gathers_a_node_brings_what_is_needed(
    copy: Path, tmp_path: Path, adopted: Adopted
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    # In the place of a way to a node: that node's files, as they are here.
    (programs / "ssh").write_text(
        f'#!/bin/sh\nroot={copy}/$1\neval "$(echo "$2" | sed "s|cd /|cd $root|")"\n'
    )
    (programs / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    nodes = [each.name for each in sorted(copy.iterdir())]
    assert adopted.run("adopt", *(word for node in nodes for word in ("--gather", node))) == 0
    lines = adopted.out.splitlines()
    assert len(lines) == len(nodes)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}"}
    for line in lines:
        subprocess.run(["sh", "-ec", line], cwd=tmp_path, env=environment, check=True, timeout=300)
    archives = [tmp_path / f"{node}.tar.gz" for node in nodes]
    assert {each.stat().st_mode & 0o777 for each in archives} == {0o600}
    assert adopted.adopt(*archives) == 0, adopted.err
    assert adopted.planned() == []


def test_without_files_it_says_how_to_get_them(adopted: Adopted) -> None:
    assert adopted.adopt() == 2
    assert "`pkigen adopt --gather NODE`" in unaddressed(adopted.err)


def test_a_wrong_name_is_refused(copy: Path, adopted: Adopted) -> None:
    assert adopted.adopt(f"cp-2={copy / 'cp-1'}") == 1
    assert "the files of cp-2 are those of cp-1" in adopted.err


def test_a_node_is_given_once(copy: Path, adopted: Adopted) -> None:
    assert adopted.adopt(copy, copy / "cp-1") == 2
    assert "the node cp-1 is given twice" in adopted.err


def test_two_copies_of_one_node_are_refused(copy: Path, adopted: Adopted) -> None:
    shutil.copytree(copy / "cp-2", copy / "cp-2-old", symlinks=True)
    assert adopted.adopt(copy) == 1
    assert "cp-2 and cp-2-old both have the files of the node cp-2, by their kubelet.conf" in adopted.err


def test_what_runs_with_flags_of_its_own_is_taken_over(copy: Path, adopted: Adopted) -> None:
    """A flag that only this build knows, and a control plane without the member of etcd that others have."""
    for name in ("cp-1", "cp-2", "cp-3"):
        node_of(copy, adopted.now, name).set_flag("kube-scheduler", "acme-magic", "1")
    (copy / "cp-3/etc/kubernetes/manifests/etcd.yaml").unlink()
    assert adopted.adopt(copy) == 0, adopted.err
    assert "note: cp-3 has no member of etcd, as cp-1, cp-2 has" in adopted.err
    spec = yaml.safe_load(adopted.spec.read_text())["spec"]
    assert spec["allowUnknownFlags"] is True
    assert spec["scheduler"]["extraArgs"] == [{"name": "acme-magic", "value": "1"}]
    assert adopted.planned() == []


def test_an_upgrade_under_way_is_told(copy: Path, adopted: Adopted) -> None:
    manifest = copy / "cp-2/etc/kubernetes/manifests/kube-apiserver.yaml"
    manifest.write_text(manifest.read_text().replace(":v1.36.2", ":v1.35.4"))
    assert adopted.adopt(copy) == 0, adopted.err
    assert "note: API servers run different releases (v1.36.2 on cp-1, cp-3; v1.35.4 on cp-2)" in adopted.err


def test_what_is_not_there_is_a_wrong_argument(tmp_path: Path, adopted: Adopted) -> None:
    assert adopted.adopt(tmp_path / "none") == 2
    assert "none does not exist" in adopted.err


def test_a_directory_in_use_is_left_alone(copy: Path, adopted: Adopted) -> None:
    assert adopted.adopt(copy) == 0
    before = contents(adopted.root)
    assert adopted.adopt(copy) == 1
    assert "the PKI directory is not empty" in adopted.err
    assert contents(adopted.root) == before


def test_a_description_alone(copy: Path, adopted: Adopted) -> None:
    assert adopted.adopt(copy, options=("--dry-run",)) == 0
    assert yaml.safe_load(adopted.out)["spec"]["manage"] == []
    assert adopted.adopt(copy, options=("--dry-run", "-o", "json")) == 2
    assert (adopted.out, "which is YAML" in adopted.err) == ("", True)
    assert not adopted.root.exists()


@pytest.mark.parametrize("kind", ["manifests", "kubelet", "addons"])
def test_what_is_no_longer_managed_stays_where_it_is(copy: Path, adopted: Adopted, kind: str) -> None:
    assert adopted.adopt(copy) == 0
    adopted.edit(manage=[kind])
    adopted.apply()
    before = contents(adopted.root / "nodes") | contents(adopted.root / "addons")
    assert kind != "addons" or "cluster-admins.yaml" in before
    adopted.edit(manage=[])
    # The record of the spec, and nothing else.
    assert {identifier for _, identifier, _ in adopted.planned()} <= {"pki.lock"}
    adopted.apply()
    assert contents(adopted.root / "nodes") | contents(adopted.root / "addons") == before
