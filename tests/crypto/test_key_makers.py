"""Keys made ahead by processes of their own, of which none is left behind."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.key_makers import generated, making
from pkigen.crypto.keys import algorithm_of, load_private, private_pem, public_der
from pkigen.errors import PkigenError

if TYPE_CHECKING:
    from collections.abc import Iterator


SLOW, FAST = KeyAlgorithm.RSA_2048, KeyAlgorithm.ECDSA_P256


# -- making them --------------------------------------------------------------------------------------


def test_keys_come_in_the_order_in_which_they_were_asked_for() -> None:
    wanted = [FAST, SLOW, KeyAlgorithm.ECDSA_P384, SLOW, KeyAlgorithm.RSA_3072, FAST, SLOW]
    with generated(wanted) as made:
        found = list(made)
    assert [algorithm_of(key) for key in found] == wanted
    assert len({public_der(key) for key in found}) == len(wanted)
    # A key from another process is as good as one of our own.
    assert all(algorithm_of(load_private(private_pem(key))) for key in found)


def test_processes_that_were_started_on_a_guess_make_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with making([SLOW] * 2) as guessed:
        before = children()
        with making([SLOW, FAST, SLOW, SLOW], ahead=guessed) as makers:
            assert makers is guessed
            assert children() == before
            with generated([SLOW, FAST, SLOW, SLOW], makers) as made:
                assert [algorithm_of(key) for key in made] == [SLOW, FAST, SLOW, SLOW]
        assert children() == before


def test_where_nothing_was_guessed_processes_are_made_when_it_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with making([]) as guessed, making([SLOW] * 2, ahead=guessed) as makers:
        assert makers is not guessed
        assert makers.are_at_work
        assert not guessed.are_at_work


def children() -> list[int]:
    """The processes whose parent is this one, zombies included."""
    return [int(text) for text in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split() if text]


def descriptors() -> set[str]:
    return {each.name for each in Path("/proc/self/fd").iterdir()}


def test_no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    before = children()
    with generated([SLOW] * 3) as made:
        next(made)
        assert len(children()) == len(before) + 3
    assert children() == before
    with pytest.raises(KeyboardInterrupt), generated([SLOW] * 3):
        raise KeyboardInterrupt
    assert children() == before


def test_one_key_or_one_core_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("it forks"))
    for cores, wanted in ((1, [SLOW, SLOW]), (4, [SLOW]), (None, [SLOW, SLOW]), (4, [FAST] * 9), (4, [])):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        with generated(wanted) as made:
            assert [algorithm_of(key) for key in made] == wanted


def test_a_child_that_died_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    before = set(children())
    with generated([KeyAlgorithm.RSA_4096] * 4) as made:
        for child in set(children()) - before:
            os.kill(child, signal.SIGKILL)
        with pytest.raises(PkigenError, match="a process that generates keys has died"):
            list(made)
    assert set(children()) == before


def test_a_process_that_cannot_be_made_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    real, allowed = os.fork, iter([True])

    def fork() -> int:
        if next(allowed, False):
            return real()
        raise BlockingIOError("resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    before, opened = children(), descriptors()
    with pytest.raises(BlockingIOError), generated([SLOW] * 3):
        pytest.fail("it was entered")
    assert children() == before
    assert descriptors() == opened


PARENT = """
import fcntl, json, os, sys
from pkigen.crypto.algorithms import KeyAlgorithm
from pkigen.crypto.key_makers import generated
os.cpu_count = lambda: 3
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
with generated([KeyAlgorithm.RSA_2048] * 600) as made:
    next(made)
    children = open(f"/proc/self/task/{os.getpid()}/children").read().split()
    for child in children:
        opened = [os.readlink(f"/proc/{child}/fd/{fd}") for fd in os.listdir(f"/proc/{child}/fd")]
        print(json.dumps([child, *opened]))
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that holds a lock while it has keys made."""
    lock = tmp_path / "lock"
    command = [sys.executable, "-c", PARENT, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process, lock
        process.kill()


def test_children_hold_no_lock_and_die_with_their_parent(parent: tuple[subprocess.Popen[str], Path]) -> None:
    process, lock = parent
    assert process.stdout is not None
    told: list[list[str]] = []
    while (line := process.stdout.readline().strip()) != "ready":
        told.append(json.loads(line))
    makers = [int(each[0]) for each in told]
    assert len(makers) == 3
    for _, *opened in told:
        assert not any("lock" in each for each in opened)
        # Standard streams, its orders, and the one end of its own pipe: at most five files.
        assert len(opened) <= 5
    with lock.open("r+b") as stream:
        with pytest.raises(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.send_signal(signal.SIGKILL)
        process.wait()
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # free at once, whatever the children do
    deadline = time.monotonic() + 120
    while any(alive(child) for child in makers):
        assert time.monotonic() < deadline, "a child outlived its parent"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}  # a zombie is init's to collect
