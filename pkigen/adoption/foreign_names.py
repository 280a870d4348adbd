"""The names in a foreign cluster's serving certificates that neither pkigen nor kubeadm gives by default."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from pkigen.crypto.names import sans_of
from pkigen.desired.certificates import API_SERVER, CERTIFICATES
from pkigen.desired.readers import ComponentName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pkigen.adoption.topology import KnownNode
    from pkigen.spec.model import ClusterSpec

_ETCD_FIELDS: Final = (
    ("etcd-server", "cert-file", "serverCertSANs"),
    ("etcd-peer", "peer-cert-file", "peerCertSANs"),
)


class DifferingNames:
    """What serving certificates name that follows from nothing else in the spec."""

    def __init__(self, cluster: ClusterSpec, nodes: Sequence[KnownNode]) -> None:
        """Compare.

        Args:
            cluster: What is known of the cluster, without any such name.
            nodes: Its nodes, all of which are in the spec.
        """
        self._cluster = cluster
        self._nodes = nodes
        self._places = {node.name: node for node in cluster.spec.nodes}
        self._served = self._extra(API_SERVER.name, ComponentName.API_SERVER, "tls-cert-file")

    @cached_property
    def common(self) -> list[str]:
        """What all API servers are called."""
        served = tuple(self._served.values())
        return sorted(served[0].intersection(*served)) if served else []

    def of_node(self, node: KnownNode) -> list[str]:
        """What the API server of one node is called that others are not."""
        return sorted(self._served.get(node.name, frozenset()).difference(self.common))

    @property
    def of_etcd(self) -> dict[str, list[str]]:
        """What members of etcd are called, by the field of the spec."""
        return {
            # The spec has one list for all members.
            field: sorted(frozenset().union(*self._extra(kind, ComponentName.ETCD, flag).values()))
            for kind, flag, field in _ETCD_FIELDS
        }

    def _extra(self, kind_name: str, component: ComponentName, flag: str) -> Mapping[str, frozenset[str]]:
        """What a kind of certificate names beside what the spec gives it, by node."""
        kind = next(kind for kind in CERTIFICATES if kind.name == kind_name)
        found = {}
        for node in self._nodes:
            pair = node.pair(component, flag)
            if pair is not None:
                wanted = kind.sans(self._cluster, self._places[node.name]).texts()
                # Names of the DNS are compared in lower case, in which the spec's are.
                found[node.name] = frozenset(map(str.lower, sans_of(pair.certificate))).difference(wanted)
        return found
