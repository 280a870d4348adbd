"""Where the nodes of another maker have what pkigen keeps under kubeadm's names.

A component's own flags say it: whoever wrote them, and whatever the files are called. Makers need no rows of
their own for that (kubernetes-the-hard-way's `kubernetes.pem`, kubespray's /etc/kubernetes/ssl, minikube's
/var/lib/minikube/certs). Of a certificate that serves several purposes each of them gets a copy.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from pkigen import layout
from pkigen.crypto.keys import public_der
from pkigen.desired.generations import CA, KeyPairFiles
from pkigen.desired.items import DesiredCertificate, DesiredCopy, DesiredFile, DesiredKubeconfig, MaterialKind
from pkigen.desired.readers import ComponentName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pkigen.adoption.found import ForeignNode, FoundBundle, Program
    from pkigen.adoption.node_tree import FoundFile
    from pkigen.adoption.topology import KnownNode
    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import Desired

_Flag = tuple[ComponentName, str]
_API_SERVER, _ETCD = ComponentName.API_SERVER, ComponentName.ETCD
_MANAGER, _SCHEDULER = ComponentName.CONTROLLER_MANAGER, ComponentName.SCHEDULER
_KUBELET, _PROXY = ComponentName.KUBELET, ComponentName.KUBE_PROXY

_PAIRS: Final[Mapping[str, tuple[ComponentName, str, str]]] = {
    "etcd-server": (_ETCD, "cert-file", "key-file"),
    "etcd-peer": (_ETCD, "peer-cert-file", "peer-key-file"),
    "apiserver": (_API_SERVER, "tls-cert-file", "tls-private-key-file"),
    "apiserver-kubelet-client": (_API_SERVER, "kubelet-client-certificate", "kubelet-client-key"),
    "front-proxy-client": (_API_SERVER, "proxy-client-cert-file", "proxy-client-key-file"),
    "apiserver-etcd-client": (_API_SERVER, "etcd-certfile", "etcd-keyfile"),
}
"""The flags that name a certificate and its key, by the kind of certificate."""
_KUBECONFIGS: Final[Mapping[str, ComponentName]] = {
    "controller-manager.conf": _MANAGER,
    "scheduler.conf": _SCHEDULER,
    "kubelet.conf": _KUBELET,
    "kube-proxy.conf": _PROXY,
}
"""Whose `--kubeconfig` each kubeconfig is."""
TRUST: Final[Mapping[CA, tuple[_Flag, ...]]] = {
    CA.KUBERNETES: ((_API_SERVER, "client-ca-file"), (_KUBELET, "client-ca-file")),
    CA.ETCD: ((_ETCD, "trusted-ca-file"), (_API_SERVER, "etcd-cafile")),
    CA.FRONT_PROXY: ((_API_SERVER, "requestheader-client-ca-file"),),
}
"""The flags that name a CA's certificate, the more telling ones first."""
_MATERIALS: Final[Mapping[MaterialKind, tuple[_Flag, ...]]] = {
    MaterialKind.CA_KEY: ((_MANAGER, "cluster-signing-key-file"),),
    MaterialKind.SA_PRIVATE_KEY: (
        (_API_SERVER, "service-account-signing-key-file"),
        (_MANAGER, "service-account-private-key-file"),
    ),
    MaterialKind.SA_PUBLIC_KEY: ((_API_SERVER, "service-account-key-file"),),
}
"""The flags that name the authority's other files."""
_CONFIGURATIONS: Final[Mapping[str, ComponentName]] = {
    f"{layout.KUBELET_DIRECTORY}/config.yaml": _KUBELET,
    f"{layout.KUBE_PROXY_DIRECTORY}/config.yaml": _PROXY,
}


class Places:
    """Finds the files of nodes by the paths that pkigen has for them."""

    def __init__(self, inventory: Inventory, nodes: Sequence[KnownNode]) -> None:
        self._inventory = inventory
        self._nodes = {node.name: node.found for node in nodes}

    def file(self, node: str, path: str) -> FoundFile | None:
        """The node's file for a path of its own that pkigen has; None where the node has none that is good.

        What lies at the path itself counts more than what a flag names.
        """
        found = self._nodes[node]
        own = found.tree.file(path)
        if own is None:
            named = self._named.get(layout.node_path(node, path))
            own = found.tree.file(named) if named is not None else None
        return own if own is not None and own.problem is None else None

    @cached_property
    def _named(self) -> dict[str, str]:
        """What a flag names, by the path of the PKI directory that it belongs at."""
        named: dict[str, str] = {}
        for item in self._inventory.items:
            if item.node is not None:
                named |= dict(_of_item(item, self._nodes[item.node]))
        return named


def ca_key(node: ForeignNode, ca: CA, path: str) -> FoundFile | None:
    """The private key of a CA on a node: at its own path, else in any file that was looked at.

    Makers put it beside the certificate (`ca-key.pem`), or into a directory of its own (`private/ca.key`).
    """
    own = node.content(path)
    if own is not None and own.private:
        return node.tree.file(path)
    bundles = (node.bundle_at(path.removesuffix(".key") + ".crt"), *_bundles(node, TRUST[ca]))
    certificates = (each for found in bundles if found is not None for each in found.certificates)
    wanted = {public_der(each.public_key()) for each in certificates}
    # By the key itself: the name of a file is only its maker's habit.
    held = (file for file, content in node.contents.items() if wanted.intersection(content.private))
    return next((node.tree.file(file) for file in sorted(held)), None)


def signing_key(node: ForeignNode) -> Iterator[str]:
    """The path by which a controller manager knows the key of the CA that it signs with."""
    for component, flag in _MATERIALS[MaterialKind.CA_KEY]:
        yield from filter(None, (named_by(program, flag) for program in node.running(component)))


def _bundles(node: ForeignNode, flags: Iterable[_Flag]) -> Iterator[FoundBundle | None]:
    for component, flag in flags:
        yield from (node.bundle(program, flag) for program in node.running(component))


def _of_item(item: Desired, node: ForeignNode) -> Iterator[tuple[str, str]]:
    match item:
        case DesiredCertificate(location=KeyPairFiles() as files) if item.name in _PAIRS:
            component, certificate, key = _PAIRS[item.name]
            yield from _first(files.certificate, node, ((component, certificate),))
            yield from _first(files.key, node, ((component, key),))
        case DesiredKubeconfig():
            component_of = _KUBECONFIGS.get(item.path.rpartition("/")[2])
            yield from _first(item.path, node, ((component_of, "kubeconfig"),) if component_of else ())
        case DesiredCopy():
            yield from _first(item.path, node, _flags_of(item))
        case DesiredFile():
            yield from _of_file(item, node)
        case _:
            pass


def _flags_of(item: DesiredCopy) -> tuple[_Flag, ...]:
    """The flags that name a copy of the authority's."""
    if item.material is MaterialKind.TRUST_BUNDLE and item.ca is not None:
        return TRUST[item.ca]
    # No component has a flag for the key of another CA.
    return _MATERIALS.get(item.material, ()) if item.ca in {None, CA.KUBERNETES} else ()


def _of_file(item: DesiredFile, node: ForeignNode) -> Iterator[tuple[str, str]]:
    """A unit from wherever its distribution puts units, and the configuration that a flag names."""
    path = item.path.removeprefix(f"{layout.NODES}/{node.name}")
    component = next((each for known, each in _CONFIGURATIONS.items() if item.path.endswith(known)), None)
    if component is not None:
        yield from _first(item.path, node, ((component, "config"),))
    for program in node.programs:
        if program.spot.path.endswith(f"/{path.rpartition('/')[2]}"):
            yield item.path, program.spot.path


def _first(path: str, node: ForeignNode, flags: Sequence[_Flag]) -> Iterator[tuple[str, str]]:
    """The first of these flags that names a file which is there."""
    for component, flag in flags:
        for program in node.running(component):
            value = named_by(program, flag)
            if value and node.tree.file(value) is not None:
                yield path, value
                return


def named_by(program: Program, flag: str) -> str:
    """The node's path of what a flag names; empty where it names nothing."""
    value = program.flags.value(flag)
    return program.flags.host_path(value) if value else ""
