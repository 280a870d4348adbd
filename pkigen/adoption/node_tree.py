"""One node's files, by the paths that the node knows them by, wherever they lie here."""

from __future__ import annotations

import posixpath
import re
from dataclasses import field
from typing import TYPE_CHECKING, Final

from pkigen.adoption.file_tree import LARGEST_CONTENT, EntryKind
from pkigen.errors import StoreError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.adoption.file_tree import FileTree, Steps, TreeEntry

# Links that lead to each other have no end.
_MOST_LINKS: Final = 16
_MOST_ENTRIES: Final = 20_000
# Nothing of a cluster lies as deep; a loop of bind mounts has no end.
_DEEPEST: Final = 16
_SUFFIXES: Final = frozenset(
    {"cer", "cert", "conf", "config", "crt", "csr", "env", "json", "key", "kubeconfig", "pem", "pub"}
    | {"service", "yaml", "yml"}
)
_PARTS: Final = re.compile(r"[.~]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file of a node.

    `path` is the node's, with no link in it; `shown` is where it lies in what was given. `problem` says why
    there is no content.
    """

    path: str
    shown: str
    mode: int
    uid: int
    gid: int
    data: bytes = field(repr=False, default=b"")
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A directory of the node, and where it lies in the tree."""

    path: Steps
    steps: Steps


class NodeTree:
    """The files of one node.

    Links are followed as the node would: an absolute one leads from the node's own root, and none leads out.
    """

    def __init__(
        self, name: str, tree: FileTree, mapped: tuple[Mapped, ...], *, walked: Iterable[str]
    ) -> None:
        """Look at a node.

        Args:
            name: What the node is called here.
            tree: Where its files lie.
            mapped: Which directories of the node are there, and where; the first that has a path counts.
            walked: The node's directories in which everything is looked at.
        """
        self.name = name
        self._tree = tree
        self._mapped = mapped
        self._walked = tuple(walked)
        self._found: dict[str, FoundFile | None] = {}

    def file(self, path: str) -> FoundFile | None:
        """The file at a path of the node, through links; None where nothing is there."""
        if path not in self._found:
            self._found[path] = self._look(path)
        return self._found[path]

    def has_directory(self, path: str) -> bool:
        """Whether a directory of the node was copied."""
        place = self._resolve(path)
        return place is not None and place[2].kind is EntryKind.DIRECTORY

    def directory(self, path: str) -> TreeEntry | None:
        """A directory of the node, for its mode and owner."""
        place = self._resolve(path)
        return place[2] if place is not None and place[2].kind is EntryKind.DIRECTORY else None

    def names(self, path: str) -> tuple[str, ...]:
        """What a directory of the node has."""
        place = self._resolve(path)
        return () if place is None else self._tree.names(place[1])

    def files(self) -> Iterator[FoundFile]:
        """Every file that may hold certificates, keys or configuration, once, in the order of its path.

        Raises:
            StoreError: There are more than a node has.
        """
        paths: dict[str, None] = {}
        for top in self._walked:
            for path in self._below(top):
                if len(paths) > _MOST_ENTRIES:
                    raise StoreError(
                        f"{self.name} has more than {_MOST_ENTRIES} files", hint="name /etc/kubernetes alone"
                    )
                paths[path] = None
        for path in sorted(paths):
            found = self.file(path)
            # What a link on the way leads to is yielded by its own path.
            if found is not None and found.path == path:
                yield found

    def _below(self, path: str, depth: int = 0) -> Iterator[str]:
        place = self._resolve(path)
        if place is None or depth > _DEEPEST:
            return
        if place[2].kind is not EntryKind.DIRECTORY:
            if _is_of_interest(posixpath.basename(path).lower()):
                yield path
            return
        for name in self._tree.names(place[1]):
            entry = self._tree.entry((*place[1], name))
            # What a link leads to has a path of its own; a flag that names the link finds it (`file`).
            if entry is not None and entry.kind in {EntryKind.FILE, EntryKind.DIRECTORY}:
                yield from self._below(posixpath.join(path, name), depth + 1)

    def _look(self, path: str) -> FoundFile | None:
        place = self._resolve(path)
        if place is None:
            return None
        real, steps, entry = place
        problem = _problem(entry)
        data = self._tree.content(steps) if problem is None else b""
        return FoundFile(
            path=real,
            shown="/".join(steps),
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            data=data or b"",
            problem="cannot be read" if data is None else problem,
        )

    def _resolve(self, path: str) -> tuple[str, Steps, TreeEntry] | None:
        """The path without links, its place in the tree, and what stands there."""
        wanted = path
        # Each turn follows one link, as the kernel does, which stops at 40 (path_resolution(7)).
        for _ in range(_MOST_LINKS):
            found = self._step_through(_steps(wanted))
            if found is None or not isinstance(found, str):
                return found
            wanted = found
        return None

    def _step_through(self, path: Steps) -> tuple[str, Steps, TreeEntry] | str | None:
        """What stands at a path; where a link is on the way, the path that it makes of this one."""
        for mapped in self._mapped:
            if path[: len(mapped.path)] != mapped.path:
                continue
            rest = path[len(mapped.path) :]
            entry = self._tree.entry(mapped.steps)
            for depth, _ in enumerate(rest, 1):
                steps = (*mapped.steps, *rest[:depth])
                entry = self._tree.entry(steps)
                if entry is None:
                    break
                if entry.kind is EntryKind.LINK:
                    # `posixpath.join` drops everything before an absolute target, which is what the node's
                    # kernel does, too.
                    parent = "/".join(("", *mapped.path, *rest[: depth - 1]))
                    return posixpath.join(parent, entry.target, *rest[depth:])
            if entry is not None:
                return "/" + "/".join(path), (*mapped.steps, *rest), entry
        return None


def _is_of_interest(name: str) -> bool:
    """Whether a name has one of the suffixes, also before another (`ca.key.bak`, `admin.conf~`), or none."""
    _, *rest = _PARTS.split(name)
    return not rest or bool(_SUFFIXES.intersection(rest))


def _steps(path: str) -> Steps:
    """A path of the node, name by name; `..` of the root is the root."""
    return tuple(step for step in posixpath.normpath(f"/{path}").split("/") if step)


def _problem(entry: TreeEntry) -> str | None:
    if entry.kind is EntryKind.DIRECTORY:
        return "is a directory"
    if entry.kind is not EntryKind.FILE:
        return "is no regular file"
    return f"is larger than {LARGEST_CONTENT >> 20} MiB" if entry.size > LARGEST_CONTENT else None
