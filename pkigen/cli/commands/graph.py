"""`pkigen graph`: who presents which certificate to whom, and which bundle judges it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.console import say, say_lines
from pkigen.cli.options import DirectoryOption, GraphForm
from pkigen.cli.system import directory_of
from pkigen.errors import UsageError

app = typer.Typer(add_completion=False)


@app.command()
def graph(
    context: typer.Context,
    tree: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR|TREE",
            help="A cluster's directory, or a directory or tar of nodes that pkigen did not make.  "
            "[default: the cluster's directory]",
            show_default=False,
        ),
    ] = None,
    *,
    directory: DirectoryOption = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="COMPONENT", help="Only connections of this client, as apiserver."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="COMPONENT", help="Only connections to this server, as etcd."),
    ] = None,
    nodes: Annotated[
        list[str] | None,
        typer.Option("--node", metavar="NAME", help="Only connections of this node; may be repeated."),
    ] = None,
    trusting: Annotated[
        str | None,
        typer.Option("--ca", metavar="CA", help="Only connections that are judged by this CA, as etcd-ca."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Draw every node by itself, however many there are.")
    ] = False,
    output: Annotated[GraphForm, typer.Option("--output", "-o", help="The output format.")] = GraphForm.TEXT,
) -> None:
    """Draw who presents which certificate to whom, and which bundle judges it.

    Connections that do not hold, or not for long, stand out. Nodes whose connections are alike are drawn
    once; `-o json` has every connection.
    """
    from pkigen.cli.examination import examine, places
    from pkigen.cli.reports import graph_forms
    from pkigen.cli.work.graph import chosen_connections, written_graph

    named = tree if tree is not None else directory_of(context, directory)
    place, *others = places(context, [named] if named is not None else [])
    if others:
        raise UsageError(f"{named} holds {len(others) + 1} clusters", hint=f"name one, such as {place}")
    seen = examine(context, place)
    found = chosen_connections(seen.graph, client=from_, server=to, nodes=nodes or (), ca=trusting)
    if output is GraphForm.TEXT:
        say_lines(graph_forms.lines(found, full=full))
    else:
        say(written_graph(found, output, seen, full=full))
