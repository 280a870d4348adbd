"""The inventory against what kubeadm 1.36 writes, certificate by certificate.

What is compared is what stands in the tree after a real apply, not what the inventory says of itself.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.names import sans_of, subject_of
from pkigen.desired.generations import CA, InKubeconfig, ca_id
from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredCertificate, DesiredCopy, DesiredKubeconfig, MaterialKind
from tests.samples import CP1, CP2, CP3, ENDPOINT, W1, World, node, private_keys, spec
from tests.strategies import cluster_of, clusters, contents

if TYPE_CHECKING:
    import random
    from pathlib import Path
    from typing import Any

    from pkigen.spec.model import ClusterSpec

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
PKI = "etc/kubernetes/pki"
SERVICE_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True)
class Row:
    """What a certificate must be, after kubeadm's `certlist.go` and `kubeconfig.go`."""

    cn: str
    organizations: tuple[str, ...]
    issuer: str | None
    usages: tuple[x509.ObjectIdentifier, ...]
    sans: frozenset[str]
    path: str


def row(
    cn: str,
    issuer: str | None,
    usages: tuple[x509.ObjectIdentifier, ...],
    path: str,
    *sans: str,
    o: tuple[str, ...] = (),
) -> Row:
    return Row(cn, o, issuer, usages, frozenset(sans), path)


def authorities(*, etcd: bool = True) -> dict[str, Row]:
    # A CA has its common name as a DNS name (kubeadm `pki_helpers.go`), no EKU.
    table = {
        "ca": row("kubernetes", None, (), "pki/ca.crt", "kubernetes"),
        "front-proxy-ca": row("front-proxy-ca", None, (), "pki/front-proxy-ca.crt", "front-proxy-ca"),
    }
    if etcd:
        table["etcd-ca"] = row("etcd-ca", None, (), "pki/etcd/ca.crt", "etcd-ca")
    return table


def etcd_member(
    name: str, *addresses: str, server: tuple[str, ...] = (), peer: tuple[str, ...] = ()
) -> dict[str, Row]:
    # Set E: nodeName, localhost, advertise address, 127.0.0.1, ::1; CN is the node's name (`pki_helpers.go`).
    base = f"nodes/{name}/{PKI}/etcd"
    common = (name, "localhost", "127.0.0.1", "::1", *addresses)
    return {
        f"{name}/etcd-server": row(name, "etcd-ca", (SERVER, CLIENT), f"{base}/server.crt", *common, *server),
        f"{name}/etcd-peer": row(name, "etcd-ca", (SERVER, CLIENT), f"{base}/peer.crt", *common, *peer),
        f"{name}/etcd-healthcheck-client": row(
            "kube-etcd-healthcheck-client", "etcd-ca", (CLIENT,), f"{base}/healthcheck-client.crt"
        ),
    }


def control_plane(name: str, *sans: str, etcd: bool = True, first: bool = False) -> dict[str, Row]:
    base, conf = f"nodes/{name}/{PKI}", f"nodes/{name}/etc/kubernetes"
    table = {
        # Set A plus what the node adds; no localhost, 127.0.0.1 or ::1 (`pki_helpers.go`).
        f"{name}/apiserver": row(
            "kube-apiserver", "ca", (SERVER,), f"{base}/apiserver.crt", name, *SERVICE_NAMES, *sans
        ),
        # No group since 1.36.1 (kubernetes #138958).
        f"{name}/apiserver-kubelet-client": row(
            "kube-apiserver-kubelet-client", "ca", (CLIENT,), f"{base}/apiserver-kubelet-client.crt"
        ),
        f"{name}/front-proxy-client": row(
            "front-proxy-client", "front-proxy-ca", (CLIENT,), f"{base}/front-proxy-client.crt"
        ),
        f"{name}/admin.conf": row(
            "kubernetes-admin", "ca", (CLIENT,), f"{conf}/admin.conf", o=("kubeadm:cluster-admins",)
        ),
        f"{name}/controller-manager.conf": row(
            "system:kube-controller-manager", "ca", (CLIENT,), f"{conf}/controller-manager.conf"
        ),
        f"{name}/scheduler.conf": row("system:kube-scheduler", "ca", (CLIENT,), f"{conf}/scheduler.conf"),
    }
    if etcd:  # with external etcd there is none (`certlist.go`)
        table[f"{name}/apiserver-etcd-client"] = row(
            "kube-apiserver-etcd-client", "etcd-ca", (CLIENT,), f"{base}/apiserver-etcd-client.crt"
        )
    if first:  # `init` only (`kubeconfig.go`)
        table[f"{name}/super-admin.conf"] = row(
            "kubernetes-super-admin", "ca", (CLIENT,), f"{conf}/super-admin.conf", o=("system:masters",)
        )
    return table


def kubelet(name: str, *addresses: str) -> dict[str, Row]:
    # Both kubelet signers want O exactly system:nodes, CN system:node:…; a serving certificate has at least
    # one DNS or IP name (`pkg/apis/certificates/helpers.go`).
    user, group = f"system:node:{name}", ("system:nodes",)
    conf = f"nodes/{name}/etc/kubernetes/kubelet.conf"
    serving = f"nodes/{name}/var/lib/kubelet/pki/kubelet.crt"
    return {
        f"{name}/kubelet.conf": row(user, "ca", (CLIENT,), conf, o=group),
        f"{name}/kubelet-serving": row(user, "ca", (SERVER,), serving, name, *addresses, o=group),
    }


def kube_proxy(name: str) -> dict[str, Row]:
    path = f"nodes/{name}/etc/kubernetes/kube-proxy.conf"
    return {f"{name}/kube-proxy.conf": row("system:kube-proxy", "ca", (CLIENT,), path)}


SINGLE = (
    spec(CP1),
    {
        **authorities(),
        **etcd_member("cp-1", "10.0.0.11"),
        **control_plane("cp-1", "10.96.0.1", "10.0.0.11", first=True),
        **kubelet("cp-1", "10.0.0.11"),
    },
)
_SHARED = ("10.96.0.1", "api.prod.example.com", "api.internal", "10.0.0.10")
HA = (
    spec(CP3, W1, CP1, CP2, **ENDPOINT, apiServer={"certSANs": ["api.internal", "10.0.0.10"]}),
    {
        **authorities(),
        **etcd_member("cp-1", "10.0.0.11"),
        **control_plane("cp-1", *_SHARED, "10.0.0.11", first=True),
        **kubelet("cp-1", "10.0.0.11"),
        **etcd_member("cp-2", "10.0.0.12"),
        **control_plane("cp-2", *_SHARED, "10.0.0.12"),
        **kubelet("cp-2", "10.0.0.12"),
        **etcd_member(
            "cp-3", "10.0.0.13", server=("cp-3.rack2.example.com",), peer=("cp-3.rack2.example.com",)
        ),
        **control_plane("cp-3", *_SHARED, "10.0.0.13", "cp-3.rack2.example.com"),
        **kubelet("cp-3", "10.0.0.13", "cp-3.rack2.example.com"),
        **kubelet("worker-1", "10.0.0.21"),
    },
)
DEDICATED = (
    spec(
        CP1,
        node("etcd-1", "10.0.0.31", "etcd"),
        etcd={"serverCertSANs": ["etcd.example.com"], "peerCertSANs": ["10.0.1.31"]},
    ),
    {
        **authorities(),
        **control_plane("cp-1", "10.96.0.1", "10.0.0.11", first=True),
        **kubelet("cp-1", "10.0.0.11"),
        **etcd_member("etcd-1", "10.0.0.31", server=("etcd.example.com",), peer=("10.0.1.31",)),
        **kubelet("etcd-1", "10.0.0.31"),
    },
)
EXTERNAL = (
    spec(CP1, W1, etcd={"external": {"endpoints": ["http://10.0.1.1:2379"]}}),
    {
        **authorities(etcd=False),
        **control_plane("cp-1", "10.96.0.1", "10.0.0.11", etcd=False, first=True),
        **kubelet("cp-1", "10.0.0.11"),
        **kubelet("worker-1", "10.0.0.21"),
    },
)
SYSTEMD = (
    spec(CP1, W1, runtime="systemd"),
    {
        **SINGLE[1],
        **kube_proxy("cp-1"),
        **kubelet("worker-1", "10.0.0.21"),
        **kube_proxy("worker-1"),
    },
)
USERS = (
    spec(
        CP1,
        users=[
            {"name": "zoe", "clusterRoles": ["view"]},
            {"name": "dev1", "groups": ["platform", "dev"], "namespace": "web"},
        ],
    ),
    {
        **SINGLE[1],
        "user:dev1": row("dev1", "ca", (CLIENT,), "users/dev1.conf", o=("dev", "platform")),
        "user:zoe": row("zoe", "ca", (CLIENT,), "users/zoe.conf"),
    },
)
DUAL_STACK = (
    # kubeadm takes the first subnet's address only (`constants.go`); Pods of the other family dial the other.
    spec(
        node("cp-1", ["10.0.0.11", "fd00::11"], "control-plane"),
        networking={"serviceSubnets": ["10.96.0.0/12", "fd00:10:96::/112"]},
    ),
    {
        **authorities(),
        **etcd_member("cp-1", "10.0.0.11", "fd00::11"),
        **control_plane("cp-1", "10.96.0.1", "fd00:10:96::1", "10.0.0.11", "fd00::11", first=True),
        **kubelet("cp-1", "10.0.0.11", "fd00::11"),
    },
)
IPV6 = (
    spec(
        node("cp-1", "fd00::11", "control-plane"),
        controlPlaneEndpoint="[fd00::99]:6443",
        networking={"serviceSubnets": ["fd00:10:96::/112"]},
    ),
    {
        **authorities(),
        **etcd_member("cp-1", "fd00::11"),
        **control_plane("cp-1", "fd00:10:96::1", "fd00::11", "fd00::99", first=True),
        **kubelet("cp-1", "fd00::11"),
    },
)
TABLES = {
    "single": SINGLE,
    "ha-stacked": HA,
    "dedicated-etcd": DEDICATED,
    "external-etcd": EXTERNAL,
    "systemd": SYSTEMD,
    "users": USERS,
    "dual-stack": DUAL_STACK,
    "ipv6": IPV6,
}


def as_issued(world: World, item: DesiredCertificate) -> Row:
    """The row that a certificate on disk makes."""
    certificate = world.certificate(item.id)
    subject = subject_of(certificate)
    try:
        usages = tuple(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        usages = ()
    location = item.location
    return Row(
        subject.common_name,
        subject.organizations,
        item.issuer and ca_id(item.issuer),
        usages,
        frozenset(sans_of(certificate)),
        location.kubeconfig if isinstance(location, InKubeconfig) else location.certificate,
    )


@pytest.mark.parametrize("name", TABLES)
def test_every_certificate_is_exactly_the_one_of_the_table(name: str, tmp_path: Path) -> None:
    cluster, table = TABLES[name]
    world = World(root=tmp_path / "prod", cluster=cluster)
    world.apply()
    assert {item.id: as_issued(world, item) for item in world.inventory.certificates.values()} == table


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.ECDSA_P256, KeyAlgorithm.RSA_2048])
def test_extensions_and_their_criticality(algorithm: KeyAlgorithm, tmp_path: Path) -> None:
    world = World(root=tmp_path / "prod", cluster=spec(CP1, certificates={"keyAlgorithm": algorithm}))
    world.apply()
    for identifier, item in world.inventory.certificates.items():
        certificate = world.certificate(identifier)
        found = {each.oid: each for each in certificate.extensions}
        # KeyUsage and BasicConstraints are critical, all else is not (Go `crypto/x509`).
        critical = {ExtensionOID.KEY_USAGE, ExtensionOID.BASIC_CONSTRAINTS}
        assert {oid for oid, each in found.items() if each.critical} == critical, identifier
        usage = found[ExtensionOID.KEY_USAGE].value
        assert isinstance(usage, x509.KeyUsage)
        is_ca = item.issuer is None
        # keyEncipherment for RSA leaves only (RFC 8813 3); cRLSign beside keyCertSign on CAs.
        is_rsa = isinstance(certificate.public_key(), rsa.RSAPublicKey)
        assert usage == x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=is_rsa and not is_ca,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=is_ca,
            crl_sign=is_ca,
            encipher_only=False,
            decipher_only=False,
        )
        constraints = found[ExtensionOID.BASIC_CONSTRAINTS].value
        assert constraints == x509.BasicConstraints(ca=is_ca, path_length=None)
        assert ExtensionOID.SUBJECT_KEY_IDENTIFIER in found
        assert (ExtensionOID.AUTHORITY_KEY_IDENTIFIER in found) is not is_ca


MODES = {
    # kubeadm's modes; sa.pub is public here, as `join` writes it.
    ".crt": 0o644,
    ".key": 0o600,
    ".pub": 0o644,
    ".conf": 0o600,
}


@pytest.mark.parametrize("name", ["ha-stacked", "systemd", "users"])
def test_modes_on_disk(name: str, tmp_path: Path) -> None:
    world = World(root=tmp_path / "prod", cluster=TABLES[name][0])
    world.apply()
    for path in sorted(world.inventory.paths):
        mode = stat.S_IMODE(world.path(path).stat().st_mode)
        suffix = world.path(path).suffix
        if "/manifests/" in path:
            assert mode == 0o600, path  # `staticpod/utils.go`
        else:
            assert mode == MODES.get(suffix, 0o644), path
    assert stat.S_IMODE(world.path("pki").stat().st_mode) == 0o700


def copies(cluster: ClusterSpec, name: str) -> dict[str, tuple[MaterialKind, CA | None, int]]:
    prefix = f"nodes/{name}/"
    return {
        item.path.removeprefix(prefix): (item.material, item.ca, item.mode)
        for item in derive(cluster).items
        if isinstance(item, DesiredCopy) and item.path.startswith(prefix)
    }


def test_what_of_the_authority_goes_to_which_node() -> None:
    bundle, key = MaterialKind.TRUST_BUNDLE, MaterialKind.CA_KEY
    control_plane_node = {
        f"{PKI}/ca.crt": (bundle, CA.KUBERNETES, 0o644),
        f"{PKI}/ca-signing.crt": (MaterialKind.SIGNING_CERTIFICATE, CA.KUBERNETES, 0o644),
        f"{PKI}/ca.key": (key, CA.KUBERNETES, 0o600),
        f"{PKI}/front-proxy-ca.crt": (bundle, CA.FRONT_PROXY, 0o644),
        f"{PKI}/sa.key": (MaterialKind.SA_PRIVATE_KEY, None, 0o600),
        f"{PKI}/sa.pub": (MaterialKind.SA_PUBLIC_KEY, None, 0o644),
    }
    etcd_trust = {f"{PKI}/etcd/ca.crt": (bundle, CA.ETCD, 0o644)}
    only_trust = {f"{PKI}/ca.crt": (bundle, CA.KUBERNETES, 0o644)}
    assert copies(HA[0], "cp-2") == control_plane_node | etcd_trust
    assert copies(HA[0], "worker-1") == only_trust
    assert copies(DEDICATED[0], "cp-1") == control_plane_node | etcd_trust
    assert copies(DEDICATED[0], "etcd-1") == only_trust | etcd_trust
    assert copies(EXTERNAL[0], "cp-1") == control_plane_node


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        (True, {"ca.key"}),
        (False, set()),
        ([], set()),
        (["ca"], {"ca.key"}),
        (["etcd-ca"], {"etcd/ca.key"}),
        (["front-proxy-ca", "front-proxy-ca"], {"front-proxy-ca.key"}),
        (["etcd-ca", "front-proxy-ca", "ca"], {"ca.key", "etcd/ca.key", "front-proxy-ca.key"}),
    ],
)
def test_who_asks_gets_the_keys_of_a_ca(given: object, keys: set[str]) -> None:
    """Each CA by itself, and only where there is a use: etcd's on members, and its signer's certificate."""
    member = copies(spec(CP1, certificates={"distributeCAKeys": given}), "cp-1")
    assert {path.removeprefix(f"{PKI}/") for path in member if path.endswith("ca.key")} == keys
    assert (f"{PKI}/ca-signing.crt" in member) == ("ca.key" in keys)
    dedicated = spec(CP1, {**W1, "roles": ["etcd"]}, certificates={"distributeCAKeys": given})
    elsewhere = {*copies(dedicated, "cp-1"), *copies(dedicated, "worker-1")}
    assert {path.removeprefix(f"{PKI}/") for path in elsewhere if path.endswith("ca.key")} == (
        keys - {"etcd/ca.key"}
    )


def test_servers_of_kubeconfigs() -> None:
    # Admin and super-admin dial the endpoint, components of a control-plane node its own API server.
    cluster = spec(CP1, W1, controlPlaneEndpoint="api.example.com", apiServer={"bindPort": 7443})
    servers = {item.id: item.server for item in derive(cluster).items if isinstance(item, DesiredKubeconfig)}
    local, shared = "https://10.0.0.11:7443", "https://api.example.com:7443"
    assert servers == {
        "cp-1/admin.conf": shared,
        "cp-1/super-admin.conf": shared,
        "cp-1/controller-manager.conf": local,
        "cp-1/scheduler.conf": local,
        "cp-1/kubelet.conf": local,
        "worker-1/kubelet.conf": shared,
    }


def test_lifetimes_and_algorithms_come_from_the_most_particular_setting() -> None:
    cluster = spec(
        CP1,
        certificates={
            "validity": "1000h",
            "renewBefore": "900h",
            "overrides": {
                "apiserver": {"validity": "300h", "keyAlgorithm": "RSA-3072", "renewBefore": "50h"},
                "ca": {"validity": "5000h", "keyAlgorithm": "RSA-4096"},
            },
        },
        users=[{"name": "dev1", "validity": "30h"}],
    )
    items = derive(cluster).certificates

    def hours(identifier: str) -> tuple[float, float, str]:
        item = items[identifier]
        return (
            item.validity.total_seconds() / 3600,
            item.renew_before.total_seconds() / 3600,
            item.key_algorithm,
        )

    assert hours("cp-1/apiserver") == (300, 50, "RSA-3072")
    assert hours("ca") == (5000, 900, "RSA-4096")
    assert hours("etcd-ca") == (87600, 900, "ECDSA-P256")
    # Never more than a third of its life: it would be due again at once.
    assert hours("cp-1/kubelet.conf") == (1000, pytest.approx(1000 / 3), "ECDSA-P256")
    assert hours("user:dev1") == (30, 10, "ECDSA-P256")


def test_the_kubelet_is_named_by_its_node_ip_flag_too() -> None:
    extra = [{"name": "node-ip", "value": "10.0.0.11,fd00::11"}]
    names = derive(spec({**CP1, "kubeletExtraArgs": extra})).certificates["cp-1/kubelet-serving"].sans
    assert names.texts() == ("cp-1", "10.0.0.11", "fd00::11")


def test_a_subject_reads_as_one_line() -> None:
    assert (
        str(derive(spec(CP1)).certificates["cp-1/kubelet.conf"].subject)
        == "CN=system:node:cp-1,O=system:nodes"
    )


# -- for any spec -------------------------------------------------------------------------------------


@given(clusters(algorithms=tuple(KeyAlgorithm)))
@settings(max_examples=100, deadline=None)
def test_ids_and_paths_are_unique_and_issuers_come_first(cluster: ClusterSpec) -> None:
    inventory = derive(cluster)
    paths = [path for item in inventory.items for path in item.paths]
    assert len(paths) == len(set(paths)) == len(inventory.paths)
    certificates = [item for item in inventory.items if isinstance(item, DesiredCertificate)]
    assert len({item.id for item in certificates}) == len(certificates)
    seen: set[str] = set()
    for item in certificates:
        assert item.issuer is None or ca_id(item.issuer) in seen
        seen.add(item.id)
    for item in inventory.kubeconfigs.values():
        assert item.certificate in inventory.certificates


@given(contents(algorithms=tuple(KeyAlgorithm)), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_in_the_spec_means_nothing(content: dict[str, Any], chance: random.Random) -> None:
    def shuffled(values: list[Any]) -> list[Any]:
        return chance.sample(values, len(values))

    told = content["spec"]
    other = {
        **told,
        "nodes": [{**each, "certSANs": shuffled(each["certSANs"])} for each in shuffled(told["nodes"])],
        "users": [{**each, "groups": shuffled(each["groups"])} for each in shuffled(told["users"])],
        "apiServer": {"certSANs": shuffled(told["apiServer"]["certSANs"])},
        "etcd": {
            key: shuffled(value) if isinstance(value, list) else value for key, value in told["etcd"].items()
        },
    }
    assert derive(cluster_of(content)).items == derive(cluster_of({**content, "spec": other})).items


@given(cluster=clusters())
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_every_leaf_chains_and_nodes_hold_the_least_keys(
    cluster: ClusterSpec, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = World(root=tmp_path_factory.mktemp("any") / "prod", cluster=cluster)
    world.apply()
    for identifier, item in world.inventory.certificates.items():
        if item.issuer is not None:
            world.certificate(identifier).verify_directly_issued_by(world.certificate(ca_id(item.issuer)))
    verified = world.verify()
    assert verified.findings == ()
    assert verified.edges > 0
    assert_least_keys(world)


def assert_least_keys(world: World) -> None:
    """No foreign key on a node; of the CAs' keys only the one to sign with, on the control plane alone."""
    cluster = world.cluster
    authority = {ca: next(private_keys(world.read(f"pki/{ca}.key"))) for ca in world.inventory.authorities}
    tokens = next(private_keys(world.read("pki/sa.key")))
    control_plane_names = {each.name for each in cluster.control_plane}
    members = {each.name for each in cluster.etcd_members}
    owners: dict[bytes, str] = {}
    shared = {*authority.values(), tokens}
    for each in cluster.spec.nodes:
        found = set()
        for path in sorted((world.root / "nodes" / each.name).rglob("*")):
            if path.is_file():
                found |= set(private_keys(path.read_bytes()))
        allowed = set()
        if each.name in control_plane_names:
            allowed |= {authority[CA.KUBERNETES], tokens}
        assert found & shared == allowed, each.name
        for key in found - shared:
            assert owners.setdefault(key, each.name) == each.name
        etcd_trust = list((world.root / "nodes" / each.name).rglob("etcd/ca.crt"))
        assert bool(etcd_trust) == (
            each.name in members or (each.name in control_plane_names and bool(members))
        )
