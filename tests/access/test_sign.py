"""`pkigen sign` and `pkigen csr`: what is issued, and what never is."""

from __future__ import annotations

import base64
import re
import stat
from datetime import timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import example, given, strategies

from pkigen.access.csr_objects import object_name
from pkigen.cli.system import System
from pkigen.desired.certificates import CERTIFICATES
from pkigen.spec.values import parse_dns_name
from tests.access.hostile_requests import ASN1, HARMLESS, assert_sound
from tests.access.places import SPEC, Place, der, name, pem, plain, request
from tests.cli.program import NOW, photograph

if TYPE_CHECKING:
    from collections.abc import Callable


def certificate(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


def names(issued: x509.Certificate) -> tuple[str, set[str]]:
    (user,) = issued.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = issued.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(user.value), {str(group.value) for group in groups}


def test_only_the_approved_identity_is_issued(place: Place) -> None:
    asked = request(
        plain("somebody", "wheel"),
        None,
        x509.SubjectAlternativeName([x509.DNSName("api.example.com")]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.BasicConstraints(ca=False, path_length=None),
        x509.TLSFeature([x509.TLSFeatureType.status_request]),
    )
    result = place.sign(asked, "--group", "dev", "--group", "ops")
    assert result.code == 0, result.err
    issued = certificate(result.out)
    assert names(issued) == ("ann", {"dev", "ops"})
    with pytest.raises(x509.ExtensionNotFound):
        issued.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    usages = issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert issued.not_valid_after_utc == NOW + timedelta(days=30)
    for said in (
        "requested: O=wheel, CN=somebody; key ECDSA-P256",
        "subjectAltName: 'DNS:api.example.com' (not issued)",
        "extendedKeyUsage: serverAuth (not issued)",
        "basicConstraints: no CA (not issued)",
        "TLSFeature (not issued)",
        "only that is issued",
        "until 2026-12-22 03:00 UTC (720h by default)",
        "cannot be revoked",
    ):
        assert said in result.err
    place.assert_clean()
    last = place.ledger()[-1]
    assert (last["event"], last["id"], last["subject"]) == ("signed", "request:ann", "CN=ann,O=dev,O=ops")
    assert last["serial"] == f"{issued.serial_number:x}"


def test_a_kubeconfig_with_the_key_by_its_path(place: Place) -> None:
    out = place.folder / "ann.conf"
    result = place.sign(
        request(), "--kubeconfig", out, "--key-path", "/home/ann/ann.key", "--validity", "24h",
        "--namespace", "web", "--server", "https://api:6443", "--tls-server-name", "kubernetes",
        "--proxy-url", "socks5://proxy:1080",
    )  # fmt: skip
    assert (result.code, result.out) == (0, "")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    content = yaml.safe_load(out.read_text())
    (cluster,) = content["clusters"]
    assert cluster["cluster"]["tls-server-name"] == "kubernetes"
    assert cluster["cluster"]["proxy-url"] == "socks5://proxy:1080"
    authority = (place.tree / "pki/ca.crt").read_bytes()
    assert base64.b64decode(cluster["cluster"]["certificate-authority-data"]) == authority
    (user,) = content["users"]
    assert user["user"]["client-key"] == "/home/ann/ann.key"
    assert set(user["user"]) == {"client-certificate-data", "client-key"}
    assert content["contexts"][0]["context"] == {"cluster": "team", "user": "ann", "namespace": "web"}
    assert content["current-context"] == "ann@team"


def test_a_declared_person_has_groups_validity_and_namespace_of_the_spec(place: Place) -> None:
    out, kubeconfig = place.folder / "dev1.crt", place.folder / "dev1.conf"
    result = place.sign(
        request(plain("dev1")), "--out", out, "--kubeconfig", kubeconfig, "--key-path", "k", user="dev1"
    )
    assert (result.code, result.out) == (0, "")
    issued = certificate(out.read_text())
    assert names(issued) == ("dev1", {"platform-team"})
    assert issued.not_valid_after_utc == NOW + timedelta(hours=168)
    assert yaml.safe_load(kubeconfig.read_text())["contexts"][0]["context"]["namespace"] == "web"
    assert "other groups" not in result.err
    other = place.sign(request(), "--group", "dev", user="dev1")
    assert other.code == 0
    assert "note: the spec gives dev1 other groups: platform-team" in other.err
    assert place.sign(request(plain("glass", "system:masters")), user="glass").code == 0


def test_it_ends_with_its_ca_and_says_so(place: Place) -> None:
    result = place.sign(request(), "--validity", "200000h")
    authority = x509.load_pem_x509_certificate((place.tree / "pki/ca.crt").read_bytes())
    assert certificate(result.out).not_valid_after_utc == authority.not_valid_after_utc
    assert "shortened to its CA's end" in result.err


def test_a_spec_with_its_directory_and_standard_input(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        class buffer:  # noqa: N801 -- sys.stdin's own name
            @staticmethod
            def read(limit: int) -> bytes:
                return request()[:limit]

    monkeypatch.setattr("sys.stdin", Stdin)
    result = place.run("sign", "--csr", "-", "--user", "ann", place.spec, "--pki", place.tree)
    assert result.code == 0, result.err
    place.assert_clean()


def test_a_ledger_that_somebody_changed_is_put_on_record_first(place: Place) -> None:
    ledger = place.tree / ".pkigen/ledger.jsonl"
    ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:-1]))
    assert place.sign(request()).code == 0
    assert [entry["event"] for entry in place.ledger()[-2:]] == ["mismatch", "signed"]


KEYS: dict[str, Callable[[], bytes]] = {
    "RSA-2048": lambda: request(None, rsa.generate_private_key(65537, 2048)),
    "P-521": lambda: request(None, ec.generate_private_key(ec.SECP521R1()), digest=hashes.SHA512()),
    "Ed25519": lambda: request(None, ed25519.Ed25519PrivateKey.generate(), digest=None),
    "text around": lambda: b"Certificate Request:\n    Data:\n" + request() + b"\nthat was all\n",
    "an empty subject": lambda: request(x509.Name([])),
    "an old heading": lambda: request().replace(b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_takes(place: Place, kind: str) -> None:
    result = place.sign(KEYS[kind]())
    assert result.code == 0, result.err
    assert names(certificate(result.out)) == ("ann", set())


def _broken_signature() -> bytes:
    data = bytearray(der(request()))
    data[-1] ^= 1
    return pem(bytes(data))


def _another_key() -> bytes:
    """A request whose key was exchanged after it was signed."""
    mine, theirs = (der(request(None, ec.generate_private_key(ec.SECP256R1()))) for _ in range(2))
    marks = [data.index(b"\x03\x42\x00\x04") for data in (mine, theirs)]
    return pem(mine[: marks[0]] + theirs[marks[1] : marks[1] + 68] + mine[marks[0] + 68 :])


# What cryptography does not make: `openssl req -new -newkey rsa:512`, and `-sha1 -newkey rsa:2048`.
RSA_512 = b"""\
-----BEGIN CERTIFICATE REQUEST-----
MIHIMHQCAQAwDzENMAsGA1UEAwwEd2VhazBcMA0GCSqGSIb3DQEBAQUAA0sAMEgC
QQDeJ2pW1c//qZW2HhhpJehlcOImmBH6zYgmMFK/UUanywv1tFcJum4JCF5R/IAI
wpJQwFn/ABiuVlOeQG8KBkrlAgMBAAGgADANBgkqhkiG9w0BAQsFAANBABCMeZ69
YyqatwOrPZgGbKLfKioC2IoChHixBBvP4LVNpH63A49GsF8wwq3SjluR3qnPQa3K
5dV3mG0nZ6EF05M=
-----END CERTIFICATE REQUEST-----
"""
SHA1 = b"""\
-----BEGIN CERTIFICATE REQUEST-----
MIICVDCCATwCAQAwDzENMAsGA1UEAwwEd2VhazCCASIwDQYJKoZIhvcNAQEBBQAD
ggEPADCCAQoCggEBAPP0bjC6LEem9SAHy3n3Xb6SDEIbIRBZydUOUwQEHP4Qm5Tl
iSCDtjxqmW7PywF1XPz48f+6j7Zp00Esknp8RxyfGUN01GoGXRzaeaMxGxuOuOL9
qQCwlpZV/flUMau+uxRmdvTuX5zLfKPZBT/I+WG4aklUap3KixKL6PzjH24hVlDI
HO6NppmMOFBpe8aUZ/CzO5N/Woz/9FJGF3Ph/y+DWLOw83BJ3xfPwiob3vDQ/vN6
/jre2H+gW1GaBb4Vp5VPwO4p64GNwhIIoManeWFYYEiC8IYK1/UajdMPWWfANn3z
5eKtY3+Oe5ZK4Y6qtcegtMEGdASu4fIRM0h7jOMCAwEAAaAAMA0GCSqGSIb3DQEB
BQUAA4IBAQDM/JcNLvX5M/DSmF9lDVwfvzkoDQmuTnqH6xc5iFidxIdAn+gHVxTe
2uT51EbUMWpXHiiZYkeq8L0XaXFK3eA2GiJPKHTaW1vtdn0VmOOhjFmhbjN4F9NJ
frEnOyBk7m3YIip/68I7xYJYgMAdspLtJeMC2AyJxOKZlCVxg8xQmfH92YM0s51W
W0oq1HZRsvLntyxsRCF7Ef2uylzB8t/v3ZSM8u7qOxlqt3GmlcJlGCdL57Rl0mCt
8wZ0VbwuSYkczw9R++FUN331HteyeWLv2LqTj8qm/9F4sT8JXokQsw/7611PEEiq
1z5irhix+MBe0G6y2HnWnaj/c2V1TFy0
-----END CERTIFICATE REQUEST-----
"""


# `openssl req -new -newkey rsa-pss -pkeyopt rsa_keygen_bits:2048`
RSA_PSS = b"""\
-----BEGIN CERTIFICATE REQUEST-----
MIIChjCCATkCAQAwDjEMMAoGA1UEAwwDYW5uMIIBIDALBgkqhkiG9w0BAQoDggEP
ADCCAQoCggEBALy6v1/pZeZq6E8uaAqCJLlQnW0PLJt84Vd1+iupZG1vhpTCK+Kq
UirJ5FPlKVk3TlxQob58IZBIctNoQ82AVKIo1JY30lWSiCQd7uKvlQwNdftgg1//
yArMN7O7bTzDnkBvJfDBJCbKHApukQdehonyWg1oblYIiLwcYHLb+jj28o9kpOBH
rfJjIwGGfupkhc3BU8z4cBJ7HaKk1OnKyaJzZsV3hgvNjxklmxk6pegzUhySpl1w
50nDT6zYEtqRzThX82rbpxLdpYXFc7HRVnsulCy2qUvSMo54E9wIXGH9npSYXg8C
jyiHF3RTDUnldn15wuY6e4XLPXICTprhWX8CAwEAAaAAMEIGCSqGSIb3DQEBCjA1
oA8wDQYJYIZIAWUDBAIBBQChHDAaBgkqhkiG9w0BAQgwDQYJYIZIAWUDBAIBBQCi
BAICAN4DggEBAE4XVyS8OyTSsTYxhQ/pecdm+Vl7GIJY8KFn1xIthO0Q1bO/TC0L
nRyVBeg++zthQS3vk34iJZ+HfGn5nFsa3ZZmDcg6Hcv5D0T97imxz8GO2yQW8FBU
MMadxKsuUrYxY2HEvg5cWJHu9SjUlDvO2iksRCBqQKuCMGpTbhxBPWhO2laUtVmT
6KAAiUoyfVJdvq/bSAkBpa1nKLMQGQE4b/jjn+P8WYP3/aHAmLxO6HPjsXC14WvP
lbV1q5gJnDU5rDG8lRI0WGOjewjThWa7G1fLMBASpJkobDIcDwbISTIj3ImkRheP
oPryAHkQd7Um/Y0CI3UgPrTHRiJdxrWLz8U=
-----END CERTIFICATE REQUEST-----
"""


def _weak_rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 -- to be refused


_MULTI_VALUED = x509.Name(
    [
        x509.RelativeDistinguishedName(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, "ann"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "dev"),
            ]
        )
    ]
)
_CA = x509.BasicConstraints(ca=True, path_length=None)
_OU = NameOID.ORGANIZATIONAL_UNIT_NAME

BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "a broken signature": (_broken_signature, "broken signature"),
    "another key": (_another_key, "broken signature"),
    "RSA-512": (lambda: RSA_512, "RSA with 512 bits"),
    "SHA-1": (lambda: SHA1, "signed with sha1"),
    "RSA-1024": (lambda: request(None, _weak_rsa()), "RSA with 1024 bits"),
    "a small exponent": (lambda: request(None, rsa.generate_private_key(3, 2048)), "an exponent of 2 bits"),
    "P-224": (lambda: request(None, ec.generate_private_key(ec.SECP224R1())), "secp224r1"),
    "secp256k1": (lambda: request(None, ec.generate_private_key(ec.SECP256K1())), "secp256k1"),
    "Ed448": (lambda: request(None, ed448.Ed448PrivateKey.generate(), digest=None), "Ed448"),
    "DSA": (lambda: request(None, dsa.generate_private_key(2048)), "DSA"),
    "O=system:masters": (lambda: request(plain("ann", "system:masters")), "O=system:masters"),
    "OU=system:masters": (
        lambda: request(name((_OU, "system:masters"), (NameOID.COMMON_NAME, "ann"))),
        "OU=system:masters",
    ),
    "CN=system:node:cp-1": (lambda: request(plain("system:node:cp-1")), "CN=system:node:cp-1"),
    "CN=kubernetes-admin": (lambda: request(plain("kubernetes-admin")), "CN=kubernetes-admin"),
    "one value like two": (lambda: request(plain("a/O=system:masters")), "one attribute inside of another"),
    "one value like two, with a comma": (
        lambda: request(plain("a, O = x")),
        "one attribute inside of another",
    ),
    "a line feed": (lambda: request(plain("ann\nO=x")), "unprintable"),
    "several attributes in one": (lambda: request(_MULTI_VALUED), "several attributes in one"),
    "two common names": (
        lambda: request(name((NameOID.COMMON_NAME, "ann"), (NameOID.COMMON_NAME, "root"))),
        "2 common names",
    ),
    "a CA": (lambda: request(None, None, _CA), "asks to become a CA"),
    "two requests": (lambda: request() * 2, "holds 2 PEM blocks"),
    "a certificate, too": (
        lambda: request() + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "holds 2 PEM blocks",
    ),
    "its private key": (
        lambda: request() + b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "holds a private key",
    ),
    "10 MB": (lambda: request() + b" " * (10 << 20), "larger than 64 KiB"),
    "nothing": (lambda: b"", "holds no PEM block"),
    "a certificate": (
        lambda: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "no PEM CERT",
    ),
    "a key of an unknown kind": (
        lambda: pem(der(request()).replace(b"\x2a\x86\x48\xce\x3d\x02\x01", b"\x2a\x86\x48\xce\x3d\x02\x09")),
        "of a kind that cannot be read",
    ),
    "a signature of an unknown kind": (
        lambda: pem(der(request()).replace(b"\xce\x3d\x04\x03\x02", b"\xce\x3d\x04\x03\x09")),
        "signed in a way that cannot be verified",
    ),
    "an extension that is damaged": (
        lambda: request(None, None, x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x00x")),
        "an extension or an attribute that cannot be read",
    ),
    "no base64": (lambda: request().replace(b"M", b"*"), "damaged"),
    "cut off": (lambda: pem(der(request())[:-9]), "damaged"),
    "DER": (lambda: der(request()), "holds no PEM block"),
    "RSA-PSS": (lambda: RSA_PSS, "that Kubernetes cannot read"),
    **ASN1,
}


@pytest.mark.parametrize("kind", BAD)
def test_refuses(place: Place, kind: str) -> None:
    make, said = BAD[kind]
    path = place.write("client.csr", make())
    place.write("there.crt", "as it was")
    before = photograph(place.folder)
    result = place.sign(path, "--out", place.folder / "there.crt", "--kubeconfig", place.folder / "x.conf")
    assert (result.code, result.out) == (1, "")
    assert said in result.error
    assert "pkigen itself" not in result.err
    if "CA" not in kind and "two requests" not in kind:
        assert place.run("csr", "manifest", "--csr", path).code == 1
    assert photograph(place.folder) == before, "nothing was written"


@pytest.mark.parametrize("kind", HARMLESS)
def test_takes_what_is_only_strange(place: Place, kind: str) -> None:
    assert_sound()
    result = place.sign(HARMLESS[kind]())
    assert result.code == 0, result.err
    assert names(certificate(result.out)) == ("ann", set())
    assert "Warning" not in result.err
    assert len(result.err) < 1500, "nobody can push what matters off the screen"
    assert "hunter2" not in result.err


def test_everything_that_is_asked_for_is_shown(place: Place) -> None:
    listed = x509.SubjectAlternativeName(
        [
            x509.IPAddress(IPv4Address("10.0.0.1")),
            x509.RFC822Name("a@example.com"),
            x509.UniformResourceIdentifier("spiffe://a"),
            x509.DirectoryName(plain("root", "wheel")),
            x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
            x509.OtherName(x509.ObjectIdentifier("1.2.4"), b"\x05\0"),
        ]
    )
    usages = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    said = place.sign(request(None, None, listed, usages)).err
    assert (
        "subjectAltName: 'IP:10.0.0.1, email:a@example.com, URI:spiffe://a, dirName:O=wheel, CN=root, "
        "RID:1.2.3, otherName:1.2.4' (not issued)"
    ) in said
    assert "keyUsage: digitalSignature, keyCertSign (not issued)" in said


def test_where_nothing_can_be_written_nothing_is_signed(place: Place) -> None:
    path = place.write("client.csr", request())
    before = photograph(place.folder)
    for options in (
        ("--out", place.folder / "none/x.crt"),
        ("--out", place.tree),
        ("--kubeconfig", place.folder / "none/x.conf", "--out", place.folder / "x.crt"),
    ):
        result = place.sign(path, *options)
        assert (result.code, result.out) == (1, "")
        assert "cannot be written" in result.error
        assert photograph(place.folder) == before


@pytest.mark.parametrize(
    ("user", "groups", "said"),
    [
        ("system:admin", [], "identity of Kubernetes itself"),
        ("ann", ["system:masters"], "group of Kubernetes itself"),
        ("ann", ["kubeadm:cluster-admins"], "group of Kubernetes itself"),
        ("kubernetes-admin", [], "is this cluster's own cp-1/admin.conf"),
        ("kube-apiserver", [], "identity of Kubernetes itself"),
        ("system:node:worker-1", [], "is this cluster's own worker-1/kubelet.conf"),
        ("front-proxy-client", [], None),
        ("a b", [], "must begin with"),
        ("x" * 65, [], "65 characters"),
        ("ann", ["a/b"], "must begin with"),
    ],
)
def test_whom_nobody_may_approve(place: Place, user: str, groups: list[str], said: str | None) -> None:
    options = [word for group in groups for word in ("--group", group)]
    result = place.sign(request(), *options, user=user)
    if said is None:
        assert result.code == 0, "another CA judges that one"
        return
    assert (result.code, result.out) == (1, "")
    assert said in result.error
    if "must" not in said and "65" not in said:
        assert "cannot be revoked by RBAC" in result.hint
        reason = ("--allow-system-identity", "runbook 7")
        assert place.sign(request(plain(user, *groups)), *options, *reason, user=user).code == 0
        assert place.ledger()[-1]["systemIdentity"] == "runbook 7"
        place.assert_clean()


def test_the_clusters_own_identities_are_taken(place: Place) -> None:
    from pkigen.access.identities import approved  # noqa: PLC0415
    from pkigen.desired.inventory import derive  # noqa: PLC0415
    from pkigen.errors import AccessError  # noqa: PLC0415
    from pkigen.spec.loader import load  # noqa: PLC0415

    inventory = derive(load(place.spec, kinds=CERTIFICATES).spec)
    assert approved("dev1", (), inventory=inventory, reason=None).common_name == "dev1"
    with pytest.raises(AccessError, match="is this cluster's own cp-1/apiserver-kubelet-client"):
        approved("kube-apiserver-kubelet-client", (), inventory=inventory, reason=None)


def test_wrong_usage(place: Place) -> None:
    assert place.sign(request(), "--key-path", "x").error == "--key-path goes with --kubeconfig"
    same = place.sign(request(), "--kubeconfig", place.folder / "x", "--out", place.folder / "x")
    assert same.error == "--out and --kubeconfig are the same file"
    for option, value, said in (
        ("--server", "http://api:6443", "must be a URL with https"),
        ("--server", "api:6443", "must be a URL with https"),
        ("--server", "https://a b", "must be a URL with https"),
        ("--server", "https://", "must be a host"),
        ("--server", "https://api?x", "neither query nor fragment"),
        ("--proxy-url", "ftp://p", "must be a URL with http or https or socks5"),
        ("--tls-server-name", "a b", "must be an IP address, a DNS name"),
        ("--namespace", "Web", "must be a DNS label"),
    ):
        wrong = place.sign(request(), option, value)
        assert (wrong.code, wrong.out) == (2, "")
        assert wrong.error.startswith(f"{option} ")
        assert said in wrong.error
    missing = place.run("sign", "--csr", place.folder / "none", "--user", "ann", place.tree)
    assert missing.error.endswith("none cannot be read: no such file or directory")
    absent = place.run("sign", "--csr", "-", "--user", "ann", place.spec, "--pki", place.folder / "none")
    assert "is no PKI directory" in absent.error
    both = place.run("sign", "--csr", "-", "--user", "ann", place.tree, "--pki", place.tree)
    assert (both.code, both.error) == (2, "--pki goes with a spec")
    (place.tree / "pki.lock").write_text("{}")
    broken = place.run(
        "sign", "--csr", place.write("c", request()), "--user", "ann", place.spec, "--pki", place.tree
    )
    assert "no readable pki.lock" in broken.error
    (place.tree / "pki/ca.key").unlink()
    (place.tree / "pki/ca.crt").unlink()
    gone = place.run("sign", "--csr", place.folder / "c", "--user", "ann", place.spec, "--pki", place.tree)
    assert gone.error == "the PKI directory has no CA that could sign"


def test_a_new_key_and_its_request(place: Place) -> None:
    result = place.run(
        "csr", "new", "--user", "users:Dev1", "--group", "dev", "--out", place.folder / "k" / "new"
    )
    folder = place.folder / "k" / "new"
    assert result.out == f"{folder}/users-dev1.csr\n"
    key = folder / "users-dev1.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    made = x509.load_pem_x509_csr((folder / "users-dev1.csr").read_bytes())
    assert made.is_signature_valid
    assert made.public_key() == loaded.public_key()
    assert made.subject == plain("users:Dev1", "dev")
    assert not list(made.extensions)
    again = place.run("csr", "new", "--user", "users:dev1", "--out", folder)
    assert again.error == f"{key} is there already"
    assert "only copy of a key" in again.hint
    key.unlink()
    asked = (folder / "users-dev1.csr").read_bytes()
    again = place.run("csr", "new", "--user", "users:dev1", "--out", folder)
    assert again.error == f"{folder}/users-dev1.csr is there already"
    assert not key.exists(), "no key without its request"
    assert (folder / "users-dev1.csr").read_bytes() == asked
    signed = place.sign(folder / "users-dev1.csr", "--group", "dev", user="users:Dev1")
    assert names(certificate(signed.out)) == ("users:Dev1", {"dev"})
    assert place.run("csr", "new", "--user", "system:x", "--out", folder).code == 1


def test_new_keys_of_other_kinds_and_places(place: Place) -> None:
    assert (
        place.run("csr", "new", "--user", "r", "--key-algorithm", "RSA-2048", "--out", place.folder).code == 0
    )
    made = x509.load_pem_x509_csr((place.folder / "r.csr").read_bytes())
    assert isinstance(made.public_key(), rsa.RSAPublicKey)
    place.write("file", "")
    assert "cannot be" in place.run("csr", "new", "--user", "q", "--out", place.folder / "file").error
    assert "cannot be made" in place.run("csr", "new", "--user", "q", "--out", place.folder / "file/x").error


def test_the_object_for_the_cluster(place: Place) -> None:
    data = request(plain("users:Dev1", "dev"), rsa.generate_private_key(65537, 2048))
    path = place.write("client.csr", data)
    result = place.run("csr", "manifest", "--csr", path, "--validity", "24h")
    assert result.out.splitlines()[:4] == [
        "# kubectl apply -f FILE",
        "# kubectl certificate approve users-dev1",
        "# kubectl get csr users-dev1 -o jsonpath='{.status.certificate}' | base64 -d > users-dev1.crt",
        "# pkigen user kubeconfig --certificate users-dev1.crt --key-path KEY SPEC > users-dev1.conf",
    ]
    assert yaml.safe_load(result.out) == {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "users-dev1"},
        "spec": {
            "request": base64.b64encode(data).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["digital signature", "key encipherment", "client auth"],
            "expirationSeconds": 86400,
        },
    }
    assert "whoever approves it lets in CN=users:Dev1,O=dev" in result.err
    out = place.folder / "csr.yaml"
    named = place.run("csr", "manifest", "--csr", path, "--name", "a", "--out", out)
    assert named.out.startswith(f"kubectl apply -f {out}\nkubectl certificate approve a\n")
    assert yaml.safe_load(out.read_text())["metadata"] == {"name": "a"}
    spaced = place.folder / "a b; c.yaml"
    assert (
        f"kubectl apply -f '{spaced}'\n" in place.run("csr", "manifest", "--csr", path, "--out", spaced).out
    )
    wrong = place.run("csr", "manifest", "--csr", path, "--name", "a; rm -rf .")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.error.startswith("--name must be a lower-case DNS name")


@given(strategies.text("aB0._:@+-", max_size=63).map("a".__add__))
@example("a-.-b")
@example("A" * 64)
@example("a" + ".-" * 20)
def test_every_user_has_a_name_for_an_object(user: str) -> None:
    # kubectl and the API server: apimachinery `validation.IsDNS1123Subdomain`.
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", object_name(user))
    assert parse_dns_name(object_name(user))


@pytest.mark.parametrize(
    ("subject", "options", "said"),
    [
        (x509.Name([]), [], "names no user"),
        (name((NameOID.COUNTRY_NAME, "DE"), (NameOID.COMMON_NAME, "ann")), [], "has more than a user"),
        (plain(), ["--validity", "9m"], "less than 10 minutes"),
        (plain("a b"), [], "must begin with"),
        (plain("ann", "system:masters"), [], "Kubernetes' own"),
    ],
)
def test_objects_that_the_cluster_would_refuse(
    place: Place, subject: x509.Name, options: list[str], said: str
) -> None:
    path = place.write("client.csr", request(subject))
    result = place.run("csr", "manifest", "--csr", path, *options)
    assert (result.code, result.out) == (1, "")
    assert said in result.error


def test_the_same_clock_and_randomness_give_the_same_certificate(place: Place) -> None:
    path = place.write("client.csr", request())
    system = System(clock=lambda: NOW, entropy=lambda count: bytes(range(count)))
    arguments = ("sign", "--csr", path, "--user", "ann", place.tree)
    assert place.pkigen(*arguments, system=system).out == place.pkigen(*arguments, system=system).out
    assert "team" in SPEC
