"""What a certificate of each role may be used for, and what its key algorithms are called."""

from __future__ import annotations

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.profiles import PROFILES, Profile

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@pytest.mark.parametrize(
    ("name", "usages", "sends_chain"),
    [
        ("server", (SERVER,), True),
        # Never a server's as well: a client's key must not be able to stand for one.
        ("client", (CLIENT,), False),
        ("peer", (SERVER, CLIENT), True),
    ],
)
def test_leaves(name: str, usages: tuple[object, ...], *, sends_chain: bool) -> None:
    row = PROFILES[Profile(name)]
    assert (row.is_ca, row.path_length) == (False, None)
    assert (row.extended_key_usages, row.sends_chain) == (usages, sends_chain)


@pytest.mark.parametrize(("name", "below"), [("ca", None), ("offline-root", 1), ("intermediate", 0)])
def test_cas_and_how_many_may_stand_below_them(name: str, below: int | None) -> None:
    row = PROFILES[Profile(name)]
    assert (row.is_ca, row.path_length) == (True, below)
    assert (row.extended_key_usages, row.sends_chain) == ((), False)


def test_every_role_is_in_the_table_with_its_source() -> None:
    assert list(PROFILES) == list(Profile)
    assert all(row.source for row in PROFILES.values())


def test_algorithms_are_called_as_kubeadm_calls_them() -> None:
    assert [str(each) for each in KeyAlgorithm] == [
        *("RSA-2048", "RSA-3072", "RSA-4096", "ECDSA-P256", "ECDSA-P384")
    ]
