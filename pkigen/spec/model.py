"""The cluster spec as frozen types, in the order of the file; editors get its JSON Schema.

What a single value may be stands in `values` and `addresses`; large sections have a module of their own
(`components`, `certificates`, `authentication`, `users`). Rules that concern several values at once
(overlapping subnets, duplicate names, …) stand in `validation`. The text below a field is its description in
the JSON Schema.

Annotations are evaluated here, not postponed: pydantic would compile the text of each one again.
"""

import enum
from datetime import timedelta
from functools import cached_property
from ipaddress import IPv4Network
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, StrictBool, StrictInt

from pkigen import layout
from pkigen.errors import UsageError
from pkigen.notation import IPAddress, host_text
from pkigen.spec.addresses import parse_node_ip, split_host_port
from pkigen.spec.authentication import AuthenticatingProxy, Authentication, JWTIssuer
from pkigen.spec.certificates import CAKeys, Certificates, KeyHome, KubeadmCA
from pkigen.spec.components import APIServer, Component, Etcd, ExtraArg, Kubelet
from pkigen.spec.fields import (
    SAN,
    Address,
    AgeRecipient,
    ClusterName,
    DNSName,
    Duration,
    HostPort,
    ImageRepository,
    Network,
    NodeName,
    Port,
    Strict,
    Text,
    Version,
)
from pkigen.spec.users import IAMMapping, User, UserGroup

API_VERSION: Final = "pkigen/v1"
KIND: Final = "Cluster"
FRONT_PROXY_CLIENT: Final = "front-proxy-client"
"""The client certificate of the API servers by the front-proxy CA, and its common name."""


class Metadata(Strict):
    """What the cluster is called."""

    name: ClusterName
    """The cluster's name in kubeconfigs, any line of text; and the default name of the PKI directory, where _
    stands for what is neither a letter, a digit nor one of . _ -"""


class Networking(Strict):
    """The cluster's networks."""

    service_subnets: tuple[Network, ...] = Field(
        default=(IPv4Network("10.96.0.0/12"),), min_length=1, max_length=2
    )
    """One subnet, or one of each family for dual stack; the first one's first address is in the API server's
    certificate."""
    pod_subnets: tuple[Network, ...] = Field(default=(), max_length=2)
    """Given to the controller manager to allocate; empty leaves that to the network plugin."""
    dns_domain: DNSName = "cluster.local"
    """The cluster's DNS suffix."""


class EncryptionProvider(enum.StrEnum):
    """How the API server encrypts Secrets in etcd (`apiserver.config.k8s.io/v1` EncryptionConfiguration)."""

    SECRETBOX = "secretbox"
    AESCBC = "aescbc"
    AESGCM = "aesgcm"


class Encryption(Strict):
    """Encryption of Secrets at rest, with a key that pkigen generates."""

    provider: EncryptionProvider = EncryptionProvider.SECRETBOX
    """The cipher: secretbox by default."""
    resources: tuple[Text, ...] = Field(default=("secrets",), min_length=1)
    """What is encrypted, each resource with its group: secrets, deployments.apps, `*.apps`, `*.` (all of the
    core group), `*.*` (all); secrets by default."""


class ServiceAccounts(Strict):
    """What is known of the tokens that workloads hold."""

    max_token_lifetime: Duration = timedelta(hours=8760)
    """How long a token of the previous signing key may still be in use. The API server extends the tokens of
    Pods to a year unless --service-account-extend-token-expiration=false (pkg/serviceaccount/claims.go)."""


class Backups(Strict):
    """What is kept of what changes replaced."""

    keep: Annotated[StrictInt, Field(ge=1, le=1000)] = 10
    """How many backups stay in .pkigen/backups; 10 by default."""


class Role(enum.StrEnum):
    """What a node is for."""

    CONTROL_PLANE = "control-plane"
    ETCD = "etcd"
    WORKER = "worker"


class Node(Strict):
    """One host."""

    name: NodeName
    """The Node object's name; the kubelet registers with it."""
    roles: tuple[Role, ...] = Field(min_length=1)
    """What the node is for: control-plane, etcd, worker, or several of them."""
    addresses: tuple[Address, ...]
    """The node's IP addresses; the first is what the other nodes reach it at. Only a worker may have none:
    then its kubelet's serving certificate names none."""
    cert_sans: tuple[SAN, ...] = Field(default=(), alias="certSANs")
    """Additional names and addresses in this node's serving certificates."""
    bind_port: Port | None = None
    """The API server's port on this node, where it differs from apiServer.bindPort."""
    kubelet_extra_args: tuple[ExtraArg, ...] = ()
    """Flags for this node's kubelet; they replace kubelet.extraArgs of the same name."""
    keys: KeyHome | None = None
    """Where the private keys of this node's certificates are made; certificates.nodeKeys by default."""
    age_recipient: AgeRecipient | None = None
    """The public half of the node's age key: its bundles are sealed to it (`pkigen airgap node identity`)."""

    @property
    def advertise_address(self) -> IPAddress:
        """What the other nodes reach this one at."""
        return self.addresses[0]

    @property
    def host(self) -> str:
        """What people reach the node at: its first address, or its name."""
        return str(self.addresses[0]) if self.addresses else self.name

    @property
    def kubelet_addresses(self) -> tuple[IPAddress, ...]:
        """Where the API server finds the kubelet: the node's addresses, and those of the flag node-ip.

        A kubeadm configuration has one address for the API server and, with dual stack, two in that flag.
        """
        flags = [arg.value for arg in self.kubelet_extra_args if arg.name == "node-ip"]
        try:
            more = parse_node_ip(flags[-1]) if flags else ()
        except ValueError:
            more = ()  # a rule of its own reports it; the others look at the rest
        return tuple(dict.fromkeys((*self.addresses, *more)))

    def has(self, role: Role) -> bool:
        """Whether the node has this role."""
        return role in self.roles


class Runtime(enum.StrEnum):
    """What runs the control plane on a node."""

    STATIC_PODS = "static-pods"
    SYSTEMD = "systemd"


class ManagedFiles(enum.StrEnum):
    """The files beside certificates, keys and kubeconfigs, by what they are."""

    MANIFESTS = "manifests"
    KUBELET = "kubelet"
    ADDONS = "addons"


class Spec(Strict):
    """What the cluster is."""

    kubernetes_version: Version
    """The exact release of Kubernetes, such as v1.36.2."""
    runtime: Runtime = Runtime.STATIC_PODS
    """What runs the control plane: static Pods of the kubelet by default, or systemd units."""
    control_plane_endpoint: HostPort | None = None
    """The load balancer or name in front of the API servers; without it, clients use the first one alone."""
    image_repository: ImageRepository = "registry.k8s.io"
    """Where the control plane's images come from."""
    startup_timeout: Duration = timedelta(minutes=4)
    """How long a component of the control plane may take to start until the kubelet restarts it (static Pods
    only; kubeadm's timeouts.controlPlaneComponentHealthCheck)."""
    allow_unknown_flags: StrictBool = False
    """Whether extraArgs may hold flags that pkigen does not know, such as those of programs of one's own, and
    feature gates, components and emulated versions that Kubernetes' own do not take; false by default. What
    Kubernetes has removed is refused all the same."""
    # Defaults are constructed, not called for: to check one, pydantic would build its schema at import.
    networking: Networking = Networking.model_construct()
    """The cluster's subnets and its DNS suffix."""
    api_server: APIServer = APIServer.model_construct()
    """The API servers' port, names, flags and mounts."""
    controller_manager: Component = Component.model_construct()
    """The controller managers' flags and mounts."""
    scheduler: Component = Component.model_construct()
    """The schedulers' flags and mounts."""
    etcd: Etcd = Etcd.model_construct()
    """Where etcd runs, with which names and flags."""
    kubelet: Kubelet = Kubelet.model_construct()
    """What all kubelets have in common."""
    certificates: Certificates = Certificates.model_construct()
    """Which keys certificates have, how long they are valid, and who signs them."""
    authentication: Authentication | None = None
    """Whom API servers let in beside certificates: people of an issuer of tokens (OIDC), and who shows no
    credential. It is a file of the API servers' (--authentication-config); {} makes an empty one, so that
    the first issuer needs no restart."""
    encryption: Encryption | None = None
    """Encryption of Secrets at rest; without it, etcd holds them in clear text."""
    service_accounts: ServiceAccounts = ServiceAccounts.model_construct()
    """What pkigen has to know of service accounts' tokens."""
    backups: Backups = Backups.model_construct()
    """What is kept of what changes replaced."""
    manage: tuple[ManagedFiles, ...] = tuple(ManagedFiles)
    """Which files pkigen writes beside certificates, keys and kubeconfigs: manifests (of static Pods, or
    units with their flags), kubelet (its configuration and flags), addons (RBAC objects). All by default;
    what is left out is somebody else's, and stays as it is on the nodes (`pkigen adopt`)."""
    nodes: tuple[Node, ...] = Field()
    """The hosts that the cluster consists of. Without any (`[]`), the nodes are another distribution's: only
    the authority and people's kubeconfigs are made here (`pkigen export`, `pkigen adopt --from`)."""
    users: tuple[User, ...] = ()
    """People, programs and service accounts, with what they may do; they get a kubeconfig, unless they
    keep a key of their own."""
    groups: tuple[UserGroup, ...] = ()
    """Groups of users, with what everybody in them may do."""
    iam: tuple[IAMMapping, ...] = ()
    """IAM roles and users of AWS that come in through aws-iam-authenticator, as on EKS."""


class ClusterSpec(Strict):
    """A whole spec file."""

    model_config = ConfigDict(json_schema_extra={"required": ["apiVersion", "kind", "metadata", "spec"]})

    api_version: Literal["pkigen/v1"] = API_VERSION
    """The version of this format: pkigen/v1."""
    kind: Literal["Cluster"] = KIND
    """What the file describes: Cluster."""
    metadata: Metadata
    """What the cluster is called."""
    spec: Spec
    """What the cluster is."""

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self.metadata.name

    @property
    def file_name(self) -> str:
        """What files and directories of the cluster are called by: one name, visible, that no shell reads.

        Of two clusters that share it, the second finds the first one's lock file.
        """
        return layout.file_name_of(self.name)

    @cached_property
    def control_plane(self) -> tuple[Node, ...]:
        """The nodes that run an API server, by name: the spec's order means nothing."""
        nodes = (node for node in self.spec.nodes if node.has(Role.CONTROL_PLANE))
        return tuple(sorted(nodes, key=lambda node: node.name))

    @cached_property
    def etcd_members(self) -> tuple[Node, ...]:
        """The nodes that run etcd: those with that role, else the control plane; none if it is external."""
        if self.spec.etcd.external is not None:
            return ()
        dedicated = (node for node in self.spec.nodes if node.has(Role.ETCD))
        return tuple(sorted(dedicated, key=lambda node: node.name)) or self.control_plane

    @property
    def ca_keys_on_nodes(self) -> frozenset[KubeadmCA]:
        """The CAs whose keys the control plane has."""
        certificates = self.spec.certificates
        return frozenset(certificates.distribute_ca_keys if certificates.ca_keys is CAKeys.SITE else ())

    @property
    def signs_on_nodes(self) -> bool:
        """Whether the control plane has `ca.key`, and so a controller manager that signs."""
        return KubeadmCA.KUBERNETES in self.ca_keys_on_nodes

    def manages(self, files: ManagedFiles) -> bool:
        """Whether pkigen writes these files; what it does not write it may still read."""
        return files in self.spec.manage

    @property
    def token_issuers(self) -> tuple[JWTIssuer, ...]:
        """The issuers whose tokens API servers take beside their own."""
        authentication = self.spec.authentication
        return authentication.jwt if authentication is not None else ()

    @property
    def proxies(self) -> tuple[AuthenticatingProxy, ...]:
        """The proxies of one's own that may speak for anybody, by name."""
        authentication = self.spec.authentication
        own = authentication.proxies if authentication is not None else ()
        return tuple(sorted(own, key=lambda proxy: proxy.name))

    @property
    def front_proxy(self) -> str:
        """As whom API servers forward requests to those that extend them."""
        own = self.spec.certificates.overrides.get(FRONT_PROXY_CLIENT)
        return (own.user if own is not None else None) or FRONT_PROXY_CLIENT

    @property
    def front_proxies(self) -> tuple[str, ...]:
        """Whose headers are believed, by certificates of the front-proxy CA: their own, and proxies'."""
        return (self.front_proxy, *(proxy.name for proxy in self.proxies))

    @cached_property
    def groups(self) -> tuple[UserGroup, ...]:
        """All groups that get rights, by their names in the cluster: the spec's, and those of issuers."""
        return (
            *self.spec.groups,
            *(each.bound(group) for each in self.token_issuers for group in each.groups),
        )

    @property
    def service_account_issuers(self) -> tuple[str, ...]:
        """Whose service account tokens API servers take, the one that signs first."""
        return self._api_server_arguments("service-account-issuer") or (self.token_issuer,)

    @property
    def token_issuer(self) -> str:
        """Who signs service account tokens: the first --service-account-issuer."""
        given = self._api_server_arguments("service-account-issuer")
        return given[0] if given else f"https://kubernetes.default.svc.{self.spec.networking.dns_domain}"

    @property
    def api_audiences(self) -> tuple[str, ...]:
        """Whom tokens for the API server are for: --api-audiences, else every issuer."""
        given = self._api_server_arguments("api-audiences")
        if given:
            return tuple(audience for value in given for audience in value.split(","))
        return self.service_account_issuers

    def _api_server_arguments(self, name: str) -> tuple[str, ...]:
        return tuple(arg.value for arg in self.spec.api_server.extra_args if arg.name == name)

    def key_home(self, node: Node) -> KeyHome:
        """Where the private keys of a node's certificates are made, and stay."""
        return node.keys or self.spec.certificates.node_keys

    def api_port(self, node: Node) -> int:
        """The port of a control-plane node's API server."""
        return node.bind_port or self.spec.api_server.bind_port

    def local_server(self, node: Node) -> str:
        """The URL of the API server on this control-plane node."""
        return f"https://{host_text(node.advertise_address)}:{self.api_port(node)}"

    @cached_property
    def cluster_server(self) -> str:
        """The URL that reaches the control plane as a whole.

        Raises:
            UsageError: The nodes are another distribution's, and its endpoint is not known.
        """
        if self.spec.control_plane_endpoint is None:
            if not self.control_plane:
                raise UsageError(
                    "the spec does not say where the API server is: it has no nodes and no endpoint",
                    hint="set spec.controlPlaneEndpoint, or name a server on the command line",
                )
            return self.local_server(self.control_plane[0])
        host, port = split_host_port(self.spec.control_plane_endpoint)
        return f"https://{host_text(host)}:{port or self.spec.api_server.bind_port}"
