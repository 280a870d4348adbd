"""The RBAC objects of the users, groups and IAM mappings of the spec.

Their names are the user's stem, then what is bound: `pkigen:dev1`, `pkigen:dev1,clusterrole:view`. A stem
cannot have a comma, so two users never share an object.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pkigen.desired.rendering.contexts import Binding, BindingSubject, IAMAccess, OwnRole, UserAccess
from pkigen.spec.users import gives_rights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.spec.model import ClusterSpec
    from pkigen.spec.users import IAMMapping, PolicyRule, User, UserGroup

_CLUSTER_ROLE, _ROLE = "ClusterRole", "Role"


def of_user(user: User) -> UserAccess:
    """What the user may do, from the whole cluster to single namespaces; repeats appear once."""
    if user.is_service_account:
        subject = BindingSubject(kind="ServiceAccount", name=user.name, namespace=user.namespace)
        # Not the user name: an object's name is shorter, and "system:" would look like Kubernetes' own.
        return _access(f"pkigen:serviceaccount:{user.namespace}:{user.name}", (subject,), user)
    return _access(f"pkigen:{user.stem}", (BindingSubject(kind="User", name=user.name),), user)


def of_group(group: UserGroup) -> UserAccess:
    """What everybody in a group may do."""
    # A person's stem has no colon, so no person has these names.
    return _access(f"pkigen:group:{group.stem}", (BindingSubject(kind="Group", name=group.name),), group)


def of_iam(cluster: ClusterSpec) -> IAMAccess:
    """What those who come from IAM may do; a user name with variables cannot be bound, its groups can."""
    return IAMAccess(
        mappings=tuple(
            of_mapping(mapping)
            for mapping in sorted(cluster.spec.iam, key=lambda mapping: mapping.arn)
            if gives_rights(mapping)
        )
    )


def of_mapping(mapping: IAMMapping) -> UserAccess:
    """What one who comes in from IAM may do."""
    return _access(_iam_name(mapping), _iam_subjects(mapping), mapping)


def _iam_name(mapping: IAMMapping) -> str:
    """By the ARN: it is what differs between two mappings; `/` cannot stand in an object's name."""
    # The sixth part may have colons itself (arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE).
    _, _, _, _, account, resource = mapping.arn.split(":", 5)
    return f"pkigen:iam:{account}:{re.sub('[/%]', ':', resource)}"


def _iam_subjects(mapping: IAMMapping) -> tuple[BindingSubject, ...]:
    """`{{SessionName}}` becomes another name for each session: only the groups are the same."""
    if mapping.has_variables:
        return tuple(BindingSubject(kind="Group", name=name) for name in dict.fromkeys(mapping.groups))
    return (BindingSubject(kind="User", name=mapping.username),)


def _access(
    own_name: str, subjects: tuple[BindingSubject, ...], user: User | UserGroup | IAMMapping
) -> UserAccess:
    """One user's objects: the roles made of its own rules, and the bindings to these and to others."""
    own_rules = _own_rules(user)
    own_bindings = (
        Binding(
            name=own_name,
            namespace=namespace,
            role_kind=_CLUSTER_ROLE if namespace is None else _ROLE,
            role_name=own_name,
        )
        for namespace in own_rules
    )
    return UserAccess(
        subjects=subjects,
        roles=tuple(
            OwnRole(name=own_name, namespace=namespace, rules=rules) for namespace, rules in own_rules.items()
        ),
        # A role that is given twice is one object: the second would only overwrite the first.
        bindings=tuple(dict.fromkeys((*_bindings_to_named_roles(own_name, user), *own_bindings))),
        service_account=any(subject.kind == "ServiceAccount" for subject in subjects),
    )


def _own_rules(user: User | UserGroup | IAMMapping) -> dict[str | None, tuple[PolicyRule, ...]]:
    """The rules that stand in the spec itself, by namespace; None is the whole cluster."""
    rules: dict[str | None, tuple[PolicyRule, ...]] = {None: user.rules} if user.rules else {}
    for role in user.roles:
        if role.rules:
            # Two entries for one namespace become one Role: its name is the user's, so there is one in each.
            rules[role.namespace] = (*rules.get(role.namespace, ()), *role.rules)
    return rules


def _bindings_to_named_roles(own_name: str, user: User | UserGroup | IAMMapping) -> Iterator[Binding]:
    """Bindings to roles that are there already, such as `view`, or that somebody else makes."""

    def binding(namespace: str | None, kind: str, role: str) -> Binding:
        name = f"{own_name},{kind.lower()}:{role}"
        return Binding(name=name, namespace=namespace, role_kind=kind, role_name=role)

    for cluster_role in user.cluster_roles:
        yield binding(None, _CLUSTER_ROLE, cluster_role)
    for role in user.roles:
        if role.cluster_role is not None:
            yield binding(role.namespace, _CLUSTER_ROLE, role.cluster_role)
        if role.role is not None:
            yield binding(role.namespace, _ROLE, role.role)
