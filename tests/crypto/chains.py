"""Certification paths, good and bad, from a seed; what no library would sign is built by hand."""

# ruff: noqa: ARG001 -- every kind takes the plan and the source of chance

from __future__ import annotations

import base64
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "api.example.com"
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
DAY = timedelta(days=1)
Key = Any
Extensions = dict[type[x509.ExtensionType], tuple[x509.ExtensionType, bool]]

# The AlgorithmIdentifier of each kind of key and hash, without its SEQUENCE.
_OIDS = {
    ("EC", "SHA1"): "06072a8648ce3d0401",
    ("EC", "SHA224"): "06082a8648ce3d040301",
    ("EC", "SHA256"): "06082a8648ce3d040302",
    ("EC", "SHA384"): "06082a8648ce3d040303",
    ("EC", "SHA512"): "06082a8648ce3d040304",
    ("RSA", "MD5"): "06092a864886f70d0101040500",
    ("RSA", "SHA1"): "06092a864886f70d0101050500",
    ("RSA", "SHA256"): "06092a864886f70d01010b0500",
    ("RSA", "SHA384"): "06092a864886f70d01010c0500",
    ("RSA", "SHA512"): "06092a864886f70d01010d0500",
    ("ED", "SHA512"): "06032b6570",
}


def tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(size)]) + size + body


def _integer(value: int) -> bytes:
    return tlv(2, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def _time(moment: datetime) -> bytes:
    return tlv(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a certificate is to say, whether or not it may."""

    subject: x509.Name | bytes
    key: Key
    extensions: Extensions = field(default_factory=dict)
    begin: timedelta = -DAY
    end: timedelta = 30 * DAY
    serial: int = 0
    version: int = 3
    hash: str = "SHA256"
    doubled: bool = False
    """Whether one of its extensions stands there twice."""

    def without(self, *kinds: type[x509.ExtensionType]) -> Draft:
        return replace(self, extensions={k: v for k, v in self.extensions.items() if k not in kinds})

    def having(self, *values: x509.ExtensionType, critical: bool = False) -> Draft:
        return replace(self, extensions={**self.extensions, **{type(v): (v, critical) for v in values}})


@dataclass(frozen=True, slots=True)
class Made:
    """A certificate and its key."""

    der: bytes
    key: Key
    draft: Draft

    @property
    def pem(self) -> bytes:
        body = base64.encodebytes(self.der)
        return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"


def _name(name: x509.Name | bytes) -> bytes:
    return name if isinstance(name, bytes) else name.public_bytes()


def _algorithm(key: Key, digest: str) -> bytes:
    kind = {rsa.RSAPrivateKey: "RSA", ec.EllipticCurvePrivateKey: "EC", ed25519.Ed25519PrivateKey: "ED"}
    family = next(text for each, text in kind.items() if isinstance(key, each))
    return tlv(0x30, bytes.fromhex(_OIDS[family, "SHA512" if family == "ED" else digest]))


def _signature(key: Key, digest: str, data: bytes) -> bytes:
    algorithm = getattr(hashes, digest)()
    match key:
        case rsa.RSAPrivateKey():
            return key.sign(data, padding.PKCS1v15(), algorithm)
        case ec.EllipticCurvePrivateKey():
            return key.sign(data, ec.ECDSA(algorithm))
        case _:
            return bytes(key.sign(data))


def _extension(value: x509.ExtensionType, *, critical: bool) -> bytes:
    oid = x509.ObjectIdentifier(value.oid.dotted_string)
    arcs = [int(each) for each in oid.dotted_string.split(".")]
    body = bytes([arcs[0] * 40 + arcs[1]])
    for arc in arcs[2:]:
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.insert(0, 0x80 | (arc & 0x7F))
        body += bytes(digits)
    data = value.value if isinstance(value, x509.UnrecognizedExtension) else value.public_bytes()
    return tlv(0x30, tlv(6, body), tlv(1, b"\xff") if critical else b"", tlv(4, data))


def signed(draft: Draft, issuer: Made | None, now: datetime) -> Made:
    """The certificate of a draft; without an issuer it signs itself."""
    signer = issuer.key if issuer is not None else draft.key
    named = _name(issuer.draft.subject if issuer is not None else draft.subject)
    algorithm = _algorithm(signer, draft.hash)
    identifier = x509.SubjectKeyIdentifier.from_public_key(draft.key.public_key())
    found = [
        _extension(identifier if isinstance(value, x509.SubjectKeyIdentifier) else value, critical=critical)
        for value, critical in draft.extensions.values()
    ]
    found += found[-1:] if draft.doubled else []
    spki = draft.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    body = tlv(
        0x30,
        tlv(0xA0, _integer(draft.version - 1)) if draft.version > 1 else b"",
        _integer(draft.serial),
        algorithm,
        named,
        tlv(0x30, _time(now + draft.begin), _time(now + draft.end)),
        _name(draft.subject),
        spki,
        tlv(0xA3, tlv(0x30, *found)) if found and draft.version == 3 else b"",
    )
    signature = _signature(signer, draft.hash, body)
    return Made(tlv(0x30, body, algorithm, tlv(3, b"\0", signature)), draft.key, draft)


def common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def usage(*names: str) -> x509.KeyUsage:
    known = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: name in names for name in known})


def sans(*names: str) -> x509.SubjectAlternativeName:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            if "://" in name:
                found.append(x509.UniformResourceIdentifier(name))
            else:
                found.append(x509.RFC822Name(name) if "@" in name else x509.DNSName(name))
    return x509.SubjectAlternativeName(found)


def constraints(permitted: str = "", excluded: str = "") -> x509.NameConstraints:
    def trees(text: str) -> list[x509.GeneralName] | None:
        found: list[x509.GeneralName] = []
        for each in text.split():
            if "/" in each:
                found.append(x509.IPAddress(ip_network(each)))
            elif each.startswith("uri:"):
                found.append(x509.UniformResourceIdentifier(each.removeprefix("uri:")))
            elif each.startswith("mail:"):
                found.append(x509.RFC822Name(each.removeprefix("mail:")))
            else:
                found.append(x509.DNSName(each))
        return found or None

    return x509.NameConstraints(trees(permitted), trees(excluded))


@cache
def pool(kind: str, number: int) -> Key:
    """Keys take long, and many certificates may have one: CAs apart have keys apart."""
    del number
    match kind:
        case "RSA":
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case "RSA-1024":
            return rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 -- on purpose
        case "ED":
            return ed25519.Ed25519PrivateKey.generate()
        case "P-224":
            return ec.generate_private_key(ec.SECP224R1())
        case "P-384":
            return ec.generate_private_key(ec.SECP384R1())
        case _:
            return ec.generate_private_key(ec.SECP256R1())


@dataclass(slots=True, kw_only=True)
class Plan:
    """A path before it is signed: the anchor, what stands between, the leaf, and who connects to what."""

    root: Draft
    between: list[Draft]
    leaf: Draft
    name: str
    """What a client connects to; empty where a server verifies a client."""
    reissued: dict[int, dict[str, Any]] = field(default_factory=dict)
    swap: str = ""
    """What is exchanged after signing: `anchor`, `signature`, `order`, `lost`, `pinned` or `stranger`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A path to be judged; `kind` is what was done to it."""

    kind: str
    sent: tuple[Made, ...]
    anchors: tuple[Made, ...]
    name: str


def plain(rng: random.Random, number: int) -> Plan:
    """A path that everybody accepts."""
    kind = rng.choice(("P-256", "P-256", "P-384", "RSA"))
    depth = rng.choice((0, 0, 1, 2))
    is_client = rng.random() < 0.3

    def ca(level: int) -> Draft:
        key = pool(kind, level)
        draft = Draft(
            subject=common_name(f"ca {number} {level}"),
            key=key,
            serial=rng.getrandbits(120) + 1,
            end=3000 * DAY,
        )
        draft = draft.having(
            x509.BasicConstraints(ca=True, path_length=None),
            usage("key_cert_sign", "crl_sign"),
            critical=True,
        )
        return draft.having(x509.SubjectKeyIdentifier.from_public_key(key.public_key()))

    cas = [ca(level) for level in range(depth + 1)]
    key = pool(rng.choice(("P-256", "RSA")), 99)
    leaf = Draft(subject=common_name(f"leaf {number}"), key=key, serial=rng.getrandbits(120) + 1)
    leaf = leaf.having(
        x509.BasicConstraints(ca=False, path_length=None), usage("digital_signature"), critical=True
    ).having(
        x509.ExtendedKeyUsage([CLIENT if is_client else SERVER]),
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
    )
    if not is_client:
        leaf = leaf.having(sans(NAME, "10.0.0.1", "kubernetes", "fd00::1"))
    wanted = "" if is_client else rng.choice((NAME, "10.0.0.1", "kubernetes", "fd00::1"))
    return Plan(root=cas[0], between=cas[1:], leaf=leaf, name=wanted)


KINDS: dict[str, Callable[[Plan, random.Random], None]] = {}


def kind(make: Callable[[Plan, random.Random], None]) -> Callable[[Plan, random.Random], None]:
    KINDS[make.__name__.strip("_")] = make
    return make


def _deep(plan: Plan) -> None:
    """At least one CA between."""
    if not plan.between:
        key = pool("P-256", 50)
        template = plan.root.having(x509.SubjectKeyIdentifier.from_public_key(key.public_key()))
        plan.between.append(replace(template, subject=common_name("between"), key=key, serial=77))


def _served(plan: Plan, *names: str, wanted: str) -> None:
    plan.leaf = plan.leaf.having(x509.ExtendedKeyUsage([SERVER])).without(x509.SubjectAlternativeName)
    plan.leaf = plan.leaf.having(sans(*names)) if names else plan.leaf
    plan.name = wanted


def _of_ca(plan: Plan, rng: random.Random, change: Callable[[Draft], Draft], *, deep: bool = False) -> None:
    """A change to one CA of the path: the anchor, or one between."""
    if deep or (plan.between and rng.random() < 0.5):
        _deep(plan)
        plan.between[-1] = change(plan.between[-1])
    else:
        plan.root = change(plan.root)


@kind
def good(plan: Plan, rng: random.Random) -> None:
    pass


@kind
def other_anchor(plan: Plan, rng: random.Random) -> None:
    plan.swap = "anchor"


@kind
def other_key_of_the_same_name(plan: Plan, rng: random.Random) -> None:
    plan.swap = "signature"


@kind
def one_between_is_lost(plan: Plan, rng: random.Random) -> None:
    _deep(plan)
    plan.swap = "lost"


@kind
def sent_in_another_order(plan: Plan, rng: random.Random) -> None:
    _deep(plan)
    plan.swap = "order"


@kind
def a_stranger_is_sent_along(plan: Plan, rng: random.Random) -> None:
    plan.swap = "stranger"


@kind
def the_leaf_is_trusted_itself(plan: Plan, rng: random.Random) -> None:
    plan.swap = "pinned"


@kind
def signed_by_itself_and_trusted(plan: Plan, rng: random.Random) -> None:
    plan.swap = "self-signed"


@kind
def path_length(plan: Plan, rng: random.Random) -> None:
    limit = rng.choice((0, 0, 1, 2))
    _deep(plan)
    plan.root = plan.root.having(x509.BasicConstraints(ca=True, path_length=limit), critical=True)


@kind
def a_ca_that_is_issued_to_itself(plan: Plan, rng: random.Random) -> None:
    """A key's successor under the same name, below a CA that allows none."""
    _deep(plan)
    plan.between = plan.between[:1]
    plan.between[0] = replace(plan.between[0], subject=plan.root.subject)
    limit = rng.choice((0, None))
    plan.root = plan.root.having(x509.BasicConstraints(ca=True, path_length=limit), critical=True)


@kind
def a_ca_without_the_flag(plan: Plan, rng: random.Random) -> None:
    flag = x509.BasicConstraints(ca=False, path_length=None)
    _of_ca(plan, rng, lambda ca: ca.having(flag, critical=True))


@kind
def a_ca_without_basic_constraints(plan: Plan, rng: random.Random) -> None:
    _of_ca(plan, rng, lambda ca: ca.without(x509.BasicConstraints))


@kind
def a_ca_of_version_1(plan: Plan, rng: random.Random) -> None:
    _of_ca(plan, rng, lambda ca: replace(ca, version=1))


@kind
def a_leaf_of_version_1(plan: Plan, rng: random.Random) -> None:
    plan.leaf = replace(plan.leaf, version=1)


@kind
def a_ca_without_key_usage(plan: Plan, rng: random.Random) -> None:
    _of_ca(plan, rng, lambda ca: ca.without(x509.KeyUsage))


@kind
def a_ca_that_may_not_sign(plan: Plan, rng: random.Random) -> None:
    _of_ca(plan, rng, lambda ca: ca.having(usage("digital_signature", "crl_sign"), critical=True))


@kind
def a_leaf_without_key_usage(plan: Plan, rng: random.Random) -> None:
    plan.leaf = plan.leaf.without(x509.KeyUsage)


@kind
def a_leaf_for_other_uses_of_its_key(plan: Plan, rng: random.Random) -> None:
    plan.leaf = plan.leaf.having(usage(rng.choice(("key_encipherment", "key_agreement"))), critical=True)


@kind
def a_leaf_that_is_a_ca(plan: Plan, rng: random.Random) -> None:
    flag = x509.BasicConstraints(ca=True, path_length=None)
    plan.leaf = plan.leaf.having(flag, usage("digital_signature", "key_cert_sign"), critical=True)


@kind
def usages_of_the_leaf(plan: Plan, rng: random.Random) -> None:
    other = SERVER if not plan.name else CLIENT
    choice = rng.choice(([other], [other], [ANY], [ExtendedKeyUsageOID.CODE_SIGNING], [SERVER, CLIENT], None))
    plan.leaf = plan.leaf.without(x509.ExtendedKeyUsage)
    if choice is not None:
        plan.leaf = plan.leaf.having(x509.ExtendedKeyUsage(choice), critical=rng.random() < 0.3)


@kind
def usages_of_a_ca(plan: Plan, rng: random.Random) -> None:
    own, other = (SERVER, CLIENT) if plan.name else (CLIENT, SERVER)
    choice = rng.choice(([own], [other], [other], [ANY], [own, other]))
    _of_ca(plan, rng, lambda ca: ca.having(x509.ExtendedKeyUsage(choice)))


@kind
def expired(plan: Plan, rng: random.Random) -> None:
    if rng.random() < 0.4:
        plan.leaf = replace(plan.leaf, begin=-9 * DAY, end=-DAY)
    else:
        _of_ca(plan, rng, lambda ca: replace(ca, begin=-90 * DAY, end=-DAY))


@kind
def not_yet_valid(plan: Plan, rng: random.Random) -> None:
    if rng.random() < 0.4:
        plan.leaf = replace(plan.leaf, begin=2 * DAY)
    else:
        _of_ca(plan, rng, lambda ca: replace(ca, begin=2 * DAY))


@kind
def a_leaf_that_outlives_its_ca(plan: Plan, rng: random.Random) -> None:
    plan.leaf = replace(plan.leaf, end=8000 * DAY)


@kind
def weak_hashes(plan: Plan, rng: random.Random) -> None:
    plan.root = replace(plan.root, key=pool("RSA", 0))
    for number, each in enumerate(plan.between):
        plan.between[number] = replace(each, key=pool("RSA", number + 1))
    digest = rng.choice(("SHA1", "SHA1", "MD5", "SHA384", "SHA512"))
    if rng.random() < 0.5:
        plan.leaf = replace(plan.leaf, hash=digest)
    else:
        _of_ca(plan, rng, lambda ca: replace(ca, hash=digest))


@kind
def hashes_of_ecdsa(plan: Plan, rng: random.Random) -> None:
    plan.root, plan.between = replace(plan.root, key=pool("P-256", 0)), []
    plan.leaf = replace(plan.leaf, hash=rng.choice(("SHA1", "SHA224", "SHA384", "SHA512")))


@kind
def keys(plan: Plan, rng: random.Random) -> None:
    key = pool(rng.choice(("RSA-1024", "ED", "P-384")), 70)
    if rng.random() < 0.5:
        plan.leaf = replace(plan.leaf, key=key)
    else:
        plan.root, plan.between = replace(plan.root, key=key), []


@kind
def critical_extensions(plan: Plan, rng: random.Random) -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
    policies = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)])
    points = x509.CRLDistributionPoints(
        [x509.DistributionPoint([x509.UniformResourceIdentifier("http://x/")], None, None, None)]
    )
    value = rng.choice((unknown, unknown, policies, points))
    critical = rng.random() < 0.8
    if rng.random() < 0.4:
        plan.leaf = plan.leaf.having(value, critical=critical)
    else:
        _of_ca(plan, rng, lambda ca: ca.having(value, critical=critical))


@kind
def critical_key_identifiers(plan: Plan, rng: random.Random) -> None:
    own = plan.leaf.extensions[x509.SubjectKeyIdentifier][0]
    plan.leaf = plan.leaf.having(own, critical=True)


@kind
def constraints_on_policies(plan: Plan, rng: random.Random) -> None:
    value = x509.PolicyConstraints(rng.choice((0, 3)), None)
    _of_ca(plan, rng, lambda ca: ca.having(value, critical=True))


@kind
def serial_numbers(plan: Plan, rng: random.Random) -> None:
    number = rng.choice((0, -7, -(1 << 70), 1 << 170, 1))
    if rng.random() < 0.5:
        plan.leaf = replace(plan.leaf, serial=number)
    else:
        _of_ca(plan, rng, lambda ca: replace(ca, serial=number))


@kind
def authority_key_identifiers(plan: Plan, rng: random.Random) -> None:
    plan.leaf = plan.leaf.having(x509.AuthorityKeyIdentifier(rng.randbytes(20), None, None))


@kind
def doubled_extensions(plan: Plan, rng: random.Random) -> None:
    plan.leaf = replace(plan.leaf, doubled=True)


@kind
def without_key_identifiers(plan: Plan, rng: random.Random) -> None:
    plan.leaf = plan.leaf.without(x509.SubjectKeyIdentifier)
    plan.root = plan.root.without(x509.SubjectKeyIdentifier)


@kind
def names_that_are_absent(plan: Plan, rng: random.Random) -> None:
    """Only a common name, or others than the one that is wanted."""
    names = rng.choice(((), ("other.example.com",), ("10.0.0.9",), ("spiffe://prod/x",), ("a@example.com",)))
    _served(plan, *names, wanted=NAME)
    plan.leaf = replace(plan.leaf, subject=common_name(NAME))


NAMES = (
    ("*.example.com", "api.example.com"),
    ("*.example.com", "a.api.example.com"),
    ("*.example.com", "example.com"),
    ("*", "kubernetes"),
    ("api.*.com", "api.example.com"),
    ("a*.example.com", "api.example.com"),
    ("*.*.com", "api.example.com"),
    ("my_node.example.com", "my_node.example.com"),
    ("*.example.com", "my_node.example.com"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("API.Example.COM", "api.example.com"),
    ("api.example.com.", "api.example.com"),
    ("-a.example.com", "-a.example.com"),
    ("*.-a.example.com", "b.-a.example.com"),
    ("localhost", "localhost"),
    ("10.0.0.1", "10.0.0.1"),
    ("10.0.0.1", "10.0.0.2"),
    ("fd00::1", "fd00:0:0::1"),
    ("::ffff:10.0.0.1", "10.0.0.1"),
)


@kind
def names_and_wildcards(plan: Plan, rng: random.Random) -> None:
    own, wanted = rng.choice(NAMES)
    _served(plan, own, wanted=wanted)


@kind
def an_address_as_a_dns_name(plan: Plan, rng: random.Random) -> None:
    _served(plan, wanted="10.0.0.1")
    plan.leaf = plan.leaf.having(x509.SubjectAlternativeName([x509.DNSName("10.0.0.1")]))


LIMITS = (
    ("example.com", "", (NAME,)),
    ("example.org", "", (NAME,)),
    ("", "example.com", (NAME,)),
    ("", "corp.example.com", (NAME,)),
    (".example.com", "", (NAME,)),
    (".api.example.com", "", (NAME,)),
    ("", ".api.example.com", (NAME,)),
    ("EXAMPLE.com", "", (NAME,)),
    ("ample.com", "", (NAME,)),
    ("10.0.0.0/8", "", ("10.0.0.1",)),
    ("192.168.0.0/16", "", ("10.0.0.1",)),
    ("", "10.0.0.0/8", ("10.0.0.1",)),
    ("10.0.0.0/8", "", (NAME,)),
    ("example.com", "", ("10.0.0.1",)),
    ("fd00::/16", "", ("fd00::1",)),
    ("example.com", "", ("*.example.com",)),
    ("", "api.example.com", ("*.example.com",)),
    ("", "a.api.example.com", ("*.example.com",)),
    ("uri:example.com", "", (NAME, "spiffe://example.com/x")),
    ("uri:example.org", "", (NAME, "spiffe://example.com/x")),
    ("mail:example.com", "", (NAME, "a@example.com")),
    ("mail:example.org", "", (NAME, "a@example.com")),
    ("mail:b@example.com", "", (NAME, "a@example.com")),
    ("example.com", "", (NAME, "bad..example.com")),
    ("example.com.", "", (NAME,)),
)


@kind
def constraints_on_names(plan: Plan, rng: random.Random) -> None:
    permitted, excluded, names = rng.choice(LIMITS)
    wanted = names[0].replace("*", "api")
    _served(plan, *names, wanted=wanted)
    limits = constraints(permitted, excluded)
    _of_ca(plan, rng, lambda ca: ca.having(limits, critical=rng.random() < 0.7))


@kind
def constraints_of_another_kind(plan: Plan, rng: random.Random) -> None:
    limits = x509.NameConstraints([x509.DirectoryName(common_name("x"))], None)
    _of_ca(plan, rng, lambda ca: ca.having(limits, critical=rng.random() < 0.7))


@kind
def a_name_in_another_encoding(plan: Plan, rng: random.Random) -> None:
    """The issuer's name says the same in another string type."""
    plan.swap = "encoding"


def _sign(plan: Plan, now: datetime) -> tuple[list[Made], list[Made]]:
    root = signed(plan.root, None, now)
    issuer, between = root, []
    for draft in plan.between:
        issuer = signed(_with_authority(draft, issuer), issuer, now)
        between.insert(0, issuer)
    if plan.swap == "signature":
        issuer = Made(issuer.der, pool("P-256", 60), issuer.draft)
    if plan.swap == "encoding":
        text = f"ca of {plan.leaf.serial}"
        name = tlv(0x30, tlv(0x31, tlv(0x30, bytes.fromhex("0603550403"), tlv(0x13, text.encode()))))
        issuer = Made(issuer.der, issuer.key, replace(issuer.draft, subject=name))
        root = signed(replace(plan.root, subject=common_name(text)), None, now)
        issuer = Made(root.der, root.key, replace(root.draft, subject=name))
        between = []
    own = plan.swap == "self-signed"
    leaf = signed(plan.leaf if own else _with_authority(plan.leaf, issuer), None if own else issuer, now)
    return [leaf, *between], [root]


def _with_authority(draft: Draft, issuer: Made) -> Draft:
    known = draft.extensions.get(x509.AuthorityKeyIdentifier)
    if known is not None:
        return draft
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return draft.having(identifier) if x509.SubjectKeyIdentifier in issuer.draft.extensions else draft


def chains(seed: int, count: int, now: datetime) -> list[Chain]:
    """Paths of every kind, in turn; a seed makes the same ones but for their keys and times."""
    rng = random.Random(seed)  # noqa: S311 -- not for secrets
    found = []
    for number in range(count):
        name, change = list(KINDS.items())[number % len(KINDS)]
        plan = plain(rng, number)
        change(plan, rng)
        sent, anchors = _sign(plan, now)
        match plan.swap:
            case "anchor":
                stranger = replace(plan.root, key=pool("P-256", 61), subject=common_name(f"other {number}"))
                anchors = [signed(stranger, None, now)]
            case "lost":
                sent = [sent[0], *sent[2:]]
            case "order":
                sent = [sent[0], *sent[:0:-1]]
            case "stranger":
                draft = replace(plan.root, key=pool("P-256", 62), subject=common_name("stranger"))
                serial = rng.choice((5, -5))
                sent.append(signed(replace(draft, serial=serial), None, now))
            case "pinned" | "self-signed":
                anchors = [sent[0]]
        found.append(Chain(kind=name, sent=tuple(sent), anchors=tuple(anchors), name=plan.name))
    return found


def moment() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
