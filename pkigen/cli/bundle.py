"""`pkigen bundle`: pack nodes for sites without a network, and install what was carried there."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from pkigen.bundles.cluster_key import bundle_key
from pkigen.bundles.envelope import LARGEST_BUNDLE, Envelope, require_key, unwrap
from pkigen.bundles.format import BundleKind, Label, RestartStep
from pkigen.bundles.gathering import awaited, pack
from pkigen.bundles.installing import (
    Change,
    Difference,
    compare,
    install,
    plan_going_back,
    require_ours,
    roll_back,
    strangers,
)
from pkigen.bundles.joining import join
from pkigen.bundles.judging import Host, judge
from pkigen.bundles.media import read_file, write_file
from pkigen.bundles.paths import IDENTITY, PENDING, RUNBOOK
from pkigen.bundles.reading import Bundle, open_bundle, write_bundle
from pkigen.bundles.record import Installed, read_installed
from pkigen.bundles.signing import fingerprint, parse_pin
from pkigen.cli.console import agreed, note, say
from pkigen.cli.options import SpecArgument, TemplatesOption, YesOption
from pkigen.cli.passphrases import (
    PassphraseFdOption,
    PassphraseFileOption,
    PassphraseSource,
    read_identity,
)
from pkigen.cli.progress import progress
from pkigen.cli.rescue_kit import make_kit, require_settled
from pkigen.cli.session import Session, open_spec
from pkigen.cli.system import System, system_of
from pkigen.cli.unlocking import (
    OtherAuthorityFdOption,
    OtherAuthorityFileOption,
    OtherAuthorityIdentityOption,
)
from pkigen.cli.values import duration
from pkigen.errors import BundleError, PkigenError, UsageError
from pkigen.ledger import Approval, approvals, read_ledger, timestamp
from pkigen.reporting.tables import table
from pkigen.sealing import Passphrase, Recipient, Seal, Unseal, is_passphrase_sealed
from pkigen.spec.model import Node
from pkigen.store import Store
from pkigen.store.paths import NODE_PRIVATE, printable

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def bundle() -> None:
    """Pack nodes for sites without a network, and install what was carried there."""


FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The bundle.")]
RootOption = Annotated[Path, typer.Option("--root", metavar="DIR", help="The node's root directory.")]
NodeOption = Annotated[
    str | None, typer.Option("--node", metavar="NAME", help="This node's name.  [default: this host's name]")
]
PinOption = Annotated[
    str | None,
    typer.Option(
        "--pin",
        metavar="FINGERPRINT",
        help="The cluster's bundle key, as `init` printed it.  [default: the one of the last install]",
    ),
]
IdentityOption = Annotated[
    Path | None,
    typer.Option(
        "--identity",
        metavar="FILE",
        help=f"The node's age identity.  [default: ROOT/{IDENTITY}, if it exists]",
    ),
]
MaxAgeOption = Annotated[
    str, typer.Option("--max-age", metavar="DURATION", help="How long ago it may have been made.")
]
AllowOlderOption = Annotated[
    bool, typer.Option("--allow-older", help="Accept a bundle older than what is installed.")
]
DirectoryOption = Annotated[
    str | None,
    typer.Option(
        "--certificates-dir",
        metavar="DIR",
        help="Accept certificates there, where the spec's certificates.directory is not /etc/kubernetes/pki.",
    ),
]
_A_MONTH = "720h"
_INSTALLABLE = {BundleKind.NODE, BundleKind.CERTIFICATES}


# -- at the authority -----------------------------------------------------------------------------------


@app.command("create")
def create(
    context: typer.Context,
    spec: SpecArgument,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The medium: one file per node goes there.")
    ],
    *,
    pki: Annotated[
        Path | None,
        typer.Option("--pki", metavar="DIR", help="The PKI directory.  [default: ./<cluster name>]"),
    ] = None,
    nodes: Annotated[
        list[str] | None, typer.Option("--node", metavar="NAME", help="Only this node; may be repeated.")
    ] = None,
    rescue: Annotated[
        bool,
        typer.Option(
            "--rescue",
            help="Pack the rescue kit instead: it brings the cluster back when its certificates have ended.",
        ),
    ] = False,
    recipient: Annotated[
        str | None,
        typer.Option(
            "--recipient", metavar="AGE1…", help="With --rescue: seal the kit for this age recipient."
        ),
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    passphrase_fd: PassphraseFdOption = None,
    authority_passphrase_file: OtherAuthorityFileOption = None,
    authority_passphrase_fd: OtherAuthorityFdOption = None,
    authority_identity: OtherAuthorityIdentityOption = None,
    templates: TemplatesOption = None,
) -> None:
    """Pack one sealed and signed bundle for each node.

    A node with an ageRecipient in the spec gets its bundle sealed to that; the others' are sealed with a
    passphrase. The PKI directory must be what the spec asks for.
    """
    session = open_spec(system_of(context), spec, out=pki, templates=templates).with_keys(
        authority_passphrase_file, authority_passphrase_fd, authority_identity
    )
    source = PassphraseSource(file=passphrase_file, descriptor=passphrase_fd)
    if rescue:
        if nodes:
            raise UsageError("--rescue and --node do not go together: a kit is for no node")
        make_kit(session, spec, out, source=source, recipient=recipient)
        return
    if recipient is not None:
        raise UsageError("--recipient goes with --rescue", hint="a node's is its ageRecipient in the spec")
    chosen = _chosen(session, nodes)
    with session.reading() as store:
        session = session.at(store)
        require_settled(session, store, spec)
        key = bundle_key(session.opened(store))
        chosen = _enrolled(session, store, chosen, named=bool(nodes))
        seals = _seals(chosen, source, approvals(read_ledger(store)))
        bars = progress()
        bars.begin("packing", len(chosen))
        rows = []
        for packed in pack(session.inventory, store, chosen):
            seal = seals[packed.manifest.node]
            label = packed.label(created=session.now, reader=seal.reader)
            file = out / f"{label.cluster}.{label.node}.bundle"
            write_file(file, write_bundle(label, packed.archive, seal=seal, key=key))
            bars.step()
            files = str(len(packed.manifest.files))
            rows.append((label.node, str(file), files, f"{label.expires:%Y-%m-%d}", _reader(label)))
    say(table(("NODE", "BUNDLE", "FILES", "EXPIRES", "SEALED FOR"), rows))
    say(f"serial {label.serial}; signed by bundle key {fingerprint(key.public)}")
    note("next: carry each file to its node, and to no other; there: `pkigen bundle install FILE --pin …`")


def _chosen(session: Session, names: list[str] | None) -> tuple[Node, ...]:
    every = {
        node.name: node for node in sorted(session.inventory.cluster.spec.nodes, key=lambda each: each.name)
    }
    for name in names or ():
        if name not in every:
            raise UsageError(
                f"there is no node {name!r} in this cluster", hint=f"choose from {', '.join(every)}"
            )
    return tuple(node for name, node in every.items() if not names or name in names)


def _enrolled(session: Session, store: Store, nodes: tuple[Node, ...], *, named: bool) -> tuple[Node, ...]:
    """The nodes for which there is something to pack: some have not asked for their certificates yet."""
    missing = {node.name: awaited(session.inventory, store, node) for node in nodes}
    ready = tuple(node for node in nodes if not missing[node.name])
    for name, identifiers in missing.items():
        if not identifiers:
            continue
        sentence = f"{name} has not asked for its certificates yet: {', '.join(identifiers)}"
        if named or not ready:
            raise BundleError(
                sentence,
                hint=f"`pkigen node request` on {name}, then `pkigen node approve` here, which packs it",
            )
        note(f"note: {sentence}; no bundle for it")
    return ready


def _seals(
    nodes: tuple[Node, ...], source: PassphraseSource, known: Mapping[str, Approval]
) -> dict[str, Seal]:
    """Who each node's bundle is closed for; the passphrase is asked for once."""
    passphrase: Passphrase | None = None
    seals: dict[str, Seal] = {}
    for node in nodes:
        if node.age_recipient is not None:
            seals[node.name] = Recipient(node.age_recipient)
            continue
        if node.name in known:
            seals[node.name] = Recipient(known[node.name].recipient)  # as the node itself has said
            continue
        passphrase = passphrase or source.read("the bundles of nodes without an ageRecipient", new=True)
        seals[node.name] = passphrase
    return seals


# -- on the node ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One bundle at one node: what both say, and how the bundle is opened."""

    system: System
    root: Path
    file: Path
    node: str
    pin: str | None
    identity: Path | None
    source: PassphraseSource
    max_age: timedelta
    allow_older: bool
    directory: str | None

    def reading(self) -> Store:
        """The node as it is."""
        return _looking(self.system, self.root)

    def writing(self, command: str) -> Store:
        """The node, held alone."""
        return _changing(self.system, self.root, command)

    def trusted(self, installed: Installed | None) -> str:
        """The fingerprint of the key that is trusted here.

        Raises:
            BundleError: Nobody has said which, or the host trusts another.
        """
        known = installed.fingerprint if installed is not None else None
        if self.pin is None and known is None:
            raise BundleError(
                "nobody has said which bundle key is to be trusted here",
                hint="give the fingerprint that `pkigen init` printed, as you have it from there: --pin …",
            )
        if self.pin is not None and known is not None and self.pin != known:
            raise BundleError(
                f"this host trusts {known}, not {self.pin}",
                hint="another cluster's bundles do not belong here; for a new bundle key remove "
                "/var/lib/pkigen/installed.json first",
            )
        return self.pin or known or ""

    def envelope(self, installed: Installed | None) -> Envelope:
        """The bundle, once its signature is found to be that of the key that is trusted here."""
        return unwrap(read_file(self.file, limit=LARGEST_BUNDLE), pin=self.trusted(installed))

    def judge(self, label: Label, installed: Installed | None) -> None:
        """Refuse what is not for this host or not for now."""
        host = Host(node=self.node, now=self.system.clock(), installed=installed)
        kind = label.kind if label.kind in _INSTALLABLE else BundleKind.NODE
        judge(label, host, kind=kind, max_age=self.max_age, allow_older=self.allow_older)

    def opened(self, envelope: Envelope) -> Bundle:
        """The bundle's content, checked."""
        return open_bundle(envelope, self.unseal(envelope), directory=self.directory)

    def unseal(self, envelope: Envelope) -> Unseal:
        """What opens the bundle: the passphrase, or this host's identity."""
        if is_passphrase_sealed(envelope.sealed):
            return self.source.read(str(self.file))
        path = self.identity or self.root / IDENTITY
        if self.identity is None and not path.exists():
            raise BundleError(
                f"it is sealed to {envelope.label.reader}, and this host has no identity",
                hint=f"say where it is with --identity; by default it is {path}",
            )
        return read_identity(path)


@app.command("verify")
def verify(
    context: typer.Context,
    file: FileArgument,
    *,
    root: RootOption = Path("/"),
    node: NodeOption = None,
    pin: PinOption = None,
    identity: IdentityOption = None,
    passphrase_file: PassphraseFileOption = None,
    passphrase_fd: PassphraseFdOption = None,
    max_age: MaxAgeOption = _A_MONTH,
    allow_older: AllowOlderOption = False,
    certificates_dir: DirectoryOption = None,
) -> None:
    """Check all of what install checks, and write nothing."""
    visit = _visit(
        context,
        file=file,
        root=root,
        node=node,
        pin=pin,
        identity=identity,
        source=PassphraseSource(file=passphrase_file, descriptor=passphrase_fd),
        max_age=max_age,
        allow_older=allow_older,
        directory=certificates_dir,
    )
    with visit.reading() as store:
        bundle, installed = _judged(visit, store)
        bundle, _ = _changes(visit, bundle, store, installed)
    say(f"{file} is good for {bundle.label.node} of {bundle.label.cluster}: {_facts(bundle)}")


@app.command("inspect")
def inspect(
    context: typer.Context,
    file: FileArgument,
    *,
    root: RootOption = Path("/"),
    pin: PinOption = None,
    identity: IdentityOption = None,
    passphrase_file: PassphraseFileOption = None,
    passphrase_fd: PassphraseFdOption = None,
    label_only: Annotated[
        bool, typer.Option("--label", help="Show only the outside, for which nothing must be opened.")
    ] = False,
    runbook: Annotated[bool, typer.Option("--runbook", help="Print the runbook in it.")] = False,
    certificates_dir: DirectoryOption = None,
) -> None:
    """Show what is in a bundle, without the secrets."""
    visit = _visit(
        context,
        file=file,
        root=root,
        node=None,
        pin=pin,
        identity=identity,
        source=PassphraseSource(file=passphrase_file, descriptor=passphrase_fd),
        max_age=_A_MONTH,
        allow_older=True,
        directory=certificates_dir,
    )
    envelope = unwrap(read_file(file, limit=LARGEST_BUNDLE), pin=visit.pin)
    label = envelope.label
    if visit.pin is None:
        _say_whose(visit, envelope)
    if not runbook:
        say(f"{label.kind} bundle for {label.node} of {label.cluster}, serial {label.serial}")
        say(f"made {timestamp(label.created)}, expires {timestamp(label.expires)}")
        say(f"sealed for {_reader(label)}")
        say(f"signed by {envelope.fingerprint}")
    if label_only:
        return
    bundle = visit.opened(envelope)
    if runbook:
        text = bundle.files.get(RUNBOOK, b"").decode(errors="replace")
        say("\n".join(printable(line) for line in text.split("\n")))
        return
    say(f"content SHA-256 {bundle.content}")
    rows = (
        (f"/{entry.path}", f"{entry.mode:04o}", "root:root", str(entry.size), entry.sha256)
        for entry in bundle.manifest.files
    )
    say("")
    say(table(("PATH", "MODE", "OWNER", "BYTES", "SHA-256"), rows))


@app.command("diff")
def diff(
    context: typer.Context,
    file: FileArgument,
    *,
    root: RootOption = Path("/"),
    node: NodeOption = None,
    pin: PinOption = None,
    identity: IdentityOption = None,
    passphrase_file: PassphraseFileOption = None,
    passphrase_fd: PassphraseFdOption = None,
    max_age: MaxAgeOption = _A_MONTH,
    allow_older: AllowOlderOption = False,
    certificates_dir: DirectoryOption = None,
) -> None:
    """Show what install would change on this host, and write nothing."""
    visit = _visit(
        context,
        file=file,
        root=root,
        node=node,
        pin=pin,
        identity=identity,
        source=PassphraseSource(file=passphrase_file, descriptor=passphrase_fd),
        max_age=max_age,
        allow_older=allow_older,
        directory=certificates_dir,
    )
    with visit.reading() as store:
        bundle, installed = _judged(visit, store)
        bundle, changes = _changes(visit, bundle, store, installed)
        left = strangers(bundle.manifest, store, installed)
    _say_changes(changes, left)
    _say_steps(bundle.manifest.steps, changes)


@app.command("install")
def install_bundle(
    context: typer.Context,
    file: FileArgument,
    *,
    root: RootOption = Path("/"),
    node: NodeOption = None,
    pin: PinOption = None,
    identity: IdentityOption = None,
    passphrase_file: PassphraseFileOption = None,
    passphrase_fd: PassphraseFdOption = None,
    max_age: MaxAgeOption = _A_MONTH,
    allow_older: AllowOlderOption = False,
    certificates_dir: DirectoryOption = None,
    yes: YesOption = False,
) -> None:
    """Check a bundle, show what it changes, ask, and install it: whole or not at all.

    What is replaced goes to a backup first; `pkigen bundle rollback` brings it back.
    """
    visit = _visit(
        context,
        file=file,
        root=root,
        node=node,
        pin=pin,
        identity=identity,
        source=PassphraseSource(file=passphrase_file, descriptor=passphrase_fd),
        max_age=max_age,
        allow_older=allow_older,
        directory=certificates_dir,
    )
    with visit.reading() as store:
        _say_recovery(store)
        carried, installed = _judged(visit, store)
        bundle, changes = _changes(visit, carried, store, installed)
        left = strangers(bundle.manifest, store, installed)
    _say_changes(changes, left)
    if os.geteuid() != 0:
        note("note: not root: the files will be yours; on a running node they must be root's")
    if not yes and not agreed("install this?"):
        raise PkigenError("not installed", hint="nothing was changed")
    with visit.writing("bundle install") as store:
        _say_recovery(store)
        installed = read_installed(store)
        # Again: somebody may have been faster, with another bundle or another key.
        require_key(carried.public, visit.trusted(installed))
        visit.judge(carried.label, installed)
        bundle, changes = _changes(visit, carried, store, installed)
        backup = install(bundle, store, changes)
    _say_steps(bundle.manifest.steps, changes)
    kept = f"; what was replaced is in backup {backup}" if backup else ""
    say(f"installed: {_facts(bundle)}{kept}")


@app.command("rollback")
def rollback(
    context: typer.Context,
    backup: Annotated[
        str | None, typer.Argument(metavar="ID", help="Which backup; the newest by default.")
    ] = None,
    *,
    root: RootOption = Path("/"),
    listing: Annotated[bool, typer.Option("--list", help="List the backups.")] = False,
    certificates_dir: DirectoryOption = None,
    yes: YesOption = False,
) -> None:
    """Go back to the state before an install.

    The install that left the backup is undone, and all since, as one change with a backup of its own.
    """
    system = system_of(context)
    if listing:
        with _looking(system, root) as store:
            kept = store.backups()
        rows = (
            (each.id, each.command, timestamp(each.time) if each.time else "-", str(len(each.paths)))
            for each in kept
        )
        say(table(("ID", "LEFT BY", "TIME", "FILES"), rows))
        return
    with _looking(system, root) as store:
        _say_recovery(store)
        planned = plan_going_back(store, backup)
    require_ours(planned, directory=certificates_dir)
    for restore in planned.restores:
        say(f"restore /{restore.path} from {restore.backup}")
    for path in planned.removes:
        say(f"remove /{path}")
    if not yes and not agreed("go back?"):
        raise PkigenError("not rolled back", hint="nothing was changed")
    with _changing(system, root, "bundle rollback") as store:
        _say_recovery(store)
        if plan_going_back(store, backup) != planned:
            raise PkigenError("not rolled back: the node was changed meanwhile", hint="run the command again")
        left = roll_back(planned, store)
    say(f"rolled back to before {planned.backup}; what was replaced is in backup {left}")
    note("note: restart what has read the files, as after an install")


def _looking(system: System, root: Path) -> Store:
    """A node for reading."""
    if not root.is_dir():
        raise UsageError(f"{root} is no directory", hint="--root names the root directory of the node")
    return Store.open_reading(root, filesystem=system.filesystem, private=NODE_PRIVATE)


def _changing(system: System, root: Path, command: str) -> Store:
    """A node, held alone; what `_looking` has seen."""
    return Store.open(
        root, command=command, now=system.clock(), filesystem=system.filesystem, private=NODE_PRIVATE
    )


def _visit(
    context: typer.Context,
    *,
    file: Path,
    root: Path,
    node: str | None,
    pin: str | None,
    identity: Path | None,
    source: PassphraseSource,
    max_age: str,
    allow_older: bool,
    directory: str | None,
) -> Visit:
    return Visit(
        system=system_of(context),
        root=root,
        file=file,
        node=node or socket.gethostname().lower(),
        pin=parse_pin(pin) if pin is not None else None,
        identity=identity,
        source=source,
        max_age=duration(max_age, "--max-age"),
        allow_older=allow_older,
        directory=directory,
    )


def _judged(visit: Visit, store: Store) -> tuple[Bundle, Installed | None]:
    """Signature, then label, then content: nothing is opened for a bundle that is refused anyway."""
    installed = read_installed(store)
    envelope = visit.envelope(installed)
    visit.judge(envelope.label, installed)
    return visit.opened(envelope), installed


def _changes(
    visit: Visit, carried: Bundle, store: Store, installed: Installed | None
) -> tuple[Bundle, tuple[Change, ...]]:
    """What installing would do, once the node's own keys have met their certificates."""
    joined = join(carried, store, directory=visit.directory)
    changes = compare(joined.bundle.manifest, store, installed, directory=visit.directory)
    if joined.answers:
        changes = (*changes, Change(path=PENDING, difference=Difference.REMOVE))
    return joined.bundle, changes


def _say_recovery(store: Store) -> None:
    if store.recovered is not None:
        note(f"note: {store.recovered}")


def _say_whose(visit: Visit, envelope: Envelope) -> None:
    """Without a pin, the key of the last install is the only one to compare with."""
    with visit.reading() as store:
        installed = read_installed(store)
    if installed is None:
        note("note: without --pin this shows who claims to have signed it, not who has")
    elif installed.fingerprint != envelope.fingerprint:
        note(f"note: it is signed by another key than {installed.fingerprint}, which this host trusts")


def _say_changes(changes: tuple[Change, ...], left: tuple[str, ...]) -> None:
    for path in left:
        say(f"leave /{path}, which came with no bundle")
    for change in changes:
        if change.difference is not Difference.KEEP:
            say(f"{change.difference} /{change.path}")
    kept = sum(change.difference is Difference.KEEP for change in changes)
    say(f"{len(changes) - kept} files to change, {kept} unchanged")


def _say_steps(steps: tuple[RestartStep, ...], changes: tuple[Change, ...]) -> None:
    changed = {
        change.path for change in changes if change.difference not in {Difference.KEEP, Difference.MODE}
    }
    for step in steps:
        if changed & set(step.files):
            say(f"then {step.component}: {step.effect}")
            for command in step.commands:
                say(f"  {command}")


def _facts(bundle: Bundle) -> str:
    label = bundle.label
    return (
        f"{len(bundle.manifest.files)} files, serial {label.serial} of {timestamp(label.created)}, "
        f"until {timestamp(label.expires)}, signed by {fingerprint(bundle.public)}"
    )


def _reader(label: Label) -> str:
    return "whoever knows the passphrase" if label.reader == "passphrase" else label.reader
