"""Requests reviewed against the inventory: the right ones pass, and each deviation has its own finding."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import AttributeOID, ExtendedKeyUsageOID, NameOID

from pkigen.airgap.carrier.csr_review import (
    RequestFault,
    request_for,
    requested_extensions,
    review,
    review_all,
)
from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.csr import signed_request
from pkigen.crypto.keys import ALGORITHMS, public_der, spki_fingerprint
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.inventory import derive
from tests.access.hostile_requests import ASN1, HARMLESS
from tests.samples import CP1, W1, spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from pkigen.desired.items import DesiredCertificate

INVENTORY = derive(spec(CP1, W1))
APISERVER = INVENTORY.certificates["cp-1/apiserver"]
KUBELET = INVENTORY.certificates["worker-1/kubelet.conf"]


def key_for(item: DesiredCertificate) -> Any:
    return ALGORITHMS[item.key_algorithm].generate()


def faults(data: bytes, item: DesiredCertificate = APISERVER) -> set[RequestFault]:
    return {deviation.fault for deviation in review(data, item).deviations}


@pytest.mark.parametrize(
    "algorithm", [KeyAlgorithm.ECDSA_P256, KeyAlgorithm.ECDSA_P384, KeyAlgorithm.RSA_2048]
)
def test_what_is_made_for_the_inventory_is_what_it_asks_for(algorithm: KeyAlgorithm) -> None:
    key = ALGORITHMS[algorithm].generate()
    for item in INVENTORY.certificates.values():
        wanted = replace(item, key_algorithm=algorithm)
        reviewed = review(request_for(wanted, key), wanted)
        assert reviewed.deviations == ()
        assert public_der(reviewed.keys[item.id]) == public_der(key)


def test_a_request_says_usages_and_names() -> None:
    request = x509.load_pem_x509_csr(request_for(APISERVER, key_for(APISERVER)))
    usage = request.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    extended = request.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.SERVER_AUTH]
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)
    assert ip_address("10.0.0.11") in names.get_values_for_type(x509.IPAddress)


class OnAToken(ec.EllipticCurvePrivateKey):
    """A key of somebody else's making: it signs, and shows nothing of itself."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key()

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        return self._key.sign(data, signature_algorithm)

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._key.curve

    @property
    def key_size(self) -> int:
        return self._key.key_size

    def exchange(self, algorithm: Any, peer_public_key: Any) -> bytes:
        raise NotImplementedError

    def private_numbers(self) -> Any:
        raise NotImplementedError

    def private_bytes(self, *_: Any, **__: Any) -> bytes:
        raise NotImplementedError

    def __copy__(self) -> OnAToken:
        return self

    def __deepcopy__(self, _: Any) -> OnAToken:
        return self


def test_a_key_that_only_signs() -> None:
    assert review(request_for(APISERVER, OnAToken()), APISERVER).deviations == ()


WRONG: list[tuple[str, Callable[[], DesiredCertificate], RequestFault]] = [
    (
        "common name",
        lambda: replace(APISERVER, subject=Subject(common_name="kube-apiserver2")),
        RequestFault.SUBJECT,
    ),
    (
        "group",
        lambda: replace(
            APISERVER, subject=Subject(common_name="kube-apiserver", organizations=("system:masters",))
        ),
        RequestFault.SUBJECT,
    ),
    (
        "one name more",
        lambda: replace(APISERVER, sans=SANs.of(*APISERVER.sans.texts(), "evil.example.com")),
        RequestFault.SANS,
    ),
    (
        "one name less",
        lambda: replace(APISERVER, sans=SANs.of(*APISERVER.sans.texts()[1:])),
        RequestFault.SANS,
    ),
    ("no names", lambda: replace(APISERVER, sans=SANs()), RequestFault.SANS),
    (
        "an address as a name",
        lambda: replace(
            APISERVER,
            sans=SANs(
                dns_names=(*APISERVER.sans.dns_names, "10.0.0.11"), addresses=APISERVER.sans.addresses[1:]
            ),
        ),
        RequestFault.SANS,
    ),
    ("a client's usages", lambda: replace(APISERVER, profile=Profile.CLIENT), RequestFault.USAGES),
    ("more usages", lambda: replace(APISERVER, profile=Profile.PEER), RequestFault.USAGES),
    ("a CA", lambda: replace(APISERVER, profile=Profile.CA), RequestFault.USAGES),
    (
        "another algorithm",
        lambda: replace(APISERVER, key_algorithm=KeyAlgorithm.ECDSA_P384),
        RequestFault.KEY,
    ),
]


@pytest.mark.parametrize(("what", "asked", "fault"), WRONG, ids=[each[0] for each in WRONG])
def test_each_deviation_has_its_finding(
    what: str, asked: Callable[[], DesiredCertificate], fault: RequestFault
) -> None:
    item = asked()
    data = request_for(item, key_for(item))
    assert faults(data) == {fault}, what
    assert faults(data, item) == set()


def test_everything_is_said_at_once() -> None:
    item = replace(
        APISERVER,
        subject=Subject(common_name="x"),
        sans=SANs(),
        profile=Profile.CLIENT,
        key_algorithm=KeyAlgorithm.ECDSA_P384,
    )
    found = review(request_for(item, key_for(item)), APISERVER)
    assert {each.fault for each in found.deviations} == {
        RequestFault.SUBJECT,
        RequestFault.SANS,
        RequestFault.USAGES,
        RequestFault.KEY,
    }
    assert any("ECDSA-P384" in str(each) for each in found.deviations)


def test_who_does_not_hold_the_key() -> None:
    mine, other = key_for(APISERVER), key_for(APISERVER)
    request = x509.load_pem_x509_csr(request_for(APISERVER, mine))
    der = request.public_bytes(serialization.Encoding.DER)
    point = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    forged = der.replace(mine.public_key().public_bytes(*point), other.public_key().public_bytes(*point))
    assert forged != der
    data = x509.load_der_x509_csr(forged).public_bytes(serialization.Encoding.PEM)
    reviewed = review(data, APISERVER)
    assert [each.fault for each in reviewed.deviations] == [RequestFault.NOT_PROVEN]
    assert not reviewed.keys


def test_keys_that_kubernetes_cannot_use() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    strange = ed25519.Ed25519PrivateKey.generate()
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(strange, None)
    assert faults(request.public_bytes(serialization.Encoding.PEM)) == {RequestFault.KEY}
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 -- that is the point
    assert faults(signed_request(name, (), short)) == {RequestFault.UNREADABLE}


def test_a_challenge_password_is_no_part_of_it() -> None:
    key = key_for(APISERVER)
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    )
    for extension in requested_extensions(APISERVER, key.public_key()):
        builder = builder.add_extension(extension.value, critical=extension.critical)
    builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"open sesame")
    data = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    found = review(data, APISERVER)
    assert [each.fault for each in found.deviations] == [RequestFault.ATTRIBUTES]
    assert "sesame" not in str(found.deviations[0])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
        b"x" * (1 << 17),
    ],
)
def test_what_is_no_request(data: bytes) -> None:
    assert faults(data) == {RequestFault.UNREADABLE}


def test_a_set_is_reviewed_as_a_whole() -> None:
    wanted = {each.id: each for each in (APISERVER, KUBELET)}
    key = key_for(APISERVER)
    good = {APISERVER.id: request_for(APISERVER, key), KUBELET.id: request_for(KUBELET, key_for(KUBELET))}
    assert review_all(good, wanted, {}).deviations == ()
    assert set(review_all(good, wanted, {}).keys) == set(wanted)
    # A key that was certified for the same certificate before may stay.
    assert review_all(good, wanted, {spki_fingerprint(public_der(key)): APISERVER.id}).deviations == ()

    def found(
        requests: dict[str, bytes], known: dict[str, str] | None = None
    ) -> list[tuple[str, RequestFault]]:
        reviewed = review_all(requests, wanted, known or {})
        return [(each.id, each.fault) for each in reviewed.deviations]

    assert found({APISERVER.id: good[APISERVER.id]}) == [(KUBELET.id, RequestFault.MISSING)]
    assert found({**good, "worker-2/kubelet.conf": b""}) == [("worker-2/kubelet.conf", RequestFault.UNKNOWN)]
    assert found({**good, KUBELET.id: request_for(KUBELET, key)}) == [(KUBELET.id, RequestFault.SHARED_KEY)]
    assert (
        review_all(good, wanted, {spki_fingerprint(public_der(key)): f"{APISERVER.id}-next"}).deviations == ()
    )
    assert found(good, {spki_fingerprint(public_der(key)): "ca"}) == [(APISERVER.id, RequestFault.SHARED_KEY)]
    crossed = {APISERVER.id: good[KUBELET.id], KUBELET.id: good[APISERVER.id]}
    assert {identifier for identifier, _ in found(crossed)} == set(wanted)


@pytest.mark.parametrize("name", [*ASN1, *HARMLESS])
def test_hostile_requests_deviate_and_raise_nothing(name: str) -> None:
    made = ASN1[name][0] if name in ASN1 else HARMLESS[name]
    assert review(made(), KUBELET).deviations
