"""What progress looks like on a terminal; imported where a bar is drawn, as Rich takes its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.text import Text

from pkigen.cli.console import knows_unicode

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from rich.progress import Task

# Of the 256 fixed colours, as everywhere (`console`).
_DONE, _TO_DO = "color(28)", "color(243)"


class AsciiConsole(Console):
    """For terminals that show nothing but ASCII."""

    @property
    def encoding(self) -> str:
        """What bars are made of."""
        return "ascii"


class PaceColumn(ProgressColumn):
    """How fast it goes, and how long it will take."""

    def __init__(self, pace: Callable[[], str]) -> None:
        super().__init__()
        self._pace = pace

    def render(self, task: Task) -> Text:  # noqa: ARG002 -- the work knows its own time
        """The text of the moment."""
        return Text(self._pace())


def bar(
    what: str, total: int, done: int, *, pace: Callable[[], str], coloured: bool, file: TextIO
) -> Progress:
    """A bar that goes away when it is stopped, with the cursor back."""
    drawn = Progress(
        TextColumn("{task.description}"),
        BarColumn(style=_TO_DO, complete_style=_DONE, finished_style=_DONE),
        TextColumn("{task.completed}/{task.total}"),
        PaceColumn(pace),
        console=(Console if knows_unicode() else AsciiConsole)(file=file, no_color=not coloured),
        transient=True,
    )
    drawn.add_task(what, total=total, completed=done)
    return drawn
