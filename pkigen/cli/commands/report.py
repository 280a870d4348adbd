"""`pkigen report`: one page that shows a cluster, or all clusters of a fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.options import TIMEOUT, DirectoryOption, TimeoutOption
from pkigen.cli.system import directory_of
from pkigen.cli.values import duration

app = typer.Typer(add_completion=False)


@app.command()
def report(
    context: typer.Context,
    trees: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DIR|TREE]...",
            help="Clusters' directories, a directory that holds them, or directories or tars of nodes that "
            "pkigen did not make; of several, one page.  [default: the cluster's directory]",
            show_default=False,
        ),
    ] = None,
    *,
    directory: DirectoryOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where the page goes.  [default: standard output]"),
    ] = None,
    live: Annotated[
        bool,
        typer.Option("--live", help="Also look at what every endpoint serves: what has reached which node."),
    ] = False,
    timeout: TimeoutOption = TIMEOUT,
) -> None:
    """Write a page that shows a cluster: what ends when, who trusts whom, what is wrong.

    It is one HTML file that needs no network and no script, for a screen of any size, for paper and for
    screen readers. No private key is in it. Nothing is changed.
    """
    from pkigen.cli.examination import places
    from pkigen.cli.work.report import deliver

    within = duration(timeout, "--timeout")
    named = directory_of(context, directory)
    wanted = places(context, trees or ([named] if named is not None else []))
    deliver(context, wanted, out=out, live=live, within=within)
