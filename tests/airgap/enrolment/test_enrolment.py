"""Keys that are born on the node: request, approve, install; and that they never leave it."""

from __future__ import annotations

import copy
import json
import re
import shutil
import stat
import subprocess
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from pkigen.airgap.carrier.archive import decode
from pkigen.airgap.carrier.bundle_key import fingerprint
from pkigen.airgap.carrier.envelope import unwrap
from pkigen.crypto.age import Identity
from pkigen.crypto.keys import public_der
from pkigen.state.observed import client_certificate_pem, client_key_pem, with_client_key
from tests.airgap.enrolment.enrolment_site import SMALL, SPEC, EnrolmentSite, files, with_node
from tests.samples import private_keys, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

OWN = ("cp-1", "etcd-1", "worker-1")
DAY = timedelta(days=1)
LEAVES = 17
PKI = "etc/kubernetes/pki"


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> EnrolmentSite:
    """Every node that makes its own keys has its certificates; never changed."""
    places = EnrolmentSite.made(tmp_path_factory.mktemp("enrolled"), SPEC)
    for node in OWN:
        places.enrol(node)
    return places


@pytest.fixture(scope="module")
def _small(tmp_path_factory: pytest.TempPathFactory) -> EnrolmentSite:
    return EnrolmentSite.made(tmp_path_factory.mktemp("small") / "site", SMALL)


@pytest.fixture
def small(_small: EnrolmentSite, tmp_path: Path) -> EnrolmentSite:
    """A cluster after `init`, of which one node has still to ask."""
    return _small.copy(tmp_path / "site")


# -- before anything is asked for ---------------------------------------------------------------------


def test_a_tree_that_waits_for_its_nodes_is_right(small: EnrolmentSite) -> None:
    assert small.run("verify", "-C", small.tree).code == 0
    remarks = small.run("verify", "-C", small.tree, "-o", "json").json
    assert remarks["findings"] == []
    assert {each["subject"] for each in remarks["remarks"]} == {
        "worker-1/kubelet-serving",
        "worker-1/kubelet.conf",
    }
    planned = small.run("plan", small.file, "-C", small.tree, "--exit-code")
    assert planned.code == 0
    assert "waiting for worker-1 to request 2 certificates (awaits-request)" in planned.out
    assert "pkigen airgap node request" in planned.out
    structured = small.run("plan", small.file, "-C", small.tree, "-o", "json").json
    assert structured["summary"]["ask"] == 2
    assert [each["action"] for each in structured["waiting"]] == ["ask", "ask"]
    before = snapshot(small.tree)
    assert "nothing to do" in small.good("apply", small.file, "-C", small.tree, "--yes").out
    assert snapshot(small.tree) == before
    assert small.run("status", "-C", small.tree, "--fail-within", "24h").code == 0
    assert "awaits-request" in small.good("status", "-C", small.tree).out
    assert not list(small.tree.glob("nodes/worker-1/**/*.key"))
    assert "made on worker-1, and only there" in small.good("explain", "kubelet.conf", "-C", small.tree).out


def test_there_is_nothing_to_pack_yet(small: EnrolmentSite) -> None:
    packing = ("airgap", "bundle", "create", small.file, "-C", small.tree, "--out", small.medium)
    refused = small.run(*packing, "--node", "worker-1")
    assert refused.code == 1
    assert "worker-1 has not requested its certificates yet" in refused.error
    packed = small.good(*packing)
    assert "note: worker-1 has not requested" in packed.err
    assert not (small.medium / "prod.worker-1.bundle").exists()
    assert (small.medium / "prod.cp-1.bundle").exists()


def test_only_the_node_can_renew(small: EnrolmentSite) -> None:
    renewed = small.run("renew", small.file, "worker-1/kubelet.conf", "-C", small.tree, "--yes")
    assert renewed.code == 2
    assert "is only on worker-1: the node must request" in renewed.error
    assert "pkigen airgap node request" in renewed.hint


# -- the whole way ------------------------------------------------------------------------------------


def test_each_step_says_what_is_carried_where(small: EnrolmentSite) -> None:
    asked = small.good(*small.requesting("worker-1"))
    assert "CN=system:node:worker-1,O=system:nodes" in asked.out
    assert "the private keys stay in" in asked.out
    assert "next: carry the file to the authority" in asked.err
    signer = next(line for line in asked.out.splitlines() if line.startswith("signed by")).split()[-1]
    assert f"pkigen airgap node approve prod.worker-1.request --pin {signer}" in asked.err
    approved = small.good(*small.approving("worker-1", "--pin", signer, "--yes"))
    for shown in ("worker-1/kubelet-serving", "worker-1/kubelet.conf", "server", "client", "10.0.0.21"):
        assert shown in approved.out
    assert "next: carry the file to worker-1; there: `pkigen airgap bundle install" in approved.err
    installed = small.good(*small.installing("worker-1", "--pin", small.pin, "--yes"))
    assert "create /var/lib/kubelet/pki/kubelet.key" in installed.out
    assert "remove /var/lib/pkigen/pending.json" in installed.out
    assert small.run("verify", "-C", small.tree).code == 0
    assert "nothing to do, 41 unchanged" in small.good("plan", small.file, "-C", small.tree).out


def leaves(places: EnrolmentSite, node: str) -> Iterator[tuple[str, bytes, bytes]]:
    """Every leaf certificate of a node's own root, with the public half of the key that stands with it."""
    root = places.root(node)
    for path in files(root):
        if path.suffix == ".crt" and path.with_suffix(".key").exists() and not path.stem.endswith("ca"):
            (key,) = set(private_keys(path.with_suffix(".key").read_bytes()))
            yield str(path.relative_to(root)), path.read_bytes(), key
        elif path.suffix == ".conf":
            (key,) = set(private_keys(path.read_bytes()))
            yield str(path.relative_to(root)), client_certificate_pem(path.read_bytes()), key


def test_what_is_installed_belongs_together(enrolled: EnrolmentSite) -> None:
    found = [each for node in OWN for each in leaves(enrolled, node)]
    assert len(found) == LEAVES
    for path, pem, key in found:
        assert public_der(x509.load_pem_x509_certificate(pem).public_key()) == key, path
    assert len({key for _, _, key in found}) == LEAVES


def test_openssl_accepts_every_chain_and_no_other(enrolled: EnrolmentSite, tmp_path: Path) -> None:
    verdicts = {True: 0, False: 0}
    leaf = tmp_path / "leaf.pem"
    command = ["openssl", "verify", "-x509_strict", "-attime", str(int(enrolled.now.timestamp())), "-CAfile"]
    for node in OWN:
        for path, pem, _ in leaves(enrolled, node):
            leaf.write_bytes(pem)
            name = "etcd/ca" if "/etcd/" in path or "etcd-client" in path else "ca"
            name = "front-proxy-ca" if "front-proxy-client" in path else name
            for bundle in ("ca", "etcd/ca", "front-proxy-ca"):
                trusted = (enrolled.root(node) if bundle == name else enrolled.root("cp-1")) / PKI / bundle
                done = subprocess.run(
                    [*command, f"{trusted}.crt", str(leaf)], capture_output=True, check=False, text=True
                )
                assert (done.returncode == 0) is (bundle == name), (path, bundle, done.stderr)
                verdicts[done.returncode == 0] += 1
    assert verdicts == {True: LEAVES, False: 2 * LEAVES}


def test_the_installed_trees_pass_verification(enrolled: EnrolmentSite, tmp_path: Path) -> None:
    """With what is on the nodes put in place of what the authority has, as if it had made all of it."""
    tree = tmp_path / "prod"
    shutil.copytree(enrolled.tree, tree)
    spec = copy.deepcopy(SPEC)
    del spec["spec"]["certificates"]["nodeKeys"]
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    before = enrolled.run("verify", "-C", tree, tmp_path / "spec.json", "-o", "json")
    assert "key-missing" in {each["reason"] for each in before.json["findings"]}  # the control
    for node in OWN:
        shutil.rmtree(tree / "nodes" / node)
        shutil.copytree(enrolled.root(node), tree / "nodes" / node)
        shutil.rmtree(tree / "nodes" / node / "var/lib/pkigen")
    done = enrolled.run("verify", "-C", tree, tmp_path / "spec.json", "-o", "json")
    assert {each["subject"] for each in done.json["findings"]} == {"pki.lock"}  # it knows another spec


def test_modes_are_kubeadms(enrolled: EnrolmentSite) -> None:
    for node in OWN:
        for path in files(enrolled.root(node)):
            mode = stat.S_IMODE(path.stat().st_mode)
            if set(private_keys(path.read_bytes())) or path.name in {"request.key", "identity.age"}:
                assert mode == 0o600, path
            elif path.suffix == ".crt":
                assert mode == 0o644, path


def test_no_key_of_a_node_is_ever_anywhere_else(enrolled: EnrolmentSite) -> None:
    """Every byte of the authority's directory and of the medium; bundles also as their node opens them."""
    authority = {key for path in files(enrolled.tree / "pki") for key in private_keys(path.read_bytes())}
    assert len(authority) == 4  # three CAs and the service account key
    born: set[bytes] = set()
    lines_of: dict[bytes, set[bytes]] = {}
    for node in OWN:
        for path in files(enrolled.root(node)):
            data = path.read_bytes()
            for key in set(private_keys(data)) - authority:
                born.add(key)
                if path.suffix in {".key", ".conf"}:
                    lines_of[key] = key_lines(data)
    assert len(born) == len(lines_of) == LEAVES
    lines = set().union(*lines_of.values())
    looked = 0
    for name, data in everywhere_else(enrolled):
        looked += 1
        assert not set(private_keys(data)) & born, name
        assert not any(line in data for line in lines), name
    assert looked > 100
    # The control: the same look does see them where they are.
    root = enrolled.root("worker-1")
    assert set(private_keys((root / "etc/kubernetes/kubelet.conf").read_bytes())) & born


def key_lines(data: bytes) -> set[bytes]:
    """The lines of a private key's PEM, also where it stands in a kubeconfig."""
    embedded = client_key_pem(data)
    pem = embedded if embedded is not None else data
    return {line for line in pem.splitlines() if len(line) > 40 and b" " not in line}


def everywhere_else(places: EnrolmentSite) -> Iterator[tuple[str, bytes]]:
    for path in (*files(places.tree), *files(places.medium)):
        yield str(path), path.read_bytes()
    for node in OWN:
        identity = Identity.of_file((places.root(node) / "var/lib/pkigen/identity.age").read_bytes(), node)
        envelope = unwrap((places.medium / f"prod.{node}.bundle").read_bytes(), pin=places.pin)
        for member in decode(identity.open(envelope.sealed)):
            yield f"{node}: {member.path}", member.data
        yield (
            f"{node}: request",
            unwrap((places.medium / f"prod.{node}.request").read_bytes(), pin=None).sealed,
        )


def test_an_approval_is_on_record(enrolled: EnrolmentSite) -> None:
    lines = [json.loads(line) for line in (enrolled.tree / ".pkigen/ledger.jsonl").read_bytes().splitlines()]
    approved = [each for each in lines if each["event"] == "approved"]
    assert [each["id"] for each in approved] == list(OWN)
    for each in approved:
        assert re.fullmatch(r"[0-9a-f]{32}", each["nonce"])
        assert each["recipient"].startswith("age1")
    lock = json.loads((enrolled.tree / "pki.lock").read_bytes())
    assert "worker-1/kubelet.conf" in lock["certificates"]
    assert "nodes/worker-1/var/lib/kubelet/pki/kubelet.crt" in lock["files"]
    assert "nodes/worker-1/var/lib/kubelet/pki/kubelet.key" not in lock["files"]


# -- later --------------------------------------------------------------------------------------------


def worker(places: EnrolmentSite) -> dict[str, bytes]:
    """What the kubelet of worker-1 uses."""
    root = places.root("worker-1")
    names = (
        "etc/kubernetes/kubelet.conf",
        "var/lib/kubelet/pki/kubelet.crt",
        "var/lib/kubelet/pki/kubelet.key",
    )
    return {name: (root / name).read_bytes() for name in names}


def keys(used: dict[str, bytes]) -> list[set[bytes]]:
    return [set(private_keys(data)) for data in used.values()]


def test_a_second_request_renews_with_new_keys_and_can_be_undone(small: EnrolmentSite) -> None:
    small.enrol("worker-1")
    first = worker(small)
    small.now += DAY
    small.request("worker-1")
    assert worker(small) == first, "what is in use stays until the install"
    small.good(*small.approving("worker-1", "--yes"))  # the node's key is known by now
    assert worker(small) == first
    small.good(*small.installing("worker-1", "--yes"))
    second = worker(small)
    assert all(first[name] != second[name] for name in first)
    assert all(not one & two for one, two in zip(keys(first), keys(second), strict=True) if one)
    assert small.run("verify", "-C", small.tree).code == 0
    small.good("airgap", "bundle", "rollback", "--root", small.root("worker-1"), "--yes")
    assert worker(small) == first
    assert (small.root("worker-1") / "var/lib/pkigen/pending.json").exists()
    small.good(*small.installing("worker-1", "--yes", "--allow-older"))
    assert worker(small) == second


def test_the_first_install_can_be_undone(small: EnrolmentSite) -> None:
    small.enrol("worker-1")
    rollback = ("airgap", "bundle", "rollback", "--root", small.root("worker-1"), "--yes")
    assert "; what was replaced is in backup 2" in small.good(*rollback).out
    left = {path.name for path in files(small.root("worker-1")) if "store" not in path.parts}
    assert left == {"pending.json", "request.key", "identity.age"}
    small.good(*small.installing("worker-1", "--pin", small.pin, "--yes"))


def test_keys_can_be_kept(small: EnrolmentSite) -> None:
    small.enrol("worker-1")
    first = worker(small)
    small.now += DAY
    small.request("worker-1", "--reuse-keys")
    small.good(*small.approving("worker-1", "--yes"))
    small.good(*small.installing("worker-1", "--yes"))
    second = worker(small)
    assert keys(first) == keys(second)
    assert first["var/lib/kubelet/pki/kubelet.crt"] != second["var/lib/kubelet/pki/kubelet.crt"]
    assert not (small.root("worker-1") / "var/lib/pkigen/pending.json").exists()


def test_keys_of_another_kind_are_not_kept(small: EnrolmentSite) -> None:
    small.enrol("worker-1")
    first = worker(small)
    spec = copy.deepcopy(small.spec)
    spec["spec"]["certificates"] = {"overrides": {"kubelet-serving": {"keyAlgorithm": "ECDSA-P384"}}}
    small.now += DAY
    small.write_spec(spec)
    small.good("apply", small.file, "-C", small.tree, "--yes", "--force")
    small.request("worker-1", "--reuse-keys")
    small.good(*small.approving("worker-1", "--yes"))
    small.good(*small.installing("worker-1", "--yes"))
    second = worker(small)
    same = [one == two for one, two in zip(keys(first), keys(second), strict=True)]
    assert same == [True, True, False]  # kubelet.conf's, none in the certificate, the serving key


def test_what_is_around_the_keys_changes_without_a_request(small: EnrolmentSite) -> None:
    small.enrol("worker-1")
    first = worker(small)
    small.now += DAY
    spec = copy.deepcopy(small.spec)
    spec["spec"]["controlPlaneEndpoint"] = "api.prod.example.com:6443"
    small.write_spec(spec)
    small.good("apply", small.file, "-C", small.tree, "--yes")
    packing = ("airgap", "bundle", "create", small.file, "-C", small.tree, "--out", small.medium)
    small.good(*packing, "--node", "worker-1")  # sealed to the recipient that the node has named
    shown = small.good(
        *("airgap", "bundle", "diff", small.medium / "prod.worker-1.bundle"),
        *("--root", small.root("worker-1"), "--node", "worker-1"),
    )
    assert "replace /etc/kubernetes/kubelet.conf" in shown.out
    assert "kubelet.key" not in shown.out
    small.good(*small.installing("worker-1", "--yes"))
    second = worker(small)
    assert b"api.prod.example.com" in second["etc/kubernetes/kubelet.conf"]
    assert keys(first) == keys(second)


@pytest.mark.parametrize("began", ["embedded", "files"])
def test_a_key_moves_on_its_node_when_its_place_changes(tmp_path: Path, began: str) -> None:
    """Without a request: from the kubeconfig to the file that it names from now on, or back."""
    places = EnrolmentSite.made(tmp_path / "site", with_kubeconfigs(SMALL, began))
    places.enrol("worker-1")
    first = client_key(places.root("worker-1"))
    places.now += DAY
    places.write_spec(with_kubeconfigs(places.spec, {"embedded": "files", "files": "embedded"}[began]))
    planned = places.run("plan", places.file, "-C", places.tree, "--full")
    assert "rewrite worker-1/kubelet.conf (location-changed)" in planned.out
    assert "    it moves from " in planned.out
    places.good("apply", places.file, "-C", places.tree, "--yes")
    packing = ("airgap", "bundle", "create", places.file, "-C", places.tree, "--out", places.medium)
    places.good(*packing, "--node", "worker-1")
    places.good(*places.installing("worker-1", "--yes"))
    assert client_key(places.root("worker-1")) == first
    assert places.run("verify", "-C", places.tree).code == 0


def with_kubeconfigs(spec: dict[str, Any], how: str) -> dict[str, Any]:
    changed = copy.deepcopy(spec)
    changed["spec"]["certificates"] = {"kubeconfigs": how}
    return changed


def client_key(root: Path) -> bytes:
    """The key that a kubelet's kubeconfig embeds or names, which is in one place alone."""
    embedded = client_key_pem((root / "etc/kubernetes/kubelet.conf").read_bytes())
    named = root / PKI / "kubelet/client.key"
    assert (embedded is None) is named.exists()
    if embedded is not None:
        return embedded
    assert stat.S_IMODE(named.stat().st_mode) == 0o600
    return named.read_bytes()


def test_a_changed_name_waits_for_the_node(small: EnrolmentSite) -> None:
    small.enrol("worker-1")
    small.now += DAY
    small.write_spec(with_node(small.spec, "worker-1", certSANs=["worker-1.example.com"]))
    planned = small.good("plan", small.file, "-C", small.tree)
    assert "waiting for worker-1 to request 1 certificate (sans-changed)" in planned.out
    small.good("apply", small.file, "-C", small.tree, "--yes")
    small.enrol("worker-1")
    certificate = worker(small)["var/lib/kubelet/pki/kubelet.crt"]
    names = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "worker-1.example.com" in names.value.get_values_for_type(x509.DNSName)
    assert small.run("verify", "-C", small.tree).code == 0


def test_what_is_due_waits_for_the_node(small: EnrolmentSite) -> None:
    small.enrol("worker-1")
    small.now += 350 * DAY
    planned = small.good("plan", small.file, "-C", small.tree)
    assert "waiting for worker-1 to request 2 certificates (expires-soon)" in planned.out
    assert small.run("status", "-C", small.tree, "--fail-within", "720h").code == 4


def test_approving_again_issues_nothing(small: EnrolmentSite) -> None:
    small.request("worker-1")
    signer = small.request("worker-1")  # the same file again, for it waits
    small.good(*small.approving("worker-1", "--pin", signer, "--yes"))
    before = snapshot(small.tree)
    (small.medium / "prod.worker-1.bundle").unlink()
    again = small.good(*small.approving("worker-1"))  # nobody is asked: there is nothing to agree to
    assert "approved before: nothing is issued" in again.err
    assert snapshot(small.tree) == before
    small.good(*small.installing("worker-1", "--pin", small.pin, "--yes"))


def test_the_same_request_is_handed_out_until_it_is_answered(small: EnrolmentSite) -> None:
    small.request("worker-1")
    file = small.medium / "prod.worker-1.request"
    first = file.read_bytes()
    file.unlink()
    small.now += DAY
    again = small.good(*small.requesting("worker-1"))
    assert "this is the pending request of" in again.err
    assert file.read_bytes() == first
    small.request("worker-1", "--anew")
    assert file.read_bytes() != first


def test_keys_that_the_authority_had_are_given_up(small: EnrolmentSite) -> None:
    """A node whose keys were made at the authority makes its own from now on."""
    small.enrol("worker-1")
    packing = ("airgap", "bundle", "create", small.file, "-C", small.tree, "--out", small.medium)
    small.good(*packing, "--node", "cp-1")
    small.good(*small.installing("cp-1", "--pin", small.pin, "--yes"))
    small.now += DAY
    before = small.spec
    small.write_spec(with_node(small.spec, "cp-1", keys="node"))
    planned = small.good("plan", small.file, "-C", small.tree, "--full")
    assert "remove nodes/cp-1/etc/kubernetes/pki/apiserver.key" in planned.out
    assert "rewrite cp-1/admin.conf (key-not-alone)" in planned.out
    small.good("apply", small.file, "-C", small.tree, "--yes")
    assert small.run("verify", "-C", small.tree).code == 0
    nodes = small.tree / "nodes/cp-1"
    assert not [
        path for path in files(nodes) if path.suffix == ".key" and "ca" not in path.stem and path.stem != "sa"
    ]
    assert with_client_key((nodes / "etc/kubernetes/admin.conf").read_bytes(), b"") is not None
    # What the node has still fits: files around its keys can be sent.
    small.good(*packing, "--node", "cp-1")
    diff = (
        "airgap",
        "bundle",
        "diff",
        small.medium / "prod.cp-1.bundle",
        "--root",
        small.root("cp-1"),
        "--node",
        "cp-1",
    )
    assert "0 files to change" in small.good(*diff).out
    old = {key for path in files(small.root("cp-1")) for key in private_keys(path.read_bytes())}
    small.enrol("cp-1")
    new = {
        key
        for path in files(small.root("cp-1"))
        if "store" not in path.parts
        for key in private_keys(path.read_bytes())
    }
    assert len(old & new) == 2  # the cluster CA's and the service accounts'
    assert small.run("verify", "-C", small.tree).code == 0
    # And back: the authority makes keys again.
    small.write_spec(before)
    small.good("apply", small.file, "-C", small.tree, "--yes", "--force")
    assert small.run("verify", "-C", small.tree).code == 0
    assert (nodes / "etc/kubernetes/pki/apiserver.key").exists()


def test_a_key_that_strays_into_the_tree_is_found(small: EnrolmentSite) -> None:
    small.enrol("worker-1")
    root, tree = small.root("worker-1"), small.tree / "nodes/worker-1"
    shutil.copy(root / "var/lib/kubelet/pki/kubelet.key", tree / "var/lib/kubelet/pki/kubelet.key")
    found = small.run("verify", "-C", small.tree)
    assert found.code == 4
    assert "unexpected-key" in found.out
    (tree / "var/lib/kubelet/pki/kubelet.key").unlink()
    shutil.copy(root / "etc/kubernetes/kubelet.conf", tree / "etc/kubernetes/kubelet.conf")
    found = small.run("verify", "-C", small.tree)
    assert found.code == 4
    assert "key-not-alone" in found.out
    small.good("apply", small.file, "-C", small.tree, "--yes")
    assert small.run("verify", "-C", small.tree).code == 0


def test_a_rotation_waits_for_the_nodes_that_ask(small: EnrolmentSite) -> None:
    rotate = ("rotate", "ca", "kubernetes", small.file, "-C", small.tree, "--yes", "--assume-distributed")
    small.good(*rotate, "--phase", "prepare")  # a node that has not asked yet is in nobody's way
    small.enrol("worker-1")
    small.now += DAY
    runbook = small.base / "runbook"
    small.good(*rotate, "--phase", "promote", "--runbook", runbook)
    text = "".join(path.read_text() for path in files(runbook))
    assert "pkigen airgap bundle create --node worker-1" in text
    assert "rsync -rpt --delay-updates --chown=root:root nodes/worker-1/" not in text
    assert "nodes/cp-1/" in text
    assert small.run("verify", "-C", small.tree).code == 4  # its certificate is of the previous CA
    refused = small.run(*rotate, "--phase", "finish")
    assert refused.code == 1
    assert "would break a connection" in refused.error
    assert "worker-1" in refused.error
    small.request("worker-1")
    small.good(*small.approving("worker-1", "--yes"))
    small.good(*small.installing("worker-1", "--yes"))
    small.good(*rotate, "--phase", "finish")
    assert small.run("verify", "-C", small.tree).code == 0


def test_without_ca_keys_nothing_secret_is_carried_but_the_service_account_key(tmp_path: Path) -> None:
    spec = copy.deepcopy(SMALL)
    spec["spec"]["certificates"] = {"nodeKeys": "node", "distributeCAKeys": False}
    spec["spec"]["nodes"] = spec["spec"]["nodes"][:1]
    places = EnrolmentSite.made(tmp_path / "site", spec)
    places.enrol("cp-1")
    identity = Identity.of_file((places.root("cp-1") / "var/lib/pkigen/identity.age").read_bytes(), "cp-1")
    envelope = unwrap((places.medium / "prod.cp-1.bundle").read_bytes(), pin=places.pin)
    carried = {key for member in decode(identity.open(envelope.sealed)) for key in private_keys(member.data)}
    assert carried == set(private_keys((places.tree / "pki/sa.key").read_bytes()))
    assert places.run("verify", "-C", places.tree).code == 0


def test_names_come_from_the_host_and_the_default_identity(
    small: EnrolmentSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "WORKER-1")
    root = small.root("worker-1")
    made = small.good("airgap", "node", "identity", "--root", root).out.strip()
    small.good("airgap", "node", "request", small.file, "--root", root, "--out", small.medium)
    request = (small.medium / "prod.worker-1.request").read_bytes()
    assert made.encode() in request
    other = small.base / "other.age"
    other.write_text(Identity.generate().text)
    other.chmod(0o600)
    asked = ("airgap", "node", "request", small.file, "--root", root, "--out", small.medium, "--anew")
    small.good(*asked, "--identity", other)
    assert made.encode() not in (small.medium / "prod.worker-1.request").read_bytes()


def test_an_encrypted_authority_is_opened_to_approve(tmp_path: Path) -> None:
    spec = copy.deepcopy(SMALL)
    spec["spec"]["nodes"] = [{**spec["spec"]["nodes"][0], "keys": "node"}]
    spec["spec"]["certificates"] = {"distributeCAKeys": False}
    owner = tmp_path / "owner.age"
    identity = Identity.generate()
    owner.write_text(identity.text)
    owner.chmod(0o600)
    places = EnrolmentSite.made(
        tmp_path / "site", spec, "--encrypt-authority", "--recipient", identity.recipient.text
    )
    signer = places.request("cp-1")
    approving = places.approving("cp-1", "--pin", signer, "--yes")
    before = snapshot(places.tree)
    refused = places.run(*approving)
    assert refused.code == 2
    assert "encrypted for an age identity" in refused.error
    assert snapshot(places.tree) == before
    places.good(*approving, "--identity", owner)
    pin = fingerprint(unwrap((places.medium / "prod.cp-1.bundle").read_bytes(), pin=None).public)
    places.good(*places.installing("cp-1", "--pin", pin, "--yes"))
    assert not (places.root("cp-1") / PKI / "ca.key").exists()
    assert (places.root("cp-1") / PKI / "sa.key").read_bytes().startswith(b"-----BEGIN EC PRIVATE KEY-----")
    assert places.run("verify", "-C", places.tree).code == 0
