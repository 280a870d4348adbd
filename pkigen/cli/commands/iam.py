"""`pkigen access iam`: users that AWS IAM vouches for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.console import note, say
from pkigen.cli.options import DirectoryOption, OwnSpecArgument
from pkigen.errors import UsageError

app = typer.Typer(add_completion=False)


@app.command()
def iam(
    context: typer.Context,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    current: Annotated[
        Path | None,
        typer.Option(
            "--current",
            metavar="FILE",
            help="The current ConfigMap, whose other mappings are kept; - reads standard input.",
            allow_dash=True,
        ),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Remove mappings that are not in the spec; those of nodes stay."),
    ] = False,
    only_config_map: Annotated[
        bool,
        typer.Option("--config-map", help="Leave the bindings out; `apply` writes them to addons/iam.yaml."),
    ] = False,
) -> None:
    """Render aws-auth and the bindings for users of AWS IAM."""
    from pkigen.access.iam import config_map
    from pkigen.cli.work.iam import described, given_up_mappings, known_mappings
    from pkigen.desired.items import DesiredFile, FileKind

    session = described(context, spec, directory)
    given_up = given_up_mappings(session, spec)
    if prune and current is None:
        raise UsageError("--prune needs the current ConfigMap", hint="give it with --current")
    known = known_mappings(current) if current is not None else None
    made = config_map(session.inventory.cluster, known, prunes=prune, given_up=given_up)
    for remark in made.remarks:
        note(f"note: {remark}")
    say(made.manifest)
    for item in () if only_config_map else session.inventory.items:
        if isinstance(item, DesiredFile) and item.kind is FileKind.ADDON_IAM:
            say(session.renderer.file(item).decode())
