"""A result that is shown again and again on a terminal, until somebody has seen enough."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pkigen.cli.console import moves_cursor, redraw
from pkigen.cli.problems import TerminatedError
from pkigen.cli.reports.lines import Line, Tone
from pkigen.errors import PkigenError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pkigen.cli.system import System

SECONDS = 2
"""Between two looks."""


def require_terminal() -> None:
    """Refuse to watch where nothing can be drawn over.

    Raises:
        UsageError: Standard output is no terminal, or one that cannot move its cursor.
    """
    if not moves_cursor(sys.stdout):
        raise UsageError(
            "--watch draws on a terminal, and standard output is none",
            hint="leave it out and run the command again when you need it; timers are in examples/systemd",
        )


def watch(look: Callable[[], list[Line]], system: System) -> None:
    """Draw what `look` gives until Ctrl-C, which ends the command as something that is done.

    Raises:
        PkigenError: The first look fails. Later ones are shown: somebody may be changing the directory.
    """
    lines = look()
    try:
        while True:
            redraw([*_heading(system), *lines])
            system.sleep(SECONDS)
            try:
                lines = look()
            except PkigenError as error:
                lines = list(_told(error))
    except KeyboardInterrupt as end:
        # SIGTERM is no wish to stop looking: whoever sent it waits for its exit code.
        if isinstance(end, TerminatedError):
            raise


def _heading(system: System) -> Iterator[Line]:
    yield Line(f"{system.clock():%Y-%m-%d %H:%M:%S} UTC, again every {SECONDS} s, until Ctrl-C", Tone.QUIET)
    yield Line("")


def _told(error: PkigenError) -> Iterator[Line]:
    yield Line(f"this look failed: {error.message}", Tone.RISK)
    if error.hint:
        yield Line(error.hint, Tone.HINT)
