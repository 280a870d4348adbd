"""Arguments and options of the commands that work on a fleet."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer


class FleetForm(enum.StrEnum):
    """How the status of a fleet is written."""

    TEXT = "text"
    JSON = "json"
    PROMETHEUS = "prometheus"
    MARKDOWN = "markdown"


FleetArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FLEET",
        help="The file of a fleet (kind: Fleet), or a directory with a spec for each cluster.",
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="N",
        min=1,
        help="How many clusters are worked on at once.  [default: as many as there are cores]",
        show_default=False,
    ),
]
