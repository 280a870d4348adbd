"""A cluster's authority and its nodes, each a directory; bundles go between them as bytes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pkigen.airgap.bundles.admission import Host, require_admissible
from pkigen.airgap.bundles.contents import pack
from pkigen.airgap.bundles.install import compare, install
from pkigen.airgap.bundles.opened import Bundle, open_bundle, write_bundle
from pkigen.airgap.bundles.record import read_installed
from pkigen.airgap.carrier.bundle_key import fingerprint
from pkigen.airgap.carrier.cluster_key import bundle_key
from pkigen.airgap.carrier.envelope import unwrap
from pkigen.airgap.carrier.format import BundleKind
from pkigen.crypto.age import Identity
from pkigen.store import Store
from pkigen.store.paths import NODE_PRIVATE
from tests.samples import CP1, NOW, W1, W2, Unsynced, World, spec

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from pkigen.airgap.bundles.contents import Packed
    from pkigen.airgap.carrier.format import Label
    from pkigen.spec.model import ClusterSpec
    from pkigen.store import FileSystem

MONTH = timedelta(days=30)


@dataclass(kw_only=True)
class BundleSite:
    """The authority, and one identity for each node."""

    world: World
    identities: dict[str, Identity] = field(default_factory=dict)

    @classmethod
    def made(cls, root: Path, *nodes: dict[str, Any], name: str = "prod", **settings: Any) -> BundleSite:
        """A cluster that has been made."""
        return cls.of(root, spec(*(nodes or (CP1, W1, W2)), name=name, **settings))

    @classmethod
    def of(cls, root: Path, cluster: ClusterSpec) -> BundleSite:
        """The cluster of a spec."""
        world = World(root=root, cluster=cluster)
        world.apply()
        identities = {node.name: Identity.generate() for node in world.cluster.spec.nodes}
        return cls(world=world, identities=identities)

    @property
    def pin(self) -> str:
        """The fingerprint of the cluster's bundle key."""
        with Store.open_reading(self.world.root) as store:
            return fingerprint(bundle_key(store).public)

    def packed(self, node: str) -> Packed:
        """One node's archive."""
        chosen = tuple(each for each in self.world.cluster.spec.nodes if each.name == node)
        with Store.open_reading(self.world.root) as store:
            return next(iter(pack(self.world.inventory, store, chosen)))

    def bundle(self, node: str, *, created: datetime = NOW, **changes: Any) -> bytes:
        """One node's bundle, its label as asked for."""
        packed = self.packed(node)
        packed = replace(packed, manifest=replace(packed.manifest, **changes))
        return self.closed(packed.label(created=created, reader="nobody"), self.packed(node).archive)

    def closed(self, label: Label, archive: bytes) -> bytes:
        """Any archive, sealed and signed as if it were right."""
        identity = self.identities[label.node]
        label = replace(label, reader=identity.recipient.text)
        with Store.open_reading(self.world.root) as store:
            key = bundle_key(store)
        return write_bundle(label, archive, seal=identity.recipient, key=key)

    def opened(self, data: bytes, node: str) -> Bundle:
        """A bundle at its node."""
        return open_bundle(unwrap(data, pin=self.pin), self.identities[node])


def on_node(root: Path, filesystem: FileSystem | None = None, *, now: datetime = NOW) -> Store:
    """A node's root directory, held for a change."""
    fs = filesystem or Unsynced()
    return Store.open(root, command="airgap bundle install", now=now, filesystem=fs, private=NODE_PRIVATE)


def looking(root: Path) -> Store:
    """A node's root directory, for reading."""
    return Store.open_reading(root, private=NODE_PRIVATE)


def put(bundle: Bundle, root: Path, filesystem: FileSystem | None = None) -> str | None:
    """Install without a word."""
    with on_node(root, filesystem) as store:
        installed = read_installed(store)
        return install(bundle, store, compare(bundle.manifest, store, installed))


def refuse_or_put(
    site: BundleSite, data: bytes, root: Path, node: str, *, now: datetime = NOW, pin: str | None = None
) -> None:
    """What the command does, in one call."""
    with looking(root) as store:
        installed = read_installed(store)
    envelope = unwrap(data, pin=pin or site.pin)
    host = Host(node=node, now=now, installed=installed)
    require_admissible(envelope.label, host, kind=BundleKind.NODE, max_age=MONTH, allow_older=False)
    put(open_bundle(envelope, site.identities[node]), root)
