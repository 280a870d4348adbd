"""`renew --all` of an adopted cluster beside `kubeadm certs renew all` on the same files."""

from __future__ import annotations

import base64
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509

from pkigen.crypto.keys import describe, load_private, public_der
from pkigen.crypto.names import extension_of
from tests.adoption import kubeadm_trees
from tests.adoption.altered_nodes import DAY, PKI, AlteredNode, moment, sans
from tests.adoption.test_adopt import Adopted, contents
from tests.adoption.test_clean_trees import CLUSTERS, remarkable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.live

Facts = dict[str, Any]

DELIBERATE = {
    "subjectKeyIdentifier": "RFC 5280 4.2.1.2 recommends it for leaves; kubeadm's have none",
    "keyUsage": "keyEncipherment is for RSA keys alone (RFC 8813 3); kubeadm gives it to ECDSA keys",
    "names": "with two kinds of addresses, the Service's address of the second kind is named too",
}
"""What a certificate that pkigen renews has otherwise than one that kubeadm renews, and why."""
ONLY_PKIGEN = {
    "kubelet.conf": "kubeadm never renews it; it is renewed here unless the kubelet renews its own",
    "pki/apiserver-etcd-client.crt": "kubeadm leaves it to who runs etcd, and these are adopted nodes",
}
"""What pkigen renews and kubeadm does not, and why."""
ONLY_KUBEADM = {
    "pki/apiserver-etcd-client.crt": "kubeadm's guide makes it on a node of etcd, where nothing reads it",
}


# -- trees --------------------------------------------------------------------------------------------------


def _configured(name: str) -> Callable[[Path, Path], None]:
    def make(place: Path, _: Path) -> None:
        address, cluster = CLUSTERS[name]
        root = kubeadm_trees.control_plane(place / "cp-1", address=address, cluster=cluster)
        if name == "external etcd":
            kubeadm_trees.external_etcd_client(root)

    return make


def _whole(place: Path, of_kubeadm: Path) -> None:
    for node in of_kubeadm.iterdir():
        shutil.copytree(node, place / node.name, symlinks=True)


def _rotated(place: Path, of_kubeadm: Path) -> None:
    _whole(place, of_kubeadm)
    issuer = AlteredNode(root=of_kubeadm / "cp-1", now=moment()).issuer()
    for name in ("cp-1", "cp-2"):
        kubeadm_trees.rotated_kubelet(place / name, issuer)
    # kubeadm names the file itself when a worker joins.
    AlteredNode(root=place / "worker-1", now=moment()).rotate_kubelet(issuer)


def _renewed(place: Path, of_kubeadm: Path) -> None:
    _whole(place, of_kubeadm)
    for name in ("cp-1", "cp-2", "cp-3"):
        kubeadm_trees.run(place / name, *["certs", "renew", "all", "--config", "/kubeadm.yaml"])


def _apart(place: Path, _: Path) -> None:
    kubeadm_trees.dedicated_etcd(place, members=3)


TREES: dict[str, Callable[[Path, Path], None]] = {
    **{name: _configured(name) for name in CLUSTERS},
    "three control planes and a worker": _whole,
    "kubelets that have rotated": _rotated,
    "renewed by kubeadm before": _renewed,
    "etcd on nodes of its own": _apart,
}


# -- what is compared ---------------------------------------------------------------------------------------


def facts(certificate: x509.Certificate) -> Facts:
    """What a certificate says, but for its serial number, its key and the moment."""
    usages = extension_of(certificate, x509.ExtendedKeyUsage)
    names = extension_of(certificate, x509.SubjectAlternativeName)
    authority = extension_of(certificate, x509.AuthorityKeyIdentifier)
    usage = extension_of(certificate, x509.KeyUsage)
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "names": sorted(map(str, names.value)) if names is not None else None,
        "extendedKeyUsage": list(usages.value) if usages is not None else None,
        "keyUsage": (usage.critical, usage.value) if usage is not None else None,
        "basicConstraints": extension_of(certificate, x509.BasicConstraints),
        "authorityKeyIdentifier": authority.value.key_identifier if authority is not None else None,
        "subjectKeyIdentifier": extension_of(certificate, x509.SubjectKeyIdentifier) is not None,
        "key": describe(certificate.public_key()),
        "signature": certificate.signature_algorithm_oid,
        "days": (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days,
        "version": certificate.version,
        "extensions": {
            each.oid.dotted_string: each.critical
            for each in certificate.extensions
            if not isinstance(each.value, x509.SubjectKeyIdentifier)
        },
    }


def differing(theirs: x509.Certificate, ours: x509.Certificate) -> set[str]:
    one, other = facts(theirs), facts(ours)
    return {name for name in one if one[name] != other[name]}


def certificate_of(data: bytes) -> x509.Certificate:
    """The certificate of a file, or of a kubeconfig's user; its key, where it is with it, belongs to it."""
    if b"BEGIN CERTIFICATE" in data:
        return x509.load_pem_x509_certificate(data)
    user = yaml.safe_load(data)["users"][0]["user"]
    certificate = x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"]))
    key = load_private(base64.b64decode(user["client-key-data"]))
    assert public_der(key.public_key()) == public_der(certificate.public_key())
    return certificate


def without_credential(data: bytes, tree: str) -> list[bytes]:
    """A kubeconfig's lines but for the two that renewal changes."""
    if tree == "other names and flags":
        # kubeadm lets them dial 6443 where `secure-port` is another; pkigen, what the server listens on.
        data = data.replace(b":8443", b":6443")
    fields = (b"client-certificate-data:", b"client-key-data:")
    return [line for line in data.splitlines() if not line.strip().startswith(fields)]


def renewed_by_kubeadm(place: Path) -> None:
    for node in place.iterdir():
        if (node / "etc/kubernetes/manifests/etcd.yaml").exists() or (
            node / "etc/kubernetes/admin.conf"
        ).exists():
            kubeadm_trees.run(node, *["certs", "renew", "all", "--config", "/kubeadm.yaml"])


def files_of(node: Path) -> dict[str, tuple[bytes, int]]:
    """What a node has below /etc and /opt."""
    return {
        f"{top}/{path}": content
        for top in ("etc", "opt")
        if (node / top).exists()
        for path, content in contents(node / top).items()
    }


def changed(before: dict[str, tuple[bytes, int]], after: dict[str, tuple[bytes, int]]) -> set[str]:
    assert set(before) == set(after)
    assert {path: mode for path, (_, mode) in before.items()} == {
        path: mode for path, (_, mode) in after.items()
    }
    return {path for path, (data, _) in before.items() if after[path][0] != data}


def shown(paths: set[str]) -> set[str]:
    """Certificates and kubeconfigs, without the keys, which change with them."""
    return {path for path in paths if not path.endswith(".key")}


@pytest.fixture
def adopted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Adopted:
    return Adopted(tmp_path, moment(), capsys)


@pytest.mark.parametrize("tree", TREES)
def test_renewal_gives_what_kubeadm_gives(
    tree: str, of_kubeadm: Path, tmp_path: Path, adopted: Adopted
) -> None:
    nodes, theirs = tmp_path / "nodes", tmp_path / "theirs"
    TREES[tree](nodes, of_kubeadm)
    assert remarkable(nodes, moment()) == []
    shutil.copytree(nodes, theirs, symlinks=True)
    renewed_by_kubeadm(theirs)

    assert adopted.adopt(nodes) == 0, adopted.err
    assert adopted.planned() == []
    taken = adopted.root / "nodes"
    authority = contents(adopted.root / "pki")
    before = {node.name: files_of(node) for node in taken.iterdir()}
    assert adopted.run("renew", "--all", "-C", str(adopted.root), "--yes") == 0, adopted.err
    assert contents(adopted.root / "pki") == authority
    after = {node.name: files_of(node) for node in taken.iterdir()}
    compared = 0
    for node in nodes.iterdir():
        found, made = files_of(node), files_of(theirs / node.name)
        kubeadms = shown(changed(found, made))
        pkigens = shown(changed(before[node.name], after[node.name]))
        assert {name.removeprefix("etc/kubernetes/") for name in pkigens - kubeadms} <= set(ONLY_PKIGEN), (
            node.name
        )
        assert {name.removeprefix("etc/kubernetes/") for name in kubeadms - pkigens} <= set(ONLY_KUBEADM), (
            node.name
        )
        for path in kubeadms & pkigens:
            compared += 1
            one, other = certificate_of(made[path][0]), certificate_of(after[node.name][path][0])
            assert differing(one, other) <= deliberate(other, tree), path
            assert other.serial_number.bit_length() > 64
            if path.endswith(".conf"):
                one_text, other_text = made[path][0], after[node.name][path][0]
                assert without_credential(one_text, tree) == without_credential(other_text, tree), path
    assert compared >= 7
    assert adopted.planned() == []
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out


def deliberate(certificate: x509.Certificate, tree: str) -> set[str]:
    """What may differ: RSA keys have all usages, and names differ where there are two kinds of addresses."""
    is_rsa = facts(certificate)["key"].startswith("RSA")
    is_named = tree == "dual stack" and "kube-apiserver" in certificate.subject.rfc4514_string()
    return set(DELIBERATE) - ({"keyUsage"} if is_rsa else set()) - (set() if is_named else {"names"})


def test_what_differs_is_noticed(of_kubeadm: Path, tmp_path: Path) -> None:
    """The control: a renewal with another name, another usage or another issuer is not taken for the same."""
    shutil.copytree(of_kubeadm / "cp-1", tmp_path / "cp-1", symlinks=True)
    node = AlteredNode(root=tmp_path / "cp-1", now=moment())
    before = node.certificate("pki/apiserver.crt")
    for changes, name in (
        ({"names": sans("elsewhere.example.com")}, "names"),
        ({"usages": None}, "extendedKeyUsage"),
        ({"validity": (node.now, node.now + 9 * DAY)}, "days"),
    ):
        node.reissue("apiserver", node.issuer(), **changes)
        assert name in differing(before, node.certificate("pki/apiserver.crt"))
    node.reissue("apiserver", node.issuer("front-proxy-ca"))
    assert "issuer" in differing(before, node.certificate("pki/apiserver.crt"))


# -- an external CA -----------------------------------------------------------------------------------------


@pytest.fixture(params=["requests that openssl signed", "keys that were taken away"])
def external(request: pytest.FixtureRequest, of_kubeadm: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A node without CA keys, and where the CAs are."""
    kubeadm_trees.kubeadm()
    root, authority = tmp_path / "nodes/cp-1", tmp_path / "authority"
    if request.param.startswith("requests"):
        kubeadm_trees.external_ca(root, authority)
    else:
        shutil.copytree(of_kubeadm / "cp-1", root, symlinks=True)
        shutil.copytree(of_kubeadm / "cp-1" / PKI, authority / PKI)
        for name in ("ca", "front-proxy-ca", "etcd/ca"):
            (root / PKI / f"{name}.key").unlink()
        kubeadm_trees.run(root, *["init", "phase", "control-plane", "all", "--config", "/kubeadm.yaml"])
    return root, authority / PKI


def test_an_external_ca_renews_what_kubeadm_cannot(
    external: tuple[Path, Path], tmp_path: Path, adopted: Adopted
) -> None:
    root, authority = external
    assert remarkable(root.parent, moment()) == []
    assert adopted.adopt(root.parent) == 0, adopted.err
    assert adopted.planned() == []
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out
    before = contents(adopted.root / "nodes")
    # kubeadm renews nothing; pkigen neither, and says what would.
    found = contents(root)
    kubeadm_trees.run(root, *["certs", "renew", "all", "--config", "/kubeadm.yaml"])
    assert contents(root) == found
    assert adopted.run("renew", "--all", "-C", str(adopted.root), "--yes") == 1
    assert "need a certificate from the offline authority" in adopted.err
    assert contents(adopted.root / "nodes") == before
    # The CAs sign on their own machine, as kubeadm would have with their keys on the node.
    offline = tmp_path / "kubernetes-authority"
    shutil.copytree(authority, offline / "pki", ignore=_all_but_cas)
    for path in (offline, *offline.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    spec = str(adopted.spec)
    making = ("airgap", "authority", "init", spec, "--authority", str(offline), "-o", "json")
    assert adopted.run(*making) == 0, adopted.err
    key = json.loads(adopted.out)["authorityKey"]
    asked = ("airgap", "authority", "request", "--within", "20000h", "-C", str(adopted.root), "-o", "json")
    assert adopted.run(*asked) == 0, adopted.err
    pin = json.loads(adopted.out)["siteKey"]
    request = tmp_path / "prod.request"
    signing = ("airgap", "authority", "sign", str(request), "--spec", spec, "--authority", str(offline))
    assert adopted.run(*signing, "--pin", pin, "--yes") == 0, adopted.err
    accepting = (
        "airgap",
        "authority",
        "accept",
        str(tmp_path / "prod.answer"),
        "-C",
        str(adopted.root),
        "--yes",
    )
    assert adopted.run(*accepting, "--pin", key) == 0, adopted.err
    after = contents(adopted.root / "nodes")
    # openssl was not told to write that a leaf is no CA.
    allowed = {*DELIBERATE, "days", "basicConstraints", "extensions"} - {"names"}
    for path in shown(changed(before, after)):
        assert differing(certificate_of(before[path][0]), certificate_of(after[path][0])) <= allowed, path
    assert len(shown(changed(before, after))) == 12
    assert adopted.run("verify", "-C", str(adopted.root)) == 0, adopted.out


def _all_but_cas(_: str, names: list[str]) -> set[str]:
    kept = {"ca.crt", "ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "etcd"}
    return set(names) - kept
