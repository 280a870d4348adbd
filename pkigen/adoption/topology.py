"""The nodes of a foreign cluster as its own files name them: roles, addresses, and who runs what."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pkigen.crypto.names import sans_of, subject_of
from pkigen.desired.readers import ComponentName
from pkigen.spec.model import Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.adoption.found import ForeignCluster, ForeignNode, FoundPair, Program
    from pkigen.notation import IPAddress

_KUBELET_USER: Final = "system:node:"
_KUBELET_KUBECONFIG: Final = "/etc/kubernetes/kubelet.conf"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNode:
    """A node by the name that it has in the cluster, and what it runs of the control plane."""

    name: str
    found: ForeignNode
    addresses: tuple[IPAddress, ...]
    roles: tuple[Role, ...]

    def program(self, component: ComponentName) -> Program | None:
        """What runs of a component here."""
        return next(self.found.running(component), None)

    def pair(self, component: ComponentName, flag: str) -> FoundPair | None:
        """The certificate and key that a flag of a component names; None where they cannot be read."""
        program = self.program(component)
        value = program.flags.value(flag) if program is not None else ""
        file = self.found.tree.file(program.flags.host_path(value)) if program is not None and value else None
        if file is None:
            return None
        return next((pair for pair in self.found.pairs if pair.spot.path == file.path), None)


def known_nodes(cluster: ForeignCluster) -> tuple[KnownNode, ...]:
    """Every node, by name."""
    control_plane = {node.name for node, _ in cluster.running(ComponentName.API_SERVER)}
    members = {node.name for node, _ in cluster.running(ComponentName.ETCD)}
    # Where there are members apart, only nodes with the role etcd are members.
    dedicated = members if members - control_plane else set()
    nodes = [
        KnownNode(
            name=kubelet_name(node) or node.name,
            found=node,
            addresses=tuple(dict.fromkeys(_addresses(node))),
            roles=tuple(_roles(node, control_plane, dedicated)),
        )
        for node in cluster.nodes
    ]
    return tuple(sorted(nodes, key=lambda node: node.name))


def kubelet_name(node: ForeignNode) -> str | None:
    """The name that the node's kubelet comes in by; None where its certificate is not here."""
    program = next(node.running(ComponentName.KUBELET), None)
    path = (program.flags.value("kubeconfig") if program is not None else "") or _KUBELET_KUBECONFIG
    kubeconfig = node.kubeconfig(path)
    login = kubeconfig.current if kubeconfig is not None else None
    if login is None or login.pair is None:
        return None
    user = subject_of(login.pair.certificate).common_name
    return user.removeprefix(_KUBELET_USER) if user.startswith(_KUBELET_USER) else None


def _roles(node: ForeignNode, control_plane: set[str], dedicated: set[str]) -> Iterator[Role]:
    if node.name in control_plane:
        yield Role.CONTROL_PLANE
    if node.name in dedicated:
        yield Role.ETCD
    if node.name not in control_plane | dedicated:
        yield Role.WORKER


def _addresses(node: ForeignNode) -> Iterator[IPAddress]:
    """What the flags say that others reach the node at, the API server's address first."""
    for program in node.running(ComponentName.API_SERVER):
        yield from _parsed(program.flags.value("advertise-address"))
    for program in node.running(ComponentName.ETCD):
        yield from _of_urls(program.flags.value("advertise-client-urls"))
    for program in node.running(ComponentName.KUBELET):
        yield from _parsed(program.flags.value("node-ip"))
        yield from _of_certificate(node, program.flags.value("tls-cert-file"))


def _of_certificate(node: ForeignNode, path: str) -> Iterator[IPAddress]:
    content = node.content(path) if path else None
    if content is not None and content.certificates:
        yield from _parsed(",".join(sans_of(content.certificates[0])))


def _of_urls(text: str) -> Iterator[IPAddress]:
    for url in text.split(","):
        try:
            host = urlsplit(url).hostname or ""
        except ValueError:
            continue
        yield from _parsed(host)


def _parsed(text: str) -> Iterator[IPAddress]:
    """The addresses of a list; what is none, or stands for every address of a host, is left out."""
    for each in text.split(","):
        try:
            address = ip_address(each.strip())
        except ValueError:
            continue
        if not (address.is_loopback or address.is_unspecified or address.is_link_local):
            yield address
