"""What is to go: what earlier runs wrote, and the spec asks for no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.desired.certificate_items import pki_path
from pkigen.desired.generations import CA
from pkigen.reconcile.plan import Remove
from pkigen.spec.certificates import CAKeys
from pkigen.state.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.plan import Action
    from pkigen.spec.model import ClusterSpec


def removals(inventory: Inventory, existing: Iterable[str], owned: frozenset[str]) -> Iterator[Action]:
    """What is to go: whole trees of nodes that left the spec, and files that pkigen wrote and wants no more.

    Files of other origin in the trees of present nodes are not touched.
    """
    nodes = {node.name for node in inventory.cluster.spec.nodes}
    # By node, so that a plan says once that a node goes, and not for each of its files.
    gone: dict[str, list[str]] = {}
    for path in existing:
        if path in inventory.paths:
            continue
        top, _, rest = path.partition("/")
        node = rest.partition("/")[0] if top == layout.NODES and "/" in rest else None
        if node is not None and node not in nodes:
            gone.setdefault(node, []).append(path)
        # What pkigen did not write is not pkigen's to remove, wherever it lies.
        elif path in owned:
            yield Remove(
                id=path,
                paths=(path,),
                node=node,
                reason=Reason.NOT_WANTED,
                details=(_why_unwanted(path, node, inventory.cluster),),
            )
    for node, paths in gone.items():
        yield Remove(
            id=f"{layout.NODES}/{node}",  # a node may be called like a certificate
            paths=tuple(paths),
            node=node,
            reason=Reason.NOT_WANTED,
            details=(f"node {node} is not in the spec; its {len(paths)} files are moved to the backup",),
        )


def _why_unwanted(path: str, node: str | None, cluster: ClusterSpec) -> str:
    """Why a file goes, for whoever reviews it: a CA's key goes from nodes and stays in the authority."""
    keys = {pki_path(cluster, node, f"{ca}.key"): ca for ca in CA} if node is not None else {}
    if path not in keys or cluster.spec.certificates.ca_keys is CAKeys.OFFLINE:
        return "it is no longer in the spec"
    name = keys[path].certificate_name
    return f"certificates.distributeCAKeys does not name {name}; the authority keeps the key"
