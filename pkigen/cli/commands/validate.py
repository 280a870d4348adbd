"""`pkigen validate`: say everything that is wrong with a spec."""

from __future__ import annotations

import typer

from pkigen.cli.console import say_line, warn
from pkigen.cli.options import SpecArgument
from pkigen.cli.spec_input import read_spec
from pkigen.desired.inventory import derive

app = typer.Typer(add_completion=False)


@app.command()
def validate(spec: SpecArgument) -> None:
    """Check a spec, and report all of its problems at once."""
    loaded = read_spec(spec)
    warn(loaded.warnings)
    inventory = derive(loaded.spec)
    cluster = loaded.spec
    nodes, certificates = len(cluster.spec.nodes), len(inventory.certificates)
    say_line(
        f"{spec} is valid: cluster {cluster.name}, Kubernetes {cluster.spec.kubernetes_version}, "
        f"{nodes} node{'s' if nodes != 1 else ''}, {certificates} certificates"
    )
