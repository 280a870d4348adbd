"""Who comes in, and what they may do: `spec.users` and `spec.iam` as types, in the manner of `model`."""

import enum
from datetime import timedelta

from pydantic import Field

from pkigen.spec.fields import (
    IAMARN,
    UID,
    CertifiedName,
    DNSLabel,
    Duration,
    Line,
    PersonName,
    RoleName,
    Strict,
    Text,
)
from pkigen.spec.values import person_stem


class UserKind(enum.StrEnum):
    """What a user is to Kubernetes."""

    USER = "User"
    SERVICE_ACCOUNT = "ServiceAccount"


class UserCredential(enum.StrEnum):
    """Who makes what a person comes in with."""

    ISSUED = "issued"
    EXTERNAL = "external"


class PolicyRule(Strict):
    """An RBAC rule (`rbac.authorization.k8s.io/v1` PolicyRule)."""

    api_groups: tuple[Line, ...] = ()
    """The API groups that the resources are in; "" is the core group, "*" is all."""
    resources: tuple[Text, ...] = ()
    """The kinds of objects, in the plural: pods, deployments, pods/log; "*" is all."""
    verbs: tuple[Text, ...] = Field(min_length=1)
    """What may be done: get, list, watch, create, update, patch, delete, …; "*" is everything."""
    resource_names: tuple[Text, ...] = ()
    """The names of the only objects that the rule is about; without any, it is about all of them."""
    non_resource_urls: tuple[Text, ...] = Field(default=(), alias="nonResourceURLs")
    """Paths of the API server that are no objects, such as /metrics; instead of resources."""


class NamespacedRole(Strict):
    """What a user may do in one namespace: a ClusterRole, a Role, or rules of its own."""

    namespace: DNSLabel
    """The namespace that the role counts in."""
    cluster_role: RoleName | None = None
    """The name of an existing ClusterRole to bind in this namespace, such as view or edit."""
    role: RoleName | None = None
    """The name of an existing Role of this namespace to bind."""
    rules: tuple[PolicyRule, ...] = ()
    """Rules from which a Role of the user's own is made in this namespace."""


class User(Strict):
    """A person or program that comes in with a client certificate, or a service account with a token."""

    name: CertifiedName
    """Becomes the certificate's common name, and so the user name; or the service account's name."""
    kind: UserKind = UserKind.USER
    """A User gets a client certificate; a ServiceAccount gets its object, bindings and, once its UID is
    known, a kubeconfig with a token."""
    credential: UserCredential = UserCredential.ISSUED
    """With issued, the default, pkigen makes a key, a certificate and a kubeconfig; with external, rights
    alone: the person keeps a key that `pkigen access sign` or the cluster certifies, or comes in by OIDC."""
    groups: tuple[CertifiedName, ...] = ()
    """Become the certificate's organizations, and so the groups. A service account has its own."""
    validity: Duration = timedelta(hours=720)
    """How long the client certificate or the token is valid: 30 days by default, which is short because
    neither can be revoked."""
    namespace: DNSLabel | None = None
    """The kubeconfig's default namespace; the one that a service account lives in."""
    uid: UID | None = None
    """A service account's UID: the API server makes it, and takes no token that has not got it."""
    audiences: tuple[Text, ...] = ()
    """Whom a service account's token is for; without any, the API server."""
    cluster_roles: tuple[RoleName, ...] = ()
    """Names of existing ClusterRoles, bound for the user across the cluster."""
    roles: tuple[NamespacedRole, ...] = ()
    """What the user may do in single namespaces."""
    rules: tuple[PolicyRule, ...] = ()
    """Rules from which a ClusterRole of the user's own is made."""
    allow_system_identity: Text | None = None
    """The reason why this user may have a name or group that begins with system:."""

    @property
    def is_service_account(self) -> bool:
        """Whether this is a service account and no person."""
        return self.kind is UserKind.SERVICE_ACCOUNT

    @property
    def keeps_key(self) -> bool:
        """Whether this is a person whose key pkigen never has."""
        return self.credential is UserCredential.EXTERNAL

    @property
    def username(self) -> str:
        """Who the API server says that this is (apiserver `serviceaccount.MakeUsername`)."""
        return f"system:serviceaccount:{self.namespace}:{self.name}" if self.is_service_account else self.name

    @property
    def stem(self) -> str:
        """What the user's files and objects are called by: without colons, at which $KUBECONFIG is split."""
        return f"{self.namespace}.{self.name}" if self.is_service_account else person_stem(self.name)


class UserGroup(Strict):
    """What everybody in a group may do, wherever their credential comes from."""

    name: PersonName
    """The group: an organization of client certificates, or what another authenticator gives."""
    cluster_roles: tuple[RoleName, ...] = ()
    """Names of existing ClusterRoles, bound for the group across the cluster."""
    roles: tuple[NamespacedRole, ...] = ()
    """What the group may do in single namespaces."""
    rules: tuple[PolicyRule, ...] = ()
    """Rules from which a ClusterRole of the group's own is made."""
    allow_system_identity: Text | None = None
    """The reason why rights are given to a group that is reserved for Kubernetes."""

    @property
    def stem(self) -> str:
        """What the group's files and objects are called by."""
        return person_stem(self.name)


class IAMMapping(Strict):
    """An IAM role or user of AWS, and who it is in the cluster (`aws-auth`)."""

    arn: IAMARN
    """The ARN of the role or user itself, never of a session."""
    username: Text
    """The user name; may hold aws-iam-authenticator's variables such as {{SessionName}}."""
    groups: tuple[PersonName, ...] = ()
    """The groups that the role or user is in."""
    cluster_roles: tuple[RoleName, ...] = ()
    """Names of existing ClusterRoles, bound for the user across the cluster; for the groups where the user
    name has variables."""
    roles: tuple[NamespacedRole, ...] = ()
    """What the user may do in single namespaces; the groups, where the user name has variables."""
    rules: tuple[PolicyRule, ...] = ()
    """Rules from which a ClusterRole of the mapping's own is made."""
    allow_system_identity: Text | None = None
    """The reason why this mapping may have a name or group that begins with system:."""

    @property
    def has_variables(self) -> bool:
        """Whether the user name is different in each session."""
        return "{{" in self.username


def gives_rights(who: User | UserGroup | IAMMapping) -> bool:
    """Whether anything is bound for somebody by the spec."""
    return bool(who.cluster_roles or who.roles or who.rules)
