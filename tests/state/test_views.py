"""What each view of a PKI directory shows of the tree beneath it."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.crypto.age import Identity
from pkigen.state.observed import WithheldContent
from pkigen.state.seals import IDENTITY_PATH, RECORD_PATH
from pkigen.state.vault import PlainVault, SealedVault
from pkigen.state.views import (
    ChangedView,
    EmptyView,
    HashedView,
    Move,
    MovedView,
    OpenedView,
    PublicView,
    StagedView,
    SteadyView,
    View,
)
from pkigen.store import FileContent, MissingError, RefusedError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class MemoryTree:
    """A tree of a few files; it notes how large a file each reader would have taken."""

    files: dict[str, bytes]
    mode: int = 0o600
    errors: dict[str, Exception] = field(default_factory=dict)
    limits: list[int | None] = field(default_factory=list)

    def read(self, path: str, *, limit: int | None = None) -> FileContent:
        self.limits.append(limit)
        if path in self.errors:
            raise self.errors[path]
        if path not in self.files:
            raise MissingError(f"{path} is missing")
        return content(self.files[path], self.mode)

    def walk(self, path: str = "") -> Iterator[str]:
        yield from sorted(each for each in self.files if not path or each.startswith(f"{path}/"))

    def staged(self, path: str, *, limit: int | None = None) -> FileContent:
        """What a transaction says of the staging area."""
        return self.read(path, limit=limit)


def content(data: bytes, mode: int = 0o600) -> FileContent:
    return FileContent(data=data, mode=mode, size=len(data), uid=0, gid=0, links=1)


def staged_view(tree: MemoryTree, staging: MemoryTree, vault: object = None) -> StagedView:
    store: Any = tree
    transaction: Any = staging
    return StagedView(store, transaction, vault or PlainVault())  # type: ignore[arg-type]


VIEWS: dict[str, Callable[[MemoryTree], View]] = {
    "plain": View,
    "moved": lambda tree: MovedView(tree, ()),
    "changed": lambda tree: ChangedView(tree, {}, frozenset()),
    "public": lambda tree: PublicView(tree, frozenset(), {}),
    "staged": lambda tree: staged_view(tree, MemoryTree({})),
    "opened": lambda tree: OpenedView(tree, PlainVault()),
    "steady": SteadyView,
    "hashed": HashedView,
}


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS.keys())
def test_a_view_shows_what_is_beneath_it_and_reads_no_more_of_it_than_it_is_asked_to(
    make: Callable[[MemoryTree], View],
) -> None:
    tree = MemoryTree({"pki/ca.crt": b"PEM"}, mode=0o644)
    assert make(tree).read("pki/ca.crt") == content(b"PEM", 0o644)
    assert make(tree).read("pki/ca.crt", limit=7) == content(b"PEM", 0o644)
    assert tree.limits == [1 << 20, 7], "one mebibyte, unless another limit is given"
    with pytest.raises(MissingError, match=r"pki/ca\.key is missing"):
        make(tree).read("pki/ca.key")


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


def test_who_lists_a_directory_sees_what_moves_into_it_and_nothing_beside_it() -> None:
    tree = MemoryTree({"pki/ca-next.key": b"new", "pki/ca.crt": b"PEM", "users/jane.conf": b""})
    moves = (
        Move(source="pki/ca-next.key", target="pki/ca.key"),
        Move(source="pki/ca-next.key", target="pki.lock"),
    )
    view = MovedView(tree, moves)
    assert list(view.walk("pki")) == ["pki/ca.crt", "pki/ca.key"]
    assert list(view.walk()) == ["pki.lock", "pki/ca.crt", "pki/ca.key", "users/jane.conf"]


def test_a_moved_file_is_read_up_to_the_limit_that_is_asked_for() -> None:
    tree = MemoryTree({"pki/ca-next.key": b"new"})
    MovedView(tree, (Move(source="pki/ca-next.key", target="pki/ca.key"),)).read("pki/ca.key", limit=7)
    assert tree.limits == [7]


def test_a_change_is_seen_as_it_will_be() -> None:
    tree = MemoryTree({"pki/ca.crt": b"old", "pki/gone.crt": b"old", "pki/sa.pub": b"as it is"}, mode=0o644)
    view = ChangedView(tree, {"pki/ca.crt": b"new", "pki/ca.key": b"key"}, frozenset({"pki/gone.crt"}))
    assert view.read("pki/ca.crt") == content(b"new"), "of its own, and of the strictest mode"
    assert view.read("pki/ca.key") == content(b"key")
    assert view.read("pki/sa.pub") == content(b"as it is", 0o644)
    with pytest.raises(MissingError, match=r"pki/gone\.crt is missing"):
        view.read("pki/gone.crt")


def test_private_files_that_were_written_count_as_there_and_no_other_is_looked_at() -> None:
    tree = MemoryTree(
        {"pki/ca.crt": b"PEM", "pki/sa.pub": b"PEM", "pki/ca.key": b"secret", "b.key": b""}, 0o664
    )
    withheld = frozenset({"pki/ca.key", "pki.key", "nodes/cp-1/etc/kubernetes/admin.conf"})
    view = PublicView(tree, withheld, {"pki/ca.crt": 0o644})
    for path in withheld:
        found = view.read(path)
        assert found == WithheldContent(data=b"", mode=0o600, size=0, uid=0, gid=0, links=1)
    with pytest.raises(MissingError, match=r"b\.key is missing"):
        view.read("b.key")
    assert view.withheld == withheld


def test_public_files_have_the_modes_that_they_must_have_because_git_keeps_none() -> None:
    tree = MemoryTree({"pki/ca.crt": b"PEM", "pki/own.crt": b"PEM"}, mode=0o664)
    view = PublicView(tree, frozenset(), {"pki/ca.crt": 0o644})
    assert view.read("pki/ca.crt") == content(b"PEM", 0o644)
    assert view.read("pki/own.crt") == content(b"PEM", 0o664), "which is none of pkigen's"


def test_withheld_files_are_listed_with_those_that_are_there() -> None:
    tree = MemoryTree({"pki/ca.crt": b"PEM", "pki/sa.key": b"", "users/jane.yaml": b""})
    view = PublicView(tree, frozenset({"pki/ca.key", "pki/sa.key", "pki.key"}), {})
    assert list(view.walk("pki")) == ["pki/ca.crt", "pki/ca.key", "pki/sa.key"]
    assert list(view.walk()) == ["pki.key", "pki/ca.crt", "pki/ca.key", "pki/sa.key", "users/jane.yaml"]


def test_what_is_staged_lies_over_what_is_there() -> None:
    tree = MemoryTree({"pki/ca.crt": b"old", "pki/sa.pub": b"as it is", "pki/gone.crt": b"old"})
    staging = MemoryTree({"pki/ca.crt": b"new", "pki/sa.pub": b"not yet noted", "pki/gone.crt": b"new"})
    view = staged_view(tree, staging)
    assert view.changed == frozenset()
    view.note("pki/ca.crt")
    view.note("pki/gone.crt")
    view.hide("pki/gone.crt")
    assert view.changed == {"pki/ca.crt", "pki/gone.crt"}
    assert view.read("pki/ca.crt", limit=7) == content(b"new")
    assert staging.limits == [7]
    assert view.read("pki/sa.pub") == content(b"as it is")
    with pytest.raises(MissingError, match=r"pki/gone\.crt is missing"):
        view.read("pki/gone.crt")


def test_the_record_of_sealed_keys_is_the_vault_s_until_it_is_staged() -> None:
    tree = MemoryTree({RECORD_PATH: b"old", "pki/ca.crt": b"PEM"})
    staging = MemoryTree({RECORD_PATH: b"staged"})
    view = staged_view(tree, staging, SimpleNamespace(record=b"the vault's"))
    assert view.read(RECORD_PATH) == content(b"the vault's")
    assert view.read("pki/ca.crt") == content(b"PEM")
    view.note(RECORD_PATH)
    assert view.read(RECORD_PATH) == content(b"staged")
    view.hide(RECORD_PATH)
    with pytest.raises(MissingError):
        view.read(RECORD_PATH)
    assert staged_view(tree, staging).read(RECORD_PATH) == content(b"old"), "a plain vault has no record"


def test_a_sealed_file_shows_its_content_and_the_identity_stays_sealed() -> None:
    vault = SealedVault.new(Identity.generate().recipient)
    sealed = vault.close("pki/bundle.key", b"c2VjcmV0")
    tree = MemoryTree({"pki/bundle.key": sealed, IDENTITY_PATH: sealed, "pki/ca.crt": b"PEM"})
    view = OpenedView(tree, vault)
    assert view.read("pki/bundle.key").data == b"c2VjcmV0"
    assert view.read("pki/ca.crt").data == b"PEM"
    assert view.read(IDENTITY_PATH).data == sealed


def test_what_is_not_sealed_is_no_business_of_the_vault() -> None:
    vault: Any = SimpleNamespace(open=lambda *_: pytest.fail("it is asked"))
    assert OpenedView(MemoryTree({"pki/ca.crt": b"PEM"}), vault).read("pki/ca.crt").data == b"PEM"


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


def digest(*texts: str) -> str:
    """The digest of what was found, each text with its end."""
    return hashlib.sha256("".join(f"{text}\0" for text in texts).encode()).hexdigest()[:32]


def found(path: str, data: bytes) -> str:
    return "\0".join((path, "600", hashlib.sha256(data).hexdigest()))


def test_there_is_a_digest_for_each_file_for_each_node_and_for_each_note() -> None:
    config, manifest, near = "nodes/cp-1/etc/a.conf", "nodes/cp-1/etc/b/c.yaml", "nodesque/cp-1/x"
    ca, etcd = "pki/ca.crt", "pki/etcd/ca.crt"
    view = HashedView(MemoryTree({config: b"1", manifest: b"2", near: b"3", ca: b"4", etcd: b"5"}))
    for path in (manifest, config, near, etcd, ca):
        view.read(path)
    view.note("the spec", "{}")
    assert list(view.digests.items()) == [
        ("nodes/cp-1", digest(found(manifest, b"2"), found(config, b"1"))),
        (near, digest(found(near, b"3"))),
        (ca, digest(found(ca, b"4"))),
        (etcd, digest(found(etcd, b"5"))),
        ("the spec", digest("{}")),
    ]


def test_why_nothing_was_found_counts_and_where_the_directory_lies_does_not() -> None:
    errors: dict[str, Exception] = {
        "pki/a": UnreadableError("/srv/prod/pki/a is a directory", reason="is a directory"),
        "pki/b": RefusedError("cannot read /srv/prod/pki/b: input/output error"),
    }
    view = HashedView(MemoryTree({}, errors=errors))
    for path in ("pki/a", "pki/b", "pki/c"):
        with pytest.raises((UnreadableError, RefusedError, MissingError)):
            view.read(path)
    assert view.digests == {
        "pki/a": digest("pki/a\0UnreadableError\0is a directory"),
        "pki/b": digest("pki/b\0RefusedError\0"),
        "pki/c": digest("pki/c\0MissingError\0"),
    }


def test_that_a_file_of_the_authority_is_read_again_does_not_count_and_another_content_does() -> None:
    tree = MemoryTree({"pki/ca.crt": b"1", "nodes/cp-1/a": b"1"})
    view = HashedView(tree)
    for _ in range(3):
        view.read("pki/ca.crt")
        view.read("nodes/cp-1/a")
    once = found("pki/ca.crt", b"1")
    # Nobody shares a node, so what is read of one is the same however many processes look.
    assert view.digests == {
        "nodes/cp-1": digest(*[found("nodes/cp-1/a", b"1")] * 3),
        "pki/ca.crt": digest(once),
    }
    for data in (b"2", b"1"):
        tree.files["pki/ca.crt"] = data
        view.read("pki/ca.crt")
    assert view.digests["pki/ca.crt"] == digest(once, found("pki/ca.crt", b"2"), once)


def test_what_a_copy_in_another_process_has_read_is_taken_up_as_if_it_was_read_here() -> None:
    tree = MemoryTree({"pki/ca.crt": b"1", "nodes/cp-1/a": b"2", "nodes/cp-1/b": b"3"})
    paths = ("pki/ca.crt", "nodes/cp-1/a", "pki/ca.crt", "pki/ca.key", "nodes/cp-1/b")
    here, copy, taking = HashedView(tree), HashedView(tree), HashedView(tree)
    copy.read("nodes/cp-1/b")
    first = copy.listen()
    for view in (here, copy):
        for path in paths[:2]:
            view.read(path)
    second = copy.listen()
    for view in (here, copy):
        for path in paths[2:]:
            with suppress(MissingError):
                view.read(path)
    assert (len(first), len(second)) == (2, 3), "each list from where it was begun"
    taking.take_up(first)
    taking.take_up(second)
    assert taking.digests == here.digests


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
