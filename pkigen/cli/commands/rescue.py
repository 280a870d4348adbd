"""`pkigen rescue`: fresh trees for a cluster whose certificates have all expired, without any API server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.airgap.bundles.opened import Bundle, open_bundle
from pkigen.airgap.bundles.rescue_kit import unpack_kit
from pkigen.airgap.carrier.bundle_key import parse_pin
from pkigen.airgap.carrier.envelope import LARGEST_BUNDLE, MAGIC, unwrap
from pkigen.airgap.carrier.format import BundleKind
from pkigen.airgap.carrier.media import read_file
from pkigen.airgap.carrier.paths import KIT_TEMPLATES
from pkigen.cli.change import Consent, change
from pkigen.cli.console import note, say, say_line
from pkigen.cli.directory import ClusterDirectory, named_directory
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
from pkigen.cli.outputs import make_directory, write_text
from pkigen.cli.passphrases import PassphraseSource, read_identity
from pkigen.cli.reports.rescue_runbook import rescue_runbook
from pkigen.cli.session import Session, open_cluster, open_directory
from pkigen.cli.system import System, directory_of, system_of
from pkigen.cli.unlock import Unlocking, unlocked_beside
from pkigen.crypto.age import is_passphrase_sealed
from pkigen.errors import BundleError, UsageError
from pkigen.notation import timestamp
from pkigen.reconcile.revival import revival
from pkigen.store import Store

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
    system = system_of(context)
    if place is not None and _is_kit(place):
        _require_unsaved(save)
        source = PassphraseSource(file=passphrase_file, descriptor=passphrase_fd)
        named = named_directory(directory_of(context, directory))
        session = _from_kit(system, place, named, pin=pin, source=source, identity=identity)
    else:
        if pin is not None:
            raise UsageError("--pin can only be used with a kit")
        plain = Unlocking(file=passphrase_file, descriptor=passphrase_fd, identity=identity)
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
        runbook=runbook,
        save=save,
    )
    if save is not None:
        note("      then `pkigen rescue` again: it changes nothing more, and says what to do on the nodes")
        return
    _tell(session, output, runbook)


def _require_unsaved(save: Path | None) -> None:
    """Refuse to review what a kit would do.

    Raises:
        UsageError: It is asked for.
    """
    if save is not None:
        raise UsageError(
            "--save cannot be combined with a kit, which restores the directory first",
            hint="run it without --save, or name the restored directory",
        )


def _tell(session: Session, output: Format, runbook: Path | None) -> None:
    """Say what to do on the nodes, in order."""
    if not session.inventory.cluster.spec.nodes:
        note(f"next: `pkigen export -C {session.root} --as DISTRIBUTION`, for what its nodes are made by")
        return
    with session.reading() as store:
        session = session.at(store)
        book = rescue_runbook(session.inventory, session.in_cluster(store), directory=str(session.root))
    if output is Format.TEXT:
        say_line("")
        say(book)
    if runbook is not None:
        make_directory(runbook)
        write_text(runbook / "rescue.txt", book)
        note(f"runbook: {runbook}/rescue.txt says what to do, in order")


def _is_kit(place: Path) -> bool:
    """Whether a path is a rescue kit, by how it begins, and not a spec."""
    if not place.is_file():
        return False
    try:
        with place.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False  # whoever reads it as a spec says why it cannot be read


def _from_kit(
    system: System,
    file: Path,
    place: ClusterDirectory | None,
    *,
    pin: str | None,
    source: PassphraseSource,
    identity: Path | None,
) -> Session:
    """Open a kit, and put its PKI directory back where that was not done before."""
    kit = _opened(file, pin=pin, source=source, identity=identity)
    root = place.root if place is not None else Path(kit.label.cluster)
    command = "rescue from a kit"
    with Store.open(root, command=command, now=system.clock(), filesystem=system.filesystem) as store:
        fresh = unpack_kit(kit, store)
    note(
        f"{root} {'is' if fresh else 'was'} restored from the kit of {timestamp(kit.label.created)}, "
        f"serial {kit.label.serial}: it does not contain what was issued or rotated later"
    )
    overrides = root / KIT_TEMPLATES
    return open_directory(system, root, templates=overrides if overrides.is_dir() else None)


def _opened(file: Path, *, pin: str | None, source: PassphraseSource, identity: Path | None) -> Bundle:
    """Open a kit; one that is sealed to an identity must be signed by a pinned key."""
    envelope = unwrap(read_file(file, limit=LARGEST_BUNDLE), pin=parse_pin(pin) if pin is not None else None)
    if envelope.label.kind is not BundleKind.RESCUE:
        raise BundleError(f"{file} is a {envelope.label.kind} bundle, not a rescue kit")
    if is_passphrase_sealed(envelope.sealed):
        return open_bundle(envelope, source.read(str(file)))
    if pin is None:
        # Anybody can seal for a recipient; a passphrase shows by itself who has sealed.
        raise BundleError(
            "no bundle key is pinned for the kit",
            hint="give the fingerprint that `pkigen init` printed: --pin …",
        )
    if identity is None:
        raise UsageError(
            f"the kit is sealed for {envelope.label.reader}",
            hint="give the identity: --identity FILE",
        )
    return open_bundle(envelope, read_identity(identity))
