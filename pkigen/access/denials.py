"""A known user without a permission: the bindings that exist, and the line that would grant it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.access.default_roles import allows
from pkigen.access.identities import declared
from pkigen.access.rights import addon_of, bindings, bound_groups, by_groups
from pkigen.crypto.service_account_tokens import SERVICE_ACCOUNT_PREFIX
from pkigen.desired.rendering.quoting import yaml_scalar
from pkigen.spec.user_rules import SYSTEM_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pkigen.access.failure_kinds import Cannot
    from pkigen.desired.inventory import Inventory
    from pkigen.spec.users import IAMMapping, PolicyRule, User, UserGroup
    from pkigen.state.signed_certificates import SignedCertificate


def lacking(
    failure: Cannot, inventory: Inventory | None, signed: Sequence[SignedCertificate] = ()
) -> Iterator[str]:
    """Why a user may not do something, and the line that would grant it.

    Args:
        failure: What it could not do.
        inventory: The cluster's, where one is known.
        signed: What was signed for keys that people keep.
    """
    name = failure.user
    yield (
        f"the API server authenticated {name}, but no binding grants this permission to the user or its "
        "groups"
    )
    if inventory is None:
        who = shlex.quote(name)
        yield f"next: list its permissions with `kubectl auth can-i --list --as {who}`, then bind a role"
        return
    # People first: a spec may name a service account or a user of any form, and then knows more about it.
    if people := tuple(_to_people(failure, inventory, signed)):
        yield from people
    elif name.startswith("system:node:"):
        yield from _node(inventory, name)
    elif name in _OWN:
        yield _OWN[name]
    elif name.startswith(_BOOTSTRAP):
        yield _JOINING
    else:
        yield from _stranger(failure)


def _entry(user: User) -> str:
    """What an entry of the spec is found by."""
    return f"{user.namespace}/{user.name}" if user.is_service_account else user.name


def _stranger(failure: Cannot) -> Iterator[str]:
    """What to do for somebody whom the spec does not know."""
    name = failure.user
    account = name.startswith(SERVICE_ACCOUNT_PREFIX)
    # A service account's user name begins with system: too, but a spec may bind it.
    if name.startswith(SYSTEM_PREFIX) and not account:
        yield f"{name} is not in spec.users: it is reserved for Kubernetes, which binds its own users itself"
        yield (
            "next: `kubectl get clusterrolebindings -l kubernetes.io/bootstrapping=rbac-defaults -o wide` "
            "shows "
            "these; the API server puts back what lacks when it starts; or bind it yourself: "
            f"{_kubectl(failure)}"
        )
        return
    yield f"{name} is not in spec.users"
    kind = ", as kind ServiceAccount," if account else ""
    yield (
        f"next: add it there{kind} with the permissions it should have, or bind it yourself: "
        f"{_kubectl(failure)}"
    )


def _to_people(failure: Cannot, inventory: Inventory, signed: Sequence[SignedCertificate]) -> Iterator[str]:
    """What to do about a denial of somebody whom the spec or the ledger knows; nothing for others."""
    name = failure.user
    user, mapping = _user(inventory, name), _mapping(inventory, name)
    certified = [each for each in signed if each.user == name]
    groups = _groups(user or mapping, certified)
    if user is not None:
        yield from _declared(failure, user, f"{_entry(user)} in spec.users", inventory, groups)
    elif mapping is not None:
        yield f"spec.iam makes {name} of {mapping.arn}"
        yield from _declared(failure, mapping, f"{mapping.arn} in spec.iam", inventory, groups)
    elif certified:
        yield from _undeclared(failure, certified[0], inventory, groups)


def _groups(who: User | IAMMapping | None, signed: Sequence[SignedCertificate]) -> tuple[str, ...]:
    """The groups that somebody may come in with: those of the spec, and of certificates for their own key."""
    found = [*(who.groups if who is not None else ())]
    found += [group for each in signed for group in each.subject.organizations]
    return tuple(dict.fromkeys(found))


def _declared(
    failure: Cannot, user: User | IAMMapping, where: str, inventory: Inventory, groups: tuple[str, ...]
) -> Iterator[str]:
    """What to do about a denial of somebody whom the spec knows: apply what it grants, or grant it."""
    if _is_given(user, failure):
        yield "the spec grants this permission, but its file was not applied, or was changed since"
        yield f"next: `kubectl apply -f {addon_of(user)}`"
        return
    # A grant to a group comes before advice to add one: a second binding would outlive the membership.
    if (by_group := tuple(_by_group(failure, inventory, groups))) != ():
        yield from by_group
        return
    yield from (f"bound by the spec: {each}" for each in (*bindings(user), *by_groups(inventory, groups)))
    yield f"next: add this to {where}, `pkigen apply`, `kubectl apply -f {addon_of(user)}`:"
    yield f"  {_spec_line(failure)}"


def _by_group(failure: Cannot, inventory: Inventory, groups: tuple[str, ...]) -> Iterator[str]:
    """What to do where the spec grants it to a group that somebody should be in."""
    given = [group for group in bound_groups(inventory, groups) if _is_given(group, failure)]
    if given:
        yield (
            f"the spec grants this permission to the group {given[0].name}, but its file was not applied, or "
            "the credential does not have the group: `kubectl auth whoami` shows it"
        )
        yield f"next: `kubectl apply -f {addon_of(given[0])}`, or a new credential with the group"


def _undeclared(
    failure: Cannot, newest: SignedCertificate, inventory: Inventory, groups: tuple[str, ...]
) -> Iterator[str]:
    """What to do about a denial of somebody for whose key a certificate was signed, and no more."""
    member = ", ".join(groups)
    yield (
        f"a certificate for a key of their own was signed for {newest.user}, until "
        f"{newest.expires:%Y-%m-%d %H:%M} UTC, {f'with the groups {member}' if member else 'without groups'}"
    )
    if (by_group := tuple(_by_group(failure, inventory, groups))) != ():
        yield from by_group
        return
    yield f"{newest.user} is not in spec.users"
    yield from (f"bound by the spec: {each}" for each in by_groups(inventory, groups))
    yield (
        "next: add this to spec.users, `pkigen apply`, and run the kubectl command that it prints; no second "
        "key is made:"
    )
    name = yaml_scalar(newest.user)
    given = f", groups: [{', '.join(map(yaml_scalar, groups))}]" if groups else ""
    yield f"  {{name: {name}, credential: external{given}, {_spec_line(failure)}}}"


# What the control plane's own clients need before they may do anything (kubeadm makes the same bindings).
_OWN = {
    "kubernetes-admin": (
        f"next: `kubectl --kubeconfig super-admin.conf apply -f {layout.addon_path('cluster-admins')}`: "
        "it binds the group, and until then only super-admin.conf may apply it"
    ),
    "kube-apiserver-kubelet-client": (
        f"next: `kubectl apply -f {layout.addon_path('apiserver-kubelet-client')}`: without it the kubelets "
        "give the API server no logs, exec and metrics"
    ),
    "kubernetes-super-admin": (
        "next: `pkigen access kubeconfig show FILE` says whether its certificate has the group "
        "system:masters, "
        "of which the API server refuses nothing by RBAC: make it again with `pkigen apply`"
    ),
}
_BOOTSTRAP = "system:bootstrap:"
_JOINING = (
    "next: a node with a bootstrap token: `kubectl apply -f FILE` with what `pkigen access bootstrap-token` "
    "wrote, "
    "whose bindings let its group ask for a kubelet's certificate"
)


def _node(inventory: Inventory, name: str) -> Iterator[str]:
    """What the Node authorizer denies has nothing to do with RBAC: it is the node's name, mostly."""
    node = name.removeprefix("system:node:")
    yield "the Node authorizer allows a kubelet only its own node and the Pods bound to it"
    if node not in {each.name for each in inventory.cluster.spec.nodes}:
        yield f"no node of the spec is called {node}"
    yield (
        f"next: for yourself, take admin.conf; for the kubelet, check that the Node object is called {node} "
        f"(`kubectl get nodes`; the kubelet's "
        "--hostname-override), and that kube-apiserver has --authorization-mode=Node,RBAC"
    )


def _user(inventory: Inventory, name: str) -> User | None:
    """Whom the API server means: a service account by its whole name, a person by its common name."""
    for user in inventory.cluster.spec.users:
        if user.username == name:
            return user
    return declared(inventory, name)


def _mapping(inventory: Inventory, name: str) -> IAMMapping | None:
    """The IAM mapping that can have made this user name; its variables stand for anything."""
    for mapping in inventory.cluster.spec.iam:
        parts = re.split(r"\{\{.*?\}\}", mapping.username)
        if re.fullmatch(".+".join(map(re.escape, parts)), name):
            return mapping
    return None


def _is_given(user: User | UserGroup | IAMMapping, failure: Cannot) -> bool:
    """Whether the spec's own rules have the right; what the cluster's roles have, only the cluster knows."""
    rules, roles = list(user.rules), list(user.cluster_roles)
    for role in user.roles:
        if role.namespace == failure.namespace:
            rules += role.rules
            roles += [role.cluster_role] if role.cluster_role is not None else []
    return any(_allows(role, failure) for role in roles) or any(_covers(rule, failure) for rule in rules)


def _allows(role: str, failure: Cannot) -> bool:
    """Whether a default role has the right; of paths, cluster-admin has all and the others none."""
    return allows(role, failure.verb, failure.group, failure.resource or "")


def _covers(rule: PolicyRule, failure: Cannot) -> bool:
    """Whether RBAC lets a rule allow it (`rbac/v1/evaluation_helpers.go`); one for named objects does not."""
    if not {failure.verb, "*"} & set(rule.verbs):
        return False
    if failure.path is not None:
        return any(
            failure.path == url or (url.endswith("*") and failure.path.startswith(url[:-1]))
            for url in rule.non_resource_urls
        )
    return (
        failure.resource is not None
        and not rule.resource_names
        and bool({failure.group, "*"} & set(rule.api_groups))
        and bool(_names_of(failure.resource) & set(rule.resources))
    )


def _names_of(resource: str) -> set[str]:
    """How a rule may name a resource: by its name, as any, or as a subresource of any (`ResourceMatches`)."""
    _, slash, subresource = resource.partition("/")
    return {resource, "*", *((f"*/{subresource}",) if slash else ())}


def _spec_line(failure: Cannot) -> str:
    """For the spec, which people copy it into: nothing in it can be more than one value."""
    verb = yaml_scalar(failure.verb)
    if failure.resource is None:
        return f"rules: [{{nonResourceURLs: [{yaml_scalar(failure.path or '/…')}], verbs: [{verb}]}}]"
    group, resource = yaml_scalar(failure.group), yaml_scalar(failure.resource)
    rule = f"{{apiGroups: [{group}], resources: [{resource}], verbs: [{verb}]}}"
    if failure.namespace:
        return f"roles: [{{namespace: {yaml_scalar(failure.namespace)}, rules: [{rule}]}}]"
    return f"rules: [{rule}]"


def _kubectl(failure: Cannot) -> str:
    """For a shell, which people copy it into."""
    place = (
        f"rolebinding NAME -n {shlex.quote(failure.namespace)}"
        if failure.namespace
        else "clusterrolebinding NAME"
    )
    account = failure.user.removeprefix(SERVICE_ACCOUNT_PREFIX)
    kind, who = ("user", failure.user) if account == failure.user else ("serviceaccount", account)
    return f"`kubectl create {place} --clusterrole ROLE --{kind} {shlex.quote(who)}`"
