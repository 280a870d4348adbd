"""Links, FIFOs and foreign files at every name that the store uses."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from pkigen.errors import StoreError, UnsafePathError
from pkigen.store import Lapse, Store
from tests.store.sample_tree import CA_KEY, LATER, LOCK, make_second, photograph

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FOREIGN_UID = 12345
NODES = ("nodes", "nodes/cp-1", "nodes/cp-1/etc/kubernetes/manifests", "nodes/cp-3/etc/kubernetes/pki")


def named(place: str) -> str:
    """A path as messages have it; the directory itself by its name."""
    return "prod" if place == "." else f"prod/{place}"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory and a file that must stay as they are."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "file").write_bytes(b"precious")
    (place / "directory").mkdir()
    return place


def link_to_file(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "file")


def link_to_directory(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "directory")


def dangling_link(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "not-there")


def fifo(path: Path, outside: Path) -> None:  # noqa: ARG001
    os.mkfifo(path)


def hard_link(path: Path, outside: Path) -> None:
    path.hardlink_to(outside / "file")


KINDS = (link_to_file, link_to_directory, dangling_link, fifo, hard_link)
PLACES = (
    ".pkigen",
    ".pkigen/lock",
    ".pkigen/journal",
    ".pkigen/staging",
    ".pkigen/backups",
    ".pkigen/trash",
    ".pkigen/ledger.jsonl",
    "pki",
    "pki/etcd",
    "pki/etcd/ca.key",
    CA_KEY,
    LOCK,
    "nodes",
    "nodes/cp-2",
    "nodes/cp-2/etc/kubernetes/pki/apiserver.key",
    "nodes/cp-3/etc/kubernetes/pki",
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("plant", KINDS)
def test_a_plant_is_refused_and_not_followed(
    tree: Path, outside: Path, place: str, plant: Callable[[Path, Path], None]
) -> None:
    path = tree / place
    if path.is_dir():
        path.rename(tree.parent / "moved")
    else:
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
    plant(path, outside)
    before, precious = photograph(tree), photograph(outside)
    with pytest.raises(StoreError, match="|".join(place.split("/"))) as caught:
        make_second(tree)
    if place != ".pkigen/journal" or plant is not hard_link:
        assert isinstance(caught.value, UnsafePathError), caught.value
    assert photograph(tree) == before
    assert photograph(outside) == precious
    assert (outside / "file").stat().st_size == 8


@pytest.mark.parametrize("plant", KINDS)
def test_a_plant_in_the_staging_directory_is_cleared_not_followed(
    tree: Path, outside: Path, plant: Callable[[Path, Path], None]
) -> None:
    staging = tree / ".pkigen/staging"
    staging.mkdir(mode=0o700)
    plant(staging / "00000001", outside)
    plant(staging / "record", outside)
    precious = photograph(outside)
    make_second(tree)
    assert photograph(outside) == precious
    assert (tree / CA_KEY).read_bytes() == b"new ca key"


@pytest.mark.parametrize("plant", KINDS)
def test_a_plant_in_a_backup_is_not_followed(
    tree: Path, outside: Path, plant: Callable[[Path, Path], None]
) -> None:
    make_second(tree)
    backup = tree / ".pkigen/backups/20261123T014000Z"
    precious = photograph(outside)
    shutil.rmtree(backup / "files/nodes")
    plant(backup / "files/nodes", outside)
    with Store.open(tree, command="apply", now=LATER) as store:
        with pytest.raises(StoreError):
            store.read_backup(backup.name, "nodes/file")
        with store.transaction() as change:
            change.stage(CA_KEY, mode=0o600, content=b"third")
            change.commit(keep_backups=0)
    assert not backup.exists()
    assert photograph(outside) == precious


def test_a_root_that_is_a_link_is_refused(tree: Path, outside: Path) -> None:
    precious = photograph(outside)
    (tree.parent / "link").symlink_to(outside / "directory")
    (tree.parent / "dangling").symlink_to(outside / "not-there")
    for name in ("link", "dangling"):
        with pytest.raises(UnsafePathError, match=f"{name} is a symbolic link"):
            Store.open(tree.parent / name, command="init", now=LATER)
    assert photograph(outside) == precious


def test_a_removed_hard_link_is_refused(tree: Path, outside: Path) -> None:
    (outside / "second").hardlink_to(tree / CA_KEY)
    with Store.open(tree, command="apply", now=LATER) as store, store.transaction() as change:
        with pytest.raises(UnsafePathError, match="has 2 names") as caught:
            change.remove(CA_KEY)
        with pytest.raises(UnsafePathError, match="has 2 names"):
            change.stage_mode(CA_KEY, mode=0o600)
    assert "samefile" in caught.value.hint


@pytest.mark.parametrize("place", [".", ".pkigen", "pki", ".pkigen/backups", *NODES])
def test_a_directory_that_others_may_write_is_refused(tree: Path, place: str) -> None:
    (tree / ".pkigen/backups/mine").mkdir(parents=True)
    (tree / place).chmod(0o770)
    with pytest.raises(
        UnsafePathError, match=rf"{named(place)} is writable by other users \(mode 0770\)"
    ) as caught:
        make_second(tree)
    assert "chmod go-w" in caught.value.hint
    assert not (tree / ".pkigen/staging").exists()
    (tree / place).chmod(0o750)
    make_second(tree)


def test_a_store_that_others_may_read_is_closed_to_them(tree: Path) -> None:
    (tree / ".pkigen").chmod(0o755)
    (tree / ".pkigen/lock").chmod(0o644)
    make_second(tree)
    assert (tree / ".pkigen").stat().st_mode & 0o777 == 0o700
    assert (tree / ".pkigen/lock").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("place", [".", ".pkigen", ".pkigen/lock", "pki", "pki/etcd", CA_KEY, *NODES])
def test_a_foreign_owner_is_refused(tree: Path, place: str) -> None:
    (tree / "pki/etcd").mkdir()
    os.chown(tree / place, FOREIGN_UID, FOREIGN_UID)
    before = photograph(tree)
    with pytest.raises(
        UnsafePathError, match=rf"{named(place)} belongs to another user \(uid {FOREIGN_UID}\)"
    ):
        make_second(tree)
    assert photograph(tree) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be the owner of what others write")
def test_a_sticky_directory_of_root_is_accepted(tree: Path) -> None:
    (tree / "pki").chmod(0o1777)
    make_second(tree)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_others_own_beside_the_trees_is_their_affair(tree: Path) -> None:
    """The control: nothing is written there."""
    (tree / "notes").mkdir(mode=0o777)
    os.chown(tree / "notes", FOREIGN_UID, FOREIGN_UID)
    make_second(tree)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_tree_of_another_user_is_a_finding_once(tree: Path) -> None:
    """A reader does not refuse it, and does not name every file of it."""
    for path in (tree, *tree.rglob("*")):
        os.chown(path, FOREIGN_UID, FOREIGN_UID)
    with Store.open_reading(tree) as store:
        found = [(each.path, each.lapse, each.uid) for each in store.lapses(["pki", "nodes"])]
    assert found == [(".", Lapse.FOREIGN, FOREIGN_UID)]
