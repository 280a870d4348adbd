from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from pkigen.adoption.archive_tree import ArchiveTree
from pkigen.adoption.file_tree import LARGEST_CONTENT, DirectoryTree, EntryKind
from pkigen.adoption.gathered import is_foreign, node_trees
from pkigen.adoption.node_tree import Mapped, NodeTree
from pkigen.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pkigen.adoption.file_tree import FileTree


def member(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname, info.mode, info.uid = len(data), kind, target, 0o600, 7
    return info, data


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def node(tree: FileTree) -> NodeTree:
    return NodeTree("n", tree, (Mapped(path=(), steps=()),), walked=("/",))


FILES = archive(member("./etc/kubernetes/admin.conf", b"x"), member("etc/kubernetes/pki/ca.crt", b"y"))


def in_streams(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """As pbzip2 packs, and with zeros behind it; the first stream ends with the first member."""
    return lambda data: pack(data[:1024]) + pack(data[1024:]) + bytes(4)


@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, bz2.compress, *map(in_streams, (gzip.compress, bz2.compress, lzma.compress))],
)
def test_an_archive_is_read_as_a_directory_would_be(pack: Callable[[bytes], bytes]) -> None:
    tree = ArchiveTree(pack(FILES), name="a.tar")
    assert tree.names(()) == ("etc",)
    assert tree.names(("etc", "kubernetes")) == ("admin.conf", "pki")
    assert tree.content(("etc", "kubernetes", "pki", "ca.crt")) == b"y"
    found = tree.entry(("etc", "kubernetes", "admin.conf"))
    assert found is not None
    assert (found.kind, found.mode, found.uid) == (EntryKind.FILE, 0o600, 7)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (archive(member("etc/../../passwd", b"x")), "leads out of it"),
        (archive(member("dev/sda", kind=tarfile.BLKTYPE)), "a device or a FIFO"),
        (archive(member("pipe", kind=tarfile.FIFOTYPE)), "a device or a FIFO"),
        (archive(member("a", kind=tarfile.LNKTYPE, target="b")), "a hard link to what is not in it"),
        (gzip.compress(FILES)[:-20], "damaged|no tar archive"),
        (b"\x1f\x8bnothing", "damaged"),
        (gzip.compress(FILES[:1024]) + gzip.compress(FILES[1024:])[:-20], "damaged"),
        (bz2.compress(FILES[:1024]) + b"nothing", "damaged"),
        (b"x" * 2000, "no tar archive"),
    ],
)
def test_an_archive_that_no_copy_of_a_node_is_is_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(StoreError, match=sentence):
        ArchiveTree(data, name="a.tar")


def test_a_small_archive_does_not_become_a_large_one() -> None:
    bomb = gzip.compress(bytes(1 << 26)) * 64
    tracemalloc.start()
    try:
        with pytest.raises(StoreError, match="larger than 256 MiB"):
            ArchiveTree(bomb, name="a.tar.gz")
        assert tracemalloc.get_traced_memory()[1] < 1 << 30
    finally:
        tracemalloc.stop()


def test_links_are_followed_as_the_node_would_and_never_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "secret.pem").write_text("outside")
    root = tmp_path / "node"
    (root / "a").mkdir(parents=True)
    (root / "a/real.pem").write_text("inside")
    (root / "absolute.pem").symlink_to("/a/real.pem")
    (root / "relative.pem").symlink_to("a/real.pem")
    (root / "b").symlink_to("a")
    (root / "out.pem").symlink_to("../secret.pem")
    (root / "away.pem").symlink_to(tmp_path / "secret.pem")
    (root / "loop.pem").symlink_to("loop.pem")
    tree = node(DirectoryTree(root))
    for path in ("/absolute.pem", "/relative.pem", "/b/real.pem", "/a/../b/real.pem"):
        found = tree.file(path)
        assert found is not None, path
        assert (found.path, found.data) == ("/a/real.pem", b"inside")
    for path in ("/out.pem", "/away.pem", "/loop.pem", "/nothing.pem"):
        assert tree.file(path) is None, path
    assert [file.path for file in tree.files()] == ["/a/real.pem"]


def test_a_link_of_an_archive_leads_within_it() -> None:
    data = archive(
        member("var/lib/kubelet/pki/kubelet-client-2026-01-01-00-00-00.pem", b"x"),
        member(
            "var/lib/kubelet/pki/kubelet-client-current.pem",
            kind=tarfile.SYMTYPE,
            target="/var/lib/kubelet/pki/kubelet-client-2026-01-01-00-00-00.pem",
        ),
        member("etc/shadow.pem", kind=tarfile.SYMTYPE, target="../../../etc/shadow"),
    )
    tree = node(ArchiveTree(data, name="a.tar"))
    found = tree.file("/var/lib/kubelet/pki/kubelet-client-current.pem")
    assert found is not None
    assert found.path.endswith("2026-01-01-00-00-00.pem")
    assert tree.file("/etc/shadow.pem") is None


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pem")
    (tmp_path / "large.pem").write_bytes(bytes(LARGEST_CONTENT + 1))
    (tmp_path / "directory.pem").mkdir()
    tree = node(DirectoryTree(tmp_path))
    problems = {path: tree.file(path) for path in ("/pipe.pem", "/large.pem", "/directory.pem")}
    assert {path: found.problem for path, found in problems.items() if found is not None} == {
        "/pipe.pem": "is no regular file",
        "/large.pem": "is larger than 1 MiB",
        "/directory.pem": "is a directory",
    }
    assert all(found is not None and found.data == b"" for found in problems.values())


def test_a_node_with_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pkigen.adoption.node_tree._MOST_ENTRIES", 3)
    for number in range(5):
        (tmp_path / f"{number}.pem").write_text("x")
    with pytest.raises(StoreError, match="more than 3 files"):
        list(node(DirectoryTree(tmp_path)).files())


LAYOUTS = {
    "a root": (("etc/kubernetes/pki/ca.crt",), ["top"], "/etc/kubernetes/pki/ca.crt"),
    "etc kubernetes": (("pki/ca.crt", "admin.conf"), ["top"], "/etc/kubernetes/pki/ca.crt"),
    "a worker": (("kubelet.conf",), ["top"], "/etc/kubernetes/kubelet.conf"),
    "kubespray": (("ssl/ca.crt",), ["top"], "/etc/kubernetes/ssl/ca.crt"),
    "manifests": (("manifests/etcd.yaml",), ["top"], "/etc/kubernetes/manifests/etcd.yaml"),
    "certificates": (("ca.crt", "apiserver.crt"), ["top"], "/etc/kubernetes/pki/apiserver.crt"),
    "any files": (("server.pem", "x.txt"), ["top"], "/server.pem"),
    "several nodes": (("a/pki/ca.crt", "b/etc/kubernetes/kubelet.conf"), ["a", "b"], ""),
    "several nodes, one level below": (("prod/a/pki/ca.crt", "prod/b/pki/ca.crt"), ["a", "b"], ""),
    "nodes of pkigen": (("nodes/a/etc/kubernetes/admin.conf", "pki/ca.crt"), ["a", "pki"], ""),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_recognized_by_what_is_in_it(name: str, tmp_path: Path) -> None:
    paths, names, found = LAYOUTS[name]
    top = tmp_path / "top"
    for path in paths:
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text("x")
    assert is_foreign(top)
    trees = node_trees(top)
    assert [tree.name for tree in trees] == names
    if found:
        assert found in [file.path for file in trees[0].files()]
        assert len({file.shown for file in trees[0].files()}) == len(list(trees[0].files()))


@pytest.mark.parametrize("name", ["cp-1.tar.gz", "cp-1.example.com.tar", "cp-1.tgz"])
def test_a_tar_is_called_like_its_node(name: str, tmp_path: Path) -> None:
    """By its whole name in the DNS, where it has one."""
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki/ca.crt").write_text("x")
    with tarfile.open(tmp_path / name, "w:gz" if name.endswith("gz") else "w") as archive:
        archive.add(tmp_path / "pki", arcname="pki")
    (tree,) = node_trees(tmp_path / name)
    assert tree.name == name.removesuffix(".tar.gz").removesuffix(".tar").removesuffix(".tgz")


def test_etc_kubernetes_by_its_name_reaches_the_rest_of_its_node(tmp_path: Path) -> None:
    (tmp_path / "n/etc/kubernetes/pki").mkdir(parents=True)
    (tmp_path / "n/var/lib/kubelet/pki").mkdir(parents=True)
    (tmp_path / "n/var/lib/kubelet/pki/kubelet.crt").write_text("x")
    (tmp_path / "n/home.pem").write_text("x")
    (tree,) = node_trees(tmp_path / "n/etc/kubernetes")
    assert tree.name == "n"
    assert [file.path for file in tree.files()] == ["/var/lib/kubelet/pki/kubelet.crt"]


def test_what_holds_nothing_of_a_node_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "own/pki").mkdir(parents=True)
    (tmp_path / "own/pki/ca.crt").write_text("x")
    (tmp_path / "own/pki.lock").write_text("damaged")
    (tmp_path / "interrupted/.pkigen").mkdir(parents=True)
    (tmp_path / "interrupted/ca.crt").write_text("x")
    for name in ("empty", "notes.txt", "own", "interrupted", "absent"):
        assert not is_foreign(tmp_path / name), name


def test_no_more_directories_than_some_are_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkigen.adoption.gathered._MOST_DIRECTORIES", 3)
    for number in range(5):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}/ca.crt").write_text("x")
    assert [tree.name for tree in node_trees(tmp_path)] == ["0", "1", "2"]
