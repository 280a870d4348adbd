"""`pkigen validate`: say everything that is wrong with a spec."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.console import say, say_line, warn
from pkigen.cli.document import document
from pkigen.cli.options import Format, FormatOption

app = typer.Typer(add_completion=False)


class SchemaSubject(enum.StrEnum):
    """What has a JSON Schema."""

    SPEC = "spec"
    PLAN = "plan"
    ROLLOUT = "rollout"
    FLEET = "fleet"


def _say_schema(subject: SchemaSubject | None) -> None:
    """Print a schema and end, whatever else stands on the command line."""
    if subject is None:
        return
    if subject is SchemaSubject.PLAN:
        from pkigen.cli.reports.plan_document import plan_schema

        content = plan_schema()
    elif subject is SchemaSubject.ROLLOUT:
        from pkigen.cli.reports.rollout_document import rollout_schema

        content = rollout_schema()
    elif subject is SchemaSubject.FLEET:
        from pkigen.cli.fleet.documents import fleet_schema

        content = fleet_schema()
    else:
        from pkigen.spec.json_schema import json_schema

        content = json_schema()
    say(json.dumps(content, indent=2))
    raise typer.Exit


@app.command()
def validate(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="SPEC...",
            help="pkigen specs, kubeadm configurations, and fleets: their files, or directories with a spec "
            "for each cluster; - reads standard input.",
            allow_dash=True,
        ),
    ],
    *,
    schema: Annotated[  # noqa: ARG001 -- handled by its callback
        SchemaSubject | None,
        typer.Option(
            "--schema",
            help="Print the JSON Schema of the spec, for completion and checks in editors, or of what "
            "`-o json` prints: a plan, the steps of a rollout, the documents of fleets; validate nothing.",
            callback=_say_schema,
            is_eager=True,
        ),
    ] = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Check specs, and report all of their problems at once."""
    from pkigen.cli import validation

    found = validation.validations(files)
    with document(output) as content:
        for each in found:
            if each.sentence is not None:
                warn(each.warnings)
                say_line(each.sentence)
        content.update(validation.structure(found, single=len(files) == 1))
    # Behind the document, which `-o json` prints for invalid specs, too.
    validation.require_valid(found)
