"""`pkigen adopt --from`: the authority of a cluster whose nodes stay another distribution's."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pkigen.cli.console import note, say, say_line
from pkigen.cli.directory import first_directory
from pkigen.cli.distribution_sources import read_source
from pkigen.cli.document import document
from pkigen.cli.reports import outcomes
from pkigen.cli.session import session_of
from pkigen.cli.system import directory_of, system_of
from pkigen.desired.inventory import derive
from pkigen.desired.items import DesiredSecret
from pkigen.distributions.described import described
from pkigen.distributions.formats import ROWS
from pkigen.distributions.imported import imported
from pkigen.distributions.names import Distribution
from pkigen.errors import UsageError
from pkigen.layout import PUBLIC_MODE, SECRET_MODE, SPEC_FILE
from pkigen.notation import command_line
from pkigen.reconcile.adopt import Import, take_over
from pkigen.records import dataclass
from pkigen.state.vault import PlainVault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import typer

    from pkigen.cli.options import Format
    from pkigen.crypto.issuance import Entropy
    from pkigen.desired.inventory import Inventory


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityOrder:
    """What is to be taken over, and what is said of it beside its files."""

    distribution: Distribution
    sources: Sequence[str]
    name: str | None
    version: str | None
    dry_run: bool


def adopt_authority(
    context: typer.Context, order: AuthorityOrder, directory: Path | None, output: Format
) -> None:
    """Take the CAs and the service account key over, or print the spec that says so.

    Raises:
        AdoptionError: Something is missing or damaged, or the directory is in use.
        UsageError: No files are named.
    """
    if not order.sources:
        raise UsageError(
            "no files are named", hint="docs/how-to/distributions.md names them for each distribution"
        )
    system = system_of(context)
    found = ROWS[order.distribution].read(read_source(order.sources, name=order.name or ""))
    # The name chooses among the clusters of a source, too (`Source.name`), so it is given to the reader as
    # well.
    # What the command line says counts more than what the files let guess.
    found = replace(found, name=order.name or found.name, version=order.version or found.version)
    taken = imported(found)
    text, loaded, unknown = described(found, taken, distribution=str(order.distribution))
    for each in (*taken.notes, *found.notes):
        note(f"note: {each}")
    for each in unknown:
        note(f"not known: {each}")
    if order.dry_run:
        say(text)
        return
    inventory = derive(loaded.spec)
    root = first_directory(directory_of(context, directory), None, loaded.spec.file_name)
    session = session_of(system, inventory, root=root, templates=None)
    keys = _made(inventory, system.entropy)
    files = (*taken.files, *keys, Import(path=SPEC_FILE, mode=PUBLIC_MODE, content=text.encode()))
    with session.writing("adopt") as store:
        # Other distributions keep these keys unencrypted; `airgap authority encrypt` seals them afterwards.
        # Nodes are not looked at, so nothing is known to be idle.
        result = take_over(session.planner, files, store, session.tools(PlainVault()), idle={})
    with document(output) as content:
        say_line(f"adopted the authority of {loaded.spec.name} into {root}; nothing was issued")
        for identifier in result.due:
            say_line(f"due: {identifier}")
        spec = root / SPEC_FILE
        say_line(f"next: read {spec}, then `{command_line('pkigen', 'plan', '-C', root)}`")
        content.update(outcomes.adopted(result, loaded.spec.name, 0, str(root)))


def _made(inventory: Inventory, entropy: Entropy) -> Iterator[Import]:
    """What only pkigen has: the key that seals bundles."""
    for item in inventory.items:
        if isinstance(item, DesiredSecret):
            content = base64.b64encode(entropy(item.size))
            yield Import(path=item.path, mode=SECRET_MODE, content=content, private=True)
