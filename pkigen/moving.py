"""The PKI directory as it will be once files of the authority have changed places: what rotations plan on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen.store import MissingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.actions import Move
    from pkigen.observing import Tree
    from pkigen.store import FileContent


class MovedTree:
    """Reads every moved file at its new place, and nothing at its old one."""

    def __init__(self, tree: Tree, moves: tuple[Move, ...]) -> None:
        self._tree = tree
        self._sources = {move.target: move.source for move in moves if move.target is not None}
        self._gone = {move.source for move in moves} - self._sources.keys()

    def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
        """Read the file that will stand at `path`."""
        if path in self._gone:
            raise MissingError(f"{path} is missing")
        return self._tree.read(self._sources.get(path, path), limit=limit)

    def walk(self, path: str = "") -> Iterator[str]:
        """Every path that will be there."""
        there = {each for each in self._tree.walk(path) if each not in self._gone}
        yield from sorted(there | {target for target in self._sources if target.startswith(path)})
