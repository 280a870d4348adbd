"""`pkigen access revoke`: have API servers refuse a credential that is still valid."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pkigen.access.kubeconfigs import LARGEST_KUBECONFIG
from pkigen.access.revoking import NamedCredential, RevocationScope, require_reason, revoked_by
from pkigen.cli.access_sources import read_bounded, read_reference, reference_reader
from pkigen.cli.console import note
from pkigen.cli.options import DirectoryOption, TemplatesOption
from pkigen.cli.revision import revise
from pkigen.cli.revision_input import Revising, revising
from pkigen.cli.session import Session, open_record
from pkigen.cli.system import system_of
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.cli.values import moment
from pkigen.desired.certificates import KUBELET
from pkigen.desired.inventory import Inventory
from pkigen.desired.revocations import Revocation, RevocationChange
from pkigen.errors import AccessError
from pkigen.spec.model import Role
from pkigen.state.lockfile import read_lock
from pkigen.store import Store

app = typer.Typer(add_completion=False)


@app.command()
@unlocked
@revising
def revoke(
    context: typer.Context,
    who: Annotated[
        list[str],
        typer.Argument(
            metavar="WHO…",
            help="A user (dev1), a node (worker-1), a certificate's id (cp-1/admin.conf), serial or SHA-256, "
            "JTI=… of a token, or a file: a certificate, a kubeconfig, a token.",
        ),
    ],
    *,
    directory: DirectoryOption = None,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded, and everybody may read it.")
    ],
    before: Annotated[
        str | None,
        typer.Option(
            "--before",
            metavar="TIME",
            help="Of a user or a node, only what was issued before: `now`, or a time such as "
            "2026-11-27T12:00:00Z.  [default: everything]",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="List also who is in system:masters, although no API server cares."),
    ] = False,
    templates: TemplatesOption = None,
    unlocking: Unlocking,
    terms: Revising,
) -> None:
    """Have API servers refuse a credential at once, without a restart.

    Its certificate or token stays valid and is refused all the same, for reading and writing; a renewed one
    of the same user passes. One file has to be copied to each control-plane node. Kubernetes v1.32 or later.
    """
    why, limit = require_reason(reason), moment(before, "--before", now=system_of(context).clock())
    session = open_record(context, None, directory, templates=templates).with_keys(unlocking)

    def wanted(session: Session, store: Store) -> RevocationChange:
        scope = scope_of(session, store)
        found = [each for word in who for each in found_of(word, scope, before=limit)]
        present = session.inventory.revocations.active
        new = revoked_by(found, present, reason=why, now=session.now, force=force)
        for line in _notes(new, found, session.inventory, store):
            note(line)
        return RevocationChange(revoked=new)

    revise(session, "access revoke", wanted, terms)


def scope_of(session: Session, store: Store) -> RevocationScope:
    """What words are looked up in."""
    return RevocationScope(inventory=session.inventory, reader=store, now=session.now, read=read_reference)


def found_of(word: str, scope: RevocationScope, *, before: datetime | None) -> tuple[NamedCredential, ...]:
    """What a word means: a file where there is one, else a name.

    Raises:
        AccessError: The file cannot be read, or holds no credential.
        UsageError: It means nothing.
    """
    path = Path(word)
    if "=" not in word and path.is_file():
        data = read_bounded(path, limit=LARGEST_KUBECONFIG)
        if len(data) > LARGEST_KUBECONFIG:
            raise AccessError(f"{path} is too large to be a credential")
        return replace(scope, read=reference_reader(path)).of_file(path, data)
    return scope.found(word, before=before)


def _notes(
    new: tuple[Revocation, ...], found: list[NamedCredential], inventory: Inventory, store: Store
) -> tuple[str, ...]:
    """What whoever revokes these should know."""
    lock = read_lock(store)
    fingerprints = lock.fingerprints if lock is not None else {}
    listed = {each.credential.value for each in new}
    present = sorted(
        identifier
        for identifier, digest in fingerprints.items()
        if digest.removeprefix("sha256:") in listed and identifier in inventory.certificates
    )
    lines = [f"note: {each.note}" for each in found if each.note]
    lines += [
        f"note: {inventory.certificates[identifier].file} holds what is revoked: `pkigen renew {identifier}` "
        "makes another, which passes"
        for identifier in present
        if not identifier.endswith(f"/{KUBELET.name}")
    ]
    return (*dict.fromkeys(lines), *_stolen_keys(new, inventory))


def _stolen_keys(new: tuple[Revocation, ...], inventory: Inventory) -> tuple[str, ...]:
    """A node that has the CA's key can make itself whatever it wants."""
    named = {each.of.partition(":")[2] for each in new if each.of.startswith("node:")}
    holders = partial(_holds_key, inventory)
    return tuple(
        f"warning: {node} has the key of the CA: whoever has it signs certificates that no list knows; "
        "rotate the CA as well: `pkigen rotate ca kubernetes`"
        for node in sorted(filter(holders, named))
    )


def _holds_key(inventory: Inventory, name: str) -> bool:
    cluster = inventory.cluster
    return cluster.signs_on_nodes and any(
        node.name == name and node.has(Role.CONTROL_PLANE) for node in cluster.spec.nodes
    )
