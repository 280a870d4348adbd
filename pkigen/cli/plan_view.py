"""A plan on the screen, in the form that was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pkigen.cli.console import note, say, say_lines
from pkigen.cli.options import PlanFormat
from pkigen.cli.reports import structured
from pkigen.cli.reports.lines import Line
from pkigen.cli.reports.plan_document import PlanDocument
from pkigen.cli.reports.plan_lines import offline_text, plan_lines
from pkigen.cli.reports.plan_markdown import plan_markdown
from pkigen.notation import quoted


def show_plan(content: dict[str, Any], output: PlanFormat, *, full: bool = False, root: str = "") -> None:
    """Show the plan that a structure holds; `root` leads to the PKI directory."""
    match output:
        case PlanFormat.TEXT:
            document = PlanDocument.of(content)
            say_lines((*plan_lines(document, full=full, root=root), *map(Line, offline_text(document, root))))
        case PlanFormat.MARKDOWN:
            say(plan_markdown(PlanDocument.of(content), full=full))
        case _:
            say(structured.dump(content, output))


def save_plan(content: dict[str, Any], file: Path, words: str) -> None:
    """Write a plan for review, and say how exactly that is applied to the cluster that these words name."""
    from pkigen.cli.outputs import write_text  # noqa: PLC0415 -- most plans are only looked at

    write_text(file, structured.dump(content, "json") + "\n")
    note(f"saved: apply exactly this plan with `pkigen apply {quoted(file)} {words}`")
