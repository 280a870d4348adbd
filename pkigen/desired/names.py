"""What a name that somebody says means in a cluster: certificates and tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.crypto.profiles import Profile
from pkigen.desired.connections import edges
from pkigen.desired.items import DesiredToken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.desired.inventory import Inventory
    from pkigen.spec.users import User


def certificates_named(inventory: Inventory, name: str) -> frozenset[str]:
    """The ids of the certificates that a name means; none where it means none.

    Args:
        inventory: The cluster.
        name: An id (`cp-1/apiserver`), the name of a kind or a person (`apiserver`, `dev1`), else a component
            (`kubelet`, `cp-1/kubelet`) or a user of Kubernetes (`kubernetes-admin`, `system:node:cp-1`).
    """
    certificates = inventory.certificates
    if name in certificates:
        return frozenset({name})
    named = {
        item.id
        for item in certificates.values()
        if item.name == name or item.id in {f"user:{name}", f"proxy:{name}"}
    }
    # Only where no certificate is called so: edges take long to derive.
    return frozenset(named or {*_held_by(inventory, name), *_called(inventory, name)})


def tokens_named(inventory: Inventory, name: str) -> tuple[DesiredToken, ...]:
    """The tokens of a service account, by any of its names: `bot`, `web/bot`, `serviceaccount:web:bot`."""
    users = {account(user): user for user in inventory.cluster.spec.users if user.is_service_account}
    return tuple(
        item
        for item in inventory.items
        if isinstance(item, DesiredToken) and name in names_of(users[item.user])
    )


def account(user: User) -> str:
    """A service account as its token's id has it."""
    return f"{user.namespace}:{user.name}"


def names_of(user: User) -> set[str]:
    """What a user of the spec goes by."""
    own = {user.name, user.username, user.stem, f"user:{user.name}"}
    if user.is_service_account:
        own |= {f"{user.namespace}/{user.name}", f"serviceaccount:{account(user)}"}
    return own


def _called(inventory: Inventory, who: str) -> Iterator[str]:
    """The ids of the client certificates that make somebody this user: kubernetes-admin, system:node:NAME."""
    for item in inventory.certificates.values():
        if item.profile is Profile.CLIENT and item.subject.common_name == who:
            yield item.id


def _held_by(inventory: Inventory, who: str) -> Iterator[str]:
    """The ids of the certificates that a component, or one on a node, presents."""
    for edge in edges(inventory):
        for peer, identifier in (
            (edge.client, edge.client_certificate),
            (edge.server, edge.server_certificate),
        ):
            if identifier is not None and who in {peer.component, str(peer)}:
                yield identifier
