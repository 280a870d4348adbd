"""A clone without private files is judged by what it shows; where some are missing, something is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pkigen import layout
from pkigen.desired.items import DesiredCopy, DesiredFile
from pkigen.errors import PkigenError
from pkigen.reconcile.checkout import (
    checkout,
    looked_at,
    require_private_files,
    withheld_ids,
    without_secrets,
)
from tests.rotation.phases import Photograph
from tests.samples import CP1, W1, World, spec

if TYPE_CHECKING:
    from pkigen.desired.inventory import Inventory

APISERVER = "nodes/cp-1/etc/kubernetes/pki/apiserver"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Photograph, Inventory]:
    world = World(root=tmp_path_factory.mktemp("checkout") / "prod", cluster=spec(CP1, W1))
    world.apply()
    return Photograph.of(world.root), world.inventory


def of(tree: Photograph, *, private: bool, public: bool = True, also: tuple[str, ...] = ()) -> Photograph:
    """A part of a tree; the lock file is always there."""
    return Photograph(
        {
            path: data
            for path, data in tree.files.items()
            if path in {layout.LOCK_FILE, *also} or (private if layout.is_private(path) else public)
        }
    )


def test_what_is_a_checkout_and_what_has_lost_something(made: tuple[Photograph, Inventory]) -> None:
    tree, inventory = made
    clone = of(tree, private=False)
    view = checkout(clone, inventory)
    assert view is not None
    assert view.withheld == {path for path in tree.files if layout.is_private(path)} & inventory.paths
    assert looked_at(clone, inventory) is not clone
    lock = json.loads(clone.files[layout.LOCK_FILE])
    lock["files"] = {path: facts for path, facts in lock["files"].items() if not layout.is_private(path)}
    for other in (
        tree,
        clone.but(**{layout.LOCK_FILE: json.dumps(lock).encode()}),
        of(tree, private=False, also=("pki/ca.key",)),
        of(tree, private=False, public=False),
        Photograph({path: data for path, data in clone.files.items() if path != layout.LOCK_FILE}),
    ):
        assert checkout(other, inventory) is None
        assert looked_at(other, inventory) is other
        require_private_files(other, inventory)
    with pytest.raises(PkigenError, match="a checkout without private files: nothing can be issued here"):
        require_private_files(clone, inventory)


def test_the_public_view_of_any_directory(made: tuple[Photograph, Inventory]) -> None:
    tree, inventory = made
    for directory in (tree, of(tree, private=False)):
        view = without_secrets(directory, inventory)
        assert view is not None
        assert view.withheld == {path for path in tree.files if layout.is_private(path)} & inventory.paths
    assert without_secrets(Photograph({}), inventory) is None


def test_what_cannot_be_judged_is_told_by_its_id_once(made: tuple[Photograph, Inventory]) -> None:
    tree, inventory = made
    assert withheld_ids(inventory, tree) == ()
    told = withheld_ids(inventory, looked_at(of(tree, private=False), inventory))
    assert len(set(told)) == len(told)
    assert {"ca", "sa", "cp-1/apiserver", "cp-1/admin.conf", "worker-1/kubelet.conf"} <= set(told)
    assert not set(told) & inventory.kubeconfigs.keys()
    assert "nodes/cp-1/etc/kubernetes/pki/ca.crt" not in told


def test_git_keeps_no_modes(made: tuple[Photograph, Inventory]) -> None:
    """A photograph has 0600 for every file, as a clone has what its umask says."""
    tree, inventory = made
    view = checkout(of(tree, private=False), inventory)
    assert view is not None
    modes = {item.path: item.mode for item in inventory.items if isinstance(item, DesiredCopy | DesiredFile)}
    public = [path for path in modes if path in tree.files and not layout.is_private(path)]
    assert {modes[path] for path in public} >= {0o600, 0o644}
    assert [view.read(path).mode for path in public] == [modes[path] for path in public]
    assert view.read(f"{APISERVER}.crt").mode == layout.PUBLIC_MODE
