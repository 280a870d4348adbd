"""Views of a PKI directory: readers that lie over the store, or over one another, and show it otherwise.

A plan is made through two of them, one that notes what was read
over one with the moved files; whoever signs reads an opened view of the staged one.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.age_header import is_sealed
from pkigen.errors import StoreError
from pkigen.records import dataclass
from pkigen.state.observed import WithheldContent
from pkigen.state.seals import IDENTITY_PATH, RECORD_PATH
from pkigen.store import FileContent, MissingError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pkigen.state.observed import Reader, Tree
    from pkigen.state.vault import Vault
    from pkigen.store import Store, Transaction

_LARGEST_FILE = 1 << 20
_SHOWN_DIGEST = 32  # 128 bits: nobody finds another content for one


class EmptyView:
    """Shows nothing: a PKI directory that does not exist yet."""

    def read(self, path: str, *, limit: int = _LARGEST_FILE) -> FileContent:  # noqa: ARG002 -- the reader's signature
        """Nothing is there."""
        raise _missing(path)

    def walk(self, path: str = "") -> Iterator[str]:  # noqa: ARG002 -- the tree's signature
        """Nothing is there."""
        return iter(())


class View:
    """Shows what the reader beneath it shows; each view below says what it shows otherwise."""

    def __init__(self, beneath: Reader) -> None:
        self._beneath = beneath

    def read(self, path: str, *, limit: int = _LARGEST_FILE) -> FileContent:
        """Read the whole file that this view has at `path`, of at most `limit` bytes.

        Raises:
            StoreError: There is none, or it cannot be read.
        """
        return self._beneath.read(path, limit=limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A file of the authority that a rotation puts at another path; `target` is None where it only goes."""

    source: str
    target: str | None


class MovedView(View):
    """Shows every moved file at its new place, and nothing at its old one."""

    def __init__(self, beneath: Tree, moves: tuple[Move, ...]) -> None:
        super().__init__(beneath)
        self._tree = beneath
        self._sources = {move.target: move.source for move in moves if move.target is not None}
        # A source that is also a target is not gone: a promotion moves one generation to where another was.
        self._gone = {move.source for move in moves} - self._sources.keys()

    def read(self, path: str, *, limit: int = _LARGEST_FILE) -> FileContent:
        """Read the file that will stand at `path`."""
        if path in self._gone:
            raise _missing(path)
        return super().read(self._sources.get(path, path), limit=limit)

    def walk(self, path: str = "") -> Iterator[str]:
        """Every path that will be there."""
        there = {each for each in self._tree.walk(path) if each not in self._gone}
        yield from sorted(there | {target for target in self._sources if layout.is_below(target, path)})


class ChangedView(View):
    """Shows other contents at some paths, and nothing at others."""

    def __init__(self, beneath: Reader, contents: Mapping[str, bytes], hidden: frozenset[str]) -> None:
        super().__init__(beneath)
        self._contents = contents
        self._hidden = hidden

    def read(self, path: str, *, limit: int = _LARGEST_FILE) -> FileContent:
        """Read the file that would stand at `path`."""
        if path in self._hidden:
            raise _missing(path)
        if path in self._contents:
            return _in_memory(self._contents[path])
        return super().read(path, limit=limit)


class PublicView(View):
    """Shows a directory without its private files, as a checkout of its public ones is.

    Args:
        beneath: The directory, with or without its private files.
        withheld: The private files that earlier runs wrote; they count as there, and right.
        modes: The modes that files must have: Git keeps none.
    """

    def __init__(self, beneath: Tree, withheld: frozenset[str], modes: Mapping[str, int]) -> None:
        super().__init__(beneath)
        self._tree = beneath
        self._modes = modes
        self.withheld = withheld

    def read(self, path: str, *, limit: int = _LARGEST_FILE) -> FileContent:
        """Read a public file; of a private one, nothing is shown."""
        # It counts as there: whoever reviews a change has no private file, and must not plan to make them
        # anew.
        if path in self.withheld:
            return WithheldContent(data=b"", mode=layout.KEY_MODE, size=0, uid=0, gid=0, links=1)
        # A private file that no earlier run wrote is not looked at, even where it lies there.
        if layout.is_private(path):
            raise _missing(path)
        content = super().read(path, limit=limit)
        return replace(content, mode=self._modes.get(path, content.mode))

    def walk(self, path: str = "") -> Iterator[str]:
        """Every path, the withheld ones among them."""
        withheld = (each for each in self.withheld if layout.is_below(each, path))
        yield from sorted({*self._tree.walk(path), *withheld})


class StagedView(View):
    """Shows the PKI directory as it will be: what is staged lies over what is there."""

    def __init__(self, beneath: Store, transaction: Transaction, vault: Vault) -> None:
        super().__init__(beneath)
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

    @property
    def changed(self) -> frozenset[str]:
        """Every path at which something else stands than before."""
        return frozenset(self._staged | self._hidden)

    def read(self, path: str, *, limit: int = _LARGEST_FILE) -> FileContent:
        """Read the file that will stand at `path`."""
        # First: what is removed may have been staged before.
        if path in self._hidden:
            raise _missing(path)
        if path in self._staged:
            return self._transaction.staged(path, limit=limit)
        record = self._vault.record if path == RECORD_PATH else None
        if record is not None:
            return _in_memory(record)  # it is staged last, and asked for before that
        return super().read(path, limit=limit)


class OpenedView(View):
    """Shows the content of sealed files; the sealed identity alone stays as it is."""

    def __init__(self, beneath: Reader, vault: Vault) -> None:
        super().__init__(beneath)
        self._vault = vault

    def read(self, path: str, *, limit: int = _LARGEST_FILE) -> FileContent:
        """Read a file; a sealed one comes out as its content.

        Raises:
            AuthorityError: It is sealed, and does not open.
        """
        content = super().read(path, limit=limit)
        # The identity is what all else is sealed to: only the vault opens it.
        if path == IDENTITY_PATH or not is_sealed(content.data):
            return content
        return replace(content, data=self._vault.open(path, content.data))


class SteadyView(View):
    """Reads each file once until it is told to forget: what is asked of an object is asked of one content."""

    def __init__(self, beneath: Reader) -> None:
        super().__init__(beneath)
        self._found: dict[str, FileContent | StoreError] = {}

    def forget(self) -> None:
        """Read anew from now on; nothing of what was read stays in memory."""
        self._found.clear()

    def read(self, path: str, *, limit: int = _LARGEST_FILE) -> FileContent:
        """Read a file, or say again why it cannot be read."""
        # Another limit is another question; hardly any file has one of its own.
        if limit != _LARGEST_FILE:
            return super().read(path, limit=limit)
        if path not in self._found:
            try:
                self._found[path] = super().read(path, limit=limit)
            except StoreError as error:
                self._found[path] = error
        found = self._found[path]
        if isinstance(found, StoreError):
            raise found
        return found


class HashedView(View):
    """Shows what is beneath it, and keeps digests of everything that was read through it.

    There is one for each file, and only one for each node, so that they stay few. No message of the system
    goes into them: the same files give the same digests wherever the directory lies. That a file of the
    authority is read once more, and holds what it held, changes nothing: how often depends on how many
    processes look.
    """

    def __init__(self, beneath: Reader) -> None:
        super().__init__(beneath)
        self._hashes: dict[str, hashlib._Hash] = {}
        self._last: dict[str, str] = {}
        self._heard: list[str] | None = None

    def note(self, name: str, text: str) -> None:
        """Take up something else that the outcome depends on."""
        self._update(name, text)

    def listen(self) -> list[str]:
        """Have all that is read from now on in a list, for the view that it is to be taken up in."""
        self._heard = []
        return self._heard

    def take_up(self, heard: Iterable[str]) -> None:
        """Take up what was read through a copy of this view, in another process."""
        for text in heard:
            self._found(text.partition("\0")[0], text)

    def read(self, path: str, *, limit: int = _LARGEST_FILE) -> FileContent:
        """Read, and add what was found, or why nothing was, to the digests."""
        try:
            content = super().read(path, limit=limit)
        except StoreError as error:
            # Only what stands there, never where: the messages of errors name the directory.
            reason = error.reason if isinstance(error, UnreadableError) else ""
            self._found(path, f"{path}\0{type(error).__name__}\0{reason}")
            raise
        # Owner and times are left out: a copy of the directory has the same digests.
        digest = hashlib.sha256(content.data).hexdigest()
        self._found(path, f"{path}\0{content.mode:o}\0{digest}")
        return content

    @property
    def digests(self) -> dict[str, str]:
        """The digests so far, by file, node, or name."""
        return {name: found.hexdigest()[:_SHOWN_DIGEST] for name, found in sorted(self._hashes.items())}

    def _found(self, path: str, text: str) -> None:
        """Take up what was found at a path."""
        if self._heard is not None:
            self._heard.append(text)
        group = _group(path)
        if group == path:
            if self._last.get(path) == text:
                return
            self._last[path] = text
        self._update(group, text)

    def _update(self, name: str, text: str) -> None:
        # The NUL ends each text, so that no two lists of texts give the same digest.
        self._hashes.setdefault(name, hashlib.sha256()).update(f"{text}\0".encode())


def _group(path: str) -> str:
    """What a file is told of by: a node by its name."""
    parts = path.split("/", 2)
    return "/".join(parts[:2]) if parts[0] == layout.NODES else path


def _missing(path: str) -> MissingError:
    """What the store says of a missing file, so that no reader has to tell a view from the store."""
    return MissingError(f"{path} is missing")


def _in_memory(data: bytes) -> FileContent:
    """A file that is on no disk yet, with the owner and the strictest mode that it could have."""
    return FileContent(data=data, mode=layout.SECRET_MODE, size=len(data), uid=0, gid=0, links=1)
