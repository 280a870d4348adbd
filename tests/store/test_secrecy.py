"""Under umask 000 a watcher never sees a key that others could open."""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING, Self

import pytest

from pkigen.store import Store
from tests.store.faults import CountingFileSystem
from tests.store.sample_tree import LATER, NOW

if TYPE_CHECKING:
    from pathlib import Path

FILES = 150
MOST = 20
"""Turns, where the watcher is slow."""


class Watcher(threading.Thread):
    """Walks a directory over and over, and writes down every file with its mode."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.over = threading.Event()
        self.looks = 0
        self.seen: set[tuple[str, int]] = set()

    def run(self) -> None:
        while not self.over.is_set():
            self.looks += 1
            self.look(str(self.root))

    def look(self, folder: str) -> None:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        self.look(entry.path)
                    elif entry.name != "note":
                        self.seen.add((entry.name, stat.S_IMODE(status.st_mode)))
        except OSError:  # it went away while we looked
            pass

    def __enter__(self) -> Self:
        self.umask = os.umask(0)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()
        os.umask(self.umask)

    @property
    def keys(self) -> int:
        """How many keys it saw."""
        return sum(name.endswith(".key") for name, _ in self.seen)

    @property
    def prying(self) -> set[tuple[str, int]]:
        """What others could have opened."""
        return {(name, mode) for name, mode in self.seen if mode & 0o077}


def test_no_key_is_ever_open_to_others(memory: Path) -> None:
    root = memory / "watched"
    root.mkdir()
    with Watcher(root) as watcher:
        for turn in range(MOST):
            command, now = ("renew", LATER) if turn else ("init", NOW)
            with Store.open(root, command=command, now=now) as store, store.transaction() as change:
                for number in range(FILES):
                    content = f"{turn}".encode() * 1000
                    change.stage(f"nodes/n-{number % 9}/{number}.key", mode=0o600, content=content)
                change.commit()
            if turn and watcher.looks > 5 and watcher.keys > 50:
                break
    print(f"watcher: {watcher.looks} looks, {len(watcher.seen)} names and modes seen")  # noqa: T201
    assert watcher.looks > 5
    assert watcher.keys > 50
    assert watcher.prying == set()


def test_the_watcher_sees_the_control(memory: Path) -> None:
    """The control writes first and restricts later, as many programs do."""
    root = memory / "control"
    root.mkdir()
    with Watcher(root) as watcher:
        for number in range(FILES * MOST):
            path = root / f"{number}.key"
            path.write_bytes(b"secret" * 10_000)
            watcher.over.wait(0.002)
            path.chmod(0o600)
            if watcher.prying:
                break
    assert watcher.prying


@pytest.mark.parametrize("umask", [0, 0o077])
def test_mode_before_content_on_every_descriptor(memory: Path, umask: int) -> None:
    """Without a race: at each write the file has exactly its final mode, and none was ever laxer."""

    class Looking(CountingFileSystem):
        laxest = 0
        written = 0

        def write(self, fd: int, data: memoryview) -> int:
            self.written += 1
            type(self).laxest |= stat.S_IMODE(os.fstat(fd).st_mode)
            return super().write(fd, data)

        def open(self, name: str, flags: int, mode: int, dir_fd: int | None) -> int:
            fd = super().open(name, flags, mode, dir_fd)
            if flags & os.O_CREAT:
                assert flags & os.O_NOFOLLOW
                assert flags & os.O_CLOEXEC
                assert mode == 0o600
                assert stat.S_IMODE(os.fstat(fd).st_mode) & 0o077 == 0
            return fd

    before = os.umask(umask)
    looking = Looking()
    try:
        with (
            Store.open(memory / f"looked-{umask}", command="init", now=NOW, filesystem=looking) as store,
            store.transaction() as change,
        ):
            for number in range(5):
                change.stage(f"pki/{number}.key", mode=0o600, content=b"secret")
            change.commit()
    finally:
        os.umask(before)
    assert looking.written > 5
    assert Looking.laxest == 0o600
