"""What every command begins with: the spec, the inventory, the templates, the clock and the PKI directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pkigen.cli.console import note, warn
from pkigen.cli.progress import progress
from pkigen.cli.spec_input import read_spec
from pkigen.cli.system import System
from pkigen.cli.unlock import Unlocking
from pkigen.desired.generations import CA, Rotations, ca_id
from pkigen.desired.inventory import Inventory, derive
from pkigen.desired.rendering import Renderer
from pkigen.errors import UsageError
from pkigen.reconcile.make import Progress, Tools
from pkigen.state.authority import load_certificates, observe_rotations
from pkigen.state.lockfile import Lock, read_lock
from pkigen.state.observed import Reader
from pkigen.state.vault import Vault
from pkigen.state.views import OpenedView
from pkigen.store import Store

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from pkigen.crypto.key_makers import KeyMakers
    from pkigen.spec.model import ClusterSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One command's view of one cluster."""

    inventory: Inventory
    renderer: Renderer
    root: Path
    now: datetime
    system: System
    templates: Path | None
    makers: KeyMakers | None = None
    unlocking: Unlocking = field(default_factory=Unlocking)

    def with_keys(self, unlocking: Unlocking) -> Session:
        """The same command with what the command line says about opening an encrypted authority."""
        return replace(self, unlocking=unlocking)

    def opened(self, store: Reader) -> OpenedView:
        """The PKI directory with the authority's private files opened; asks where they are encrypted."""
        return OpenedView(store, self.unlocking.vault(store))

    def at(self, tree: Reader) -> Session:
        """The same command over what this directory's past adds: rotations under way, members of etcd."""
        known, lock = self.inventory, read_lock(tree)
        rotations, etcd = observe_rotations(tree), known.etcd
        if lock is not None:
            etcd = lock.etcd.grown([member.name for member in known.cluster.etcd_members])
        if (rotations, etcd) == (known.rotations, known.etcd):
            return self
        return self._over(derive(known.cluster, rotations, etcd))

    def of(self, cluster: ClusterSpec) -> Session:
        """The same command over another spec."""
        return self._over(derive(cluster))

    def under(self, rotations: Rotations) -> Session:
        """The same command with rotations in these phases."""
        return self._over(derive(self.inventory.cluster, rotations, self.inventory.etcd))

    def _over(self, inventory: Inventory) -> Session:
        return replace(self, inventory=inventory, renderer=Renderer(inventory, overrides=self.templates))

    def anchors(self, tree: Reader, ca: CA) -> tuple[Certificate, ...]:
        """The trust anchors of a CA as this directory has them."""
        found = load_certificates(
            tree,
            ca,
            now=self.now,
            keys=self.inventory.ca_keys,
            other=self.inventory.rotations.other(ca_id(ca)),
        )
        return found.anchors if found is not None else ()

    @contextmanager
    def writing(self, command: str) -> Iterator[Store]:
        """The PKI directory, held alone; what an interrupted run left is finished or undone, and said."""
        with Store.open(self.root, command=command, now=self.now, filesystem=self.system.filesystem) as store:
            _say_recovery(store)
            yield store

    @contextmanager
    def reading(self) -> Iterator[Store]:
        """The PKI directory as it is; nothing is written unless an interrupted run must be finished."""
        with Store.open_reading(self.root, filesystem=self.system.filesystem) as store:
            _say_recovery(store)
            yield store

    def tools(self, vault: Vault, ear: Progress | None = None) -> Tools:
        """Clock, randomness, templates, the opened authority and progress for those who write."""
        return Tools(
            now=self.now,
            entropy=self.system.entropy,
            renderer=self.renderer,
            progress=ear or progress(),
            makers=self.makers,
            vault=vault,
        )


def open_spec(system: System, spec: Path, *, out: Path | None, templates: Path | None) -> Session:
    """Load a spec, say its warnings, and derive what it asks for."""
    loaded = read_spec(spec)
    warn(loaded.warnings)
    inventory = derive(loaded.spec)
    return session_of(system, inventory, root=out or Path(loaded.spec.name), templates=templates)


def session_of(
    system: System,
    inventory: Inventory,
    *,
    root: Path,
    templates: Path | None,
    makers: KeyMakers | None = None,
) -> Session:
    """One command's view of a cluster whose spec is read."""
    return Session(
        inventory=inventory,
        renderer=Renderer(inventory, overrides=templates),
        root=root,
        now=system.clock(),
        system=system,
        templates=templates,
        makers=makers,
    )


def open_directory(system: System, directory: Path, *, spec: Path | None, templates: Path | None) -> Session:
    """Take the spec from a file, or from the lock file of the directory itself."""
    if spec is not None:
        return open_spec(system, spec, out=directory, templates=templates)
    with Store.open_reading(directory, filesystem=system.filesystem) as store:
        _say_recovery(store)
        lock = read_lock(store)
    if lock is None:
        raise UsageError(
            f"{directory} has no pki.lock that says what it was made from",
            hint="name the PKI directory, or give the spec with --spec",
        )
    loaded = lock.cluster()
    return session_of(system, derive(loaded), root=directory, templates=templates)


def owned_paths(lock: Lock | None) -> frozenset[str]:
    """What earlier runs wrote."""
    return lock.paths if lock else frozenset()


def _say_recovery(store: Store) -> None:
    if store.recovered is not None:
        note(f"note: {store.recovered}")
