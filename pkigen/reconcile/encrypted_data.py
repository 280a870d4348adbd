"""What etcd holds encrypted, by the files that API servers go by: who reads it, how it is written anew.

An API server writes with the first provider of a resource and reads with all of them. What none of them can
read fails not only by itself: an API server that cannot list Secrets never becomes ready.
"""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pkigen.desired.items import DesiredFile, FileKind
from pkigen.errors import SpecError
from pkigen.reconcile.plan import Keep
from pkigen.records import dataclass
from pkigen.spec.encrypted_resources import ANY, GroupResource
from pkigen.spec.yaml_source import read_documents
from pkigen.state.lockfile import read_lock
from pkigen.state.observed import content_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.rendering import Renderer
    from pkigen.reconcile.plan import Action
    from pkigen.state.observed import Reader

IDENTITY: Final = "identity"
"""The provider that encrypts nothing."""

STORED: Final = "spec.encryption"
"""Stands for a manifest where there is none: `stored` makes it."""
ENCRYPTED_RESOURCE: Final = "EncryptedResource"

# Only providers and resources of what is rendered with it are read; no cluster ever gets it.
_SOME_KEY: Final = base64.b64encode(bytes(32))
Ciphers = dict[GroupResource, tuple[str, ...]]
"""The providers of each resource, in their order."""


def ciphers(configuration: bytes | None) -> Ciphers:
    """What an EncryptionConfiguration has each resource written and read with, as far as it can be read."""
    found: Ciphers = {}
    for group in _groups(configuration):
        providers = tuple(name for each in _mappings(group, "providers") for name in each)
        for resource in _items(group, "resources"):
            # The first entry that names it counts.
            found.setdefault(GroupResource.read(str(resource)), providers)
    return found


def _groups(configuration: bytes | None) -> Iterator[Mapping[str, Any]]:
    """Each entry of an EncryptionConfiguration; none where it cannot be read."""
    with suppress(SpecError):
        documents, _ = read_documents(configuration or b"", file="")
        for document in documents:
            yield from _mappings(document.value, "resources")


def _items(content: object, key: str) -> list[Any]:
    items = content.get(key) if isinstance(content, dict) else None
    return items if isinstance(items, list) else []


def _mappings(content: object, key: str) -> Iterator[Mapping[str, Any]]:
    return (each for each in _items(content, key) if isinstance(each, dict))


@dataclass(frozen=True, slots=True, kw_only=True)
class CipherChange:
    """What becomes of what etcd holds, where API servers are given another EncryptionConfiguration."""

    before: Ciphers
    after: Ciphers

    @property
    def unreadable(self) -> dict[str, tuple[str, ...]]:
        """The resources that may be stored by a provider that does not read them any more, by provider."""
        found: dict[str, list[str]] = {}
        for resource, providers in self.before.items():
            reading = _chosen(self.after, resource)
            for provider in providers:
                if provider not in {IDENTITY, *reading}:
                    found.setdefault(provider, []).append(str(resource))
        return {provider: tuple(resources) for provider, resources in found.items()}


UNCHANGED: Final = CipherChange(before={}, after={})


def _chosen(configured: Ciphers, resource: GroupResource) -> tuple[str, ...]:
    """The providers of a resource; the first entry that concerns it counts."""
    return next((providers for each, providers in configured.items() if each.covers(resource)), ())


# -- what has to be written again ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """What API servers write a resource with: the provider that stands first, and the key first in that."""

    provider: str
    key: str


Writers = dict[GroupResource, Writer]
"""What is written encrypted, and by what."""


def writers(configuration: bytes | None) -> Writers:
    """What an EncryptionConfiguration has each resource written with, as far as it can be read."""
    found: Writers = {}
    for group in _groups(configuration):
        first = next(_mappings(group, "providers"), {})
        provider, content = next(iter(first.items()), (IDENTITY, None))
        # Its name, never its secret: this is compared with what the ledger remembers.
        key = next(_mappings(content, "keys"), {}).get("name", "")
        for resource in _items(group, "resources"):
            found.setdefault(GroupResource.read(str(resource)), Writer(provider=provider, key=str(key)))
    return {each: writer for each, writer in found.items() if writer.provider != IDENTITY}


def stored(written: Writers) -> bytes:
    """What API servers write encrypted, each resource as if it were an object: no manifest makes it."""
    documents = (
        {
            "kind": ENCRYPTED_RESOURCE,
            "metadata": {"name": str(each)},
            "provider": writer.provider,
            "key": writer.key,
        }
        for each, writer in written.items()
    )
    return "".join(f"---\n{json.dumps(each)}\n" for each in documents).encode()


def stored_until_now(
    actions: Iterable[Action], tree: Reader, inventory: Inventory, renderer: Renderer
) -> dict[str, tuple[bytes, ...]]:
    """What etcd was written with, where a plan gives API servers another EncryptionConfiguration.

    Empty where that is unknown, and where API servers could not read it any more, which `unread` reports.
    """
    change, items = cipher_change(actions, tree, inventory, renderer), list(_configurations(inventory))
    if change is UNCHANGED or change.unreadable:
        return {}
    present, lock = present_configuration(tree, inventory), read_lock(tree)
    if present is None and lock is not None and any(item.path in lock.paths for item in items):
        return {}
    return {STORED: (stored(writers(present)),)}


def present_configuration(tree: Reader, inventory: Inventory) -> bytes | None:
    """The EncryptionConfiguration that API servers go by: what one of them has, etcd is written with."""
    found = (content_at(tree, item.path) for item in _configurations(inventory))
    return next(filter(None, found), None)


def planned_writers(present: Writers, inventory: Inventory, renderer: Renderer, *, new_key: bool) -> Writers:
    """What API servers will write with; which key that is is secret, and known only to be the same or not.

    Args:
        present: What they write with now.
        inventory: What must exist.
        renderer: Says what the file will hold.
        new_key: Whether another key becomes the first one.
    """
    return {
        each: present[each]
        if not new_key and each in present and present[each].provider == writer.provider
        else Writer(provider=writer.provider, key="")
        for each, writer in writers(_planned(inventory, renderer)).items()
    }


def written_again(resources: Iterable[str], inventory: Inventory, renderer: Renderer) -> tuple[str, ...]:
    """Those among the resources that API servers read by what must exist: others cannot be written again.

    Nor need those that another one among them covers.
    """
    read = ciphers(_planned(inventory, renderer))
    found = {each for each in map(GroupResource.read, resources) if _chosen(read, each)}
    return tuple(
        sorted(str(each) for each in found if not any(other.covers(each) for other in found - {each}))
    )


def _planned(inventory: Inventory, renderer: Renderer) -> bytes | None:
    """What the EncryptionConfiguration will hold, with some key."""
    item = next(_configurations(inventory), None)
    return renderer.file(item, secrets=(_SOME_KEY,)) if item is not None else None


# -- what is read no more -----------------------------------------------------------------------------------


def cipher_change(
    actions: Iterable[Action], tree: Reader, inventory: Inventory, renderer: Renderer
) -> CipherChange:
    """What a plan changes about the encryption of what etcd holds.

    Args:
        actions: What the plan does.
        tree: The PKI directory before it.
        inventory: What must exist after it.
        renderer: Says what the files will hold.
    """
    changed = {path for action in actions if not isinstance(action, Keep) for path in action.paths}
    items = list(_configurations(inventory))
    # Before there is a cluster, etcd holds nothing.
    if changed.isdisjoint(item.path for item in items) or read_lock(tree) is None:
        return UNCHANGED
    present = present_configuration(tree, inventory)
    return CipherChange(before=ciphers(present), after=ciphers(_planned(inventory, renderer)))


def _configurations(inventory: Inventory) -> Iterator[DesiredFile]:
    """Those that pkigen writes: what becomes of others is not known here."""
    for item in inventory.items:
        if isinstance(item, DesiredFile) and item.kind is FileKind.ENCRYPTION_CONFIGURATION and item.managed:
            yield item


def unread(change: CipherChange) -> Iterator[str]:
    """A sentence about each provider that would not be read any more."""
    for provider, resources in change.unreadable.items():
        yield (
            f"it has API servers no longer read what {provider} has encrypted ({', '.join(resources)}): what "
            "etcd still holds of it is lost to them, and they do not become ready; write it again with the "
            "next provider first, while a template of yours has both"
        )


def rewriting(resource: str, kubectl: str) -> str:
    """The command that has API servers write again what etcd holds, with what stands first now.

    A conflict is no mistake: what somebody else has just written is written.
    """
    name, group = GroupResource.read(resource)
    if name != ANY:
        return f"{kubectl} get {resource} --all-namespaces -o json | {kubectl} replace -f -"
    chosen = "" if group == ANY else f" --api-group={group}"
    return (
        f"{kubectl} api-resources{chosen} --verbs=list,update -o name | while read -r resource; do "
        f'{kubectl} get "$resource" --all-namespaces -o json </dev/null | {kubectl} replace -f -; done'
    )
