"""Groups in words: who is in one, and what it may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen import layout
from pkigen.access import ways_in
from pkigen.access.bootstrap import DEFAULT_GROUP
from pkigen.access.rights import bindings, bound_groups
from pkigen.crypto.profiles import Profile
from pkigen.desired.certificates import ADMIN, CLUSTER_ADMINS, MASTERS, MASTERS_RIGHTS, NODES_GROUP, Holder
from pkigen.desired.rendering.access import of_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pkigen.desired.inventory import Inventory
    from pkigen.state.signed_certificates import SignedCertificate

_MOST_SHOWN = 8
_EVERYBODY = "system:authenticated"
_ACCOUNTS = "system:serviceaccounts"
# Members and rights of the groups that Kubernetes itself gives (authentication/user, bootstrappolicy).
_GIVEN: Final = {
    MASTERS: ("whoever has a client certificate with this organization", MASTERS_RIGHTS),
    _EVERYBODY: (
        "everybody whom the API server has authenticated",
        "discovery and the review of one's own rights (system:basic-user, system:discovery)",
    ),
    "system:unauthenticated": (
        "everybody without a credential, as the user system:anonymous",
        "/healthz, /livez, /readyz and /version (system:public-info-viewer)",
    ),
    NODES_GROUP: (
        "the kubelets, each as system:node:NAME",
        "the Node authorizer: a kubelet's own node, and the Pods bound to it",
    ),
    "system:bootstrappers": (
        "whoever has a bootstrap token",
        "what is bound to it: to request a kubelet's certificate, where TLS bootstrapping is set up",
    ),
    DEFAULT_GROUP: (
        "whoever has a bootstrap token of kubeadm's or of `pkigen access bootstrap-token`",
        (
            "to request a kubelet's certificate, which is approved, and to read its own Node "
            "(the bindings stand beside the token's Secret)"
        ),
    ),
    "system:monitoring": (
        "whoever has a client certificate with this organization",
        "/healthz, /livez, /metrics and /readyz (system:monitoring)",
    ),
    _ACCOUNTS: ("all service accounts", "service account issuer discovery, and what is bound to it"),
}


def names(inventory: Inventory) -> tuple[str, ...]:
    """All groups that can be explained."""
    spec = inventory.cluster.spec
    found = [group.name for group in inventory.cluster.groups]
    found += [group for user in spec.users for group in user.groups]
    found += [group for mapping in spec.iam for group in mapping.groups]
    found += [group for item in inventory.certificates.values() for group in item.subject.organizations]
    return tuple(dict.fromkeys((*found, *_GIVEN)))


def explain(inventory: Inventory, signed: Sequence[SignedCertificate], name: str) -> tuple[str, ...] | None:
    """Who is in a group and what it may do; None where neither the spec nor Kubernetes has the group.

    Args:
        inventory: The cluster's.
        signed: The certificates of people who keep their key.
        name: The group.
    """
    # Of these there is one for each namespace (serviceaccount `MakeGroupNames`), also where the spec has
    # none.
    namespace = name.removeprefix(f"{_ACCOUNTS}:")
    if namespace != name and namespace:
        lines = (
            f"  members:      all service accounts of the namespace {namespace}",
            _in_spec(tuple(_accounts(inventory, namespace))),
            *_bound(inventory, name),
        )
        return (f"{name}: a group of Kubernetes", *lines)
    if name not in names(inventory) and all(name not in each.subject.organizations for each in signed):
        return None
    given = _GIVEN.get(name)
    whose = "a group of Kubernetes" if given is not None else "a group"
    return (f"{name}: {whose}", *_members(inventory, signed, name), *_bound(inventory, name))


def _members(inventory: Inventory, signed: Sequence[SignedCertificate], name: str) -> Iterator[str]:
    if name in _GIVEN:
        yield f"  members:      {_GIVEN[name][0]}"
    if name == _EVERYBODY:
        yield "  in this spec: everybody, and every component"
        return
    accounts = _accounts(inventory, None) if name == _ACCOUNTS else ()
    yield _in_spec((*_people(inventory, name), *_components(inventory, name), *accounts))
    yield from ways_in.members(inventory, name)
    others = dict.fromkeys(each.user for each in signed if name in each.subject.organizations)
    if others:
        more = f" and {len(others) - _MOST_SHOWN} more" if len(others) > _MOST_SHOWN else ""
        yield f"  signed for:   {', '.join(list(others)[:_MOST_SHOWN])}{more}"


def _in_spec(shown: Sequence[str]) -> str:
    more = f" and {len(shown) - _MOST_SHOWN} more" if len(shown) > _MOST_SHOWN else ""
    return f"  in this spec: {', '.join(shown[:_MOST_SHOWN]) or 'nobody'}{more}"


def _accounts(inventory: Inventory, namespace: str | None) -> Iterator[str]:
    """The service accounts of a namespace, or of all."""
    for user in inventory.cluster.spec.users:
        if user.is_service_account and namespace in {None, user.namespace}:
            yield f"{user.namespace}/{user.name}"


def _people(inventory: Inventory, name: str) -> Iterator[str]:
    spec = inventory.cluster.spec
    yield from (user.username for user in spec.users if name in user.groups)
    yield from (f"{mapping.username} of {mapping.arn}" for mapping in spec.iam if name in mapping.groups)


def _components(inventory: Inventory, name: str) -> Iterator[str]:
    """The client certificates with this organization that are not a person's."""
    for item in inventory.certificates.values():
        is_client = item.profile is Profile.CLIENT and item.kind.holder is not Holder.PERSON
        if is_client and name in item.subject.organizations:
            yield item.id


def _bound(inventory: Inventory, name: str) -> Iterator[str]:
    """The rights: Kubernetes' own, and what the addons bind to the group."""
    rights = [_GIVEN[name][1]] if name in _GIVEN else []
    rights += [ADMIN.rights] if name == CLUSTER_ADMINS else []
    rights += [right for group in bound_groups(inventory, (name,)) for right in bindings(group)]
    rights += _from_iam(inventory, name)
    for right in rights or [_ELSEWHERE]:
        yield f"  permissions:  {right}"


_ELSEWHERE = "what the cluster binds to it: `kubectl get rolebindings,clusterrolebindings -A -o wide`"


def _from_iam(inventory: Inventory, name: str) -> Iterator[str]:
    """A user name with variables cannot be bound, so its groups are."""
    for mapping in inventory.cluster.spec.iam:
        if name in mapping.groups and "{{" in mapping.username:
            for each in of_mapping(mapping).bindings:
                where = f"in the namespace {each.namespace}" if each.namespace else "in the whole cluster"
                yield f"{each.role_kind} {each.role_name} {where} ({layout.addon_path('iam')})"
