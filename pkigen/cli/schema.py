"""`pkigen schema`: the spec's JSON Schema, for editors."""

from __future__ import annotations

import json

import typer

from pkigen.cli.console import say
from pkigen.spec.model import ClusterSpec

app = typer.Typer(add_completion=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the spec, for completion and checks in editors."""
    content = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ClusterSpec.model_json_schema(by_alias=True),
        "title": "pkigen cluster spec",
    }
    say(json.dumps(content, indent=2))
