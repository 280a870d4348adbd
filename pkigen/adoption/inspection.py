"""Everything on a foreign cluster's nodes, read once: an unreadable file is a finding, not an exception."""

from __future__ import annotations

import base64
import posixpath
import re
from dataclasses import field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from pkigen.access.kubeconfigs import Section, load
from pkigen.adoption.found import (
    ForeignCluster,
    ForeignNode,
    FoundBundle,
    FoundCertificate,
    FoundKubeconfig,
    FoundLogin,
    FoundPair,
    Spot,
    Unread,
)
from pkigen.adoption.gathered import KUBECONFIGS, beside
from pkigen.adoption.programs import read_programs
from pkigen.crypto.pem import other_form
from pkigen.crypto.pem_blocks import PEMContent, read_pem
from pkigen.desired.file_references import SIGNERS, sni_pairs
from pkigen.desired.readers import ComponentName
from pkigen.errors import AccessError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from cryptography import x509

    from pkigen.access.kubeconfigs import Kubeconfig, NamedEntry
    from pkigen.adoption.found import Program
    from pkigen.adoption.node_tree import FoundFile, NodeTree

_SERVING: Final = ("tls-cert-file", "tls-private-key-file")
PAIR_FLAGS: Final[Mapping[ComponentName, tuple[tuple[str, str], ...]]] = {
    ComponentName.API_SERVER: (
        _SERVING,
        ("kubelet-client-certificate", "kubelet-client-key"),
        ("proxy-client-cert-file", "proxy-client-key-file"),
        ("etcd-certfile", "etcd-keyfile"),
    ),
    ComponentName.CONTROLLER_MANAGER: (
        _SERVING,
        ("cluster-signing-cert-file", "cluster-signing-key-file"),
        *((f"cluster-signing-{each}-cert-file", f"cluster-signing-{each}-key-file") for each in SIGNERS),
    ),
    ComponentName.SCHEDULER: (_SERVING,),
    ComponentName.ETCD: (("cert-file", "key-file"), ("peer-cert-file", "peer-key-file")),
    ComponentName.KUBELET: (_SERVING,),
    ComponentName.KUBE_PROXY: (),
}
"""The flags that name a certificate and its key."""
_PEM: Final = b"-----BEGIN "
_KEY_NAMES: Final = ((".crt", ".key"), (".pem", "-key.pem"), (".pem", ".key"), (".cert", ".key"))
_PEM_SUFFIXES: Final = (".crt", ".key", ".pem", ".pub", ".cer", ".cert")
# In YAML or JSON, on however many lines, and whatever the file is called.
_CLUSTERS: Final = re.compile(rb"(?m)(?:^|[{,])\s*\"?clusters\"?\s*:")
_USERS: Final = re.compile(rb"(?m)(?:^|[{,])\s*\"?users\"?\s*:")


def inspect(trees: Iterable[NodeTree], *, now: datetime) -> ForeignCluster:
    """Read every node.

    Raises:
        StoreError: A node has more files than can be looked at.
    """
    return ForeignCluster(nodes=tuple(map(_node, trees)), now=now)


def _node(tree: NodeTree) -> ForeignNode:
    return _Inspection(tree).node()


@dataclass(slots=True, kw_only=True)
class _Found:
    kubeconfigs: list[FoundKubeconfig] = field(default_factory=list)
    pairs: dict[tuple[str, str, str], FoundPair] = field(default_factory=dict)
    certificates: list[FoundCertificate] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)


class _Inspection:
    """One node, file by file."""

    def __init__(self, tree: NodeTree) -> None:
        self._tree = tree
        self._found = _Found()
        self._contents: dict[str, PEMContent] = {}

    def node(self) -> ForeignNode:
        programs, unread = read_programs(self._tree)
        self._found.unread += unread
        # By path: a flag may lead to what lies in the directories that are walked.
        files = {file.path: file for file in (*self._tree.files(), *self._named(programs))}
        for file in files.values():
            self._take(file)
        for program in programs:
            self._pairs_of(program)
        # A copy: looking for a pair may read further files into it.
        for path in list(self._contents):
            self._pair_beside(path)
        return ForeignNode(
            name=self._tree.name,
            tree=self._tree,
            programs=programs,
            kubeconfigs=tuple(self._found.kubeconfigs),
            files=tuple(files.values()),
            contents=self._contents,
            pairs=tuple(self._found.pairs.values()),
            certificates=tuple(self._found.certificates),
            unread=tuple(self._found.unread),
            unread_programs=unread,
        )

    def _named(self, programs: Iterable[Program]) -> Iterator[FoundFile]:
        """The files that flags lead to, and what lies beside these certificates."""
        for program in programs:
            for value in named_files(program):
                file = self._tree.file(program.flags.host_path(value))
                if file is not None:
                    yield file
                    yield from self._beside(file.path)

    def _beside(self, path: str) -> Iterator[FoundFile]:
        directory = posixpath.dirname(path)
        for name in self._tree.names(directory) if path.endswith(_PEM_SUFFIXES) else ():
            file = self._tree.file(posixpath.join(directory, name))
            if file is not None and name.endswith(_PEM_SUFFIXES):
                yield file

    def _spot(self, path: str, part: str = "") -> Spot:
        file = self._tree.file(path)
        return Spot(node=self._tree.name, path=path, part=part, shown=file.shown if file is not None else "")

    def _unread(self, spot: Spot, problem: str) -> None:
        self._found.unread.append(Unread(spot=spot, problem=problem))

    def _take(self, file: FoundFile) -> None:
        if file.problem is not None:
            # Of what has another name nobody knows that it should be read at all.
            if file.path.endswith((*_PEM_SUFFIXES, ".conf")):
                self._unread(self._spot(file.path), file.problem)
        elif _CLUSTERS.search(file.data) and _USERS.search(file.data):
            self._take_kubeconfig(file)
        elif posixpath.basename(file.path) in KUBECONFIGS and file.path.startswith("/etc/kubernetes/"):
            self._unread(self._spot(file.path), "is no kubeconfig")
        elif _PEM in file.data or file.path.endswith(_PEM_SUFFIXES):
            self._take_pem(file)

    def _take_pem(self, file: FoundFile) -> None:
        content = self._contents[file.path] = read_pem(file.data)
        faults = content.faults
        if _PEM not in file.data:
            form = other_form(file.data)
            faults = ("is empty" if not file.data.strip() else f"holds {form or 'no PEM block'}",)
        for fault in faults:
            self._unread(self._spot(file.path), fault)
        self._take_certificates(self._spot(file.path), content)
        if content.certificates and content.private:
            # Such as kubelet-client-current.pem, which holds both.
            self._add(self._spot(file.path), content.certificates, self._spot(file.path), content)

    def _take_certificates(self, spot: Spot, content: PEMContent) -> None:
        self._found.certificates += (
            FoundCertificate(spot=spot, position=position, certificate=each)
            for position, each in enumerate(content.certificates)
        )

    # -- pairs ----------------------------------------------------------------------------------------

    def _add(
        self,
        spot: Spot,
        chain: tuple[x509.Certificate, ...],
        key_spot: Spot,
        key: PEMContent | None,
    ) -> FoundPair:
        private = key.private[0] if key is not None and key.private else None
        pair = FoundPair(spot=spot, chain=chain, key_spot=key_spot, private=private)
        # The first finding stays: flags are looked at before what merely lies side by side.
        return self._found.pairs.setdefault((spot.path, spot.part, key_spot.path), pair)

    def _pairs_of(self, program: Program) -> None:
        line = program.flags
        named = [(line.value(one), line.value(other)) for one, other in PAIR_FLAGS[line.component]]
        if line.component is ComponentName.API_SERVER:
            # `CERTIFICATE,KEY:NAMES`, of which the names may be missing.
            keys = [value.partition(":")[0].partition(",")[2] for value in line.values("tls-sni-cert-key")]
            named += zip((pair.certificate for pair in sni_pairs(line)), keys, strict=True)
        for certificate, key in named:
            if certificate and key:
                self._pair_of_files(line.host_path(certificate), line.host_path(key))

    def _pair_of_files(self, certificate: str, key: str) -> FoundPair | None:
        shown = self._content(certificate)
        if shown is None or not shown.certificates:
            return None
        certificate, key = self._real(certificate), self._real(key)
        return self._add(self._spot(certificate), shown.certificates, self._spot(key), self._content(key))

    def _pair_beside(self, path: str) -> None:
        """`NAME.crt` and `NAME.key`, and the names that cfssl gives."""
        for one, other in _KEY_NAMES:
            key = path.removesuffix(one) + other
            if path.endswith(one) and key in self._contents and self._contents[key].private:
                self._pair_of_files(path, key)

    def _content(self, path: str) -> PEMContent | None:
        """What a PEM file holds, also one that lies where nobody looks."""
        file = self._tree.file(path)
        if file is None or file.problem is not None:
            return None
        if file.path not in self._contents:
            self._take_pem(file)
        return self._contents[file.path]

    def _real(self, path: str) -> str:
        file = self._tree.file(path)
        return file.path if file is not None else path

    # -- kubeconfigs ----------------------------------------------------------------------------------

    def _take_kubeconfig(self, file: FoundFile) -> None:
        try:
            content = load(file.data, PurePosixPath(file.path))
        except AccessError as error:
            self._unread(self._spot(file.path), error.message.removeprefix(f"{file.path} "))
            return
        users = {name: self._user(file.path, each) for name, each in content.entries[Section.USER].items()}
        trusted = {
            name: self._cluster(file.path, each) for name, each in content.entries[Section.CLUSTER].items()
        }
        logins = tuple(
            _login(self._spot(file.path), content, name, trusted, users)
            for name in content.entries[Section.CONTEXT]
        )
        self._found.kubeconfigs.append(
            FoundKubeconfig(spot=self._spot(file.path), content=content, logins=logins)
        )

    def _user(self, path: str, user: NamedEntry) -> FoundPair | None:
        """What a user shows: the data counts more than the file (client-go rest/config.go)."""
        spot = self._spot(path, f"user {user.name}")
        key_spot, key = self._part(spot, user, "client-key")
        shown_at, shown = self._part(spot, user, "client-certificate")
        if shown is None or not shown.certificates:
            return None
        return self._add(shown_at, shown.certificates, key_spot, key)

    def _cluster(self, path: str, cluster: NamedEntry) -> FoundBundle | None:
        spot = self._spot(path, f"cluster {cluster.name}")
        trusted_at, trusted = self._part(spot, cluster, "certificate-authority")
        if trusted is None:
            return None
        return FoundBundle(spot=trusted_at, certificates=trusted.certificates)

    def _part(self, spot: Spot, entry: NamedEntry, name: str) -> tuple[Spot, PEMContent | None]:
        """A certificate or a key of an entry: its data, or the file that it names."""
        data, file = entry.text(f"{name}-data"), entry.text(name)
        if data:
            # Valid base64 already: `load` has refused a kubeconfig with anything else.
            content = read_pem(base64.b64decode(data))
            for fault in content.faults:
                self._unread(spot, f"its {name}-data {fault}")
            if not content.faults and not (content.certificates or content.private):
                self._unread(spot, f"its {name}-data holds no PEM block")
            self._take_certificates(spot, content)
            return spot, content
        if not file:
            return spot, None
        path = beside(spot.path, file)
        if self._tree.file(path) is None:
            self._unread_reference(spot, path, name)
        return self._spot(self._real(path)), self._content(path)

    def _unread_reference(self, spot: Spot, path: str, name: str) -> None:
        # A directory that was not copied says nothing of its files.
        if self._tree.has_directory(posixpath.dirname(path)):
            self._unread(spot, f"its {name}, {path}, is missing")


_TRUST_FIELDS: Final = ("certificate-authority-data", "certificate-authority")


def _login(
    spot: Spot,
    content: Kubeconfig,
    name: str,
    trusted: Mapping[str, FoundBundle | None],
    users: Mapping[str, FoundPair | None],
) -> FoundLogin:
    context = content.entries[Section.CONTEXT][name]
    cluster = content.find(Section.CLUSTER, context.text("cluster"))
    return FoundLogin(
        spot=spot,
        name=name,
        is_current=name == content.current_context,
        server=cluster.text("server") if cluster is not None else "",
        tls_server_name=cluster.text("tls-server-name") if cluster is not None else "",
        # Of a context that leads to no cluster, `dangling_context` tells.
        verifies=cluster is None or not cluster.flag("insecure-skip-tls-verify"),
        names_trust=cluster is None or any(map(cluster.text, _TRUST_FIELDS)),
        trust=trusted.get(context.text("cluster")),
        pair=users.get(context.text("user")),
    )


SECRET_FLAGS: Final = ("encryption-provider-config", "token-auth-file")
"""The flags of the API server whose files hold secrets that are no private keys."""
_FILE_FLAGS: Final = frozenset(
    {
        *("client-ca-file", "requestheader-client-ca-file", "kubelet-certificate-authority", "etcd-cafile"),
        *("root-ca-file", "trusted-ca-file", "peer-trusted-ca-file", "service-account-key-file"),
        *("service-account-signing-key-file", "service-account-private-key-file"),
        *("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"),
        *SECRET_FLAGS,
        *(flag for pairs in PAIR_FLAGS.values() for pair in pairs for flag in pair),
    }
)


def named_files(program: Program) -> Iterator[str]:
    """The files of trust and with secrets that a component is led to, as it knows them."""
    line = program.flags
    # Kubernetes' programs take both spellings (component-base cli/flag `WordSepNormalizeFunc`).
    given = {flag.name.replace("_", "-") for flag in line.flags} | set(line.settings)
    # Sorted, since the order of a set differs from run to run.
    for name in sorted(given & _FILE_FLAGS):
        # What a file of settings says has no list of values.
        yield from filter(None, line.values(name) or (line.value(name),))
    if line.component is ComponentName.API_SERVER:
        for value in line.values("tls-sni-cert-key"):
            yield from filter(None, value.partition(":")[0].split(","))


def named_paths(node: ForeignNode) -> set[str]:
    """The files that a node's components are led to, through links."""
    return {
        node.spot(program.flags.host_path(value)).path
        for program in node.programs
        for value in named_files(program)
    }
