"""What things are made from is there, or the change is refused: nothing is made from an empty CA."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pkigen.crypto.issuance import certificate_pem, issue
from pkigen.crypto.keys import private_pem
from pkigen.crypto.names import SANs
from pkigen.desired.generations import CA, Phase, Rotations, Slot
from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredFile, content_of
from pkigen.errors import AuthorityError
from pkigen.reconcile.authorities import Authorities
from pkigen.reconcile.staging import Staging
from pkigen.state.vault import PlainVault
from tests.reconcile.altered_trees import ADMIN
from tests.rotation.phases import Photograph
from tests.samples import CP1, NOW, spec
from tests.state.test_generations import files, root, self_signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.crypto.issuance import Issuer
    from pkigen.desired.items import DesiredCertificate
    from tests.samples import World


@contextmanager
def authorities_of(world: World, rotations: Rotations | None = None) -> Iterator[Authorities]:
    inventory = derive(world.cluster, rotations)
    with world.writing() as store, store.transaction() as transaction:
        staging = Staging(inventory, store, transaction, PlainVault())
        yield Authorities(inventory, staging, now=world.now)


def test_a_ca_that_is_there(world: World) -> None:
    with authorities_of(world) as authorities:
        found = authorities.require(CA.KUBERNETES)
        assert certificate_pem(found.certificate) == world.read("pki/ca.crt")
        assert authorities.trust_bundle(CA.KUBERNETES, ADMIN) == world.read("pki/ca.crt")
        assert authorities.issuer(CA.KUBERNETES).certificate == found.certificate


def test_a_ca_that_is_not_there_is_refused(world: World) -> None:
    for kind in ("crt", "key"):
        world.path(f"pki/etcd/ca.{kind}").unlink()
    with authorities_of(world) as authorities:
        for ask in (authorities.require, authorities.issuer):
            with pytest.raises(AuthorityError, match="the authority has no etcd-ca CA"):
                ask(CA.ETCD)


def test_a_kubeconfig_gets_no_empty_trust_bundle(world: World) -> None:
    """While a rotation is under way and the other generation is not made yet, no bundle can be known."""
    prepared = Rotations(phases={"ca": Phase.PREPARED})
    refused = pytest.raises(AuthorityError, match=f"the authority has no trust bundle for {ADMIN}")
    with authorities_of(world, prepared) as authorities, refused:
        authorities.trust_bundle(CA.KUBERNETES, ADMIN)


def test_encryption_is_not_configured_without_its_key(world: World) -> None:
    world.path("pki/encryption.key").unlink()
    item = next(each for each in world.inventory.items if isinstance(each, DesiredFile) and each.secret)
    refused = pytest.raises(AuthorityError, match=f"the authority has no encryption key for {item.path}")
    with authorities_of(world) as authorities, refused:
        authorities.encryption_keys(item)


# -- out of files in memory -----------------------------------------------------------------------------

INVENTORY = derive(spec(CP1, encryption={}))
API, CA_ITEM, ADMIN_ITEM = (
    INVENTORY.certificates[each] for each in ("cp-1/apiserver", "ca", "cp-1/admin.conf")
)


def of_files(found: dict[str, bytes]) -> Authorities:
    tree = Photograph(found)
    staging = SimpleNamespace(view=tree, opened=tree)
    return Authorities(INVENTORY, staging, now=NOW)  # type: ignore[arg-type]


def test_servers_send_what_stands_above_their_ca() -> None:
    above = root("above", above=root("root"))
    ca = root("kubernetes", above=above)
    chain = certificate_pem(ca.certificate, above.certificate)
    authorities = of_files({"pki/ca.crt": chain, "pki/ca.key": private_pem(ca.key)})
    assert authorities.chain_after(API) == (ca.certificate, above.certificate)
    assert authorities.chain_after(ADMIN_ITEM) == ()
    assert authorities.chain_after(CA_ITEM) == ()


def test_each_generation_of_a_ca_is_found_by_its_place() -> None:
    current, following = root("etcd-ca"), root("etcd-ca-g2")
    authorities = of_files({**files({"pki/etcd/ca": current}), **files({"pki/etcd/ca-next": following})})
    for slot, expected in ((Slot.CURRENT, current), (Slot.NEXT, following)):
        assert authorities.certificate(CA.ETCD, slot) == expected.certificate
        found = authorities.generation(CA.ETCD, slot)
        assert (found.certificate, private_pem(found.key)) == (
            expected.certificate,
            private_pem(expected.key),
        )
    for ask in (authorities.certificate, authorities.generation):
        with pytest.raises(AuthorityError, match=r"pki/etcd/ca-previous\.crt cannot be read"):
            ask(CA.ETCD, Slot.PREVIOUS)


def test_a_file_without_a_secret_gets_no_key() -> None:
    (item, *_) = (each for each in INVENTORY.items if isinstance(each, DesiredFile) and not each.secret)
    assert of_files({}).encryption_keys(item) == ()


# -- names that a CA of one's own may sign for ----------------------------------------------------------


def constrained(name: str) -> Issuer:
    return self_signed("kubernetes", x509.NameConstraints([x509.DNSName(name)], None))


def refusal(
    ca: Issuer, *names: str, wanted: DesiredCertificate = API, signer: Issuer | None = None
) -> str | None:
    """Why a CA may not have signed a certificate with these names."""
    item = replace(wanted, sans=SANs.of(*names))
    made = issue(
        replace(content_of(item), sans=SANs.of(*(name.replace("*.", "any.") for name in names))),
        key=ec.generate_private_key(ec.SECP256R1()),
        issuer=signer or ca,
        now=NOW,
        entropy=bytes,
    )
    try:
        of_files(files({"pki/ca": ca})).require_permitted(item, made.certificate)
    except AuthorityError as error:
        return f"{error.message}; {error.hint}"
    return None


def test_a_ca_signs_for_the_names_that_it_may() -> None:
    assert refusal(constrained("example.com"), "a.example.com") is None
    told = refusal(constrained("example.com"), "a.example.org")
    assert told is not None
    assert told.startswith("pki/ca.crt must not sign cp-1/apiserver: ")
    assert "provide a CA whose name constraints permit every name" in told


def test_a_wildcard_is_no_name_that_anybody_connects_to() -> None:
    assert refusal(constrained("example.com"), "*.example.com", "b.example.com") is None


def test_a_certificate_without_names_is_verified_all_the_same() -> None:
    ca = constrained("example.com")
    assert refusal(ca, wanted=ADMIN_ITEM) is None
    told = refusal(ca, wanted=ADMIN_ITEM, signer=root("kubernetes"))
    assert told is not None
    assert told.startswith("pki/ca.crt must not sign cp-1/admin.conf: ")


def test_a_ca_without_constraints_signs_for_anything() -> None:
    """Nothing is verified there, not even who has signed it."""
    assert refusal(root("kubernetes"), "a.example.org", signer=root("kubernetes")) is None


def test_nobody_asks_a_root_of_its_own() -> None:
    of_files({}).require_permitted(CA_ITEM, root("kubernetes").certificate)
