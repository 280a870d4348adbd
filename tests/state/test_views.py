"""What each view of a PKI directory shows of the tree beneath it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pkigen.crypto.age import Identity
from pkigen.state.seals import IDENTITY_PATH
from pkigen.state.vault import SealedVault
from pkigen.state.views import EmptyView, HashedView, Move, MovedView, OpenedView, SteadyView
from pkigen.store import FileContent, MissingError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class MemoryTree:
    """A tree of a few files."""

    files: dict[str, bytes]
    mode: int = 0o600

    def read(self, path: str, *, limit: int = 1 << 20) -> FileContent:
        if path not in self.files:
            raise MissingError(f"{path} is missing")
        data = self.files[path]
        assert len(data) <= limit
        return FileContent(data=data, mode=self.mode, size=len(data), uid=0, gid=0, links=1)

    def walk(self, path: str = "") -> Iterator[str]:
        yield from sorted(each for each in self.files if each.startswith(path))


def test_an_empty_view_shows_nothing() -> None:
    with pytest.raises(MissingError, match=r"pki/ca\.crt is missing"):
        EmptyView().read("pki/ca.crt")
    assert list(EmptyView().walk()) == []


def test_a_moved_file_is_at_its_new_place_alone() -> None:
    tree = MemoryTree({"pki/ca.key": b"old", "pki/ca-next.key": b"new", "pki/ca-previous.key": b"gone"})
    moves = (
        Move(source="pki/ca-next.key", target="pki/ca.key"),
        Move(source="pki/ca-previous.key", target=None),
    )
    view = MovedView(tree, moves)
    assert view.read("pki/ca.key").data == b"new"
    assert list(view.walk()) == ["pki/ca.key"]
    for path in ("pki/ca-next.key", "pki/ca-previous.key"):
        with pytest.raises(MissingError, match=f"{path} is missing"):
            view.read(path)


def test_a_sealed_file_shows_its_content_and_the_identity_stays_sealed() -> None:
    vault = SealedVault.new(Identity.generate().recipient)
    sealed = vault.close("pki/bundle.key", b"c2VjcmV0")
    tree = MemoryTree({"pki/bundle.key": sealed, IDENTITY_PATH: sealed, "pki/ca.crt": b"PEM"})
    view = OpenedView(tree, vault)
    assert view.read("pki/bundle.key").data == b"c2VjcmV0"
    assert view.read("pki/ca.crt").data == b"PEM"
    assert view.read(IDENTITY_PATH).data == sealed


def digest_of(tree: MemoryTree, *paths: str, notes: tuple[str, ...] = ()) -> str:
    view = HashedView(tree)
    for note in notes:
        view.note(note, "text")
    for path in paths:
        with suppress(MissingError):
            view.read(path)
    return str(view.digests)


def test_the_digest_is_of_all_that_was_read_and_of_nothing_else() -> None:
    tree = MemoryTree({"a": b"1", "b": b"2"})
    known = digest_of(tree, "a", "c")
    assert digest_of(MemoryTree({"a": b"1", "b": b"3"}), "a", "c") == known, "b was not read"
    others = (
        digest_of(MemoryTree({"a": b"2"}), "a", "c"),
        digest_of(MemoryTree({"a": b"1"}, mode=0o640), "a", "c"),
        digest_of(MemoryTree({"a": b"1", "c": b""}), "a", "c"),
        digest_of(tree, "a"),
        digest_of(tree, "a", "c", notes=("spec",)),
    )
    assert len({known, *others}) == 1 + len(others)


def test_a_steady_view_reads_each_file_once_until_it_forgets() -> None:
    tree = MemoryTree({"pki/ca.crt": b"one"})
    view = SteadyView(tree)
    assert view.read("pki/ca.crt").data == b"one"
    with pytest.raises(MissingError, match="is missing"):
        view.read("pki/ca.key")
    tree.files = {"pki/ca.crt": b"two", "pki/ca.key": b"key"}
    assert view.read("pki/ca.crt").data == b"one"
    with pytest.raises(MissingError, match="is missing"):
        view.read("pki/ca.key")
    # With another limit it is another question: one content may be too large for one and not for the other.
    assert view.read("pki/ca.crt", limit=3).data == b"two"
    view.forget()
    assert (view.read("pki/ca.crt").data, view.read("pki/ca.key").data) == (b"two", b"key")
