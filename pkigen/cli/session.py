"""What every command begins with: the spec, the inventory, the templates, the clock and the PKI directory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.cli.console import note, warn
from pkigen.cli.directory import find_directory, nearest
from pkigen.cli.progress import progress
from pkigen.cli.reports.status import StatusRow, rows
from pkigen.cli.spec_input import read_spec, read_spec_text
from pkigen.cli.system import System, directory_of, system_of
from pkigen.cli.template_choice import TemplateChoice, choose
from pkigen.cli.unlock import Unlocking
from pkigen.desired.generations import CA
from pkigen.desired.inventory import Inventory, derive
from pkigen.errors import UsageError
from pkigen.notation import command_line, dir_option, printable, quoted
from pkigen.reconcile.planner import Planner
from pkigen.reconcile.progress import Progress
from pkigen.reconcile.whole_survey import survey_whole
from pkigen.reconcile.workbench import Tools
from pkigen.records import dataclass
from pkigen.state.authority import certificates_of
from pkigen.state.authority_record import require_recorded
from pkigen.state.issuance_record import require_written
from pkigen.state.lockfile import Lock, read_lock
from pkigen.state.observed import Reader, Tree, exists
from pkigen.state.spec_file import holds_spec, is_begun, spec_text
from pkigen.state.vault import Vault
from pkigen.state.views import EmptyView, OpenedView
from pkigen.store import Recovery, Store

if TYPE_CHECKING:
    import typer
    from cryptography.x509 import Certificate

    from pkigen.crypto.key_makers import KeyMakers
    from pkigen.desired.rendering import Renderer
    from pkigen.reconcile.cluster_changes import ClusterStep
    from pkigen.reconcile.plan import Plan
    from pkigen.reconcile.surveyed import Selection
    from pkigen.reconcile.whole_survey import WholeSurvey
    from pkigen.spec.model import ClusterSpec


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
    named: Path | None = None
    """The spec that the command line names; None for the directory's own."""
    text: bytes | None = field(default=None, repr=False)
    """What the spec was read from; None where only the lock file knows it."""
    adopted: bytes | None = field(default=None, repr=False)
    """The spec that becomes the directory's own with what the command does."""
    recovered: Recovery | None = None
    """What this command has finished or undone here before it opened the directory again."""

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

    @property
    def words(self) -> str:
        """This cluster and this spec, as a command line says them."""
        named = [self.named] if self.named is not None else []
        return command_line(*named, "-C", self.root)

    def arriving(self, reader: Reader) -> str | None:
        """The SHA-256 of the spec that is to become the directory's own; None where it is so already."""
        if self.adopted is None or holds_spec(reader, self.adopted):
            return None
        return hashlib.sha256(self.adopted).hexdigest()

    @property
    def arrival(self) -> str:
        """That the spec that is named becomes the directory's own."""
        return printable(f"spec: {self.named} becomes {self.root / layout.SPEC_FILE}")

    def with_keys(self, unlocking: Unlocking) -> Session:
        """The same command with what the command line says about opening an encrypted authority."""
        return replace(self, unlocking=unlocking)

    def require_nodes(self, what: str) -> None:
        """Refuse what is for nodes where these are another distribution's.

        Raises:
            UsageError: The spec has none.
        """
        if not self.inventory.cluster.spec.nodes:
            raise UsageError(
                f"{what} for nodes, and this spec has none (`nodes: []`)",
                hint="`pkigen export` writes the authority as the distribution takes it that has the nodes",
            )

    def opened(self, store: Reader) -> OpenedView:
        """The PKI directory with the authority's private files opened; asks where they are encrypted.

        Raises:
            AuthorityError: It is another one than is recorded, or it does not open.
        """
        vault = self.unlocking.vault(store)
        require_recorded(store)
        return OpenedView(store, vault)

    def after(self, recovered: Recovery | None) -> Session:
        """The same command, which had finished or undone this before it was opened."""
        return replace(self, recovered=recovered or self.recovered)

    def at(self, tree: Reader) -> Session:
        """The same command over what this directory's past adds: rotations in progress, members of etcd."""
        return self.over(self.planner.at(tree))

    def over(self, planner: Planner) -> Session:
        """The same command over another desired state."""
        return replace(self, planner=planner)

    def survey(self, tree: Tree) -> WholeSurvey:
        """Every object of this directory, for who asks more than one question about it."""
        return survey_whole(self.inventory, tree, self.renderer, now=self.now, progress=self.planner.progress)

    def plan(
        self, tree: Tree, selection: Selection | None = None, *, seen: WholeSurvey | None = None
    ) -> Plan:
        """What this directory lacks of what the spec asks for, by a survey of it where there is one.

        Raises:
            AuthorityError: A CA is half there or unfit, or is encrypted here but unencrypted on nodes.
        """
        return self.planner.plan(tree, selection=selection, seen=seen)

    def in_cluster(self, tree: Tree) -> tuple[ClusterStep, ...]:
        """What earlier changes have left to do in the running cluster."""
        return self.planner.in_cluster(tree)

    def rows(self, tree: Tree) -> Iterator[StatusRow]:
        """Every certificate of this directory, in the inventory's order."""
        settled, progress = self.planner.is_settled(tree), self.planner.progress
        return rows(self.inventory, tree, self.renderer, now=self.now, progress=progress, settled=settled)

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
            spec=self.adopted,
        )


def open_cluster(
    context: typer.Context,
    spec: Path | None,
    directory: Path | None,
    *,
    templates: Path | None = None,
    adopts: bool = False,
    reports_only: bool = False,
) -> Session:
    """The cluster that a command works on, by its spec: the one that is named, else the directory's own.

    A directory without a cluster.yaml is taken for what its lock file says that it was made from.

    Args:
        context: Holds the clock, the random source and the file system.
        spec: The spec that the command line names.
        directory: What follows -C.
        templates: Templates that replace pkigen's own.
        adopts: Whether a spec that is named becomes the directory's own with what the command does.
        reports_only: Whether nothing is issued by it: a lock file that somebody has edited may be looked at.

    Raises:
        SpecError: The spec is invalid.
        UsageError: No cluster's directory is found, or the spec is another cluster's.
        AuthorityError: There is only a lock file, and it is not the one that pkigen wrote.
    """
    # Before the directory is opened: an invalid spec is worth a message of its own, whatever else is missing.
    loaded = read_spec(spec) if spec is not None else None
    system, place = system_of(context), find_directory(directory_of(context, directory), spec)
    if loaded is not None:
        warn(loaded.warnings)
    known = _known(system, place.root, spec)
    if loaded is not None:
        # Whoever names it with -C may rename a cluster: the spec's name is then one of the changes.
        if not place.is_named:
            _require_same_cluster(loaded.spec, known.lock, place.root, spec)
        session = session_of(
            system, derive(loaded.spec), root=place.root, templates=templates, reports_only=reports_only
        )
        adopted = loaded.text if adopts else None
        return replace(session, named=spec, text=loaded.text, adopted=adopted).after(known.recovered)
    if known.text is not None:
        loaded = read_spec_text(known.text, place.root / layout.SPEC_FILE)
        warn(loaded.warnings)
        session = session_of(
            system, derive(loaded.spec), root=place.root, templates=templates, reports_only=reports_only
        )
        return replace(session, text=known.text).after(known.recovered)
    note(f"note: {place.root} has no {layout.SPEC_FILE}: what {layout.LOCK_FILE} says of the spec is used")
    session = open_directory(system, place.root, templates=templates, reports_only=reports_only)
    return session.after(known.recovered)


def open_record(
    context: typer.Context,
    spec: Path | None,
    directory: Path | None,
    *,
    templates: Path | None = None,
    reports_only: bool = False,
) -> Session:
    """The cluster as it was made last, by its lock file, unless a spec is named.

    Raises:
        SpecError: The spec is invalid.
        UsageError: No cluster's directory is found, or it has no lock file.
        AuthorityError: The lock file is not the one that pkigen wrote.
    """
    if spec is not None:
        return open_cluster(context, spec, directory, templates=templates, reports_only=reports_only)
    place = find_directory(directory_of(context, directory), None)
    return open_directory(system_of(context), place.root, templates=templates, reports_only=reports_only)


def open_spec(system: System, spec: Path, *, root: Path, templates: Path | None = None) -> Session:
    """A spec, and a directory that need not be there yet."""
    loaded = read_spec(spec)
    warn(loaded.warnings)
    return session_of(system, derive(loaded.spec), root=root, templates=templates)


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
    planner = Planner.of(
        inventory,
        now=system.clock(),
        templates=choice.folder,
        templates_name=choice.name,
        progress=progress(),
    )
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


def open_directory(
    system: System,
    directory: Path,
    *,
    templates: Path | None,
    reports_only: bool = False,
) -> Session:
    """Take the spec from the lock file of the directory.

    Args:
        system: Clock, randomness, file system.
        directory: The PKI directory.
        templates: Templates that replace pkigen's own.
        reports_only: Whether nothing is issued by it: a lock file that somebody has edited may be looked at.

    Raises:
        UsageError: There is no lock file.
        AuthorityError: It is not the one that pkigen wrote.
    """
    with Store.open_reading(directory, filesystem=system.filesystem) as store:
        _say_recovery(store)
        lock = read_lock(store)
        if lock is None and not exists(store, layout.LOCK_FILE):
            raise _lost_lock(directory) if is_begun(store) else _no_cluster(directory, None)
        if lock is not None and not reports_only:
            require_written(store, root=directory)
    if lock is None:
        raise UsageError(
            f"{directory} has no readable {layout.LOCK_FILE} with its spec",
            hint="restore it from Git or from a backup; if another directory is meant, name it with -C",
        )
    session = session_of(
        system, derive(lock.cluster()), root=directory, templates=templates, reports_only=reports_only
    )
    return replace(session, is_of_lock=True, recovered=store.recovered or session.recovered)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OwnRecord:
    """What a cluster's directory says itself, once an interrupted change is finished."""

    text: bytes | None
    lock: Lock | None
    recovered: Recovery | None


def _known(system: System, root: Path, spec: Path | None) -> _OwnRecord:
    with Store.open_reading(root, filesystem=system.filesystem) as store:
        _say_recovery(store)
        lock, text = read_lock(store), spec_text(store)
        # A directory whose first request is out has no lock file yet.
        if lock is None and not exists(store, layout.LOCK_FILE) and not is_begun(store):
            raise _no_cluster(root, spec)
        return _OwnRecord(text=text, lock=lock, recovered=store.recovered)


def _no_cluster(root: Path, spec: Path | None) -> UsageError:
    named = quoted(spec) if spec is not None else "SPEC"
    return UsageError(
        f"{root} is no cluster's directory: it has no {layout.LOCK_FILE}",
        hint=f"name the cluster's directory{nearest(root)} with -C; "
        f"`pkigen init {named} {dir_option(root)}` makes a new one there",
    )


def _lost_lock(root: Path) -> UsageError:
    return UsageError(
        f"{root} has lost its {layout.LOCK_FILE}, by which this goes",
        hint=f"restore it from Git or from a backup, or have `pkigen apply {dir_option(root)}` make it again",
    )


def _require_same_cluster(spec: ClusterSpec, lock: Lock | None, root: Path, file: Path | None) -> None:
    """Who does not name the directory must not plan one cluster into another."""
    if lock is None:
        return
    known = lock.cluster().name
    if known != spec.name:
        raise UsageError(
            f"{file} is the spec of cluster {spec.name}, and {root} is cluster {known}",
            hint=f"say which directory is meant with -C; if the cluster is to be renamed: {dir_option(root)}",
        )


def _say_recovery(store: Store) -> None:
    if store.recovered is not None:
        note(f"note: {store.recovered}")
