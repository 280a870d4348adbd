"""Which nodes a directory or an archive holds the files of, by what lies where in it."""

from __future__ import annotations

import posixpath
import shlex
from typing import TYPE_CHECKING, Final

from pkigen.adoption.archive_tree import LARGEST_ARCHIVE, ArchiveTree, is_archive
from pkigen.adoption.file_tree import DirectoryTree, EntryKind, require_readable
from pkigen.adoption.node_tree import Mapped, NodeTree
from pkigen.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pkigen.adoption.file_tree import FileTree, Steps

_KUBERNETES: Final = ("etc", "kubernetes")
_PKI: Final = (*_KUBERNETES, "pki")
KUBECONFIGS: Final = frozenset(
    {"admin.conf", "super-admin.conf", "kubelet.conf", "controller-manager.conf", "scheduler.conf"}
)
"""Those of kubeadm, in /etc/kubernetes."""
_CAS: Final = frozenset({"ca.crt", "ca.pem"})
_ROOTS: Final = (
    _KUBERNETES,
    ("etc", "etcd"),
    ("etc", "ssl", "etcd"),
    ("etc", "systemd", "system"),
    ("var", "lib", "kubelet"),
    ("var", "lib", "kubernetes"),
    ("var", "lib", "minikube"),
    ("srv", "kubernetes"),
)
"""What makes a directory the root of a node's file system."""
_BELOW: Final = {
    "pki": _CAS,
    "ssl": _CAS,
    "manifests": frozenset({"kube-apiserver.yaml", "kube-controller-manager.yaml", "etcd.yaml"}),
}
"""What makes a directory /etc/kubernetes, by what is in the directories below it."""
_LOOSE: Final = (".crt", ".pem", ".kubeconfig")
_OWN: Final = frozenset({"pki.lock", ".pkigen"})
_TARS: Final = (".tar", ".tar.gz", ".tgz")
# Cluster, node and one directory around them: people gather into no deeper ones.
_DEEPEST: Final = 3
# A whole home directory or file system would take hours; what people gather has its nodes near the top.
_MOST_DIRECTORIES: Final = 10_000
# The first header of a tar, which has its mark at 257.
_START: Final = 512
_USUAL: Final = (
    "/etc/kubernetes",
    "/etc/ssl/etcd",
    "/etc/etcd",
    "/var/lib/kubelet/pki",
    "/var/lib/kubernetes",
    "/var/lib/minikube/certs",
    "/var/lib/kube-proxy",
    "/srv/kubernetes",
)
"""Where a running machine has its cluster's files; the rest of it is not looked at."""
_SETTINGS: Final = (
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
    "/var/lib/kubelet/kubeconfig",
    "/var/lib/kubelet/*.pem",
    "/var/lib/kubelet/*.yaml",
    "/etc/etcd.env",
    "/etc/systemd/system/etcd.service*",
    "/etc/systemd/system/kube*.service*",
)
"""What else says how its programs run."""


def is_foreign(path: Path) -> bool:
    """Whether this holds files of nodes that pkigen does not manage: a directory without a lock, or a tar."""
    try:
        if path.is_dir():
            # A link counts for itself: what it leads to may be gone, and the directory is still pkigen's.
            if any((path / name).is_symlink() or (path / name).exists() for name in _OWN):
                return False
            return bool(_archives(path) or node_trees(path))
        return path.is_file() and is_archive(_start(path))
    # It answers only whether to look further; whoever then reads the path says what is wrong with it.
    except (OSError, StoreError):
        return False


def node_trees(path: Path) -> tuple[NodeTree, ...]:
    """The nodes whose files lie in a directory or in a tar.

    That is /etc/kubernetes of one node, a root directory that has it, a directory of certificates, or
    directories and archives with one of these for each node, which may lie in one directory.

    Raises:
        StoreError: It cannot be read.
    """
    if not path.is_dir():
        return archived_trees(read_whole(path), name=path.name)
    require_readable(path)
    whole = path.resolve()
    # By the resolved path, for the links that nodes have there lead from the real root.
    if whole.parts[-2:] == _KUBERNETES:
        # From the root down, since its files name others: the kubelet's, etcd's.
        root = whole.parent.parent
        mapped = (Mapped(path=(), steps=()),)
        return (NodeTree(root.name or "localhost", DirectoryTree(root), mapped, walked=_USUAL),)
    found = tuple(_nodes(DirectoryTree(path), (), whole.name or "localhost", iter(range(_MOST_DIRECTORIES))))
    # A tar in the directory of a node is a copy that somebody has kept there, and no other node.
    is_node = len(found) == 1 and found[0].name == whole.name
    return found if is_node else (*found, *_in_archives(path))


def _in_archives(directory: Path) -> Iterator[NodeTree]:
    for file in _archives(directory):
        yield from archived_trees(read_whole(file), name=file.name)


def _archives(directory: Path) -> list[Path]:
    """The tars in a directory, as `gather_line` brings them."""
    files = sorted(each for each in directory.iterdir() if each.name.endswith(_TARS) and each.is_file())
    return [each for each in files if is_archive(_start(each))]


def archived_trees(data: bytes, *, name: str) -> tuple[NodeTree, ...]:
    """The nodes whose files a tar holds.

    Args:
        data: Its bytes.
        name: The archive's; without what says that it is one also the node's, where there is but one.

    Raises:
        StoreError: It is no tar, or holds nothing of a node.
    """
    tree = ArchiveTree(data, name=name)
    found = tuple(_nodes(tree, (), _stem(name), iter(range(_MOST_DIRECTORIES))))
    if not found:
        raise StoreError(
            f"{name} has no files of a node in it",
            hint="make it again with the line that `pkigen adopt --gather NODE` prints",
        )
    return found


def _stem(archive: str) -> str:
    """A node may be called by its whole name in the DNS."""
    suffix = next((each for each in _TARS if archive.endswith(each)), None)
    return archive.removesuffix(suffix) if suffix is not None else archive.partition(".")[0]


def gather_line(node: str) -> str:
    """A line for a shell that brings a node's files here by ssh, as NODE.tar.gz, for its owner alone."""
    places = " ".join(each.lstrip("/") for each in (*_USUAL, *_SETTINGS))
    # Named one by one, as far as they are there: /var/lib/kubelet and /var/lib/etcd hold much else.
    script = f"cd / && sudo tar -czf - $(sudo ls -d {places} 2>/dev/null)"
    return f"(umask 077; ssh {shlex.quote(node)} {shlex.quote(script)} >{shlex.quote(f'{node}.tar.gz')})"


def _nodes(tree: FileTree, steps: Steps, name: str, left: Iterator[int]) -> Iterator[NodeTree]:
    """The nodes in a directory: itself, else those below it, else what certificates lie there.

    Args:
        tree: What was given.
        steps: The directory.
        name: What a node is called that it is.
        left: Numbers the directories that are still looked into; somebody's whole home has too many.
    """
    mapped = _mapped(tree, steps)
    if mapped is not None:
        yield _node(tree, name, mapped)
        return
    found = [node for each in _below(tree, steps, left) for node in _nodes(tree, (*steps, each), each, left)]
    # Nothing says whose they are: one source, of which `is_bare` holds.
    if not found and any(each.endswith(_LOOSE) for each in tree.names(steps)):
        found = [_node(tree, name, Mapped(path=(), steps=steps))]
    yield from found


def _below(tree: FileTree, steps: Steps, left: Iterator[int]) -> Iterator[str]:
    for name in tree.names(steps) if len(steps) < _DEEPEST else ():
        if not name.startswith(".") and _is_directory(tree, (*steps, name)) and next(left, None) is not None:
            yield name


def _mapped(tree: FileTree, steps: Steps) -> Mapped | None:
    """Which directory of a node this is, by its content; None where it is none."""
    if any(_is_directory(tree, (*steps, *place)) for place in _ROOTS):
        return Mapped(path=(), steps=steps)
    names = set(tree.names(steps))
    # A directory of pkigen's is none itself: its nodes lie below.
    if "nodes" in names:
        return None
    if names & KUBECONFIGS or any(marks & set(tree.names((*steps, each))) for each, marks in _BELOW.items()):
        return Mapped(path=_KUBERNETES, steps=steps)
    return Mapped(path=_PKI, steps=steps) if names & _CAS else None


def _node(tree: FileTree, name: str, mapped: Mapped) -> NodeTree:
    return NodeTree(name, tree, (mapped,), walked=("/" + "/".join(mapped.path),))


def _is_directory(tree: FileTree, steps: Steps) -> bool:
    entry = tree.entry(steps)
    return entry is not None and entry.kind is EntryKind.DIRECTORY


def _start(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_START)


def read_whole(path: Path) -> bytes:
    """A file's bytes, at most one more than an archive may have.

    Raises:
        StoreError: It cannot be read.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST_ARCHIVE + 1)
    except OSError as error:
        reason = (error.strerror or "input/output error").lower()
        raise StoreError(f"{path} cannot be read: {reason}") from None
    return data


def beside(path: str, name: str) -> str:
    """The path of a file that another one names: what is relative is so to the directory of that one."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
