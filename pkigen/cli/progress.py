"""How far long work is: a bar where a person looks at a terminal, silence elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pkigen.cli.console import is_coloured
from pkigen.reconcile.progress import SILENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress as Bar

    from pkigen.reconcile.progress import Progress

# Seconds; what is over before is not worth a bar.
_PATIENCE = 1.0
# Up to this many of a unit, it is said in that unit.
_MOST = 90


class Bars:
    """One bar per piece of work, for work that takes long enough to be watched."""

    def __init__(self, *, after: float) -> None:
        self._after = after

    @contextmanager
    def over(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """Show a bar, unless the work is over at once.

        The bar goes away and the cursor comes back whichever way the work ends: done, failed, interrupted.
        """
        work = _Work(what, total)
        # A timer, for a single step may take seconds: a large RSA key, a slow disk.
        timer = threading.Timer(self._after, work.show)
        # A daemon, for an exception between here and the `try` must not keep the process from ending.
        timer.daemon = True
        timer.start()
        try:
            yield work.step
        finally:
            # It may be drawing just now.
            timer.cancel()
            timer.join()
            work.close()


class _Work:
    """A piece of work, how far it is, and its bar once that is shown."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._begun = time.monotonic()
        self._bar: Bar | None = None

    def step(self) -> None:
        """One step is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done)

    def show(self) -> None:
        """Draw the bar from now on."""
        from pkigen.cli.bars import bar  # noqa: PLC0415 -- only who waits pays for it

        self._bar = bar(
            self._what,
            self._total,
            self._done,
            pace=lambda: pace(self._done, self._total, time.monotonic() - self._begun),
            coloured=is_coloured(sys.stderr),
            file=sys.stderr,
        )
        self._bar.start()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


def pace(done: int, total: int, seconds: float) -> str:
    """How fast a piece of work goes and how long the rest takes at that rate; empty before the first step."""
    if not done or seconds <= 0:
        return ""
    rate, each = done / seconds, seconds / done
    speed = f"{rate:.0f}/s" if rate >= 1 else f"{each:.0f} s each"
    return f"{speed}, {_roughly((total - done) * each)} left"


def _roughly(seconds: float) -> str:
    """A time in its largest unit that says enough."""
    if seconds <= _MOST:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes <= _MOST else f"{minutes / 60:.0f} h"


def progress() -> Progress:
    """Bars on a terminal, silence otherwise."""
    return Bars(after=_PATIENCE) if sys.stderr.isatty() else SILENCE
