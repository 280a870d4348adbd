"""Which certificates may be a cluster's CA: each rule by itself, on either side of its limit."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pkigen.crypto.ca_fitness import (
    chain_of,
    has_name_constraints,
    has_signed,
    remarks,
    unfit,
    unfit_in_time,
)
from pkigen.crypto.keys import public_der

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
END = NOW + timedelta(days=30)
SECOND = timedelta(seconds=1)
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
DNS, MAIL = x509.DNSName("example.com"), x509.RFC822Name("example.com")
URI, DIRECTORY = x509.UniformResourceIdentifier("example.com"), x509.DirectoryName(x509.Name([]))
IS_CA = x509.BasicConstraints(ca=True, path_length=None)
KEY = ec.generate_private_key(ec.SECP256R1())


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def certificate(
    *extensions: x509.ExtensionType,
    subject: x509.Name | None = None,
    issuer: x509.Name | None = None,
    key: ec.EllipticCurvePrivateKey = KEY,
    signed_by: ec.EllipticCurvePrivateKey = KEY,
    critical: bool = True,
) -> x509.Certificate:
    """A root by default; with an `issuer`, an intermediate."""
    own = subject if subject is not None else name("own")
    builder = (
        x509.CertificateBuilder(issuer or own, own, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(END)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signed_by, hashes.SHA256())


def usage(*, signs: bool) -> x509.KeyUsage:
    others: dict[str, Any] = dict.fromkeys(
        (
            *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    return x509.KeyUsage(digital_signature=True, key_cert_sign=signs, **others)


def why(*chain: x509.Certificate, below: int = 0, now: datetime = NOW) -> str | None:
    return unfit(chain, public_key=None, now=now, below=below)


def policies() -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)])


def crl() -> x509.CRLDistributionPoints:
    return x509.CRLDistributionPoints([x509.DistributionPoint([URI], None, None, None)])


# Beside basicConstraints: a critical extension, and what is wrong with it.
EXTENSIONS: dict[str, tuple[x509.ExtensionType, str | None]] = {
    "signs": (usage(signs=True), None),
    "signs-nothing": (
        usage(signs=False),
        "its keyUsage does not allow it to sign certificates (keyCertSign)",
    ),
    "both-usages": (x509.ExtendedKeyUsage(BOTH), None),
    "any-usage": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), None),
    "more-usages": (x509.ExtendedKeyUsage([*BOTH, ExtendedKeyUsageOID.CODE_SIGNING]), None),
    "servers-only": (x509.ExtendedKeyUsage(BOTH[:1]), "does not allow both serverAuth and clientAuth"),
    "clients-only": (x509.ExtendedKeyUsage(BOTH[1:]), "does not allow both serverAuth and clientAuth"),
    "policies": (policies(), None),
    "crl": (crl(), None),
    "dns-constraint": (x509.NameConstraints([DNS], None), None),
    "mail-constraint": (x509.NameConstraints(None, [MAIL]), None),
    "uri-constraint": (x509.NameConstraints([URI], [DNS]), None),
    "directory-constraint": (x509.NameConstraints([DNS], [DIRECTORY]), "critical extension nameConstraints"),
    "directory-permitted": (x509.NameConstraints([DIRECTORY], None), "critical extension nameConstraints"),
    "some-name": (x509.SubjectAlternativeName([DIRECTORY, DNS]), None),
    "mail": (x509.SubjectAlternativeName([MAIL]), None),
    "directory": (x509.SubjectAlternativeName([DIRECTORY]), "critical extension subjectAltName"),
    "no-policy": (x509.InhibitAnyPolicy(0), "is not understood by every verifier of Kubernetes"),
    "unknown": (
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"),
        "is not understood by every verifier of Kubernetes",
    ),
}


@pytest.mark.parametrize("case", EXTENSIONS)
def test_each_critical_extension(case: str) -> None:
    extension, expected = EXTENSIONS[case]
    told = why(certificate(IS_CA, extension))
    assert (told is None) == (expected is None)
    assert expected is None or expected in (told or "")


def test_what_is_not_critical_may_be_unknown() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
    assert why(certificate(IS_CA, unknown, critical=False)) is None


def test_a_ca_says_that_it_is_one() -> None:
    assert why(certificate()) == "it has no basicConstraints, so it is not a CA"
    leaf = x509.BasicConstraints(ca=False, path_length=None)
    assert why(certificate(leaf)) == "its basicConstraints say that it is not a CA"


def test_a_name_is_remarked_upon_where_there_is_none() -> None:
    """Go does without: Talos has made CAs of front proxies like this."""
    nameless = certificate(IS_CA, subject=x509.Name([]))
    assert why(nameless) is None
    assert "has an empty subject (RFC 5280 4.1.2.6)" in remarks(nameless)
    assert not any("subject (" in each for each in remarks(certificate(IS_CA)))


def test_the_key_beside_it_is_its_own() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    for key, told in ((KEY, None), (other, "the private key beside it does not match")):
        public = public_der(key.public_key())
        assert unfit((certificate(IS_CA),), public_key=public, now=NOW) == told


def test_kubernetes_reads_its_kind_of_key() -> None:
    """RSA and ECDSA are in many tests; the others are in no key file of kubeadm's, or too weak."""
    edwards = ed25519.Ed25519PrivateKey.generate()
    builder = (
        x509.CertificateBuilder(name("own"), name("own"), edwards.public_key(), 1, NOW, END)
        .add_extension(IS_CA, critical=True)
        .sign(edwards, None)
    )
    assert (why(builder) or "").endswith("; RSA and ECDSA on P-256, P-384 or P-521 are accepted")
    curve = ec.generate_private_key(ec.SECP256K1())
    assert (why(certificate(IS_CA, key=curve, signed_by=curve)) or "").startswith("its key ")


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        (NOW - SECOND, "it is not valid before 2026-11-22 03:00 UTC"),
        (NOW, None),
        (END - SECOND, None),
        (END, "it expired 2026-12-22 03:00 UTC"),
    ],
)
def test_it_is_valid_from_its_first_moment_to_the_one_before_its_last(
    moment: datetime, told: str | None
) -> None:
    assert unfit_in_time((certificate(IS_CA),), moment) == told
    assert why(certificate(IS_CA), now=moment) == told


def test_which_one_of_a_chain_is_not_valid_now() -> None:
    told = unfit_in_time((intermediate(), root()), END)
    assert told == "it expired 2026-12-22 03:00 UTC"
    longer = x509.CertificateBuilder(name("root"), name("own"), KEY.public_key(), 1, NOW, END + 2 * SECOND)
    told = unfit_in_time((longer.sign(ROOT_KEY, hashes.SHA256()), root()), END)
    assert told == "CN=root above it in the file expired 2026-12-22 03:00 UTC"


# -- chains -------------------------------------------------------------------------------------------

ROOT_KEY = ec.generate_private_key(ec.SECP256R1())


def root(path_length: int | None = None) -> x509.Certificate:
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    return certificate(constraints, subject=name("root"), key=ROOT_KEY, signed_by=ROOT_KEY)


def intermediate(*extensions: x509.ExtensionType) -> x509.Certificate:
    return certificate(*(extensions or (IS_CA,)), issuer=name("root"), signed_by=ROOT_KEY)


def test_each_signs_the_one_before_it() -> None:
    assert why(intermediate(), root()) is None
    assert why(intermediate()) is None, "what stands above may be left out"
    assert why(root(), certificate(IS_CA)) == "the file holds two roots, and one file is for one CA"
    stranger = certificate(IS_CA, issuer=name("root"))
    assert why(stranger, root()) == "certificate 2 of the file did not sign the one before it"
    assert why(intermediate(), root(), intermediate()) == (
        "certificate 3 of the file did not sign the one before it"
    )


def test_the_key_is_that_of_the_first() -> None:
    for key, told in ((KEY, None), (ROOT_KEY, "the private key beside it does not match")):
        public = public_der(key.public_key())
        assert unfit((intermediate(), root()), public_key=public, now=NOW) == told


def test_the_chain_is_judged_like_the_ca_and_named() -> None:
    told = why(intermediate(), certificate(subject=name("root"), key=ROOT_KEY, signed_by=ROOT_KEY))
    assert told == "in its chain, CN=root it has no basicConstraints, so it is not a CA"


@pytest.mark.parametrize(
    ("limit", "below", "told"),
    [
        (None, 5, None),
        (1, 0, None),
        (2, 1, None),
        (0, 0, "CN=root allows 0 intermediates below it (pathLenConstraint)"),
        (1, 1, "CN=root allows 1 intermediate below it (pathLenConstraint)"),
    ],
)
def test_no_more_stand_below_a_ca_than_it_allows(limit: int | None, below: int, told: str | None) -> None:
    assert why(intermediate(), root(limit), below=below) == told
    if below == 0:
        assert unfit((intermediate(), root(limit)), public_key=None, now=NOW) == told


# -- what is only worth knowing -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extensions", "missing"),
    [
        ((), ["keyUsage", "subjectKeyIdentifier"]),
        ((usage(signs=True),), ["subjectKeyIdentifier"]),
        ((x509.SubjectKeyIdentifier(b"1"),), ["keyUsage"]),
    ],
)
def test_what_stricter_verifiers_miss(
    extensions: Sequence[x509.ExtensionType], missing: Sequence[str]
) -> None:
    found = remarks(certificate(IS_CA, *extensions, critical=False))
    assert [each.split()[2].rstrip(",") for each in found] == missing


def test_whether_it_may_sign_for_some_names_only() -> None:
    assert has_name_constraints(certificate(IS_CA, x509.NameConstraints([DNS], None)))
    assert not has_name_constraints(certificate(IS_CA))


def test_the_chain_of_a_ca_is_found_among_others() -> None:
    """In its order, whatever theirs is; what did not sign is left out, and who signs each other ends it."""
    above = certificate(IS_CA, subject=name("root"), key=KEY, signed_by=ROOT_KEY, issuer=name("top"))
    top = certificate(IS_CA, subject=name("top"), key=ROOT_KEY, signed_by=ROOT_KEY)
    low = certificate(IS_CA, issuer=name("root"), signed_by=KEY, key=ROOT_KEY)
    stranger = certificate(IS_CA, subject=name("top"))
    assert chain_of(low, (top, stranger, low, above)) == (low, above, top)
    assert chain_of(low, (stranger, top)) == (low,)
    back = certificate(IS_CA, subject=name("root"), issuer=name("own"), signed_by=ROOT_KEY)
    assert chain_of(low, (back,)) == (low, back), "they sign each other"
    assert chain_of(low, (low, back)) == (low, back)


# sha256WithRSAEncryption, and its last number in the OIDs of others (RFC 8017 appendix A.2).
RSA_ALGORITHM = bytes.fromhex("06092a864886f70d0101")
SHA256, HASHES = 0x0B, {"md5": 0x04, "sha1": 0x05, "an unknown hash": 0x7F}


@pytest.mark.parametrize("algorithm", HASHES)
def test_the_hash_of_a_signature_is_one_that_go_verifies(algorithm: str) -> None:
    """A root's own signature is verified by nobody; that of the CA above an intermediate is."""
    key = rsa.generate_private_key(65537, 2048)
    for issuer, told in (("own", None), ("root", f"it is signed with {algorithm}, which Go refuses")):
        sound = (
            x509.CertificateBuilder(name(issuer), name("own"), key.public_key(), 1, NOW, END)
            .add_extension(IS_CA, critical=True)
            .sign(key, hashes.SHA256())
        )
        assert why(sound) is None
        before, after = (RSA_ALGORITHM + bytes([last]) for last in (SHA256, HASHES[algorithm]))
        der = sound.public_bytes(Encoding.DER)
        assert der.count(before) == 2  # in what is signed, and beside the signature
        assert why(x509.load_der_x509_certificate(der.replace(before, after))) == told


def with_unknown_hash(issuer: str, key: rsa.RSAPrivateKey) -> x509.Certificate:
    sound = (
        x509.CertificateBuilder(name(issuer), name("own"), key.public_key(), 1, NOW, END)
        .add_extension(IS_CA, critical=True)
        .sign(key, hashes.SHA256())
    )
    before, after = (RSA_ALGORITHM + bytes([last]) for last in (SHA256, HASHES["an unknown hash"]))
    return x509.load_der_x509_certificate(sound.public_bytes(Encoding.DER).replace(before, after))


def test_what_cannot_be_verified_at_all_is_signed_by_nobody() -> None:
    key = rsa.generate_private_key(65537, 2048)
    odd = with_unknown_hash("own", key)
    assert not has_signed(odd, odd)
    assert chain_of(odd, (certificate(IS_CA),)) == (odd,)
    assert why(odd, certificate(IS_CA)) == "the file holds two roots, and one file is for one CA"
    exchange = x25519.X25519PrivateKey.generate().public_key()
    unable = x509.CertificateBuilder(name("own"), name("own"), exchange, 1, NOW, END)
    assert not has_signed(unable.sign(KEY, hashes.SHA256()), certificate(IS_CA))


def test_a_key_is_written_as_kubernetes_reads_it() -> None:
    """A key with explicit parameters is read here, and is written again as a named curve's."""
    done = subprocess.run(
        (
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-pkeyopt", "ec_param_enc:explicit", "-subj", "/CN=own", "-days", "30", "-keyout", os.devnull),
            *("-addext", "basicConstraints=critical,CA:TRUE"),
        ),
        capture_output=True,
        check=True,
    )
    odd = x509.load_pem_x509_certificate(done.stdout)
    told = why(odd, now=odd.not_valid_before_utc)
    assert told == "its key has explicit curve parameters, which Kubernetes cannot read"
