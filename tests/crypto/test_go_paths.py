"""Paths through CAs of organizations, which a real kubectl (Go) is asked about as well."""

from __future__ import annotations

import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from os import urandom
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from pkigen.crypto.ca_fitness import unfit
from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue
from pkigen.crypto.keys import ALGORITHMS, KeyAlgorithm, private_pem
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.crypto.profiles import Profile
from tests.desired.rendering.reference_programs import find

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime.now(UTC).replace(microsecond=0)
FILES = Path(__file__).parent / "certificates"
POLICIES = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)])


def ca(*extensions: x509.ExtensionType, days: int = 30) -> Issuer:
    """A root with critical extensions of its own."""
    key = ALGORITHMS[KeyAlgorithm.ECDSA_P256].generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "brought")])
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return Issuer(certificate=builder.sign(key, hashes.SHA256()), key=key)


def constraints(*, permitted: Sequence[str] = (), excluded: Sequence[str] = ()) -> x509.NameConstraints:
    def trees(names: Sequence[str]) -> list[x509.GeneralName] | None:
        return [
            x509.IPAddress(ip_network(name)) if "/" in name else x509.DNSName(name) for name in names
        ] or None

    return x509.NameConstraints(trees(permitted), trees(excluded))


def leaf(issuer: Issuer, *names: str, profile: Profile = Profile.SERVER) -> tuple[x509.Certificate, bytes]:
    key = ALGORITHMS[KeyAlgorithm.ECDSA_P256].generate()
    content = CertificateContent(
        subject=Subject(common_name="leaf"), sans=SANs.of(*names), profile=profile, validity=timedelta(days=9)
    )
    issued = issue(content, key=key, issuer=issuer, now=NOW, entropy=urandom)
    return issued.certificate, private_pem(key)


CASES = [
    # permitted, excluded, names; the first is connected to, and the last column says what Go does
    ((), (".corp.example.com",), ("api.example.com", "10.0.0.1"), True),
    ((), (".corp.example.com",), ("corp.example.com",), True),
    ((), (".corp.example.com",), ("a.corp.example.com",), False),
    ((), (".corp.example.com",), ("a.b.CORP.example.com",), False),
    ((), (".corp.example.com",), ("api.example.com", "a.corp.example.com"), False),
    ((), (".corp.example.com",), ("acorp.example.com",), True),
    ((".example.com",), (), ("api.example.com",), True),
    ((".example.com",), (), ("example.com",), False),
    ((".example.com",), (), ("api.example.org",), False),
    ((".example.com", "local"), (), ("api.example.com", "a.local"), True),
    ((".example.com",), (".dev.example.com",), ("api.dev.example.com",), False),
    ((".example.com",), (), ("10.0.0.1",), True),
    ((".example.com", "10.0.0.0/8"), (), ("10.0.0.1", "api.example.com"), True),
    ((".example.com", "10.0.0.0/8"), (), ("192.168.0.1",), False),
    ((".example.com",), ("10.0.0.0/8",), ("10.0.0.1",), False),
]


@pytest.mark.parametrize(("permitted", "excluded", "names", "accepted"), CASES)
def test_constraints_with_a_leading_dot(
    permitted: Sequence[str], excluded: Sequence[str], names: Sequence[str], accepted: object, tmp_path: Path
) -> None:
    issuer = ca(constraints(permitted=permitted, excluded=excluded))
    certificate, key = leaf(issuer, *names)
    assert unfit((issuer.certificate,), public_key=None, now=NOW) is None
    refusal = PathVerifier(NOW).server([certificate], [issuer.certificate], names[0])
    assert (refusal is None) is accepted
    if not accepted:
        assert "subtree" in (refusal or "")
    assert _accepted_by_kubectl(issuer.certificate, certificate, key, names[0], tmp_path) is accepted


@pytest.mark.parametrize(
    "extension",
    [
        POLICIES,
        x509.CRLDistributionPoints(
            [x509.DistributionPoint([x509.UniformResourceIdentifier("http://x/")], None, None, None)]
        ),
        x509.SubjectAlternativeName([x509.DNSName("ca.example.com")]),
    ],
    ids=["certificatePolicies", "cRLDistributionPoints", "subjectAltName"],
)
def test_critical_extensions_that_go_handles(extension: x509.ExtensionType, tmp_path: Path) -> None:
    issuer = ca(extension)
    certificate, key = leaf(issuer, "api.example.com")
    assert unfit((issuer.certificate,), public_key=None, now=NOW) is None
    assert PathVerifier(NOW).server([certificate], [issuer.certificate], "api.example.com") is None
    assert _accepted_by_kubectl(issuer.certificate, certificate, key, "api.example.com", tmp_path)


@pytest.mark.parametrize(
    "extension",
    [
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"),
        x509.NameConstraints(None, [x509.DirectoryName(x509.Name([]))]),
    ],
    ids=["unknown", "directoryName"],
)
def test_critical_extensions_that_go_refuses(extension: x509.ExtensionType, tmp_path: Path) -> None:
    issuer = ca(extension)
    certificate, key = leaf(issuer, "api.example.com")
    assert unfit((issuer.certificate,), public_key=None, now=NOW) is not None
    assert PathVerifier(NOW).server([certificate], [issuer.certificate], "api.example.com") is not None
    assert not _accepted_by_kubectl(issuer.certificate, certificate, key, "api.example.com", tmp_path)


def test_all_else_is_verified_below_such_a_ca() -> None:
    issuer, verifier = ca(POLICIES), PathVerifier(NOW)
    server, anchors = (
        leaf(issuer, "api.example.com", "10.0.0.1", "*.apps.example.com")[0],
        [issuer.certificate],
    )
    client = leaf(issuer, profile=Profile.CLIENT)[0]
    assert verifier.client([client], anchors) is None
    for name in ("api.example.com", "10.0.0.1", "a.apps.example.com"):
        assert verifier.server([server], anchors, name) is None
    for name in ("other.example.com", "10.0.0.2", "a.b.apps.example.com", "apps.example.com"):
        assert verifier.server([server], anchors, name) == f"it does not name {name}"
    assert "clientAuth" in (verifier.client([server], anchors) or "")
    assert "serverAuth" in (verifier.server([client], anchors, "leaf") or "")
    told = "a CA of the same name, but with another key, has signed it"
    assert verifier.client([client], [ca(POLICIES).certificate]) == told
    assert verifier.client([issuer.certificate], anchors) is None, "what is trusted itself"
    late = PathVerifier(NOW + timedelta(days=10))
    assert late.client([client], anchors) == "a certificate of the path is not valid at this time"
    short = ca(POLICIES, days=1)
    assert PathVerifier(NOW + timedelta(days=2)).client(
        [leaf(short, profile=Profile.CLIENT)[0]], [short.certificate]
    )


def below(issuer: Issuer, *extensions: x509.ExtensionType, path_length: int | None = None) -> Issuer:
    """An intermediate with critical extensions of its own."""
    key = ALGORITHMS[KeyAlgorithm.ECDSA_P256].generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"below {issuer.certificate.serial_number}")])
    above = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateBuilder(
            issuer.certificate.subject, name, key.public_key(), x509.random_serial_number()
        )
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return Issuer(certificate=builder.sign(issuer.key, hashes.SHA256()), key=key)  # type: ignore[arg-type]


def test_one_with_a_critical_extension_may_stand_anywhere() -> None:
    name, root, odd = "api.example.com", ca(), ca(POLICIES)
    verifier = PathVerifier(NOW)
    # Among several anchors …
    own, _ = leaf(odd, name)
    for anchors in ([root, odd], [odd, root]):
        assert verifier.server([own], [each.certificate for each in anchors], name) is None
    # … and first, last or in the midst of what is sent along.
    for oddities in ((POLICIES, None, None), (None, POLICIES, None), (None, None, POLICIES)):
        chain, issuer = [], root
        for extension in oddities:
            issuer = below(issuer, *([extension] if extension else []))
            chain.append(issuer.certificate)
        sent, _ = leaf(issuer, name)
        client, _ = leaf(issuer, profile=Profile.CLIENT)
        for order in (chain, chain[::-1]):
            assert verifier.server([sent, *order], [root.certificate], name) is None
            assert verifier.client([client, *order], [root.certificate]) is None
            assert verifier.server([sent, *order[:-1]], [root.certificate], name) is not None


def test_a_leaf_with_a_critical_extension_that_nobody_knows_is_refused_here_too() -> None:
    """RFC 5280 4.2; Go calls it an unhandled critical extension, of a leaf as of a CA."""
    root = ca(POLICIES)
    good, _ = leaf(root, profile=Profile.CLIENT)
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")

    def with_unknown(*, critical: bool) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            good.issuer,
            good.subject,
            good.public_key(),
            good.serial_number,
            good.not_valid_before_utc,
            good.not_valid_after_utc,
            list(good.extensions),
        )
        return builder.add_extension(unknown, critical=critical).sign(root.key, hashes.SHA256())  # type: ignore[arg-type]

    verifier, anchors = PathVerifier(NOW), [root.certificate]
    assert verifier.client([with_unknown(critical=False)], anchors) is None
    told = "a certificate of the path has the critical extension 1.2.3.4, which Go does not handle"
    assert verifier.client([with_unknown(critical=True)], anchors) == told


def test_an_intermediate_has_no_more_below_it_than_it_allows() -> None:
    """RFC 5280 4.2.1.9: how many intermediates may follow it on the way to the leaf."""
    root, verifier = ca(POLICIES), PathVerifier(NOW)
    for length, accepted in ((0, False), (1, True), (2, True)):
        upper = below(root, path_length=length)
        lower = below(upper)
        chain = [leaf(lower, profile=Profile.CLIENT)[0], lower.certificate, upper.certificate]
        assert (verifier.client(chain, [root.certificate]) is None) is accepted, length
    alone = below(root, path_length=0)
    chain = [leaf(alone, profile=Profile.CLIENT)[0], alone.certificate]
    assert verifier.client(chain, [root.certificate]) is None


@pytest.mark.parametrize("file", ["excluded-with-dot.crt", "critical-policies.crt"])
def test_posted_cas_are_fit(file: str) -> None:
    certificate = x509.load_pem_x509_certificate((FILES / file).read_bytes())
    then = certificate.not_valid_before_utc + timedelta(hours=1)
    assert unfit((certificate,), public_key=None, now=then) is None


def _accepted_by_kubectl(
    anchor: x509.Certificate, certificate: x509.Certificate, key: bytes, name: str, folder: Path
) -> bool:
    """Whether Go's verifier, in kubectl, takes a server; skipped, after what came before, without one."""
    kubectl = find("kubectl")
    (folder / "ca.crt").write_bytes(certificate_pem(anchor))
    (folder / "server.pem").write_bytes(key + certificate_pem(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    with _Server(context) as port:
        command = [kubectl, "--kubeconfig", "/dev/null", "--server", f"https://127.0.0.1:{port}"]
        command += ["--certificate-authority", str(folder / "ca.crt"), "--tls-server-name", name]
        command += ["--request-timeout=5s", "--token=x", "get", "--raw", "/x"]
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return "x509:" not in told.stdout + told.stderr


class _Server:
    """A TLS server that shakes hands, and hangs up."""

    def __init__(self, context: ssl.SSLContext) -> None:
        import socket  # noqa: PLC0415 -- of this class alone

        self._listening = socket.create_server(("127.0.0.1", 0))
        self._context = context
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(connection, server_side=True) as secured:
                    secured.recv(1024)
                    secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except (OSError, ssl.SSLError):
                connection.close()

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._listening.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._listening.close()
