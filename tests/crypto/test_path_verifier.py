"""The path verifier: what a peer accepts, and the reason where it does not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from os import urandom
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.issuance import CertificateContent, Issuer, issue
from pkigen.crypto.keys import ALGORITHMS
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.crypto.profiles import Profile

if TYPE_CHECKING:
    from pkigen.crypto.keys import PrivateKey

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
YEAR = timedelta(days=365)


def content(profile: Profile, *sans: str) -> CertificateContent:
    return CertificateContent(
        subject=Subject(common_name=str(profile)), sans=SANs.of(*sans), profile=profile, validity=YEAR
    )


@dataclass(frozen=True)
class CA:
    """A CA, and what it signs."""

    issuer: Issuer

    @classmethod
    def made(cls) -> CA:
        key = ALGORITHMS[KeyAlgorithm.ECDSA_P256].generate()
        own = replace(content(Profile.CA), validity=2 * YEAR)
        issued = issue(own, key=key, issuer=None, now=NOW, entropy=urandom)
        return cls(Issuer(certificate=issued.certificate, key=key))

    @property
    def certificate(self) -> x509.Certificate:
        return self.issuer.certificate

    def leaf(self, profile: Profile, *sans: str) -> x509.Certificate:
        key = ALGORITHMS[KeyAlgorithm.ECDSA_P256].generate()
        asked = content(profile, *sans)
        return issue(asked, key=key, issuer=self.issuer, now=NOW, entropy=urandom).certificate


@pytest.fixture(scope="module")
def ca() -> CA:
    return CA.made()


@pytest.mark.parametrize("profile", [Profile.SERVER, Profile.PEER])
@pytest.mark.parametrize("name", ["api.example.com", "10.0.0.1", "fd00::1"])
def test_a_server_of_this_name(ca: CA, profile: Profile, name: str) -> None:
    leaf = ca.leaf(profile, "api.example.com", "10.0.0.1", "fd00::1")
    assert PathVerifier(NOW).server([leaf], [ca.certificate], name) is None


def test_servers_that_are_refused(ca: CA) -> None:
    verifier = PathVerifier(NOW)
    server, name = ca.leaf(Profile.SERVER, "api.example.com"), "api.example.com"
    assert verifier.server([server], [ca.certificate], "other.example.com") is not None
    assert verifier.server([server], [CA.made().certificate], name) is not None
    assert verifier.server([server], [], name) == "the trust bundle is empty"
    assert verifier.server([ca.leaf(Profile.SERVER)], [ca.certificate], name) is not None
    client = ca.leaf(Profile.CLIENT, name)
    assert "serverAuth" in (verifier.server([client], [ca.certificate], name) or "")


def test_clients_need_no_name_but_the_right_usage(ca: CA) -> None:
    verifier = PathVerifier(NOW)
    for profile in (Profile.CLIENT, Profile.PEER):
        assert verifier.client([ca.leaf(profile)], [ca.certificate]) is None
    server = ca.leaf(Profile.SERVER, "api.example.com")
    assert "clientAuth" in (verifier.client([server], [ca.certificate]) or "")
    assert verifier.client([ca.leaf(Profile.CLIENT)], [CA.made().certificate]) is not None


@pytest.mark.parametrize("moment", [NOW - timedelta(hours=1), NOW + YEAR + timedelta(hours=1)])
def test_outside_of_its_validity_nothing_is_accepted(ca: CA, moment: datetime) -> None:
    assert PathVerifier(moment).client([ca.leaf(Profile.CLIENT)], [ca.certificate]) is not None


def test_a_verdict_is_remembered_for_the_same_name_and_anchors_only(ca: CA) -> None:
    verifier, other = PathVerifier(NOW), CA.made()
    leaf = ca.leaf(Profile.PEER, "api.example.com")
    assert verifier.server([leaf], [ca.certificate], "api.example.com") is None
    assert verifier.server([leaf], [ca.certificate], "other.example.com") is not None
    assert verifier.server([leaf], [other.certificate], "api.example.com") is not None
    assert verifier.client([leaf], [other.certificate, ca.certificate]) is None
    assert verifier.server([leaf], [ca.certificate], "api.example.com") is None


# -- what a CA of somebody else may have signed -------------------------------------------------------

NAME = "api.example.com"
BOTH_USAGES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
Extensions = dict[type[x509.ExtensionType], x509.ExtensionType | None]


def altered(
    certificate: x509.Certificate, key: PrivateKey, extensions: Extensions, *, criticality: bool | None = None
) -> x509.Certificate:
    """The same certificate with other extensions; None leaves one out."""
    builder = x509.CertificateBuilder(
        certificate.issuer,
        certificate.subject,
        certificate.public_key(),
        certificate.serial_number,
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )
    for extension in certificate.extensions:
        value = extensions.get(type(extension.value), extension.value)
        is_changed = type(extension.value) in extensions and criticality is not None
        critical = bool(criticality) if is_changed else extension.critical
        if value is not None:
            builder = builder.add_extension(value, critical=critical)
    return builder.sign(key, certificate.signature_hash_algorithm)  # type: ignore[arg-type]


def usage(**changes: bool) -> x509.KeyUsage:
    """A leaf's key usage, or another."""
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: changes.get(name, False) for name in names})


# What another extension makes of a certificate for servers and clients: why each is refused.
LEAVES: dict[str, tuple[Extensions, str | None, str | None]] = {
    "as-it-is": ({}, None, None),
    "no-extended-key-usage": ({x509.ExtendedKeyUsage: None}, None, None),
    "server-only": (
        {x509.ExtendedKeyUsage: x509.ExtendedKeyUsage(BOTH_USAGES[:1])},
        None,
        "its extendedKeyUsage does not allow clientAuth",
    ),
    "client-only": (
        {x509.ExtendedKeyUsage: x509.ExtendedKeyUsage(BOTH_USAGES[1:])},
        "its extendedKeyUsage does not allow serverAuth",
        None,
    ),
    "no-key-usage": ({x509.KeyUsage: None}, None, None),
    "no-signatures": ({x509.KeyUsage: usage(key_encipherment=True)}, None, None),
    "no-basic-constraints": ({x509.BasicConstraints: None}, None, None),
    "a-ca": (
        {x509.BasicConstraints: x509.BasicConstraints(ca=True, path_length=None)},
        None,
        None,
    ),
    "no-authority-key-identifier": ({x509.AuthorityKeyIdentifier: None}, None, None),
    "no-name": ({x509.SubjectAlternativeName: None}, "it does not name", None),
}


@pytest.mark.parametrize("case", LEAVES)
def test_a_leaf_with_other_extensions(ca: CA, case: str) -> None:
    extensions, server, client = LEAVES[case]
    leaf = altered(ca.leaf(Profile.PEER, NAME), ca.issuer.key, extensions)
    verifier = PathVerifier(NOW)
    for refusal, expected in (
        (verifier.server([leaf], [ca.certificate], NAME), server),
        (verifier.client([leaf], [ca.certificate]), client),
    ):
        assert (refusal is None) == (expected is None)
        assert expected is None or expected in (refusal or "")


def test_a_critical_key_identifier_is_refused(ca: CA) -> None:
    """RFC 5280 4.2.1.1."""
    leaf = ca.leaf(Profile.PEER, NAME)
    known = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    same = altered(leaf, ca.issuer.key, {x509.AuthorityKeyIdentifier: known}, criticality=True)
    assert PathVerifier(NOW).client([same], [ca.certificate]) is not None


def test_a_leaf_with_a_critical_extension_that_nobody_knows_is_refused(ca: CA) -> None:
    """RFC 5280 4.2."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
    leaf = ca.leaf(Profile.PEER, NAME)
    known = x509.SubjectKeyIdentifier
    strange = altered(leaf, ca.issuer.key, {known: unknown}, criticality=True)
    assert PathVerifier(NOW).client([altered(leaf, ca.issuer.key, {known: None})], [ca.certificate]) is None
    assert PathVerifier(NOW).client([strange], [ca.certificate]) is not None


# Another extension of the CA: why what it signed is refused.
CAS: dict[str, tuple[Extensions, str | None]] = {
    "no-key-usage": ({x509.KeyUsage: None}, None),
    "signs-nothing": ({x509.KeyUsage: usage(digital_signature=True)}, "may not sign certificates"),
    "no-basic-constraints": ({x509.BasicConstraints: None}, "the issuer is not a CA"),
    "no-ca": (
        {x509.BasicConstraints: x509.BasicConstraints(ca=False, path_length=None)},
        "the issuer is not a CA",
    ),
}


@pytest.mark.parametrize("case", CAS)
def test_an_anchor_with_other_extensions(ca: CA, case: str) -> None:
    extensions, expected = CAS[case]
    anchor, leaf = altered(ca.certificate, ca.issuer.key, extensions), ca.leaf(Profile.PEER, NAME)
    refusal = PathVerifier(NOW).server([leaf], [anchor], NAME)
    assert (refusal is None) == (expected is None)
    assert expected is None or expected in (refusal or "")


def test_what_stands_between_is_sent_along(ca: CA) -> None:
    key = ALGORITHMS[KeyAlgorithm.ECDSA_P256].generate()
    made = issue(content(Profile.INTERMEDIATE), key=key, issuer=ca.issuer, now=NOW, entropy=urandom)
    between = CA(Issuer(certificate=made.certificate, key=key))
    leaf, verifier = between.leaf(Profile.PEER, NAME), PathVerifier(NOW)
    assert verifier.client([leaf, between.certificate], [ca.certificate]) is None
    assert verifier.server([leaf, between.certificate], [ca.certificate], NAME) is None
    assert verifier.client([leaf], [ca.certificate]) is not None


def test_what_is_sent_along_is_no_anchor_to_remember(ca: CA) -> None:
    """The same certificates in the same order, with another of them the first that is trusted."""
    key, other = ALGORITHMS[KeyAlgorithm.ECDSA_P256].generate(), CA.made()
    made = issue(content(Profile.INTERMEDIATE), key=key, issuer=ca.issuer, now=NOW, entropy=urandom)
    between = CA(Issuer(certificate=made.certificate, key=key))
    leaf, verifier = between.leaf(Profile.PEER, NAME), PathVerifier(NOW)
    assert verifier.client([leaf], [between.certificate, other.certificate]) is None
    assert verifier.client([leaf, between.certificate], [other.certificate]) is not None


def test_a_hash_that_go_does_not_know_is_told(ca: CA) -> None:
    leaf = ca.leaf(Profile.SERVER, NAME)
    builder = x509.CertificateBuilder(
        leaf.issuer,
        leaf.subject,
        leaf.public_key(),
        leaf.serial_number,
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
        list(leaf.extensions),
    )
    signed = builder.sign(ca.issuer.key, hashes.SHA224())
    told = "a certificate of the path is signed with an unfit algorithm"
    assert PathVerifier(NOW).server([signed], [ca.certificate], NAME) == told
