"""Certificates that pyca reads and Go does not, or cannot use; each verdict is that of Go 1.26."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from pkigen.crypto.go_certificates import (
    host_of,
    is_address,
    mailbox_of,
    subtrees,
    unhandled_critical,
    unreadable,
)
from pkigen.crypto.names import extension_name
from pkigen.crypto.path_verifier import PathVerifier
from tests.crypto.chains import DAY, Draft, Made, common_name, constraints, pool, sans, signed, tlv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric import rsa

NOW = datetime.now(UTC).replace(microsecond=0)
NAME = "api.example.com"
CA = x509.BasicConstraints(ca=True, path_length=None)
RSA_KEY, RSA_PSS_KEY = (bytes.fromhex(f"06092a864886f70d0101{each}") for each in ("01", "0a"))
NULL = bytes.fromhex("0500")
SECP256K1 = ec.generate_private_key(ec.SECP256K1())


@dataclass(frozen=True)
class Encoded:
    """A public key as nobody would encode it."""

    spki: bytes

    def public_key(self) -> Encoded:
        return self

    def public_bytes(self, *_: object) -> bytes:
        return self.spki


def certificate(name: str, key: Any, issuer: Made | None, *extensions: x509.ExtensionType) -> Made:
    draft = Draft(subject=common_name(name), key=key, serial=4, end=90 * DAY).having(*extensions)
    return signed(draft, issuer, NOW)


def self_signed(key: Any, signer: Any) -> Made:
    """A root whose key is encoded, or of a kind, that `signed` knows no algorithm for."""
    draft = Draft(subject=common_name("root"), key=key, serial=4).having(CA, critical=True)
    return replace(signed(draft, Made(b"", signer, draft), NOW), key=signer)


def refused(sent: Sequence[Made], anchors: Sequence[Made], name: str = NAME) -> str | None:
    shown, trusted = ([x509.load_der_x509_certificate(each.der) for each in some] for some in (sent, anchors))
    return PathVerifier(NOW).server(shown, trusted, name)


@pytest.fixture(scope="module")
def root() -> Made:
    return certificate("root", pool("P-256", 0), None, CA)


def rsa_spki(algorithm: bytes, exponent: int = 65537, bits: int = 2048) -> Encoded:
    number = (1 << bits - 1) + 1
    numbers = [tlv(2, each.to_bytes(each.bit_length() // 8 + 1)) for each in (number, exponent)]
    return Encoded(tlv(0x30, tlv(0x30, algorithm), tlv(3, b"\0", tlv(0x30, *numbers))))


def compressed(key: ec.EllipticCurvePrivateKey) -> Encoded:
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    oids = bytes.fromhex("06072a8648ce3d020106082a8648ce3d030107")
    return Encoded(tlv(0x30, tlv(0x30, oids), tlv(3, b"\0", point)))


def without_null(key: rsa.RSAPrivateKey, algorithm: bytes) -> Encoded:
    numbers = key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return Encoded(tlv(0x30, tlv(0x30, algorithm), tlv(3, b"\0", numbers)))


LEAF_KEYS: list[tuple[str, Any, str | None]] = [
    ("P-256", pool("P-256", 1), None),
    ("Ed25519", pool("ED", 1), None),
    ("P-521", ec.generate_private_key(ec.SECP521R1()), None),
    ("P-224", pool("P-224", 1), "secp224r1"),
    ("secp256k1", SECP256K1, "curve secp256k1, which Go does not know"),
    ("DSA", dsa.generate_private_key(2048), "neither RSA, ECDSA nor Ed25519"),
    ("Ed448", ed448.Ed448PrivateKey.generate(), "neither RSA, ECDSA nor Ed25519"),
    ("compressed", compressed(pool("P-256", 1)), "encoded in a way that Go does not read"),
    ("without NULL", without_null(pool("RSA", 1), RSA_KEY), "encoded in a way that Go does not read"),
    ("RSA-PSS", without_null(pool("RSA", 1), RSA_PSS_KEY), "neither RSA, ECDSA nor Ed25519"),
    ("a usual exponent", rsa_spki(RSA_KEY + NULL), None),
    ("the largest exponent", rsa_spki(RSA_KEY + NULL, 2**31 - 1), None),
    ("a larger exponent", rsa_spki(RSA_KEY + NULL, 2**31 + 1), "exponent"),
    ("1024 bits", rsa_spki(RSA_KEY + NULL, bits=1024), None),
    ("1023 bits", rsa_spki(RSA_KEY + NULL, bits=1023), "RSA with 1023 bits"),
    ("8192 bits", rsa_spki(RSA_KEY + NULL, bits=8192), None),
    ("8193 bits", rsa_spki(RSA_KEY + NULL, bits=8193), "RSA with 8193 bits"),
]


@pytest.mark.parametrize(
    ("key", "reason"), [each[1:] for each in LEAF_KEYS], ids=[each[0] for each in LEAF_KEYS]
)
def test_keys_of_a_leaf(root: Made, key: Any, reason: str | None) -> None:
    said = refused([certificate("leaf", key, root, sans(NAME))], [root])
    assert said is None if reason is None else reason in (said or "")


@pytest.mark.parametrize(
    ("key", "accepted"),
    [
        (rsa_spki(RSA_KEY + NULL, bits=8193), False),
        (rsa_spki(RSA_KEY + NULL, bits=8192), True),
        (rsa_spki(RSA_KEY + NULL, bits=1023), True),
        (rsa_spki(RSA_PSS_KEY), True),
        (rsa_spki(RSA_KEY), False),
        (pool("P-224", 1), True),
        (dsa.generate_private_key(2048), True),
        (SECP256K1, False),
    ],
)
def test_keys_of_a_stranger_that_is_sent_along(root: Made, key: Any, *, accepted: bool) -> None:
    """All of it is parsed, and of RSA keys the size is looked at; what nobody needs may be of any kind."""
    leaf, stranger = certificate("leaf", pool("P-256", 1), root, sans(NAME)), certificate("other", key, root)
    assert (refused([leaf, stranger], [root]) is None) is accepted


@pytest.mark.parametrize(
    ("key", "signer", "accepted"),
    [
        (pool("RSA", 1), pool("RSA", 1), True),
        (without_null(pool("RSA", 1), RSA_KEY), pool("RSA", 1), False),
        (without_null(pool("RSA", 1), RSA_PSS_KEY), pool("RSA", 1), False),
        (compressed(pool("P-256", 1)), pool("P-256", 1), False),
        (pool("P-224", 1), pool("P-224", 1), True),
        (SECP256K1, SECP256K1, False),
    ],
)
def test_keys_of_an_anchor(key: Any, signer: Any, *, accepted: bool) -> None:
    anchor = self_signed(key, signer)
    assert (
        refused([certificate("leaf", pool("P-256", 2), anchor, sans(NAME))], [anchor]) is None
    ) is accepted


def test_go_verifies_no_dsa() -> None:
    key, name = dsa.generate_private_key(2048), common_name("root")
    builder = x509.CertificateBuilder(name, name, key.public_key(), 4).not_valid_before(NOW - DAY)
    builder = builder.not_valid_after(NOW + DAY).add_extension(CA, critical=True)
    other = x509.CertificateBuilder(name, common_name("leaf"), pool("P-256", 1).public_key(), 4)
    leaf = other.not_valid_before(NOW - DAY).not_valid_after(NOW + DAY).sign(key, hashes.SHA256())
    assert PathVerifier(NOW).client([leaf], [builder.sign(key, hashes.SHA256())]) is not None


@pytest.mark.parametrize(
    ("mask", "salt", "accepted"),
    [(hashes.SHA256(), 32, True), (hashes.SHA512(), 32, False), (hashes.SHA256(), 20, False)],
)
def test_signatures_of_rsa_pss(mask: hashes.HashAlgorithm, salt: int, *, accepted: bool) -> None:
    """Go wants one hash for the message and the mask, and a salt of its length."""
    anchor = certificate("root", pool("RSA", 1), None, CA)
    builder = x509.CertificateBuilder(
        common_name("root"), common_name("leaf"), pool("P-256", 1).public_key(), 4
    ).not_valid_before(NOW - DAY)
    leaf = builder.not_valid_after(NOW + DAY).sign(
        pool("RSA", 1), hashes.SHA256(), rsa_padding=padding.PSS(padding.MGF1(mask), salt)
    )
    trusted = x509.load_der_x509_certificate(anchor.der)
    assert (PathVerifier(NOW).client([leaf], [trusted]) is None) is accepted


def limits(
    permitted: Sequence[x509.GeneralName], excluded: Sequence[x509.GeneralName]
) -> x509.NameConstraints:
    return x509.NameConstraints(permitted or None, excluded or None)


def under(constraints: x509.NameConstraints, *names: x509.GeneralName) -> str | None:
    anchor = certificate("root", pool("P-256", 0), None, CA, constraints)
    own = x509.SubjectAlternativeName([x509.DNSName(NAME), *names])
    return refused([certificate("leaf", pool("P-256", 1), anchor, own)], [anchor])


URIS = [
    ("spiffe://cluster.example/ns/x/sa/y", True),
    ("https://u:p@example.com:8443/a%20b?q=%zz#f", True),
    ("https://[fd00::1]:8443/", True),
    ("urn:uuid:1", True),
    ("//example.com/x", True),
    ("/path", True),
    ("https://example.com./", False),
    ("https://a..b/", False),
    ("https://exa mple.com/", False),
    ("https://example.com:x/", False),
    ("https://fd00::1/", False),
    ("https://[fd00::1/", False),
    ("https://[fd00::1]x/", False),
    ("https://[fd00]/", False),
    ("https://%zz/", False),
    ("https://example.com/%zz", False),
    ("https://example.com/#%zz", False),
    ("https://ex\tample.com/", False),
    ("1a://x/", False),
]


@pytest.mark.parametrize(("uri", "accepted"), URIS)
def test_uris_that_end_the_parsing(root: Made, uri: str, *, accepted: bool) -> None:
    own = x509.SubjectAlternativeName([x509.DNSName(NAME), x509.UniformResourceIdentifier(uri)])
    said = refused([certificate("leaf", pool("P-256", 1), root, own)], [root])
    assert said is None if accepted else "is no URI" in (said or "")


@pytest.mark.parametrize(
    ("tag", "text", "accepted"),
    [
        (0x0C, b"leaf", True),
        (0x12, b"12 3", True),
        (0x12, b"1a", False),
        (0x1A, b"leaf", False),
        (0x1C, b"\0\0\0a", False),
        (0x1E, b"\0a", True),
        (0x16, b"a@b", True),
        (0x14, b"leaf", True),
    ],
)
def test_string_types_of_names(root: Made, tag: int, text: bytes, *, accepted: bool) -> None:
    """UTF8String, NumericString, VisibleString, UniversalString, BMPString, IA5String and T61String."""
    name = tlv(0x30, tlv(0x31, tlv(0x30, bytes.fromhex("0603550403"), tlv(tag, text))))
    draft = Draft(subject=name, key=pool("P-256", 1), serial=4).having(sans(NAME))
    said = refused([signed(draft, root, NOW)], [root])
    assert said is None if accepted else "string type" in (said or "")


def test_extensions_of_a_version_that_has_none_are_not_taken_for_any(root: Made) -> None:
    spki = pool("P-256", 1).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    current = certificate("leaf", pool("P-256", 1), root, sans(NAME)).der
    assert spki in current
    # The version is the first field that is explicit.
    body = x509.load_der_x509_certificate(current).tbs_certificate_bytes
    inner = body[4:] if body[1] == 0x82 else body[3:]
    older = tlv(0x30, inner.removeprefix(bytes.fromhex("a003020102")))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    signature = root.key.sign(older, ec.ECDSA(hashes.SHA256()))
    leaf = Made(tlv(0x30, older, algorithm, tlv(3, b"\0", signature)), None, root.draft)
    assert "version 1" in (refused([leaf], [root]) or "")


def test_a_version_without_extensions_is_read() -> None:
    draft = Draft(subject=common_name("root"), key=pool("P-256", 0), serial=4, version=1)
    assert unreadable(x509.load_der_x509_certificate(signed(draft, None, NOW).der)) is None


MAIL = [
    # permitted, name, and whether Go takes it
    ("example.com", "a@EXAMPLE.com", True),
    ("a@Example.com", "a@example.com", True),
    ("a@example.com", '"a"@example.com', True),
    ("a@example.com", r"\a@example.com", True),
    ("a@example.com", "A@example.com", False),
    ("a@example.com", "a@x.example.com", False),
    ("example.com", '"a b"@example.com', True),
    ("example.com", "a b@example.com", False),
    ("example.com", "a.@example.com", False),
    ("example.com", "a..b@example.com", False),
    ("example.com", "@example.com", False),
    ("a b@example.com", "a@example.com", False),
    ("@example.com", "a@example.com", False),
]


@pytest.mark.parametrize(("permitted", "mailbox", "accepted"), MAIL)
def test_constraints_on_mailboxes(permitted: str, mailbox: str, *, accepted: bool) -> None:
    said = under(limits([x509.RFC822Name(permitted)], []), x509.RFC822Name(mailbox))
    assert (said is None) is accepted


@pytest.mark.parametrize(
    ("permitted", "excluded", "name", "accepted"),
    [
        ("", "b.example.org", "*.example.org", False),
        ("", "b.example.org", "*x.example.org", False),
        ("", "b.example.org", "a.example.org", True),
        ("", ".example.org", "example.org", True),
        ("", "org", "*", True),
        (".com example.org", "", "example.org", True),
        (".com example.org", "", "a.b.example.org", True),
        (".com example.org", "", "anexample.org", False),
        ("example.com 10.0.0.0/8 fd00::/16", "10.1.0.0/16", "10.0.0.1", True),
        ("example.com 10.0.0.0/8 fd00::/16", "10.1.0.0/16", "10.1.0.1", False),
        ("example.com 10.0.0.0/8 fd00::/16", "10.1.0.0/16", "fd00::1", True),
        ("example.com 10.0.0.0/8", "", "fd00::1", False),
        ("::/0", "", "::ffff:10.0.0.1", False),
        ("", "::/0", "::ffff:10.0.0.1", True),
        ("::ffff:0:0/96", "", "::ffff:10.0.0.1", True),
    ],
)
def test_constraints_on_domains_and_addresses(
    permitted: str, excluded: str, name: str, *, accepted: bool
) -> None:
    said = under(constraints(permitted, excluded), *sans(name))
    assert (said is None) is accepted


def test_an_address_is_no_constraint_on_uris() -> None:
    assert under(limits([x509.UniformResourceIdentifier("10.0.0.1")], [])) is not None


def test_thousands_of_names_under_thousands_of_constraints() -> None:
    """Each name is looked up: compared with every constraint, these were a hundred million comparisons."""
    excluded = [x509.DNSName(f"x{number}.example.org") for number in range(10_000)]
    names = [x509.DNSName(f"a.y{number}.example.org") for number in range(10_000)]
    assert under(limits([], excluded), *names) is None
    said = under(limits([], excluded), *names, x509.DNSName("a.X7.example.org"))
    assert said == "a.X7.example.org is within the excluded subtree x7.example.org of its CA"


def test_a_policy_that_stands_there_twice(root: Made) -> None:
    one, other = (x509.PolicyInformation(x509.ObjectIdentifier(f"1.2.3.{each}"), None) for each in (4, 5))
    for policies, accepted in (([one, other], True), ([one, one], False)):
        leaf = certificate("leaf", pool("P-256", 1), root, sans(NAME), x509.CertificatePolicies(policies))
        assert (refused([leaf], [root]) is None) is accepted


# -- one certificate at a time ---------------------------------------------------------------------------


def read_as(*extensions: x509.ExtensionType, critical: bool = False, serial: int = 4) -> x509.Certificate:
    """A certificate of a root's own, with these extensions."""
    draft = Draft(subject=common_name("root"), key=pool("P-256", 0), serial=serial)
    return x509.load_der_x509_certificate(signed(draft.having(*extensions, critical=critical), None, NOW).der)


ADDRESS, DIRECTORY = x509.IPAddress(ip_address("10.0.0.1")), x509.DirectoryName(x509.Name([]))
HANDLED: list[x509.ExtensionType] = [
    CA,
    x509.KeyUsage(*[False] * 5, True, False, False, False),  # noqa: FBT003 -- keyCertSign alone
    x509.NameConstraints([x509.DNSName("a"), x509.RFC822Name("b")], [x509.UniformResourceIdentifier("c")]),
    x509.NameConstraints(None, [x509.IPAddress(ip_network("10.0.0.0/8"))]),
    x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    x509.SubjectAlternativeName([x509.DNSName("a")]),
    x509.SubjectAlternativeName([ADDRESS, DIRECTORY]),
    x509.SubjectAlternativeName([x509.RFC822Name("a@b")]),
    x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://a")]),
    x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)]),
    x509.CRLDistributionPoints(
        [x509.DistributionPoint([x509.UniformResourceIdentifier("http://a")], None, None, None)]
    ),
]
UNHANDLED: list[x509.ExtensionType] = [
    x509.SubjectAlternativeName([DIRECTORY]),
    x509.NameConstraints([x509.DNSName("a"), DIRECTORY], None),
    x509.NameConstraints([x509.DNSName("a")], [DIRECTORY]),
    x509.TLSFeature([x509.TLSFeatureType.status_request]),
    x509.InhibitAnyPolicy(0),
]
NEVER_CRITICAL: list[x509.ExtensionType] = [
    x509.SubjectKeyIdentifier(b"a"),
    x509.AuthorityKeyIdentifier(b"a", None, None),
    x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(
                AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://a")
            )
        ]
    ),
]


@pytest.mark.parametrize("extension", HANDLED, ids=range(len(HANDLED)))
def test_what_go_handles_may_be_critical(extension: x509.ExtensionType) -> None:
    found = read_as(extension, critical=True)
    assert (unhandled_critical(found), unreadable(found)) == (None, None)


@pytest.mark.parametrize("extension", UNHANDLED, ids=range(len(UNHANDLED)))
def test_what_go_does_not_handle_must_not_be_critical(extension: x509.ExtensionType) -> None:
    assert unhandled_critical(read_as(extension)) is None
    assert unhandled_critical(read_as(extension, critical=True)) == extension_name(extension.oid)


@pytest.mark.parametrize("extension", NEVER_CRITICAL, ids=range(len(NEVER_CRITICAL)))
def test_what_ends_the_parsing_where_it_is_critical(extension: x509.ExtensionType) -> None:
    assert unreadable(read_as(extension)) is None
    said = f"the extension {extension_name(extension.oid)} must not be critical"
    assert unreadable(read_as(extension, critical=True)) == said


@pytest.mark.parametrize("curve", ["P-256", "P-384"])
def test_curves_and_printable_names_that_go_reads(curve: str) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "CH")])
    draft = Draft(subject=name, key=pool(curve, 0), serial=4)
    assert unreadable(x509.load_der_x509_certificate(signed(draft, None, NOW).der)) is None


@pytest.mark.parametrize(("serial", "readable"), [(-1, False), (0, True), (1, True)])
def test_a_serial_number_is_not_negative(serial: int, *, readable: bool) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = read_as(serial=serial)
        said.clear()
        assert unreadable(found) == (None if readable else "a serial number of the path is negative")
    assert said == []


@pytest.mark.parametrize(
    ("constraint", "readable"),
    [
        (x509.DNSName("a.b"), True),
        (x509.DNSName(".a.b"), True),
        (x509.DNSName(""), True),
        (x509.DNSName("a..b"), False),
        (x509.DNSName("a.b."), False),
        (x509.DNSName("..a"), False),
        (x509.DNSName("a b"), False),
        (x509.DNSName("!.~"), True),
        (x509.DNSName("\x7f"), False),
        (x509.UniformResourceIdentifier("a.b"), True),
        (x509.UniformResourceIdentifier(".a.b"), True),
        (x509.UniformResourceIdentifier("10.0.0.1"), False),
        (x509.UniformResourceIdentifier("a..b"), False),
        (x509.RFC822Name("a.b"), True),
        (x509.RFC822Name(".a.b"), True),
        (x509.RFC822Name("a..b"), False),
        (x509.RFC822Name("me@a.b"), True),
        (x509.RFC822Name("me@a..b"), False),
        (x509.RFC822Name("m..e@a.b"), False),
        (x509.RFC822Name("@a"), False),
    ],
)
def test_what_is_no_constraint_ends_the_parsing(constraint: x509.GeneralName, *, readable: bool) -> None:
    for extension in (x509.NameConstraints([constraint], None), x509.NameConstraints(None, [constraint])):
        found = read_as(extension)
        assert list(subtrees(found)) == [constraint]
        said = f"its name constraint {constraint.value} is none"
        assert unreadable(found) == (None if readable else said)
    assert list(subtrees(read_as())) == []


@pytest.mark.parametrize(
    ("text", "mailbox"),
    [
        ("Me@A.b", ("Me", "a.b")),
        ("me.you@a", ("me.you", "a")),
        (".me@a", None),
        ("me.@a", None),
        ("a", None),
        ("@a", None),
        ("me@a..b", None),
        ('"me you"@a', ("me you", "a")),
        ('"m\\"e"@a', ('m"e', "a")),
        ('""@a', ("", "a")),
        ('"a..b"@a', ("a..b", "a")),
        ('"me@a', None),
        ("m\\ e@a", ("m e", "a")),
        ("me@", ("me", "")),
        ("m\\\ne@a", ("m\ne", "a")),
    ],
)
def test_mailboxes(text: str, mailbox: tuple[str, str] | None) -> None:
    assert mailbox_of(text) == mailbox


def test_the_address_of_a_uri_is_read_whole() -> None:
    for host, readable in (("[::1]", True), ("[1]", False)):
        uri = x509.UniformResourceIdentifier(f"https://{host}/")
        assert (unreadable(read_as(x509.SubjectAlternativeName([uri]))) is None) is readable


@pytest.mark.parametrize(("text", "readable"), [("0123456789 ", True), ("7", True), ("X", False)])
def test_numbers_as_names(text: str, *, readable: bool) -> None:
    def named(value: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, value, _ASN1Type.NumericString)])

    draft = Draft(subject=named(text), key=pool("P-256", 0), serial=4)
    found = signed(draft, None, NOW)
    assert (unreadable(x509.load_der_x509_certificate(found.der)) is None) is readable
    leaf = signed(Draft(subject=common_name("leaf"), key=pool("P-256", 1), serial=5), found, NOW)
    assert (unreadable(x509.load_der_x509_certificate(leaf.der)) is None) is readable


def test_addresses_and_hosts() -> None:
    assert [is_address(each) for each in ("10.0.0.1", "fd00::1", "fe80::1%eth0", "a", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    hosts = ("https://A.b:1/c", "urn:a", "https://[fd00::1]/", "https://[")
    assert [host_of(each) for each in hosts] == ["a.b", "", "fd00::1", ""]
