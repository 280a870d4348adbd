"""`pkigen schema`: the spec's JSON Schema, for editors."""

from __future__ import annotations

import json

import typer

from pkigen.cli.console import say
from pkigen.spec.json_schema import json_schema

app = typer.Typer(add_completion=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the spec, for completion and checks in editors."""
    say(json.dumps(json_schema(), indent=2))
