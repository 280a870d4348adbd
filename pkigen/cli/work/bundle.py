"""The work of `pkigen airgap bundle create`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pkigen.airgap.bundles.contents import awaited, pack, require_settled
from pkigen.airgap.bundles.opened import write_bundle
from pkigen.airgap.carrier.bundle_key import fingerprint
from pkigen.airgap.carrier.cluster_key import bundle_key
from pkigen.airgap.carrier.format import Label
from pkigen.airgap.carrier.media import write_file
from pkigen.cli.console import note, say, say_line, width
from pkigen.cli.passphrases import PassphraseSource
from pkigen.cli.progress import progress
from pkigen.cli.reports import outcomes
from pkigen.cli.reports.bundle_text import reader_of
from pkigen.cli.reports.tables import table
from pkigen.cli.session import Session
from pkigen.crypto.age import Passphrase, Recipient, Seal
from pkigen.errors import BundleError, UsageError
from pkigen.notation import suggestion
from pkigen.spec.model import Node
from pkigen.state.ledger import Approval, approvals, read_ledger
from pkigen.store import Store


def pack_all(
    session: Session, chosen: tuple[Node, ...], source: PassphraseSource, out: Path, *, named: bool
) -> dict[str, Any]:
    """Pack the bundles of nodes, say where they are, and give that as a structure."""
    files: list[tuple[Label, Path, int]] = []
    with session.reading() as store:
        session = session.at(store)
        # A bundle of a tree that does not match its spec would install what the next `apply` takes back.
        require_settled(session.plan(store), root=session.root, words=session.words)
        key = bundle_key(session.opened(store))
        chosen = _enrolled(session, store, chosen, named=named)
        seals = _seals(chosen, source, approvals(read_ledger(store)).last)
        with progress().over("packing", len(chosen)) as step:
            for packed in pack(session.inventory, store, chosen):
                seal = seals[packed.manifest.node]
                label = packed.label(created=session.now, reader=seal.reader)
                file = out / f"{label.cluster}.{label.node}.bundle"
                write_file(file, write_bundle(label, packed.archive, seal=seal, key=key))
                step()
                files.append((label, file, len(packed.manifest.files)))
    rows = (
        (each.node, str(file), str(count), f"{each.expires:%Y-%m-%d}", reader_of(each))
        for each, file, count in files
    )
    say(table(("NODE", "BUNDLE", "FILES", "EXPIRES", "SEALED FOR"), rows, width=width()))
    # There is at least one: `_enrolled` has seen to that.
    say_line(f"serial {label.serial}; signed by bundle key {fingerprint(key.public)}")
    note(
        "next: carry each file to its node, and to no other; there: "
        "`pkigen airgap bundle install FILE --pin …`"
    )
    return outcomes.bundles(files, fingerprint(key.public))


def chosen(session: Session, names: list[str] | None) -> tuple[Node, ...]:
    """The nodes that are named, or all of them; raises `UsageError` for a name that is none."""
    every = {
        node.name: node for node in sorted(session.inventory.cluster.spec.nodes, key=lambda each: each.name)
    }
    for name in names or ():
        if name not in every:
            raise UsageError(
                f"there is no node {name!r} in this cluster",
                hint=suggestion(name, every) or f"choose from {', '.join(every)}",
            )
    return tuple(node for name, node in every.items() if not names or name in names)


def _enrolled(session: Session, store: Store, nodes: tuple[Node, ...], *, named: bool) -> tuple[Node, ...]:
    """The nodes for which there is something to pack: some have not asked for their certificates yet."""
    missing = {node.name: awaited(session.inventory, store, node) for node in nodes}
    ready = tuple(node for node in nodes if not missing[node.name])
    for name, identifiers in missing.items():
        if not identifiers:
            continue
        sentence = f"{name} has not requested its certificates yet: {', '.join(identifiers)}"
        if named or not ready:
            raise BundleError(
                sentence,
                hint=f"`pkigen airgap node request` on {name}, then `pkigen airgap node approve` here, "
                "which packs it",
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
