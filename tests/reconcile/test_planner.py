"""One case for each reason of a change; and that plans change what they must, and nothing else."""

from __future__ import annotations

import base64
import os
import re
import shutil
from datetime import timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings

from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue
from pkigen.crypto.keys import load_private, private_pem, public_pem
from pkigen.crypto.profiles import Profile
from pkigen.desired.generations import CA
from pkigen.desired.rendering import Renderer
from pkigen.errors import StoreError, UnsafePathError
from pkigen.notation import residual
from pkigen.reconcile.apply import StagedTreeError, apply_plan
from pkigen.reconcile.plan import Keep
from pkigen.reconcile.risks import risks
from pkigen.reconcile.surveyed import Selection
from pkigen.state.reasons import Reason
from pkigen.store import Store
from tests.faults.scenes import wanted
from tests.samples import CP1, CP2, CP3, ENDPOINT, NOW, W1, W2, World, node, snapshot, spec
from tests.strategies import clusters

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from pkigen.reconcile.plan import Action, Plan
    from pkigen.spec.model import ClusterSpec

PKI = "nodes/cp-1/etc/kubernetes/pki"
API = f"{PKI}/apiserver"
ADMIN = "nodes/cp-1/etc/kubernetes/admin.conf"
MANIFEST = "nodes/cp-1/etc/kubernetes/manifests/kube-apiserver.yaml"
MINUTE = timedelta(minutes=1)
MANY = 300


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A finished tree; tests work on copies of it."""
    world = World(root=tmp_path_factory.mktemp("pattern") / "prod", cluster=spec(CP1, W1, encryption={}))
    world.apply()
    return world


@pytest.fixture
def world(pattern: World, tmp_path: Path) -> World:
    root = tmp_path / "prod"
    shutil.copytree(pattern.root, root)
    return World(root=root, cluster=pattern.cluster)


def reissued(
    world: World,
    identifier: str,
    *,
    begin: timedelta = timedelta(),
    validity: timedelta | None = None,
    key: ec.EllipticCurvePrivateKey | None = None,
    issuer: Issuer | None = None,
    chain: tuple[x509.Certificate, ...] = (),
    change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder] | None = None,
) -> None:
    """Put another certificate of the same content at the place of one, signed by the same CA."""
    item = world.inventory.certificates[identifier]
    stem = world.path(item.location.certificate).with_suffix("")  # type: ignore[union-attr]
    ca = issuer or signer(world, item.issuer or CA.KUBERNETES)
    private = key or load_private(stem.with_suffix(".key").read_bytes())
    made = issue(
        CertificateContent(
            subject=item.subject, sans=item.sans, profile=item.profile, validity=validity or item.validity
        ),
        key=private,
        issuer=ca,
        now=world.now + begin,
        entropy=os.urandom,
    ).certificate
    if change is not None:
        builder = x509.CertificateBuilder(
            subject_name=made.subject,
            issuer_name=made.issuer,
            public_key=made.public_key(),  # type: ignore[arg-type]
            serial_number=made.serial_number,
            not_valid_before=made.not_valid_before_utc,
            not_valid_after=made.not_valid_after_utc,
            extensions=list(made.extensions),
        )
        made = change(builder).sign(ca.key, hashes.SHA256())
    stem.with_suffix(".crt").write_bytes(certificate_pem(made, *chain))
    stem.with_suffix(".key").write_bytes(private_pem(private))


def signer(world: World, ca: CA) -> Issuer:
    return Issuer(
        certificate=x509.load_pem_x509_certificate(world.read(f"pki/{ca}.crt")),
        key=load_private(world.read(f"pki/{ca}.key")),
    )


def stranger() -> Issuer:
    """A CA that calls itself like ours, and is another."""
    key = ec.generate_private_key(ec.SECP256R1())
    from pkigen.crypto.names import SANs, Subject  # noqa: PLC0415

    request = CertificateContent(
        subject=Subject(common_name="kubernetes"),
        sans=SANs(),
        profile=Profile.CA,
        validity=timedelta(days=9000),
    )
    made = issue(request, key=key, issuer=None, now=NOW, entropy=os.urandom)
    return Issuer(certificate=made.certificate, key=key)


def without_extension(
    oid: x509.ObjectIdentifier,
) -> Callable[[x509.CertificateBuilder], x509.CertificateBuilder]:
    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        kept = [each for each in builder._extensions if each.oid != oid]  # noqa: SLF001 -- no public way to drop one
        builder._extensions = kept  # noqa: SLF001
        return builder

    return change


def edit(world: World, path: str, old: bytes, new: bytes) -> None:
    content = world.read(path)
    assert old in content
    world.path(path).write_bytes(content.replace(old, new))


def follow(world: World, *nodes: dict[str, Any], **more: Any) -> None:
    world.follow(spec(*(nodes or (CP1, W1)), **{"encryption": {}, **more}))


EKU = x509.ExtendedKeyUsage.oid

# Each case: what happens to a good tree, the object, the action, the reason, and a piece of the detail.
Case = tuple["Callable[[World], object]", str, str, Reason, str]
CASES: dict[str, Case] = {
    "missing": (
        lambda w: w.path(f"{API}.crt").unlink(),
        "cp-1/apiserver",
        "create",
        Reason.MISSING,
        f"{API}.crt is missing",
    ),
    "missing-copy": (
        lambda w: w.path(f"{PKI}/sa.pub").unlink(),
        f"{PKI}/sa.pub",
        "create",
        Reason.MISSING,
        f"{PKI}/sa.pub is missing",
    ),
    "missing-manifest": (
        lambda w: w.path(MANIFEST).unlink(),
        MANIFEST,
        "create",
        Reason.MISSING,
        "is missing",
    ),
    "missing-kubeconfig": (
        lambda w: w.path(ADMIN).unlink(),
        "cp-1/admin.conf",
        "create",
        Reason.MISSING,
        f"{ADMIN} is missing",
    ),
    "unreadable": (
        lambda w: w.path(f"{API}.crt").write_bytes(b"\xff\x00"),
        "cp-1/apiserver",
        "reissue",
        Reason.UNREADABLE,
        f"{API}.crt holds no PEM certificates",
    ),
    "unreadable-empty": (
        lambda w: w.path(f"{API}.crt").write_bytes(b""),
        "cp-1/apiserver",
        "reissue",
        Reason.UNREADABLE,
        f"{API}.crt is empty",
    ),
    "unreadable-kubeconfig": (
        lambda w: w.path(ADMIN).write_bytes(b"apiVersion: v1\n"),
        "cp-1/admin.conf",
        "reissue",
        Reason.UNREADABLE,
        "is not a kubeconfig with an embedded client certificate",
    ),
    "key-missing": (
        lambda w: w.path(f"{API}.key").unlink(),
        "cp-1/apiserver",
        "reissue",
        Reason.KEY_MISSING,
        f"private key {API}.key is missing",
    ),
    "key-missing-in-kubeconfig": (
        lambda w: edit(w, ADMIN, b"client-key-data", b"client-kex-data"),
        "cp-1/admin.conf",
        "reissue",
        Reason.KEY_MISSING,
        f"private key {ADMIN} has no embedded client key",
    ),
    "key-unreadable": (
        lambda w: w.path(f"{API}.key").write_bytes(b"nothing"),
        "cp-1/apiserver",
        "reissue",
        Reason.KEY_UNREADABLE,
        f"private key {API}.key is not a PEM private key",
    ),
    "key-mismatch": (
        lambda w: shutil.copy(w.path(f"{PKI}/front-proxy-client.key"), w.path(f"{API}.key")),
        "cp-1/apiserver",
        "reissue",
        Reason.KEY_MISMATCH,
        "private key does not match the certificate's ECDSA-P256 key",
    ),
    "unknown-issuer": (
        lambda w: reissued(w, "cp-1/apiserver", issuer=stranger()),
        "cp-1/apiserver",
        "reissue",
        Reason.UNKNOWN_ISSUER,
        "signed by an unknown CA that calls itself 'CN=kubernetes', not by ca",
    ),
    "issuer-replaced": (
        lambda w: [w.path(f"pki/front-proxy-ca.{kind}").unlink() for kind in ("crt", "key")],
        "cp-1/front-proxy-client",
        "reissue",
        Reason.ISSUER_REPLACED,
        "its CA front-proxy-ca is made anew",
    ),
    "subject-changed": (
        lambda w: follow(w, users=[{"name": "dev1", "groups": ["ops"]}]),
        "user:dev1",
        "reissue",
        Reason.SUBJECT_CHANGED,
        "subject - CN=dev1 + CN=dev1,O=ops",
    ),
    "sans-changed": (
        lambda w: follow(w, {**CP1, "certSANs": ["api2.example.com"]}, W1),
        "cp-1/apiserver",
        "reissue",
        Reason.SANS_CHANGED,
        "SANs + api2.example.com",
    ),
    "sans-both-ways": (
        lambda w: follow(w, {**CP1, "addresses": ["10.0.0.9"]}, W1),
        "cp-1/kubelet-serving",
        "reissue",
        Reason.SANS_CHANGED,
        "SANs + 10.0.0.9 - 10.0.0.11",
    ),
    "sans-of-another-kind": (
        lambda w: reissued(w, "cp-1/kubelet-serving", change=addresses_as_names),
        "cp-1/kubelet-serving",
        "reissue",
        Reason.SANS_CHANGED,
        "SANs + 10.0.0.11 - DNS:10.0.0.11",
    ),
    "sans-critical": (
        lambda w: reissued(w, "cp-1/kubelet-serving", change=critical_names),
        "cp-1/kubelet-serving",
        "reissue",
        Reason.SANS_CHANGED,
        "SANs are critical, must not be",
    ),
    "extensions-changed": (
        lambda w: reissued(w, "cp-1/apiserver", change=without_extension(EKU)),
        "cp-1/apiserver",
        "reissue",
        Reason.EXTENSIONS_CHANGED,
        "differs in extendedKeyUsage",
    ),
    "algorithm-changed": (
        lambda w: follow(w, certificates={"overrides": {"apiserver": {"keyAlgorithm": "ECDSA-P384"}}}),
        "cp-1/apiserver",
        "reissue",
        Reason.ALGORITHM_CHANGED,
        "key algorithm - ECDSA-P256 + ECDSA-P384",
    ),
    "chain-changed": (
        lambda w: reissued(w, "cp-1/apiserver", chain=(signer(w, CA.KUBERNETES).certificate,)),
        "cp-1/apiserver",
        "rewrite",
        Reason.CHAIN_CHANGED,
        "holds 1 certificates after its own, must hold the 0 between it and its trust anchor",
    ),
    "outlives-issuer": (
        lambda w: reissued(w, "cp-1/apiserver", change=lambda b: outliving(w, b)),
        "cp-1/apiserver",
        "reissue",
        Reason.OUTLIVES_ISSUER,
        "ends 2036-03-01 12:00 UTC, after its CA (2036-02-27 12:00 UTC)",
    ),
    "not-yet-valid": (
        lambda w: reissued(w, "cp-1/apiserver", begin=timedelta(days=2)),
        "cp-1/apiserver",
        "reissue",
        Reason.NOT_YET_VALID,
        "begins 2026-03-03 11:55 UTC, in the future: is this clock right?",
    ),
    "expired": (
        lambda w: reissued(w, "cp-1/apiserver", begin=-4 * MINUTE, validity=MINUTE),
        "cp-1/apiserver",
        "renew",
        Reason.EXPIRED,
        "expired 2026-03-01 11:57 UTC",
    ),
    "expires-soon": (
        lambda w: reissued(w, "cp-1/apiserver", validity=timedelta(days=29, hours=5)),
        "cp-1/apiserver",
        "renew",
        Reason.EXPIRES_SOON,
        "expires 2026-03-30 17:00 UTC, in 29d",
    ),
    "mode": (
        lambda w: w.path(f"{API}.key").chmod(0o644),
        "cp-1/apiserver",
        "rewrite",
        Reason.MODE,
        f"{API}.key mode 0644, must be 0600",
    ),
    "mode-of-a-copy": (
        lambda w: w.path(f"{PKI}/ca.key").chmod(0o640),
        f"{PKI}/ca.key",
        "rewrite",
        Reason.MODE,
        f"{PKI}/ca.key mode 0640, must be 0600",
    ),
    "mode-of-a-kubeconfig": (
        lambda w: w.path(ADMIN).chmod(0o604),
        "cp-1/admin.conf",
        "rewrite",
        Reason.MODE,
        f"{ADMIN} mode 0604, must be 0600",
    ),
    "mode-of-the-sa-key": (
        lambda w: w.path("pki/sa.key").chmod(0o660),
        "sa",
        "rewrite",
        Reason.MODE,
        "mode 0660",
    ),
    "mode-of-the-encryption-key": (
        lambda w: w.path("pki/encryption.key").chmod(0o644),
        "encryption-key",
        "rewrite",
        Reason.MODE,
        "mode 0644, must be 0600",
    ),
    "content-of-a-manifest": (
        lambda w: w.path(MANIFEST).write_bytes(w.read(MANIFEST) + b"# mine\n"),
        MANIFEST,
        "rewrite",
        Reason.CONTENT_CHANGED,
        "differs from what the spec and the templates give",
    ),
    "content-of-a-kubeconfig": (
        lambda w: edit(w, ADMIN, b"https://10.0.0.11:6443", b"https://10.0.0.66:6443"),
        "cp-1/admin.conf",
        "rewrite",
        Reason.CONTENT_CHANGED,
        "has another server, name or CA than the spec gives",
    ),
    "content-of-a-bundle": (
        lambda w: w.path(f"{PKI}/ca.crt").write_bytes(w.read("pki/ca.crt") + w.read("pki/etcd/ca.crt")),
        f"{PKI}/ca.crt",
        "rewrite",
        Reason.CONTENT_CHANGED,
        "is not the ca trust bundle of the authority",
    ),
    "order-of-a-bundle": (
        lambda w: w.path(f"{PKI}/ca.crt").write_bytes(2 * w.read("pki/ca.crt")),
        f"{PKI}/ca.crt",
        "rewrite",
        Reason.ORDER_CHANGED,
        "does not have the signing CA first",
    ),
    "content-of-a-ca-key": (
        lambda w: w.path(f"{PKI}/ca.key").write_bytes(w.read("pki/etcd/ca.key")),
        f"{PKI}/ca.key",
        "rewrite",
        Reason.CONTENT_CHANGED,
        "is not the ca CA key of the authority",
    ),
    "sa-pub-missing": (
        lambda w: w.path("pki/sa.pub").unlink(),
        "sa",
        "rewrite",
        Reason.CONTENT_CHANGED,
        "pki/sa.pub is not the public half of pki/sa.key",
    ),
    "sa-pub-stale": (
        lambda w: w.path("pki/sa.pub").write_bytes(public_pem(ec.generate_private_key(ec.SECP256R1()))),
        "sa",
        "rewrite",
        Reason.CONTENT_CHANGED,
        "pki/sa.pub is not the public half of pki/sa.key",
    ),
    "sa-missing": (
        lambda w: w.path("pki/sa.key").unlink(),
        "sa",
        "create",
        Reason.MISSING,
        "pki/sa.key is missing",
    ),
    "sa-unreadable": (
        lambda w: w.path("pki/sa.key").write_bytes(b"?"),
        "sa",
        "reissue",
        Reason.UNREADABLE,
        "pki/sa.key is not a PEM private key",
    ),
    "encryption-key-missing": (
        lambda w: w.path("pki/encryption.key").unlink(),
        "encryption-key",
        "create",
        Reason.MISSING,
        "pki/encryption.key is missing",
    ),
    "encryption-key-damaged": (
        lambda w: w.path("pki/encryption.key").write_bytes(b"c2hvcnQ="),
        "encryption-key",
        "reissue",
        Reason.UNREADABLE,
        "is not 32 bytes in base64",
    ),
    "not-wanted": (
        lambda w: follow(w, CP1),
        "nodes/worker-1",
        "remove",
        Reason.NOT_WANTED,
        "node worker-1 is not in the spec; its",
    ),
    "not-wanted-file": (
        lambda w: w.follow(spec(CP1, W1)),
        f"{PKI}/encryption-config.yaml",
        "remove",
        Reason.NOT_WANTED,
        "the spec no longer asks for it",
    ),
    "lock-missing": (
        lambda w: w.path("pki.lock").unlink(),
        "pki.lock",
        "create",
        Reason.MISSING,
        "pki.lock is missing",
    ),
    "lock-edited": (
        lambda w: edit(w, "pki.lock", b'"cluster": "prod"', b'"cluster": "test"'),
        "pki.lock",
        "rewrite",
        Reason.CONTENT_CHANGED,
        "pki.lock does not describe this tree and this spec",
    ),
    "lock-unreadable": (
        lambda w: (w.path("pki.lock").unlink(), w.path("pki.lock").mkdir()),
        "pki.lock",
        "rewrite",
        Reason.UNREADABLE,
        "pki.lock is a directory",
    ),
    "only-the-spec-changed": (
        lambda w: follow(w, backups={"keep": 3}),
        "pki.lock",
        "rewrite",
        Reason.CONTENT_CHANGED,
        "pki.lock does not describe this tree and this spec",
    ),
}


def addresses_as_names(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    names = x509.SubjectAlternativeName([x509.DNSName("cp-1"), x509.DNSName("10.0.0.11")])
    return without_extension(names.oid)(builder).add_extension(names, critical=False)


def critical_names(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    oid = x509.SubjectAlternativeName.oid
    names = next(each.value for each in builder._extensions if each.oid == oid)  # noqa: SLF001
    return without_extension(oid)(builder).add_extension(names, critical=True)


def outliving(world: World, builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    end = signer(world, CA.KUBERNETES).certificate.not_valid_after_utc + timedelta(days=3)
    builder._not_valid_after = end.replace(tzinfo=None)  # noqa: SLF001 -- it can be set only once
    return builder


@pytest.mark.parametrize("name", CASES)
def test_each_reason(name: str, world: World) -> None:
    change, identifier, verb, reason, detail = CASES[name]
    if name == "subject-changed":
        follow(world, users=[{"name": "dev1"}])
        world.apply()
    change(world)
    changes = {action.id: action for action in world.plan().changes}
    action = changes[identifier]
    assert (action.verb, action.reason) == (verb, reason)
    assert any(detail in each for each in action.details), action.details
    if name == "lock-unreadable":
        with pytest.raises(UnsafePathError, match="is a directory"):
            world.apply()
        return
    done = world.apply()
    assert world.plan().changes == ()
    assert world.verify().findings == ()
    if verb != "create":
        assert done.backup is not None


def test_every_reason_has_a_case() -> None:
    covered = {reason for _, _, _, reason, _ in CASES.values()} | {Reason.REQUESTED}
    # Rotations, sealed authorities and keys that are on the nodes have their own tests.
    elsewhere = {Reason.ROTATION, Reason.NOT_SEALED, Reason.AWAITS_REQUEST, Reason.KEY_NOT_ALONE}
    assert set(Reason) - covered <= elsewhere


# -- several faults at once ---------------------------------------------------------------------------


def test_a_kubeconfig_with_another_server_and_a_loose_mode(world: World) -> None:
    edit(world, ADMIN, b"https://10.0.0.11:6443", b"https://10.0.0.66:6443")
    world.path(ADMIN).chmod(0o666)
    assert world.reasons()["cp-1/admin.conf"] == ("rewrite", Reason.CONTENT_CHANGED)
    before = world.pem("cp-1/admin.conf")
    world.apply()
    assert world.plan().changes == ()
    assert world.pem("cp-1/admin.conf") == before


def test_a_stale_public_half_and_a_loose_private_one(world: World) -> None:
    world.path("pki/sa.pub").unlink()
    world.path("pki/sa.key").chmod(0o644)
    before = world.read("pki/sa.key")
    world.apply()
    assert world.plan().changes == ()
    assert world.read("pki/sa.key") == before


def test_certificates_swapped_between_nodes(tmp_path: Path) -> None:
    world = World(root=tmp_path / "prod", cluster=spec(CP1, CP2, CP3, W1, W2, **ENDPOINT))
    world.apply()
    path = "nodes/{}/var/lib/kubelet/pki/kubelet.{}"
    for kind in ("crt", "key"):
        one, other = (world.path(path.format(name, kind)) for name in ("worker-1", "worker-2"))
        first = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(first)
    changes = {action.id: action for action in world.plan().changes}
    assert set(changes) == {"worker-1/kubelet-serving", "worker-2/kubelet-serving"}
    assert changes["worker-1/kubelet-serving"].details == (
        "subject - CN=system:node:worker-2,O=system:nodes + CN=system:node:worker-1,O=system:nodes",
        "SANs + worker-1 + 10.0.0.21 - worker-2 - 10.0.0.22",
    )


def test_everything_that_is_wrong_is_told_and_the_weightiest_decides(world: World) -> None:
    reissued(world, "cp-1/kubelet-serving", begin=-4 * MINUTE, validity=MINUTE, change=critical_names)
    action = next(each for each in world.plan().changes if each.id == "cp-1/kubelet-serving")
    assert (action.verb, action.reason) == ("reissue", Reason.SANS_CHANGED)
    assert action.details == ("SANs are critical, must not be", "expired 2026-03-01 11:57 UTC")


def test_a_changed_ca_carries_to_all_that_depends_on_it(world: World) -> None:
    for kind in ("crt", "key"):
        world.path(f"pki/ca.{kind}").unlink()
    changes = world.reasons()
    assert changes["ca"] == ("create", Reason.MISSING)
    for identifier, item in world.inventory.certificates.items():
        if item.issuer is CA.KUBERNETES:
            assert changes[identifier] == ("reissue", Reason.ISSUER_REPLACED)
    for path in (
        f"{PKI}/ca.crt",
        f"{PKI}/ca.key",
        f"{PKI}/ca-signing.crt",
        "nodes/worker-1/etc/kubernetes/pki/ca.crt",
    ):
        assert changes[path] == ("rewrite", Reason.CONTENT_CHANGED)
    assert "cp-1/etcd-server" not in changes
    world.apply()
    assert world.verify().findings == ()


# -- renewal ------------------------------------------------------------------------------------------


def test_asking_for_one_renews_it_alone(world: World) -> None:
    before = world.fingerprints()
    key = world.read(f"{API}.key")
    done = world.apply(Selection(ids=frozenset({"cp-1/apiserver"})))
    assert done.issued == ("cp-1/apiserver",)
    after = world.fingerprints()
    assert {name for name in after if after[name] != before[name]} == {"cp-1/apiserver"}
    assert world.read(f"{API}.key") != key


def test_asking_for_one_leaves_others_that_are_due(world: World) -> None:
    later = World(root=world.root, cluster=world.cluster, now=NOW + timedelta(days=350))
    done = later.apply(Selection(within=timedelta(), ids=frozenset({"cp-1/apiserver"})))
    assert done.issued == ("cp-1/apiserver",)
    assert later.reasons()["cp-1/admin.conf"] == ("renew", Reason.EXPIRES_SOON)


def keys_of(world: World) -> dict[str, bytes]:
    return {path: world.read(path) for path in world.inventory.paths if path.endswith(".key")}


def test_keys_are_kept_on_request(world: World) -> None:
    leaves = {name for name, item in world.inventory.certificates.items() if item.issuer is not None}
    keys = keys_of(world)
    admin = re.search(rb"client-key-data: (\S+)", world.read(ADMIN))
    before = world.fingerprints()
    world.apply(Selection(ids=frozenset(leaves)), reuse_keys=True)
    after = world.fingerprints()
    assert keys_of(world) == keys
    again = re.search(rb"client-key-data: (\S+)", world.read(ADMIN))
    assert admin is not None
    assert again is not None
    assert admin[1] == again[1]
    assert {name for name in after if after[name] != before[name]} == leaves


@pytest.mark.parametrize("algorithm", ["RSA-2048", "RSA-3072"])
def test_rsa_keys_are_kept_too(algorithm: str, tmp_path: Path) -> None:
    overrides = {"apiserver": {"keyAlgorithm": algorithm}}
    world = World(root=tmp_path / "prod", cluster=spec(CP1, certificates={"overrides": overrides}))
    world.apply()
    key = world.read(f"{API}.key")
    world.apply(Selection(ids=frozenset({"cp-1/apiserver"})), reuse_keys=True)
    assert world.read(f"{API}.key") == key
    assert world.verify().findings == ()


def test_a_window_takes_what_ends_within_it(world: World) -> None:
    everything = {name for name, item in world.inventory.certificates.items() if item.issuer is not None}
    assert world.plan(Selection(within=timedelta(hours=8759))).changes == ()
    wide = world.plan(Selection(within=timedelta(hours=8760)))
    assert {action.id for action in wide.changes} == everything
    assert {action.verb for action in wide.changes} == {"renew"}


def test_life_after_years(world: World) -> None:
    """A cluster that is kept: renewed a month before the end each year, until its CA ends."""
    for months in range(0, 120, 11):
        kept = World(root=world.root, cluster=world.cluster, now=NOW + timedelta(days=30 * months))
        assert {action.verb for action in kept.plan().changes} <= {"renew"}
        kept.apply()
        assert kept.plan().changes == ()
        assert kept.verify().findings == ()


# -- risks --------------------------------------------------------------------------------------------


def risks_of(world: World) -> tuple[str, ...]:
    return risks(world.plan(), world.inventory)


def test_no_risk_in_ordinary_changes(world: World, tmp_path: Path) -> None:
    assert risks_of(World(root=tmp_path / "new", cluster=world.cluster)) == ()
    assert risks_of(world) == ()
    follow(world, CP1, W1, W2)
    assert risks_of(world) == ()
    later = World(root=world.root, cluster=world.cluster, now=NOW + timedelta(days=364))
    assert risks_of(later) == ()  # all are due, which is what renewal is for


def test_a_new_ca_is_a_risk(world: World) -> None:
    for kind in ("crt", "key"):
        world.path(f"pki/front-proxy-ca.{kind}").unlink()
    (sentence,) = risks_of(world)
    assert "it makes a new front-proxy-ca CA although certificates of the present one exist" in sentence


def test_reissuing_more_than_half_is_a_risk(world: World) -> None:
    follow(world, certificates={"keyAlgorithm": "ECDSA-P384"})
    sentences = risks_of(world)
    assert len(sentences) == 1
    assert re.fullmatch(
        r"it reissues (\d+) of \1 certificates for a reason other than expiry \(algorithm-changed\)",
        sentences[0],
    )


def test_a_new_service_account_key_is_a_risk(world: World) -> None:
    world.path("pki/sa.key").unlink()
    assert "it replaces the service account key" in risks_of(world)[0]
    world.path("pki/sa.key").write_bytes(b"damaged")
    assert "it replaces the service account key" in risks_of(world)[0]


@pytest.mark.parametrize("damage", [None, b"damaged"])
def test_a_new_encryption_key_is_a_risk(damage: bytes | None, world: World) -> None:
    if damage is None:
        world.path("pki/encryption.key").unlink()
    else:
        world.path("pki/encryption.key").write_bytes(damage)
    assert (
        "Secrets that etcd holds encrypted with the present key cannot be read any more" in risks_of(world)[0]
    )


def test_giving_up_encryption_is_a_risk(world: World) -> None:
    world.follow(spec(CP1, W1))
    assert "it removes pki/encryption.key" in risks_of(world)[0]


def test_giving_up_the_etcd_ca_is_a_risk(world: World) -> None:
    follow(world, etcd={"external": {"endpoints": ["http://10.0.1.1:2379"]}})
    assert "it removes pki/etcd/ca.key, a CA's private key" in risks_of(world)


# -- what is not touched ------------------------------------------------------------------------------


def test_a_second_plan_reads_and_writes_nothing(world: World) -> None:
    def stamps() -> dict[str, tuple[int, int]]:
        return {str(each): (each.lstat().st_mtime_ns, each.lstat().st_ino) for each in world.root.rglob("*")}

    before, files = stamps(), snapshot(world.root)
    assert world.plan().changes == ()
    assert world.verify().findings == ()
    assert stamps() == before
    assert snapshot(world.root) == files


def test_a_node_that_left_moves_to_the_backup(world: World) -> None:
    tree = {path: kept for path, kept in snapshot(world.root).items() if path.startswith("nodes/worker-1/")}
    mine = "nodes/worker-1/etc/mine.txt"
    world.path(mine).write_text("a file of the operator's")
    follow(world, CP1)
    done = world.apply()
    assert done.backup is not None
    assert not world.path("nodes/worker-1").exists()
    with Store.open_reading(world.root) as store:
        for path, (mode, content) in tree.items():
            kept = store.read_backup(done.backup, path)
            assert (kept.mode, kept.data) == (mode, content)
        assert store.read_backup(done.backup, mine).data == b"a file of the operator's"
    assert world.plan().changes == ()


def test_a_node_called_like_a_ca(tmp_path: Path) -> None:
    nodes = [
        node(name, f"10.0.0.{number}") for number, name in enumerate(("ca", "sa", "etcd-ca", "pki.lock"), 31)
    ]
    world = World(root=tmp_path / "prod", cluster=spec(CP1, *nodes))
    world.apply()
    before = {name: world.pem(name) for name in ("ca", "etcd-ca")}
    world.follow(spec(CP1))
    assert {action.verb for action in world.plan().changes} == {"remove"}
    assert risks_of(world) == ()
    world.apply()
    assert {name: world.pem(name) for name in before} == before
    assert world.plan().changes == ()


def test_files_of_other_origin_stay(world: World) -> None:
    others = ["README.md", "nodes/cp-1/etc/mine.txt", "nodes/notes.txt", "pki/notes.txt"]
    for path in others:
        world.path(path).write_text("mine")
    follow(world, CP1, W1, W2)
    world.apply()
    assert all(world.path(path).read_text() == "mine" for path in others)
    # Kept, and said of those that would be copied to a host.
    found = {(each.subject, each.reason) for each in world.verify().findings}
    assert found == {(path, "unexpected-file") for path in others if path.startswith("nodes/")}


# -- a plan that was reviewed -------------------------------------------------------------------------

MOVES: dict[str, Callable[[World], object]] = {
    "another-finding": lambda w: w.path(f"{PKI}/sa.pub").unlink(),
    "a-file-edited-again": lambda w: w.path(MANIFEST).write_bytes(b"other"),
    "a-kept-file-touched": lambda w: w.path(f"{PKI}/ca.key").chmod(0o400),
    "a-certificate-renewed": lambda w: reissued(w, "cp-1/kubelet-serving"),
    "the-spec": lambda w: follow(w, certificates={"validity": "1000h"}),
    "a-node-more": lambda w: follow(w, CP1, W1, W2),
    "time": lambda w: setattr(w, "now", NOW + timedelta(days=340)),
}


@pytest.mark.parametrize("name", MOVES)
def test_the_digest_changes_when_the_world_moves(name: str, world: World) -> None:
    world.path(MANIFEST).write_bytes(b"edited")
    before = world.plan()
    assert world.plan().digest == before.digest
    MOVES[name](world)
    assert world.plan().digest != before.digest


def test_the_digest_does_not_depend_on_the_order_of_nodes(world: World) -> None:
    before = world.plan().digest
    follow(world, W1, CP1)
    assert world.plan().digest == before


# -- failures -----------------------------------------------------------------------------------------


class Broken(Renderer):
    """Fails at the n-th file."""

    left = 5

    def file(self, *arguments: Any, **named: Any) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("a template fails")
        return super().file(*arguments, **named)


def failing_entropy(after: int) -> Callable[[int], bytes]:
    left = iter(range(after))

    def entropy(count: int) -> bytes:
        if next(left, None) is None:
            raise OSError("no more randomness")
        return os.urandom(count)

    return entropy


@pytest.mark.parametrize("after", [0, 1, 3, 7])
def test_without_randomness_nothing_changes(after: int, world: World) -> None:
    follow(world, CP1, W1, W2, certificates={"keyAlgorithm": "ECDSA-P384"})
    before = snapshot(world.root)
    world.entropy = failing_entropy(after)
    with pytest.raises(OSError, match="no more randomness"):
        world.apply()
    assert snapshot(world.root) == before
    world.entropy = os.urandom
    world.apply()
    assert world.verify().findings == ()


@pytest.mark.parametrize("fails", [0, 1, 6])
def test_a_template_that_fails_changes_nothing(fails: int, world: World) -> None:
    plan_before = world.plan()
    follow(world, CP1, W1, W2, apiServer={"bindPort": 7443})
    before = snapshot(world.root)
    with world.writing() as store:
        plan = world.plan_of(store)
        world.renderer = Broken(world.inventory)
        world.renderer.left = fails
        with pytest.raises(RuntimeError, match="a template fails"):
            apply_plan(plan, world.inventory, store, world.tools())
    assert snapshot(world.root) == before
    assert plan_before.changes == ()


def test_a_staged_tree_that_is_not_what_was_planned_is_not_committed(world: World) -> None:
    """pkigen's own faults: a renderer that gives other bytes when asked again."""

    class Fickle(Renderer):
        calls = 0

        def file(self, *arguments: Any, **named: Any) -> bytes:
            self.calls += 1
            return super().file(*arguments, **named) + b"# %d\n" % self.calls

    before = snapshot(world.root)
    world.renderer = Fickle(world.inventory)
    with pytest.raises(StagedTreeError, match="the staged tree still needs a change: rewrite nodes/cp-1"):
        world.apply()
    assert snapshot(world.root) == before


def test_a_plan_of_another_inventory_is_refused(world: World) -> None:
    with world.writing() as store:
        plan = world.plan_of(store)
        follow(world, CP1, W1, W2)
        with pytest.raises(StoreError, match="the staged tree still needs a change"):
            apply_plan(plan, world.inventory, store, world.tools())


# -- any two specs ------------------------------------------------------------------------------------


@given(first=clusters(), second=clusters())
@settings(
    max_examples=min(wanted(5), MANY),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_from_any_spec_to_any_other(
    first: ClusterSpec, second: ClusterSpec, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = World(root=tmp_path_factory.mktemp("two") / "prod", cluster=first)
    world.apply()
    assert world.plan().changes == ()
    before = world.fingerprints()
    items = world.inventory.certificates
    world.follow(second)
    plan = world.plan()
    world.apply()
    assert world.plan().changes == ()
    assert world.verify().findings == ()
    # Nothing of the first is left that the second does not have …
    left = {path for path in snapshot(world.root) if not path.startswith(".pkigen/")}
    assert left == world.inventory.paths | {"pki.lock"}
    assert directories(world.root) == {
        str(parent) for path in left for parent in PurePosixPath(path).parents if parent.name
    }
    # … and nothing that both have was issued again.
    after = world.fingerprints()
    for identifier in shared(items, world, plan):
        assert after[identifier] == before[identifier], identifier


def directories(root: Path) -> set[str]:
    """Every directory of the tree, empty ones too."""
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_dir())
    return {str(path) for path in found if path.parts[0] != ".pkigen"}


def shared(items: dict[str, Any], world: World, plan: Plan) -> list[str]:
    """Certificates that both inventories have with the same content at the same place."""

    def content(item: Any) -> tuple[object, ...]:
        return (
            item.subject,
            frozenset(item.sans.texts()),
            item.profile,
            item.key_algorithm,
            item.issuer,
            item.location,
        )

    kept = {
        action.id
        for action in plan.actions
        if isinstance(action, Keep) or action.reason is Reason.CONTENT_CHANGED
    }
    same = [
        name
        for name, item in world.inventory.certificates.items()
        if name in items and (item.issuer is None or content(item) == content(items[name]))
    ]
    # What would be due under the shorter life that the second spec asks for is renewed, with that reason.
    due = {action.id for action in plan.changes if action.reason is Reason.EXPIRES_SOON}
    assert set(same) - kept <= due
    return [name for name in same if name in kept]


# -- small things -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (timedelta(days=3650), "10y"),
        (timedelta(days=364, hours=23), "364d"),
        (timedelta(days=1), "1d"),
        (timedelta(hours=23, minutes=59), "23h"),
        (timedelta(minutes=45), "45m"),
        (timedelta(seconds=10), "10s"),
        (timedelta(), "0s"),
        (-timedelta(hours=5), "-5h"),
    ],
)
def test_residual_times(left: timedelta, text: str) -> None:
    assert residual(left) == text


def test_embedded_data_is_really_compared(world: World) -> None:
    """Another user's certificate and key in admin.conf, which belong together: the subject tells."""
    stolen = world.read("nodes/cp-1/etc/kubernetes/super-admin.conf")
    world.path(ADMIN).write_bytes(stolen)
    action = next(each for each in world.plan().changes if each.id == "cp-1/admin.conf")
    assert action.reason is Reason.SUBJECT_CHANGED
    assert base64.b64encode(world.pem("cp-1/admin.conf")) in stolen


def actions_of(plan: Plan, kind: type[Action]) -> list[str]:
    return [action.id for action in plan.actions if isinstance(action, kind)]


def test_a_plan_without_changes_keeps_everything(world: World) -> None:
    plan = world.plan()
    assert len(actions_of(plan, Keep)) == len(plan.actions) > 0
