"""Every certificate of many clusters before verifiers that share no code with pkigen (goals 1 and 2).

OpenSSL's strict mode, GnuTLS, pyca's path verifier, pkilint's PKIX lints, Python's `ssl` in handshakes.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from itertools import product
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import DNSName, IPAddress
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from pkilint import loader
from pkilint.pkix import certificate, extension
from pkilint.pkix import name as pkix_name
from pkilint.validation import ValidationFindingSeverity

from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue
from pkigen.crypto.keys import ALGORITHMS
from pkigen.crypto.profiles import Profile
from pkigen.desired.generations import CA, InKubeconfig
from pkigen.desired.inventory import derive
from pkigen.state.observed import client_key_pem
from tests.samples import CP1, CP2, NOW, W1, World, node, spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pkilint.pkix.certificate import CertificateValidatorContainer as CertificateLinter

    from pkigen.desired.items import DesiredCertificate
    from pkigen.spec.model import ClusterSpec

pytestmark = pytest.mark.sweep

MANY_SPECS, MANY_CERTIFICATES = 40, 1_000

CURVES = ("ECDSA-P256", "ECDSA-P384")
FAMILIES = {
    "v4": (["10.0.0.{}"], ["10.96.0.0/12"]),
    "v6": (["fd00::{}"], ["fd00:10:96::/112"]),
    "dual": (["10.0.0.{}", "fd00::{}"], ["10.96.0.0/12", "fd00:10:96::/112"]),
}
TOPOLOGIES = ("single", "stacked", "dedicated", "external", "systemd", "users", "names")


def cluster(topology: str, family: str, algorithm: str) -> ClusterSpec:
    """One of the many."""
    patterns, services = FAMILIES[family]

    def host(name: str, number: int, *roles: str) -> dict[str, object]:
        return node(name, [pattern.format(number) for pattern in patterns], *roles)

    more: dict[str, object] = {
        "single": {},
        "stacked": {"controlPlaneEndpoint": "api.prod.example.com:6443"},
        "dedicated": {"controlPlaneEndpoint": "api.prod.example.com"},
        "external": {"etcd": {"external": {"endpoints": ["http://etcd.example.com:2379"]}}},
        "systemd": {"runtime": "systemd"},
        "users": {
            "users": [{"name": "a.person@example.com", "groups": ["dev", "ops:night"]}, {"name": "bot"}]
        },
        # No wildcard here: pkilint's RFC 5280 lints know none, and one in a spec is its author's wish.
        "names": {"apiServer": {"certSANs": ["api.prod.example.com", "api", "192.0.2.7"]}},
    }[topology]
    nodes = [host("cp-1", 11, "control-plane"), host("worker-1.rack.example.com", 21, "worker")]
    if topology in {"stacked", "dedicated"}:
        nodes += [host("cp-2", 12, "control-plane"), host("cp-3", 13, "control-plane")]
    if topology == "dedicated":
        nodes += [host("etcd-1", 31, "etcd"), host("etcd-2", 32, "etcd"), host("etcd-3", 33, "etcd")]
    networking = {"serviceSubnets": services}
    return spec(*nodes, networking=networking, certificates={"keyAlgorithm": algorithm}, **more)


def clusters() -> Iterator[tuple[str, ClusterSpec]]:
    """Forty and more specs."""
    for topology, family, algorithm in product(TOPOLOGIES, FAMILIES, CURVES):
        yield f"{topology}-{family}-{algorithm}", cluster(topology, family, algorithm)
    # RSA costs a tenth of a second a key: leaves of every algorithm below small authorities.
    mixed = {
        "keyAlgorithm": "ECDSA-P256",
        "overrides": {
            "ca": {"keyAlgorithm": "RSA-4096"},
            "etcd-ca": {"keyAlgorithm": "RSA-3072"},
            "apiserver": {"keyAlgorithm": "RSA-2048"},
            "admin.conf": {"keyAlgorithm": "RSA-3072"},
            "etcd-peer": {"keyAlgorithm": "RSA-2048"},
        },
    }
    yield "rsa-mixed", spec(CP1, W1, certificates=mixed)


@dataclass(frozen=True)
class Issued:
    """One certificate of one cluster, with its authority."""

    cluster: str
    item: DesiredCertificate
    certificate: x509.Certificate
    issuer: x509.Certificate

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.cluster}: {self.item.id}"


@pytest.fixture(scope="module")
def issued() -> list[Issued]:
    """Every certificate of every cluster."""
    result = []
    for name, each in clusters():
        issuers: dict[CA, Issuer] = {}
        for item in derive(each).certificates.values():
            key = ALGORITHMS[item.key_algorithm].generate()
            issuer = issuers[item.issuer] if item.issuer is not None else None
            request = CertificateContent(
                subject=item.subject, sans=item.sans, profile=item.profile, validity=item.validity
            )
            made = issue(request, key=key, issuer=issuer, now=NOW, entropy=os.urandom).certificate
            if issuer is None:
                ca = CA.of_id(item.id)
                issuer = issuers[ca] = Issuer(certificate=made, key=key)
            result.append(Issued(name, item, made, issuer.certificate))
    return result


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A cluster made now, because `ssl` asks the real clock."""
    world = World(
        root=tmp_path_factory.mktemp("living") / "prod",
        cluster=spec(CP1, CP2, W1, controlPlaneEndpoint="api.prod.example.com:6443"),
        now=datetime.now(UTC),
    )
    world.apply()
    return world


def said(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Print a figure past pytest's capture."""
    with capsys.disabled():
        print(f"\n{text}")  # noqa: T201 -- figures are the point


def test_there_are_enough(issued: list[Issued]) -> None:
    assert len({each.cluster for each in issued}) >= MANY_SPECS
    assert len(issued) >= MANY_CERTIFICATES


# -- OpenSSL and GnuTLS -------------------------------------------------------------------------------


def batches(issued: list[Issued], tmp_path: Path) -> Iterator[tuple[list[Issued], Path, list[Path]]]:
    """Leaves of one authority and one profile, in files."""
    groups: dict[tuple[str, str, str], list[Issued]] = {}
    for each in issued:
        if each.item.issuer is not None:
            groups.setdefault((each.cluster, each.item.issuer, each.item.profile), []).append(each)
    for number, members in enumerate(groups.values()):
        anchor = tmp_path / f"{number}.ca.crt"
        anchor.write_bytes(certificate_pem(members[0].issuer))
        files = []
        for index, each in enumerate(members):
            path = tmp_path / f"{number}.{index}.crt"
            path.write_bytes(certificate_pem(each.certificate))
            files.append(path)
        yield members, anchor, files


def purposes(profile: Profile) -> tuple[str, ...]:
    return {
        Profile.SERVER: ("sslserver",),
        Profile.CLIENT: ("sslclient",),
        Profile.PEER: ("sslserver", "sslclient"),
    }[profile]


def test_openssl_strict(issued: list[Issued], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accepted = 0
    for members, anchor, files in batches(issued, tmp_path):
        for purpose in purposes(members[0].item.profile):
            command = [
                "openssl",
                "verify",
                "-x509_strict",
                "-check_ss_sig",
                "-attime",
                str(int(NOW.timestamp())),
            ]
            run = subprocess.run(
                [*command, "-purpose", purpose, "-CAfile", str(anchor), *map(str, files)],
                capture_output=True,
                text=True,
                check=False,
            )
            assert run.returncode == 0, (members[0].where, run.stderr)
            accepted += run.stdout.count(": OK")
            assert run.stdout.count(": OK") == len(files)
    said(capsys, f"openssl verify -x509_strict: {accepted} accepted, 0 refused")


def test_openssl_refuses_the_wrong_authority_and_purpose(issued: list[Issued], tmp_path: Path) -> None:
    """The control: the command above can fail."""
    server = next(each for each in issued if each.item.name == "apiserver")
    other = next(each for each in issued if each.item.id == "front-proxy-ca")
    leaf, anchor, wrong = tmp_path / "leaf.crt", tmp_path / "ca.crt", tmp_path / "wrong.crt"
    leaf.write_bytes(certificate_pem(server.certificate))
    anchor.write_bytes(certificate_pem(server.issuer))
    wrong.write_bytes(certificate_pem(other.certificate))
    base = ["openssl", "verify", "-attime", str(int(NOW.timestamp())), "-x509_strict"]
    for arguments in (["-CAfile", str(wrong)], ["-CAfile", str(anchor), "-purpose", "sslclient"]):
        run = subprocess.run([*base, *arguments, str(leaf)], capture_output=True, check=False)
        assert run.returncode != 0


def test_gnutls(living: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certtool = shutil.which("certtool")
    if certtool is None:
        pytest.skip("certtool is not installed (Debian: gnutls-bin)")
    accepted = 0
    for identifier, item in living.inventory.certificates.items():
        if item.issuer is None:
            continue
        path = tmp_path / "leaf.crt"
        path.write_bytes(living.pem(identifier))
        arguments = ["--load-ca-certificate", str(living.path(f"pki/{item.issuer}.crt"))]
        for purpose in purposes(item.profile):
            oid = {"sslserver": "1.3.6.1.5.5.7.3.1", "sslclient": "1.3.6.1.5.5.7.3.2"}[purpose]
            run = subprocess.run(
                [certtool, "--verify", "--verify-purpose", oid, *arguments, "--infile", str(path)],
                capture_output=True,
                text=True,
                check=False,
            )
            assert run.returncode == 0, (identifier, run.stdout)
            assert "Verified. The certificate is trusted." in run.stdout
            accepted += 1
    said(capsys, f"gnutls certtool --verify: {accepted} accepted, 0 refused")


# -- pyca ---------------------------------------------------------------------------------------------


def test_pyca_accepts_every_server_for_every_name(
    issued: list[Issued], capsys: pytest.CaptureFixture[str]
) -> None:
    """The stock server policy, without pkigen's own; names are dialled as they stand in the certificate."""
    count = 0
    for each in issued:
        if each.item.profile not in {Profile.SERVER, Profile.PEER}:
            continue
        builder = PolicyBuilder().store(Store([each.issuer])).time(NOW)
        for name in each.item.sans.texts():
            try:
                subject: DNSName | IPAddress = IPAddress(ip_address(name))
            except ValueError:
                subject = DNSName(name.replace("*", "any"))
            builder.build_server_verifier(subject).verify(each.certificate, [])
            count += 1
        with pytest.raises(VerificationError):
            builder.build_server_verifier(DNSName("elsewhere.example.com")).verify(each.certificate, [])
    said(capsys, f"pyca server verification: {count} names accepted, 0 refused")


# -- pkilint ------------------------------------------------------------------------------------------

ALLOWED = {
    # Kubernetes dials single-label names: `kubernetes`, `localhost`, node names.
    "pkix.invalid_domain_name_syntax",
}


@cache
def linter() -> CertificateLinter:
    """pkilint's PKIX certificate lints, put together as its command `lint_pkix_cert` does."""
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(
            pkix_name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS
        ),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


def lint(der: bytes) -> Iterator[tuple[str, str]]:
    """Code and message of every finding from NOTICE up."""
    document = loader.RFC5280CertificateDocumentLoader().load_der_document(der, "certificate")
    for result in linter().validate(document.root):
        for found in result.finding_descriptions:
            if found.finding.severity <= ValidationFindingSeverity.NOTICE:  # FATAL is 0
                yield found.finding.code, str(found.message)


def is_allowed(code: str, message: str, single_labels: set[str]) -> bool:
    return code in ALLOWED and any(f'"{label}"' in message for label in single_labels)


def test_pkilint(issued: list[Issued], capsys: pytest.CaptureFixture[str]) -> None:
    findings: Counter[str] = Counter()
    allowed = 0
    for each in issued:
        single = {label for label in each.item.sans.dns_names if "." not in label}
        for code, message in lint(each.certificate.public_bytes(Encoding.DER)):
            if is_allowed(code, message, single):
                allowed += 1
            else:
                findings[f"{code}: {message} ({each.where})"] += 1
    assert not findings
    said(capsys, f"pkilint: {len(issued)} certificates, 0 findings, {allowed} allowed (single-label names)")


def test_pkilint_can_find() -> None:
    """The control: a certificate without SKI, as kubeadm makes them, has a finding."""
    key = ec.generate_private_key(ec.SECP256R1())
    cn = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    bare = (
        x509.CertificateBuilder(subject_name=cn, issuer_name=cn, public_key=key.public_key(), serial_number=7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    codes = {code for code, _ in lint(bare.public_bytes(Encoding.DER))}
    assert "pkix.certificate_skid_end_entity_missing" in codes


# -- Python's ssl -------------------------------------------------------------------------------------


def contexts(
    world: World, server: str, client: str, *, trust: str, client_trust: str
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context, both as strict as Python 3.13 is by default."""

    def load(context: ssl.SSLContext, identifier: str) -> None:
        location = world.inventory.certificates[identifier].location
        if isinstance(location, InKubeconfig):
            chain, key = world.path("client.crt"), world.path("client.key")
            chain.write_bytes(world.pem(identifier))
            key.write_bytes(client_key_pem(world.read(location.kubeconfig)) or b"")
        else:
            chain, key = world.path(location.certificate), world.path(location.key)
        context.load_cert_chain(chain, key)

    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.verify_mode = ssl.CERT_REQUIRED
    serving.load_verify_locations(world.path(client_trust))
    load(serving, server)
    dialling = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    dialling.load_verify_locations(world.path(trust))
    load(dialling, client)
    for context in (serving, dialling):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN
    return serving, dialling


def handshake(serving: ssl.SSLContext, dialling: ssl.SSLContext, host: str) -> tuple[str, str]:
    """Dial over loopback; both ends' views of the other's common name."""
    seen: list[str] = []

    def serve(listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        with accepted, suppress(OSError), serving.wrap_socket(accepted, server_side=True) as stream:
            seen.append(common_name(stream))
            stream.sendall(b".")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), timeout=120) as raw,
                dialling.wrap_socket(raw, server_hostname=host) as stream,
            ):
                # With TLS 1.3 a client learns only by reading that its certificate was refused.
                assert stream.recv(1) == b"."
                return common_name(stream), seen[0]
        finally:
            thread.join(timeout=120)


def common_name(stream: ssl.SSLSocket) -> str:
    der = stream.getpeercert(binary_form=True)
    assert der is not None
    subject = x509.load_der_x509_certificate(der).subject
    return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


PKI = "nodes/cp-1/etc/kubernetes/pki"
HANDSHAKES = [
    # server, client, who the client trusts, whom the server trusts, name dialled, client's CN
    ("cp-1/apiserver", "cp-1/admin.conf", "ca.crt", "ca.crt", "api.prod.example.com", "kubernetes-admin"),
    ("cp-1/apiserver", "worker-1/kubelet.conf", "ca.crt", "ca.crt", "10.0.0.11", "system:node:worker-1"),
    (
        "worker-1/kubelet-serving",
        "cp-1/apiserver-kubelet-client",
        "ca.crt",
        "ca.crt",
        "10.0.0.21",
        "kube-apiserver-kubelet-client",
    ),
    (
        "cp-1/etcd-server",
        "cp-1/apiserver-etcd-client",
        "etcd/ca.crt",
        "etcd/ca.crt",
        "127.0.0.1",
        "kube-apiserver-etcd-client",
    ),
    ("cp-2/etcd-peer", "cp-1/etcd-peer", "etcd/ca.crt", "etcd/ca.crt", "10.0.0.12", "cp-1"),
]


@pytest.mark.parametrize(("server", "client", "trust", "client_trust", "host", "user"), HANDSHAKES)
def test_strict_handshakes(
    living: World, server: str, client: str, trust: str, client_trust: str, host: str, user: str
) -> None:
    serving, dialling = contexts(
        living, server, client, trust=f"{PKI}/{trust}", client_trust=f"{PKI}/{client_trust}"
    )
    _, seen = handshake(serving, dialling, host)
    assert seen == user


@pytest.mark.parametrize(
    ("trust", "client_trust", "host"),
    [
        ("etcd/ca.crt", "ca.crt", "10.0.0.11"),  # the client trusts another CA
        ("ca.crt", "front-proxy-ca.crt", "10.0.0.11"),  # the server trusts another CA
        ("ca.crt", "ca.crt", "10.0.0.99"),  # a name that the certificate does not have
    ],
)
def test_what_must_fail_fails(living: World, trust: str, client_trust: str, host: str) -> None:
    """Without this the handshakes above would prove nothing."""
    serving, dialling = contexts(
        living,
        "cp-1/apiserver",
        "cp-1/admin.conf",
        trust=f"{PKI}/{trust}",
        client_trust=f"{PKI}/{client_trust}",
    )
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(serving, dialling, host)


def test_a_client_certificate_does_not_serve(living: World) -> None:
    serving, dialling = contexts(
        living,
        "cp-1/apiserver-kubelet-client",
        "cp-1/admin.conf",
        trust=f"{PKI}/ca.crt",
        client_trust=f"{PKI}/ca.crt",
    )
    dialling.check_hostname = False  # it has no names at all: what must refuse it is its usage
    with pytest.raises(ssl.SSLError, match="unsuitable certificate purpose"):
        handshake(serving, dialling, "10.0.0.11")


def test_the_authorities_are_three_keys(issued: list[Issued]) -> None:
    for each in {each.cluster for each in issued}:
        keys = {
            one.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for one in issued
            if one.cluster == each and one.item.issuer is None
        }
        external = each.startswith("external")
        assert len(keys) == (len(CA) - 1 if external else len(CA))
