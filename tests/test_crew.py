"""Processes that share work: in order, without those that die, and none is left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from pkigen.crew import DeadWorkerError, Hands, crew

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = 12
T = TypeVar("T")


def died(number: int, error: DeadWorkerError) -> str:
    return f"{number}: {error.message}"


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_results_come_in_the_order_of_the_numbers(jobs: int) -> None:
    """Those that are ready too early wait: the first takes longest."""

    def work(number: int) -> str:
        time.sleep(0.02 * (number == 0))
        return str(number)

    assert done(work, jobs) == [str(number) for number in range(COUNT)]


def test_they_are_processes_of_their_own() -> None:
    one, several = (set(done(lambda _: os.getpid(), jobs)) for jobs in (1, 3))
    assert one == {os.getpid()}
    assert several.isdisjoint({os.getpid(), 0})


def test_who_dies_costs_one_result() -> None:
    """Whatever kills it, another process takes its place, and the other numbers are done."""
    killed = {3, 4, 9}

    def work(number: int) -> str:
        if number in killed:
            os.kill(os.getpid(), signal.SIGKILL)
        return str(number)

    with crew(work, 2) as hands:
        found = list(hands.results(COUNT, died=died))
    assert [number for number, result in enumerate(found) if result != str(number)] == sorted(killed)
    assert found[3] == "3: the process that worked on it has died"


def test_who_stops_asking_leaves_no_process(tmp_path: Path) -> None:
    def work(number: int) -> int:
        (tmp_path / str(os.getpid())).touch()
        time.sleep(0.01)
        return number

    with crew(work, 2) as hands:
        assert next(hands.results(COUNT)) == 0
    workers = [int(each.name) for each in tmp_path.iterdir()]
    assert workers
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def test_who_dies_is_an_error_where_nothing_stands_for_its_result() -> None:
    before = children()
    with (
        pytest.raises(DeadWorkerError),
        crew(lambda number: os.kill(os.getpid(), signal.SIGKILL) if number == 5 else number, 2) as hands,
    ):
        list(hands.results(COUNT))
    assert children() == before


def interrupting() -> None:
    """What a person does, once; then this process waits to be ended."""
    os.kill(os.getppid(), signal.SIGINT)
    signal.pause()


@pytest.mark.parametrize("tidies", [False, True])
def test_an_interrupt_ends_all(*, tidies: bool) -> None:
    """While they are in the middle of their work, which would never end."""

    def work(number: int) -> None:
        interrupting() if number == 2 else signal.pause()

    before = children()
    with pytest.raises(KeyboardInterrupt), crew(work, 3, tidies=tidies) as hands:
        list(hands.results(COUNT))
    assert children() == before


def test_who_tidies_puts_its_work_in_order_first(tmp_path: Path) -> None:
    """Told to end, it runs what the program runs then; who does not is gone at once."""

    def work(number: int) -> None:
        try:
            (tmp_path / str(number)).touch()
            while len(list(tmp_path.iterdir())) < 2:
                time.sleep(0.01)
            interrupting() if number else signal.pause()
        finally:
            (tmp_path / f"tidied-{number}").touch()

    def end(_signal: int, _frame: object) -> None:
        raise SystemExit(1)

    before = signal.signal(signal.SIGTERM, end)
    try:
        for tidies in (False, True):
            with pytest.raises(KeyboardInterrupt), crew(work, 2, tidies=tidies) as hands:
                list(hands.results(2))
            found = {each.name for each in tmp_path.iterdir()}
            assert found == ({"0", "1", "tidied-0", "tidied-1"} if tidies else {"0", "1"})
            for each in tmp_path.iterdir():
                each.unlink()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_where_no_process_can_be_made_this_one_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError("resource temporarily unavailable")

    opened = descriptors()
    monkeypatch.setattr(os, "fork", fork)
    assert set(done(lambda _: os.getpid(), 3)) == {os.getpid()}
    assert descriptors() == opened


def test_results_larger_than_a_pipe_come_whole() -> None:
    assert done(lambda number: bytes([number]) * (1 << 20), 2) == [
        bytes([number]) * (1 << 20) for number in range(COUNT)
    ]


def test_they_hold_no_end_of_another_ones_pipe() -> None:
    """Otherwise one that outlives this process would keep the others alive, too."""

    with crew(lambda _: pipes(), 4) as hands:
        found = list(hands.results(COUNT))
        ours = pipes()
    mine = [each - pipes() for each in found]
    assert all(len(each) == 2 for each in mine)
    assert set().union(*mine) <= ours


# -- who may fork -------------------------------------------------------------------------------------


def test_few_objects_and_one_core_need_no_process() -> None:
    hands = Hands(most=4, least_objects=100)
    assert hands.for_objects(100) == 4
    assert hands.for_objects(99) == 0
    assert Hands(most=1, least_objects=0).for_objects(100) == 0


def test_as_many_as_there_are_cores_for_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5, 7})
    assert Hands(least_objects=1).for_objects(1) == 3


def test_who_shares_the_cores_already_makes_no_process() -> None:
    hands = Hands(most=4, least_objects=1)
    assert done(lambda _: hands.for_objects(100), 2) == [0] * COUNT
    assert done(lambda _: hands.for_objects(100), 1) == [4] * COUNT


def test_a_process_with_threads_does_not_fork() -> None:
    hands, over = Hands(most=4, least_objects=1), threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        assert hands.for_objects(100) == 0
    finally:
        over.set()
        thread.join()
    assert hands.for_objects(100) == 4


def done(work: Callable[[int], T], jobs: int) -> list[T]:
    """All results."""
    with crew(work, jobs) as hands:
        return list(hands.results(COUNT))


def descriptors() -> set[str]:
    return {each.name for each in Path("/proc/self/fd").iterdir() if os.path.lexists(each)}


def pipes() -> set[str]:
    """What they are that are open."""
    links = (str(Path(f"/proc/self/fd/{each}").readlink()) for each in descriptors())
    return {each for each in links if each.startswith("pipe:")}


def children() -> list[int]:
    """The processes whose parent is this one, zombies included."""
    return [int(text) for text in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split() if text]
