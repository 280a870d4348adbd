"""`verify` against a matrix of trees that are wrong in one thing each, and against right ones.

A mutant is flagged when there is a finding about the file or the object that was changed.
"""

from __future__ import annotations

import base64
import json
import os
import random
import re
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings

from pkigen.crypto.issuance import certificate_pem
from pkigen.crypto.keys import load_private, private_pem
from pkigen.desired.generations import CA, InKubeconfig
from tests.samples import CP1, CP2, ENDPOINT, NOW, W1, W2, World, spec
from tests.strategies import clusters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pkigen.crypto.keys import PrivateKey
    from pkigen.spec.model import ClusterSpec

PKI = "nodes/cp-1/etc/kubernetes/pki"
CONF = "nodes/cp-1/etc/kubernetes"
API = "cp-1/apiserver"
MANIFEST = f"{CONF}/manifests/kube-apiserver.yaml"
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> World:
    cluster = spec(CP1, CP2, W1, W2, **ENDPOINT, encryption={}, users=[{"name": "dev1", "groups": ["ops"]}])
    world = World(root=tmp_path_factory.mktemp("pattern") / "prod", cluster=cluster)
    world.apply()
    world.apply()  # the ledger and the lock of a second run
    return world


@pytest.fixture
def world(pattern: World, tmp_path: Path) -> World:
    root = tmp_path / "prod"
    shutil.copytree(pattern.root, root)
    return World(root=root, cluster=pattern.cluster)


# -- certificates built by hand -----------------------------------------------------------------------


@dataclass
class Parts:
    """Everything a certificate is made of, to be changed before it is signed."""

    subject: x509.Name
    issuer: x509.Name
    key: PrivateKey
    begin: datetime
    end: datetime
    extensions: list[tuple[x509.ExtensionType, bool]]
    signer: PrivateKey
    algorithm: hashes.HashAlgorithm
    after: tuple[x509.Certificate, ...] = ()

    def replace(
        self,
        kind: type[x509.ExtensionType],
        value: x509.ExtensionType | None,
        *,
        critical: bool | None = None,
    ) -> None:
        """Put another extension of a kind, or none, or flip its criticality."""
        old = [each for each in self.extensions if isinstance(each[0], kind)]
        self.extensions = [each for each in self.extensions if not isinstance(each[0], kind)]
        if value is not None:
            was = old[0][1] if old else False
            self.extensions.append((value, was if critical is None else critical))

    def flip(self, kind: type[x509.ExtensionType]) -> None:
        """Make an extension critical, or not."""
        self.extensions = [
            (value, critical is not isinstance(value, kind)) for value, critical in self.extensions
        ]

    def certificate(self) -> x509.Certificate:
        """Sign."""
        builder = x509.CertificateBuilder(
            subject_name=self.subject,
            issuer_name=self.issuer,
            public_key=self.key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=self.begin.replace(tzinfo=None),
            not_valid_after=self.end.replace(tzinfo=None),
        )
        for value, critical in self.extensions:
            builder = builder.add_extension(value, critical=critical)
        return builder.sign(self.signer, self.algorithm)  # type: ignore[arg-type]


def parts(world: World, identifier: str, ca: CA = CA.KUBERNETES) -> Parts:
    """What the good certificate is made of."""
    good = world.certificate(identifier)
    return Parts(
        subject=good.subject,
        issuer=good.issuer,
        key=load_private(key_of(world, identifier)),
        begin=good.not_valid_before_utc,
        end=good.not_valid_after_utc,
        extensions=[(each.value, each.critical) for each in good.extensions],
        signer=load_private(world.read(f"pki/{ca}.key")),
        algorithm=hashes.SHA256(),
    )


def key_of(world: World, identifier: str) -> bytes:
    location = world.inventory.certificates[identifier].location
    if isinstance(location, InKubeconfig):
        return base64.b64decode(re.search(rb"client-key-data: (\S+)", world.read(location.kubeconfig))[1])  # type: ignore[index]
    return world.read(location.key)


def put(world: World, identifier: str, certificate: bytes, key: bytes) -> None:
    location = world.inventory.certificates[identifier].location
    if isinstance(location, InKubeconfig):
        content = world.read(location.kubeconfig)
        for name, data in ((b"client-certificate-data", certificate), (b"client-key-data", key)):
            content = re.sub(rb"(%s: )\S+" % name, rb"\g<1>" + base64.b64encode(data), content)
        world.path(location.kubeconfig).write_bytes(content)
        return
    world.path(location.certificate).write_bytes(certificate)
    world.path(location.key).write_bytes(key)


Mutation = "Callable[[World], object]"


def built(
    identifier: str, change: Callable[[Parts, World], object], ca: CA = CA.KUBERNETES
) -> tuple[Callable[[World], None], str]:
    """A mutant: a certificate signed by the right CA with one thing changed."""

    def mutate(world: World) -> None:
        made = parts(world, identifier, ca)
        change(made, world)
        chain = (made.certificate(), *made.after)
        put(world, identifier, certificate_pem(*chain), private_pem(made.key))

    return mutate, identifier


def names(*organizations: str, cn: str) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    return x509.Name([*groups, *([x509.NameAttribute(NameOID.COMMON_NAME, cn)] if cn else [])])


def without_san(made: Parts, name: str) -> None:
    _with_sans(made, lambda found: [each for each in found if str(each.value) != name])


def with_san(made: Parts, name: x509.GeneralName) -> None:
    _with_sans(made, lambda found: [*found, name])


def _with_sans(made: Parts, change: Callable[[list[x509.GeneralName]], list[x509.GeneralName]]) -> None:
    found = next(value for value, _ in made.extensions if isinstance(value, x509.SubjectAlternativeName))
    made.replace(x509.SubjectAlternativeName, x509.SubjectAlternativeName(change(list(found))))


def usages(*, sign: bool = False, signature: bool = True, encipher: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signature,
        content_commitment=False,
        key_encipherment=encipher,
        data_encipherment=False,
        key_agreement=not signature and not sign,
        key_cert_sign=sign,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def extended(made: Parts, *oids: x509.ObjectIdentifier) -> None:
    made.replace(x509.ExtendedKeyUsage, x509.ExtendedKeyUsage(oids) if oids else None)


def other_key_identifier(made: Parts, _: World) -> None:
    made.replace(x509.AuthorityKeyIdentifier, x509.AuthorityKeyIdentifier(b"x" * 20, None, None))


def foreign(made: Parts, _: World) -> None:
    made.signer = ec.generate_private_key(ec.SECP256R1())


def by_another_ca(ca: CA, *, keep_name: bool) -> Callable[[Parts, World], None]:
    def change(made: Parts, world: World) -> None:
        made.signer = load_private(world.read(f"pki/{ca}.key"))
        if not keep_name:
            made.issuer = x509.load_pem_x509_certificate(world.read(f"pki/{ca}.crt")).subject

    return change


def outliving(made: Parts, world: World) -> None:
    made.end = world.certificate("ca").not_valid_after_utc + timedelta(seconds=1)


def self_signed(made: Parts, _: World) -> None:
    made.signer, made.issuer = made.key, made.subject


def sub_ca(made: Parts, _: World) -> None:
    made.replace(x509.BasicConstraints, x509.BasicConstraints(ca=True, path_length=None))
    made.replace(x509.KeyUsage, usages(sign=True))


WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505 -- it must be found

BUILT: dict[str, tuple[Callable[[World], None], str]] = {
    "eku-client-on-server": built(API, lambda m, _: extended(m, CLIENT)),
    "eku-server-on-client": built("cp-1/apiserver-kubelet-client", lambda m, _: extended(m, SERVER)),
    "eku-missing": built(API, lambda m, _: extended(m)),
    "eku-both": built(API, lambda m, _: extended(m, SERVER, CLIENT)),
    "eku-any": built("cp-1/admin.conf", lambda m, _: extended(m, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)),
    "eku-critical": built(API, lambda m, _: m.flip(x509.ExtendedKeyUsage)),
    "san-missing-name": built(API, lambda m, _: without_san(m, "kubernetes.default.svc")),
    "san-missing-address": built(API, lambda m, _: without_san(m, "10.96.0.1")),
    "san-extra-name": built(API, lambda m, _: with_san(m, x509.DNSName("evil.example.com"))),
    "san-extra-wildcard": built(API, lambda m, _: with_san(m, x509.DNSName("*"))),
    "san-extra-address": built(
        API, lambda m, _: with_san(m, x509.IPAddress(__import__("ipaddress").ip_address("10.9.9.9")))
    ),
    "san-uri": built(API, lambda m, _: with_san(m, x509.UniformResourceIdentifier("spiffe://x/y"))),
    "san-on-client": built(
        "cp-1/front-proxy-client",
        lambda m, _: m.replace(x509.SubjectAlternativeName, x509.SubjectAlternativeName([x509.DNSName("x")])),
        CA.FRONT_PROXY,
    ),
    "san-gone": built(API, lambda m, _: m.replace(x509.SubjectAlternativeName, None)),
    "san-address-as-name": built(
        API, lambda m, _: (without_san(m, "10.0.0.11"), with_san(m, x509.DNSName("10.0.0.11")))
    ),
    "san-critical": built(API, lambda m, _: m.flip(x509.SubjectAlternativeName)),
    "cn-of-another-node": built(
        "worker-1/kubelet.conf",
        lambda m, _: setattr(m, "subject", names("system:nodes", cn="system:node:cp-1")),
    ),
    "cn-empty": built(API, lambda m, _: setattr(m, "subject", names(cn=""))),
    "cn-other-front-proxy": built(
        "cp-1/front-proxy-client", lambda m, _: setattr(m, "subject", names(cn="aggregator")), CA.FRONT_PROXY
    ),
    "o-masters-on-admin": built(
        "cp-1/admin.conf", lambda m, _: setattr(m, "subject", names("system:masters", cn="kubernetes-admin"))
    ),
    "o-extra": built(
        "user:dev1", lambda m, _: setattr(m, "subject", names("ops", "system:masters", cn="dev1"))
    ),
    "o-missing": built(
        "worker-1/kubelet.conf", lambda m, _: setattr(m, "subject", names(cn="system:node:worker-1"))
    ),
    "o-on-kubelet-client": built(
        "cp-1/apiserver-kubelet-client",
        lambda m, _: setattr(m, "subject", names("system:masters", cn="kube-apiserver-kubelet-client")),
    ),
    "expired": built(API, lambda m, _: setattr(m, "end", NOW - timedelta(minutes=1))),
    "not-yet-valid": built(API, lambda m, _: setattr(m, "begin", NOW + timedelta(minutes=1))),
    "outlives-its-ca": built(API, outliving),
    "foreign-signature": built(API, foreign),
    "signed-by-etcd-ca": built(API, by_another_ca(CA.ETCD, keep_name=False)),
    "signed-by-front-proxy-ca-under-our-name": built(
        "cp-1/admin.conf", by_another_ca(CA.FRONT_PROXY, keep_name=True)
    ),
    "etcd-client-from-kubernetes-ca": built(
        "cp-1/apiserver-etcd-client", by_another_ca(CA.KUBERNETES, keep_name=False), CA.ETCD
    ),
    "self-signed": built(API, self_signed),
    "ca-as-leaf": built(API, sub_ca),
    "ca-flag-without-usage": built(
        API, lambda m, _: m.replace(x509.BasicConstraints, x509.BasicConstraints(ca=True, path_length=0))
    ),
    "key-cert-sign-on-leaf": built(API, lambda m, _: m.replace(x509.KeyUsage, usages(sign=True))),
    "no-digital-signature": built(API, lambda m, _: m.replace(x509.KeyUsage, usages(signature=False))),
    "key-encipherment-on-ec": built(API, lambda m, _: m.replace(x509.KeyUsage, usages(encipher=True))),
    "key-usage-missing": built(API, lambda m, _: m.replace(x509.KeyUsage, None)),
    "key-usage-not-critical": built(API, lambda m, _: m.flip(x509.KeyUsage)),
    "constraints-missing": built(API, lambda m, _: m.replace(x509.BasicConstraints, None)),
    "constraints-not-critical": built(API, lambda m, _: m.flip(x509.BasicConstraints)),
    "aki-missing": built(API, lambda m, _: m.replace(x509.AuthorityKeyIdentifier, None)),
    "aki-of-another": built(API, other_key_identifier),
    "aki-critical": built(API, lambda m, _: m.flip(x509.AuthorityKeyIdentifier)),
    "ski-missing": built(API, lambda m, _: m.replace(x509.SubjectKeyIdentifier, None)),
    "ski-of-another": built(
        API, lambda m, _: m.replace(x509.SubjectKeyIdentifier, x509.SubjectKeyIdentifier(b"x" * 20))
    ),
    "extra-extension": built(API, lambda m, _: m.extensions.append((x509.OCSPNoCheck(), False))),
    "critical-unknown-extension": built(
        API,
        lambda m, _: m.extensions.append(
            (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), True)
        ),
    ),
    "name-constraints-on-leaf": built(
        API, lambda m, _: m.extensions.append((x509.NameConstraints([x509.DNSName("x")], None), True))
    ),
    "rsa-1024": built(API, lambda m, _: setattr(m, "key", WEAK)),
    "rsa-2048-instead-of-ec": built(
        API, lambda m, _: setattr(m, "key", rsa.generate_private_key(65537, 2048))
    ),
    "other-curve": built(API, lambda m, _: setattr(m, "key", ec.generate_private_key(ec.SECP384R1()))),
    "ca-sent-along": built(API, lambda m, w: setattr(m, "after", (w.certificate("ca"),))),
    "two-leaves": built(API, lambda m, w: setattr(m, "after", (w.certificate("cp-2/apiserver"),))),
    "key-of-another-node": built(
        "worker-1/kubelet-serving",
        lambda m, w: setattr(m, "key", load_private(key_of(w, "worker-2/kubelet-serving"))),
    ),
    "key-of-a-ca": built(API, lambda m, w: setattr(m, "key", load_private(w.read("pki/etcd/ca.key")))),
    "key-of-the-tokens": built(API, lambda m, w: setattr(m, "key", load_private(w.read("pki/sa.key")))),
}


# -- files changed by hand ----------------------------------------------------------------------------


def write(path: str, content: bytes | str) -> Callable[[World], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda w: w.path(path).write_bytes(data)


def extra(path: str) -> Callable[[World], None]:
    def mutate(world: World) -> None:
        world.path(path).parent.mkdir(parents=True, exist_ok=True)
        world.path(path).write_bytes(b"hello\n")

    return mutate


def edit(path: str, change: Callable[[bytes], bytes]) -> Callable[[World], None]:
    def mutate(world: World) -> None:
        before = world.read(path)
        after = change(before)
        assert after != before
        world.path(path).write_bytes(after)

    return mutate


def copy(source: str, target: str) -> Callable[[World], object]:
    return lambda w: shutil.copy(w.path(source), w.path(target))


def swap(one: str, other: str) -> Callable[[World], None]:
    def mutate(world: World) -> None:
        first, second = world.read(one), world.read(other)
        world.path(one).write_bytes(second)
        world.path(other).write_bytes(first)

    return mutate


def instead(path: str, make: Callable[[Path], object]) -> Callable[[World], None]:
    def mutate(world: World) -> None:
        world.path(path).unlink()
        make(world.path(path))

    return mutate


def sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(100 << 20)


def bit(position: int) -> Callable[[bytes], bytes]:
    """Flip one bit of the DER inside the first PEM block."""

    def change(data: bytes) -> bytes:
        body = data.split(b"-----")[2]
        der = bytearray(base64.b64decode(body))
        der[position % len(der)] ^= 1
        label = data.split(b"-----")[1].removeprefix(b"BEGIN ")
        text = base64.encodebytes(bytes(der))
        return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label, text, label)

    return change


def fresh_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def lines(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    return lambda data: b"\n".join(change(data.rstrip(b"\n").split(b"\n"))) + b"\n"


LEDGER = ".pkigen/ledger.jsonl"
WORKER = "nodes/worker-1/etc/kubernetes"

FILES: dict[str, tuple[Callable[[World], object], str]] = {
    "certificate-missing": (lambda w: w.path(f"{PKI}/apiserver.crt").unlink(), API),
    "certificate-empty": (write(f"{PKI}/apiserver.crt", b""), API),
    "certificate-truncated": (edit(f"{PKI}/apiserver.crt", lambda d: d[: len(d) // 2]), API),
    "certificate-without-end": (
        edit(f"{PKI}/apiserver.crt", lambda d: d.replace(b"-----END", b"-----XXX")),
        API,
    ),
    "certificate-not-utf-8": (write(f"{PKI}/apiserver.crt", b"\xff\xfe\x00"), API),
    "certificate-bit-in-signature": (edit(f"{PKI}/apiserver.crt", bit(-3)), API),
    "certificate-bit-in-content": (edit(f"{PKI}/apiserver.crt", bit(40)), API),
    "certificate-signature-algorithm": (
        # ecdsa-with-SHA256 becomes one that nobody knows, in the outer and the inner place
        edit(f"{PKI}/apiserver.crt", lambda d: reencoded(d, "2a8648ce3d040302", "2a8648ce3d04037f")),
        API,
    ),
    "certificate-is-a-key": (copy(f"{PKI}/apiserver.key", f"{PKI}/apiserver.crt"), API),
    "key-beside-certificate-in-one-file": (edit(f"{PKI}/apiserver.crt", lambda d: d + fresh_key()), API),
    "key-missing": (lambda w: w.path(f"{PKI}/apiserver.key").unlink(), API),
    "key-empty": (write(f"{PKI}/apiserver.key", b""), API),
    "key-truncated": (edit(f"{PKI}/apiserver.key", lambda d: d[: len(d) // 2]), API),
    "key-of-other-type": (
        lambda w: w.path(f"{PKI}/apiserver.key").write_bytes(
            private_pem(rsa.generate_private_key(65537, 2048))
        ),
        API,
    ),
    "key-is-a-certificate": (copy(f"{PKI}/apiserver.crt", f"{PKI}/apiserver.key"), API),
    "key-file-with-two": (edit(f"{PKI}/apiserver.key", lambda d: d + fresh_key()), API),
    "keys-swapped": (swap(f"{PKI}/apiserver.key", f"{PKI}/apiserver-kubelet-client.key"), API),
    "pairs-swapped-between-nodes": (
        lambda w: [
            swap(f"{PKI}/apiserver.{kind}", f"{PKI.replace('cp-1', 'cp-2')}/apiserver.{kind}")(w)
            for kind in ("crt", "key")
        ],
        API,
    ),
    "directory-for-a-file": (instead(f"{PKI}/apiserver.crt", lambda p: p.mkdir()), API),
    "dangling-link": (instead(f"{PKI}/apiserver.crt", lambda p: p.symlink_to("absent")), API),
    "link-to-the-same-content": (
        instead(f"{PKI}/apiserver.key", lambda p: p.symlink_to(p.parent.parent / "admin.conf")),
        API,
    ),
    "fifo": (instead(f"{PKI}/apiserver.key", os.mkfifo), API),
    "sparse-100-mb": (instead(f"{PKI}/apiserver.crt", sparse), API),
    "key-mode": (lambda w: w.path(f"{PKI}/apiserver.key").chmod(0o644), API),
    "key-mode-group": (lambda w: w.path(f"{PKI}/apiserver.key").chmod(0o640), API),
    "certificate-mode-writable": (lambda w: w.path(f"{PKI}/apiserver.crt").chmod(0o666), API),
    "kubeconfig-mode": (lambda w: w.path(f"{CONF}/admin.conf").chmod(0o644), "cp-1/admin.conf"),
    "manifest-mode": (lambda w: w.path(MANIFEST).chmod(0o644), MANIFEST),
    "ca-key-mode": (lambda w: w.path("pki/ca.key").chmod(0o644), "ca"),
    "kubeconfig-server": (
        edit(f"{CONF}/admin.conf", lambda d: d.replace(b"api.prod.example.com", b"api.evil.example.com")),
        "cp-1/admin.conf",
    ),
    "kubeconfig-insecure": (
        edit(
            f"{CONF}/admin.conf",
            lambda d: d.replace(b"    server:", b"    insecure-skip-tls-verify: true\n    server:"),
        ),
        "cp-1/admin.conf",
    ),
    "kubeconfig-other-ca": (
        lambda w: edit(
            f"{CONF}/admin.conf",
            lambda d: d.replace(
                base64.b64encode(w.read("pki/ca.crt")), base64.b64encode(w.read("pki/etcd/ca.crt"))
            ),
        )(w),
        "cp-1/admin.conf",
    ),
    "kubeconfig-of-another-user": (copy(f"{CONF}/super-admin.conf", f"{CONF}/admin.conf"), "cp-1/admin.conf"),
    "kubeconfig-without-key": (
        edit(f"{CONF}/admin.conf", lambda d: re.sub(rb"    client-key-data: .*\n", b"", d)),
        "cp-1/admin.conf",
    ),
    "kubeconfig-key-not-base64": (
        edit(f"{CONF}/admin.conf", lambda d: re.sub(rb"(client-key-data: ....)", rb"\1=", d)),
        "cp-1/admin.conf",
    ),
    "kubeconfig-empty": (write(f"{CONF}/admin.conf", b""), "cp-1/admin.conf"),
    "kubeconfig-comment": (edit(f"{CONF}/admin.conf", lambda d: d + b"# hello\n"), "cp-1/admin.conf"),
    "bundle-with-a-stranger": (edit(f"{PKI}/ca.crt", lambda d: d + b"\n" + STRANGER), f"{PKI}/ca.crt"),
    "bundle-of-another-ca": (copy("pki/etcd/ca.crt", f"{PKI}/ca.crt"), f"{PKI}/ca.crt"),
    "bundle-empty-on-worker": (write(f"{WORKER}/pki/ca.crt", b""), f"{WORKER}/pki/ca.crt"),
    "request-header-ca-is-the-client-ca": (
        copy("pki/ca.crt", f"{PKI}/front-proxy-ca.crt"),
        f"{PKI}/front-proxy-ca.crt",
    ),
    "ca-key-on-node-of-another-ca": (copy("pki/etcd/ca.key", f"{PKI}/ca.key"), f"{PKI}/ca.key"),
    "ca-replaced-in-the-authority": (
        lambda w: [copy(f"pki/etcd/ca.{kind}", f"pki/front-proxy-ca.{kind}")(w) for kind in ("crt", "key")],
        "front-proxy-ca",
    ),
    "ca-key-missing": (lambda w: w.path("pki/ca.key").unlink(), "ca"),
    "ca-certificate-missing": (lambda w: w.path("pki/ca.crt").unlink(), "ca"),
    "ca-garbage": (write("pki/etcd/ca.crt", b"?"), "etcd-ca"),
    "sa-pub-missing": (lambda w: w.path("pki/sa.pub").unlink(), "sa"),
    "sa-pub-stale": (edit("pki/sa.pub", bit(60)), "sa"),
    "sa-key-is-a-ca-key": (
        lambda w: [w.path(p).write_bytes(w.read("pki/ca.key")) for p in ("pki/sa.key", f"{PKI}/sa.key")],
        "sa",
    ),
    "sa-key-of-node-differs": (write(f"{PKI}/sa.key", fresh_key()), f"{PKI}/sa.key"),
    "encryption-key-damaged": (write("pki/encryption.key", b"AAAA"), "encryption-key"),
    "encryption-config-edited": (
        edit(f"{PKI}/encryption-config.yaml", lambda d: d.replace(b"identity", b"identitx") + b"#"),
        f"{PKI}/encryption-config.yaml",
    ),
    "manifest-anonymous": (
        edit(
            MANIFEST,
            lambda d: d.replace(
                b"--authorization-config=/etc/kubernetes/pki/authorization-config.yaml",
                b"--authorization-mode=AlwaysAllow",
            ),
        ),
        MANIFEST,
    ),
    "authorization-anonymous": (
        edit(f"{PKI}/authorization-config.yaml", lambda d: d.replace(b"RBAC", b"AlwaysAllow")),
        f"{PKI}/authorization-config.yaml",
    ),
    "authorization-answered": (
        edit(f"{PKI}/authorization-webhook.yaml", lambda d: d.replace(b"127.0.0.1:0", b"10.0.0.9:443")),
        f"{PKI}/authorization-webhook.yaml",
    ),
    "manifest-missing": (lambda w: w.path(MANIFEST).unlink(), MANIFEST),
    "kubelet-config-edited": (
        edit("nodes/worker-1/var/lib/kubelet/config.yaml", lambda d: d + b"readOnlyPort: 10255\n"),
        "nodes/worker-1/var/lib/kubelet/config.yaml",
    ),
    "addon-edited": (edit("addons/cluster-admins.yaml", lambda d: d + b"# \n"), "addons/cluster-admins.yaml"),
    "extra-key-on-worker": (copy("pki/ca.key", f"{WORKER}/pki/ca.key"), f"{WORKER}/pki/ca.key"),
    "extra-key-of-another-node": (
        copy("nodes/worker-2/var/lib/kubelet/pki/kubelet.key", f"{WORKER}/notes.txt"),
        f"{WORKER}/notes.txt",
    ),
    "extra-kubeconfig-on-worker": (
        copy(f"{CONF}/admin.conf", f"{WORKER}/admin.conf"),
        f"{WORKER}/admin.conf",
    ),
    "extra-link-on-worker": (
        lambda w: w.path(f"{WORKER}/link").symlink_to("/etc/passwd"),
        f"{WORKER}/link",
    ),
    "key-in-the-root": (copy("pki/ca.key", "backup.txt"), "backup.txt"),
    "extra-manifest": (copy(MANIFEST, f"{CONF}/manifests/evil.yaml"), f"{CONF}/manifests/evil.yaml"),
    "extra-certificate": (copy(f"{PKI}/apiserver.crt", f"{PKI}/old.crt"), f"{PKI}/old.crt"),
    "extra-node": (extra("nodes/ghost/etc/motd"), "nodes/ghost/etc/motd"),
    "extra-addon": (extra("addons/evil.yaml"), "addons/evil.yaml"),
    "root-mode": (lambda w: w.root.chmod(0o777), "."),
    "private-mode": (lambda w: w.path(".pkigen").chmod(0o755), ".pkigen"),
    "authority-mode": (lambda w: w.path("pki").chmod(0o750), "pki"),
    "directory-mode": (lambda w: w.path(PKI).chmod(0o775), PKI),
    "lock-mode": (lambda w: w.path("pki.lock").chmod(0o666), "pki.lock"),
    "ledger-mode": (lambda w: w.path(LEDGER).chmod(0o660), LEDGER),
    "ledger-missing": (lambda w: w.path(LEDGER).unlink(), LEDGER),
    "ledger-empty": (write(LEDGER, b""), LEDGER),
    "ledger-first-line-gone": (edit(LEDGER, lines(lambda each: each[1:])), LEDGER),
    "ledger-last-line-gone": (edit(LEDGER, lines(lambda each: each[:-1])), LEDGER),
    "ledger-line-gone": (edit(LEDGER, lines(lambda each: each[:7] + each[8:])), LEDGER),
    "ledger-line-twice": (edit(LEDGER, lines(lambda each: [*each[:7], each[7], *each[7:]])), LEDGER),
    "ledger-reordered": (edit(LEDGER, lines(lambda each: [*each[:4], each[5], each[4], *each[6:]])), LEDGER),
    "ledger-edited": (
        edit(LEDGER, lambda d: d.replace(b'"reason": "missing"', b'"reason": "expired"', 1)),
        LEDGER,
    ),
    "ledger-last-edited": (edit(LEDGER, lambda d: d[:-20] + d[-20:].replace(b"0", b"1")), LEDGER),
    "ledger-cut": (edit(LEDGER, lambda d: d[:-40]), LEDGER),
    "ledger-without-line-feed": (edit(LEDGER, lambda d: d[:-1]), LEDGER),
    "ledger-not-json": (edit(LEDGER, lambda d: d + b"\xff\n"), LEDGER),
    "ledger-not-an-entry": (edit(LEDGER, lambda d: d + b"[]\n"), LEDGER),
    "ledger-is-a-directory": (instead(LEDGER, lambda p: p.mkdir()), LEDGER),
    "lock-missing": (lambda w: w.path("pki.lock").unlink(), "pki.lock"),
    "lock-fingerprint": (
        edit("pki.lock", lambda d: d.replace(b"sha256:a", b"sha256:b").replace(b"sha256:1", b"sha256:2")),
        "pki.lock",
    ),
    "lock-file-left-out": (edit("pki.lock", lambda d: without(d, "files")), "pki.lock"),
    "lock-certificate-left-out": (edit("pki.lock", lambda d: without(d, "certificates")), "pki.lock"),
    "lock-not-json": (write("pki.lock", b"{"), "pki.lock"),
    "lock-of-another-kind": (write("pki.lock", b"[]"), "pki.lock"),
    "lock-infinite": (
        write("pki.lock", b'{"ledger": {"entries": 1e999, "head": ""}, "files": {}, "spec": {}}'),
        "pki.lock",
    ),
    "lock-whitespace": (edit("pki.lock", lambda d: d + b"\n"), "pki.lock"),
    "lock-is-a-directory": (instead("pki.lock", lambda p: p.mkdir()), "pki.lock"),
    "lock-and-ledger-cut-alike": (lambda w: forge(w), "pki.lock"),  # noqa: PLW0108 -- defined below
}

STRANGER = (
    x509.CertificateBuilder(
        subject_name=names(cn="kubernetes"),
        issuer_name=names(cn="kubernetes"),
        public_key=(_stranger := ec.generate_private_key(ec.SECP256R1())).public_key(),
        serial_number=1,
        not_valid_before=NOW.replace(tzinfo=None),
        not_valid_after=(NOW + timedelta(days=1)).replace(tzinfo=None),
    )
    .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    .sign(_stranger, hashes.SHA256())
    .public_bytes(Encoding.PEM)
)


def reencoded(data: bytes, old: str, new: str) -> bytes:
    der = base64.b64decode(data.split(b"-----")[2])
    assert der.count(bytes.fromhex(old)) == 2
    text = base64.encodebytes(der.replace(bytes.fromhex(old), bytes.fromhex(new)))
    return b"-----BEGIN CERTIFICATE-----\n%s-----END CERTIFICATE-----\n" % text


def without(lock: bytes, part: str) -> bytes:
    content = json.loads(lock)
    content[part].pop(next(iter(content[part])))
    return json.dumps(content, indent=1).encode() + b"\n"


def forge(world: World) -> None:
    """The spec in the lock file is not the one that the tree was made from."""
    content = json.loads(world.read("pki.lock"))
    content["spec"]["spec"]["backups"] = {"keep": 99}
    world.path("pki.lock").write_bytes(json.dumps(content, indent=1).encode() + b"\n")


MUTANTS = {**BUILT, **FILES}


def test_there_are_enough() -> None:
    assert len(MUTANTS) == len(BUILT) + len(FILES) >= 60


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_flagged(name: str, world: World) -> None:
    mutate, subject = MUTANTS[name]
    mutate(world)
    findings = world.verify().findings
    assert subject in {each.subject for each in findings}, findings


@pytest.mark.parametrize(
    "name", ["not-yet-valid", "expired", "outlives-its-ca", "ca-sent-along", "eku-missing"]
)
def test_a_mutant_is_repaired_by_apply(name: str, world: World) -> None:
    MUTANTS[name][0](world)
    world.apply()
    assert world.verify().findings == ()


def test_the_good_tree_is_good(pattern: World) -> None:
    verified = pattern.verify()
    assert verified.observations == ()
    assert verified.objects > 70
    assert verified.edges > 30


@given(cluster=clusters())
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_no_false_alarm(cluster: ClusterSpec, tmp_path_factory: pytest.TempPathFactory) -> None:
    # Few, because a hundred other good trees are verified: after each change and under each clock of the
    # core's tests, and with each brought CA.
    world = World(root=tmp_path_factory.mktemp("good") / "prod", cluster=cluster)
    world.apply()
    assert world.verify().observations == ()
    later = NOW + timedelta(hours=23)
    assert world.verify(now=later).findings == ()


def test_what_people_keep_beside_the_trees_is_their_affair(world: World) -> None:
    world.path(".git").mkdir()
    sparse(world.path(".git/pack"))
    world.path("notes").symlink_to("absent")
    assert world.verify().observations == ()


def test_what_people_keep_in_the_authority_is_worth_a_remark(world: World) -> None:
    extra("pki/ca.srl")(world)
    world.path("nodes/cp-1/etc/kubernetes/pki").chmod(0o700)  # stricter is no lapse
    verified = world.verify()
    assert verified.findings == ()
    assert [each.subject for each in verified.remarks] == ["pki/ca.srl"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("path", [f"{PKI}/apiserver.key", "pki", "pki.lock", CONF])
def test_what_belongs_to_another_user_is_found(path: str, world: World) -> None:
    os.chown(world.path(path), 4242, -1)
    found = world.verify().findings
    assert [(each.subject, each.reason) for each in found] == [(path, "owner")]
    assert found[0].detail == f"{path} belongs to another user (uid 4242)"


def test_due_certificates_are_remarks(world: World) -> None:
    verified = world.verify(now=NOW + timedelta(days=29))  # a person's lives 30 days
    assert verified.findings == ()
    assert {each.reason for each in verified.remarks} == {"expires-soon"}


# -- the ledger ---------------------------------------------------------------------------------------


def test_a_gap_in_the_ledger_stays_on_record(world: World) -> None:
    """Cutting lines off is found, and the next change does not cover it up."""
    edit(LEDGER, lines(lambda each: each[:-3]))(world)
    assert [each.subject for each in world.verify().findings] == [LEDGER]
    world.follow(spec(CP1, CP2, W1, **ENDPOINT, encryption={}, users=[{"name": "dev1", "groups": ["ops"]}]))
    world.apply()
    verified = world.verify()
    assert verified.findings == ()
    assert [each.detail for each in verified.remarks if "pki.lock knew" in each.detail] != []


def test_a_line_that_was_cut_off_does_not_swallow_the_next(world: World) -> None:
    edit(LEDGER, lambda data: data[:-10])(world)
    world.follow(spec(CP1, CP2, W1, **ENDPOINT, encryption={}, users=[{"name": "dev1", "groups": ["ops"]}]))
    world.apply()
    kept = world.read(LEDGER).split(b"\n")
    assert [json.loads(line)["event"] for line in kept[-3:-1]] == ["removed", "recorded"]
    assert any("is not JSON" in each.detail for each in world.verify().findings)


def edits(data: bytes, chance: random.Random) -> Iterator[bytes]:
    """One random edit of each kind."""
    while True:
        rows = data.rstrip(b"\n").split(b"\n")
        at, other = chance.randrange(len(rows)), chance.randrange(len(rows))
        place = chance.randrange(len(data))
        yield data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]
        yield data[:place] + data[place + 1 :]
        yield data[:place] + chance.randbytes(3) + data[place:]
        yield data[:place]
        yield b"\n".join([*rows[:at], *rows[at + 1 :]]) + b"\n"
        yield b"\n".join([*rows[:at], rows[other], *rows[at:]]) + b"\n"
        if at != other:
            rows[at], rows[other] = rows[other], rows[at]
            yield b"\n".join(rows) + b"\n"


def test_five_hundred_edits_of_a_ledger_are_all_found(
    pattern: World, capsys: pytest.CaptureFixture[str]
) -> None:
    from pkigen.state.ledger import head_of, problems  # noqa: PLC0415

    good = pattern.read(LEDGER)
    head = head_of(good)
    assert list(problems(good, head=head)) == []
    chance = random.Random(11)  # noqa: S311 -- edits that can be had again
    tried = found = 0
    for edited in edits(good, chance):
        if edited == good:
            continue
        tried += 1
        found += bool(list(problems(edited, head=head)))
        if tried == 500:
            break
    assert found == tried
    with capsys.disabled():
        print(f"\nledger: {found} of {tried} edits found")  # noqa: T201
