"""What etcd holds encrypted, by the files that API servers go by: who reads it, how it is written anew.

An API server writes with the first provider of a resource and reads with all of them. What none of them can
read fails not only by itself: an API server that cannot list Secrets never becomes ready.
"""

from __future__ import annotations

import base64
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

_SOME_KEY: Final = base64.b64encode(bytes(32))
Ciphers = dict[GroupResource, tuple[str, ...]]
"""The providers of each resource, in their order."""


def ciphers(configuration: bytes | None) -> Ciphers:
    """What an EncryptionConfiguration has each resource written and read with, as far as it can be read."""
    try:
        documents, _ = read_documents(configuration or b"", file="")
    except SpecError:
        return {}
    found: Ciphers = {}
    for document in documents:
        for group in _mappings(document.value, "resources"):
            providers = tuple(name for each in _mappings(group, "providers") for name in each)
            for resource in _items(group, "resources"):
                # The first entry that names it counts.
                found.setdefault(GroupResource.read(str(resource)), providers)
    return found


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
    # All API servers go by the same: what one of them has is what etcd was written with.
    present = next(filter(None, (content_at(tree, item.path) for item in items)), None)
    after = ciphers(renderer.file(items[0], secrets=(_SOME_KEY,)))
    return CipherChange(before=ciphers(present), after=after)


def _configurations(inventory: Inventory) -> Iterator[DesiredFile]:
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


def rewriting(resources: Iterable[str], kubectl: str) -> Iterator[str]:
    """The commands that have API servers write again what etcd holds, with the provider that is first now.

    A conflict is no mistake: what somebody else has just written is written.
    """
    for resource in resources:
        name, group = GroupResource.read(resource)
        if name != ANY:
            yield f"{kubectl} get {resource} --all-namespaces -o json | {kubectl} replace -f -"
            continue
        chosen = "" if group == ANY else f" --api-group={group}"
        yield (
            f"{kubectl} api-resources{chosen} --verbs=list,update -o name | while read -r resource; do "
            f'{kubectl} get "$resource" --all-namespaces -o json </dev/null | {kubectl} replace -f -; done'
        )
