from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pkigen.errors import BusyError, UnsafePathError
from pkigen.store import Store
from tests.store.faults import CountingFileSystem
from tests.store.sample_tree import CA_KEY, LATER, NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
HOLDING = """
import sys
sys.path.insert(0, sys.argv[3])
from datetime import UTC, datetime
from pathlib import Path
from pkigen.errors import BusyError
from pkigen.store import Store
def hold():
    now = datetime(2026, 11, 22, 1, 40, tzinfo=UTC)
    if sys.argv[2] == "read":
        return Store.open_reading(Path(sys.argv[1]))
    return Store.open(Path(sys.argv[1]), command=sys.argv[2], now=now)
try:
    with hold():
        print("held", flush=True)
        sys.stdin.read()
except BusyError as busy:
    print(busy, flush=True)
    sys.exit(75)
"""


def holder(root: Path, command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-c", HOLDING, str(root), command, str(REPOSITORY)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def held(tree: Path) -> Iterator[subprocess.Popen[str]]:
    with holder(tree, "renew") as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_writer_hears_who_holds_the_lock(tree: Path, held: subprocess.Popen[str]) -> None:
    asking = CountingFileSystem()
    with pytest.raises(BusyError) as caught:
        Store.open(tree, command="apply", now=LATER, filesystem=asking)
    assert asking.operations.count("flock") == 1, "it does not wait"
    assert caught.value.message == (
        f"{tree} is in use by `pkigen renew` (process {held.pid}, since 2026-11-22T01:40:00+00:00)"
    )
    assert "wait" in caught.value.hint


def test_a_killed_holder_blocks_nobody(tree: Path, held: subprocess.Popen[str]) -> None:
    held.kill()
    held.wait()
    with Store.open(tree, command="apply", now=LATER) as store:
        assert store.recovered is None
        assert str(os.getpid()) in (tree / ".pkigen/lock").read_text()
    assert (tree / ".pkigen/lock").read_text() == ""


class Ending(CountingFileSystem):
    """The holder of the lock ends once it was asked for a number of times."""

    def __init__(self, holder: subprocess.Popen[str], times: int) -> None:
        super().__init__()
        self.holder, self.times = holder, times

    def flock(self, fd: int, operation: int) -> None:
        try:
            super().flock(fd, operation)
        except BlockingIOError:
            self.times -= 1
            if self.times == 0:
                self.holder.kill()
                self.holder.wait()
            raise


def test_a_reader_waits_a_while_for_a_writer(tree: Path, held: subprocess.Popen[str]) -> None:
    ending = Ending(held, 3)
    with Store.open_reading(tree, filesystem=ending) as store:
        assert store.read(CA_KEY).data == b"old ca key"
    assert ending.times == 0


def test_a_reader_gives_up_after_two_seconds(tree: Path, held: subprocess.Popen[str]) -> None:
    started = time.monotonic()
    with pytest.raises(BusyError, match=f"renew.*process {held.pid}"):
        Store.open_reading(tree)
    assert time.monotonic() - started > 1.8


def test_readers_share_and_a_writer_keeps_out(tree: Path) -> None:
    with (
        Store.open_reading(tree),
        Store.open_reading(tree),
        pytest.raises(BusyError, match=f"^{tree} is in use by another pkigen$"),
    ):
        Store.open(tree, command="apply", now=LATER)
    with Store.open(tree, command="apply", now=LATER):
        pass


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", '{"pid": 1}', '{"pid": "x", "command": 1, "since": 2}']
)
def test_an_unreadable_lock_file_still_locks(tree: Path, text: str) -> None:
    with (tree / ".pkigen/lock").open("w+") as lock:
        lock.write(text)
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match="in use by another pkigen"):
            Store.open(tree, command="apply", now=LATER)


def test_the_name_of_a_holder_cannot_play_tricks(tree: Path) -> None:
    with (tree / ".pkigen/lock").open("w+") as lock:
        lock.write('{"pid": 1, "command": "x\\u001b[2J", "since": null}')
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BusyError) as caught:
            Store.open(tree, command="apply", now=LATER)
    assert "`pkigen x\\x1b[2J` (process 1)" in caught.value.message


def test_sixteen_writers_have_one_winner(root: Path) -> None:
    for _ in range(2):
        processes = [holder(root, f"apply-{number}") for number in range(16)]
        lines = []
        for process in processes:
            assert process.stdout
            lines.append(process.stdout.readline())
        assert lines.count("held\n") == 1
        winner = lines.index("held\n")
        losers = [line for line in lines if line != "held\n"]
        # Who comes before the winner has left its name hears of "another pkigen".
        named = f"`pkigen apply-{winner}` (process {processes[winner].pid}"
        assert all(named in line or "in use by another pkigen" in line for line in losers)
        for process in processes:
            process.communicate()
        assert sorted(process.returncode for process in processes) == [0] + [75] * 15
    assert not root.exists()


class Overtaken(CountingFileSystem):
    """Lets somebody else come right after one of its operations."""

    def __init__(self, operation: str, name: str, overtake: Callable[[], None]) -> None:
        super().__init__()
        self.operation, self.name, self.overtake = operation, name, overtake
        self.times = 1

    def _do(self, operation: str, *arguments: object) -> object:
        answer = super()._do(operation, *arguments)
        if self.times and operation == self.operation and self.name in arguments:
            self.times = 0
            self.overtake()
        return answer


@pytest.mark.parametrize(("operation", "name"), [("mkdir", "prod"), ("mkdir", ".pkigen"), ("open", "lock")])
def test_who_overtakes_the_maker_of_the_root_removes_it(root: Path, operation: str, name: str) -> None:
    """The one who made the directory gives up, so the one who has the lock is left with it."""
    with ExitStack() as winner:
        overtaking = Overtaken(
            operation, name, lambda: winner.enter_context(Store.open(root, command="apply", now=NOW)) and None
        )
        with pytest.raises(BusyError, match="pkigen apply"):
            Store.open(root, command="init", now=NOW, filesystem=overtaking)
        assert overtaking.times == 0
        assert root.exists()
    assert not root.exists()


@pytest.mark.parametrize(("operation", "name"), [("mkdir", "prod"), ("mkdir", ".pkigen"), ("open", "lock")])
def test_whoever_comes_and_goes_meanwhile_leaves_the_root_to_its_maker(
    root: Path, operation: str, name: str
) -> None:
    def come_and_go() -> None:
        with Store.open(root, command="apply", now=NOW):
            pass

    overtaken = Overtaken(operation, name, come_and_go)
    with Store.open(root, command="init", now=NOW, filesystem=overtaken):
        assert overtaken.times == 0
    assert not root.exists()


@pytest.mark.parametrize("first", ["unlink", "rmdir"])
def test_who_comes_while_the_root_is_removed_starts_over(root: Path, first: str) -> None:
    """The newcomer finds half of it, and at its own end leaves nothing either."""
    name = {"unlink": "lock", "rmdir": ".pkigen"}[first]
    late: list[Store] = []
    leaving = Overtaken(first, name, lambda: late.append(Store.open(root, command="apply", now=NOW)))
    with Store.open(root, command="init", now=NOW, filesystem=leaving):
        pass
    assert leaving.times == 0
    assert (root / ".pkigen/lock").exists()
    late[0].close()
    assert not root.exists()


@pytest.mark.parametrize("name", ["init", "apply"])
def test_an_empty_root_of_the_users_stays_whoever_comes(root: Path, name: str) -> None:
    root.mkdir(mode=0o750)
    with ExitStack() as winner:
        overtaking = Overtaken(
            "mkdir", ".pkigen", lambda: winner.enter_context(Store.open(root, command=name, now=NOW)) and None
        )
        with pytest.raises(BusyError):
            Store.open(root, command="init", now=NOW, filesystem=overtaking)
    assert list(root.iterdir()) == []


def test_the_lock_is_not_inherited(tree: Path) -> None:
    with Store.open(tree, command="apply", now=LATER):
        child = subprocess.Popen(["sleep", "60"])
    try:
        with Store.open(tree, command="apply", now=LATER):
            pass
    finally:
        child.kill()
        child.wait()


class Meddling(CountingFileSystem):
    """Removes something just before an operation, as another process may."""

    def __init__(self, victim: Path, operation: str, name: str, times: int = 1) -> None:
        super().__init__()
        self.victim, self.operation, self.name, self.times = victim, operation, name, times

    def _do(self, operation: str, *arguments: object) -> object:
        if self.times and operation == self.operation and (not self.name or self.name in arguments):
            self.times -= 1
            if self.victim.is_dir():
                shutil.rmtree(self.victim)
            else:
                self.victim.unlink(missing_ok=True)
        return super()._do(operation, *arguments)


@pytest.mark.parametrize(
    ("victim", "operation", "name"),
    [
        (".pkigen/lock", "flock", ""),
        (".pkigen", "open", "lock"),
        ("", "open", "prod"),
        ("", "mkdir", ".pkigen"),
    ],
)
def test_a_root_removed_at_the_same_time_is_made_again(
    root: Path, victim: str, operation: str, name: str
) -> None:
    with Store.open(root, command="init", now=NOW) as store, store.transaction() as change:
        change.stage("a", mode=0o600, content=b"")
        change.commit()
    meddling = Meddling(root / victim, operation, name)
    with (
        Store.open(root, command="init", now=NOW, filesystem=meddling) as store,
        store.transaction() as change,
    ):
        change.stage("a", mode=0o600, content=b"b")
        change.commit()
    assert (root / "a").read_bytes() == b"b"
    assert meddling.times == 0


def test_a_reader_also_comes_again_for_a_removed_lock(tree: Path) -> None:
    with Store.open_reading(tree, filesystem=Meddling(tree / ".pkigen/lock", "flock", "")) as store:
        assert store.read(CA_KEY).data


def test_who_removes_the_lock_all_the_time_is_told_off(tree: Path) -> None:
    def meddling() -> Meddling:
        (tree / ".pkigen/lock").touch(0o600)
        return Meddling(tree / ".pkigen/lock", "flock", "", times=99)

    with pytest.raises(UnsafePathError, match="repeatedly created and removed"):
        Store.open(tree, command="apply", now=LATER, filesystem=meddling())

    class Persistent(Meddling):
        def open(self, name: str, flags: int, mode: int, dir_fd: int | None) -> int:
            if name == "lock":
                (tree / ".pkigen/lock").touch(0o600)
            return super().open(name, flags, mode, dir_fd)

        def lstat(self, name: str, dir_fd: int) -> os.stat_result:
            return super().lstat(name, dir_fd)

    with pytest.raises(UnsafePathError, match="repeatedly created and removed"):
        Store.open_reading(tree, filesystem=Persistent(tree / ".pkigen/lock", "flock", "", times=99))
