"""Requests of people: which are taken, which are refused, and what is shown of them."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

from tests.access.hostile_requests import ASN1, HARMLESS, assert_sound
from tests.access.made_requests import der, issued_certificate, issued_names, name, pem, plain, request
from tests.cli.program import photograph

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.access.team_cluster import TeamCluster


KEYS: dict[str, Callable[[], bytes]] = {
    "RSA-2048": lambda: request(None, rsa.generate_private_key(65537, 2048)),
    "P-521": lambda: request(None, ec.generate_private_key(ec.SECP521R1()), digest=hashes.SHA512()),
    "Ed25519": lambda: request(None, ed25519.Ed25519PrivateKey.generate(), digest=None),
    "text around": lambda: b"Certificate Request:\n    Data:\n" + request() + b"\nthat was all\n",
    "an empty subject": lambda: request(x509.Name([])),
    "an old heading": lambda: request().replace(b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_takes(place: TeamCluster, kind: str) -> None:
    result = place.sign(KEYS[kind]())
    assert result.code == 0, result.err
    assert issued_names(issued_certificate(result.out)) == ("ann", set())


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
    "a broken signature": (_broken_signature, "invalid signature"),
    "another key": (_another_key, "invalid signature"),
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
    "one value like two": (lambda: request(plain("a/O=system:masters")), "one attribute inside another"),
    "one value like two, with a comma": (
        lambda: request(plain("a, O = x")),
        "one attribute inside another",
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
        "contains a private key",
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
    "damaged DER": (lambda: der(request())[:-9], "holds no PEM block"),
    "RSA-PSS": (lambda: RSA_PSS, "that Kubernetes cannot read"),
    **ASN1,
}


@pytest.mark.parametrize("kind", BAD)
def test_refuses(place: TeamCluster, kind: str) -> None:
    make, said = BAD[kind]
    path = place.write("client.csr", make())
    place.write("there.crt", "as it was")
    before = photograph(place.folder)
    result = place.sign(path, "--out", place.folder / "there.crt", "--kubeconfig", place.folder / "x.conf")
    assert (result.code, result.out) == (1, "")
    assert said in result.error
    assert "internal error: " not in result.err
    if "CA" not in kind and "two requests" not in kind:
        assert place.run("access", "csr", "manifest", "--csr", path).code == 1
    assert photograph(place.folder) == before, "nothing was written"


@pytest.mark.parametrize("kind", HARMLESS)
def test_takes_what_is_only_strange(place: TeamCluster, kind: str) -> None:
    assert_sound()
    result = place.sign(HARMLESS[kind]())
    assert result.code == 0, result.err
    assert issued_names(issued_certificate(result.out)) == ("ann", set())
    assert "Warning" not in result.err
    assert len(result.err) < 1500, "nobody can push what matters off the screen"
    assert "hunter2" not in result.err


def test_everything_that_is_asked_for_is_shown(place: TeamCluster) -> None:
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
