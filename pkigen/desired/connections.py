"""Every TLS edge of the cluster: who presents which certificate to whom, and which trust bundle verifies it.

The edges are derived from the inventory. They are verified with pyca's path verifier, which shares no code
with the components' own (Go's `crypto/x509`), against the files that each end really has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from pkigen.desired import certificates
from pkigen.desired.certificates import (
    API_SERVER,
    API_SERVER_ETCD_CLIENT,
    API_SERVER_KUBELET_CLIENT,
    ETCD_HEALTHCHECK_CLIENT,
    ETCD_PEER,
    ETCD_SERVER,
    FRONT_PROXY_CLIENT,
    KUBELET_SERVING,
    Holder,
    KubeconfigTo,
    Server,
)
from pkigen.desired.items import DesiredToken
from pkigen.notation import host_text
from pkigen.spec.model import Node, Role
from pkigen.spec.values import split_host_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    `client_certificate` is None where the client shows none (Pods come with a token).
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


def edges(inventory: Inventory) -> Iterator[Edge]:
    """Every TLS connection that the cluster's components, people and Pods make with these certificates."""
    return _Edges(inventory).all()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address at which a component serves one of our certificates."""

    component: str
    node: str
    host: IPv4Address | IPv6Address
    port: int
    certificate: str

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{host_text(self.host)}:{self.port}"


ETCD_CLIENT_PORT, ETCD_PEER_PORT, KUBELET_PORT = 2379, 2380, 10250


def endpoints(inventory: Inventory) -> Iterator[Endpoint]:
    """Every endpoint of the cluster that serves one of our certificates, by component and node."""
    cluster = inventory.cluster
    for node in cluster.control_plane:
        yield Endpoint(
            component="kube-apiserver",
            node=node.name,
            host=node.advertise_address,
            port=cluster.api_port(node),
            certificate=API_SERVER.id_on(node.name),
        )
    for node in cluster.etcd_members:
        for component, port, kind in (
            ("etcd", ETCD_CLIENT_PORT, ETCD_SERVER),
            ("etcd peer", ETCD_PEER_PORT, ETCD_PEER),
        ):
            yield Endpoint(
                component=component,
                node=node.name,
                host=node.advertise_address,
                port=port,
                certificate=kind.id_on(node.name),
            )
    for node in sorted(cluster.spec.nodes, key=lambda node: node.name):
        if not node.kubelet_addresses:
            continue
        yield Endpoint(
            component="kubelet",
            node=node.name,
            host=node.kubelet_addresses[0],
            port=KUBELET_PORT,
            certificate=KUBELET_SERVING.id_on(node.name),
        )


class _Edges:
    def __init__(self, inventory: Inventory) -> None:
        self._cluster = inventory.cluster
        self._inventory = inventory
        self._spec = inventory.cluster.spec

    def all(self) -> Iterator[Edge]:
        for node in self._cluster.control_plane:
            yield from self._from_api_server(node)
            yield from self._from_kubeconfigs(node, Holder.CONTROL_PLANE, Holder.FIRST_CONTROL_PLANE)
        yield from self._published()
        for member in self._cluster.etcd_members:
            yield from self._between_members(member)
        yield from self._from_nodes_and_people()

    def _from_nodes_and_people(self) -> Iterator[Edge]:
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
            for component in [reader.component.value for reader in kind.readers] or [kind.name]:
                client = Peer(component=component, node=node.name)
                if kind.place.server is Server.NEAREST and node.has(Role.CONTROL_PLANE):
                    yield self._to_api_server(client, node, identifier)
                else:
                    yield from self._by_endpoint(client, identifier)

    def _from_api_server(self, node: Node) -> Iterator[Edge]:
        client = Peer(component="kube-apiserver", node=node.name)
        stacked = {member.name for member in self._cluster.etcd_members} == {
            each.name for each in self._cluster.control_plane
        }
        for member in (node,) if stacked else self._cluster.etcd_members:
            host = member.advertise_address
            if stacked:
                host = IPv6Address("::1") if isinstance(host, IPv6Address) else IPv4Address("127.0.0.1")
            yield self._etcd_edge(client, node, API_SERVER_ETCD_CLIENT.id_on(node.name), member, str(host))
        for other in sorted(self._spec.nodes, key=lambda each: each.name):
            yield Edge(
                client=client,
                server=Peer(component="kubelet", node=other.name),
                # Without an address the name is all that its certificate can be found by (kubelet-preferred-
                # address-types); the spec's warning says what that means.
                names=tuple(map(str, other.kubelet_addresses)) or (other.name,),
                server_certificate=KUBELET_SERVING.id_on(other.name),
                client_trust=self._file(node, "ca.crt"),
                client_certificate=API_SERVER_KUBELET_CLIENT.id_on(node.name),
                server_trust=self._file(other, "ca.crt"),
            )

    def _published(self) -> Iterator[Edge]:
        """Who verifies with a CA that the cluster publishes: from whichever control-plane node's files it is.

        The leading controller manager publishes kube-root-ca.crt, and every API server adds its
        request-header CAs to the ConfigMap extension-apiserver-authentication.
        """
        for publisher in self._cluster.control_plane:
            for node in self._cluster.control_plane:
                yield self._from_pods(publisher, node)
                yield Edge(
                    client=Peer(component="kube-apiserver", node=node.name),
                    server=Peer(component="aggregated API servers, as published", node=publisher.name),
                    names=(),
                    server_certificate=None,
                    client_trust=None,
                    client_certificate=FRONT_PROXY_CLIENT.id_on(node.name),
                    server_trust=self._file(publisher, "front-proxy-ca.crt"),
                )

    def _between_members(self, member: Node) -> Iterator[Edge]:
        for other in self._cluster.etcd_members:
            if other.name != member.name:
                yield Edge(
                    client=Peer(component="etcd", node=member.name),
                    server=Peer(component="etcd peer", node=other.name),
                    names=(str(other.advertise_address),),
                    server_certificate=ETCD_PEER.id_on(other.name),
                    client_trust=self._file(member, "etcd/ca.crt"),
                    client_certificate=ETCD_PEER.id_on(member.name),
                    server_trust=self._file(other, "etcd/ca.crt"),
                )
        yield self._etcd_edge(
            # Its JSON gateway dials the member itself with the serving certificate (embed/serve.go).
            Peer(component="etcd gateway", node=member.name),
            member,
            ETCD_SERVER.id_on(member.name),
            member,
            str(member.advertise_address),
        )
        yield self._etcd_edge(
            Peer(component="etcd health check", node=member.name),
            member,
            ETCD_HEALTHCHECK_CLIENT.id_on(member.name),
            member,
            str(member.advertise_address),
        )

    def _etcd_edge(self, client: Peer, node: Node, certificate: str, member: Node, host: str) -> Edge:
        return Edge(
            client=client,
            server=Peer(component="etcd", node=member.name),
            names=(host,),
            server_certificate=ETCD_SERVER.id_on(member.name),
            client_trust=self._file(node, "etcd/ca.crt"),
            client_certificate=certificate,
            server_trust=self._file(member, "etcd/ca.crt"),
        )

    def _to_api_server(self, client: Peer, node: Node, certificate: str, name: str = "") -> Edge:
        return Edge(
            client=client,
            server=Peer(component="kube-apiserver", node=node.name),
            names=(name or str(node.advertise_address),),
            server_certificate=API_SERVER.id_on(node.name),
            client_trust=self._inventory.certificates[certificate].file,
            client_certificate=certificate,
            server_trust=self._file(node, "ca.crt"),
        )

    def _by_endpoint(self, client: Peer, certificate: str) -> Iterator[Edge]:
        endpoint = self._spec.control_plane_endpoint
        if endpoint is None:
            yield self._to_api_server(client, self._cluster.control_plane[0], certificate)
            return
        host = str(split_host_port(endpoint)[0])
        for node in self._cluster.control_plane:
            yield self._to_api_server(client, node, certificate, host)

    def _from_people(self) -> Iterator[Edge]:
        for user in sorted(self._spec.users, key=lambda user: user.stem):
            if not user.is_service_account:
                person = Peer(component=f"user {user.name}", node=None)
                yield from self._by_endpoint(person, f"user:{user.name}")
        for item in self._inventory.items:
            if isinstance(item, DesiredToken):
                yield from self._with_token(item)

    def _with_token(self, item: DesiredToken) -> Iterator[Edge]:
        """A service account outside of the cluster: it shows no certificate, but verifies the server's."""
        endpoint = self._spec.control_plane_endpoint
        for node in self._cluster.control_plane if endpoint is not None else self._cluster.control_plane[:1]:
            yield Edge(
                client=Peer(component=f"service account {item.namespace}/{item.account}", node=None),
                server=Peer(component="kube-apiserver", node=node.name),
                names=(str(split_host_port(endpoint)[0]) if endpoint else str(node.advertise_address),),
                server_certificate=API_SERVER.id_on(node.name),
                client_trust=item.path,
                client_certificate=None,
                server_trust=None,
            )

    def _from_pods(self, publisher: Node, node: Node) -> Edge:
        networking = self._spec.networking
        return Edge(
            client=Peer(component="Pods, as published", node=publisher.name),
            server=Peer(component="kube-apiserver", node=node.name),
            names=(
                "kubernetes.default.svc",
                f"kubernetes.default.svc.{networking.dns_domain}",
                *(str(subnet[1]) for subnet in networking.service_subnets),
            ),
            server_certificate=API_SERVER.id_on(node.name),
            client_trust=self._file(publisher, "ca.crt"),
            client_certificate=None,
            server_trust=None,
        )

    def _file(self, node: Node, name: str) -> str:
        return self._inventory.pki_path(node.name, name)
