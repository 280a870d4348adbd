"""`airgap bundle verify`, `inspect`, `diff`, `install`, `rollback`: on the node that it was carried to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from pkigen.airgap.bundles.going_back import risks_of
from pkigen.airgap.bundles.install import affected, plan_going_back, require_ours, roll_back, strangers
from pkigen.airgap.bundles.install import install as put
from pkigen.airgap.bundles.opened import require_sealed
from pkigen.airgap.bundles.record import read_installed
from pkigen.airgap.carrier.bundle_key import fingerprint
from pkigen.airgap.carrier.envelope import LARGEST_BUNDLE, Envelope, require_key, unwrap
from pkigen.airgap.carrier.media import read_file
from pkigen.cli.bundle_input import DirectoryOption, FileArgument, PinOption, VisitOptions, visiting
from pkigen.cli.bundle_visit import Visit, visit_of
from pkigen.cli.console import agreed, note, say, say_line, width
from pkigen.cli.document import document
from pkigen.cli.host import IdentityOption, RootOption, changing, looking
from pkigen.cli.options import (
    ForceOption,
    Format,
    FormatOption,
    PassphraseFdOption,
    PassphraseFileOption,
    YesOption,
)
from pkigen.cli.reports import outcomes, structured, structured_bundle
from pkigen.cli.reports.backups_text import backups_text
from pkigen.cli.reports.bundle_text import (
    changes_text,
    content_text,
    facts,
    label_text,
    runbook_of,
    steps_text,
)
from pkigen.cli.system import System, system_of
from pkigen.errors import PkigenError, UsageError
from pkigen.reconcile.restore import Rollback
from pkigen.records import dataclass
from pkigen.store import Store


@visiting
def verify(wish: VisitOptions, *, output: FormatOption = Format.TEXT) -> None:
    """Check all of what install checks, and write nothing."""
    visit = visit_of(wish)
    with document(output) as content, visit.reading() as store:
        bundle, installed = visit.admitted(store)
        bundle, _ = visit.changes(bundle, store, installed)
        say_line(f"{visit.file} is valid for {bundle.label.node} of {bundle.label.cluster}: {facts(bundle)}")
        content.update(structured_bundle.bundle(bundle.label, fingerprint(bundle.public), bundle))


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
        bool, typer.Option("--label", help="Show only the label, which needs no key.")
    ] = False,
    runbook: Annotated[bool, typer.Option("--runbook", help="Print the runbook in it.")] = False,
    certificates_dir: DirectoryOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show what is in a bundle, without the secrets."""
    if runbook and output is not Format.TEXT:
        raise UsageError("--runbook prints text and cannot be combined with --output")
    visit = visit_of(
        VisitOptions(
            context=context,
            file=file,
            root=root,
            pin=pin,
            identity=identity,
            passphrase_file=passphrase_file,
            passphrase_fd=passphrase_fd,
            allow_older=True,
            certificates_dir=certificates_dir,
        )
    )
    envelope = unwrap(read_file(file, limit=LARGEST_BUNDLE), pin=visit.pin)
    if visit.pin is None:
        _say_whose(visit, envelope)
    require_sealed(envelope)
    if output is not Format.TEXT:
        inside = None if label_only else visit.opened(envelope)
        say(structured.dump(structured_bundle.bundle(envelope.label, envelope.fingerprint, inside), output))
        return
    if not runbook:
        _say_all(label_text(envelope.label, envelope.fingerprint))
    if label_only:
        return
    bundle = visit.opened(envelope)
    _say_all([runbook_of(bundle)] if runbook else content_text(bundle, width=width()))


@visiting
def diff(wish: VisitOptions, *, output: FormatOption = Format.TEXT) -> None:
    """Show what install would change on this host, and write nothing."""
    visit = visit_of(wish)
    with visit.reading() as store:
        bundle, installed = visit.admitted(store)
        bundle, changes = visit.changes(bundle, store, installed)
        left = strangers(bundle.manifest, store, installed)
    steps = affected(bundle.manifest.steps, changes)
    if output is not Format.TEXT:
        say(structured.dump(structured_bundle.bundle_diff(bundle.label, changes, left, steps), output))
        return
    _say_all((*changes_text(changes, left), *steps_text(steps)))


@visiting
def install(wish: VisitOptions, *, yes: YesOption = False, output: FormatOption = Format.TEXT) -> None:
    """Check a bundle, show what it changes, ask, and install it: whole or not at all.

    What is replaced goes to a backup first; `pkigen airgap bundle rollback` brings it back.
    """
    with document(output) as content:
        content.update(_install(visit_of(wish), yes=yes))


def _install(visit: Visit, *, yes: bool) -> dict[str, Any]:
    with visit.reading() as store:
        _say_recovery(store)
        carried, installed = visit.admitted(store)
        bundle, changes = visit.changes(carried, store, installed)
        left = strangers(bundle.manifest, store, installed)
    _say_all(changes_text(changes, left))
    if os.geteuid() != 0:
        note("note: not run as root: you will own the files; on a running node root must own them")
    if not yes and not agreed("install this?"):
        raise PkigenError("not installed", hint="nothing was changed")
    with visit.writing("bundle install") as store:
        _say_recovery(store)
        installed = read_installed(store)
        # Again: somebody may have been faster, with another bundle or another key.
        require_key(carried.public, visit.trusted(installed))
        visit.require_admissible(carried.label, installed)
        bundle, changes = visit.changes(carried, store, installed)
        backup = put(bundle, store, changes)
    _say_all(steps_text(affected(bundle.manifest.steps, changes)))
    kept = f"; what was replaced is in backup {backup}" if backup else ""
    say_line(f"installed: {facts(bundle)}{kept}")
    steps = affected(bundle.manifest.steps, changes)
    return outcomes.installed(structured_bundle.bundle_diff(bundle.label, changes, left, steps), backup)


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
    force: ForceOption = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Go back to the state before an install.

    The install that left the backup is undone, and all since, as one change with a backup of its own. CAs
    that would come back, and keys that would go, are risks.
    """
    system = system_of(context)
    with document(output) as content:
        if listing:
            with looking(system, root) as store:
                say(backups_text(store.backups(), width=width()))
                content.update(structured.backups(store.backups()))
            return
        place = _BundleHost(system=system, root=root, certificates=certificates_dir)
        content.update(_go_back(place, backup, yes=yes, force=force))


@dataclass(frozen=True, slots=True, kw_only=True)
class _BundleHost:
    """Where something is undone."""

    system: System
    root: Path
    certificates: str | None


def _go_back(place: _BundleHost, backup: str | None, *, yes: bool, force: bool) -> dict[str, Any]:
    system, root = place.system, place.root
    with looking(system, root) as store:
        _say_recovery(store)
        planned = plan_going_back(store, backup)
        require_ours(planned, directory=place.certificates)
        risks = risks_of(planned, store, now=system.clock())
    for line in _going_back_text(planned, risks):
        say_line(line)
    if risks and not force:
        raise PkigenError(f"the rollback is dangerous: {risks[0]}", hint="if this is intended, add --force")
    if not yes and not agreed("go back?"):
        raise PkigenError("not rolled back", hint="nothing was changed")
    with changing(system, root, "bundle rollback") as store:
        _say_recovery(store)
        if plan_going_back(store, backup) != planned:
            raise PkigenError("not rolled back: the node was changed meanwhile", hint="run the command again")
        left = roll_back(planned, store)
    kept = f"; what was replaced is in backup {left}" if left else ""
    say_line(f"rolled back to before {planned.backup}{kept}")
    note("note: restart the components that read these files, as after an install")
    return outcomes.went_back(planned, left)


def _going_back_text(planned: Rollback, risks: Iterable[str]) -> Iterator[str]:
    yield from (f"restore /{restore.path} from {restore.backup}" for restore in planned.restores)
    yield from (f"remove /{path}" for path in planned.removes)
    yield from (f"risk: {risk}" for risk in risks)


def _say_recovery(store: Store) -> None:
    if store.recovered is not None:
        note(f"note: {store.recovered}")


def _say_whose(visit: Visit, envelope: Envelope) -> None:
    """Without a pin, the key of the last install is the only one to compare with."""
    with visit.reading() as store:
        installed = read_installed(store)
    if installed is None:
        note("note: without --pin the signer is only claimed, not verified")
    elif installed.fingerprint != envelope.fingerprint:
        note(f"note: it is signed by another key than {installed.fingerprint}, which this host trusts")


def _say_all(lines: Iterable[str]) -> None:
    for line in lines:
        say(line)
