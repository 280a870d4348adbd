"""The work of `pkigen access revoke`: what words mean, and what follows."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from pkigen.access.kubeconfigs import LARGEST_KUBECONFIG
from pkigen.access.revocation import NamedCredential, RevocationScope
from pkigen.cli.access_sources import leads_to, read_bounded, read_reference, reference_reader
from pkigen.cli.session import Session
from pkigen.desired.certificates import KUBELET
from pkigen.desired.inventory import Inventory
from pkigen.desired.revocations import Revocation
from pkigen.errors import AccessError
from pkigen.notation import quoted
from pkigen.spec.model import Role
from pkigen.state.lockfile import read_lock
from pkigen.store import Store


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
    # What has a sign of equation says itself what it is, as JTI=… does.
    if "=" not in word and leads_to(word, Path.is_file):
        data = read_bounded(path, limit=LARGEST_KUBECONFIG)
        if len(data) > LARGEST_KUBECONFIG:
            raise AccessError(f"{path} is too large to be a credential")
        return replace(scope, read=reference_reader(path)).of_file(path, data)
    return scope.found(word, before=before)


def revocation_notes(
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
        f"note: {inventory.certificates[identifier].file} holds what is revoked: "
        f"`pkigen renew {quoted(identifier)}` makes another, which passes"
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
