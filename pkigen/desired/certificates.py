"""What every certificate of a cluster is: one row for each kind.

Issuing, planning, the names that `overrides` may use, connections, the restart map, `explain` and the
runbooks read these rows and hold no such table of their own: a new kind of certificate is one more row.
Names, subjects, usages and SANs are kubeadm's (`cmd/kubeadm/app/phases/certs/certlist.go`,
`phases/kubeconfig/kubeconfig.go`) where kubeadm makes the certificate.
docs/adr/0012-one-row-per-kind-of-certificate.md says why it stands here.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.names import SANs, Subject
from pkigen.crypto.profiles import Profile
from pkigen.desired.certificate_names import (
    api_server_names,
    etcd_peer_names,
    etcd_server_names,
    kubelet_names,
    no_names,
)
from pkigen.desired.generations import CA, ca_id
from pkigen.desired.readers import ComponentName, ReadBy, Reading
from pkigen.records import dataclass
from pkigen.spec.certificates import Kubeconfigs
from pkigen.spec.model import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from pkigen.spec.model import ClusterSpec, Node

# kubeadm's ClusterAdminsGroupAndClusterRoleBinding (constants.go): the group and its binding have one name.
CLUSTER_ADMINS = "kubeadm:cluster-admins"
# The API server asks it before every authorizer of its configuration (pkg/kubeapiserver/authorizer/reload.go,
# NewPrivilegedGroups), so neither RBAC nor the list of revoked credentials stops it.
MASTERS = "system:masters"
NODES_GROUP = "system:nodes"

MASTERS_RIGHTS = (
    "system:masters bypasses RBAC: it may do everything, and cannot be revoked before the certificate expires"
)


class Holder(enum.Enum):
    """Who has certificates of a kind: the authority, nodes by what runs on them, or people."""

    AUTHORITY = enum.auto()
    ETCD_MEMBER = enum.auto()
    CONTROL_PLANE = enum.auto()
    FIRST_CONTROL_PLANE = enum.auto()
    """The first control-plane node by name."""
    NODE = enum.auto()
    """Every node: each has a kubelet."""
    KUBE_PROXY = enum.auto()
    """Every node, where kube-proxy is a unit of the node's and not a Pod of the cluster's."""
    PERSON = enum.auto()
    PROXY = enum.auto()
    """An authenticating proxy of the operator's own, wherever it runs."""


class Server(enum.Enum):
    """Which API server a kubeconfig names."""

    NEAREST = enum.auto()
    """The node's own where it runs one, else as below."""
    SHARED = enum.auto()
    """The control plane as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAt:
    """A certificate and its key in two files: `stem` with `.crt` and with `.key`.

    `directory` is absolute on the node; without it, it is where the spec wants certificates to stand, or the
    authority's own directory.
    """

    stem: str
    directory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeconfigTo:
    """A kubeconfig, which is called as the kind is: it embeds certificate and key, or names their files."""

    server: Server


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateKind:
    """Everything that there is to know of certificates of one kind.

    `name` is kubeadm's, and what `overrides`, plans, `renew` and `explain` call it. `issuer` is None for a
    CA, whose only SAN is its common name (kubeadm `pki_helpers.go` NewSelfSignedCACert). In `common_name`,
    `{node}` is the node's name; the API server takes it for the user, and `organizations` for the groups.
    `sans` are the names of one on a node, and `san_field` is the field of the spec that adds to them. What no
    component reads while it runs says so: its `readers` are none.

    The rest is for people: the setting that gives it to whoever presents it, what stops when it ends, and the
    rights that go with it.
    """

    name: str
    issuer: CA | None
    profile: Profile
    common_name: str
    organizations: tuple[str, ...] = ()
    sans: Callable[[ClusterSpec, Node], SANs] = no_names
    san_field: str = "certSANs of its node"
    holder: Holder
    place: PairAt | KubeconfigTo
    readers: tuple[ReadBy, ...]
    given_by: str = ""
    stops: str
    rights: str = ""

    def id_on(self, node: str) -> str:
        """The id of the one on a node."""
        return f"{node}/{self.name}"

    def subject(self, node: str = "") -> Subject:
        """The subject of the one on a node."""
        return Subject(common_name=self.common_name.format(node=node), organizations=self.organizations)

    def is_by_path(self, cluster: ClusterSpec) -> bool:
        """Whether it stands in files that its kubeconfig names; people's are handed out, and embed it."""
        is_component = isinstance(self.place, KubeconfigTo) and bool(self.readers)
        return is_component and cluster.spec.certificates.kubeconfigs is Kubeconfigs.FILES

    @property
    def issuer_name(self) -> str | None:
        """The name of the CA's own kind; None for a CA."""
        return None if self.issuer is None else ca_id(self.issuer)

    def absence(self, cluster: ClusterSpec) -> str | None:
        """Why a cluster has no certificate of this kind; None where it has."""
        if ca_id(CA.ETCD) in {self.name, self.issuer_name} and cluster.spec.etcd.external is not None:
            return "etcd is external"
        if self.holder is Holder.KUBE_PROXY and cluster.spec.runtime is not Runtime.SYSTEMD:
            return "kube-proxy runs in the cluster, with a token"
        return None


# A row has a name (`:=`) where code speaks of that one kind; everything else walks the table.
CERTIFICATES: tuple[CertificateKind, ...] = (
    CertificateKind(
        name=CA.KUBERNETES.certificate_name,
        issuer=None,
        profile=Profile.CA,
        common_name="kubernetes",
        holder=Holder.AUTHORITY,
        place=PairAt(stem=CA.KUBERNETES),
        readers=(),
        stops="every certificate under it: kubectl, kubelets, controllers and API servers refuse one another",
    ),
    CertificateKind(
        name=CA.ETCD.certificate_name,
        issuer=None,
        profile=Profile.CA,
        common_name="etcd-ca",
        holder=Holder.AUTHORITY,
        place=PairAt(stem=CA.ETCD),
        readers=(),
        stops="etcd's members and the API servers refuse one another",
    ),
    CertificateKind(
        name=CA.FRONT_PROXY.certificate_name,
        issuer=None,
        profile=Profile.CA,
        common_name="front-proxy-ca",
        holder=Holder.AUTHORITY,
        place=PairAt(stem=CA.FRONT_PROXY),
        readers=(),
        stops="aggregated APIs: their servers refuse the API server",
    ),
    CertificateKind(
        name="etcd-server",
        issuer=CA.ETCD,
        profile=Profile.PEER,
        common_name="{node}",
        sans=etcd_server_names,
        san_field="spec.etcd.serverCertSANs",
        holder=Holder.ETCD_MEMBER,
        place=PairAt(stem="etcd/server"),
        # etcd client/pkg/transport/listener.go: GetCertificate and GetClientCertificate read both files
        readers=(ReadBy(component=ComponentName.ETCD, reading=Reading.PER_CONNECTION),),
        given_by="etcd --cert-file",
        stops="API servers refuse this member; without a majority nothing can be written",
    ),
    CertificateKind(
        name="etcd-peer",
        issuer=CA.ETCD,
        profile=Profile.PEER,
        common_name="{node}",
        sans=etcd_peer_names,
        san_field="spec.etcd.peerCertSANs",
        holder=Holder.ETCD_MEMBER,
        place=PairAt(stem="etcd/peer"),
        readers=(ReadBy(component=ComponentName.ETCD, reading=Reading.PER_CONNECTION),),  # as above
        given_by="etcd --peer-cert-file",
        stops="the other members refuse this one; without a majority etcd stops",
    ),
    ETCD_HEALTHCHECK_CLIENT := CertificateKind(
        name="etcd-healthcheck-client",
        issuer=CA.ETCD,
        profile=Profile.CLIENT,
        common_name="kube-etcd-healthcheck-client",
        holder=Holder.ETCD_MEMBER,
        place=PairAt(stem="etcd/healthcheck-client"),
        readers=(),
        given_by="etcdctl --cert",
        stops="health checks, and kubeadm's access to etcd",
        rights="everything that etcd holds",
    ),
    API_SERVER := CertificateKind(
        name="apiserver",
        issuer=CA.KUBERNETES,
        profile=Profile.SERVER,
        common_name="kube-apiserver",
        sans=api_server_names,
        san_field="spec.apiServer.certSANs (or certSANs of the node)",
        holder=Holder.CONTROL_PLANE,
        place=PairAt(stem="apiserver"),
        # apiserver/pkg/server/dynamiccertificates: a pair that does not fit is left until it does
        readers=(ReadBy(component=ComponentName.API_SERVER, reading=Reading.ON_CHANGE),),
        given_by="kube-apiserver --tls-cert-file",
        stops="every client of this API server refuses its certificate: kubectl, kubelets, controllers, Pods",
    ),
    API_SERVER_KUBELET_CLIENT := CertificateKind(
        name="apiserver-kubelet-client",
        issuer=CA.KUBERNETES,
        profile=Profile.CLIENT,
        # No group: access comes from a binding for this user (kubeadm 1.36.1, #138958).
        common_name="kube-apiserver-kubelet-client",
        holder=Holder.CONTROL_PLANE,
        place=PairAt(stem="apiserver-kubelet-client"),
        # client-go/transport: for each new connection, and every 5 minutes for those that are open
        readers=(ReadBy(component=ComponentName.API_SERVER, reading=Reading.PER_CONNECTION),),
        given_by="kube-apiserver --kubelet-client-certificate",
        stops="logs, exec, port-forward and metrics: the kubelets refuse the API server",
        rights="ClusterRole system:kubelet-api-admin (addons/apiserver-kubelet-client.yaml)",
    ),
    FRONT_PROXY_CLIENT := CertificateKind(
        name="front-proxy-client",
        issuer=CA.FRONT_PROXY,
        profile=Profile.CLIENT,
        common_name="front-proxy-client",
        holder=Holder.CONTROL_PLANE,
        place=PairAt(stem="front-proxy-client"),
        # kube-aggregator/pkg/apiserver: dynamic content, as the serving pair
        readers=(ReadBy(component=ComponentName.API_SERVER, reading=Reading.ON_CHANGE),),
        given_by="kube-apiserver --proxy-client-cert-file",
        stops="aggregated APIs such as metrics.k8s.io: their servers refuse the API server",
        rights="to say in headers whom a request comes from",
    ),
    CertificateKind(
        name="apiserver-etcd-client",
        issuer=CA.ETCD,
        profile=Profile.CLIENT,
        common_name="kube-apiserver-etcd-client",
        holder=Holder.CONTROL_PLANE,
        place=PairAt(stem="apiserver-etcd-client"),
        # the same listener.go, of the etcd client that the API server contains
        readers=(ReadBy(component=ComponentName.API_SERVER, reading=Reading.PER_CONNECTION),),
        given_by="kube-apiserver --etcd-certfile",
        stops="the API server can no longer reach etcd, and the cluster stops",
        rights="etcd without its own users: everything that etcd holds",
    ),
    ADMIN := CertificateKind(
        name="admin.conf",
        issuer=CA.KUBERNETES,
        profile=Profile.CLIENT,
        common_name="kubernetes-admin",
        organizations=(CLUSTER_ADMINS,),
        holder=Holder.CONTROL_PLANE,
        place=KubeconfigTo(server=Server.SHARED),
        readers=(),
        given_by="kubectl's kubeconfig",
        stops="administrators with this file get 401; the cluster keeps running",
        rights=f"ClusterRole cluster-admin through the group {CLUSTER_ADMINS} (addons/cluster-admins.yaml)",
    ),
    SUPER_ADMIN := CertificateKind(
        # The break-glass identity, which RBAC cannot revoke, exists once, as kubeadm's `init` writes it.
        name="super-admin.conf",
        issuer=CA.KUBERNETES,
        profile=Profile.CLIENT,
        common_name="kubernetes-super-admin",
        organizations=(MASTERS,),
        holder=Holder.FIRST_CONTROL_PLANE,
        place=KubeconfigTo(server=Server.SHARED),
        readers=(),
        given_by="kubectl's kubeconfig",
        stops="emergency access when RBAC itself is broken",
        rights=MASTERS_RIGHTS,
    ),
    CertificateKind(
        name="controller-manager.conf",
        issuer=CA.KUBERNETES,
        profile=Profile.CLIENT,
        common_name="system:kube-controller-manager",
        holder=Holder.CONTROL_PLANE,
        place=KubeconfigTo(server=Server.NEAREST),
        # client-go/transport: `ReloadTLSFiles` where a kubeconfig embeds nothing
        readers=(ReadBy(component=ComponentName.CONTROLLER_MANAGER, reading=Reading.BY_KUBECONFIG),),
        given_by="kube-controller-manager --kubeconfig",
        stops="no controller works: Deployments, nodes, tokens and certificates stay as they are",
        rights="ClusterRole system:kube-controller-manager (made by the API server)",
    ),
    CertificateKind(
        name="scheduler.conf",
        issuer=CA.KUBERNETES,
        profile=Profile.CLIENT,
        common_name="system:kube-scheduler",
        holder=Holder.CONTROL_PLANE,
        place=KubeconfigTo(server=Server.NEAREST),
        readers=(ReadBy(component=ComponentName.SCHEDULER, reading=Reading.BY_KUBECONFIG),),
        given_by="kube-scheduler --kubeconfig",
        stops="new Pods stay Pending",
        rights="ClusterRole system:kube-scheduler (made by the API server)",
    ),
    KUBELET_SERVING := CertificateKind(
        name="kubelet-serving",
        issuer=CA.KUBERNETES,
        profile=Profile.SERVER,
        # The form that the kubelet-serving signer demands (pkg/apis/certificates/helpers.go).
        common_name="system:node:{node}",
        organizations=(NODES_GROUP,),
        sans=kubelet_names,
        holder=Holder.NODE,
        place=PairAt(stem="kubelet", directory=layout.KUBELET_PKI_DIRECTORY),
        # pkg/kubelet: ReloadKubeletServerCertificateFile, on since 1.31
        readers=(ReadBy(component=ComponentName.KUBELET, reading=Reading.ON_CHANGE),),
        given_by="kubelet tlsCertFile",
        stops="logs, exec and metrics of this node: the API server refuses the kubelet",
    ),
    KUBELET := CertificateKind(
        name="kubelet.conf",
        issuer=CA.KUBERNETES,
        profile=Profile.CLIENT,
        # A node is known by both, name and group (pkg/auth/nodeidentifier/default.go, `NodeIdentity`).
        common_name="system:node:{node}",
        organizations=(NODES_GROUP,),
        holder=Holder.NODE,
        place=KubeconfigTo(server=Server.NEAREST),
        readers=(ReadBy(component=ComponentName.KUBELET, reading=Reading.BY_KUBECONFIG),),
        given_by="kubelet --kubeconfig",
        # `NodeMonitorGracePeriod` (controller/nodelifecycle/config/v1alpha1), then the Pods' tolerations.
        stops="the node becomes NotReady within a minute, and its Pods are moved after 5 minutes",
        rights="the Node authorizer: what belongs to this node and its Pods",
    ),
    CertificateKind(
        name="kube-proxy.conf",
        issuer=CA.KUBERNETES,
        profile=Profile.CLIENT,
        common_name="system:kube-proxy",
        holder=Holder.KUBE_PROXY,
        place=KubeconfigTo(server=Server.SHARED),
        readers=(ReadBy(component=ComponentName.KUBE_PROXY, reading=Reading.BY_KUBECONFIG),),
        given_by="kube-proxy's kubeconfig",
        stops="Services of this node keep their last endpoints",
        rights="ClusterRole system:node-proxier (made by the API server)",
    ),
)

# Not in the table: a person's certificate has its subject and validity from `users`, not from `overrides`.
USER = CertificateKind(
    name="user",
    issuer=CA.KUBERNETES,
    profile=Profile.CLIENT,
    common_name="",
    holder=Holder.PERSON,
    place=KubeconfigTo(server=Server.SHARED),
    readers=(),
    given_by="kubectl's kubeconfig",
    stops="the API server answers 401 Unauthorized to this user",
)

# Not in the table either: there are as many as `authentication.proxies` has, each with its own name.
PROXY = CertificateKind(
    name="proxy",
    issuer=CA.FRONT_PROXY,
    profile=Profile.CLIENT,
    common_name="",
    holder=Holder.PROXY,
    place=KubeconfigTo(server=Server.SHARED),
    readers=(),
    given_by="the proxy, to API servers",
    stops="the API server answers 401 Unauthorized to everybody who comes through this proxy",
    rights="to be anybody, system:masters too: what X-Remote-User, -Group and -Extra- say, counts",
)
