"""A small tree, a change of everything a change can do, and the photograph that tells old from new."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pkigen.store import Store

if TYPE_CHECKING:
    from pkigen.store import FileSystem, Transaction

NOW = datetime(2026, 11, 22, 1, 40, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 1, 40, tzinfo=UTC)

CA_KEY = "pki/ca.key"
CA_CRT = "pki/ca.crt"
ETCD_KEY = "pki/etcd/ca.key"
CP1_KEY = "nodes/cp-1/etc/kubernetes/pki/apiserver.key"
CP1_MANIFEST = "nodes/cp-1/etc/kubernetes/manifests/etcd.yaml"
CP2_KEY = "nodes/cp-2/etc/kubernetes/pki/apiserver.key"
CP3_KEY = "nodes/cp-3/etc/kubernetes/pki/apiserver.key"
USER = "users/dev1.conf"
LOCK = "pki.lock"
LEDGER = ".pkigen/ledger.jsonl"

Photograph = dict[str, tuple[int, bytes | None]]


def photograph(root: Path, *, private: bool = False) -> Photograph:
    """Every name below the root with its mode and bytes; `.pkigen` only when asked for."""
    found: Photograph = {}
    for folder, directories, files in os.walk(root):
        if not private and ".pkigen" in directories:
            directories.remove(".pkigen")
        for name in directories + files:
            path = Path(folder, name)
            status = path.lstat()
            data = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
            found[str(path.relative_to(root))] = (stat.S_IMODE(status.st_mode), data)
    return found


def ledger(root: Path) -> bytes:
    """The ledger's bytes, or none."""
    path = root / LEDGER
    return path.read_bytes() if path.exists() else b""


def first(transaction: Transaction) -> None:
    """Stage the first tree."""
    transaction.stage(CA_KEY, mode=0o600, content=b"old ca key")
    transaction.stage(CA_CRT, mode=0o644, content=b"old ca")
    transaction.stage(CP1_KEY, mode=0o600, content=b"old cp-1 key")
    transaction.stage(CP1_MANIFEST, mode=0o600, content=b"old manifest")
    transaction.stage(CP3_KEY, mode=0o600, content=b"old cp-3 key")
    transaction.stage(LOCK, mode=0o644, content=b"old lock")
    transaction.stage(LEDGER, mode=0o600, content=b"1\n", backup=False)


def second(transaction: Transaction) -> None:
    """Create, replace, remove and change a mode, in old directories and new ones."""
    transaction.stage(CP2_KEY, mode=0o600, content=b"new cp-2 key")
    transaction.stage(ETCD_KEY, mode=0o600, content=b"new etcd key")
    transaction.stage(CA_KEY, mode=0o600, content=b"new ca key")
    transaction.stage(LOCK, mode=0o644, content=b"new lock")
    transaction.stage_mode(CP1_MANIFEST, mode=0o640)
    transaction.remove(CP3_KEY)
    transaction.stage(LEDGER, mode=0o600, content=b"1\n2\n", backup=False)


def make_first(root: Path, filesystem: FileSystem | None = None) -> None:
    """Create the first tree."""
    with (
        Store.open(root, command="init", now=NOW, filesystem=filesystem) as store,
        store.transaction() as change,
    ):
        first(change)
        assert change.commit() is None


def make_second(root: Path, filesystem: FileSystem | None = None) -> None:
    """Change the first tree into the second, leaving one backup."""
    with (
        Store.open(root, command="apply", now=LATER, filesystem=filesystem) as store,
        store.transaction() as change,
    ):
        second(change)
        assert change.commit(keep_backups=1)


class Trees:
    """The first tree and the photographs of both, made once and copied for each point of a sweep."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.original = place / "original"
        make_first(self.original)
        with Store.open(self.original, command="apply", now=NOW) as store, store.transaction() as change:
            change.stage(CA_CRT, mode=0o644, content=b"ca")  # so that there is a backup to retire
            change.commit()
        self.old = photograph(self.original)
        root = self.copy("new")
        make_second(root)
        self.new = photograph(root)
        shutil.rmtree(root)

    def copy(self, name: str) -> Path:
        """Copy the first tree with `cp -a`."""
        root = self.place / name
        shutil.copytree(self.original, root, symlinks=True)
        return root


def memory_directory() -> tempfile.TemporaryDirectory[str]:
    """A directory in memory where there is one: sweeps need thousands of fsyncs."""
    shared = Path("/dev/shm")  # noqa: S108 - a private directory is made in it
    return tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None, prefix="pkigen-")
