"""A bundle as a person reads it: its label, its files, and what installing it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.airgap.bundles.install import Difference
from pkigen.airgap.carrier.bundle_key import fingerprint
from pkigen.airgap.carrier.format import OWNER
from pkigen.airgap.carrier.paths import RUNBOOK
from pkigen.cli.reports.tables import table
from pkigen.notation import printable, timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.airgap.bundles.install import Change
    from pkigen.airgap.bundles.opened import Bundle
    from pkigen.airgap.carrier.format import Label, RestartStep


def label_text(label: Label, signer: str) -> Iterator[str]:
    """The outside of a bundle, for which nothing is opened."""
    yield f"{label.kind} bundle for {label.node} of {label.cluster}, serial {label.serial}"
    yield f"made {timestamp(label.created)}, expires {timestamp(label.expires)}"
    yield f"sealed for {reader_of(label)}"
    yield f"signed by {signer}"


def content_text(bundle: Bundle, *, width: int | None = None) -> Iterator[str]:
    """What is in a bundle, without the secrets."""
    rows = (
        (f"/{entry.path}", f"{entry.mode:04o}", OWNER, str(entry.size), entry.sha256)
        for entry in bundle.manifest.files
    )
    yield f"content SHA-256 {bundle.content}"
    yield ""
    yield table(("PATH", "MODE", "OWNER", "BYTES", "SHA-256"), rows, width=width)


def runbook_of(bundle: Bundle) -> str:
    """The runbook in a bundle, with nothing in it that a terminal would obey."""
    # Whoever packed it may have been deceived about a name: it is printed on the node's terminal, as root.
    text = bundle.files.get(RUNBOOK, b"").decode(errors="replace")
    return "\n".join(printable(line) for line in text.split("\n"))


def facts(bundle: Bundle) -> str:
    """One line that tells a bundle from others."""
    label = bundle.label
    return (
        f"{len(bundle.manifest.files)} files, serial {label.serial} of {timestamp(label.created)}, "
        f"until {timestamp(label.expires)}, signed by {fingerprint(bundle.public)}"
    )


def reader_of(label: Label) -> str:
    """Who can open a bundle."""
    return "everybody who knows the passphrase" if label.reader == "passphrase" else label.reader


def changes_text(changes: tuple[Change, ...], left: Iterable[str]) -> Iterator[str]:
    """What installing changes, and what it leaves where it is."""
    for path in left:
        yield f"keep /{path}, which came with no bundle"
    for change in changes:
        if change.difference is not Difference.KEEP:
            yield f"{change.difference} /{change.path}"
    kept = sum(change.difference is Difference.KEEP for change in changes)
    yield f"{len(changes) - kept} files to change, {kept} unchanged"


def steps_text(steps: Iterable[RestartStep]) -> Iterator[str]:
    """What must restart afterwards, and how."""
    for step in steps:
        yield f"then {step.component}: {step.effect}"
        for command in step.commands:
            yield f"  {command}"
