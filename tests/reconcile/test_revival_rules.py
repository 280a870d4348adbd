"""Which CAs a rescue renews, by the minute of their end: certificates in memory, and no command."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pkigen.desired.generations import CA, Phase, Rotations
from pkigen.desired.inventory import derive
from pkigen.errors import AuthorityError, RotationError
from pkigen.reconcile.revival import revival
from pkigen.reconcile.surveyed import Selection
from tests.rotation.phases import Photograph
from tests.samples import NOW, spec

if TYPE_CHECKING:
    from datetime import datetime

    from pkigen.desired.inventory import Inventory

SECOND = timedelta(seconds=1)
YEARS = timedelta(days=3650)
NAMES = ["ca", "etcd-ca", "front-proxy-ca"]
FILES = dict(zip(NAMES, ("pki/ca.crt", "pki/etcd/ca.crt", "pki/front-proxy-ca.crt"), strict=True))
INVENTORY = derive(spec())
BEFORE = {name: INVENTORY.certificates[name].renew_before for name in NAMES}


@cache
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem(end: datetime, issuer: str = "a") -> bytes:
    """A certificate of the name `a`."""
    subject, above = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in ("a", issuer))
    builder = x509.CertificateBuilder(above, subject, key().public_key(), 1)
    return (
        builder.not_valid_before(NOW - 2 * YEARS)
        .not_valid_after(end)
        .sign(key(), hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def tree(**certificates: bytes) -> Photograph:
    """The three CAs: those that are not given last."""
    others = dict.fromkeys(FILES.values(), pem(NOW + YEARS))
    return Photograph(
        {**others, **{FILES[name.replace("_", "-")]: each for name, each in certificates.items()}}
    )


def rotating(name: str, phase: Phase) -> Inventory:
    return derive(spec(), Rotations(phases={name: phase}))


def offline(keys: str) -> Inventory:
    return derive(spec(certificates={"authority": "offline", "caKeys": keys}))


def test_cas_that_last_are_left_alone() -> None:
    assert revival(INVENTORY, tree(), now=NOW) == Selection()
    # What is missing is made by the ordinary plan.
    assert revival(INVENTORY, Photograph({}), now=NOW) == Selection()


@pytest.mark.parametrize("ca", list(CA))
def test_a_ca_is_renewed_from_its_renew_before_on(ca: CA) -> None:
    name = ca.certificate_name
    due = Selection(ids=frozenset({name}), revived=frozenset({ca}))
    for end, expected in (
        (NOW + BEFORE[name] + SECOND, Selection()),
        (NOW + BEFORE[name], due),
        (NOW + SECOND, due),
        (NOW, due),
        (NOW - YEARS, due),
    ):
        assert revival(INVENTORY, tree(**{name: pem(end)}), now=NOW) == expected, end


def test_all_that_have_ended_are_renewed_at_once() -> None:
    ended = tree(**dict.fromkeys(NAMES, pem(NOW)))
    assert revival(INVENTORY, ended, now=NOW) == Selection(ids=frozenset(NAMES), revived=frozenset(CA))


def test_an_intermediate_is_no_obstacle_before_its_end() -> None:
    assert revival(INVENTORY, tree(ca=pem(NOW + SECOND, "b")), now=NOW) == Selection()
    with pytest.raises(AuthorityError) as refused:
        revival(INVENTORY, tree(ca=pem(NOW, "b")), now=NOW)
    assert str(refused.value) == "pki/ca.crt expired 2026-03-01, and only its issuer can renew it"
    assert (
        refused.value.hint
        == "have its issuer renew it for the same key, replace the file, and run this again"
    )


@pytest.mark.parametrize("phase", [Phase.PREPARED, Phase.PROMOTED])
def test_a_ca_that_is_rotated_is_refused_from_its_end_on(phase: Phase) -> None:
    inventory = rotating("etcd-ca", phase)
    assert revival(inventory, tree(etcd_ca=pem(NOW + SECOND)), now=NOW) == Selection()
    with pytest.raises(RotationError, match="the etcd-ca CA expired during its rotation") as refused:
        revival(inventory, tree(etcd_ca=pem(NOW)), now=NOW)
    assert refused.value.hint == (
        "move pki/etcd/ca-next.* or -previous.* out of the authority, then run this again"
    )
    # The rotation of one is none of the others' affair.
    assert revival(inventory, tree(ca=pem(NOW)), now=NOW).ids == {"ca"}


@pytest.mark.parametrize(
    ("keys", "before"),
    [
        ("offline", "`pkigen airgap authority renew SPEC ca front-proxy-ca` there; "),
        ("site", ""),
    ],
)
def test_only_the_offline_authority_renews_what_it_has_signed(keys: str, before: str) -> None:
    inventory = offline(keys)
    # What is about to end is requested in time, as ever; what is missing is told of by the plan.
    assert revival(inventory, tree(ca=pem(NOW + SECOND)), now=NOW) == Selection()
    assert revival(inventory, Photograph({}), now=NOW) == Selection()
    with pytest.raises(AuthorityError) as refused:
        revival(inventory, tree(ca=pem(NOW), front_proxy_ca=pem(NOW - YEARS)), now=NOW)
    assert str(refused.value) == ("only the offline authority can renew what has expired: ca, front-proxy-ca")
    assert refused.value.hint == (
        f"{before}`pkigen airgap authority request ca front-proxy-ca` here, `sign` there, `accept` here; "
        "then run this again"
    )
