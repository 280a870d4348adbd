"""`pkigen validate`: say everything that is wrong with a spec."""

from __future__ import annotations

import enum
import json
from typing import Annotated

import typer

from pkigen.cli.console import say, say_line, warn
from pkigen.cli.document import document
from pkigen.cli.options import Format, FormatOption, SpecArgument
from pkigen.errors import SpecError

app = typer.Typer(add_completion=False)


class SchemaSubject(enum.StrEnum):
    """What has a JSON Schema."""

    SPEC = "spec"
    PLAN = "plan"
    ROLLOUT = "rollout"


def _say_schema(subject: SchemaSubject | None) -> None:
    """Print a schema and end, whatever else stands on the command line."""
    if subject is None:
        return
    if subject is SchemaSubject.PLAN:
        from pkigen.cli.reports.plan_document import plan_schema  # noqa: PLC0415 -- far more is read for it

        content = plan_schema()
    elif subject is SchemaSubject.ROLLOUT:
        from pkigen.cli.reports.rollout_document import rollout_schema  # noqa: PLC0415 -- likewise

        content = rollout_schema()
    else:
        from pkigen.spec.json_schema import json_schema  # noqa: PLC0415 -- a validation does not need it

        content = json_schema()
    say(json.dumps(content, indent=2))
    raise typer.Exit


@app.command()
def validate(
    spec: SpecArgument,
    *,
    schema: Annotated[  # noqa: ARG001 -- handled by its callback
        SchemaSubject | None,
        typer.Option(
            "--schema",
            help="Print the JSON Schema of the spec, for completion and checks in editors, or that of a plan "
            "or of the steps of a rollout, as `-o json` prints them; validate nothing.",
            callback=_say_schema,
            is_eager=True,
        ),
    ] = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Check a spec, and report all of its problems at once."""
    from pkigen.cli.reports import outcomes  # noqa: PLC0415 -- the same
    from pkigen.cli.spec_input import read_spec  # noqa: PLC0415 -- a schema needs none of it
    from pkigen.desired.inventory import derive  # noqa: PLC0415 -- the same

    try:
        loaded = read_spec(spec)
    except SpecError as error:
        with document(output) as content:
            content.update(outcomes.invalid(str(spec), error.problems))
        raise
    warn(loaded.warnings)
    inventory = derive(loaded.spec)
    cluster = loaded.spec
    nodes, certificates = len(cluster.spec.nodes), len(inventory.certificates)
    with document(output) as content:
        say_line(
            f"{spec} is valid: cluster {cluster.name}, Kubernetes {cluster.spec.kubernetes_version}, "
            f"{nodes} node{'s' if nodes != 1 else ''}, {certificates} certificates"
        )
        content.update(outcomes.validated(str(spec), inventory, loaded.warnings))
