"""The phase of a rotation is read from which files the authority has, and from nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pkigen.desired.generations import Phase
from pkigen.state.rotation_phases import observe_rotations
from tests.rotation.phases import Photograph

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
STEMS = {
    "ca": ("pki/ca", ".crt"),
    "etcd-ca": ("pki/etcd/ca", ".crt"),
    "front-proxy-ca": ("pki/front-proxy-ca", ".crt"),
    "sa": ("pki/sa", ".key"),
    "encryption-key": ("pki/encryption", ".key"),
}


def there(*paths: str) -> Photograph:
    return Photograph(dict.fromkeys(paths, b"anything"))


@pytest.mark.parametrize("identifier", STEMS)
def test_the_files_say_the_phase(identifier: str) -> None:
    stem, end = STEMS[identifier]
    present, following, previous = f"{stem}{end}", f"{stem}-next{end}", f"{stem}-previous{end}"
    assert observe_rotations(there(present)).phases == {}
    assert observe_rotations(there(present, following)).phases == {identifier: Phase.PREPARED}
    assert observe_rotations(there(present, previous)).phases == {identifier: Phase.PROMOTED}
    both = there(present, following, previous)
    assert observe_rotations(both).phases == {identifier: Phase.PROMOTED}


def test_other_halves_say_nothing() -> None:
    """The private key decides for a pair of keys, the certificate for a CA."""
    others = ("pki/sa-next.pub", "pki/sa-previous.pub", "pki/ca-next.key", "pki/etcd/ca-previous.key")
    assert observe_rotations(there(*others)).phases == {}


def test_a_cross_certificate_counts_while_its_ca_rotates() -> None:
    crosses = ("pki/ca-cross.crt", "pki/etcd/ca-cross.crt")
    assert observe_rotations(there(*crosses)).crossed == frozenset()
    assert observe_rotations(there(*crosses, "pki/ca-next.crt")).crossed == {"ca"}
    assert observe_rotations(there(*crosses, "pki/etcd/ca-previous.crt")).crossed == {"etcd-ca"}
    assert observe_rotations(there("pki/ca-next.crt")).crossed == frozenset()


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("kubernetes", 2),
        ("kubernetes-g2", 3),
        ("kubernetes-g41", 42),
        ("a-g3-g9", 10),
        ("two\nlines-g4", 5),
        ("kubernetes-g1234567", 2),
        ("kubernetes-g2 ", 2),
        ("kubernetes-g", 2),
        ("", 2),
    ],
)
def test_the_number_of_the_next_generation(name: str, number: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    data = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    found = observe_rotations(Photograph({"pki/etcd/ca.crt": data})).next_generations
    assert found == {"ca": 2, "etcd-ca": number, "front-proxy-ca": 2}
