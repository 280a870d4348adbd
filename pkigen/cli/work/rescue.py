"""The work of `pkigen rescue`: a kit, and what is said at the end."""

from __future__ import annotations

from pathlib import Path

from pkigen.airgap.bundles.opened import Bundle, open_bundle
from pkigen.airgap.bundles.rescue_kit import unpack_kit
from pkigen.airgap.carrier.bundle_key import parse_pin
from pkigen.airgap.carrier.envelope import LARGEST_BUNDLE, MAGIC, unwrap
from pkigen.airgap.carrier.format import BundleKind
from pkigen.airgap.carrier.media import read_file
from pkigen.airgap.carrier.paths import KIT_TEMPLATES
from pkigen.cli.console import note, say, say_line
from pkigen.cli.directory import ClusterDirectory
from pkigen.cli.options import Format
from pkigen.cli.outputs import make_directory, write_text
from pkigen.cli.passphrases import PassphraseSource, read_identity
from pkigen.cli.reports.rescue_runbook import rescue_runbook
from pkigen.cli.session import Session, open_directory
from pkigen.cli.system import System
from pkigen.crypto.age_header import is_passphrase_sealed
from pkigen.errors import BundleError, UsageError
from pkigen.notation import dir_option, timestamp
from pkigen.store import Store


def require_unsaved(save: Path | None) -> None:
    """Refuse to review what a kit would do.

    Raises:
        UsageError: It is asked for.
    """
    if save is not None:
        raise UsageError(
            "--save cannot be combined with a kit, which restores the directory first",
            hint="run it without --save, or name the restored directory",
        )


def tell(session: Session, output: Format, runbook: Path | None) -> None:
    """Say what to do on the nodes, in order."""
    if not session.inventory.cluster.spec.nodes:
        note(
            f"next: `pkigen export {dir_option(session.root)} --as DISTRIBUTION`, "
            "for what its nodes are made by"
        )
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


def is_kit(place: Path) -> bool:
    """Whether a path is a rescue kit, by how it begins, and not a spec."""
    if not place.is_file():
        return False
    try:
        with place.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False  # whoever reads it as a spec says why it cannot be read


def from_kit(
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
    # By its lock file: what is recovered is the cluster as it was made last, not as its spec was edited
    # since.
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
