"""`pkigen status`: what there is and how long it lasts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.cli import watch
from pkigen.cli.console import width
from pkigen.cli.options import DirectoryOption, ExaminedArgument, StatusForm, TemplatesOption
from pkigen.cli.problems import ExitCode
from pkigen.cli.status_choice import Order, chosen
from pkigen.cli.system import system_of
from pkigen.cli.values import duration
from pkigen.errors import UsageError

if TYPE_CHECKING:
    from pkigen.cli.work.status import StatusLook

app = typer.Typer(add_completion=False)


_RENEW_BEFORE = "renewBefore"


@app.command()
def status(
    context: typer.Context,
    spec: ExaminedArgument = None,
    *,
    directory: DirectoryOption = None,
    output: Annotated[
        StatusForm, typer.Option("--output", "-o", help="The output format.")
    ] = StatusForm.TEXT,
    textfile: Annotated[
        Path | None,
        typer.Option(
            "--textfile",
            metavar="FILE",
            help="Write it to a file instead, atomically, as node_exporter's textfile collector needs.",
        ),
    ] = None,
    fail_within: Annotated[
        str | None,
        typer.Option(
            "--fail-within",
            metavar="DURATION",
            help=f"Exit {ExitCode.FINDINGS} if anything expires within this time, such as 720h, or with "
            f"`{_RENEW_BEFORE}` within its own renewBefore.",
        ),
    ] = None,
    nodes: Annotated[
        list[str] | None,
        typer.Option("--node", metavar="NAME", help="Show what is on this node alone; may be repeated."),
    ] = None,
    order: Annotated[
        Order | None,
        typer.Option("--sort", help="The order of the rows.  [default: that of the cluster]"),
    ] = None,
    again: Annotated[
        bool,
        typer.Option(
            "--watch", help=f"Show it again every {watch.SECONDS} seconds, until Ctrl-C; on a terminal only."
        ),
    ] = False,
    timeline: Annotated[
        bool,
        typer.Option(
            "--timeline", help="Show how long each lasts as a bar, alike ones together, and what stops then."
        ),
    ] = False,
    templates: TemplatesOption = None,
) -> None:
    """Show every certificate of every node, and when it expires.

    CAs, kubeconfigs, kubelets and the service account key are included. A directory or a tar that pkigen did
    not make is read as it is, and what expires first comes first.
    """
    from pkigen.adoption.gathered import is_foreign
    from pkigen.cli.examined import open_examined
    from pkigen.cli.work.status import (
        deliver,
        fail_if_due,
        look_at_cluster,
        look_at_foreign,
        require_watchable,
    )

    window = None if fail_within in {None, _RENEW_BEFORE} else duration(fail_within, "--fail-within")
    if timeline and output is not StatusForm.TEXT:
        raise UsageError(f"--timeline and -o {output} cannot be combined")

    def look() -> StatusLook:
        # A file is as wide as it needs to be, whatever terminal this runs in.
        columns = width() if textfile is None else None
        choice = partial(chosen, nodes=nodes or (), order=order)
        if spec is not None and is_foreign(spec):
            seen = look_at_foreign(
                spec, output, now=system_of(context).clock(), columns=columns, choice=choice
            )
        else:
            session = open_examined(context, spec, directory, templates=templates)
            seen = look_at_cluster(session, output, columns=columns, choice=choice)
        return seen.as_timeline(columns) if timeline else seen

    if again:
        require_watchable(
            spec,
            {
                "--output": output is not StatusForm.TEXT,
                "--textfile": textfile is not None,
                "--fail-within": fail_within is not None,
            },
        )
        watch.watch(lambda: look().lines, system_of(context))
        return
    seen = look()
    # Before it fails: whoever is paged by the exit code wants to read what is due.
    deliver(seen.content, textfile)
    if fail_within is not None:
        fail_if_due(seen.rows, seen.now, window)
