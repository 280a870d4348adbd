"""`pkigen report`: one page that shows a cluster, or all clusters of a fleet."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.console import note, say
from pkigen.cli.examination import Examined, examine, places
from pkigen.cli.options import DirectoryOption, TimeoutOption
from pkigen.cli.outputs import write_text
from pkigen.cli.problems import ExitCode
from pkigen.cli.reports.overview import page
from pkigen.cli.system import directory_of, system_of
from pkigen.cli.values import duration
from pkigen.errors import PkigenError
from pkigen.notation import format_duration, printable
from pkigen.rotation.deadline import DEADLINE

app = typer.Typer(add_completion=False)
_DEADLINE = format_duration(DEADLINE)


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
    timeout: TimeoutOption = _DEADLINE,
) -> None:
    """Write a page that shows a cluster: what ends when, who trusts whom, what is wrong.

    It is one HTML file that needs no network and no script, for a screen of any size, for paper and for
    screen readers. No private key is in it. Nothing is changed.
    """
    within = duration(timeout, "--timeout")
    named = directory_of(context, directory)
    wanted = places(context, trees or ([named] if named is not None else []))
    deliver(context, wanted, out=out, live=live, within=within)


def deliver(
    context: typer.Context, wanted: tuple[Path, ...], *, out: Path | None, live: bool, within: timedelta
) -> None:
    """Write the page of these clusters; the exit code says whether one could not be read."""
    found, failures = _examined(context, wanted, live=live, within=within)
    text = page(found, failures, now=system_of(context).clock())
    if out is None:
        say(text)
    else:
        write_text(out, text)
        note(printable(f"report: {out}"))
    if failures:
        raise typer.Exit(ExitCode.FAILED)


def _examined(
    context: typer.Context, wanted: tuple[Path, ...], *, live: bool, within: timedelta
) -> tuple[list[Examined], list[tuple[str, str]]]:
    """What was read of each, and of several, which could not be."""
    found: list[Examined] = []
    failures: list[tuple[str, str]] = []
    for place in wanted:
        try:
            found.append(examine(context, place, live=live, within=within))
        except PkigenError as error:
            if len(wanted) == 1:
                raise
            note(f"error: {place}: {error.message}")
            failures.append((str(place), error.message))
    return found, failures
