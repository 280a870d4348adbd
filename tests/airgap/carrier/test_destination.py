"""What is no regular file is written into and never replaced; what is one is replaced whole."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pkigen.airgap.carrier.destination import is_stream, obstacle, put

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="devices and other users' files are made by root")
NULL = (1, 3)
FULL = (1, 7)
LOOP = (7, 200)


def device(path: Path, numbers: tuple[int, int], kind: int = stat.S_IFCHR) -> Path:
    os.mknod(path, 0o666 | kind, os.makedev(*numbers))
    return path


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def read_all(fifo: Path, into: list[bytes]) -> threading.Thread:
    thread = threading.Thread(target=lambda: into.append(fifo.read_bytes()))
    thread.start()
    return thread


def test_a_regular_file_is_replaced_whole_with_its_mode_before_its_content(tmp_path: Path) -> None:
    path = tmp_path / "plan"
    path.write_text("old")
    before = path.stat().st_ino
    put(path, b"new", mode=0o600)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)
    assert path.stat().st_ino != before
    assert names(tmp_path) == ["plan"]
    assert not is_stream(path)


@AS_ROOT
def test_a_device_stays_one(tmp_path: Path) -> None:
    null = device(tmp_path / "null", NULL)
    put(null, b"gone", mode=0o600)
    assert stat.S_ISCHR(null.stat().st_mode)
    assert stat.S_IMODE(null.stat().st_mode) == 0o666 & ~_umask(), "its mode is not ours to change"
    assert names(tmp_path) == ["null"]
    assert is_stream(null)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@AS_ROOT
def test_a_device_that_is_full_says_so(tmp_path: Path) -> None:
    full = device(tmp_path / "full", FULL)
    with pytest.raises(OSError, match="No space left"):
        put(full, b"data", mode=0o644)
    assert stat.S_ISCHR(full.stat().st_mode)


@AS_ROOT
def test_a_disk_is_neither_replaced_nor_written_to(tmp_path: Path) -> None:
    disk = device(tmp_path / "disk", LOOP, stat.S_IFBLK)
    assert obstacle(disk) == "it is a block device"
    with pytest.raises(OSError, match="it is a block device"):
        put(disk, b"data", mode=0o644)
    assert stat.S_ISBLK(disk.stat().st_mode)


def test_a_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        assert obstacle(tmp_path / "socket") == "it is a socket"
        with pytest.raises(OSError, match="it is a socket"):
            put(tmp_path / "socket", b"data", mode=0o644)
    assert stat.S_ISSOCK((tmp_path / "socket").stat().st_mode)


def test_a_fifo_is_written_into(tmp_path: Path) -> None:
    fifo, got = tmp_path / "fifo", []
    os.mkfifo(fifo)
    assert obstacle(fifo) is None
    reader = read_all(fifo, got)
    put(fifo, b"x" * 200_000, mode=0o644)
    reader.join(10)
    assert got == [b"x" * 200_000]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_link_stays_and_what_it_names_is_what_changes(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link, second = tmp_path / "real/plan", tmp_path / "link", tmp_path / "second"
    link.symlink_to("real/plan")
    second.symlink_to(link)
    put(link, b"made through a link that led nowhere yet", mode=0o644)
    put(second, b"new", mode=0o644)
    assert (target.read_bytes(), link.is_symlink(), second.is_symlink()) == (b"new", True, True)
    assert not target.is_symlink()


def test_a_link_to_a_fifo_is_one_too(tmp_path: Path) -> None:
    fifo, link, got = tmp_path / "fifo", tmp_path / "link", []
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    reader = read_all(fifo, got)
    put(link, b"data", mode=0o644)
    reader.join(10)
    assert (got, link.is_symlink(), is_stream(link)) == ([b"data"], True, True)


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert obstacle(tmp_path / "a") == "too many levels of symbolic links"
    with pytest.raises(OSError, match="Too many levels"):
        put(tmp_path / "a", b"data", mode=0o644)


@AS_ROOT
def test_another_users_link_or_fifo_does_not_choose_for_us(tmp_path: Path) -> None:
    """As root, in a directory such as /tmp: the link would say which file is overwritten."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    link, fifo = tmp_path / "link", tmp_path / "fifo"
    link.symlink_to(victim)
    os.lchown(link, 4711, 4711)
    os.mkfifo(fifo)
    os.chown(fifo, 4711, 4711)
    for path, what in ((link, "link"), (fifo, "FIFO")):
        assert obstacle(path) == f"it is a {what} of another user (uid 4711)".lower()
        with pytest.raises(OSError, match=f"it is a {what} of another user"):
            put(path, b"data", mode=0o600)
    assert victim.read_text() == "kept"


WRITER = "import sys; from pathlib import Path; from pkigen.airgap.carrier.destination import put; "
TWICE = WRITER + "[put(Path(sys.argv[1]), b'data\\n', mode=0o600) for _ in range(2)]"


@pytest.mark.parametrize(
    "name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/proc/thread-self/fd/1", "link"]
)
def test_standard_output_is_written_on_wherever_it_leads(tmp_path: Path, name: str) -> None:
    """To a pipe, and into a file from where it has come to: what was there before stays."""
    if name == "link":
        name = str(tmp_path / "link")
        Path(name).symlink_to("/dev/stdout")
    there = Path("/dev/stdout").lstat().st_ino
    command = [sys.executable, "-c", TWICE, name]
    assert subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout == b"data\n" * 2
    with (tmp_path / "file").open("wb") as stream:
        stream.write(b"before\n")
        stream.flush()
        subprocess.run(command, check=True, stdout=stream)
    assert (tmp_path / "file").read_bytes() == b"before\ndata\ndata\n"
    assert Path("/dev/stdout").lstat().st_ino == there


def test_a_pipe_that_nobody_reads_is_an_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        put(Path(f"/dev/fd/{writing}"), b"data", mode=0o644)
    os.close(writing)
    assert obstacle(tmp_path / "none/plan") == "no such file or directory"
    assert obstacle(tmp_path) == "is a directory"
