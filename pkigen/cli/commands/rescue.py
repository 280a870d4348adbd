"""`pkigen rescue`: fresh trees for a cluster whose certificates have all expired, without any API server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.console import note
from pkigen.cli.directory import named_directory
from pkigen.cli.options import (
    DirectoryOption,
    ForceOption,
    Format,
    FormatOption,
    PassphraseFdOption,
    PassphraseFileOption,
    RunbookOption,
    SaveOption,
    TemplatesOption,
    YesOption,
)
from pkigen.cli.system import directory_of, system_of
from pkigen.cli.unlock import Unlocking, unlocked_beside
from pkigen.errors import UsageError

app = typer.Typer(add_completion=False)


@app.command()
@unlocked_beside
def rescue(
    context: typer.Context,
    place: Annotated[
        Path | None,
        typer.Argument(
            metavar="SPEC|KIT",
            help="Another spec than the cluster's own, or a kit of `bundle create --rescue`.",
            allow_dash=True,
        ),
    ] = None,
    *,
    directory: DirectoryOption = None,
    pin: Annotated[
        str | None,
        typer.Option(
            "--pin",
            metavar="FINGERPRINT",
            help="The bundle key that must have signed the kit; needed unless the kit is sealed with a "
            "passphrase.",
        ),
    ] = None,
    identity: Annotated[
        Path | None,
        typer.Option("--identity", metavar="FILE", help="The age identity that the kit is sealed for."),
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    passphrase_fd: PassphraseFdOption = None,
    unlocking: Unlocking,
    save: SaveOption = None,
    yes: YesOption = False,
    force: ForceOption = False,
    runbook: RunbookOption = None,
    templates: TemplatesOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Recover a cluster whose certificates have all expired.

    Every node gets new files, even where the CAs themselves have expired, and what to do with them is printed
    in order. No API server and no network is needed. A CA that has expired keeps its key and its name. From a
    kit, the PKI directory is restored first. A second run changes nothing.
    """
    from pkigen.airgap.carrier.media import require_place
    from pkigen.cli.change import Consent, change
    from pkigen.cli.passphrases import PassphraseSource
    from pkigen.cli.session import open_cluster
    from pkigen.cli.work.rescue import from_kit, is_kit, require_unsaved, tell
    from pkigen.reconcile.revival import revival

    system = system_of(context)
    if runbook is not None:
        require_place(runbook)  # it is written after the change
    if place is not None and is_kit(place):
        require_unsaved(save)
        source = PassphraseSource(file=passphrase_file, descriptor=passphrase_fd)
        named = named_directory(directory_of(context, directory))
        session = from_kit(system, place, named, pin=pin, source=source, identity=identity)
    else:
        if pin is not None:
            raise UsageError("--pin can only be used with a kit")
        plain = Unlocking(file=passphrase_file, descriptor=passphrase_fd, identity=identity)
        # With a kit there are two things to open, hence the long names of the authority's options; without
        # one, both spellings mean the authority.
        if plain.is_given and unlocking.is_given:
            raise UsageError("without a kit, give only one passphrase or identity")
        unlocking = unlocking if unlocking.is_given else plain
        session = open_cluster(context, place, directory, templates=templates, adopts=True)
    session = session.with_keys(unlocking)
    with session.reading() as store:
        found = session.at(store)
        selection = revival(found.inventory, store, now=found.now)
    if selection.revived:
        note(
            f"note: {', '.join(sorted(selection.ids))}: renewed with the same key, so certificates it signed "
            "that have not expired are valid again; if the key may have leaked, rotate it afterwards"
        )
    change(
        session,
        "rescue",
        consent=Consent(yes=yes, force=force),
        output=output,
        selection=selection,
        save=save,
    )
    if save is not None:
        note("      then `pkigen rescue` again: it changes nothing more, and says what to do on the nodes")
        return
    tell(session, output, runbook)
