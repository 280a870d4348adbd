"""A plan on the screen, in the form that was asked for."""

from __future__ import annotations

from typing import Any

from pkigen.cli.console import say, say_lines
from pkigen.cli.options import PlanFormat
from pkigen.cli.reports import structured
from pkigen.cli.reports.lines import Line
from pkigen.cli.reports.plan_document import PlanDocument
from pkigen.cli.reports.plan_lines import offline_text, plan_lines
from pkigen.cli.reports.plan_markdown import plan_markdown


def show_plan(content: dict[str, Any], output: PlanFormat, *, full: bool = False) -> None:
    """Show the plan that a structure holds."""
    match output:
        case PlanFormat.TEXT:
            document = PlanDocument.of(content)
            say_lines((*plan_lines(document, full=full), *map(Line, offline_text(document))))
        case PlanFormat.MARKDOWN:
            say(plan_markdown(PlanDocument.of(content), full=full))
        case _:
            say(structured.dump(content, output))
