"""The same work for every cluster of a fleet: on all cores, and what fails at one stops no other."""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from pkigen.cli.console import flush
from pkigen.cli.progress import progress
from pkigen.crew import cores, crew
from pkigen.errors import PkigenError, Problem, SpecError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pkigen.fleet.sites import Site

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why nothing was done at one cluster."""

    message: str
    hint: str = ""
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteVisit(Generic[T]):
    """What came of the work at one cluster, and what was said beside it."""

    site: Site
    found: T | None = None
    failure: Failure | None = None
    notes: tuple[str, ...] = ()


def visits(
    sites: Sequence[Site], work: Callable[[Site], T], *, jobs: int | None, what: str
) -> Iterator[SiteVisit[T]]:
    """Work at every site, and give what came of it in their order.

    Args:
        sites: The sites.
        work: What is done at one; what it gives back goes through a pipe.
        jobs: How many at once; None for as many as there are cores.
        what: What is done, for the bar.
    """
    flush()  # before processes are made that have a copy of what is not written yet
    # A process for which there is no site would be forked for nothing.
    size = min(cores() if jobs is None else jobs, len(sites))
    # In this order: showing progress may start a thread, and a process with threads should not fork.
    with (
        crew(lambda number: _Came.of(partial(work, sites[number])), size, tidies=True) as hands,
        progress().over(what, len(sites)) as step,
    ):
        found = hands.results(len(sites), died=lambda _, error: _Came(failure=failure_of(error)))
        for site, came in zip(sites, found, strict=True):
            step()
            yield SiteVisit(site=site, found=came.found, failure=came.failure, notes=came.notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Came(Generic[T]):
    """What goes through the pipe: the site is known on the other side."""

    found: T | None = None
    failure: Failure | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, work: Callable[[], T]) -> _Came[T]:
        """Do the work; whatever it says to a person is kept, and whatever it raises is told, not raised."""
        said = io.StringIO()
        found, failure = None, None
        try:
            # Of several processes at one terminal the lines would mix; here they come back with their
            # cluster.
            with redirect_stderr(said), redirect_stdout(said):
                found = work()
        except Exception as problem:  # noqa: BLE001 -- words, never locals; the other clusters go on
            failure = failure_of(problem)
        return cls(found=found, failure=failure, notes=tuple(said.getvalue().splitlines()))


def failure_of(problem: Exception) -> Failure:
    """Why one cluster failed, in words."""
    match problem:
        case SpecError():
            return Failure(message=problem.message, hint=problem.hint, problems=problem.problems)
        case PkigenError():
            return Failure(message=problem.message, hint=problem.hint)
        case OSError():
            reason = (problem.strerror or "input/output error").lower()
            place = f"{problem.filename}: " if problem.filename else "the operating system refuses: "
            return Failure(message=f"{place}{reason}")
    logger.debug("internal error", exc_info=problem)
    return Failure(
        message=f"internal error: {type(problem).__name__}",
        hint="this is a bug: run the command for this cluster alone with --debug, and report the traceback",
    )
