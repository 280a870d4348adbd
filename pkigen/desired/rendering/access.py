"""The RBAC objects of the users and the IAM mappings of the spec.

Their names are the user's, then what is bound: `pkigen:dev1`, `pkigen:dev1,clusterrole:view`. A user's name
cannot have a comma, so two users never share an object.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pkigen.desired.rendering.contexts import Binding, BindingSubject, IAMAccess, OwnRole, UserAccess

if TYPE_CHECKING:
    from pkigen.spec.model import ClusterSpec
    from pkigen.spec.users import IAMMapping, PolicyRule, User

_CLUSTER_ROLE, _ROLE = "ClusterRole", "Role"


def of_user(user: User) -> UserAccess:
    """What the user may do, from the whole cluster to single namespaces; repeats appear once."""
    if user.is_service_account:
        subject = BindingSubject(kind="ServiceAccount", name=user.name, namespace=user.namespace)
        # Not the user name: an object's name is shorter, and "system:" would look like Kubernetes' own.
        return _access(f"pkigen:serviceaccount:{user.namespace}:{user.name}", (subject,), user)
    return _access(f"pkigen:{user.name}", (BindingSubject(kind="User", name=user.name),), user)


def of_iam(cluster: ClusterSpec) -> IAMAccess:
    """What those who come from IAM may do; a user name with variables cannot be bound, its groups can."""
    return IAMAccess(
        mappings=tuple(
            of_mapping(mapping)
            for mapping in sorted(cluster.spec.iam, key=lambda mapping: mapping.arn)
            if mapping.cluster_roles or mapping.roles or mapping.rules
        )
    )


def of_mapping(mapping: IAMMapping) -> UserAccess:
    """What one who comes in from IAM may do."""
    return _access(_iam_name(mapping), _iam_subjects(mapping), mapping)


def _iam_name(mapping: IAMMapping) -> str:
    """By the ARN: it is what differs between two mappings; `/` cannot stand in an object's name."""
    _, _, _, _, account, resource = mapping.arn.split(":", 5)
    return f"pkigen:iam:{account}:{re.sub('[/%]', ':', resource)}"


def _iam_subjects(mapping: IAMMapping) -> tuple[BindingSubject, ...]:
    if mapping.has_variables:
        return tuple(BindingSubject(kind="Group", name=name) for name in dict.fromkeys(mapping.groups))
    return (BindingSubject(kind="User", name=mapping.username),)


def _access(own_name: str, subjects: tuple[BindingSubject, ...], user: User | IAMMapping) -> UserAccess:
    bindings: dict[Binding, None] = {}
    own_rules: dict[str | None, tuple[PolicyRule, ...]] = {}

    def bind(namespace: str | None, kind: str, role: str) -> None:
        name = f"{own_name},{kind.lower()}:{role}"
        bindings[Binding(name=name, namespace=namespace, role_kind=kind, role_name=role)] = None

    if user.rules:
        own_rules[None] = user.rules
    for cluster_role in user.cluster_roles:
        bind(None, _CLUSTER_ROLE, cluster_role)
    for role in user.roles:
        if role.cluster_role is not None:
            bind(role.namespace, _CLUSTER_ROLE, role.cluster_role)
        if role.role is not None:
            bind(role.namespace, _ROLE, role.role)
        if role.rules:
            own_rules[role.namespace] = (*own_rules.get(role.namespace, ()), *role.rules)
    for namespace in own_rules:
        kind = _CLUSTER_ROLE if namespace is None else _ROLE
        own = Binding(name=own_name, namespace=namespace, role_kind=kind, role_name=own_name)
        bindings[own] = None
    return UserAccess(
        subjects=subjects,
        roles=tuple(
            OwnRole(name=own_name, namespace=namespace, rules=rules) for namespace, rules in own_rules.items()
        ),
        bindings=tuple(bindings),
        service_account=any(subject.kind == "ServiceAccount" for subject in subjects),
    )
