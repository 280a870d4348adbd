"""`pkigen access kubeconfig`: several kubeconfigs as one, and one in words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.console import note, say
from pkigen.cli.document import document
from pkigen.cli.options import Format, FormatOption
from pkigen.cli.system import system_of
from pkigen.errors import AccessError

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Merge kubeconfigs as kubectl does, or explain one."
)


@app.command("merge")
def merge_kubeconfigs(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="The kubeconfigs, the one that takes precedence first."),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="The output file (mode 0600).  [default: standard output]"
        ),
    ] = None,
    flatten: Annotated[
        bool, typer.Option("--flatten", help="Embed certificates and keys from files.")
    ] = False,
    allow_exec: Annotated[
        bool,
        typer.Option(
            "--allow-exec", help="Keep users whose credential comes from a program that kubectl would run."
        ),
    ] = False,
    rename: Annotated[
        bool,
        typer.Option("--rename", help="Give names that mean something else in a later file a number there."),
    ] = False,
    first_wins: Annotated[
        bool,
        typer.Option("--first-wins", help="Let the first file decide, as kubectl does; the rest is lost."),
    ] = False,
) -> None:
    """Merge kubeconfigs, so that nothing of them is lost.

    A name that means one thing in one file and another in the next is refused, unless --rename or
    --first-wins says what becomes of it. Relative paths become absolute, or relative to FILE's directory with
    --out.
    """
    from pkigen.access import merge
    from pkigen.access.kubeconfigs import encode
    from pkigen.cli.access_sources import referenced
    from pkigen.cli.outputs import write_secret
    from pkigen.cli.work.kubeconfig import merged_configs, precedence_of, read_kubeconfig

    precedence = precedence_of(rename=rename, first_wins=first_wins)
    configs = [read_kubeconfig(path) for path in files]
    if not allow_exec:
        for config in configs:
            for fault in merge.programs(config):
                raise AccessError(
                    fault, hint="a kubeconfig should not start programs: leave it out, or add --allow-exec"
                )
    merged = merged_configs(configs, precedence)
    config = merged.config
    if flatten:
        config = merge.flattened(config, referenced)
    if out is not None:
        config = merge.relative_to(config, (Path.cwd() / out).parent)
    for remark in merged.remarks:
        note(f"note: {remark}")
    if out is not None:
        write_secret(out, encode(config))
        note(f"kubeconfig: {out}")
    else:
        say(encode(config))


@app.command()
def show(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A kubeconfig; - reads standard input.", allow_dash=True)
    ],
    *,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show the user and groups of a kubeconfig, until when it is valid, and what breaks next."""
    from pkigen.access.kubeconfig_summary import lines
    from pkigen.cli.access_sources import reference_reader
    from pkigen.cli.reports import outcomes
    from pkigen.cli.reports.tables import page
    from pkigen.cli.work.kubeconfig import read_kubeconfig

    config = read_kubeconfig(file)
    now = system_of(context).clock()
    with document(output) as content:
        shown = list(lines(config, reference_reader(file), now=now))
        say(page(shown))
        content.update(outcomes.explained(str(file), shown))
