"""`pkigen airgap bundle create --rescue`: the kit, and the runbook to print and to keep with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pkigen.airgap.bundles.contents import require_settled
from pkigen.airgap.bundles.opened import write_bundle
from pkigen.airgap.bundles.rescue_kit import pack_kit
from pkigen.airgap.carrier.bundle_key import fingerprint
from pkigen.airgap.carrier.cluster_key import bundle_key
from pkigen.airgap.carrier.media import read_file, write_file
from pkigen.cli.console import note, say, say_line
from pkigen.cli.passphrases import PassphraseSource
from pkigen.cli.reports import outcomes
from pkigen.cli.reports.rescue_runbook import rescue_runbook
from pkigen.cli.session import Session
from pkigen.crypto.age import Recipient, Seal
from pkigen.errors import UsageError

_LARGEST_TEMPLATE = 1 << 20


def make_kit(
    session: Session, out: Path, *, source: PassphraseSource, recipient: str | None
) -> dict[str, Any]:
    """Seal the kit into a file of the medium, print the runbook, and give what was made as a structure.

    Raises:
        UsageError: Two readers are named.
        BundleError: The PKI directory is not what the spec asks for.
    """
    if recipient is not None and source.is_given:
        raise UsageError("give either a passphrase or a recipient")
    templates = _templates(session.planner.folder)
    with session.reading() as store:
        session = session.at(store)
        # A kit of a directory in between would restore what nobody has ever had.
        require_settled(session.plan(store), root=session.root, words=session.words)
        key = bundle_key(session.opened(store))
        in_cluster = session.in_cluster(store)
        runbook = rescue_runbook(session.inventory, in_cluster, directory=str(session.root))
        # Private files as they are kept, so that a sealed authority stays sealed within the kit.
        packed = pack_kit(session.inventory, store, spec=session.text, templates=templates, runbook=runbook)
        seal: Seal = (
            Recipient(recipient) if recipient is not None else source.read("the rescue kit", new=True)
        )
        label = packed.label(created=session.now, reader=seal.reader)
        file = out / f"{label.cluster}.rescue"
        write_file(file, write_bundle(label, packed.archive, seal=seal, key=key))
    pin = fingerprint(key.public)
    say(runbook)
    say_line(
        f"rescue kit: {file}, {len(packed.manifest.files)} files, serial {label.serial}; signed by {pin}"
    )
    note(
        f"next: print this, with {pin}; keep the kit and what opens it in different places, and make a new "
        "kit after every change of the authority (a rotation, a renewed CA, another passphrase)"
    )
    return outcomes.bundles([(label, file, len(packed.manifest.files))], pin) | {"runbook": runbook}


def _templates(directory: Path | None) -> dict[str, bytes]:
    """The overrides that a cluster is rendered with, by their path: without them, others are rendered."""
    if directory is None:
        return {}
    return {
        path.relative_to(directory).as_posix(): read_file(path, limit=_LARGEST_TEMPLATE)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
