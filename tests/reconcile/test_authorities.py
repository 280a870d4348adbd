"""What things are made from is there, or the change is refused: nothing is made from an empty CA."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pkigen.crypto.issuance import certificate_pem
from pkigen.desired.generations import CA, Phase, Rotations
from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredFile
from pkigen.errors import AuthorityError
from pkigen.reconcile.authorities import Authorities
from pkigen.reconcile.staging import Staging
from pkigen.state.vault import PlainVault
from tests.reconcile.altered_trees import ADMIN

if TYPE_CHECKING:
    from collections.abc import Iterator

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
