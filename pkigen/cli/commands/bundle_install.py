"""`airgap bundle verify`, `inspect`, `diff`, `install`, `rollback`: on the node that it was carried to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.bundle_input import DirectoryOption, FileArgument, PinOption, VisitOptions, visiting
from pkigen.cli.console import say, say_line, width
from pkigen.cli.document import document
from pkigen.cli.host import IdentityOption, RootOption, looking
from pkigen.cli.options import (
    ForceOption,
    Format,
    FormatOption,
    PassphraseFdOption,
    PassphraseFileOption,
    YesOption,
)
from pkigen.cli.system import system_of
from pkigen.errors import UsageError


@visiting
def verify(wish: VisitOptions, *, output: FormatOption = Format.TEXT) -> None:
    """Check all of what install checks, and write nothing."""
    from pkigen.airgap.carrier.bundle_key import fingerprint
    from pkigen.cli.bundle_visit import visit_of
    from pkigen.cli.reports import structured_bundle
    from pkigen.cli.reports.bundle_text import facts

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
    from pkigen.airgap.bundles.opened import require_sealed
    from pkigen.airgap.carrier.envelope import LARGEST_BUNDLE, unwrap
    from pkigen.airgap.carrier.media import read_file
    from pkigen.cli.bundle_visit import visit_of
    from pkigen.cli.reports import structured, structured_bundle
    from pkigen.cli.reports.bundle_text import content_text, label_text, runbook_of
    from pkigen.cli.work.bundle_install import say_all, say_whose

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
            # Nothing is installed here, so that an old bundle may be looked at.
            allow_older=True,
            certificates_dir=certificates_dir,
        )
    )
    envelope = unwrap(read_file(file, limit=LARGEST_BUNDLE), pin=visit.pin)
    if visit.pin is None:
        say_whose(visit, envelope)
    # Before any form of output: of a request or an answer there is no content to show.
    require_sealed(envelope)
    if output is not Format.TEXT:
        inside = None if label_only else visit.opened(envelope)
        say(structured.dump(structured_bundle.bundle(envelope.label, envelope.fingerprint, inside), output))
        return
    if not runbook:
        say_all(label_text(envelope.label, envelope.fingerprint))
    if label_only:
        return
    bundle = visit.opened(envelope)
    say_all([runbook_of(bundle)] if runbook else content_text(bundle, width=width()))


@visiting
def diff(wish: VisitOptions, *, output: FormatOption = Format.TEXT) -> None:
    """Show what install would change on this host, and write nothing."""
    from pkigen.airgap.bundles.install import affected, strangers
    from pkigen.cli.bundle_visit import visit_of
    from pkigen.cli.reports import structured, structured_bundle
    from pkigen.cli.reports.bundle_text import changes_text, steps_text
    from pkigen.cli.work.bundle_install import say_all

    visit = visit_of(wish)
    with visit.reading() as store:
        bundle, installed = visit.admitted(store)
        bundle, changes = visit.changes(bundle, store, installed)
        left = strangers(bundle.manifest, store, installed)
    steps = affected(bundle.manifest.steps, changes)
    if output is not Format.TEXT:
        say(structured.dump(structured_bundle.bundle_diff(bundle.label, changes, left, steps), output))
        return
    say_all((*changes_text(changes, left), *steps_text(steps)))


@visiting
def install(wish: VisitOptions, *, yes: YesOption = False, output: FormatOption = Format.TEXT) -> None:
    """Check a bundle, show what it changes, ask, and install it: whole or not at all.

    What is replaced goes to a backup first; `pkigen airgap bundle rollback` brings it back.
    """
    from pkigen.cli.bundle_visit import visit_of
    from pkigen.cli.work.bundle_install import install_bundle

    with document(output) as content:
        content.update(install_bundle(visit_of(wish), yes=yes))


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
    from pkigen.cli.reports import structured
    from pkigen.cli.reports.backups_text import backups_text
    from pkigen.cli.work.bundle_install import BundleHost, go_back

    system = system_of(context)
    with document(output) as content:
        if listing:
            with looking(system, root) as store:
                say(backups_text(store.backups(), width=width()))
                content.update(structured.backups(store.backups()))
            return
        place = BundleHost(system=system, root=root, certificates=certificates_dir)
        content.update(go_back(place, backup, yes=yes, force=force))
