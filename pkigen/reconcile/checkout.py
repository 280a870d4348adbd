"""A checkout of a PKI directory's public files: what is planned there, without any secret.

Private files that earlier runs wrote, and that are not there, count as there and right; what depends on their
content is not judged, and the plan lists it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.items import DesiredCertificate, DesiredCopy, DesiredFile, DesiredKubeconfig
from pkigen.errors import PkigenError
from pkigen.state.lockfile import read_lock
from pkigen.state.observed import exists
from pkigen.state.views import PublicView

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.desired.inventory import Inventory
    from pkigen.state.observed import Tree


def without_secrets(tree: Tree, inventory: Inventory) -> PublicView | None:
    """The public view of a directory, with or without its private files; None where it has no lock file."""
    lock = read_lock(tree)
    if lock is None:
        return None
    withheld = frozenset(path for path in lock.paths if layout.is_private(path))
    return PublicView(tree, withheld, dict(_modes(inventory)))


def checkout(tree: Tree, inventory: Inventory) -> PublicView | None:
    """The same where none of the recorded private files is there, and public ones are; else None.

    Where only some are missing, something is lost, and has to be planned.
    """
    view = without_secrets(tree, inventory)
    if view is None or not view.withheld or _is_any_there(tree, view.withheld):
        return None
    lock = read_lock(tree)
    # A lock file by itself is no checkout: with nothing else there, everything counts as lost.
    public = lock.paths - view.withheld if lock is not None else ()
    return view if _is_any_there(tree, public) else None


def _is_any_there(tree: Tree, paths: Iterable[str]) -> bool:
    """In order, so that the same directory is always read in the same way."""
    return any(exists(tree, path) for path in sorted(paths))


def looked_at(tree: Tree, inventory: Inventory) -> Tree:
    """A directory as it is to be judged: a checkout without secrets in its public view."""
    return checkout(tree, inventory) or tree


def require_private_files(tree: Tree, inventory: Inventory) -> None:
    """Refuse to change a checkout without secrets.

    Raises:
        PkigenError: It is one.
    """
    if checkout(tree, inventory) is not None:
        raise PkigenError(
            "this is a checkout without private files: nothing can be issued here",
            hint="run it where the private files are, or `pkigen plan --save FILE` here and "
            "`pkigen apply FILE` there; if they are lost, restore them from a backup first",
        )


def withheld_ids(inventory: Inventory, tree: Tree) -> tuple[str, ...]:
    """What cannot be judged of an inventory in a public view; nothing elsewhere."""
    if not isinstance(tree, PublicView):
        return ()
    # A kubeconfig's certificate is read in it, and stands for it: it is told of once.
    items = (item for item in inventory.items if not isinstance(item, DesiredKubeconfig))
    return tuple(
        item.id
        for item in items
        if tree.withheld.intersection(item.read_paths if isinstance(item, DesiredCertificate) else item.paths)
    )


def _modes(inventory: Inventory) -> Iterator[tuple[str, int]]:
    """What Git does not keep."""
    for item in inventory.items:
        if isinstance(item, DesiredCopy | DesiredFile):
            yield item.path, item.mode
        else:
            yield from ((path, layout.PUBLIC_MODE) for path in item.paths if not layout.is_private(path))
