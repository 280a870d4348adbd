"""Views of a PKI directory: empty, opened, with files moved, as it is staged, and noting what was read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.age import is_sealed
from pkigen.errors import StoreError
from pkigen.state.seals import IDENTITY_PATH, RECORD_PATH
from pkigen.store import FileContent, MissingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.state.observed import Reader, Tree
    from pkigen.state.vault import Vault
    from pkigen.store import Store, Transaction


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A file of the authority that a rotation puts at another path; `target` is None where it only goes."""

    source: str
    target: str | None


class StagedView:
    """The PKI directory as it will be: what is staged lies over what is there."""

    def __init__(self, store: Store, transaction: Transaction, vault: Vault) -> None:
        self._store = store
        self._transaction = transaction
        self._vault = vault
        self._staged: set[str] = set()
        self._hidden: set[str] = set()

    def note(self, path: str) -> None:
        """From now on `path` is read from the staging area."""
        self._staged.add(path)

    def hide(self, path: str) -> None:
        """From now on there is nothing at `path`."""
        self._hidden.add(path)

    def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
        """Read the file that will stand at `path`."""
        if path in self._hidden:
            raise MissingError(f"{path} is missing")
        if path in self._staged:
            return self._transaction.staged(path, limit=limit)
        record = self._vault.record if path == RECORD_PATH else None
        if record is not None:
            return _in_memory(record)  # it is staged last, and asked for before that
        return self._store.read(path, limit=limit)


def _in_memory(data: bytes) -> FileContent:
    return FileContent(data=data, mode=layout.SECRET_MODE, size=len(data), uid=0, gid=0, links=1)


class NoTree:
    """A PKI directory that does not exist yet."""

    def read(self, path: str, *, limit: int = 0) -> FileContent:  # noqa: ARG002 -- the reader's signature
        """Nothing is there."""
        raise MissingError(f"{path} is missing")

    def walk(self, path: str = "") -> Iterator[str]:  # noqa: ARG002 -- the tree's signature
        """Nothing is there."""
        return iter(())


class HashingReader:
    """A reader that remembers, as one digest, everything that was read through it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._hash = hashlib.sha256()

    def note(self, text: str) -> None:
        """Take up something else that the outcome depends on."""
        self._hash.update(f"{text}\0".encode())

    def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
        """Read, and add what was found, or that nothing was, to the digest."""
        try:
            content = self._reader.read(path, limit=limit)
        except StoreError as error:
            self._hash.update(f"{path}\0{error.message}\0".encode())
            raise
        digest = hashlib.sha256(content.data).hexdigest()
        self._hash.update(f"{path}\0{content.mode:o}\0{digest}\0".encode())
        return content

    @property
    def digest(self) -> str:
        """The digest so far."""
        return self._hash.hexdigest()


class Opened:
    """Reads the PKI directory with its private files opened."""

    def __init__(self, reader: Reader, vault: Vault) -> None:
        self._reader = reader
        self._vault = vault

    def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
        """Read a file; a sealed one comes out as its content.

        Raises:
            AuthorityError: It is sealed, and does not open.
        """
        content = self._reader.read(path, limit=limit)
        if path == IDENTITY_PATH or not is_sealed(content.data):
            return content
        return replace(content, data=self._vault.open(path, content.data))
