"""The prover's rival: every state in which the machines of a small cluster can be, one by one.

It has its own judge of certificates, its own table of what processes hold until they restart, reads flags
from manifests, and knows nothing of cases. What it shares with the prover is the list of TLS edges.

The states of a node while files arrive: none of the new ones is there; the trust bundles alone are, or the
kubeconfigs alone; all but the bundles are, or all but the kubeconfigs, or all but the manifests; all are. In
each, any of its processes may have restarted since. Tokens and what is encrypted outlive the state of the
node that they were made in: with a later state of the same node they must still be good.
"""

from __future__ import annotations

import base64
import itertools
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from pkigen.desired.connections import edges
from pkigen.desired.generations import InKubeconfig, KeyPairFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.desired.connections import Edge, Peer
    from pkigen.desired.inventory import Inventory
    from pkigen.spec.model import ClusterSpec
    from tests.rotation.phases import Photograph

PROCESSES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "kubelet")
WORKER_PROCESSES = ("kubelet",)

# What is read once, by the process and the end of the file's name.
HELD = {
    ("kube-apiserver", "as client", "/pki/ca.crt"),
    ("kube-apiserver", "as client", "/etcd/ca.crt"),
    ("kube-apiserver", "as server", "/sa.key"),
    ("kube-apiserver", "as server", "/sa.pub"),
    ("kube-apiserver", "as server", "/sa-next.pub"),
    ("kube-apiserver", "as server", "/encryption-config.yaml"),
    ("kube-apiserver", "as server", "/kube-apiserver.yaml"),
    ("etcd", "as client", "/etcd/ca.crt"),
    ("etcd", "as server", "/etcd/ca.crt"),
    ("kube-controller-manager", "as client", "/controller-manager.conf"),
    ("kube-controller-manager", "as client", "/pki/ca.crt"),
    ("kube-controller-manager", "as client", "/sa.key"),
    ("kube-scheduler", "as client", "/scheduler.conf"),
    ("kubelet", "as client", "/kubelet.conf"),
}
# Which process an end of an edge is; the others are people and programs that read their files each time.
OF = {
    "etcd peer": "etcd",
    "etcd gateway": "etcd",
    "Pods, as published": "kube-controller-manager",
    "aggregated API servers, as published": "kube-apiserver",
}


@dataclass(frozen=True, slots=True)
class Node:
    """What a node has: the state of its disk now, and what it was when each process started."""

    disk: str
    started: tuple[tuple[str, str], ...]

    def has(self, process: str, role: str, path: str) -> str:
        """Which state of the disk a process' copy of a file is of."""
        if not is_held(process, role, path):
            return self.disk
        return next((state for name, state in self.started if name == process), self.disk)


@cache
def is_held(process: str, role: str, path: str) -> bool:
    """Whether a process reads a file only when it starts."""
    return any((process, role) == (name, end) and path.endswith(suffix) for name, end, suffix in HELD)


WAYS = tuple(
    ("old", *between, "new")
    for between in (
        ("bundles", "all but kubeconfigs"),
        ("kubeconfigs", "all but bundles"),
        ("all but manifests",),
    )
)
"""In which order files may arrive: in each, a state comes with all that those before it have."""


@cache
def is_new(disk: str, path: str) -> bool:
    """Whether a file is the new one in a state of a disk."""
    bundle = path.endswith(("/ca.crt", "/front-proxy-ca.crt"))
    kubeconfig = path.endswith(".conf")
    return {
        "old": False,
        "bundles": bundle,
        "kubeconfigs": kubeconfig,
        "all but bundles": not bundle,
        "all but kubeconfigs": not kubeconfig,
        "all but manifests": "/manifests/" not in path,
        "new": True,
    }[disk]


def nodes(processes: tuple[str, ...]) -> Iterator[Node]:
    """Every state of one node: each process started in the disk's present state, or in one before it."""
    seen = set()
    for way in WAYS:
        for end in range(len(way)):
            for states in itertools.product(way[: end + 1], repeat=len(processes)):
                node = Node(way[end], tuple(zip(processes, states, strict=True)))
                if node not in seen:
                    seen.add(node)
                    yield node


@dataclass
class Cluster:
    """Both photographs, and what may be asked of them."""

    spec: ClusterSpec
    old: Photograph
    new: Photograph
    _known: dict[tuple[object, ...], bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inventory: Inventory = self.new.inventory(self.spec)

    def broken(self) -> set[str]:
        """The edges that break in some state, by their ends."""
        found = set()
        names = [node.name for node in self.spec.spec.nodes]
        control_plane = {node.name for node in self.spec.control_plane}
        members = {node.name for node in self.spec.etcd_members}
        for name, ends, check in self.checks():
            # An edge looks at the nodes of its ends only: every state of the others is the same to it.
            involved = [node for node in names if node in ends]
            choices = [
                list(nodes(_processes(node, control_plane, members, self.relevant(name))))
                for node in involved
            ]
            for states in itertools.product(*choices):
                if not check(dict(zip(involved, states, strict=True))):
                    found.add(name)
                    break
        return found

    @staticmethod
    def relevant(name: str) -> frozenset[str]:
        """The processes that an edge's ends are: only their starts matter to it."""
        peers = [part.partition(" on ")[0] for part in re.split(r" → |: ", name)]
        return frozenset(OF.get(peer.removesuffix(" with its old flags"), peer) for peer in peers)

    def checks(self):  # type: ignore[no-untyped-def]  # noqa: ANN201 -- a name, nodes, and a question about their states
        for edge in edges(self.inventory):
            ends = {end.node for end in (edge.client, edge.server)} - {None}
            if edge.server_certificate and edge.client_trust:
                yield f"{edge.client} → {edge.server}: serving certificate", ends, self._serving(edge)
            if edge.client_certificate and edge.server_trust:
                yield f"{edge.client} → {edge.server}: client certificate", ends, self._client(edge)
        api = [node.name for node in self.spec.control_plane]
        for signer, judge in itertools.product(api, api):
            pair = {signer, judge}
            for process in ("kube-apiserver", "kube-controller-manager"):
                name = f"{process} on {signer} → kube-apiserver on {judge}: service account token"
                yield name, pair, self._token(process, signer, judge)
            name = f"kube-controller-manager on {signer} → kube-apiserver on {judge}: signed"
            yield name, pair, self._signed(signer, judge)
            if self.spec.spec.encryption is not None:
                name = f"kube-apiserver on {signer} → kube-apiserver on {judge}: encrypted Secret"
                yield name, pair, self._secret(signer, judge)

    # -- what is asked --------------------------------------------------------------------------------

    def _serving(self, edge: Edge):  # type: ignore[no-untyped-def]  # noqa: ANN202
        path = self._path(edge.server_certificate or "")
        return lambda states: all(
            self._accepts(
                self._file(states, edge.server, "as server", path),
                self._file(states, edge.client, "as client", edge.client_trust or ""),
                name,
            )
            for name in edge.names
        )

    def _client(self, edge: Edge):  # type: ignore[no-untyped-def]  # noqa: ANN202
        path = self._path(edge.client_certificate or "")
        return lambda states: self._accepts(
            self._file(states, edge.client, "as client", path),
            self._file(states, edge.server, "as server", edge.server_trust or ""),
            None,
        )

    def _token(self, process: str, signer: str, judge: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
        role = "as server" if process == "kube-apiserver" else "as client"
        key = f"nodes/{signer}/etc/kubernetes/pki/sa.key"

        def holds(states: dict[str, Node]) -> bool:
            disk = states[judge].has("kube-apiserver", "as server", "/kube-apiserver.yaml")
            names = key_files(self._at(disk, f"nodes/{judge}/etc/kubernetes/manifests/kube-apiserver.yaml"))
            files = [self._at(disk, f"nodes/{judge}{name}", missing=True) for name in names]
            if b"" in files:
                return False  # the API server does not start
            signed = {
                public_half(self._at(made, key)) for made in {"old", states[signer].has(process, role, key)}
            }
            return signed <= set(map(public_key, files))

        return self._remembered(f"token {process} {signer} {judge}", holds, signer, judge)

    def _signed(self, signer: str, judge: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
        stem = f"nodes/{signer}/etc/kubernetes/pki"

        def holds(states: dict[str, Node]) -> bool:
            return all(one(states, disk) for disk in {"old", states[signer].disk})

        def one(states: dict[str, Node], disk: str) -> bool:
            if is_new(disk, f"{stem}/ca-signing.crt") is not is_new(disk, f"{stem}/ca.key"):
                return True  # it goes on with the pair that it has
            signing = certificates(self._at(disk, f"{stem}/ca-signing.crt"))
            bundle = self._at(states[judge].disk, f"nodes/{judge}/etc/kubernetes/pki/ca.crt")
            key = public_half(self._at(disk, f"{stem}/ca.key"))
            return len(signing) == 1 and key == spki(signing[0]) and signing[0] in certificates(bundle)

        return self._remembered(f"signed {signer} {judge}", holds, signer, judge)

    def _secret(self, writer: str, judge: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
        def keys(states: dict[str, Node], node: str) -> tuple[str, ...]:
            path = f"nodes/{node}/etc/kubernetes/pki/encryption-config.yaml"
            return encryption_keys(self._at(states[node].has("kube-apiserver", "as server", path), path))

        return self._remembered(
            f"secret {writer} {judge}",
            lambda states: (
                {keys(states, writer)[0], keys({writer: Node("old", ())}, writer)[0]}
                <= set(keys(states, judge))
            ),
            writer,
            judge,
        )

    def _remembered(self, what: str, ask, *involved: str):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        def holds(states: dict[str, Node]) -> bool:
            key = (what, *(states[node] for node in involved))
            if key not in self._known:
                self._known[key] = ask(states)
            return self._known[key]

        return holds

    # -- files ----------------------------------------------------------------------------------------

    def _path(self, certificate: str) -> str:
        location = self.inventory.certificates[certificate].location
        if isinstance(location, InKubeconfig):
            return location.kubeconfig
        assert isinstance(location, KeyPairFiles)
        return location.certificate

    def _file(self, states: dict[str, Node], peer: Peer, role: str, path: str) -> list[bytes]:
        """The contents that an end may have: a person's file is old or new at any time."""
        top, _, rest = path.partition("/")
        if top != "nodes":
            return [self.old.files[path], self.new.files[path]]
        return [
            self._at(
                states[rest.partition("/")[0]].has(OF.get(peer.component, peer.component), role, path), path
            )
        ]

    def _at(self, disk: str, path: str, *, missing: bool = False) -> bytes:
        files = (self.new if is_new(disk, path) else self.old).files
        if path not in files and is_new(disk, path):
            files = self.old.files  # copying a tree over a node takes nothing away
        return files.get(path, b"") if missing else files[path]

    # -- certificates ---------------------------------------------------------------------------------

    def _accepts(self, presented: list[bytes], trusted: list[bytes], name: str | None) -> bool:
        for one, other in itertools.product(presented, trusted):
            key = ("accepts", one, other, name)
            if key not in self._known:
                self._known[key] = accepts(one, other, name)
            if not self._known[key]:
                return False
        return True


def _processes(
    node: str, control_plane: set[str], members: set[str], relevant: frozenset[str]
) -> tuple[str, ...]:
    found = list(PROCESSES if node in control_plane else WORKER_PROCESSES)
    if node in members and "etcd" not in found:
        found.append("etcd")
    if node not in members and "etcd" in found:
        found.remove("etcd")
    return tuple(each for each in found if each in relevant)


@cache
def key_files(manifest: bytes) -> tuple[str, ...]:
    """By which files an API server with this manifest judges tokens."""
    (container,) = yaml.safe_load(manifest)["spec"]["containers"]
    flag = "--service-account-key-file="
    return tuple(each.removeprefix(flag) for each in container["command"] if each.startswith(flag))


@cache
def encryption_keys(configuration: bytes) -> tuple[str, ...]:
    (provider,) = yaml.safe_load(configuration)["resources"][0]["providers"][0].values()
    return tuple(key["secret"] for key in provider["keys"])


@cache
def public_half(private: bytes) -> bytes:
    key = load_pem_private_key(private, None).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@cache
def public_key(pem: bytes) -> bytes:
    return load_pem_public_key(pem).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@cache
def certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificates(pem))


def spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def accepts(presented: bytes, trusted: bytes, name: str | None) -> bool:
    """Whether who trusts these CAs accepts that certificate: it, or one sent with it, is signed by them."""
    leaf, *above = x509.load_pem_x509_certificates(_part(presented, b"client-certificate-data"))
    if name is not None:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = {str(each) for each in names.get_values_for_type(x509.IPAddress)}
        if name not in known | set(names.get_values_for_type(x509.DNSName)):
            return False
    anchors = x509.load_pem_x509_certificates(_part(trusted, b"certificate-authority-data"))
    links = [leaf, *(link for link in above if _signed(leaf, link))]
    return any(_signed(link, anchor) for link in links for anchor in anchors)


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError):
        return False
    return True


def _part(data: bytes, key: bytes) -> bytes:
    """A PEM file, or what a kubeconfig embeds."""
    found = re.search(rb"(?m)^ *" + key + rb": (\S+)$", data)
    return base64.b64decode(found[1]) if found else data
