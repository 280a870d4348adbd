"""How far long work is: a bar where a person looks at a terminal, silence elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from pkigen.reconcile.make import Progress

_WORTH_A_BAR = 60


class Silence:
    """Says nothing."""

    def begin(self, what: str, total: int) -> None:
        """Nothing to say."""

    def step(self) -> None:
        """Nothing to say."""


class Bars:
    """One bar per piece of work, for work that takes long enough to be watched."""

    def __init__(self) -> None:
        self._bars: RichProgress | None = None
        self._task: TaskID | None = None

    def begin(self, what: str, total: int) -> None:
        """Show a bar, unless the work is over at once."""
        self._end()
        if total < _WORTH_A_BAR:
            return
        from rich.console import Console  # noqa: PLC0415 -- only terminals pay for it
        from rich.progress import Progress  # noqa: PLC0415

        self._bars = Progress(console=Console(stderr=True), transient=True)
        self._bars.start()
        self._task = self._bars.add_task(what, total=total)

    def step(self) -> None:
        """Move the bar on; it disappears when the work is complete."""
        if self._bars is None or self._task is None:
            return
        self._bars.advance(self._task)
        if self._bars.finished:
            self._end()

    def _end(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def progress() -> Progress:
    """Bars on a terminal, silence otherwise."""
    return Bars() if sys.stderr.isatty() else Silence()
