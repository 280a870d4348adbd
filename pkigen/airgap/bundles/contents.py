"""The contents of one node's bundle, from the authority's directory: that node's files, and no others."""

from __future__ import annotations

import logging
from dataclasses import field
from typing import TYPE_CHECKING

from pkigen.airgap.bundles.opened import archive_of, entries_of
from pkigen.airgap.bundles.runbook import carried_steps, restart_steps, runbook
from pkigen.airgap.carrier.archive import Member
from pkigen.airgap.carrier.format import BundleKind, Label, Manifest
from pkigen.airgap.carrier.paths import RUNBOOK
from pkigen.desired.items import DesiredCertificate, DesiredFile
from pkigen.errors import BundleError
from pkigen.layout import CERTIFICATE_MODE, NODES
from pkigen.records import dataclass
from pkigen.spec.certificates import KeyHome
from pkigen.state.authority_record import require_unchanged
from pkigen.state.ledger import head_of, read_ledger
from pkigen.state.observed import Fault, observe_certificate, observe_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import Desired
    from pkigen.reconcile.plan import Plan
    from pkigen.spec.model import Node
    from pkigen.state.observed import Reader

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """One node's archive before sealing, and what its label will say."""

    manifest: Manifest
    archive: bytes = field(repr=False)

    def label(self, *, created: datetime, reader: str) -> Label:
        """The outside."""
        return Label(
            kind=self.manifest.kind,
            cluster=self.manifest.cluster,
            node=self.manifest.node,
            serial=self.manifest.serial,
            created=created.replace(microsecond=0),
            expires=self.manifest.expires,
            reader=reader,
        )


def pack(inventory: Inventory, reader: Reader, nodes: tuple[Node, ...]) -> Iterator[Packed]:
    """The bundles of some nodes, one after the other.

    Args:
        inventory: What must exist.
        reader: A PKI directory that is what the inventory asks for.
        nodes: Whose bundles.
    """
    # The ledger only grows, so its length orders the bundles of a directory without a counter of their own.
    serial = head_of(read_ledger(reader)).entries
    steps = restart_steps(inventory)
    items: dict[str, list[Desired]] = {}
    for item in inventory.items:
        # What has no node is the authority's own, and no bundle carries it.
        if item.node is not None:
            items.setdefault(item.node, []).append(item)
    for node in nodes:
        prefix = f"{NODES}/{node.name}/"
        paths = sorted({path for item in items[node.name] for path in _carried(item, inventory)})
        told = carried_steps(steps.get(node.name, ()), inventory)
        text = runbook(node, told, inventory).encode()
        members = [_member(reader, path, prefix) for path in paths]
        # Nothing in it is secret: whoever stands at the node reads it.
        members.append(Member(path=RUNBOOK, mode=CERTIFICATE_MODE, data=text))
        # One order, so that the same tree gives the same bytes.
        members.sort(key=lambda member: member.path)
        manifest = Manifest(
            kind=kind_of(inventory, node),
            cluster=inventory.cluster.name,
            node=node.name,
            serial=serial,
            expires=_earliest_end(items[node.name], reader),
            files=entries_of(members),
            steps=told,
        )
        archive = archive_of(manifest, {member.path: member.data for member in members})
        logger.info("packed %s: %d files, serial %d", node.name, len(members), serial)
        yield Packed(manifest=manifest, archive=archive)


def _carried(item: Desired, inventory: Inventory) -> tuple[str, ...]:
    """The files of an object that go into a bundle: none that is not managed, or that the node never had."""
    is_foreign = isinstance(item, DesiredFile) and not item.managed
    return () if is_foreign or item.id in inventory.absent else item.paths


def require_settled(plan: Plan, *, root: Path, words: str) -> None:
    """Refuse to pack a directory that is not what the spec asks for.

    Args:
        plan: What the directory lacks.
        root: Where it is, for the message.
        words: How a command line names this cluster, for the hint.

    Raises:
        BundleError: Changes are pending.
        AuthorityError: The authority is another one than is recorded.
    """
    require_unchanged(plan.authority)
    if plan.changes:
        first = plan.changes[0]
        raise BundleError(
            f"{root} does not match the spec: {len(plan.changes)} changes are pending, "
            f"the first is {first.verb} {first.id}",
            hint=f"`pkigen plan {words}` shows them, `pkigen apply` applies them",
        )


def kind_of(inventory: Inventory, node: Node) -> BundleKind:
    """What a node gets: all of its tree, or everything except the keys that it has made itself."""
    elsewhere = inventory.cluster.key_home(node) is KeyHome.NODE
    return BundleKind.CERTIFICATES if elsewhere else BundleKind.NODE


def awaited(inventory: Inventory, reader: Reader, node: Node) -> tuple[str, ...]:
    """The certificates that a node must request before there is anything to pack."""
    return tuple(
        item.id
        for item in inventory.certificates.values()
        if item.node == node.name
        and item.key_is_elsewhere
        and isinstance(observe_file(reader, item.file), Fault)
    )


def _member(reader: Reader, path: str, prefix: str) -> Member:
    """A file of the node's tree, under the path that it has on the node."""
    content = reader.read(path)
    return Member(path=path.removeprefix(prefix), mode=content.mode, data=content.data)


def _earliest_end(items: list[Desired], reader: Reader) -> datetime:
    """The end of the first certificate to expire: installed later, the bundle would break what works."""
    ends = [
        observed.certificate.not_valid_after_utc
        for item in items
        if isinstance(item, DesiredCertificate)
        and (observed := observe_certificate(reader, item.location)).certificate is not None
    ]
    return min(ends)
