"""What every command begins with: the spec, the inventory, the templates, the clock and the PKI directory."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.cli.console import note, warn
from pkigen.cli.progress import progress
from pkigen.cli.spec_input import read_spec
from pkigen.cli.system import System
from pkigen.cli.template_choice import TemplateChoice, choose
from pkigen.cli.unlock import Unlocking
from pkigen.desired.generations import CA
from pkigen.desired.inventory import Inventory, derive
from pkigen.errors import UsageError
from pkigen.reconcile.make import Progress, Tools
from pkigen.reconcile.planner import Planner
from pkigen.state.authority import certificates_of
from pkigen.state.authority_record import require_recorded
from pkigen.state.issuance_record import require_written
from pkigen.state.lockfile import read_lock
from pkigen.state.observed import Reader, Tree
from pkigen.state.vault import Vault
from pkigen.state.views import EmptyView, OpenedView
from pkigen.store import Recovery, Store

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from pkigen.crypto.key_makers import KeyMakers
    from pkigen.desired.rendering import Renderer
    from pkigen.reconcile.plan import Plan
    from pkigen.reconcile.surveyed import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One command's view of one cluster."""

    planner: Planner
    root: Path
    system: System
    makers: KeyMakers | None = None
    unlocking: Unlocking = field(default_factory=Unlocking)
    is_of_lock: bool = False
    """Whether the spec is the one that `pki.lock` holds: who can write there has written it."""
    recovered: Recovery | None = None
    """What was finished or undone here when the command looked for what it needs before it began."""

    @property
    def inventory(self) -> Inventory:
        """What must exist."""
        return self.planner.inventory

    @property
    def renderer(self) -> Renderer:
        """What rendered files must hold."""
        return self.planner.renderer

    @property
    def now(self) -> datetime:
        """The command's one moment, in UTC."""
        return self.planner.now

    def with_keys(self, unlocking: Unlocking) -> Session:
        """The same command with what the command line says about opening an encrypted authority."""
        return replace(self, unlocking=unlocking)

    def opened(self, store: Reader) -> OpenedView:
        """The PKI directory with the authority's private files opened; asks where they are encrypted.

        Raises:
            AuthorityError: It is another one than is recorded, or it does not open.
        """
        vault = self.unlocking.vault(store)
        require_recorded(store)
        return OpenedView(store, vault)

    def at(self, tree: Reader) -> Session:
        """The same command over what this directory's past adds: rotations in progress, members of etcd."""
        return self.over(self.planner.at(tree))

    def over(self, planner: Planner) -> Session:
        """The same command over another desired state."""
        return replace(self, planner=planner)

    def plan(self, tree: Tree, selection: Selection | None = None) -> Plan:
        """What this directory lacks of what the spec asks for.

        Raises:
            AuthorityError: A CA is half there or unfit, or is encrypted here but unencrypted on nodes.
        """
        return self.planner.plan(tree, selection=selection)

    def anchors(self, tree: Reader, ca: CA) -> tuple[Certificate, ...]:
        """The trust anchors of a CA as this directory has them."""
        found = certificates_of(tree, self.inventory, ca, now=self.now)
        return found.anchors if found is not None else ()

    @contextmanager
    def writing(self, command: str) -> Iterator[Store]:
        """The PKI directory, held alone; what an interrupted run left is finished or undone, and reported."""
        with Store.open(self.root, command=command, now=self.now, filesystem=self.system.filesystem) as store:
            self._recovered(store)
            yield store

    @contextmanager
    def reading(self) -> Iterator[Store]:
        """The PKI directory as it is; nothing is written unless an interrupted run must be finished."""
        with Store.open_reading(self.root, filesystem=self.system.filesystem) as store:
            self._recovered(store)
            yield store

    def _recovered(self, store: Store) -> None:
        """Say what an interrupted run left; what was said before still counts, and is not said again."""
        _say_recovery(store)
        store.recovered = store.recovered or self.recovered

    @contextmanager
    def looking(self) -> Iterator[Store | EmptyView]:
        """The same where there may be none yet: an empty tree then."""
        if not self.root.exists():
            yield EmptyView()
            return
        with self.reading() as store:
            yield store

    def tools(self, vault: Vault, listener: Progress | None = None) -> Tools:
        """Clock, randomness, templates, the opened authority and progress for those who write."""
        return Tools(
            now=self.now,
            entropy=self.system.entropy,
            renderer=self.renderer,
            progress=listener or progress(),
            makers=self.makers,
            vault=vault,
        )


def open_spec(
    system: System, spec: Path, *, out: Path | None, templates: Path | None, reports_only: bool = False
) -> Session:
    """Load a spec, say its warnings, and derive what it asks for."""
    loaded = read_spec(spec)
    warn(loaded.warnings)
    inventory = derive(loaded.spec)
    root = out or Path(loaded.spec.file_name)
    return session_of(system, inventory, root=root, templates=templates, reports_only=reports_only)


def session_of(
    system: System,
    inventory: Inventory,
    *,
    root: Path,
    templates: Path | None,
    makers: KeyMakers | None = None,
    reports_only: bool = False,
) -> Session:
    """One command's view of a cluster whose spec is read.

    Raises:
        TemplateError: The templates that the lock file records are missing, or are none.
        AuthorityError: The lock file that names them is not as pkigen wrote it.
    """
    choice, recovered = _templates(system, templates, root=root, reports_only=reports_only)
    planner = Planner.of(inventory, now=system.clock(), templates=choice.folder, templates_name=choice.name)
    choice.tell_changes(planner.renderer.overrides())
    return Session(planner=planner, root=root, system=system, makers=makers, recovered=recovered)


def _templates(
    system: System, given: Path | None, *, root: Path, reports_only: bool
) -> tuple[TemplateChoice, Recovery | None]:
    """The templates, and what an interrupted run had left where they are looked up."""
    if given is not None or not (root / layout.LOCK_FILE).is_file():
        return choose(given, None, root=root, reports_only=reports_only), None
    with Store.open_reading(root, filesystem=system.filesystem) as store:
        _say_recovery(store)
        return choose(None, store, root=root, reports_only=reports_only), store.recovered


class Naming(enum.Enum):
    """How a command is told which PKI directory it is about, for the hint of those that were not."""

    ARGUMENT = "name the PKI directory{}"
    ARGUMENT_OR_SPEC = "name the PKI directory{}, or the file of its spec"
    ARGUMENT_AND_SPEC = "name the PKI directory{}, or give the spec with --spec"
    OPTION = "name the PKI directory{} with --out"


def open_directory(
    system: System,
    directory: Path,
    *,
    naming: Naming,
    spec: Path | None = None,
    templates: Path | None = None,
    reports_only: bool = False,
) -> Session:
    """Take the spec from a file, or from the lock file of the directory itself.

    Args:
        system: Clock, randomness, file system.
        directory: The PKI directory.
        naming: How the command line names it.
        spec: The spec's file; None for what the lock file holds.
        templates: Templates that replace pkigen's own.
        reports_only: Whether nothing is issued by it: a lock file that somebody has edited may be looked at.

    Raises:
        UsageError: There is no lock file.
        AuthorityError: It is not the one that pkigen wrote.
    """
    if spec is not None:
        return open_spec(system, spec, out=directory, templates=templates, reports_only=reports_only)
    with Store.open_reading(directory, filesystem=system.filesystem) as store:
        _say_recovery(store)
        lock = read_lock(store)
        if lock is not None and not reports_only:
            require_written(store, root=directory)
    if lock is None:
        raise UsageError(
            f"{directory} has no readable pki.lock with its spec",
            hint=naming.value.format(_nearest(directory)),
        )
    loaded = lock.cluster()
    session = session_of(
        system, derive(loaded), root=directory, templates=templates, reports_only=reports_only
    )
    return replace(session, is_of_lock=True, recovered=store.recovered or session.recovered)


def _nearest(directory: Path) -> str:
    """The PKI directory that was meant, in parentheses: above a directory that is none, or alone in it."""
    above = [each for each in directory.absolute().parents if (each / layout.LOCK_FILE).is_file()]
    within = [each for each in directory.iterdir() if (each / layout.LOCK_FILE).is_file()]
    meant = above[:1] or within
    return f" ({meant[0]})" if len(meant) == 1 else ""


def _say_recovery(store: Store) -> None:
    if store.recovered is not None:
        note(f"note: {store.recovered}")
