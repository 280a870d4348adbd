"""Where a cluster's components listen, which certificate each shows there, and who is meant to connect."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from pkigen.desired.command_lines import CommandLines
from pkigen.desired.file_references import https_urls
from pkigen.desired.readers import ComponentName
from pkigen.desired.rendering.flags import (
    ETCD_CLIENT_PORT,
    ETCD_PEER_PORT,
)
from pkigen.notation import host_text
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.desired.command_lines import ReadText
    from pkigen.desired.inventory import Inventory
    from pkigen.spec.model import Node


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


# pkg/cluster/ports/ports.go, `KubeletPort`.
KUBELET_PORT = 10250


def endpoints(inventory: Inventory, read: ReadText | None = None) -> Iterator[Endpoint]:
    """Every endpoint of the cluster that serves one of our certificates, by component and node.

    Where it serves is what its flags say; a certificate that is not ours is left out.
    """
    lines = CommandLines(inventory, read)
    cluster = inventory.cluster
    found: list[tuple[str, Node, tuple[IPv4Address | IPv6Address, int], str | None]] = []
    for node in cluster.control_plane:
        line = lines.of(ComponentName.API_SERVER, node)
        place = (
            _bound(line.value("bind-address"), node.advertise_address),
            # The program's own default (pkg/kubeapiserver/options/serving.go, `BindPort`).
            _port(line.value("secure-port"), 6443),
        )
        found.append(("kube-apiserver", node, place, line.file("tls-cert-file")))
    for node in cluster.etcd_members:
        line = lines.of(ComponentName.ETCD, node)
        for component, prefix, port, flag in (
            ("etcd", "client", ETCD_CLIENT_PORT, "cert-file"),
            ("etcd peer", "peer", ETCD_PEER_PORT, "peer-cert-file"),
        ):
            place = _listening(line.value(f"listen-{prefix}-urls"), node, port)
            found.append((component, node, place, line.file(flag)))
    for node in sorted(cluster.spec.nodes, key=lambda node: node.name):
        # A worker may have none in the spec: then nobody here can dial its kubelet.
        if not node.kubelet_addresses:
            continue
        line = lines.of(ComponentName.KUBELET, node)
        place = (
            _bound(line.value("address"), node.kubelet_addresses[0]),
            _port(line.value("port"), KUBELET_PORT),
        )
        found.append(("kubelet", node, place, line.file("tls-cert-file")))
    for component, node, (host, port), file in found:
        certificate = inventory.certificates_by_file.get(file or "")
        if certificate is not None:
            yield Endpoint(component=component, node=node.name, host=host, port=port, certificate=certificate)


def _port(value: str, default: int) -> int:
    """A port that a flag gives, or the default where it gives none that can be dialled."""
    return int(value) if value.isdecimal() and 0 < int(value) < 1 << 16 else default


def _bound(value: str, own: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The address to dial: what is bound, or the node's own if that is every address or a loopback one."""
    try:
        host = ip_address(value.strip("[]"))
    # A name is the program's to resolve on its own host: from here the node's address is what can be dialled.
    except ValueError:
        return own
    return own if host.is_unspecified or host.is_loopback else host


def _listening(text: str, node: Node, default: int) -> tuple[IPv4Address | IPv6Address, int]:
    """Where a member of etcd can be dialled from elsewhere: its own address, else any that leads to it."""
    places = [
        (_bound(url.hostname or "", node.advertise_address), url.port or default, url.hostname)
        for url in https_urls(text)
    ]
    own = str(node.advertise_address)
    # Its own address before any other, and a loopback one, which leads nowhere from elsewhere, last.
    places.sort(key=lambda place: (place[2] != own, place[2] in {"127.0.0.1", "::1", "localhost"}))
    return places[0][:2] if places else (node.advertise_address, default)
