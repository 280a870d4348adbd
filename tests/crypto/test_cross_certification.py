from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pkigen.crypto.cross_certification import certifies, cross_certify, unable_to_certify
from pkigen.crypto.issuance import BACKDATE, CertificateContent, Issuer, issue, key_usage
from pkigen.crypto.names import SANs, Subject, extension_of
from pkigen.crypto.path_verifier import PathVerifier
from pkigen.crypto.profiles import Profile
from tests.crypto.test_ca_fitness import certificate, name

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def entropy(count: int) -> bytes:
    return bytes(range(1, count + 1))


def root(common_name: str, *, days: int = 3650, since: datetime = NOW) -> Issuer:
    key = ec.generate_private_key(ec.SECP256R1())
    content = CertificateContent(
        subject=Subject(common_name=common_name),
        sans=SANs.of(common_name),
        profile=Profile.CA,
        validity=timedelta(days=days),
    )
    made = issue(content, key=key, issuer=None, now=since, entropy=entropy)
    return Issuer(certificate=made.certificate, key=key)


def leaf(issuer: Issuer) -> x509.Certificate:
    content = CertificateContent(
        subject=Subject(common_name="kube-apiserver"),
        sans=SANs.of("10.0.0.11", "kubernetes"),
        profile=Profile.SERVER,
        validity=DAY,
    )
    key = ec.generate_private_key(ec.SECP256R1())
    return issue(content, key=key, issuer=issuer, now=NOW, entropy=entropy).certificate


def crossed(old: Issuer, new: Issuer, *, now: datetime = NOW) -> x509.Certificate:
    return cross_certify(new.certificate, issuer=old, now=now, entropy=entropy).certificate


def test_who_knows_only_one_of_the_two_accepts_a_leaf_of_the_new_one() -> None:
    old, new = root("kubernetes"), root("kubernetes-g2")
    shown = (leaf(new), crossed(old, new))
    judge = PathVerifier(NOW)
    for anchors in ((old.certificate,), (new.certificate,), (old.certificate, new.certificate)):
        assert judge.server(shown, anchors, "10.0.0.11") is None
    assert judge.server(shown[:1], (old.certificate,), "10.0.0.11") is not None, "it is the cross certificate"
    assert judge.server(shown, (root("kubernetes").certificate,), "10.0.0.11") is not None


def test_the_new_cas_name_key_and_identifier_by_the_old_one() -> None:
    old, new = root("kubernetes"), root("kubernetes-g2")
    cross = crossed(old, new)
    assert (cross.subject, cross.issuer) == (new.certificate.subject, old.certificate.subject)
    assert cross.public_key() == new.certificate.public_key()
    own = extension_of(new.certificate, x509.SubjectKeyIdentifier)
    above = extension_of(old.certificate, x509.SubjectKeyIdentifier)
    found = extension_of(cross, x509.AuthorityKeyIdentifier)
    assert own is not None
    assert above is not None
    assert found is not None
    assert extension_of(cross, x509.SubjectKeyIdentifier) == own
    assert found.value.key_identifier == above.value.digest
    constraints = extension_of(cross, x509.BasicConstraints)
    assert constraints is not None
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert extension_of(cross, x509.SubjectAlternativeName) is None, "name constraints above would measure it"
    usage = extension_of(cross, x509.KeyUsage)
    assert usage is not None
    assert usage.critical
    assert usage.value == key_usage(is_ca=True, enciphers_keys=False)
    # Key identifiers must not be critical (RFC 5280 4.2.1.1, 4.2.1.2).
    assert not found.critical
    identifier = extension_of(cross, x509.SubjectKeyIdentifier)
    assert identifier is not None
    assert not identifier.critical


def test_it_has_the_identifier_by_which_the_leaves_of_the_new_ca_name_it() -> None:
    odd = x509.SubjectKeyIdentifier(b"made in another way")
    successor = certificate(x509.BasicConstraints(ca=True, path_length=None), odd, subject=name("next"))
    made = cross_certify(successor, issuer=root("old"), now=NOW, entropy=entropy)
    found = extension_of(made.certificate, x509.SubjectKeyIdentifier)
    assert found is not None
    assert found.value == odd
    assert not made.capped


def test_a_fraction_of_a_second_is_dropped() -> None:
    old = root("old", since=NOW - DAY)
    cross = crossed(old, root("new"), now=NOW + timedelta(microseconds=7))
    assert cross.not_valid_before_utc == NOW - BACKDATE


@pytest.mark.parametrize(("old_days", "new_days", "end"), [(30, 3650, 30), (3650, 40, 40)])
def test_it_ends_with_whichever_of_the_two_ends_first(old_days: int, new_days: int, end: int) -> None:
    cross = crossed(root("old", days=old_days), root("new", days=new_days))
    assert cross.not_valid_after_utc == NOW + end * DAY


def test_it_begins_no_earlier_than_the_old_one() -> None:
    old = root("old", since=NOW + DAY)
    assert crossed(old, root("new")).not_valid_before_utc == old.certificate.not_valid_before_utc


def test_what_limits_the_new_ca_limits_its_cross_certificate() -> None:
    limits = x509.NameConstraints(permitted_subtrees=[x509.DNSName("example.com")], excluded_subtrees=None)
    usages = x509.ExtendedKeyUsage(
        [x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    )
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    successor = certificate(constraints, limits, usages, subject=name("next"))
    made = cross_certify(successor, issuer=root("old"), now=NOW, entropy=entropy).certificate
    for kind, value in ((x509.NameConstraints, limits), (x509.ExtendedKeyUsage, usages)):
        found = extension_of(made, kind)
        assert found is not None
        assert found.value == value
    # A CA without a key identifier of its own has the one that its leaves would name.
    assert extension_of(successor, x509.SubjectKeyIdentifier) is None
    identifier = extension_of(made, x509.SubjectKeyIdentifier)
    assert identifier is not None
    assert identifier.value == x509.SubjectKeyIdentifier.from_public_key(successor.public_key())


@pytest.mark.parametrize(
    ("path_length", "told"),
    [(None, None), (0, "its pathLenConstraint is 0, so it may sign leaves only"), (1, None)],
)
def test_a_ca_that_may_sign_leaves_only_cannot(path_length: int | None, told: str | None) -> None:
    assert unable_to_certify(certificate(x509.BasicConstraints(ca=True, path_length=path_length))) == told


def test_a_certificate_certifies_one_key_and_name_by_one_ca() -> None:
    old, new, other = root("old"), root("new"), root("other")
    cross = crossed(old, new)
    assert certifies(cross, issuer=old.certificate, subject=new.certificate)
    assert not certifies(cross, issuer=other.certificate, subject=new.certificate)
    assert not certifies(cross, issuer=old.certificate, subject=other.certificate)
    assert not certifies(cross, issuer=old.certificate, subject=root("new").certificate), "another key"
    renamed = certificate(
        x509.BasicConstraints(ca=True, path_length=None),
        subject=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "renamed")]),
    )
    assert not certifies(cross, issuer=old.certificate, subject=renamed), "another name"


def test_a_name_alone_or_a_key_alone_is_not_certified() -> None:
    old, new = root("old"), root("new")
    cross = crossed(old, new)
    key = new.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    basic = x509.BasicConstraints(ca=True, path_length=None)
    renamed = certificate(basic, subject=name("renamed"), key=key, signed_by=key)
    assert not certifies(cross, issuer=old.certificate, subject=renamed)
    assert certifies(
        cross, issuer=old.certificate, subject=certificate(basic, subject=name("new"), key=key, signed_by=key)
    )


def test_a_signature_by_another_key_of_the_same_name_does_not_certify() -> None:
    old, new = root("old"), root("new")
    assert not certifies(crossed(old, new), issuer=root("old").certificate, subject=new.certificate)


def test_a_ca_without_basic_constraints_is_not_refused_for_them() -> None:
    # Whether it is a CA at all is asked elsewhere (`ca_fitness`).
    assert unable_to_certify(certificate()) is None


def intermediate(above: Issuer, common_name: str) -> Issuer:
    key = ec.generate_private_key(ec.SECP256R1())
    content = CertificateContent(
        subject=Subject(common_name=common_name),
        sans=SANs(),
        profile=Profile.INTERMEDIATE,
        validity=timedelta(days=365),
    )
    made = issue(content, key=key, issuer=above, now=NOW, entropy=entropy)
    return Issuer(certificate=made.certificate, key=key)


def test_nothing_that_a_root_signs_carries_who_trusts_one_of_its_intermediates_alone() -> None:
    """Why an offline authority is not asked for a cross certificate: only the old intermediate could help."""
    above = root("root")
    old, new = intermediate(above, "kubernetes"), intermediate(above, "kubernetes-g2")
    judge, anchor = PathVerifier(NOW), (old.certificate,)
    assert judge.server((leaf(old),), anchor, "10.0.0.11") is None
    by_root = (new.certificate, old.certificate, above.certificate)
    for sent in ((), by_root[:1], by_root):
        assert judge.server((leaf(new), *sent), anchor, "10.0.0.11") is not None
    # That one may sign leaves only, and who trusts it sees that.
    assert unable_to_certify(old.certificate) is not None
    assert judge.server((leaf(new), crossed(old, new)), anchor, "10.0.0.11") is not None
