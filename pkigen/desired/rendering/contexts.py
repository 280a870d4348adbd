"""The variables of the templates other than manifests: one frozen class per template."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from pkigen.records import dataclass

if TYPE_CHECKING:
    from pkigen.notation import IPAddress
    from pkigen.spec.addresses import IPNetwork
    from pkigen.spec.users import PolicyRule


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeconfigContext:
    """What every kubeconfig says but for the credential; `trust_bundle` is base64 of PEM."""

    server: str
    cluster: str
    user: str
    context: str
    namespace: str | None
    trust_bundle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateKubeconfig(KubeconfigContext):
    """`kubeconfig.yaml`; both are base64 of PEM."""

    certificate: str
    # Not in the repr: a traceback or a log may show a context.
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamingKubeconfig:
    """`naming-kubeconfig.yaml`; the last three are paths on the node."""

    server: str
    cluster: str
    user: str
    context: str
    trust_bundle: str
    certificate: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKubeconfig(KubeconfigContext):
    """`token-kubeconfig.yaml`."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginKubeconfig(KubeconfigContext):
    """`login-kubeconfig.yaml`; `arguments` are kubectl's."""

    arguments: tuple[str, ...]
    install_hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionKey:
    """A key under the name that stored data knows it by; `secret` is base64."""

    name: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionConfiguration:
    """`encryption-config.yaml`; the first key writes, all of them read."""

    provider: str
    resources: tuple[str, ...]
    keys: tuple[EncryptionKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusingAuthorizer:
    """An authorizer that refuses whom all of its conditions hold for."""

    name: str
    conditions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationConfiguration:
    """`authorization-config.yaml`; `webhook` is the path of the kubeconfig that leads nowhere."""

    webhook: str
    refusals: tuple[RefusingAuthorizer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationWebhook:
    """`authorization-webhook.yaml`."""

    server: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssuer:
    """An issuer of `authentication-config.yaml`; rules and mappings are those fields that are given."""

    url: str
    discovery_url: str | None
    certificate_authority: str | None
    audiences: tuple[str, ...]
    audience_match_policy: str | None
    egress_selector_type: str | None
    claim_rules: tuple[tuple[tuple[str, str], ...], ...]
    mappings: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    extra: tuple[tuple[str, str], ...]
    user_rules: tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnonymousAccess:
    """Whether requests without a credential are let in, and for which paths; without any, for all."""

    enabled: bool
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationConfiguration:
    """`authentication-config.yaml`."""

    api_version: str
    issuers: tuple[TokenIssuer, ...]
    anonymous: AnonymousAccess | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletConfiguration:
    """`kubelet/config.yaml`."""

    client_ca_file: str
    tls_cert_file: str
    tls_private_key_file: str
    cluster_dns: tuple[str, ...]
    cluster_domain: str
    rotate_certificates: bool
    static_pod_path: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeProxyConfiguration:
    """`kube-proxy/config.yaml`."""

    bind_address: str
    kubeconfig: str
    cluster_cidr: str
    hostname_override: str
    mode: str | None
    """None says nothing of it, which kube-proxy takes for iptables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The templates in `systemd/`."""

    program: str
    environment_file: str
    variable: str
    data_directory: str
    ordered_after: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdClient:
    """How an API server reaches etcd; an external one may do without certificates."""

    servers: tuple[str, ...]
    ca_file: str | None
    cert_file: str | None
    key_file: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class APIServerFlags:
    """`flags/kube-apiserver.j2`; `directory` is that of the certificates on the node."""

    advertise_address: IPAddress
    authentication_config: str | None
    authorization_config: str | None
    authorization_mode: str | None
    directory: str
    dns_domain: str
    encrypts: bool
    etcd: EtcdClient
    front_proxies: tuple[str, ...]
    secure_port: int
    service_account_keys: tuple[str, ...]
    service_subnets: tuple[IPNetwork, ...]
    verifies_kubelets: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagFile:
    """The environment files in `flags/`."""

    variable: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A RoleBinding, or a ClusterRoleBinding where there is no namespace."""

    name: str
    namespace: str | None
    role_kind: str
    role_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRole:
    """A Role, or a ClusterRole where there is no namespace, made for one user."""

    name: str
    namespace: str | None
    rules: tuple[PolicyRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingSubject:
    """Whom a binding gives a role to; only service accounts live in a namespace."""

    kind: str
    name: str
    namespace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAccess:
    """`addons/user.yaml`, `addons/group.yaml`, and `addons/iam.yaml` for several of them.

    `service_account` says that the one subject is one, whose object is made, too.
    """

    subjects: tuple[BindingSubject, ...]
    roles: tuple[OwnRole, ...]
    bindings: tuple[Binding, ...]
    service_account: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IAMAccess:
    """`addons/iam.yaml`."""

    mappings: tuple[UserAccess, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAdmins:
    """`addons/cluster-admins.yaml`."""

    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletClient:
    """`addons/apiserver-kubelet-client.yaml`."""

    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTrust:
    """`addons/cluster-trust-bundle.yaml`; `trust_bundle` is PEM."""

    trust_bundle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRotation:
    """`addons/node-certificate-rotation.yaml`."""

    group: str
