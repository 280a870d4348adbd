"""**The** list of everything that must exist, derived from the spec.

Issuing, rendering, planning, verifying and the documentation all derive from it. A newcomer who adds a
certificate adds one entry here. The order is: issuers before what they sign, the authority before the nodes,
nodes by name, so that neither the order of nodes in the spec nor the run changes any output.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.profiles import Profile
from pkigen.spec.model import (
    Authority,
    CAKeys,
    ClusterSpec,
    IPAddress,
    KeyHome,
    Node,
    Override,
    Runtime,
    User,
    split_host_port,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import timedelta

    from pkigen.keys import KeyAlgorithm


class CA(enum.StrEnum):
    """The three root CAs, by kubeadm's file names."""

    KUBERNETES = "ca"
    ETCD = "etcd/ca"
    FRONT_PROXY = "front-proxy-ca"

    @property
    def common_name(self) -> str:
        """The subject that kubeadm gives it (`certlist.go`)."""
        return {CA.KUBERNETES: "kubernetes", CA.ETCD: "etcd-ca", CA.FRONT_PROXY: "front-proxy-ca"}[self]

    @property
    def certificate_name(self) -> str:
        """Its name in `overrides`, plans and reports."""
        return self.value.replace("/", "-")


class Phase(enum.StrEnum):
    """How far the rotation of a CA, of the service account key or of the encryption key is."""

    STABLE = "stable"
    PREPARED = "prepared"
    PROMOTED = "promoted"


class Slot(enum.StrEnum):
    """Where the authority keeps the generations of one thing: the suffix of its file names."""

    CURRENT = ""
    NEXT = "-next"
    PREVIOUS = "-previous"


OTHER_SLOT = {Phase.PREPARED: Slot.NEXT, Phase.PROMOTED: Slot.PREVIOUS}
"""Which generation is trusted beside the current one, which signs."""


class FileKind(enum.StrEnum):
    """The rendered files; each has one template or one structure in `rendering`."""

    ETCD = "etcd"
    KUBE_APISERVER = "kube-apiserver"
    KUBE_CONTROLLER_MANAGER = "kube-controller-manager"
    KUBE_SCHEDULER = "kube-scheduler"
    ETCD_UNIT = "etcd.service"
    KUBE_APISERVER_UNIT = "kube-apiserver.service"
    KUBE_CONTROLLER_MANAGER_UNIT = "kube-controller-manager.service"
    KUBE_SCHEDULER_UNIT = "kube-scheduler.service"
    KUBELET_UNIT = "kubelet.service"
    KUBE_PROXY_UNIT = "kube-proxy.service"
    ETCD_FLAGS = "etcd.flags"
    KUBE_APISERVER_FLAGS = "kube-apiserver.flags"
    KUBE_CONTROLLER_MANAGER_FLAGS = "kube-controller-manager.flags"
    KUBE_SCHEDULER_FLAGS = "kube-scheduler.flags"
    KUBELET_FLAGS = "kubelet.flags"
    KUBE_PROXY_FLAGS = "kube-proxy.flags"
    KUBELET_CONFIGURATION = "kubelet-configuration"
    KUBE_PROXY_CONFIGURATION = "kube-proxy-configuration"
    ENCRYPTION_CONFIGURATION = "encryption-configuration"
    ADDON_CLUSTER_ADMINS = "addon-cluster-admins"
    ADDON_KUBELET_CLIENT = "addon-kubelet-client"
    ADDON_NODE_ROTATION = "addon-node-rotation"
    ADDON_USER = "addon-user"
    ADDON_IAM = "addon-iam"


class MaterialKind(enum.StrEnum):
    """What of the authority is copied to nodes."""

    TRUST_BUNDLE = "trust bundle"
    SIGNING_CERTIFICATE = "signing certificate"
    CA_KEY = "CA key"
    SA_PRIVATE_KEY = "service account signing key"
    SA_PUBLIC_KEY = "service account public key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A distinguished name as Kubernetes reads it: CN is the user, O are the groups."""

    common_name: str
    organizations: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ",".join([f"CN={self.common_name}", *(f"O={name}" for name in self.organizations)])


@dataclass(frozen=True, slots=True, kw_only=True)
class SANs:
    """Subject alternative names: DNS names sorted, addresses in order of importance, both without repeats."""

    dns_names: tuple[str, ...] = ()
    addresses: tuple[IPAddress, ...] = ()

    @classmethod
    def of(cls, *names: str | IPAddress) -> SANs:
        """Sort out names and addresses given as text or as addresses."""
        dns_names: set[str] = set()
        addresses: dict[IPAddress, None] = {}
        for name in names:
            if isinstance(name, IPv4Address | IPv6Address):
                addresses[name] = None
                continue
            try:
                addresses[ip_address(name)] = None
            except ValueError:
                dns_names.add(name.lower())
        return cls(dns_names=tuple(sorted(dns_names)), addresses=tuple(addresses))

    def texts(self) -> tuple[str, ...]:
        """Every name as text, DNS names first."""
        return (*self.dns_names, *(str(address) for address in self.addresses))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPairFiles:
    """A certificate and its private key as two PEM files."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFile:
    """A certificate alone, as a PEM file: its private key is elsewhere for good."""

    certificate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InKubeconfig:
    """A certificate and its private key embedded in a kubeconfig."""

    kubeconfig: str


Location = KeyPairFiles | CertificateFile | InKubeconfig
"""Where a certificate stands, and its private key with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredCertificate:
    """A certificate, CA or leaf, and its private key.

    `id` is unique (`cp-1/apiserver`); `name` is kubeadm's and shared by all nodes (`apiserver`).
    `issuer` is None for a root CA. `renew_before` counts back from the end of validity. Where `key_home` is
    the node, the PKI directory holds the certificate alone, and kubeconfigs without their key.
    """

    id: str
    name: str
    node: str | None
    issuer: CA | None
    subject: Subject
    sans: SANs
    profile: Profile
    validity: timedelta
    renew_before: timedelta
    key_algorithm: KeyAlgorithm
    location: Location
    key_home: KeyHome = KeyHome.AUTHORITY

    @property
    def key_is_elsewhere(self) -> bool:
        """Whether the private key was made on the node and never leaves it."""
        return self.key_home is KeyHome.NODE


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredKeyPair:
    """The service account signing key: a key pair, not a certificate."""

    id: str
    key_algorithm: KeyAlgorithm
    private_path: str
    public_path: str
    slot: Slot = Slot.CURRENT


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredSecret:
    """Random bytes that the authority keeps, base64 in a file.

    That is the key that encrypts Secrets in etcd, and the one that signs node bundles.
    """

    id: str
    path: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredCopy:
    """A file on a node whose bytes are the authority's."""

    path: str
    node: str
    mode: int
    material: MaterialKind
    ca: CA | None = None
    slot: Slot = Slot.CURRENT


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredKubeconfig:
    """A kubeconfig with CA, certificate and key embedded; the certificate follows it in the inventory."""

    id: str
    path: str
    node: str | None
    server: str
    cluster: str
    user: str
    trust: CA
    certificate: str
    namespace: str | None = None

    @property
    def context(self) -> str:
        """The context's name, as kubeadm forms it."""
        return f"{self.user}@{self.cluster}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredFile:
    """A rendered file with no certificate in it; `secret` says that its bytes must not be shown or hashed."""

    path: str
    node: str | None
    mode: int
    kind: FileKind
    user: str | None = None
    secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredToken:
    """A kubeconfig with a service account's token in it, signed by the service account key.

    `uid` is that of the live object. `renew_before` counts back from the token's end.
    """

    id: str
    path: str
    server: str
    cluster: str
    trust: CA
    namespace: str
    account: str
    uid: str
    issuer: str
    audiences: tuple[str, ...]
    validity: timedelta
    renew_before: timedelta

    @property
    def user(self) -> str:
        """What the kubeconfig calls the credential."""
        return f"{self.namespace}:{self.account}"

    @property
    def context(self) -> str:
        """The context's name."""
        return f"{self.user}@{self.cluster}"


Desired = (
    DesiredCertificate
    | DesiredKeyPair
    | DesiredSecret
    | DesiredCopy
    | DesiredKubeconfig
    | DesiredToken
    | DesiredFile
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotations:
    """Which rotations are under way, by the id of what rotates; and what the next CA of each is called."""

    phases: Mapping[str, Phase] = field(default_factory=dict)
    next_names: Mapping[str, str] = field(default_factory=dict)

    def phase(self, identifier: str) -> Phase:
        """The phase of one CA, of `sa` or of `encryption-key`."""
        return self.phases.get(identifier, Phase.STABLE)

    def other(self, identifier: str) -> Slot | None:
        """Which generation is trusted beside the current one."""
        return OTHER_SLOT.get(self.phase(identifier))

    def slots(self, identifier: str) -> tuple[Slot, ...]:
        """The generations that are there, the one that signs first."""
        other = self.other(identifier)
        return (Slot.CURRENT,) if other is None else (Slot.CURRENT, other)


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdMembership:
    """Which members began the etcd cluster together, and which joined it later, in that order.

    A member that joins must be started with the members that are there already and with the cluster's state
    `existing`; started like a founder, it would wait for a cluster of its own (etcd `server/etcdserver/
    bootstrap.go`).
    """

    founders: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()

    def grown(self, members: Collection[str]) -> EtcdMembership:
        """The membership once these are the members: who is new joins, unless nobody is left to be joined."""
        known = {*self.founders, *self.joined}
        if not known.intersection(members):
            return EtcdMembership(founders=tuple(sorted(members)))
        return EtcdMembership(
            founders=tuple(name for name in self.founders if name in members),
            joined=(*(name for name in self.joined if name in members), *sorted(set(members) - known)),
        )

    def known_to(self, member: str) -> tuple[str, ...]:
        """The members that one starts with: the founders and, for one that joins, who joined before it."""
        if member not in self.joined:
            return self.founders
        return (*self.founders, *self.joined[: self.joined.index(member) + 1])


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """Everything that must exist, issuers first."""

    cluster: ClusterSpec
    items: tuple[Desired, ...]
    rotations: Rotations
    etcd: EtcdMembership

    @cached_property
    def certificates(self) -> dict[str, DesiredCertificate]:
        """Certificates by id, issuers first."""
        return {item.id: item for item in self.items if isinstance(item, DesiredCertificate)}

    @cached_property
    def authorities(self) -> tuple[CA, ...]:
        """The CAs of this cluster: all three, but for etcd's where etcd is external."""
        return tuple(ca for ca in CA if ca_id(ca) in self.certificates)

    @cached_property
    def kubeconfigs(self) -> dict[str, DesiredKubeconfig]:
        """Kubeconfigs by path."""
        return {item.path: item for item in self.items if isinstance(item, DesiredKubeconfig)}

    @cached_property
    def tokens(self) -> dict[str, DesiredToken]:
        """Service accounts' tokens by id."""
        return {item.id: item for item in self.items if isinstance(item, DesiredToken)}

    @property
    def ca_keys(self) -> CAKeys:
        """Where the CAs' private keys are."""
        return self.cluster.spec.certificates.ca_keys

    def is_signed_offline(self, item: DesiredCertificate) -> bool:
        """Whether only the offline authority can issue this certificate."""
        if self.cluster.spec.certificates.authority is Authority.LOCAL:
            return False
        return item.issuer is None or self.ca_keys is CAKeys.OFFLINE

    @cached_property
    def paths(self) -> frozenset[str]:
        """Every path that the inventory puts a file at."""
        return frozenset(path for item in self.items for path in paths_of(item))


def paths_of(item: Desired) -> tuple[str, ...]:
    """The files that one item consists of in the PKI directory."""
    match item:
        case DesiredCertificate(location=KeyPairFiles() as files) if item.key_is_elsewhere:
            return (files.certificate,)
        case DesiredCertificate(location=KeyPairFiles() as files):
            return (files.certificate, files.key)
        case DesiredCertificate(location=CertificateFile() as file):
            return (file.certificate,)
        case DesiredCertificate():
            return ()
        case DesiredKeyPair():
            return (item.private_path, item.public_path)
        case _:
            return (item.path,)


def private_paths(inventory: Inventory) -> tuple[str, ...]:
    """Every private file of the authority itself: CA keys, service account keys, secrets."""
    found: list[str] = []
    for item in inventory.items:
        match item:
            case DesiredCertificate(issuer=None, location=KeyPairFiles() as files):
                found.append(files.key)
            case DesiredKeyPair():
                found.append(item.private_path)
            case DesiredSecret():
                found.append(item.path)
            case _:
                pass
    return tuple(found)


def file_of(item: DesiredCertificate) -> str:
    """The file that a certificate stands in."""
    location = item.location
    return location.kubeconfig if isinstance(location, InKubeconfig) else location.certificate


def carriers(inventory: Inventory, authorities: Collection[CA]) -> frozenset[str]:
    """The ids of what holds a copy of one of these CAs' certificates: bundles, signing files, kubeconfigs."""
    copies = (
        item.path
        for item in inventory.items
        if isinstance(item, DesiredCopy)
        and item.ca in authorities
        and item.material is not MaterialKind.CA_KEY
    )
    kubeconfigs = (each.certificate for each in inventory.kubeconfigs.values() if each.trust in authorities)
    return frozenset((*copies, *kubeconfigs))


SUPER_ADMIN = "super-admin.conf"
CLUSTER_ADMINS = "kubeadm:cluster-admins"
NODES = "system:nodes"
KUBELET_CLIENT_USER = "kube-apiserver-kubelet-client"
FRONT_PROXY_USER = "front-proxy-client"

_LOCALHOST: tuple[IPAddress | str, ...] = ("localhost", IPv4Address("127.0.0.1"), IPv6Address("::1"))


def ca_id(ca: CA) -> str:
    """The id of a CA's certificate."""
    return ca.certificate_name


SA = "sa"
ENCRYPTION_KEY = "encryption-key"
ENCRYPTION_KEY_SIZE = 32
BUNDLE_KEY = "bundle-key"
BUNDLE_KEY_PATH = layout.authority_path("bundle.key")
BUNDLE_KEY_SIZE = 32  # an Ed25519 seed (RFC 8032 5.1.5): any 32 random bytes are one


def derive(
    cluster: ClusterSpec, rotations: Rotations | None = None, etcd: EtcdMembership | None = None
) -> Inventory:
    """Derive everything that must exist from a valid spec.

    Args:
        cluster: The spec.
        rotations: Those that are under way.
        etcd: The membership before this spec; without it, all members begin together.
    """
    known = rotations or Rotations()
    return Inventory(
        cluster=cluster,
        items=tuple(_Derivation(cluster, known).items()),
        rotations=known,
        etcd=(etcd or EtcdMembership()).grown([member.name for member in cluster.etcd_members]),
    )


class _Derivation:
    """The walk from the spec to the list; kept together because every step needs the spec's defaults."""

    def __init__(self, cluster: ClusterSpec, rotations: Rotations) -> None:
        self._cluster = cluster
        self._rotations = rotations
        self._spec = cluster.spec
        self._settings = cluster.spec.certificates
        self._control_plane = {node.name for node in cluster.control_plane}
        self._members = {node.name for node in cluster.etcd_members}
        self._first = min(self._control_plane, default="")

    # -- the whole ------------------------------------------------------------------------------------

    def items(self) -> Iterator[Desired]:
        yield from self._authority()
        for node in sorted(self._spec.nodes, key=lambda node: node.name):
            yield from self._node(node)
        for user in sorted(self._spec.users, key=lambda user: user.stem):
            yield from self._service_account(user) if user.is_service_account else self._person(user)
        if any(mapping.cluster_roles or mapping.roles or mapping.rules for mapping in self._spec.iam):
            yield _addon("iam", FileKind.ADDON_IAM)
        yield _addon("cluster-admins", FileKind.ADDON_CLUSTER_ADMINS)
        yield _addon("apiserver-kubelet-client", FileKind.ADDON_KUBELET_CLIENT)
        if self._spec.kubelet.rotate_certificates:
            # Without it the kubelets' requests stay pending, and each keeps its first certificate to its end.
            yield _addon("node-certificate-rotation", FileKind.ADDON_NODE_ROTATION)

    def _authority(self) -> Iterator[Desired]:
        for ca in CA:
            if ca is CA.ETCD and not self._members:
                continue
            for slot in self._rotations.slots(ca_id(ca)):
                name = ca.common_name
                if slot is Slot.NEXT:
                    name = self._rotations.next_names.get(ca_id(ca), name)
                yield self._certificate(
                    f"{ca_id(ca)}{slot}",
                    node=None,
                    issuer=None,
                    subject=Subject(common_name=name),
                    # kubeadm gives a CA its common name as a DNS name (pki_helpers.go NewSelfSignedCACert).
                    sans=SANs.of(name),
                    profile=self._ca_profile(),
                    location=self._ca_location(layout.authority_path(f"{ca}{slot}")),
                    validity=self._settings.ca_validity,
                )
        for slot in self._rotations.slots(SA):
            yield DesiredKeyPair(
                id=f"{SA}{slot}",
                key_algorithm=self._settings.key_algorithm,
                private_path=sa_path(slot, layout.SA_PRIVATE_KEY),
                public_path=sa_path(slot, layout.SA_PUBLIC_KEY),
                slot=slot,
            )
        if self._spec.encryption is not None:
            for slot in self._rotations.slots(ENCRYPTION_KEY):
                yield DesiredSecret(
                    id=f"{ENCRYPTION_KEY}{slot}", path=encryption_key_path(slot), size=ENCRYPTION_KEY_SIZE
                )
        yield DesiredSecret(id=BUNDLE_KEY, path=BUNDLE_KEY_PATH, size=BUNDLE_KEY_SIZE)

    def _ca_profile(self) -> Profile:
        settings = self._settings
        if settings.authority is Authority.OFFLINE and settings.ca_keys is CAKeys.SITE:
            return Profile.INTERMEDIATE
        return Profile.CA

    def _ca_location(self, stem: str) -> Location:
        pair = _pair(stem)
        if self._settings.ca_keys is CAKeys.OFFLINE:
            return CertificateFile(certificate=pair.certificate)
        return pair

    # -- nodes ----------------------------------------------------------------------------------------

    def _node(self, node: Node) -> Iterator[Desired]:
        control_plane, member = node.name in self._control_plane, node.name in self._members
        yield self._copy(node, "ca.crt", MaterialKind.TRUST_BUNDLE, CA.KUBERNETES)
        if member or (control_plane and self._members):
            yield self._copy(node, "etcd/ca.crt", MaterialKind.TRUST_BUNDLE, CA.ETCD)
        if member:
            yield from self._etcd_member(node)
        if control_plane:
            yield from self._control_plane_node(node)
        yield from self._kubelet(node)
        if self._spec.runtime is Runtime.SYSTEMD:
            yield from self._kube_proxy(node)

    def _etcd_member(self, node: Node) -> Iterator[Desired]:
        etcd = self._spec.etcd
        common = (node.name, *node.addresses, *sorted(node.cert_sans), *_LOCALHOST)
        for name, path, own in (
            ("etcd-server", "etcd/server", etcd.server_cert_sans),
            ("etcd-peer", "etcd/peer", etcd.peer_cert_sans),
        ):
            yield self._leaf(
                node,
                name,
                path,
                CA.ETCD,
                Subject(common_name=node.name),
                Profile.PEER,
                SANs.of(*common, *sorted(own)),
            )
        yield self._leaf(
            node,
            "etcd-healthcheck-client",
            "etcd/healthcheck-client",
            CA.ETCD,
            Subject(common_name="kube-etcd-healthcheck-client"),
        )
        yield from self._component(node, FileKind.ETCD, FileKind.ETCD_UNIT, FileKind.ETCD_FLAGS)

    def _control_plane_node(self, node: Node) -> Iterator[Desired]:
        keys = self._cluster.ca_keys_on_nodes
        if keys:
            yield self._copy(
                node, layout.SIGNING_CERTIFICATE, MaterialKind.SIGNING_CERTIFICATE, CA.KUBERNETES
            )
            yield self._copy(node, "ca.key", MaterialKind.CA_KEY, CA.KUBERNETES)
        yield self._copy(node, "front-proxy-ca.crt", MaterialKind.TRUST_BUNDLE, CA.FRONT_PROXY)
        if keys:
            yield self._copy(node, "front-proxy-ca.key", MaterialKind.CA_KEY, CA.FRONT_PROXY)
        if keys and node.name in self._members:
            yield self._copy(node, "etcd/ca.key", MaterialKind.CA_KEY, CA.ETCD)
        yield self._copy(node, layout.SA_PRIVATE_KEY, MaterialKind.SA_PRIVATE_KEY)
        for name, slot in accepted_sa_keys(self._rotations):
            yield self._copy(node, name, MaterialKind.SA_PUBLIC_KEY, slot=slot)
        yield self._leaf(
            node,
            "apiserver",
            "apiserver",
            CA.KUBERNETES,
            Subject(common_name="kube-apiserver"),
            Profile.SERVER,
            self._api_server_sans(node),
        )
        yield self._leaf(
            node,
            "apiserver-kubelet-client",
            "apiserver-kubelet-client",
            CA.KUBERNETES,
            # No group: access comes from a binding for this user (kubeadm 1.36.1, #138958).
            Subject(common_name=KUBELET_CLIENT_USER),
        )
        yield self._leaf(
            node,
            "front-proxy-client",
            "front-proxy-client",
            CA.FRONT_PROXY,
            Subject(common_name=FRONT_PROXY_USER),
        )
        if self._members:
            yield self._leaf(
                node,
                "apiserver-etcd-client",
                "apiserver-etcd-client",
                CA.ETCD,
                Subject(common_name="kube-apiserver-etcd-client"),
            )
        if self._spec.encryption is not None:
            yield DesiredFile(
                path=self._on(node, layout.ENCRYPTION_CONFIGURATION),
                node=node.name,
                mode=layout.SECRET_MODE,
                kind=FileKind.ENCRYPTION_CONFIGURATION,
                secret=True,
            )
        yield from self._component(
            node, FileKind.KUBE_APISERVER, FileKind.KUBE_APISERVER_UNIT, FileKind.KUBE_APISERVER_FLAGS
        )
        yield from self._component(
            node,
            FileKind.KUBE_CONTROLLER_MANAGER,
            FileKind.KUBE_CONTROLLER_MANAGER_UNIT,
            FileKind.KUBE_CONTROLLER_MANAGER_FLAGS,
        )
        yield from self._component(
            node, FileKind.KUBE_SCHEDULER, FileKind.KUBE_SCHEDULER_UNIT, FileKind.KUBE_SCHEDULER_FLAGS
        )
        local, shared = self._cluster.local_server(node), self._cluster.cluster_server
        yield from self._kubeconfig(
            node,
            "admin.conf",
            shared,
            "kubernetes-admin",
            Subject(common_name="kubernetes-admin", organizations=(CLUSTER_ADMINS,)),
        )
        if node.name == self._first:
            # The break-glass identity, which RBAC cannot revoke, exists once, as kubeadm's `init` writes it.
            yield from self._kubeconfig(
                node,
                SUPER_ADMIN,
                shared,
                "kubernetes-super-admin",
                Subject(common_name="kubernetes-super-admin", organizations=("system:masters",)),
            )
        for name, user in (
            ("controller-manager.conf", "system:kube-controller-manager"),
            ("scheduler.conf", "system:kube-scheduler"),
        ):
            yield from self._kubeconfig(node, name, local, user, Subject(common_name=user))

    def _api_server_sans(self, node: Node) -> SANs:
        domain = self._spec.networking.dns_domain
        endpoint: tuple[IPAddress | str, ...] = ()
        if self._spec.control_plane_endpoint is not None:
            endpoint = (split_host_port(self._spec.control_plane_endpoint)[0],)
        return SANs.of(
            node.name,
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            f"kubernetes.default.svc.{domain}",
            *(subnet[1] for subnet in self._spec.networking.service_subnets),
            *node.addresses,
            *endpoint,
            *sorted(self._spec.api_server.cert_sans),
            *sorted(node.cert_sans),
        )

    def _kubelet(self, node: Node) -> Iterator[Desired]:
        user = f"system:node:{node.name}"
        subject = Subject(common_name=user, organizations=(NODES,))
        yield self._certificate(
            f"{node.name}/kubelet-serving",
            node=node,
            issuer=CA.KUBERNETES,
            # The form that the kubelet-serving signer demands (pkg/apis/certificates/helpers.go).
            subject=subject,
            sans=SANs.of(node.name, *node.kubelet_addresses, *sorted(node.cert_sans)),
            profile=Profile.SERVER,
            location=_pair(layout.node_path(node.name, f"{layout.KUBELET_PKI_DIRECTORY}/kubelet")),
        )
        server = (
            self._cluster.local_server(node)
            if node.name in self._control_plane
            else self._cluster.cluster_server
        )
        yield from self._kubeconfig(node, "kubelet.conf", server, user, subject)
        yield DesiredFile(
            path=layout.node_path(node.name, f"{layout.KUBELET_DIRECTORY}/config.yaml"),
            node=node.name,
            mode=layout.PUBLIC_MODE,
            kind=FileKind.KUBELET_CONFIGURATION,
        )
        if self._spec.runtime is Runtime.SYSTEMD:
            yield self._unit(node, FileKind.KUBELET_UNIT)
            yield self._flags(node, FileKind.KUBELET_FLAGS)
        else:
            # The kubelet package's own unit reads this file (kubeadm-flags.env).
            yield DesiredFile(
                path=layout.node_path(node.name, f"{layout.KUBELET_DIRECTORY}/kubeadm-flags.env"),
                node=node.name,
                mode=layout.PUBLIC_MODE,
                kind=FileKind.KUBELET_FLAGS,
            )

    def _kube_proxy(self, node: Node) -> Iterator[Desired]:
        user = "system:kube-proxy"
        yield from self._kubeconfig(
            node, "kube-proxy.conf", self._cluster.cluster_server, user, Subject(common_name=user)
        )
        yield DesiredFile(
            path=layout.node_path(node.name, f"{layout.KUBE_PROXY_DIRECTORY}/config.yaml"),
            node=node.name,
            mode=layout.PUBLIC_MODE,
            kind=FileKind.KUBE_PROXY_CONFIGURATION,
        )
        yield self._unit(node, FileKind.KUBE_PROXY_UNIT)
        yield self._flags(node, FileKind.KUBE_PROXY_FLAGS)

    # -- people ---------------------------------------------------------------------------------------

    def _person(self, user: User) -> Iterator[Desired]:
        identifier = f"user:{user.name}"
        path = layout.user_path(user.name)
        yield DesiredKubeconfig(
            id=identifier,
            path=path,
            node=None,
            server=self._cluster.cluster_server,
            cluster=self._cluster.name,
            user=user.name,
            trust=CA.KUBERNETES,
            certificate=identifier,
            namespace=user.namespace,
        )
        yield self._certificate(
            identifier,
            node=None,
            issuer=CA.KUBERNETES,
            subject=Subject(common_name=user.name, organizations=tuple(sorted(set(user.groups)))),
            sans=SANs(),
            profile=Profile.CLIENT,
            location=InKubeconfig(kubeconfig=path),
            validity=user.validity,
        )
        if user.cluster_roles or user.roles or user.rules:
            yield self._access(user)

    def _service_account(self, user: User) -> Iterator[Desired]:
        if user.uid is not None and user.namespace is not None:
            yield DesiredToken(
                id=f"serviceaccount:{user.namespace}:{user.name}",
                path=layout.user_path(user.stem),
                server=self._cluster.cluster_server,
                cluster=self._cluster.name,
                trust=CA.KUBERNETES,
                namespace=user.namespace,
                account=user.name,
                uid=user.uid,
                issuer=self._cluster.token_issuer,
                audiences=user.audiences or self._cluster.api_audiences,
                validity=user.validity,
                renew_before=min(self._settings.renew_before, user.validity / 3),
            )
        yield self._access(user)

    @staticmethod
    def _access(user: User) -> DesiredFile:
        return DesiredFile(
            path=layout.addon_path(f"user-{user.stem}"),
            node=None,
            mode=layout.PUBLIC_MODE,
            kind=FileKind.ADDON_USER,
            user=user.stem,
        )

    # -- pieces ---------------------------------------------------------------------------------------

    def _on(self, node: Node, name: str) -> str:
        return layout.node_path(node.name, f"{self._settings.directory}/{name}")

    def _copy(
        self,
        node: Node,
        name: str,
        material: MaterialKind,
        ca: CA | None = None,
        slot: Slot = Slot.CURRENT,
    ) -> DesiredCopy:
        secret = material in {MaterialKind.CA_KEY, MaterialKind.SA_PRIVATE_KEY}
        return DesiredCopy(
            path=self._on(node, name),
            node=node.name,
            mode=layout.KEY_MODE if secret else layout.CERTIFICATE_MODE,
            material=material,
            ca=ca,
            slot=slot,
        )

    def _leaf(
        self,
        node: Node,
        name: str,
        path: str,
        issuer: CA,
        subject: Subject,
        profile: Profile = Profile.CLIENT,
        sans: SANs | None = None,
    ) -> DesiredCertificate:
        return self._certificate(
            f"{node.name}/{name}",
            node=node,
            issuer=issuer,
            subject=subject,
            sans=sans or SANs(),
            profile=profile,
            location=_pair(self._on(node, path)),
        )

    def _kubeconfig(
        self, node: Node, name: str, server: str, user: str, subject: Subject
    ) -> Iterator[Desired]:
        path = layout.node_path(node.name, f"{layout.KUBERNETES_DIRECTORY}/{name}")
        identifier = f"{node.name}/{name}"
        yield DesiredKubeconfig(
            id=identifier,
            path=path,
            node=node.name,
            server=server,
            cluster=self._cluster.name,
            user=user,
            trust=CA.KUBERNETES,
            certificate=identifier,
        )
        yield self._certificate(
            identifier,
            node=node,
            issuer=CA.KUBERNETES,
            subject=subject,
            sans=SANs(),
            profile=Profile.CLIENT,
            location=InKubeconfig(kubeconfig=path),
        )

    def _certificate(
        self,
        identifier: str,
        *,
        node: Node | None,
        issuer: CA | None,
        subject: Subject,
        sans: SANs,
        profile: Profile,
        location: Location,
        validity: timedelta | None = None,
    ) -> DesiredCertificate:
        name = identifier.rpartition("/")[2]
        kind = name.removesuffix(Slot.NEXT).removesuffix(Slot.PREVIOUS) if issuer is None else name
        own = self._settings.overrides.get(kind, Override())
        lifetime = own.validity or validity or self._settings.validity
        return DesiredCertificate(
            id=identifier,
            name=name,
            node=node.name if node else None,
            issuer=issuer,
            subject=subject,
            sans=sans,
            profile=profile,
            validity=lifetime,
            # A short-lived certificate would otherwise be due from its first hour on.
            renew_before=min(own.renew_before or self._settings.renew_before, lifetime / 3),
            key_algorithm=own.key_algorithm or self._settings.key_algorithm,
            location=location,
            key_home=self._cluster.key_home(node) if node else KeyHome.AUTHORITY,
        )

    def _component(
        self, node: Node, manifest: FileKind, unit: FileKind, flags: FileKind
    ) -> Iterator[DesiredFile]:
        if self._spec.runtime is Runtime.SYSTEMD:
            yield self._unit(node, unit)
            yield self._flags(node, flags)
        else:
            yield DesiredFile(
                path=layout.node_path(node.name, f"{layout.MANIFESTS_DIRECTORY}/{manifest}.yaml"),
                node=node.name,
                mode=layout.MANIFEST_MODE,
                kind=manifest,
            )

    @staticmethod
    def _unit(node: Node, kind: FileKind) -> DesiredFile:
        return DesiredFile(
            path=layout.node_path(node.name, f"{layout.SYSTEMD_DIRECTORY}/{kind}"),
            node=node.name,
            mode=layout.PUBLIC_MODE,
            kind=kind,
        )

    @staticmethod
    def _flags(node: Node, kind: FileKind) -> DesiredFile:
        return DesiredFile(
            path=layout.node_path(node.name, f"{layout.FLAGS_DIRECTORY}/{kind.removesuffix('.flags')}.env"),
            node=node.name,
            mode=layout.PUBLIC_MODE,
            kind=kind,
        )


def sa_name(slot: Slot, name: str) -> str:
    """The file name of a generation of the service account key, such as `sa-next.pub`."""
    return name.replace(".", f"{slot}.")


def accepted_sa_keys(rotations: Rotations) -> tuple[tuple[str, Slot], ...]:
    """The public keys by which API servers accept tokens: each one's file on a node, and its generation.

    A key keeps its file for as long as it is accepted. So *promote* changes the one file that signs and no
    flag: an API server that starts in the midst of the copying accepts the tokens of both keys all the same.
    """
    first, second = layout.SA_PUBLIC_KEY, sa_name(Slot.NEXT, layout.SA_PUBLIC_KEY)
    match rotations.phase(SA):
        case Phase.STABLE:
            return ((first, Slot.CURRENT),)
        case Phase.PREPARED:
            return ((first, Slot.CURRENT), (second, Slot.NEXT))
        case Phase.PROMOTED:
            return ((first, Slot.PREVIOUS), (second, Slot.CURRENT))


def sa_path(slot: Slot, name: str) -> str:
    """Where the authority keeps a generation of the service account key."""
    return layout.authority_path(sa_name(slot, name))


def encryption_key_path(slot: Slot) -> str:
    """Where the authority keeps a generation of the key that encrypts Secrets."""
    return layout.authority_path(f"encryption{slot}.key")


def _pair(stem: str) -> KeyPairFiles:
    return KeyPairFiles(certificate=f"{stem}.crt", key=f"{stem}.key")


def _addon(name: str, kind: FileKind) -> DesiredFile:
    return DesiredFile(path=layout.addon_path(name), node=None, mode=layout.PUBLIC_MODE, kind=kind)
