from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from pkigen.fleet.crew import DeadWorkerError, each_done

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 12


def died(number: int, error: DeadWorkerError) -> str:
    return f"{number}: {error.message}"


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_results_come_in_the_order_of_the_numbers(jobs: int) -> None:
    """Those that are ready too early wait: the first takes longest."""

    def work(number: int) -> str:
        time.sleep(0.02 * (number == 0))
        return str(number)

    found = each_done(work, COUNT, jobs=jobs, died=died)
    assert list(found) == [str(number) for number in range(COUNT)]


def test_they_are_processes_of_their_own() -> None:
    one, several = (
        set(each_done(lambda _: os.getpid(), COUNT, jobs=jobs, died=lambda *_: 0)) for jobs in (1, 3)
    )
    assert one == {os.getpid()}
    assert several.isdisjoint({os.getpid(), 0})


def test_who_dies_costs_one_result() -> None:
    """Whatever kills it, another process takes its place, and the other numbers are done."""
    killed = {3, 4, 9}

    def work(number: int) -> str:
        if number in killed:
            os.kill(os.getpid(), signal.SIGKILL)
        return str(number)

    found = list(each_done(work, COUNT, jobs=2, died=died))
    assert [number for number, result in enumerate(found) if result != str(number)] == sorted(killed)
    assert found[3] == "3: the process that worked on it has died"


def test_who_stops_asking_leaves_no_process(tmp_path: Path) -> None:
    def work(number: int) -> int:
        (tmp_path / str(os.getpid())).touch()
        time.sleep(0.01)
        return number

    results = each_done(work, COUNT, jobs=2, died=lambda number, _: number)
    assert next(results) == 0
    results.close()
    workers = [int(each.name) for each in tmp_path.iterdir()]
    assert workers
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
