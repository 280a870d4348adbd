"""How the next task looks, as text and as structure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pkigen.cli.reports.lines import Line, Tone
from pkigen.cli.reports.version import API_VERSION
from pkigen.notation import timestamp

if TYPE_CHECKING:
    from pkigen.agenda.tasks import Outlook, Task


def agenda_lines(task: Task | None, later: Outlook | None) -> list[Line]:
    """The task and its command on a line of its own; or that there is none, and until when."""
    if task is not None:
        # Whole, and by itself on its line: it is made to be copied.
        return [Line(task.sentence), Line(""), Line(f"  {task.command}", Tone.TITLE, is_whole=True)]
    if later is None:
        return [Line("nothing to do", Tone.WELL)]
    return [Line(f"nothing to do until {later.time:%Y-%m-%d %H:%M} UTC: then {later.sentence}", Tone.WELL)]


def agenda_content(
    task: Task | None, later: Outlook | None, *, cluster: str, withheld: tuple[str, ...]
) -> dict[str, Any]:
    """The structure of `-o json` (docs/reference/output.md, Next)."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Next",
        "cluster": cluster,
        "task": None
        if task is None
        else {
            "kind": str(task.kind),
            "sentence": task.sentence,
            "command": task.command,
            "nodes": list(task.nodes),
        },
        "event": None if later is None else {"time": timestamp(later.time), "sentence": later.sentence},
        "withheld": list(withheld),
    }
