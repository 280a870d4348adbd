"""What kubeadm has recorded of a cluster, where its ConfigMap lies beside the nodes' files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkigen.adoption.archive_tree import ArchiveTree
from pkigen.adoption.file_tree import DirectoryTree
from pkigen.adoption.gathered import read_whole
from pkigen.adoption.kubeadm_record import read_record
from pkigen.errors import AdoptionError

if TYPE_CHECKING:
    from pathlib import Path

    from pkigen.adoption.file_tree import FileTree
    from pkigen.adoption.kubeadm_record import KubeadmRecord

_SUFFIXES: Final = (".yaml", ".yml")
_MARK: Final = b"ClusterConfiguration"


def record_beside(path: Path) -> KubeadmRecord | None:
    """The ClusterConfiguration at the top of a directory or a tar; None where there is none that can be read.

    Raises:
        StoreError: The archive cannot be read.
    """
    tree = DirectoryTree(path) if path.is_dir() else ArchiveTree(read_whole(path), name=path.name)
    return record_in(tree)


def record_in(tree: FileTree) -> KubeadmRecord | None:
    """The same of what is read already."""
    for name in tree.names(()):
        data = tree.content((name,)) if name.endswith(_SUFFIXES) else None
        # The word first, which spares parsing every YAML file that lies there.
        if data is not None and _MARK in data:
            try:
                return read_record(data, file=name)
            except AdoptionError:
                continue
    return None
