"""The kinds of object that the inventory lists: certificates, key pairs, secrets, copies, files, tokens.

Each has an `id`, which plans and ledgers call it by, the `node` that it is for, or None, and the `paths` of
the files that it consists of in the PKI directory.
"""

from __future__ import annotations

import enum
from dataclasses import field
from typing import TYPE_CHECKING

from pkigen.crypto.issuance import CertificateContent
from pkigen.crypto.profiles import PROFILES
from pkigen.desired.generations import CA, CertificateFile, InKubeconfig, KeyPairFiles, Location, Slot
from pkigen.records import dataclass
from pkigen.spec.certificates import KeyHome

if TYPE_CHECKING:
    from datetime import timedelta

    from pkigen.crypto.algorithms import KeyAlgorithm
    from pkigen.crypto.names import SANs, Subject
    from pkigen.crypto.profiles import Profile
    from pkigen.desired.certificates import CertificateKind
    from pkigen.desired.readers import ComponentName


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
    CONTROLLER_MANAGER_KUBECONFIG = "controller-manager.conf"
    SCHEDULER_KUBECONFIG = "scheduler.conf"
    KUBELET_KUBECONFIG = "kubelet.conf"
    KUBE_PROXY_KUBECONFIG = "kube-proxy.conf"
    LOGIN_KUBECONFIG = "login-kubeconfig"
    ENCRYPTION_CONFIGURATION = "encryption-configuration"
    AUTHENTICATION_CONFIGURATION = "authentication-configuration"
    AUTHORIZATION_CONFIGURATION = "authorization-configuration"
    AUTHORIZATION_WEBHOOK = "authorization-webhook"
    ADDON_CLUSTER_ADMINS = "addon-cluster-admins"
    ADDON_KUBELET_CLIENT = "addon-kubelet-client"
    ADDON_NODE_ROTATION = "addon-node-rotation"
    ADDON_TRUST_BUNDLE = "addon-trust-bundle"
    ADDON_USER = "addon-user"
    ADDON_GROUP = "addon-group"
    ADDON_IAM = "addon-iam"


KUBECONFIG_KINDS = frozenset(
    {
        FileKind.CONTROLLER_MANAGER_KUBECONFIG,
        FileKind.SCHEDULER_KUBECONFIG,
        FileKind.KUBELET_KUBECONFIG,
        FileKind.KUBE_PROXY_KUBECONFIG,
    }
)
"""The kubeconfigs that name credentials by path; they are called as the certificates that they name are."""


class MaterialKind(enum.StrEnum):
    """What of the authority is copied to nodes."""

    # All generations of a CA that are trusted now: what verifies others reads it.
    TRUST_BUNDLE = "trust bundle"
    # One certificate alone: the controller manager refuses a file of two (pkg/controller/certificates/signer,
    # ca_provider.go).
    SIGNING_CERTIFICATE = "signing certificate"
    CA_KEY = "CA key"
    SA_PRIVATE_KEY = "service account signing key"
    SA_PUBLIC_KEY = "service account public key"


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredCertificate:
    """A certificate, CA or leaf, and its private key.

    `id` is unique (`cp-1/apiserver`); `issuer` is None for a root CA. `renew_before` counts back from the end
    of validity. Where `key_home` is the node, the PKI directory holds the certificate alone, and kubeconfigs
    without their key. `former` is where it may still stand, from before the spec wanted it elsewhere.
    """

    kind: CertificateKind = field(repr=False)
    id: str
    node: str | None
    issuer: CA | None
    subject: Subject
    sans: SANs
    profile: Profile
    validity: timedelta
    renew_before: timedelta
    key_algorithm: KeyAlgorithm
    location: Location
    former: Location | None = None
    key_home: KeyHome = KeyHome.AUTHORITY

    @property
    def key_is_elsewhere(self) -> bool:
        """Whether the private key was made on the node and never leaves it."""
        return self.key_home is KeyHome.NODE

    @property
    def name(self) -> str:
        """What all nodes' certificates of the kind are called (`apiserver`); a person's by its id."""
        return self.id.rpartition("/")[2]

    @property
    def file(self) -> str:
        """The file that the certificate stands in."""
        location = self.location
        return location.kubeconfig if isinstance(location, InKubeconfig) else location.certificate

    @property
    def paths(self) -> tuple[str, ...]:
        """Its own files: none where it stands in a kubeconfig, which is an item of its own."""
        match self.location:
            case KeyPairFiles() as files if not self.key_is_elsewhere:
                return (files.certificate, files.key)
            case KeyPairFiles() | CertificateFile() as files:
                return (files.certificate,)
            case InKubeconfig():
                return ()

    @property
    def read_paths(self) -> tuple[str, ...]:
        """The files in which others read it: its own, or the kubeconfig that it stands in."""
        # Whoever restarts for a certificate restarts for this file.
        return self.paths or (self.file,)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredCrossCertificate:
    """A certificate of a CA's new key by its old generation: it carries those who know only the old one.

    `issuer` and `subject` are the generations that sign and are certified.
    """

    id: str
    ca: CA
    path: str
    issuer: Slot
    subject: Slot

    @property
    def node(self) -> None:
        """No node's: it is the authority's."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The one file."""
        return (self.path,)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredKeyPair:
    """The service account signing key: a key pair, not a certificate."""

    id: str
    key_algorithm: KeyAlgorithm
    private_path: str
    public_path: str
    slot: Slot = Slot.CURRENT

    @property
    def node(self) -> None:
        """No node's: it is the authority's."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Both halves."""
        return (self.private_path, self.public_path)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredSecret:
    """Random bytes that the authority keeps, base64 in a file.

    That is the key that encrypts Secrets in etcd, and the one that signs node bundles.
    """

    id: str
    path: str
    size: int

    @property
    def node(self) -> None:
        """No node's: it is the authority's."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The one file."""
        return (self.path,)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredCopy:
    """A file on a node whose bytes are the authority's; `reader` is the only component that it is for."""

    path: str
    node: str
    mode: int
    material: MaterialKind
    ca: CA | None = None
    slot: Slot = Slot.CURRENT
    reader: ComponentName | None = None

    @property
    def id(self) -> str:
        """The path."""
        return self.path

    @property
    def paths(self) -> tuple[str, ...]:
        """The one file."""
        return (self.path,)


def context_name(user: str, cluster: str) -> str:
    """What a kubeconfig's context is called, as kubeadm forms it."""
    # kubeconfig.CreateBasic (cmd/kubeadm/app/util/kubeconfig).
    return f"{user}@{cluster}"


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
    def paths(self) -> tuple[str, ...]:
        """The one file."""
        return (self.path,)

    @property
    def context(self) -> str:
        """The context's name."""
        return context_name(self.user, self.cluster)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredFile:
    """A rendered file without a leaf; `secret` says that its bytes must not be shown or hashed.

    One that is not `managed` is somebody else's: it is read where it is there, and never written or compared.
    `trust` is the CA whose trust bundle it holds, None for most; `user` and `group` are the stem of whose
    rights it gives, and `user` that of whom a kubeconfig is for.
    """

    path: str
    node: str | None
    mode: int
    kind: FileKind
    user: str | None = None
    group: str | None = None
    secret: bool = False
    managed: bool = True
    trust: CA | None = None

    @property
    def id(self) -> str:
        """The path."""
        return self.path

    @property
    def paths(self) -> tuple[str, ...]:
        """The one file."""
        return (self.path,)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredToken:
    """A kubeconfig with a service account's token in it, signed by the service account key.

    `uid` is that of the live object. `renew_before` counts back from the token's end. `longest` is how
    long any token may live here, whoever has signed it.
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
    longest: timedelta
    renew_before: timedelta

    @property
    def node(self) -> None:
        """No node's: its user is outside of the cluster."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The one file."""
        return (self.path,)

    @property
    def user(self) -> str:
        """What the kubeconfig calls the credential."""
        return f"{self.namespace}:{self.account}"

    @property
    def context(self) -> str:
        """The context's name."""
        return context_name(self.user, self.cluster)


Desired = (
    DesiredCertificate
    | DesiredCrossCertificate
    | DesiredKeyPair
    | DesiredSecret
    | DesiredCopy
    | DesiredKubeconfig
    | DesiredToken
    | DesiredFile
)


def sends_cross(item: DesiredCertificate) -> bool:
    """Whether a cross certificate is sent after this one, for peers that may never have been updated.

    That is so of every server. Of clients it is so where other people's servers judge them: aggregated API
    servers may have a copy of the front proxy's CA. Every other client's judge is pkigen's, and trusts both.
    """
    return PROFILES[item.profile].sends_chain or item.issuer is CA.FRONT_PROXY


def content_of(item: DesiredCertificate) -> CertificateContent:
    """What the inventory asks for, as its issuer needs it."""
    return CertificateContent(
        subject=item.subject, sans=item.sans, profile=item.profile, validity=item.validity
    )
