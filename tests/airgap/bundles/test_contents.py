"""Least keys: what each bundle holds, found by looking for private keys in all of its bytes."""

from __future__ import annotations

import base64
import re
import stat
from pathlib import Path

import pytest
from cryptography import x509

from pkigen.airgap.bundles.contents import pack
from pkigen.airgap.bundles.install import compare
from pkigen.airgap.carrier.archive import decode
from pkigen.airgap.carrier.cluster_key import bundle_key
from pkigen.airgap.carrier.paths import RUNBOOK
from pkigen.crypto.keys import public_der
from pkigen.desired.certificates import CERTIFICATES
from pkigen.errors import BundleError
from pkigen.reconcile.risks import risks
from pkigen.spec.loader import load
from pkigen.spec.model import Role
from pkigen.spec.validation import findings
from pkigen.store import Store
from tests.airgap.bundles.bundle_site import BundleSite, looking, put
from tests.samples import CP1, CP2, CP3, ENDPOINT, NOW, W1, W2, Unsynced, node, private_keys

EXAMPLES = sorted(
    path
    for path in (Path(__file__).resolve().parents[3] / "examples").glob("*.yaml")
    # Nodes that make their own keys have to ask first: that is in test_enrolment.py.
    if path.is_file() and path.stem != "node-keys"
)


@pytest.fixture(
    scope="module",
    params=[None, *EXAMPLES],
    ids=lambda path: path.name if path else "encryption",
)
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> BundleSite:
    """A cluster with everything, and those of the examples: all runtimes, stacked and external etcd."""
    root = tmp_path_factory.mktemp("large") / "prod"
    if request.param is not None:
        return BundleSite.of(root, load(request.param, kinds=CERTIFICATES).spec)
    settings = {**ENDPOINT, "encryption": {}}
    return BundleSite.made(root, CP1, CP2, CP3, W1, W2, node("etcd-1", "10.0.0.31", "etcd"), **settings)


def keys_of(site: BundleSite, name: str) -> set[bytes]:
    return {key for member in decode(site.packed(name).archive) for key in private_keys(member.data)}


def test_no_bundle_holds_another_nodes_key_and_no_workers_a_cas(large: BundleSite) -> None:
    authorities = {
        public_der(x509.load_pem_x509_certificate(path.read_bytes()).public_key())
        for path in large.world.path("pki").rglob("*ca.crt")
    }
    shared = set(private_keys(large.world.read("pki/sa.key"))) | authorities
    seed = large.world.read("pki/bundle.key")
    found: dict[str, set[bytes]] = {}
    for each in large.world.cluster.spec.nodes:
        archive = large.packed(each.name).archive
        assert seed not in archive
        found[each.name] = keys_of(large, each.name)
        own = {
            key
            for path in large.world.path(f"nodes/{each.name}").rglob("*")
            if path.is_file()
            for key in private_keys(path.read_bytes())
        }
        assert found[each.name] == own
    roles = {each.name: each.roles for each in large.world.cluster.spec.nodes}
    for name, keys in found.items():
        assert keys, name
        others = set().union(*(other for third, other in found.items() if third != name))
        assert (keys & others) <= shared, name
        assert bool(keys & authorities) == (Role.CONTROL_PLANE in roles[name]), name
        if Role.CONTROL_PLANE not in roles[name]:
            assert not keys & shared, name


def test_every_bundle_opens_at_its_node_and_at_no_other(large: BundleSite) -> None:
    """The paths of every example are of the layout that a node takes."""
    names = [each.name for each in large.world.cluster.spec.nodes]
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        data = large.bundle(name)
        assert large.opened(data, name).files
        if other != name:
            with pytest.raises(BundleError, match="not sealed to this host's identity"):
                large.opened(data, other)


def test_the_scan_finds_a_key_that_does_not_belong(site: BundleSite) -> None:
    """The control: a CA key, as PEM and as a kubeconfig would hold it, in a worker's file."""
    pem = site.world.read("pki/ca.key")
    (expected,) = private_keys(pem)
    for planted in (pem, b"client-key-data: " + base64.b64encode(pem)):
        assert set(private_keys(b"text\n" + planted + b"\n")) == {expected}


def test_the_bundle_is_the_nodes_tree_and_its_runbook(site: BundleSite) -> None:
    manifest = site.packed("worker-1").manifest
    tree = site.world.path("nodes/worker-1")
    expected = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    assert {entry.path for entry in manifest.files} == expected | {RUNBOOK}
    for entry in manifest.files:
        if entry.path != RUNBOOK:
            assert entry.mode == stat.S_IMODE((tree / entry.path).stat().st_mode)
    assert [entry.path for entry in manifest.files] == sorted(entry.path for entry in manifest.files)
    ends = [
        site.world.certificate(identifier).not_valid_after_utc
        for identifier, item in site.world.inventory.certificates.items()
        if item.node == "worker-1"
    ]
    assert manifest.expires == min(ends)


def test_the_same_content_gives_the_same_bytes(site: BundleSite) -> None:
    for name in ("cp-1", "worker-1"):
        assert site.packed(name).archive == site.packed(name).archive
    assert site.bundle("worker-1") != site.bundle("worker-1"), "sealing is never the same twice"


def test_the_serial_grows_with_every_change(tmp_path: Path) -> None:
    site = BundleSite.made(tmp_path / "prod", CP1, W1)
    before = site.packed("worker-1").manifest.serial
    assert site.packed("worker-1").manifest.serial == before
    site.world.path("nodes/worker-1/var/lib/kubelet/pki/kubelet.crt").unlink()
    site.world.apply()
    assert site.packed("worker-1").manifest.serial > before


def test_the_runbook_names_its_node_and_its_steps(large: BundleSite) -> None:
    for node_ in large.world.cluster.spec.nodes:
        name = node_.name
        component = "kube-apiserver" if Role.CONTROL_PLANE in node_.roles else "kubelet"
        if Role.ETCD in node_.roles:
            component = "etcd"
        bundle = large.opened(large.bundle(name), name)
        text = bundle.files[RUNBOOK].decode()
        assert text.startswith(f"node {name} (")
        assert component in text
        assert "PRIVATE" not in text
        assert "bundle install FILE --pin" in text
        assert ("etcd:" in text) == any("etcd/server" in path for path in bundle.files)


def test_an_authority_without_a_bundle_key(tmp_path: Path) -> None:
    site = BundleSite.made(tmp_path / "prod", CP1)
    site.world.path("pki/bundle.key").unlink()
    with (
        Store.open_reading(site.world.root) as store,
        pytest.raises(BundleError, match=r"has no pki/bundle.key"),
    ):
        bundle_key(store)
    assert "bundle-key" in site.world.reasons()
    found = risks(site.world.plan(), site.world.inventory)
    assert [risk for risk in found if "pki/bundle.key" in risk and "missing" in risk], found
    site.world.path("pki/bundle.key").write_bytes(b"damaged")
    assert any(
        "nodes that trust it refuse" in risk for risk in risks(site.world.plan(), site.world.inventory)
    )


def test_installed_as_kubeadm_does_it(large: BundleSite, tmp_path: Path) -> None:
    root = tmp_path / "node"
    root.mkdir()
    name = large.world.cluster.spec.nodes[0].name
    bundle = large.opened(large.bundle(name), name)
    put(bundle, root)
    tree = large.world.path(f"nodes/{name}")
    for path in tree.rglob("*"):
        there = root / path.relative_to(tree)
        assert there.lstat().st_mode == path.lstat().st_mode or there.is_dir()
        if path.is_file():
            assert there.read_bytes() == path.read_bytes()
    for path in (root / "etc/kubernetes").rglob("*"):
        status = path.stat()
        if path.suffix in {".key", ".conf"}:
            assert stat.S_IMODE(status.st_mode) == 0o600
        elif path.suffix == ".crt":
            assert stat.S_IMODE(status.st_mode) == 0o644
    # kubeadm: MkdirAll(…, 0700) for the kubelet's directory and for manifests, 0755 for the rest.
    modes = {"var/lib/kubelet": 0o700, "etc/kubernetes/manifests": 0o700, "etc/kubernetes": 0o755}
    for path, mode in modes.items():
        if (root / path).exists():
            assert stat.S_IMODE((root / path).stat().st_mode) == mode
    with looking(root) as store:
        assert {change.difference for change in compare(bundle.manifest, store, None)} == {"keep"}


def test_many_nodes(tmp_path: Path) -> None:
    nodes = [CP1, *(node(f"w{number}", f"10.1.{number // 200}.{number % 200 + 1}") for number in range(100))]
    site = BundleSite.made(tmp_path / "prod", *nodes)
    with Store.open_reading(site.world.root, filesystem=Unsynced()) as store:
        packed = list(pack(site.world.inventory, store, site.world.cluster.spec.nodes))
    keys: dict[bytes, str] = {}
    for each in packed[1:]:
        for member in decode(each.archive):
            for key in private_keys(member.data):
                assert keys.setdefault(key, each.manifest.node) == each.manifest.node
    assert len(packed) == 101
    assert len(keys) == 200
    assert all(
        each.label(created=NOW, reader="nobody").serial == packed[0].manifest.serial for each in packed
    )


def test_control_planes_without_ca_keys(tmp_path: Path) -> None:
    """`distributeCAKeys: false`: no node has a CA key, nothing in the cluster signs, and that is said."""
    site = BundleSite.made(tmp_path / "prod", CP1, W1, certificates={"distributeCAKeys": False})
    authorities = {
        key
        for name in ("ca", "etcd/ca", "front-proxy-ca")
        for key in private_keys(site.world.read(f"pki/{name}.key"))
    }
    assert len(authorities) == 3
    for name in ("cp-1", "worker-1"):
        bundle = site.opened(site.bundle(name), name)
        assert not authorities & {key for data in bundle.files.values() for key in private_keys(data)}
        assert not [path for path in bundle.files if path.endswith(("ca.key", "ca-signing.crt"))]
    manifest = site.world.read("nodes/cp-1/etc/kubernetes/manifests/kube-controller-manager.yaml")
    assert re.findall(rb"--cluster-signing-[a-z]+-file=[^\s'\"]*", manifest) == [
        b"--cluster-signing-cert-file=",
        b"--cluster-signing-key-file=",
    ]
    assert site.world.verify().findings == ()
    said = [finding.message for finding in findings(site.world.cluster, CERTIFICATES)]
    assert any("the controller manager signs nothing" in message for message in said)
