"""Paths through CAs of organizations, which a real kubectl (Go) is asked about as well."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from os import urandom
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from pkigen.crypto import go_paths
from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.ca_fitness import unfit
from pkigen.crypto.issuance import CertificateContent, Issuer, certificate_pem, issue
from pkigen.crypto.keys import ALGORITHMS, private_pem
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.crypto.profiles import Profile
from tests.crypto.chains import DAY, Draft, Made, common_name, pool, sans, signed
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
        command += ["--request-timeout=60s", "--token=x", "get", "--raw", "/x"]
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    return "x509:" not in told.stdout + told.stderr


class _Server:
    """A TLS server that shakes hands, and hangs up."""

    def __init__(self, context: ssl.SSLContext) -> None:
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
        # `close` alone wakes nobody who waits in `accept` (Linux).
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


def made(name: str, key: object, issuer: Made | None = None, *extensions: x509.ExtensionType) -> Made:
    """A CA, unless its extensions say otherwise; without an issuer it signs itself."""
    draft = Draft(subject=common_name(name), key=key, serial=9, end=90 * DAY)
    draft = draft.having(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return signed(draft.having(*extensions), issuer, NOW)


def refused(sent: Sequence[Made], anchors: Sequence[Made], name: str = "api.example.com") -> str | None:
    """What pkigen says; what a real Go says stands in the tests, by Go 1.26's own Verify."""
    shown, trusted = ([x509.load_der_x509_certificate(each.der) for each in some] for some in (sent, anchors))
    return PathVerifier(NOW).server(shown, trusted, name)


SERVED = sans("api.example.com")


@pytest.mark.parametrize(("depth", "refusal"), [(8, None), (60, None), (99, None), (100, go_paths.TOO_MANY)])
def test_a_path_is_as_long_as_go_follows_it(depth: int, refusal: str | None) -> None:
    """Each CA is one candidate, the anchor too."""
    root = made("0", pool("P-256", 0))
    between = [root]
    for number in range(1, depth + 1):
        between.insert(0, made(f"{number}", pool("P-256", number), between[0]))
    leaf = made("leaf", pool("P-256", 99), between[0], SERVED)
    assert refused([leaf, *between[:-1]], [root]) == refusal


def test_cas_that_sign_each_other_end_the_search() -> None:
    """Nine CAs of one name, each signed by each: tens of thousands of ways, and none leads to an anchor."""
    own = [made("ca", pool("P-256", number)) for number in range(9)]
    crossed = [made("ca", each.key, other) for each in own for other in own if each is not other]
    leaf = made("leaf", pool("P-256", 99), own[0], SERVED)
    stranger = made("ca", pool("P-256", 60))
    assert refused([leaf, *crossed], [stranger]) == go_paths.TOO_MANY
    # An anchor is asked before what is sent, and what is sent twice is one candidate.
    assert refused([leaf, *crossed], [own[0]]) is None
    assert refused([leaf, *([own[1]] * 200)], [stranger]) == go_paths.OTHER_KEY


def test_the_candidate_whose_key_is_named_comes_first() -> None:
    """Of 121 CAs of one name the last has signed: Go finds it by authorityKeyIdentifier, or not at all."""
    strangers = [
        made("ca", pool("P-256", 1), None, sans(f"{number}.example.com"), x509.SubjectKeyIdentifier(b"other"))
        for number in range(120)
    ]
    issuer = made("ca", pool("P-256", 2), None, x509.SubjectKeyIdentifier(b"replaced by signed()"))
    named = x509.AuthorityKeyIdentifier.from_issuer_public_key(pool("P-256", 2).public_key())
    with_name, without = (made("leaf", pool("P-256", 99), issuer, SERVED, *more) for more in ([named], []))
    assert refused([with_name], [*strangers, issuer]) is None
    assert refused([without], [*strangers, issuer]) == go_paths.TOO_MANY
    assert refused([without], [issuer, *strangers]) is None


def test_a_ca_without_a_key_identifier_comes_before_those_of_another() -> None:
    """And first of all where the leaf names no key either."""
    strangers = [
        made("ca", pool("P-256", 1), None, sans(f"{number}.example.com"), x509.SubjectKeyIdentifier(b"other"))
        for number in range(120)
    ]
    issuer = made("ca", pool("P-256", 2))
    named = x509.AuthorityKeyIdentifier.from_issuer_public_key(pool("P-256", 2).public_key())
    for more in ([named], []):
        leaf = made("leaf", pool("P-256", 99), issuer, SERVED, *more)
        assert refused([leaf], [*strangers, issuer]) is None


def test_to_send_somebody_else_s_anchor_along_helps_nobody() -> None:
    root, stranger = made("root", pool("P-256", 0)), made("stranger", pool("P-256", 1))
    leaf = made("leaf", pool("P-256", 99), stranger, SERVED)
    assert refused([leaf], [root]) == go_paths.UNSIGNED
    assert refused([leaf, root], [root]) is not None
    assert refused([leaf, stranger, root], [root]) is not None
    renamed = made("leaf", pool("P-256", 99), made("root", pool("P-256", 2)), SERVED)
    assert refused([renamed, stranger], [root]) == go_paths.OTHER_KEY


def test_a_ca_of_version_1_is_one_only_for_who_trusts_it() -> None:
    root = made("root", pool("P-256", 0))
    old = Draft(subject=common_name("old"), key=pool("P-256", 1), serial=5, end=90 * DAY, version=1)
    trusted, between = signed(old, None, NOW), signed(old, root, NOW)
    leaf = made("leaf", pool("P-256", 99), trusted, SERVED)
    assert refused([leaf], [trusted]) is None
    assert refused([leaf, between], [root]) == "the issuer is not a CA"


@pytest.mark.parametrize(
    ("digest", "accepted"), [("SHA1", False), ("SHA256", True), ("SHA384", True), ("SHA512", True)]
)
def test_which_signatures_go_still_takes(digest: str, *, accepted: bool) -> None:
    root = made("root", pool("P-256", 0))
    draft = Draft(subject=common_name("leaf"), key=pool("P-256", 99), serial=6, hash=digest).having(SERVED)
    said = refused([signed(draft, root, NOW)], [root])
    unfit_one = None if accepted else "a certificate of the path is signed with an unfit algorithm"
    assert said == unfit_one
    # Of the ones sent along, too, that are on the path.
    between = replace(draft, subject=common_name("between")).having(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    chain = [made("leaf", pool("P-256", 98), signed(between, root, NOW), SERVED), signed(between, root, NOW)]
    assert refused(chain, [root]) == unfit_one


def test_a_ca_that_expired_is_told_though_nobody_known_has_signed_it() -> None:
    key = pool("P-256", 1)
    expired = signed(
        Draft(subject=common_name("old"), key=key, serial=3, begin=-9 * DAY, end=-DAY).having(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        ),
        made("unknown", pool("P-256", 2)),
        NOW,
    )
    leaf = made("leaf", pool("P-256", 99), expired, SERVED)
    assert refused([leaf, expired], [made("root", pool("P-256", 3))]) == go_paths.OUT_OF_TIME


def test_a_ca_twice_in_a_path_is_known_by_its_alternative_names_too() -> None:
    """A loop over the same name and key ends, unless only one of the two has alternative names."""
    first, second, root = (pool("P-256", number) for number in range(3))
    anchor = made("root", root)
    upper = made("b", second, anchor)
    looped = made("a", first, upper, sans("one.example.com"))
    plain = made("a", first, Made(b"", second, upper.draft))
    leaf = made("leaf", pool("P-256", 99), looped, SERVED)
    for each in (looped, plain):
        assert refused([leaf, each, upper], [anchor]) is None
