"""The work of `pkigen report`, for one cluster or for many."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import typer

from pkigen.cli.console import note, say
from pkigen.cli.examination import Examined, examine
from pkigen.cli.outputs import write_text
from pkigen.cli.problems import ExitCode
from pkigen.cli.reports.overview import page
from pkigen.cli.system import system_of
from pkigen.errors import PkigenError
from pkigen.notation import printable


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
