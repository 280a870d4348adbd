"""Options that name a file: devices, FIFOs and standard output get the content and stay what they are."""

from __future__ import annotations

import errno
import json
import os
import resource
import stat
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pkigen.cli.outputs import write_new, write_text
from pkigen.errors import PkigenError
from tests.cli.program import PROGRAM, photograph, program

if TYPE_CHECKING:
    from tests.cli.program import InProcess

COMMANDS = {
    "status --textfile": ("status", "-C", "TREE", "-o", "prometheus", "--textfile", "FILE"),
    "plan --save": ("plan", "SPEC", "-C", "TREE", "--save", "FILE"),
    "kubeconfig merge --out": ("access", "kubeconfig", "merge", "TREE/users/dev1.conf", "--out", "FILE"),
}


def line(name: str, spec: Path, tree: Path, file: object) -> list[str]:
    words = {"SPEC": str(spec), "TREE": str(tree), "FILE": str(file)}
    return [
        words.get(word, word.replace("TREE/", f"{tree}/")) for word in COMMANDS[name]
    ]  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("through", ["itself", "a link"])
def test_a_device_is_never_replaced(
    pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path, name: str, through: str
) -> None:
    null = file = tmp_path / "null"
    os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    if through == "a link":
        file = tmp_path / "link"
        file.symlink_to(null)
    assert pkigen(*line(name, spec, tree, file)).code == 0
    assert stat.S_ISCHR(null.lstat().st_mode)
    assert file == null or file.is_symlink()


def test_a_runbook_goes_through_what_stands_in_its_directory(
    pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path
) -> None:
    """Not only the file that an option names, but also those below a directory that one names."""
    book = tmp_path / "book"
    book.mkdir()
    os.mkfifo(book / "restart.txt")
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append((book / "restart.txt").read_text()))
    reader.start()
    assert pkigen("renew", spec, "apiserver", "-C", tree, "--yes", "--runbook", book).code == 0
    reader.join(10)
    assert got
    assert got[0].startswith("cluster home, one step after the other:")
    assert stat.S_ISFIFO((book / "restart.txt").lstat().st_mode)
    assert (book / "restart.sh").is_file()


@pytest.mark.parametrize("kind", ["device", "file", "FIFO", "dangling link"])
@pytest.mark.parametrize(
    "command",
    [("renew", "SPEC", "apiserver"), ("apply", "SPEC"), ("rescue", "SPEC")],
    ids=lambda command: command[0],
)
def test_a_runbook_that_cannot_be_written_is_said_before_anything_changes(
    pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path, kind: str, command: tuple[str, ...]
) -> None:
    place = tmp_path / "book"
    match kind:
        case "device":
            place = Path("/dev/null")
        case "file":
            place.touch()
        case "FIFO":
            os.mkfifo(place)
        case _:
            place.symlink_to("nowhere")
    before = photograph(tree)
    words = (str(spec) if word == "SPEC" else word for word in command)
    failed = pkigen(*words, "-C", tree, "--yes", "--runbook", place)
    assert failed.code == 1
    assert failed.error.startswith(f"{place} cannot be ")
    assert photograph(tree) == before


def test_metrics_to_standard_output_follow_what_was_said(spec: Path, tree: Path, tmp_path: Path) -> None:
    with (tmp_path / "all").open("w+b") as stream:
        stream.write(b"# before\n")
        stream.flush()
        command = [*PROGRAM, "plan", str(spec), "-C", str(tree), "--save", "/dev/stdout"]
        subprocess.run(command, check=True, stdout=stream, stderr=subprocess.PIPE)
    text = (tmp_path / "all").read_text()
    assert text.startswith("# before\n")
    assert json.loads(text[text.index("{") :])


def test_a_secret_in_a_pipe_is_said(tree: Path) -> None:
    """It is how a key comes to a program without ever being on a disk."""
    command = [
        *PROGRAM,
        "access",
        "kubeconfig",
        "merge",
        str(tree / "users/dev1.conf"),
        "--out",
        "/dev/stdout",
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "kind: Config" in done.stdout
    assert "note: /dev/stdout is no regular file: whoever reads there gets the secret" in done.stderr


def test_a_secret_in_a_file_is_not(tree: Path, tmp_path: Path) -> None:
    done = program("access", "kubeconfig", "merge", tree / "users/dev1.conf", "--out", tmp_path / "config")
    assert (done.code, "whoever reads" in done.err) == (0, False)
    assert stat.S_IMODE((tmp_path / "config").stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes another user's link")
def test_another_users_link_is_an_error(pkigen: InProcess, spec: Path, tree: Path, tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "link"
    victim.write_text("kept")
    link.symlink_to(victim)
    os.lchown(link, 4711, 4711)
    for name in COMMANDS:
        failed = pkigen(*line(name, spec, tree, link))
        assert (failed.code, victim.read_text()) == (1, "kept")
        assert failed.error == f"{link} cannot be written: it is a link of another user (uid 4711)"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("whose", ["all of it", "the directory", "a node's directory"])
def test_nothing_is_renewed_in_a_tree_of_another_user(
    pkigen: InProcess, spec: Path, tree: Path, whose: str
) -> None:
    paths = {
        "all of it": [tree, *tree.rglob("*")],
        "the directory": [tree],
        "a node's directory": [tree / "nodes/cp-1/etc/kubernetes"],
    }[whose]
    for path in paths:
        os.chown(path, 4711, 4711)
        path.chmod(0o777)
    before = photograph(tree)
    for line in (("renew", spec, "--all", "--yes"), ("init", spec), ("apply", spec, "--yes")):
        failed = pkigen(*line, "-C", tree)
        if line[0] == "renew":
            assert failed.error == f"{paths[0]} belongs to another user (uid 4711)"
            assert "chown -R" in failed.hint
        assert failed.code in {0, 1}
    assert {name: data for name, (_, _, data) in photograph(tree).items() if data} == {
        name: data for name, (_, _, data) in before.items() if data
    }
    found = pkigen("verify", "-C", tree)
    assert found.code == 4
    assert "belongs to another user (uid 4711)" in found.out


@pytest.mark.parametrize(
    ("number", "way_out"),
    [
        (errno.ENOSPC, "free space there, or choose another place"),
        (errno.EDQUOT, "free space there, or choose another place"),
        (errno.EACCES, "choose a directory that exists and is yours"),
    ],
)
def test_what_helps_depends_on_why_a_file_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, way_out: str
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pkigen.cli.outputs.put", refused)
    with pytest.raises(PkigenError, match=os.strerror(number).lower()) as error:
        write_text(tmp_path / "plan.json", "{}")
    assert error.value.hint == way_out


def test_a_new_file_on_a_full_disk_is_not_left_half_written(tmp_path: Path) -> None:
    """The real thing: a file that may not grow."""
    file = tmp_path / "key"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(PkigenError, match="cannot be written: file too large") as error:
            write_new(file, "x" * 5000, mode=0o600)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.value.hint == "free space there, or choose another place"
    assert not file.exists()
