"""Serials, clocks, extensions, and that the same input gives the same bytes."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID

from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.issuance import (
    BACKDATE,
    END_OF_TIME,
    CertificateContent,
    Issued,
    Issuer,
    certificate_pem,
    end_of_validity,
    issue,
    issue_for,
    renew_root,
    serial_number,
)
from pkigen.crypto.keys import ALGORITHMS, PrivateKey, signature_hash
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from tests.samples import NOW, World, snapshot, spec

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.crypto.issuance import Entropy


@cache
def key_of(algorithm: KeyAlgorithm, number: int = 0) -> PrivateKey:
    del number  # only tells keys apart
    return ALGORITHMS[algorithm].generate()


def request(
    profile: Profile = Profile.SERVER, *, hours: float = 100, cn: str = "leaf", o: tuple[str, ...] = ()
) -> CertificateContent:
    is_ca = profile is Profile.CA
    return CertificateContent(
        subject=Subject(common_name=cn, organizations=o),
        sans=SANs() if profile is Profile.CLIENT or is_ca else SANs.of("cp-1", "10.0.0.1"),
        profile=profile,
        validity=timedelta(hours=hours),
    )


def authority(
    algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256,
    *,
    now: datetime = NOW,
    hours: float = 1000,
    entropy: Entropy = os.urandom,
) -> Issuer:
    key = key_of(algorithm, 1)
    made = issue(request(Profile.CA, hours=hours, cn="root"), key=key, issuer=None, now=now, entropy=entropy)
    return Issuer(certificate=made.certificate, key=key)


def leaf(issuer: Issuer, *, now: datetime = NOW, hours: float = 100, entropy: Entropy = os.urandom) -> Issued:
    key = key_of(KeyAlgorithm.ECDSA_P256, 2)
    return issue(request(hours=hours), key=key, issuer=issuer, now=now, entropy=entropy)


# -- serials ------------------------------------------------------------------------------------------


def test_ten_thousand_serials() -> None:
    serials = [serial_number(os.urandom) for _ in range(10_000)]
    assert all(
        0 < serial < 1 << 159 for serial in serials
    )  # at most 20 octets, and positive: RFC 5280 4.1.2.2
    assert len(set(serials)) == len(serials)
    # At least 64 random bits: each of 159 bits is one about half of the time. Six standard deviations are
    # allowed, which a fair bit passes but twice in a thousand million times.
    deviation = (10_000 * 0.25) ** 0.5
    bits = [sum(serial >> bit & 1 for serial in serials) for bit in range(159)]
    fair = [count for count in bits if abs(count - 5_000) < 6 * deviation]
    assert len(fair) == 159
    # Neighbouring bits, and neighbouring serials, do not follow each other either.
    pairs = [sum((serial >> bit ^ serial >> (bit + 1)) & 1 for serial in serials) for bit in range(158)]
    assert all(abs(count - 5_000) < 6 * deviation for count in pairs)
    differing = [(one ^ other).bit_count() for one, other in pairwise(serials)]
    assert abs(sum(differing) / len(differing) - 79.5) < 1


def test_a_serial_is_positive_even_without_luck() -> None:
    assert serial_number(lambda count: b"\x00" * count) == 1
    assert serial_number(lambda count: b"\xff" * count) == (1 << 159) - 1


def test_a_serial_takes_at_most_twenty_octets_in_a_certificate() -> None:
    made = leaf(authority(entropy=lambda count: b"\xff" * count), entropy=lambda count: b"\xff" * count)
    serial = made.certificate.serial_number
    assert len(serial.to_bytes(20, "big", signed=True)) == 20


# -- clocks -------------------------------------------------------------------------------------------

CLOCKS = [
    datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
    datetime(2000, 2, 29, 0, 0, 0, tzinfo=UTC),
    datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=UTC),
    datetime(2028, 2, 29, 12, 0, 0, tzinfo=UTC),
    datetime(2037, 12, 31, 23, 59, 59, tzinfo=UTC),
    datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC),
    datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
    datetime(2049, 12, 31, 23, 59, 50, tzinfo=UTC),
    datetime(2050, 1, 1, 0, 0, 1, tzinfo=UTC),
    datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC),
    datetime(2100, 2, 28, 23, 59, 59, tzinfo=UTC),
    datetime(2261, 4, 11, 23, 47, 16, tzinfo=UTC),  # where 64 bits of nanoseconds end
    datetime(2400, 2, 29, 0, 0, 0, tzinfo=UTC),
    datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 0, 0, tzinfo=UTC),
]


@pytest.mark.parametrize("now", CLOCKS, ids=str)
def test_clocks(now: datetime) -> None:
    issuer = authority(now=now, hours=87_600)
    made = leaf(issuer, now=now, hours=8_760)
    root, certificate = issuer.certificate, made.certificate
    second = now.replace(microsecond=0)
    assert certificate.not_valid_before_utc == root.not_valid_before_utc == second - timedelta(minutes=5)
    for each, hours in ((root, 87_600), (certificate, 8_760)):
        left = END_OF_TIME - second
        assert each.not_valid_after_utc == second + min(timedelta(hours=hours), left)
    assert certificate.not_valid_after_utc <= root.not_valid_after_utc
    assert not made.capped
    # Dates from 2050 on are GeneralizedTime, earlier ones UTCTime (RFC 5280 4.1.2.5).
    der = certificate.tbs_certificate_bytes
    for moment in (certificate.not_valid_before_utc, certificate.not_valid_after_utc):
        text = moment.strftime("%Y%m%d%H%M%SZ").encode()
        assert (b"\x18\x0f" + text if moment.year >= 2050 else b"\x17\x0d" + text[2:]) in der


@pytest.mark.parametrize("now", CLOCKS[:12], ids=str)
def test_a_whole_cluster_under_any_clock(now: datetime, tmp_path: Path) -> None:
    world = World(root=tmp_path / "prod", cluster=spec(), now=now)
    world.apply()
    assert world.plan().changes == ()
    assert world.verify().findings == ()


def test_a_clock_that_went_back_is_noticed(tmp_path: Path) -> None:
    world = World(root=tmp_path / "prod", cluster=spec())
    world.apply()
    from pkigen.errors import AuthorityError  # noqa: PLC0415

    with pytest.raises(AuthorityError, match="not valid before 2026-03-01 11:55 UTC"):
        world.plan(after=-timedelta(minutes=6))
    assert world.plan(after=-timedelta(minutes=5)).changes == ()


def test_the_last_moment_that_a_certificate_can_name() -> None:
    # RFC 5280 4.1.2.5: 99991231235959Z
    assert END_OF_TIME.strftime("%Y%m%d%H%M%SZ") == "99991231235959Z"


def test_backdating_is_kubeadms() -> None:
    assert timedelta(minutes=5) == BACKDATE


def test_a_leaf_is_capped_at_its_authority_and_it_is_said() -> None:
    issuer = authority(hours=10)
    made = leaf(issuer, hours=11)
    assert made.capped
    assert made.certificate.not_valid_after_utc == issuer.certificate.not_valid_after_utc
    assert not leaf(issuer, hours=10).capped


def test_a_leaf_does_not_begin_before_its_authority() -> None:
    issuer = authority(now=NOW + timedelta(minutes=4))
    assert leaf(issuer).certificate.not_valid_before_utc == issuer.certificate.not_valid_before_utc


def test_apply_reports_what_was_capped(tmp_path: Path) -> None:
    settings = {"caValidity": "1500h", "validity": "1000h"}
    world = World(root=tmp_path / "prod", cluster=spec(certificates=settings))
    assert world.apply().capped == ()
    later = World(root=world.root, cluster=world.cluster, now=NOW + timedelta(hours=900))
    done = later.apply()
    assert set(done.capped) == set(done.issued)
    assert "cp-1/apiserver" in done.capped
    # Capped certificates are as good as they can be: nothing is due, up to the end.
    assert later.plan(after=timedelta(hours=599)).changes == ()


# -- bytes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [each for each in KeyAlgorithm if each != KeyAlgorithm.RSA_4096])
def test_the_same_content_key_clock_and_serial_give_the_same_bytes(algorithm: KeyAlgorithm) -> None:
    def made() -> bytes:
        chance = random.Random(7)  # noqa: S311 -- serials that can be had again
        issuer = authority(algorithm, entropy=chance.randbytes)
        return certificate_pem(issuer.certificate, leaf(issuer, entropy=chance.randbytes).certificate)

    assert made() == made()


def test_an_old_openssl_signs_with_a_random_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    real = x509.CertificateBuilder.sign

    def sign(
        self: x509.CertificateBuilder,
        key: PrivateKey,
        algorithm: hashes.SHA256,
        *,
        ecdsa_deterministic: bool | None = None,
    ) -> x509.Certificate:
        if ecdsa_deterministic:
            raise UnsupportedAlgorithm("ECDSA deterministic signatures need OpenSSL 3.2")
        return real(self, key, algorithm)

    monkeypatch.setattr(x509.CertificateBuilder, "sign", sign)
    issuer = authority()
    leaf(issuer).certificate.verify_directly_issued_by(issuer.certificate)


@pytest.mark.parametrize(
    ("curve", "expected"),
    [(ec.SECP256R1(), hashes.SHA256), (ec.SECP384R1(), hashes.SHA384), (ec.SECP521R1(), hashes.SHA512)],
)
def test_the_signature_hash_follows_the_authoritys_key(
    curve: ec.EllipticCurve, expected: type[hashes.HashAlgorithm]
) -> None:
    # kubeadm's: RSA→SHA256-RSA, P-256→ECDSA-SHA256, P-384→ECDSA-SHA384
    assert isinstance(signature_hash(ec.generate_private_key(curve)), expected)
    assert isinstance(signature_hash(key_of(KeyAlgorithm.RSA_2048)), hashes.SHA256)


def test_only_bytes_of_new_files_differ_between_two_runs(tmp_path: Path) -> None:
    """Everything that holds neither a key nor a certificate is the same in two directories."""
    trees = []
    for name in ("one", "two"):
        world = World(root=tmp_path / name, cluster=spec(encryption={}))
        world.apply()
        trees.append(snapshot(world.root))
    assert trees[0].keys() == trees[1].keys()
    same = {path for path in trees[0] if trees[0][path] == trees[1][path]}
    assert {path for path in trees[0] if "/manifests/" in path or path.startswith("addons/")} <= same


# -- what is written -----------------------------------------------------------------------------------


def as_written(made: x509.Certificate) -> dict[x509.ObjectIdentifier, bool]:
    """The extensions of a certificate, in their order, and whether they are critical."""
    return {each.oid: each.critical for each in made.extensions}


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.ECDSA_P256, KeyAlgorithm.RSA_2048])
def test_what_is_critical_and_what_a_key_is_for(algorithm: KeyAlgorithm) -> None:
    key = key_of(algorithm, 3)
    root = authority(algorithm)
    made = issue(request(), key=key, issuer=root, now=NOW, entropy=os.urandom).certificate
    assert as_written(root.certificate) == {
        ExtensionOID.BASIC_CONSTRAINTS: True,  # RFC 5280 4.2.1.9
        ExtensionOID.KEY_USAGE: True,  # 4.2.1.3
        ExtensionOID.SUBJECT_KEY_IDENTIFIER: False,  # 4.2.1.2
    }
    assert as_written(made) == {
        ExtensionOID.BASIC_CONSTRAINTS: True,
        ExtensionOID.KEY_USAGE: True,
        ExtensionOID.EXTENDED_KEY_USAGE: False,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER: False,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER: False,  # 4.2.1.1
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME: False,  # 4.2.1.6
    }
    usages = ("digital_signature", "key_encipherment", "key_cert_sign", "crl_sign")
    rest = ("content_commitment", "data_encipherment", "key_agreement")
    enciphers = algorithm is KeyAlgorithm.RSA_2048
    for each, expected in (
        (root.certificate, (True, False, True, True)),
        (made, (True, enciphers, False, False)),
    ):
        found = each.extensions.get_extension_for_class(x509.KeyUsage).value
        assert tuple(getattr(found, usage) for usage in usages) == expected
        assert not any(getattr(found, usage) for usage in rest)


def test_a_key_that_somebody_else_has_is_certified_alike() -> None:
    key, root = key_of(KeyAlgorithm.ECDSA_P256, 4), authority()

    def entropy(count: int) -> bytes:
        return bytes(range(count))

    made = issue(request(), key=key, issuer=root, now=NOW, entropy=entropy)
    public_key = key.public_key()
    assert issue_for(request(), public_key=public_key, issuer=root, now=NOW, entropy=entropy) == made


def test_a_fraction_of_a_second_is_dropped() -> None:
    moment = NOW + timedelta(microseconds=7)
    made = leaf(authority(now=NOW - timedelta(hours=1)), now=moment).certificate
    assert made.not_valid_before_utc == NOW - BACKDATE
    assert made.not_valid_after_utc == NOW + timedelta(hours=100)
    assert end_of_validity(moment, timedelta(hours=1)) == NOW + timedelta(hours=1)


def test_a_renewed_root_is_the_same_but_for_its_time_and_number() -> None:
    old = authority()
    later = NOW + timedelta(hours=500, microseconds=7)
    made = renew_root(
        old.certificate, key=old.key, validity=timedelta(hours=1000), now=later, entropy=os.urandom
    )
    new = made.certificate
    assert (new.subject, new.issuer) == (old.certificate.subject, old.certificate.subject)
    assert new.public_key() == old.certificate.public_key()
    assert list(new.extensions) == list(old.certificate.extensions)
    assert new.serial_number != old.certificate.serial_number
    assert new.not_valid_before_utc == NOW + timedelta(hours=500) - BACKDATE
    assert new.not_valid_after_utc == NOW + timedelta(hours=1500)
    assert not made.capped
    leaf(old).certificate.verify_directly_issued_by(new)


def test_the_key_of_an_issuer_is_not_printed() -> None:
    assert "key=" not in repr(authority())


# -- names --------------------------------------------------------------------------------------------


def test_organizations_come_before_the_common_name() -> None:
    made = issue(
        request(Profile.CLIENT, cn="dev1", o=("a", "b")),
        key=key_of(KeyAlgorithm.ECDSA_P256),
        issuer=authority(),
        now=NOW,
        entropy=os.urandom,
    )
    # the order of Go's pkix.Name.ToRDNSequence
    assert [each.oid for each in made.certificate.subject] == [
        NameOID.ORGANIZATION_NAME,
        NameOID.ORGANIZATION_NAME,
        NameOID.COMMON_NAME,
    ]
    with pytest.raises(x509.ExtensionNotFound):
        made.certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)


def test_the_key_identifier_of_the_issuer_is_taken_as_it_is() -> None:
    """An authority whose SKI was made in another way must still be found by its leaves' AKI."""
    key = key_of(KeyAlgorithm.ECDSA_P256, 1)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")])

    def root(*extensions: x509.ExtensionType) -> Issuer:
        builder = (
            x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
            .serial_number(1)
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return Issuer(certificate=builder.sign(key, hashes.SHA256()), key=key)

    def identifier(certificate: x509.Certificate) -> bytes | None:
        return certificate.extensions.get_extension_for_class(
            x509.AuthorityKeyIdentifier
        ).value.key_identifier

    assert identifier(leaf(root(x509.SubjectKeyIdentifier(b"odd"))).certificate) == b"odd"
    without = identifier(leaf(root()).certificate)
    assert without == x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest
