"""`pkigen schema`: the JSON Schemas of what pkigen reads and prints."""

from __future__ import annotations

import enum
import json
from typing import Annotated

import typer

from pkigen.cli.console import say
from pkigen.spec.json_schema import json_schema

app = typer.Typer(add_completion=False)


class SchemaSubject(enum.StrEnum):
    """What has a schema."""

    SPEC = "spec"
    PLAN = "plan"


@app.command()
def schema(
    what: Annotated[
        SchemaSubject, typer.Argument(metavar="spec|plan", help="The spec, or a plan as `-o json` prints it.")
    ] = SchemaSubject.SPEC,
) -> None:
    """Print the JSON Schema of the spec, for completion and checks in editors, or that of a plan."""
    if what is SchemaSubject.PLAN:
        from pkigen.cli.reports.plan_document import plan_schema  # noqa: PLC0415 -- far more is read for it

        say(json.dumps(plan_schema(), indent=2))
    else:
        say(json.dumps(json_schema(), indent=2))
