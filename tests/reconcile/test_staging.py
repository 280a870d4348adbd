"""Private files reach the disk through the vault, and are opened again before anything is committed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pkigen import layout
from pkigen.crypto.age import Identity
from pkigen.crypto.age_header import is_sealed
from pkigen.errors import AuthorityError
from pkigen.reconcile.apply import apply_plan
from pkigen.state.vault import SealedVault, sealed_identity, sealed_key_of
from tests.samples import CP1, World, snapshot, spec

if TYPE_CHECKING:
    from pkigen.state.vault import Vault
    from pkigen.store import Store

OPERATOR = Identity.generate()
PRIVATE = ("pki/ca.key", "pki/sa.key", "pki/encryption.key", "pki/bundle.key")


class JammedVault(SealedVault):
    """Seals for an identity that nobody has, and puts on record that all is well."""

    def close(self, path: str, content: bytes) -> bytes:
        sealed = Identity.generate().recipient.close(content)
        self._record = self._record.with_key(sealed, sealed_key_of(path, content))
        return sealed


def apply_with(world: World, store: Store, vault: Vault) -> None:
    tools = replace(world.tools(), vault=vault)
    apply_plan(world.plan_of(store), world.inventory, store, tools)


def unlocked(store: Store, kind: type[SealedVault] = SealedVault) -> SealedVault:
    sealed = sealed_identity(store)
    assert sealed is not None
    return kind.unlock(store, sealed, OPERATOR)


@pytest.fixture
def encrypted(tmp_path: Path) -> World:
    cluster = spec(CP1, certificates={"distributeCAKeys": False}, encryption={})
    world = World(root=tmp_path / "prod", cluster=cluster)
    with world.writing() as store:
        apply_with(world, store, SealedVault.new(OPERATOR.recipient))
    return world


def test_what_lies_open_is_sealed_and_its_open_form_is_in_no_backup(encrypted: World) -> None:
    with encrypted.writing() as store:
        vault = unlocked(store)
        content = vault.open("pki/sa.key", encrypted.read("pki/sa.key"))
        encrypted.path("pki/sa.key").write_bytes(content)
        encrypted.path("pki/sa.key").chmod(0o644)
        apply_with(encrypted, store, vault)
        assert vault.open("pki/sa.key", encrypted.read("pki/sa.key")) == content
    assert all(is_sealed(encrypted.read(path)) for path in PRIVATE)
    assert encrypted.path("pki/sa.key").stat().st_mode & 0o777 == 0o600
    kept = {path for path, (_, data) in snapshot(encrypted.root).items() if content in data}
    assert {path.split("/")[0] for path in kept} == {"nodes"}  # where API servers must read it
    assert encrypted.plan().changes == ()


def test_modes_are_put_right_beside_keys_that_are_sealed(encrypted: World) -> None:
    """Who restores an authority by hand leaves it open, and every file with the modes of his umask."""
    with encrypted.writing() as store:
        vault = unlocked(store)
        for path in PRIVATE:
            encrypted.path(path).write_bytes(vault.open(path, encrypted.read(path)))
        for path in filter(Path.is_file, map(encrypted.path, encrypted.inventory.paths)):
            path.chmod(0o620)
        apply_with(encrypted, store, vault)
    assert encrypted.path("pki/sa.pub").stat().st_mode & 0o777 == 0o644
    assert all(is_sealed(encrypted.read(path)) for path in PRIVATE)
    assert encrypted.plan().changes == ()
    assert encrypted.verify().findings == ()


@pytest.mark.parametrize("path", ["pki/bundle.key", "pki/encryption.key"])
def test_a_new_secret_that_would_not_open_again_is_not_committed(path: str, encrypted: World) -> None:
    encrypted.path(path).unlink()
    before = snapshot(encrypted.root)
    with encrypted.writing() as store, pytest.raises(AuthorityError, match=f"{path} cannot be opened"):
        apply_with(encrypted, store, unlocked(store, JammedVault))
    assert snapshot(encrypted.root) == before


def test_an_open_key_that_would_not_open_again_is_not_sealed(encrypted: World) -> None:
    with encrypted.writing() as store:
        content = unlocked(store).open("pki/bundle.key", encrypted.read("pki/bundle.key"))
    encrypted.path("pki/bundle.key").write_bytes(content)
    before = snapshot(encrypted.root)
    with (
        encrypted.writing() as store,
        pytest.raises(AuthorityError, match=r"pki/bundle\.key cannot be opened"),
    ):
        apply_with(encrypted, store, unlocked(store, JammedVault))
    assert snapshot(encrypted.root) == before


def test_the_ledger_is_in_no_backup(encrypted: World) -> None:
    """It only ever grows: a rollback must not bring an older one back."""
    encrypted.path("pki/sa.pub").unlink()
    encrypted.path("nodes/cp-1/etc/kubernetes/pki/sa.pub").write_bytes(b"damaged")
    before = encrypted.read(layout.LEDGER_FILE)
    with encrypted.writing() as store:
        apply_with(encrypted, store, unlocked(store))
    (backup,) = encrypted.path(".pkigen/backups").iterdir()
    kept = {str(path.relative_to(backup)) for path in backup.rglob("*") if path.is_file()}
    assert any(name.endswith("sa.pub") for name in kept)
    assert not any(before == (backup / name).read_bytes() for name in kept)
    assert encrypted.read(layout.LEDGER_FILE).startswith(before)
