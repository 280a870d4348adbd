"""Processes that work on the clusters of a fleet, one cluster at a time each, so that all cores work.

They are forked when everything is read that they share: what opens an authority goes to them so and no other
way. What comes back over a pipe is what was found out, never a key.
"""

from __future__ import annotations

import multiprocessing
import os
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Generic, TypeVar

from pkigen.errors import PkigenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.process import BaseProcess

T = TypeVar("T")
_PATIENCE = 60
"""Seconds that a process gets to put its cluster in order, once it was told to end."""


class DeadWorkerError(PkigenError):
    """A process ended while it worked on a cluster."""

    def __init__(self) -> None:
        super().__init__(
            "the process that worked on it has died",
            hint="run the command again: it finishes or undoes what that was at, and does what is left",
        )


def cores() -> int:
    """How many processes can work at once: as many as there are cores for this one."""
    return len(os.sched_getaffinity(0))


def each_done(
    work: Callable[[int], T], count: int, *, jobs: int, died: Callable[[int, DeadWorkerError], T]
) -> Iterator[T]:
    """Do the work for every number below `count`, and give the results in their order.

    Args:
        work: Does it for one; it raises nothing but what ends the whole run.
        count: How many there are.
        jobs: How many at once; with one, no process is made.
        died: What stands for the result of a process that has died.
    """
    if min(jobs, count) <= 1:
        yield from map(work, range(count))
        return
    with _crew(work, min(jobs, count)) as crew:
        yield from crew.results(count, died)


@contextmanager
def _crew(work: Callable[[int], T], size: int) -> Iterator[_Crew[T]]:
    crew = _Crew(work, size)
    try:
        crew.start()
        yield crew
    finally:
        crew.end()


class _Crew(Generic[T]):
    """The processes, each with a pipe of its own over which it gets numbers and answers with results."""

    def __init__(self, work: Callable[[int], T], size: int) -> None:
        self._work = work
        self._size = size
        self._busy: dict[Connection, tuple[BaseProcess, int | None]] = {}

    def start(self) -> None:
        """Make all of them."""
        for _ in range(self._size):
            self._hire()

    def _hire(self) -> Connection:
        forking = multiprocessing.get_context("fork")
        ours, theirs = forking.Pipe()
        # A process that keeps the other ends of the pipes open would not notice that this one has died.
        process = forking.Process(target=_serve, args=(theirs, self._work, (*self._busy, ours)), daemon=True)
        process.start()
        theirs.close()
        self._busy[ours] = (process, None)
        return ours

    def results(self, count: int, died: Callable[[int, DeadWorkerError], T]) -> Iterator[T]:
        """All results in the order of their numbers; those that come too early wait, a few at most."""
        early: dict[int, T] = {}
        following, due = 0, 0
        while due < count:
            for pipe, (_, number) in list(self._busy.items()):
                # Not far ahead of what is due: results that wait take memory.
                if number is None and following < min(count, due + 8 * self._size):
                    self._give(pipe, following)
                    following += 1
            early.update(self._finished(died))
            while due in early:
                yield early.pop(due)
                due += 1

    def _give(self, pipe: Connection, number: int) -> None:
        process, _ = self._busy[pipe]
        self._busy[pipe] = (process, number)
        with suppress(BrokenPipeError):  # that it has died shows when its result is waited for
            pipe.send(number)

    def _finished(self, died: Callable[[int, DeadWorkerError], T]) -> Iterator[tuple[int, T]]:
        """Wait until one is ready."""
        working = {
            pipe: (process, number) for pipe, (process, number) in self._busy.items() if number is not None
        }
        ready = set(wait(working))
        for pipe, (process, number) in working.items():
            if pipe not in ready:
                continue
            try:
                result: T = pipe.recv()
            except (EOFError, ConnectionResetError):
                del self._busy[pipe]
                pipe.close()
                process.join()
                self._hire()
                yield number, died(number, DeadWorkerError())
                continue
            self._busy[pipe] = (process, None)
            yield number, result

    def end(self) -> None:
        """Let them end; who still works is told so, and undoes or finishes what it was at."""
        for pipe, (process, number) in self._busy.items():
            pipe.close()
            if number is not None:
                process.terminate()
        for process, _ in self._busy.values():
            process.join(_PATIENCE)
        self._busy.clear()


def _serve(
    pipe: Connection, work: Callable[[int], T], others: tuple[Connection, ...]
) -> None:  # pragma: no cover -- in a process of its own
    """One process' life: a number in, a result out, until nobody asks any more."""
    for each in others:
        each.close()
    # An interrupt ends it as it ends the program: what it was at is undone on the way out.
    with suppress(EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        while True:
            pipe.send(work(pipe.recv()))
