"""The path verifier: what a peer accepts, and the reason where it does not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from os import urandom
from typing import TYPE_CHECKING

import pytest

from pkigen.crypto.issuance import CertificateContent, Issuer, issue
from pkigen.crypto.keys import ALGORITHMS, KeyAlgorithm
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.crypto.profiles import Profile

if TYPE_CHECKING:
    from cryptography import x509

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


def test_a_ca_is_no_leaf(ca: CA) -> None:
    assert PathVerifier(NOW).client([ca.certificate], [ca.certificate]) is not None


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
