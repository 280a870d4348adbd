"""Rules about users, groups and IAM mappings: names, identities that are not theirs, and RBAC rules."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from pkigen.notation import format_duration
from pkigen.spec.findings import Location, SpecFinding, repeats, warning
from pkigen.spec.translation import quote
from pkigen.spec.users import User, gives_rights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import timedelta

    from pkigen.spec.model import ClusterSpec
    from pkigen.spec.users import IAMMapping, NamespacedRole, PolicyRule, UserGroup


SYSTEM_PREFIX: Final = "system:"
_LABEL: Final = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST_SUBDOMAIN: Final = 253
_VARIABLE: Final = re.compile(r"\{\{(.*?)\}\}")
_VARIABLES: Final = frozenset(
    {"AccessKeyID", "AccountID", "EC2PrivateDNSName", "SessionName", "SessionNameRaw"}
)
_API_VERSION: Final = re.compile(r"v[0-9]+(?:(?:alpha|beta)[0-9]+)?")
_VERBS: Final = frozenset(
    {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
    | {"impersonate", "bind", "escalate"}
)
_OTHERS: Final = ("serviceaccount:", "iam:")
RESERVED_USERS: Final = frozenset(
    {"kubernetes-admin", "kubernetes-super-admin", "kube-apiserver", "kube-apiserver-kubelet-client"}
)
RESERVED_GROUPS: Final = frozenset({"kubeadm:cluster-admins"})
_MASTERS: Final = "system:masters"
# Letters of other alphabets, and other colons, that look like those of `system:` and stay apart under NFKD
# (Unicode's confusables.txt).
_CONFUSABLE: Final = str.maketrans("ѕꜱуүʏтτᴛеєᴇмᴍ꞉∶׃։ː", "ssyyyttteeemm:::::")  # noqa: RUF001 -- they are meant


def reserved_by_look(name: str, reserved: frozenset[str]) -> bool:
    """Whether a name is Kubernetes' own, or looks like it: by case, width, accents, spaces or alphabet."""
    plain = unicodedata.normalize("NFKD", name).casefold().translate(_CONFUSABLE)
    # Compared as people see it: a reviewer of a spec could not tell such a name from Kubernetes' own.
    looks = "".join(each for each in plain if not each.isspace() and not unicodedata.combining(each))
    return looks.startswith(SYSTEM_PREFIX) or looks in reserved


def is_reserved_user(name: str) -> bool:
    """Whether a user name belongs to Kubernetes itself."""
    return reserved_by_look(name, RESERVED_USERS)


def is_reserved_group(name: str) -> bool:
    """Whether a group belongs to Kubernetes itself."""
    return reserved_by_look(name, RESERVED_GROUPS)


def _user_names(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """No two users have the same file."""
    first: dict[str, int] = {}
    for index, user in enumerate(spec.spec.users):
        # In lower case: some file systems do not tell `Dev` from `dev`.
        before = first.setdefault(user.stem.lower(), index)
        if before != index:
            other = spec.spec.users[before].stem
            same = (
                "is the name" if other == user.stem else f"differs only in case from {quote(other)}, the name"
            )
            yield SpecFinding(
                at=("spec", "users", index, "name"),
                message=f"{quote(user.stem)} {same} of an earlier user: their files would be the same",
                given=(("spec", "users", index, "kind"), ("spec", "users", index, "namespace")),
            )
        if not user.is_service_account and user.name.startswith(_OTHERS):
            # rendering/access: a person's objects would have the names of an account's or a mapping's.
            yield SpecFinding(
                at=("spec", "users", index, "name"),
                message=f"must not begin with {' or '.join(_OTHERS)}: these names are reserved for other "
                "users' roles",
                given=(("spec", "users", index, "kind"),),
            )


def _service_accounts(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """What only service accounts have, and what they need for a token."""
    for index, user in enumerate(spec.spec.users):
        at: Location = ("spec", "users", index)
        if user.is_service_account:
            yield from _service_account(at, user, spec.spec.service_accounts.max_token_lifetime)
            continue
        for field in ("uid", "audiences"):
            if getattr(user, field):
                message = "is only for service accounts: write kind: ServiceAccount, or remove it"
                yield SpecFinding(at=(*at, field), message=message, given=((*at, "kind"),), on_key=True)


def _service_account(at: Location, user: User, longest: timedelta) -> Iterator[SpecFinding]:
    """What one of them needs and cannot have."""
    kind: tuple[Location, ...] = ((*at, "kind"),)
    if user.keeps_key:
        message = "is for people: a service account without a uid gets no token from pkigen anyway"
        yield SpecFinding(at=(*at, "credential"), message=message, given=kind, on_key=True)
    if user.namespace is None:
        yield SpecFinding(
            at=(*at, "namespace"), message="is missing: a service account needs a namespace", given=kind
        )
    if not _SUBDOMAIN.fullmatch(user.name) or len(user.name) > _LONGEST_SUBDOMAIN:
        message = "a service account's name has lower-case letters, digits, '-' and '.' only"
        yield SpecFinding(at=(*at, "name"), message=message, given=kind)
    if user.groups:
        message = "the API server gives service accounts their groups: bind roles to the account itself"
        yield SpecFinding(at=(*at, "groups"), message=message, given=kind)
    if user.validity > longest:
        # `pkigen rotate sa` drops the old key when the longest token that it signed is over.
        given = (*kind, ("spec", "serviceAccounts", "maxTokenLifetime"))
        message = f"is longer than spec.serviceAccounts.maxTokenLifetime ({format_duration(longest)})"
        yield SpecFinding(at=(*at, "validity"), message=message, given=given)


def _system_identities(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Names and groups of Kubernetes' own are asked for on purpose, with a reason."""
    for index, user in enumerate(spec.spec.users):
        yield from _identity(("spec", "users", index), user)
    for index, mapping in enumerate(spec.spec.iam):
        yield from _identity(("spec", "iam", index), mapping)


def _identity(at: Location, user: User | IAMMapping) -> Iterator[SpecFinding]:
    """What one user or mapping claims, and whether a reason is given for it."""
    claims = list(_claims(user))
    if user.allow_system_identity is None:
        for place, what in claims:
            yield SpecFinding(at=(*at, *place), message=what, given=((*at, "allowSystemIdentity"),))
    elif not claims:
        yield warning(
            (*at, "allowSystemIdentity"), "is not needed: the name and the groups are ordinary ones"
        )
    for index_ in repeats(user.groups):
        yield warning((*at, "groups", index_), f"{quote(user.groups[index_])} is given twice: remove it")


def _claims(user: User | IAMMapping) -> Iterator[tuple[Location, str]]:
    """Every reserved name or group that somebody gets, and where it stands."""
    person = isinstance(user, User)
    key, name = ("name", user.name) if isinstance(user, User) else ("username", user.username)
    way_out = (
        f"such {'a certificate' if person else 'an identity'} cannot be revoked by RBAC; choose another "
        "name, or write the reason into allowSystemIdentity"
    )
    if is_reserved_user(name):
        yield (key,), f"{quote(name)} is reserved for Kubernetes: {way_out}"
    for index, group in enumerate(user.groups):
        if is_reserved_group(group):
            yield ("groups", index), f"{quote(group)} is reserved for Kubernetes: {way_out}"


def _group_names(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """No two groups have the same file."""
    first: dict[str, str] = {}
    for at, group in _groups(spec):
        stem = group.stem.lower()
        if stem not in first:
            first[stem] = group.name
            continue
        message = f"{quote(group.name)} has an entry already: write all its rights there"
        if group.name != first[stem]:
            other = quote(first[stem])
            message = f"{quote(group.name)} differs only in case from {other}: their files would be the same"
        yield SpecFinding(at=(*at, "name"), message=message)


def _groups(spec: ClusterSpec) -> Iterator[tuple[Location, UserGroup]]:
    """Every group that is given rights by its name in the cluster, and where it stands."""
    for index, group in enumerate(spec.spec.groups):
        yield ("spec", "groups", index), group
    for number, issuer in enumerate(spec.token_issuers):
        for index, group in enumerate(issuer.groups):
            yield ("spec", "authentication", "jwt", number, "groups", index), issuer.bound(group)


def _group_rights(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Groups that are given something, and may be."""
    for at, group in _groups(spec):
        if not gives_rights(group):
            given = tuple((*at, key) for key in ("clusterRoles", "roles", "rules"))
            message = "is given nothing: write clusterRoles, roles or rules, or remove the entry"
            yield SpecFinding(at=at, message=message, given=given)
        fault = _reserved_for_rights(group)
        if fault is not None:
            given = ((*at, "allowSystemIdentity"),)
            yield SpecFinding(at=(*at, "name"), message=f"{quote(group.name)} {fault}", given=given)
        elif group.allow_system_identity is not None and not is_reserved_group(group.name):
            yield warning((*at, "allowSystemIdentity"), "is not needed: the group is an ordinary one")


def _reserved_for_rights(group: UserGroup) -> str | None:
    """Why nothing should be bound to a group; None where it may be."""
    if group.name == _MASTERS:
        # authorizer/rbac is never asked: genericapiserver puts NewPrivilegedGroups before it.
        return "bypasses RBAC: what is bound to it gives and takes nothing"
    if group.allow_system_identity is None and is_reserved_group(group.name):
        return (
            "is reserved for Kubernetes, which decides who is in it: choose another group, or write the "
            "reason into allowSystemIdentity"
        )
    return None


def _namespaced_roles(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Every role is given by exactly one of its ways."""
    for index, user in enumerate(spec.spec.users):
        yield from _roles_of(("spec", "users", index), user)
    for at, group in _groups(spec):
        yield from _roles_of(at, group)
    for index, mapping in enumerate(spec.spec.iam):
        yield from _roles_of(("spec", "iam", index), mapping)


def _roles_of(at: Location, user: User | UserGroup | IAMMapping) -> Iterator[SpecFinding]:
    """The roles and rules of one user or mapping."""
    for number, role in enumerate(user.roles):
        given = _grants(role)
        if len(given) != 1:
            what = f"has {' and '.join(given)}" if given else "grants nothing"
            yield SpecFinding(
                at=(*at, "roles", number),
                message=f"{what}: give exactly one of clusterRole, role and rules",
            )
        yield from _rules((*at, "roles", number, "rules"), role.rules, namespaced=True)
        yield from _without_effect((*at, "roles", number, "rules"), role.rules)
    yield from _rules((*at, "rules"), user.rules, namespaced=False)
    yield from _without_effect((*at, "rules"), user.rules)


def _grants(role: NamespacedRole) -> list[str]:
    """In which ways a role is given."""
    given = {"clusterRole": role.cluster_role, "role": role.role, "rules": role.rules}
    return [key for key, value in given.items() if value]


def _rules(at: Location, rules: Iterable[PolicyRule], *, namespaced: bool) -> Iterator[SpecFinding]:
    """What the API server would refuse in a rule."""
    # pkg/apis/rbac/validation/validation.go, ValidatePolicyRule
    for index, rule in enumerate(rules):
        here: Location = (*at, index)
        urls: tuple[Location, ...] = ((*here, "nonResourceURLs"),)
        if rule.non_resource_urls:
            if namespaced:
                yield SpecFinding(
                    at=(*here, "nonResourceURLs"),
                    message="URLs are in no namespace: give them in the user's own rules",
                )
            if rule.api_groups or rule.resources or rule.resource_names:
                yield SpecFinding(
                    at=here, message="has both resources and nonResourceURLs: make two rules of it"
                )
            continue
        if not rule.api_groups:
            message = 'is missing: write [""] for the core group'
            yield SpecFinding(at=(*here, "apiGroups"), message=message, given=urls)
        if not rule.resources:
            message = "is missing: name resources, or give nonResourceURLs"
            yield SpecFinding(at=(*here, "resources"), message=message, given=urls)


def _without_effect(at: Location, rules: Iterable[PolicyRule]) -> Iterator[SpecFinding]:
    """What the API server takes in a rule, and none of its requests ever matches."""
    # pkg/apis/rbac/v1/evaluation_helpers.go, APIGroupMatches and its kin
    for index, rule in enumerate(rules):
        is_of_core = "" in rule.api_groups
        for key, words, fault in (
            ("apiGroups", rule.api_groups, _fault_of_group),
            ("resources", rule.resources if is_of_core else (), _fault_of_letters),
            ("verbs", [verb for verb in rule.verbs if verb.lower() in _VERBS], _fault_of_letters),
            ("nonResourceURLs", rule.non_resource_urls, _fault_of_url),
        ):
            faults = [f"{quote(word)}, {better}" for word in words if (better := fault(word)) is not None]
            if faults:
                yield warning((*at, index, key), f"has what no request matches: {'; '.join(faults)}")


def _fault_of_group(group: str) -> str | None:
    """How a group of the API is written that is meant otherwise."""
    if group == "core" or _API_VERSION.fullmatch(group):
        return 'the core group is ""'
    return f"write {group.split('/', maxsplit=1)[0]} without a version" if "/" in group else None


def _fault_of_letters(word: str) -> str | None:
    """How a resource of the core group, or a verb of the API server's, is written."""
    return f"write {word.lower()}" if word != word.lower() else None


def _fault_of_url(url: str) -> str | None:
    """How paths are written: from the root on, and with a `*` at the end only."""
    if "*" in url.removesuffix("*"):
        return "a * stands at the end only"
    return None if url.startswith("/") or url == "*" else f"write /{url}"


def _iam_arns(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """One ARN, one mapping, and all in one partition."""
    first: dict[str, int] = {}
    for index, mapping in enumerate(spec.spec.iam):
        at: Location = ("spec", "iam", index, "arn")
        if first.setdefault(mapping.arn.lower(), index) != index:
            # aws-iam-authenticator keeps one mapping for each ARN, compared in lower case.
            yield SpecFinding(at=at, message="is mapped already: one ARN has one user name")
        # `arn:PARTITION:SERVICE:…`: aws, aws-cn, aws-us-gov and others, which have no accounts in common.
        partition = mapping.arn.split(":")[1]
        if partition != spec.spec.iam[0].arn.split(":")[1]:
            message = f"is of the partition {partition}, unlike the first: a cluster is in one partition"
            yield SpecFinding(at=at, message=message, given=(("spec", "iam", 0, "arn"),))


def _iam_usernames(spec: ClusterSpec) -> Iterator[SpecFinding]:
    """Variables of `aws-iam-authenticator` only, and no binding of a user name that has any."""
    for index, mapping in enumerate(spec.spec.iam):
        at: Location = ("spec", "iam", index)
        for variable in _VARIABLE.findall(mapping.username):
            if variable not in _VARIABLES:
                known = ", ".join(sorted(_VARIABLES))
                message = f"has the unknown variable {quote(variable)}: {known} are known"
                yield SpecFinding(at=(*at, "username"), message=message)
        grants = mapping.cluster_roles or mapping.roles or mapping.rules
        if mapping.has_variables and grants and not mapping.groups:
            message = "are missing: a user name with variables cannot be bound to a role, a group can"
            yield SpecFinding(at=(*at, "groups"), message=message, given=((*at, "username"),))


RULES: Final[tuple[Callable[[ClusterSpec], Iterator[SpecFinding]], ...]] = (
    _user_names,
    _service_accounts,
    _system_identities,
    _group_names,
    _group_rights,
    _namespaced_roles,
    _iam_arns,
    _iam_usernames,
)
