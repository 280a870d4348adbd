"""The names (SANs) of certificates, kind by kind, as kubeadm gives them (`util/pkiutil/pki_helpers.go`)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from pkigen.crypto.names import SANs
from pkigen.spec.addresses import split_host_port

if TYPE_CHECKING:
    from pkigen.notation import IPAddress
    from pkigen.spec.model import ClusterSpec, Node

# Clients on the member's own node dial the loopback address, as its health check does (kubeadm,
# pki_helpers.go, getAltNames).
_LOCALHOST: tuple[IPAddress | str, ...] = ("localhost", IPv4Address("127.0.0.1"), IPv6Address("::1"))


def no_names(_cluster: ClusterSpec, _node: Node) -> SANs:
    """Clients need no names: servers verify who they are, not where."""
    return SANs()


def _etcd_names(node: Node, *own: str) -> SANs:
    """The node and its loopback (kubeadm's `getAltNames`), and what the spec adds."""
    return SANs.of(node.name, *node.addresses, *sorted(node.cert_sans), *_LOCALHOST, *sorted(own))


def etcd_server_names(cluster: ClusterSpec, node: Node) -> SANs:
    """The names of kubeadm's `GetEtcdAltNames`."""
    return _etcd_names(node, *cluster.spec.etcd.server_cert_sans)


def etcd_peer_names(cluster: ClusterSpec, node: Node) -> SANs:
    """The names of kubeadm's `GetEtcdPeerAltNames`."""
    return _etcd_names(node, *cluster.spec.etcd.peer_cert_sans)


def api_server_names(cluster: ClusterSpec, node: Node) -> SANs:
    """The names of kubeadm's `GetAPIServerAltNames`, with all addresses of node and Service `kubernetes`."""
    spec = cluster.spec
    endpoint: tuple[IPAddress | str, ...] = ()
    if spec.control_plane_endpoint is not None:
        endpoint = (split_host_port(spec.control_plane_endpoint)[0],)
    return SANs.of(
        node.name,
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{spec.networking.dns_domain}",
        # The API server gives the Service `kubernetes` the first address of a subnet. kubeadm names that of
        # the first subnet only (`GetAPIServerAltNames`); docs/reference/kubeadm.md has this difference.
        *(subnet[1] for subnet in spec.networking.service_subnets),
        *node.addresses,
        *endpoint,
        # Sorted, so that the order in the spec changes no certificate.
        *sorted(spec.api_server.cert_sans),
        *sorted(node.cert_sans),
    )


def kubelet_names(_cluster: ClusterSpec, node: Node) -> SANs:
    """What API servers dial a kubelet by: its addresses, or its name where it has none."""
    return SANs.of(node.name, *node.kubelet_addresses, *sorted(node.cert_sans))
