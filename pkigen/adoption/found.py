"""What is found on the nodes of a foreign cluster, before anything is said of it."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cryptography import x509

    from pkigen.access.kubeconfigs import Kubeconfig
    from pkigen.adoption.kubeadm_record import KubeadmRecord
    from pkigen.adoption.node_tree import FoundFile, NodeTree
    from pkigen.crypto.pem_blocks import PEMContent
    from pkigen.desired.command_lines import ProgramFlags
    from pkigen.desired.readers import ComponentName


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Spot:
    """A place on a node: a file by the node's own path, and what within it is meant.

    `shown` is where the file lies in what was given; empty where it is not there.
    """

    node: str
    path: str
    part: str = ""
    shown: str = ""

    def __str__(self) -> str:
        return f"{self.node}:{self.path}" + (f" ({self.part})" if self.part else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCertificate:
    """One certificate of a file; `position` counts from 0, and what follows it may be its chain."""

    spot: Spot
    position: int
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPair:
    """A certificate that somebody shows, its chain, and the public half of the key that belongs to it.

    `private` is None where no key could be read at `key_spot`.
    """

    spot: Spot
    chain: tuple[x509.Certificate, ...]
    key_spot: Spot
    private: bytes | None

    @property
    def certificate(self) -> x509.Certificate:
        """The first of the chain, whose key it is."""
        return self.chain[0]

    @property
    def shown(self) -> FoundBundle:
        """What others see of it."""
        return FoundBundle(spot=self.spot, certificates=self.chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBundle:
    """Certificates that are used together: the CAs that somebody judges by, or what is shown to others."""

    spot: Spot
    certificates: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLogin:
    """One context of a kubeconfig: whom it dials, whom it trusts and what it shows.

    `names_trust` says that it names a CA, also where that file is not here.
    """

    spot: Spot
    name: str
    is_current: bool
    server: str
    tls_server_name: str
    verifies: bool
    names_trust: bool
    trust: FoundBundle | None
    pair: FoundPair | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundKubeconfig:
    """A kubeconfig of a node."""

    spot: Spot
    content: Kubeconfig
    logins: tuple[FoundLogin, ...]

    @property
    def current(self) -> FoundLogin | None:
        """The context that counts where nobody names another."""
        return next((login for login in self.logins if login.is_current), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A component on a node: what it is started with, by which file, and as whom."""

    spot: Spot
    flags: ProgramFlags
    image: str = ""
    uids: frozenset[int] = frozenset({0})
    gids: frozenset[int] = frozenset({0})

    @property
    def component(self) -> ComponentName:
        """Which component it is."""
        return self.flags.component

    def __str__(self) -> str:
        return f"{self.component} on {self.spot.node}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A file, or a part of one, that cannot be taken for what it should be."""

    spot: Spot
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignNode:
    """Everything that one node has."""

    name: str
    tree: NodeTree = field(repr=False)
    programs: tuple[Program, ...]
    kubeconfigs: tuple[FoundKubeconfig, ...]
    files: tuple[FoundFile, ...] = field(repr=False)
    contents: dict[str, PEMContent] = field(repr=False)
    """The PEM files by path."""
    pairs: tuple[FoundPair, ...]
    certificates: tuple[FoundCertificate, ...]
    unread: tuple[Unread, ...]
    unread_programs: tuple[Unread, ...] = ()
    """Those that should say what runs here, and how."""

    def running(self, component: ComponentName) -> Iterator[Program]:
        """What runs of a component: no more than one, where nobody left a copy of its manifest."""
        return (program for program in self.programs if program.component is component)

    def spot(self, path: str, part: str = "") -> Spot:
        """A place on this node."""
        file = self.tree.file(path)
        return Spot(node=self.name, path=path, part=part, shown=file.shown if file is not None else "")

    def content(self, path: str) -> PEMContent | None:
        """What a PEM file of this node holds, through links; None where there is none to be read."""
        file = self.tree.file(path)
        return self.contents.get(file.path) if file is not None else None

    def bundle(self, program: Program, flag: str) -> FoundBundle | None:
        """The certificates of the file that a flag names; None where it names none that can be read."""
        value = program.flags.value(flag)
        return self.bundle_at(program.flags.host_path(value)) if value else None

    def bundle_at(self, path: str) -> FoundBundle | None:
        """The certificates of a file."""
        content = self.content(path)
        if content is None or not content.certificates:
            return None
        return FoundBundle(spot=self.spot(path), certificates=content.certificates)

    # By its own path: that is what `kubeconfigs` are known by, whichever link led there.
    def kubeconfig(self, path: str) -> FoundKubeconfig | None:
        """The kubeconfig at a path, through links."""
        file = self.tree.file(path)
        return next((each for each in self.kubeconfigs if file and each.spot.path == file.path), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignCluster:
    """What is known of a cluster, at one moment in UTC; with kubeadm's record of it, where that was given."""

    nodes: tuple[ForeignNode, ...]
    now: datetime
    record: KubeadmRecord | None = None

    def running(self, component: ComponentName) -> Iterator[tuple[ForeignNode, Program]]:
        """Every instance of a component."""
        return ((node, program) for node in self.nodes for program in node.running(component))

    def each_certificate(self) -> Iterator[FoundCertificate]:
        """Every certificate of every node."""
        return (found for node in self.nodes for found in node.certificates)

    def each_kubeconfig(self) -> Iterator[tuple[ForeignNode, FoundKubeconfig]]:
        """Every kubeconfig of every node."""
        return ((node, found) for node in self.nodes for found in node.kubeconfigs)
