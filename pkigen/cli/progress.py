"""How far long work is: a bar where a person looks at a terminal, silence elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from pkigen.cli.console import is_coloured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pkigen.reconcile.make import Progress

# Objects; fewer are done before a bar is drawn.
_WORTH_A_BAR = 60


class Silence:
    """Says nothing."""

    @contextmanager
    def over(self, what: str, total: int) -> Iterator[Callable[[], None]]:  # noqa: ARG002 -- as Bars
        """Nothing to say."""
        yield _nothing


class Bars:
    """One bar per piece of work, for work that takes long enough to be watched."""

    @contextmanager
    def over(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """Show a bar, unless the work is over at once.

        The bar goes away and the cursor comes back whichever way the work ends: done, failed, interrupted.
        """
        if total < _WORTH_A_BAR:
            yield _nothing
            return
        from rich.console import Console  # noqa: PLC0415 -- only terminals pay for it
        from rich.progress import Progress  # noqa: PLC0415

        with Progress(
            console=Console(stderr=True, no_color=not is_coloured(sys.stderr)), transient=True
        ) as bars:
            yield partial(bars.advance, bars.add_task(what, total=total))


def _nothing() -> None:
    """Take a step that nobody watches."""


def progress() -> Progress:
    """Bars on a terminal, silence otherwise."""
    return Bars() if sys.stderr.isatty() else Silence()
