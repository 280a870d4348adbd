"""CAs that people bring, made with openssl as people make them: used, or refused with the reason."""

from __future__ import annotations

import base64
import os
import shutil
import ssl
import stat
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pkigen.crypto.issuance import certificate_pem
from pkigen.crypto.profiles import PROFILES
from pkigen.desired.items import DesiredCopy, MaterialKind
from pkigen.errors import AuthorityError
from pkigen.state.authority import CACertificates
from pkigen.state.reasons import Reason
from tests.samples import CP1, W1, World, snapshot, spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

NOW = datetime.now(UTC) + timedelta(hours=1)  # openssl makes certificates that begin at the real present
CLUSTER = spec(CP1, W1)


def openssl(directory: Path, *lines: str) -> None:
    """Run commands of the openssl command line, one a line."""
    for line in lines:
        run = subprocess.run(
            ["openssl", *line.split()], cwd=directory, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty PKI directory in which a CA can be put."""
    (tmp_path / "prod" / "pki" / "etcd").mkdir(parents=True, mode=0o700)
    return World(root=tmp_path / "prod", cluster=CLUSTER, now=NOW)


ROOT = "req -x509 -nodes -days 3650 -subj /CN=my-root -keyout ca.key -out ca.crt -newkey"
BROUGHT = {
    # What people do, with all of openssl's defaults: PKCS #8 keys, keyUsage absent.
    "rsa-2048": (f"{ROOT} rsa:2048",),
    "rsa-4096": (f"{ROOT} rsa:4096",),  # the slowest: seconds for one key
    "p-256": (f"{ROOT} ec -pkeyopt ec_paramgen_curve:P-256",),
    "p-384": (f"{ROOT} ec -pkeyopt ec_paramgen_curve:P-384",),
    "p-521": (f"{ROOT} ec -pkeyopt ec_paramgen_curve:P-521",),
    "with-usages": (
        f"{ROOT} rsa:2048 -addext keyUsage=critical,keyCertSign,cRLSign -addext subjectKeyIdentifier=hash",
    ),
    "pkcs-1": (
        "genrsa -traditional -out ca.key 2048",
        "req -x509 -new -key ca.key -subj /O=Example/CN=kubernetes -days 3650 -out ca.crt",
    ),
    "sec-1-with-parameters": (  # as `openssl ecparam -genkey` writes it: EC PARAMETERS before the key
        "ecparam -name prime256v1 -genkey -out ca.key",
        "req -x509 -new -key ca.key -subj /CN=kubernetes -days 3650 -out ca.crt",
    ),
    "with-text": (  # `openssl x509 -text` puts a description before the PEM
        f"{ROOT} ec -pkeyopt ec_paramgen_curve:P-256",
        "x509 -in ca.crt -text -out ca.crt.text",
    ),
}


@pytest.mark.parametrize("name", BROUGHT)
def test_a_root_is_used_unchanged(name: str, world: World) -> None:
    openssl(world.root / "pki", *BROUGHT[name])
    text = world.root / "pki" / "ca.crt.text"
    if text.exists():
        text.replace(world.root / "pki" / "ca.crt")
    before = {path: world.read(path) for path in ("pki/ca.crt", "pki/ca.key")}
    done = world.apply()
    assert "ca" not in done.issued
    assert {path: world.read(path) for path in before} == before
    assert_signs_everything(world)
    assert world.read("nodes/cp-1/etc/kubernetes/pki/ca.key") == before["pki/ca.key"]
    assert [each for each in world.verify().findings if "ca.crt.text" not in each.subject] == []
    assert world.plan().changes == ()


def assert_signs_everything(world: World) -> None:
    issuer = world.certificate("ca")
    for identifier, item in world.inventory.certificates.items():
        if item.issuer == "ca":
            world.certificate(identifier).verify_directly_issued_by(issuer)


def test_what_stricter_verifiers_miss_is_remarked(world: World) -> None:
    openssl(world.root / "pki", *BROUGHT["rsa-2048"])
    world.apply()
    details = [each.detail for each in world.verify().remarks]
    assert any("has no keyUsage, which Python 3.13 and later refuse" in detail for detail in details)


def test_loose_modes_are_tightened(world: World) -> None:
    openssl(world.root / "pki", *BROUGHT["p-256"])
    world.path("pki/ca.key").chmod(0o644)
    world.path("pki/ca.crt").chmod(0o600)
    world.path("pki").chmod(0o755)
    verb, reason = world.reasons()["ca"]
    assert (verb, reason) == ("rewrite", Reason.MODE)
    assert world.apply().backup is not None
    assert stat.S_IMODE(world.path("pki/ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(world.path("pki/ca.crt").stat().st_mode) == 0o644
    assert stat.S_IMODE(world.path("pki").stat().st_mode) == 0o700
    assert world.verify().findings == ()


def test_a_service_account_key_is_used_and_gets_its_public_half(world: World) -> None:
    openssl(world.root / "pki", "genrsa -out sa.key 2048", "rsa -in sa.key -pubout -out expected.pub")
    before = world.read("pki/sa.key")
    assert world.reasons()["sa"] == ("rewrite", Reason.CONTENT_CHANGED)
    world.apply()
    assert world.read("pki/sa.key") == before
    assert world.read("pki/sa.pub") == world.read("pki/expected.pub")
    assert world.read("nodes/cp-1/etc/kubernetes/pki/sa.pub") == world.read("pki/expected.pub")


# -- intermediates ------------------------------------------------------------------------------------

CA_EXTENSIONS = (
    "-addext basicConstraints=critical,CA:TRUE,pathlen:{} -addext keyUsage=critical,keyCertSign,cRLSign"
)


def make_intermediates(directory: Path) -> None:
    """A root, a policy CA below it and an issuing CA below that, as `openssl x509 -req` makes them."""
    curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    request, sign = f"req -new {curve}", "x509 -req -copy_extensions copyall"
    openssl(
        directory,
        f"req -x509 {curve} -subj /CN=company-root -keyout root.key -out root.crt -days 7300",
        f"{request} -subj /CN=company-policy -keyout policy.key -out policy.csr {CA_EXTENSIONS.format(1)}",
        f"{sign} -in policy.csr -CA root.crt -CAkey root.key -days 5000 -out policy.crt",
        f"{request} -subj /CN=company-issuing -keyout issuing.key -out issuing.csr {CA_EXTENSIONS.format(0)}",
        f"{sign} -in issuing.csr -CA policy.crt -CAkey policy.key -days 4000 -out issuing.crt",
    )


@pytest.fixture(scope="module")
def hierarchy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("hierarchy")
    make_intermediates(directory)
    return directory


def bring(world: World, hierarchy: Path, *chain: str, key: str = "issuing") -> None:
    world.path("pki/ca.crt").write_bytes(b"".join((hierarchy / f"{name}.crt").read_bytes() for name in chain))
    shutil.copy(hierarchy / f"{key}.key", world.path("pki/ca.key"))


@pytest.mark.parametrize(
    "chain",
    [("issuing",), ("issuing", "policy"), ("issuing", "policy", "root")],
    ids=" ".join,
)
def test_an_intermediate_with_its_chain(chain: tuple[str, ...], world: World, hierarchy: Path) -> None:
    bring(world, hierarchy, *chain)
    world.apply()
    issuing = (hierarchy / "issuing.crt").read_bytes()
    sent = b"".join((hierarchy / f"{name}.crt").read_bytes() for name in chain if name != "root")
    assert_signs_everything(world)
    for item in world.inventory.items:
        if isinstance(item, DesiredCopy) and item.ca == "ca" and item.material is not MaterialKind.CA_KEY:
            # Nodes trust the issuing CA alone: whatever else its root has signed is not let in.
            assert world.read(item.path) == issuing, item.path
    for identifier, item in world.inventory.certificates.items():
        if item.issuer != "ca":
            continue
        after = world.pem(identifier)[
            len(x509.load_pem_x509_certificate(world.pem(identifier)).public_bytes(Encoding.PEM)) :
        ]
        assert after == (sent if PROFILES[item.profile].sends_chain else b""), identifier
    assert world.verify().findings == ()
    assert world.plan().changes == ()


def test_an_intermediate_is_a_sufficient_anchor_for_openssl(world: World, hierarchy: Path) -> None:
    """Go takes any certificate for an anchor; OpenSSL does with partial chains, or with the whole chain."""
    bring(world, hierarchy, "issuing", "policy", "root")
    world.apply()
    serving = world.path("nodes/cp-1/etc/kubernetes/pki/apiserver.crt")
    node_trust = world.path("nodes/worker-1/etc/kubernetes/pki/ca.crt")
    # Not -x509_strict: `openssl x509 -req` itself makes intermediates without key identifiers.
    verify = ["openssl", "verify", "-attime", str(int(NOW.timestamp())), "-purpose", "sslserver"]
    partial = [*verify, "-partial_chain", "-CAfile", str(node_trust), str(serving)]
    run = subprocess.run(partial, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    root = hierarchy / "root.crt"
    # Whoever trusts the company's root only gets there with what the server sends.
    full = [*verify, "-CAfile", str(root), "-untrusted", str(serving), str(serving)]
    assert subprocess.run(full, capture_output=True, check=False).returncode == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(serving, world.path("nodes/cp-1/etc/kubernetes/pki/apiserver.key"))


def test_an_intermediate_may_be_exchanged_for_one_with_another_chain(world: World, hierarchy: Path) -> None:
    bring(world, hierarchy, "issuing")
    world.apply()
    bring(world, hierarchy, "issuing", "policy")
    changes = world.reasons()
    assert changes["cp-1/apiserver"] == ("rewrite", Reason.CHAIN_CHANGED)
    assert "cp-1/admin.conf" not in changes
    before = world.certificate("cp-1/apiserver")
    world.apply()
    assert world.certificate("cp-1/apiserver") == before
    assert world.verify().findings == ()


# -- unfit ones ---------------------------------------------------------------------------------------


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    del number
    return ec.generate_private_key(ec.SECP256R1())


def pem_key(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


CONSTRAINTS = x509.BasicConstraints(ca=True, path_length=None)


def usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def made(
    key: CertificateIssuerPrivateKeyTypes | None = None,
    *extensions: tuple[x509.ExtensionType, bool],
    begin: timedelta = -timedelta(days=1),
    end: timedelta = timedelta(days=1000),
    cn: str = "brought",
    constraints: x509.BasicConstraints | None = CONSTRAINTS,
    signer: tuple[x509.Certificate, CertificateIssuerPrivateKeyTypes] | None = None,
) -> x509.Certificate:
    key = key or ec_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)] if cn else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(signer[0].subject if signer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + begin)
        .not_valid_after(NOW + end)
    )
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    signing = signer[1] if signer else key
    return builder.sign(signing, None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def encrypted() -> bytes:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption  # noqa: PLC0415

    return ec_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))


def intermediate(
    *extensions: tuple[x509.ExtensionType, bool], depth: int | None = None
) -> tuple[x509.Certificate, x509.Certificate]:
    root = made(ec_key(1), cn="root", constraints=x509.BasicConstraints(ca=True, path_length=depth))
    return made(ec_key(), *extensions, cn="issuing", signer=(root, ec_key(1))), root


UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")

POSTED = Path(__file__).parents[1] / "crypto/certificates"


def der(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    size = len(body)
    length = bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + body


# SEC 2 2.4.2, as the ECParameters of SEC 1 C.2: prime field, curve, generator, order, cofactor.
PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
CURVE = (PRIME - 3, 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B)
GENERATOR = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def with_explicit_curve(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A P-256 key as `openssl ecparam -param_enc explicit` writes it: the curve's numbers for its name."""
    field = der(0x30, bytes.fromhex("06072a8648ce3d0101"), der(2, b"\0" + PRIME.to_bytes(32, "big")))
    curve = der(0x30, *(der(4, number.to_bytes(32, "big")) for number in CURVE))
    order = der(2, b"\0" + ORDER.to_bytes(32, "big"))
    parameters = der(0x30, der(2, b"\1"), field, curve, der(4, GENERATOR), order, der(2, b"\1"))
    algorithm = der(0x30, bytes.fromhex("06072a8648ce3d0201"), parameters)
    secret = key.private_numbers().private_value.to_bytes(32, "big")
    own = der(4, der(0x30, der(2, b"\1"), der(4, secret)))
    body = base64.encodebytes(der(0x30, der(2, b"\0"), algorithm, own))
    return b"-----BEGIN PRIVATE KEY-----\n" + body + b"-----END PRIVATE KEY-----\n"


Files = dict[str, bytes | None]
KEY = "pki/ca.key"
CRT = "pki/ca.crt"


def posted(name: str) -> Files:
    return {CRT: (POSTED / f"{name}.crt").read_bytes()}


UNFIT: dict[str, tuple[Callable[[], Files], str, str]] = {
    # name: files, what the sentence says, the file it names
    "expired": (lambda: {CRT: pem(made(end=-timedelta(hours=1))), KEY: pem_key(ec_key())}, "it expired", CRT),
    "not-yet-valid": (
        lambda: {CRT: pem(made(begin=timedelta(days=1))), KEY: pem_key(ec_key())},
        "it is not valid before",
        CRT,
    ),
    "no-basic-constraints": (
        lambda: {CRT: pem(made(constraints=None)), KEY: pem_key(ec_key())},
        "it has no basicConstraints, so it is not a CA",
        CRT,
    ),
    "not-a-ca": (
        lambda: {
            CRT: pem(made(constraints=x509.BasicConstraints(ca=False, path_length=None))),
            KEY: pem_key(ec_key()),
        },
        "its basicConstraints say that it is not a CA",
        CRT,
    ),
    "no-key-cert-sign": (
        lambda: {CRT: pem(made(None, (usage(sign=False), True))), KEY: pem_key(ec_key())},
        "its keyUsage does not allow it to sign certificates (keyCertSign)",
        CRT,
    ),
    "key-mismatch": (
        lambda: {CRT: pem(made()), KEY: pem_key(ec_key(1))},
        "the private key beside it does not match",
        CRT,
    ),
    "key-missing": (lambda: {CRT: pem(made())}, "is missing: pki/ca.crt cannot sign without its key", KEY),
    "key-encrypted": (lambda: {CRT: pem(made()), KEY: encrypted()}, "is encrypted with a passphrase", KEY),
    "key-garbage": (lambda: {CRT: pem(made()), KEY: b"garbage"}, "is not a PEM private key", KEY),
    "key-empty": (lambda: {CRT: pem(made()), KEY: b""}, "is empty", KEY),
    "two-keys": (
        lambda: {CRT: pem(made()), KEY: pem_key(ec_key()) + pem_key(ec_key(1))},
        "holds more than one private key",
        KEY,
    ),
    "ed25519": (
        lambda: {CRT: pem(made(ED25519)), KEY: pem_key(ED25519)},
        "its key is Ed25519; RSA and ECDSA on P-256, P-384 or P-521 are accepted",
        CRT,
    ),
    "rsa-1024": (
        lambda: {CRT: pem(made(rsa_key(1024))), KEY: pem_key(rsa_key(1024))},
        "its key is RSA with 1024 bits; 2048 to 8192 are accepted",
        CRT,
    ),
    "unusual-curve": (
        lambda: {CRT: pem(made(BRAINPOOL)), KEY: pem_key(BRAINPOOL)},
        "its key is ECDSA on brainpoolP256r1; P-256, P-384 and P-521 are accepted",
        CRT,
    ),
    "wrong-chain-order": (
        lambda: {CRT: pem(*reversed(intermediate())), KEY: pem_key(ec_key(1))},
        "certificate 2 of the file did not sign the one before it",
        CRT,
    ),
    "two-in-one": (
        lambda: {CRT: pem(made(), made(ec_key(1), cn="other")), KEY: pem_key(ec_key())},
        "the file holds two roots, and one file is for one CA",
        CRT,
    ),
    "path-length": (
        lambda: {CRT: pem(*intermediate(depth=0)), KEY: pem_key(ec_key())},
        "CN=root allows 0 intermediates below it (pathLenConstraint)",
        CRT,
    ),
    "chain-expired": (
        lambda: {
            CRT: pem(
                made(signer=(made(ec_key(1), cn="old", end=-timedelta(hours=1)), ec_key(1))),
                made(ec_key(1), cn="old", end=-timedelta(hours=1)),
            ),
            KEY: pem_key(ec_key()),
        },
        "CN=old above it in the file expired",
        CRT,
    ),
    "eku-restricted": (
        lambda: {
            CRT: pem(made(None, (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False))),
            KEY: pem_key(ec_key()),
        },
        "its extendedKeyUsage does not allow both serverAuth and clientAuth",
        CRT,
    ),
    "critical-unknown": (
        lambda: {CRT: pem(made(None, (UNKNOWN, True))), KEY: pem_key(ec_key())},
        "its critical extension 1.2.3.4.5 is not understood by every verifier",
        CRT,
    ),
    "chain-critical-unknown": (
        lambda: {
            CRT: pem(
                made(cn="issuing", signer=(made(ec_key(1), (UNKNOWN, True), cn="root"), ec_key(1))),
                made(ec_key(1), (UNKNOWN, True), cn="root"),
            ),
            KEY: pem_key(ec_key()),
        },
        "in its chain, CN=root its critical extension 1.2.3.4.5",
        CRT,
    ),
    **{
        f"posted-{name}": (partial(posted, name), sentence, CRT)
        for name, sentence in (
            ("explicit-curve", "its key has explicit curve parameters, which Kubernetes cannot read"),
            ("explicit-curve-posted", "its key has explicit curve parameters, which Kubernetes cannot read"),
            ("rsassa-pss-key", "its key has RSASSA-PSS parameters, which Kubernetes cannot read"),
            ("compressed-point", "its key has an unusual encoding, such as a compressed point"),
            ("t61-name", "holds a certificate with a T61String that has letters outside of ASCII"),
            ("critical-directory-constraint", "its critical extension nameConstraints is not understood"),
        )
    },
    "key-of-explicit-curve": (
        lambda: {CRT: pem(made()), KEY: with_explicit_curve(ec_key())},
        "has explicit curve parameters, which Kubernetes cannot read",
        KEY,
    ),
    "der": (
        lambda: {CRT: made().public_bytes(Encoding.DER), KEY: pem_key(ec_key())},
        "holds a certificate as DER: `openssl x509 -inform DER",
        CRT,
    ),
    "trusted": (
        lambda: {CRT: pem(made()).replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE"), KEY: pem_key(ec_key())},
        "holds a TRUSTED CERTIFICATE, which only OpenSSL reads: `openssl x509 -in",
        CRT,
    ),
    "utf-16": (
        lambda: {CRT: pem(made()).decode().encode("utf-16"), KEY: pem_key(ec_key())},
        "holds UTF-16 text: save it as ASCII or UTF-8",
        CRT,
    ),
    "key-as-der": (
        lambda: {
            CRT: pem(made()),
            KEY: ec_key().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        },
        "holds a private key as DER: `openssl pkey -inform DER",
        KEY,
    ),
    "garbage": (lambda: {CRT: b"garbage", KEY: pem_key(ec_key())}, "holds no PEM certificates", CRT),
    "garbage-alone": (lambda: {CRT: b"garbage"}, "holds no PEM certificates", CRT),
    "key-in-certificate": (
        lambda: {CRT: pem(made()) + pem_key(ec_key()), KEY: pem_key(ec_key())},
        "holds a private key, which does not belong in a file of certificates",
        CRT,
    ),
    "damaged": (
        lambda: {
            CRT: pem(made()).replace(b"MII", b"!!!", 1).replace(b"MIIB", b"!!!!", 1)[:-40],
            KEY: pem_key(ec_key()),
        },
        "holds a damaged PEM certificate",
        CRT,
    ),
    "not-der": (
        lambda: {
            CRT: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            KEY: pem_key(ec_key()),
        },
        "holds a certificate that cannot be read",
        CRT,
    ),
    "certificate-missing": (lambda: {KEY: pem_key(ec_key())}, "is missing, but pki/ca.key is there", CRT),
    "shared": (
        lambda: {
            CRT: pem(made()),
            KEY: pem_key(ec_key()),
            "pki/front-proxy-ca.crt": pem(made(cn="front")),
            "pki/front-proxy-ca.key": pem_key(ec_key()),
        },
        "pki/front-proxy-ca.crt have the same key",
        CRT,
    ),
}
ED25519 = ed25519.Ed25519PrivateKey.generate()
BRAINPOOL = ec.generate_private_key(ec.BrainpoolP256R1())


@pytest.mark.parametrize(
    ("constraint", "refused"),
    [
        ("permitted;DNS:example.com", "cp-1/apiserver"),
        ("permitted;IP:192.168.0.0/255.255.0.0", "cp-1/apiserver"),
        ("excluded;DNS:svc", "cp-1/apiserver"),
        ("excluded;DNS:example.com", None),
        ("permitted;IP:10.0.0.0/255.0.0.0", None),
    ],
)
def test_name_constraints_permit_the_clusters_names_or_the_ca_is_refused(
    constraint: str, refused: str | None, world: World, tmp_path: Path
) -> None:
    openssl(
        tmp_path,
        f"{ROOT} ec -pkeyopt ec_paramgen_curve:P-256 -addext keyUsage=critical,keyCertSign "
        f"-addext nameConstraints=critical,{constraint}",
    )
    for name in ("ca.crt", "ca.key"):
        world.path(f"pki/{name}").write_bytes((tmp_path / name).read_bytes())
    before = snapshot(world.root)
    if refused is None:
        world.apply()
        assert world.verify().findings == ()
        return
    with pytest.raises(AuthorityError, match=f"pki/ca.crt must not sign {refused}: ") as caught:
        world.apply()
    assert "name constraints" in caught.value.hint
    assert snapshot(world.root) == before


@pytest.mark.parametrize("name", UNFIT)
def test_an_unfit_one_is_refused_with_its_reason_and_nothing_is_written(name: str, world: World) -> None:
    files, sentence, named = UNFIT[name]
    for path, content in files().items():
        assert content is not None
        world.path(path).write_bytes(content)
    before = snapshot(world.root)
    for attempt in (world.plan, world.apply):
        with pytest.raises(AuthorityError) as caught:
            attempt()
        message = caught.value.message
        assert sentence in message
        assert named in message
        assert caught.value.hint
        assert "PRIVATE KEY" not in message + caught.value.hint
    assert snapshot(world.root) == before


def test_an_intermediate_signed_with_sha_1_is_refused(world: World, tmp_path: Path) -> None:
    request = "req -new -newkey rsa:2048 -nodes -subj /CN=issuing"
    sign = "x509 -req -sha1 -copy_extensions copyall"
    openssl(
        tmp_path,
        "req -x509 -newkey rsa:2048 -nodes -subj /CN=old-root -keyout root.key -out root.crt -days 100",
        f"{request} -keyout issuing.key -out issuing.csr {CA_EXTENSIONS.format(0)}",
        f"{sign} -in issuing.csr -CA root.crt -CAkey root.key -out issuing.crt -days 50",
    )
    bring(world, tmp_path, "issuing")
    with pytest.raises(AuthorityError, match="it is signed with sha1, which Go refuses"):
        world.plan()


def test_a_root_signed_with_sha_1_is_used(world: World) -> None:
    """Nobody verifies the signature of a trust anchor."""
    openssl(world.root / "pki", f"{ROOT} rsa:2048 -sha1")
    world.apply()
    assert world.plan().changes == ()


def test_a_signature_algorithm_that_nobody_knows_is_refused_in_words(world: World) -> None:
    leaf, root = intermediate()
    ecdsa_with_sha256 = bytes.fromhex("06082a8648ce3d040302")
    unknown = bytes.fromhex("06082a8648ce3d04037f")
    der = leaf.public_bytes(Encoding.DER)
    assert der.count(ecdsa_with_sha256) == 2
    odd = x509.load_der_x509_certificate(der.replace(ecdsa_with_sha256, unknown))
    world.path(CRT).write_bytes(pem(odd, root))
    world.path(KEY).write_bytes(pem_key(ec_key()))
    with pytest.raises(AuthorityError, match="it is signed with an unknown hash, which Go refuses"):
        world.plan()


# -- what is sent and what is trusted ---------------------------------------------------------------------


def ca_named(subject: str, *, by: str | None = None) -> x509.Certificate:
    """A certificate of a CA, by another one or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (subject, by or subject)]
    builder = x509.CertificateBuilder(names[1], names[0], key.public_key(), 1)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    return builder.sign(key, hashes.SHA256())


def test_servers_send_what_stands_above_them_and_what_carries_those_of_before() -> None:
    issuing, above, root = ca_named("issuing", by="above"), ca_named("above", by="root"), ca_named("root")
    cross = ca_named("issuing", by="old")
    alone = CACertificates.of_chain((issuing, above, root))
    crossed = replace(alone, cross=cross)
    items = World(root=Path("prod"), cluster=CLUSTER).inventory.certificates
    server, client = items["cp-1/apiserver"], items["cp-1/apiserver-kubelet-client"]
    proxy = items["cp-1/front-proxy-client"]
    assert alone.sent_after(server) == (issuing, above), "peers have the root"
    assert crossed.sent_after(server) == (issuing, above, cross)
    assert alone.sent_after(client) == crossed.sent_after(client) == ()
    # Aggregated API servers may have a copy of the old CA, and are nobody's to change.
    assert (alone.sent_after(proxy), crossed.sent_after(proxy)) == ((), (cross,))
    assert CACertificates.of_chain((root,)).sent_after(server) == ()


def test_anchors_are_the_issuing_cas_and_nothing_above_them() -> None:
    issuing, above, other = ca_named("issuing", by="above"), ca_named("above", by="root"), ca_named("other")
    one = CACertificates.of_chain((issuing, above))
    assert (one.anchors, one.trust_bundle) == ((issuing,), certificate_pem(issuing))
    two = replace(one, other=other)
    assert (two.anchors, two.trust_bundle) == ((issuing, other), certificate_pem(issuing, other))
    assert replace(one, complete=False).trust_bundle is None


@pytest.mark.parametrize("obstacle", ["directory", "link", "fifo"])
def test_what_is_no_file_is_said(obstacle: str, world: World) -> None:
    path = world.path(CRT)
    if obstacle == "directory":
        path.mkdir()
    elif obstacle == "link":
        path.symlink_to("absent")
    else:
        os.mkfifo(path)
    word = {"directory": "is a directory", "link": "is a symbolic link", "fifo": "is a FIFO"}[obstacle]
    with pytest.raises(AuthorityError, match=f"pki/ca.crt {word}"):
        world.plan()
    assert any(word in each.detail for each in world.verify().findings)
