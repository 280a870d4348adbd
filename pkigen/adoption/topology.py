"""The nodes of a foreign cluster as its own files name them: roles, addresses, and who runs what."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pkigen.adoption.bare_pki import bare_pkis
from pkigen.crypto.names import sans_of, subject_of
from pkigen.desired.readers import ComponentName
from pkigen.errors import AdoptionError
from pkigen.records import dataclass
from pkigen.spec.model import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
    """Every node, by name; without members of an etcd that is not the control plane's own, and bare PKIs."""
    bare = {node.name for node in bare_pkis(cluster)}
    cluster = replace(cluster, nodes=tuple(node for node in cluster.nodes if node.name not in bare))
    if _has_etcd_apart(cluster):
        cluster = replace(cluster, nodes=tuple(_without_etcd(cluster)))
    _require_each_once(cluster)
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


def _require_each_once(cluster: ForeignCluster) -> None:
    """See that no two sources are the same node.

    Raises:
        AdoptionError: Two are.
    """
    seen: dict[str, str] = {}
    for node in cluster.nodes:
        name = kubelet_name(node) or node.name
        first = seen.setdefault(name, node.name)
        if first != node.name:
            raise AdoptionError(
                f"{first} and {node.name} both have the files of the node {name}, by their kubelet.conf",
                hint="give each node once, with files of its own",
            )


def releases_apart(cluster: ForeignCluster) -> Iterator[str]:
    """Which releases the control planes run, where they are not all the same: an upgrade is under way."""
    found: dict[str, list[str]] = {}
    for node, program in cluster.running(ComponentName.API_SERVER):
        found.setdefault(image_tag(program.image), []).append(node.name)
    if len(found) > 1:
        told = "; ".join(f"{tag or 'none known'} on {', '.join(names)}" for tag, names in found.items())
        yield f"API servers run different releases ({told}): finish the upgrade before manifests are managed"


def members_missing(cluster: ForeignCluster) -> Iterator[str]:
    """Control planes without a member of etcd beside others that have one, which no spec can say."""
    members = {node.name for node, _ in cluster.running(ComponentName.ETCD)}
    servers = {node.name for node, _ in cluster.running(ComponentName.API_SERVER)}
    lacking = sorted(servers - members)
    if lacking and members & servers and not _has_etcd_apart(cluster):
        yield (
            f"{', '.join(lacking)} has no member of etcd, as {', '.join(sorted(members & servers))} has: it "
            "would get one where manifests are managed"
        )


def image_tag(image: str) -> str:
    """The tag of an image; empty where it has none, whatever port its registry has."""
    # Without the digest, and without the registry, whose port has a colon, too.
    name = image.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[2]


def _has_etcd_apart(cluster: ForeignCluster) -> bool:
    """Whether others look after etcd: by units beside static Pods, as kubespray, or without certificates."""
    servers = cluster.running(ComponentName.API_SERVER)
    in_pods = any(program.flags.mounts is not None for _, program in servers)
    members = [program for _, program in cluster.running(ComponentName.ETCD)]
    return any(
        (in_pods and program.flags.mounts is None) or not program.flags.value("cert-file")
        for program in members
    )


def _without_etcd(cluster: ForeignCluster) -> Iterator[ForeignNode]:
    """The nodes without their members; those that run nothing else are none of the cluster's."""
    for node in cluster.nodes:
        left = tuple(each for each in node.programs if each.component is not ComponentName.ETCD)
        # Where nothing is known to run there may be a kubelet whose files were not copied.
        if left or not node.programs:
            yield replace(node, programs=left)


def members_apart(cluster: ForeignCluster) -> Iterator[str]:
    """Which files of an etcd that is looked after apart stay somebody else's, member by member."""
    for node, program in cluster.running(ComponentName.ETCD) if _has_etcd_apart(cluster) else ():
        named = [program.flags.value(flag) for flag in ("cert-file", "peer-cert-file", "trusted-ca-file")]
        files = ", ".join(dict.fromkeys(filter(None, named))) or "it has no certificates"
        yield (
            f"etcd on {node.name} is run by {program.spot.path}, apart from the control plane: the spec has "
            f"it as external, and what it reads is not taken over ({files}); renew that with what made it"
        )


def idle_components(nodes: Iterable[KnownNode]) -> dict[str, frozenset[ComponentName]]:
    """The components of which a node has nothing that would start them.

    A node with static Pods has a kubelet, whether its files were copied or not.
    """
    idle = {}
    for node in nodes:
        running = {each.component for each in node.found.programs}
        if any(each.flags.mounts is not None for each in node.found.programs):
            running.add(ComponentName.KUBELET)
        if running:
            idle[node.name] = frozenset(ComponentName) - running
    return idle


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
        # The kubelet's serving certificate names the addresses at which API servers dial it; no flag has to.
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
        # None of these means this node to another one.
        if not (address.is_loopback or address.is_unspecified or address.is_link_local):
            yield address
