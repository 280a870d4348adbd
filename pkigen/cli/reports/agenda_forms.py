"""How the next task looks, as text and as structure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pkigen.notation import timestamp

if TYPE_CHECKING:
    from pkigen.agenda.tasks import Outlook, Task


def agenda_text(task: Task | None, later: Outlook | None) -> str:
    """The task and its command on a line of its own; or that there is none, and until when."""
    if task is not None:
        return f"{task.sentence}\n\n  {task.command}"
    if later is None:
        return "nothing to do"
    return f"nothing to do until {later.time:%Y-%m-%d %H:%M} UTC: then {later.sentence}"


def agenda_content(
    task: Task | None, later: Outlook | None, *, cluster: str, withheld: tuple[str, ...]
) -> dict[str, Any]:
    """The structure of `-o json` (docs/output.md, Next)."""
    return {
        "apiVersion": "pkigen/v1",
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
