"""Every TLS edge of the cluster: who presents which certificate to whom, and which trust bundle verifies it.

The edges are derived from what each component is started with, after `extraArgs` and templates. They are
verified by the rules that the components have (Go's `crypto/x509`), against the files that each end really
has.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from pkigen import layout
from pkigen.desired import certificates
from pkigen.desired.certificate_items import kubeconfig_path, trust_of
from pkigen.desired.certificates import (
    ETCD_HEALTHCHECK_CLIENT,
    Holder,
    KubeconfigTo,
    Server,
)
from pkigen.desired.command_lines import CommandLines
from pkigen.desired.file_references import https_urls, members_at
from pkigen.desired.generations import InKubeconfig
from pkigen.desired.items import DesiredFile, DesiredToken, FileKind
from pkigen.desired.readers import ComponentName
from pkigen.desired.rendering.flags import (
    CONTROLLER_MANAGER_KUBECONFIG,
    KUBELET_KUBECONFIG,
    SCHEDULER_KUBECONFIG,
)
from pkigen.desired.shown_certificates import ShownCertificates
from pkigen.records import dataclass
from pkigen.spec.addresses import split_host_port
from pkigen.spec.model import Node, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pkigen.desired.command_lines import EffectiveFlags, ReadText
    from pkigen.desired.inventory import Inventory


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One end of an edge: a component on a node; `node` is None for people."""

    component: str
    node: str | None

    def __str__(self) -> str:
        return f"{self.component} on {self.node}" if self.node else self.component


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A client that connects to a server.

    `names` is what the client connects to and so what the server's certificate must name. `client_trust` and
    `server_trust` are the files (bundles or kubeconfigs) whose CAs each end verifies the other with.
    `server_certificate` is None where the server is not one of ours (aggregated API servers), and
    `client_certificate` is None where the client shows none (Pods come with a token). Both are ids, or
    the path of a file that a flag names and the inventory does not have.
    """

    client: Peer
    server: Peer
    names: tuple[str, ...]
    server_certificate: str | None
    client_trust: str | None
    client_certificate: str | None
    server_trust: str | None

    def __str__(self) -> str:
        return f"{self.client} → {self.server}"

    def without(self, awaited: Mapping[str, str]) -> Edge:
        """The edge as far as it can be verified while some certificates are still to be asked for.

        Args:
            awaited: The ids of these certificates, and the file that each will stand in.
        """
        files = awaited.values()
        return replace(
            self,
            server_certificate=None if self.server_certificate in awaited else self.server_certificate,
            client_trust=None if self.client_trust in files else self.client_trust,
            client_certificate=None if self.client_certificate in awaited else self.client_certificate,
        )


def edges(inventory: Inventory, read: ReadText | None = None) -> Iterator[Edge]:
    """Every TLS connection that the cluster's components, people and Pods make with these certificates.

    Args:
        inventory: The cluster, with the flags that its components are started with.
        read: Reads the tree, for the kubelets' configuration; without it, it is as pkigen writes it.
    """
    return _Edges(inventory, CommandLines(inventory, read)).all()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """What a kubeconfig names by path: a file of CAs, and a certificate by its id."""

    trust: str
    certificate: str


PROXY_PEER: Final = "proxy "
"""What an authenticating proxy is called by, before its name."""


class _Edges:
    """Derives the edges of one cluster from the flags of its components."""

    def __init__(self, inventory: Inventory, lines: CommandLines) -> None:
        self._cluster = inventory.cluster
        self._inventory = inventory
        self._spec = inventory.cluster.spec
        self._lines = lines
        self._by_file = inventory.certificates_by_file
        self._shown = ShownCertificates(inventory, lines)
        self._kubelets: dict[str, tuple[str | None, str | None]] = {}

    def all(self) -> Iterator[Edge]:
        """Every edge: from API servers, from members of etcd, from nodes, and from people."""
        for node in self._cluster.control_plane:
            yield from self._from_api_server(node)
            yield from self._from_kubeconfigs(node, Holder.CONTROL_PLANE, Holder.FIRST_CONTROL_PLANE)
        yield from self._published()
        for member in self._cluster.etcd_members:
            yield from self._between_members(member)
        yield from self._from_nodes_and_people()

    @cached_property
    def _by_path(self) -> dict[str, _Named]:
        """What the kubeconfigs name that embed nothing, by their own paths."""
        found: dict[str, _Named] = {}
        for item in self._inventory.certificates.values():
            if isinstance(item.former, InKubeconfig):
                found[item.former.kubeconfig] = _Named(trust=trust_of(item), certificate=item.id)
        return found

    # -- what flags say -------------------------------------------------------------------------------

    def _api_server(self, node: Node) -> EffectiveFlags:
        """The flags of the API server on a node."""
        return self._lines.of(ComponentName.API_SERVER, node)

    def _certificate(self, line: EffectiveFlags, flag: str) -> str | None:
        """The id of the certificate in the file that a flag names, or its path where it is none of ours."""
        return self._named(line.file(flag))

    def _named(self, path: str | None) -> str | None:
        """The id of the certificate in a file, or the file where it is none of ours."""
        return path if path is None else self._by_file.get(path, path)

    def _kubelet(self, node: Node) -> tuple[str | None, str | None]:
        """What a kubelet serves, and by what it judges clients."""
        # Every API server dials every kubelet.
        if node.name not in self._kubelets:
            line = self._lines.of(ComponentName.KUBELET, node)
            self._kubelets[node.name] = (
                self._certificate(line, "tls-cert-file"),
                line.file("client-ca-file"),
            )
        return self._kubelets[node.name]

    # -- components -----------------------------------------------------------------------------------

    def _from_nodes_and_people(self) -> Iterator[Edge]:
        """The edges of kubelets and kube-proxies, then those of people."""
        for node in sorted(self._spec.nodes, key=lambda node: node.name):
            yield from self._from_kubeconfigs(node, Holder.ETCD_MEMBER, Holder.NODE, Holder.KUBE_PROXY)
        yield from self._from_people()

    def _from_kubeconfigs(self, node: Node, *holders: Holder) -> Iterator[Edge]:
        """Of components first, then of people: who uses kubectl is called as the file is."""
        for kind in sorted(certificates.CERTIFICATES, key=lambda kind: not kind.readers):
            identifier = kind.id_on(node.name)
            if (
                kind.holder not in holders
                or not isinstance(kind.place, KubeconfigTo)
                or identifier not in self._inventory.certificates
            ):
                continue
            nearest = kind.place.server is Server.NEAREST and node.has(Role.CONTROL_PLANE)
            file = kubeconfig_path(kind, node)
            readers = [reader.component for reader in kind.readers]
            for name, path in self._readers_of(file, readers, node) if readers else ((kind.name, file),):
                client = Peer(component=name, node=node.name)
                if nearest:
                    yield from self._to_api_server(client, node, path)
                else:
                    yield from self._by_endpoint(client, path)

    def _readers_of(
        self, file: str, readers: Iterable[ComponentName], node: Node
    ) -> Iterator[tuple[str, str]]:
        """The components that a kubeconfig is made for, each with those that its flags name instead."""
        for component in readers:
            if file != layout.node_path(node.name, _KUBECONFIGS.get(component, "")):
                yield component.value, file
                continue
            line = self._lines.of(component, node)
            named = [line.file(flag) for flag in _KUBECONFIG_FLAGS]
            for path in dict.fromkeys(path for path in named if path is not None):
                yield component.value, path

    def _from_api_server(self, node: Node) -> Iterator[Edge]:
        """What an API server dials: the members of etcd that its flag names, and every kubelet."""
        client = Peer(component="kube-apiserver", node=node.name)
        line = self._api_server(node)
        for member, host in self._etcd_servers(line, node):
            yield self._etcd_edge(
                client, line.file("etcd-cafile"), self._certificate(line, "etcd-certfile"), member, host
            )
        for other in sorted(self._spec.nodes, key=lambda each: each.name):
            serving, trust = self._kubelet(other)
            yield Edge(
                client=client,
                server=Peer(component="kubelet", node=other.name),
                # Without an address the name is all that its certificate can be found by (kubelet-preferred-
                # address-types); the spec's warning says what that means.
                names=tuple(map(str, other.kubelet_addresses)) or (other.name,),
                server_certificate=serving,
                client_trust=line.file("kubelet-certificate-authority"),
                client_certificate=self._certificate(line, "kubelet-client-certificate"),
                server_trust=trust,
            )

    def _etcd_servers(self, line: EffectiveFlags, node: Node) -> Iterator[tuple[Node, str]]:
        """The members that an API server dials, each by the name that its flag has for it."""
        for text in line.values("etcd-servers"):
            for url in https_urls(text):
                host = url.hostname or ""
                for member in members_at(host, self._cluster, node):
                    yield member, host

    def _published(self) -> Iterator[Edge]:
        """Who verifies with a CA that the cluster publishes: from whichever control-plane node's files it is.

        The leading controller manager publishes kube-root-ca.crt, and every API server adds its
        request-header CAs to the ConfigMap extension-apiserver-authentication.
        """
        # While files are distributed, any of them may be the one whose copy everybody reads.
        for publisher in self._cluster.control_plane:
            for node in self._cluster.control_plane:
                yield from self._from_pods(publisher, node)
                yield Edge(
                    client=Peer(component="kube-apiserver", node=node.name),
                    server=Peer(component="aggregated API servers, as published", node=publisher.name),
                    names=(),
                    server_certificate=None,
                    client_trust=None,
                    client_certificate=self._certificate(self._api_server(node), "proxy-client-cert-file"),
                    # Merged with what is published already (clusterauthenticationtrust,
                    # `combinedClusterAuthenticationInfo`).
                    server_trust=self._api_server(publisher).file("requestheader-client-ca-file"),
                )

    # -- etcd -----------------------------------------------------------------------------------------

    def _between_members(self, member: Node) -> Iterator[Edge]:
        """What a member of etcd dials: its peers, and itself through its gateway and its health check."""
        line = self._lines.of(ComponentName.ETCD, member)
        for other in self._cluster.etcd_members:
            # A member does not dial itself at its peer port.
            if other.name == member.name:
                continue
            theirs = self._lines.of(ComponentName.ETCD, other)
            for host in dict.fromkeys(
                url.hostname or "" for url in https_urls(theirs.value("initial-advertise-peer-urls"))
            ):
                yield Edge(
                    client=Peer(component="etcd", node=member.name),
                    server=Peer(component="etcd peer", node=other.name),
                    names=(host,),
                    server_certificate=self._certificate(theirs, "peer-cert-file"),
                    client_trust=line.file("peer-trusted-ca-file"),
                    # The serving pair, where none is given for clients (client/pkg/transport/listener.go,
                    # `CertFile`).
                    client_certificate=self._certificate(line, "peer-client-cert-file")
                    or self._certificate(line, "peer-cert-file"),
                    server_trust=theirs.file("peer-trusted-ca-file"),
                )
        yield self._etcd_edge(
            # Its JSON gateway dials the member itself with the serving certificate (embed/serve.go).
            Peer(component="etcd gateway", node=member.name),
            line.file("trusted-ca-file"),
            self._certificate(line, "client-cert-file") or self._certificate(line, "cert-file"),
            member,
            str(member.advertise_address),
        )
        yield self._etcd_edge(
            Peer(component="etcd health check", node=member.name),
            self._file(member, "etcd/ca.crt"),
            ETCD_HEALTHCHECK_CLIENT.id_on(member.name),
            member,
            str(member.advertise_address),
        )

    def _etcd_edge(
        self, client: Peer, trust: str | None, certificate: str | None, member: Node, host: str
    ) -> Edge:
        """A client of a member, with the trust and certificate that this client has."""
        line = self._lines.of(ComponentName.ETCD, member)
        return Edge(
            client=client,
            server=Peer(component="etcd", node=member.name),
            names=(host,),
            server_certificate=self._certificate(line, "cert-file"),
            client_trust=trust,
            client_certificate=certificate,
            server_trust=line.file("trusted-ca-file"),
        )

    # -- towards API servers --------------------------------------------------------------------------

    def _to_api_server(
        self, client: Peer, node: Node, kubeconfig: str, name: str = "", judged_by: str = "client-ca-file"
    ) -> Iterator[Edge]:
        """Somebody with a kubeconfig, which holds both the certificate and the CAs, or names their files."""
        named = self._by_path.get(kubeconfig)
        for serving, names in self._shown.by(node, (name or str(node.advertise_address),)):
            yield Edge(
                client=client,
                server=Peer(component="kube-apiserver", node=node.name),
                names=names,
                server_certificate=serving,
                client_trust=named.trust if named is not None else kubeconfig,
                client_certificate=named.certificate if named is not None else self._named(kubeconfig),
                server_trust=self._api_server(node).file(judged_by),
            )

    def _by_endpoint(
        self, client: Peer, kubeconfig: str, judged_by: str = "client-ca-file"
    ) -> Iterator[Edge]:
        """A client of the control plane as a whole, which may reach any API server behind the endpoint."""
        endpoint = self._spec.control_plane_endpoint
        if endpoint is None:
            # The same node that kubeconfigs name then (`ClusterSpec.cluster_server`).
            yield from self._to_api_server(
                client, self._cluster.control_plane[0], kubeconfig, judged_by=judged_by
            )
            return
        host = str(split_host_port(endpoint)[0])
        for node in self._cluster.control_plane:
            yield from self._to_api_server(client, node, kubeconfig, host, judged_by=judged_by)

    def _from_people(self) -> Iterator[Edge]:
        """Users with a certificate, and service accounts outside of the cluster."""
        for user in sorted(self._spec.users, key=lambda user: user.stem):
            if not user.is_service_account and not user.keeps_key:
                person = Peer(component=f"user {user.name}", node=None)
                yield from self._by_endpoint(person, self._inventory.certificates[f"user:{user.name}"].file)
        for proxy in self._cluster.proxies:
            file = self._inventory.certificates[f"proxy:{proxy.name}"].file
            client = Peer(component=f"{PROXY_PEER}{proxy.name}", node=None)
            yield from self._by_endpoint(client, file, judged_by="requestheader-client-ca-file")
        for item in self._inventory.items:
            if isinstance(item, DesiredToken):
                yield from self._with_token(f"service account {item.namespace}/{item.account}", item.path)
            elif isinstance(item, DesiredFile) and item.kind is FileKind.LOGIN_KUBECONFIG:
                yield from self._with_token(f"people of {item.user}", item.path)

    def _with_token(self, who: str, kubeconfig: str) -> Iterator[Edge]:
        """Somebody outside of the cluster who shows no certificate, but verifies the server's."""
        endpoint = self._spec.control_plane_endpoint
        for node in self._cluster.control_plane if endpoint is not None else self._cluster.control_plane[:1]:
            name = str(split_host_port(endpoint)[0]) if endpoint else str(node.advertise_address)
            client = Peer(component=who, node=None)
            yield from self._with_no_certificate(client, kubeconfig, node, (name,))

    def _from_pods(self, publisher: Node, node: Node) -> Iterator[Edge]:
        """Pods, which verify by the published root CA and reach API servers by the Service `kubernetes`."""
        networking = self._spec.networking
        names = (
            "kubernetes.default.svc",
            f"kubernetes.default.svc.{networking.dns_domain}",
            # The Service has one address, of the first subnet (K/pkg/controlplane/controller).
            str(networking.service_subnets[0][1]),
        )
        trust = self._lines.of(ComponentName.CONTROLLER_MANAGER, publisher).file("root-ca-file")
        client = Peer(component="Pods, as published", node=publisher.name)
        yield from self._with_no_certificate(client, trust, node, names)

    def _with_no_certificate(
        self, client: Peer, trust: str | None, node: Node, names: tuple[str, ...]
    ) -> Iterator[Edge]:
        """A client that shows a token: only the server's certificate is verified in the handshake."""
        for serving, some in self._shown.by(node, names):
            yield Edge(
                client=client,
                server=Peer(component="kube-apiserver", node=node.name),
                names=some,
                server_certificate=serving,
                client_trust=trust,
                client_certificate=None,
                server_trust=None,
            )

    def _file(self, node: Node, name: str) -> str:
        return self._inventory.pki_path(node.name, name)


_KUBECONFIGS = {
    ComponentName.CONTROLLER_MANAGER: CONTROLLER_MANAGER_KUBECONFIG,
    ComponentName.SCHEDULER: SCHEDULER_KUBECONFIG,
    ComponentName.KUBELET: KUBELET_KUBECONFIG,
}
"""What a component reads where nobody leads it elsewhere."""
# The last two have API servers judge who asks this component (apiserver, DelegatingAuthenticationOptions and
# DelegatingAuthorizationOptions); each may name a kubeconfig of its own.
_KUBECONFIG_FLAGS = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
