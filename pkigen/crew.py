"""Forked processes that share a piece of work, so that all cores work; the results come in order.

They are forked when everything is read that they share. What comes back over a pipe is what was found out,
never a key.
"""

from __future__ import annotations

import os
import pickle
import select
import traceback
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from pkigen.errors import PkigenError
from pkigen.records import dataclass
from pkigen.worker import Worker, may_fork, send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")
X = TypeVar("X")
_AHEAD = 8
"""How many results for each process may wait for their turn: they take memory."""
_NUMBER_OCTETS = 4


class DeadWorkerError(PkigenError):
    """A process ended while it was at work."""

    def __init__(self) -> None:
        super().__init__(
            "the process that worked on it has died",
            hint="run the command again: it finishes or undoes what that was at, and does what is left",
        )


def cores() -> int:
    """How many processes can work at once: as many as there are cores for this one."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """How many processes share the objects of one cluster, and from how many objects on that pays.

    Args:
        most: How many processes; None for as many as there are cores.
        least_objects: With fewer objects, no process is made.
        chunk: How many objects one process takes at a time, at least.
    """

    most: int | None = None
    least_objects: int = 2000
    chunk: int = 128

    def for_objects(self, count: int) -> int:
        """How many processes are made for so many objects; 0 where this one does it alone."""
        most = cores() if self.most is None else self.most
        return most if most > 1 and count >= self.least_objects and may_fork() else 0


ALL_HANDS = Hands()


@contextmanager
def crew(work: Callable[[int], T], size: int, *, tidies: bool = False) -> Iterator[Crew[T]]:
    """Make processes that do some work, and end them with the block.

    Args:
        work: Does it for one number; what it gives is pickled, and it raises nothing but what ends the run.
        size: How many processes; with one or none, this process works by itself.
        tidies: Whether they have something to put in order when they are told to end.
    """
    found = Crew(work, tidies=tidies)
    try:
        found.hire(size if size > 1 else 0)
        yield found
    finally:
        found.end()


@contextmanager
def shared(work: Callable[[X], T], parts: Sequence[Sequence[X]], size: int) -> Iterator[Iterator[T] | None]:
    """Have processes work at every item of some parts, a part at a time; the results come one by one.

    They come in the order of the items, and what is raised for an item is raised where its turn is. None
    comes instead of them where there are no processes: then the caller does it, with what it has itself.

    Args:
        work: Does it for one item, with a copy of what there is now; what it gives is pickled.
        parts: The items.
        size: How many processes.
    """
    with crew(partial(_of_part, work, parts), size) as processes:
        yield _one_by_one(processes.results(len(parts))) if processes.are_there else None


def _of_part(
    work: Callable[[X], T], parts: Sequence[Sequence[X]], number: int
) -> tuple[list[T], Exception | None]:
    """The results of one part, up to the item that failed, and why it did."""
    found: list[T] = []
    try:
        for item in parts[number]:
            found.append(work(item))  # noqa: PERF401 -- what comes before an error counts
    except Exception as error:  # noqa: BLE001 -- raised again on the other side
        return found, _portable(error)
    return found, None


def _one_by_one(parts: Iterable[tuple[list[T], Exception | None]]) -> Iterator[T]:
    for found, error in parts:
        yield from found
        if error is not None:
            raise error


class Crew(Generic[T]):
    """The processes, each with pipes of its own over which it gets numbers and answers with results."""

    def __init__(self, work: Callable[[int], T], *, tidies: bool) -> None:
        self._work = work
        self._tidies = tidies
        self._members: list[_CrewMember] = []

    def hire(self, size: int) -> None:
        """Make so many; where the system gives fewer, fewer have to do."""
        with suppress(BlockingIOError):
            for _ in range(size):
                self._members.append(self._hired())

    @property
    def are_there(self) -> bool:
        """Whether there are processes."""
        return bool(self._members)

    def _hired(self) -> _CrewMember:
        return _CrewMember(partial(_serve, self._work), self._members, tidies=self._tidies)

    def results(self, count: int, died: Callable[[int, DeadWorkerError], T] | None = None) -> Iterator[T]:
        """All results in the order of their numbers; those that come too early wait, a few at most.

        Args:
            count: The work is done for every number below.
            died: What stands for the result of a process that has died; another one takes its place.

        Raises:
            DeadWorkerError: A process has died, and nothing stands for its result.
        """
        if not self._members:
            yield from map(self._work, range(count))
            return
        early: dict[int, T] = {}
        following, due = 0, 0
        while due < count:
            for member in self._members:
                if member.number is None and following < min(count, due + _AHEAD * len(self._members)):
                    member.give(following)
                    following += 1
            early.update(self._finished(died))
            while due in early:
                yield early.pop(due)
                due += 1

    def _finished(self, died: Callable[[int, DeadWorkerError], T] | None) -> Iterator[tuple[int, T]]:
        """Wait until one is ready."""
        working = {each: each.number for each in self._members if each.number is not None}
        for member in select.select(list(working), [], [])[0]:
            number, member.number = working[member], None
            try:
                result: T = pickle.loads(member.worker.answer())  # noqa: S301 -- of a copy of this process
            except EOFError:
                if died is None:
                    raise DeadWorkerError from None
                self._members.remove(member)
                member.dismiss()
                member.worker.end()
                self._members.append(self._hired())
                yield number, died(number, DeadWorkerError())
                continue
            yield number, result

    def end(self) -> None:
        """Let them end; who tidies and still works is told so, and undoes or finishes what it was at."""
        for member in self._members:
            member.dismiss()
        for member in self._members:
            member.worker.end()
        self._members.clear()


class _CrewMember:
    """One process, and the number that it works on."""

    def __init__(
        self, life: Callable[[int, int], object], others: Iterable[_CrewMember], *, tidies: bool
    ) -> None:
        self.number: int | None = None
        self._tidies = tidies
        taking, self.giving = os.pipe()
        # One that keeps the other ends of the pipes open would not notice that this process has died.
        closes = (self.giving, *(fd for each in others for fd in (each.fileno(), each.giving)))
        try:
            self.worker = Worker(partial(life, taking), closes=closes, tidies=tidies)
        except BaseException:
            os.close(self.giving)
            raise
        finally:
            os.close(taking)

    def fileno(self) -> int:
        """For `select`: where it answers."""
        return self.worker.fileno()

    def give(self, number: int) -> None:
        """Have it work on a number."""
        self.number = number
        with suppress(BrokenPipeError):  # that it has died shows when its result is waited for
            os.write(self.giving, number.to_bytes(_NUMBER_OCTETS, "big"))

    def dismiss(self) -> None:
        """Ask it nothing more."""
        os.close(self.giving)
        if self._tidies and self.number is not None:
            self.worker.warn()


def _serve(
    work: Callable[[int], object], taking: int, pipe: int
) -> None:  # pragma: no cover -- in a process of its own
    """One process' life: a number in, a result out, until nobody asks any more."""
    # An interrupt ends it as it ends the program: what it was at is undone on the way out.
    with suppress(BrokenPipeError, KeyboardInterrupt):
        while number := os.read(taking, _NUMBER_OCTETS):
            send(pipe, pickle.dumps(work(int.from_bytes(number, "big")), pickle.HIGHEST_PROTOCOL))


def _portable(error: Exception) -> Exception:
    """An error for a pipe: one that does not travel is told of by one that does.

    Where it was raised is not known on the other side, and of use where it is a fault of the program's.
    """
    if not isinstance(error, PkigenError):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own
    except Exception:  # noqa: BLE001 -- whatever its class does
        return RuntimeError("".join(traceback.format_exception(error)))
    return error
