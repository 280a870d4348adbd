"""`pkigen graph`: who presents which certificate to whom, and which bundle judges it."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.cli.console import say, say_lines
from pkigen.cli.examination import Examined, examine, places
from pkigen.cli.options import DirectoryOption
from pkigen.cli.reports import graph_forms, structured
from pkigen.cli.reports.trust_drawing import svg
from pkigen.cli.reports.trust_picture import picture
from pkigen.cli.system import directory_of
from pkigen.errors import UsageError
from pkigen.notation import suggestion

if TYPE_CHECKING:
    from pkigen.desired.trust_graph import Connection, TrustGraph

app = typer.Typer(add_completion=False)


class GraphForm(enum.StrEnum):
    """How the graph is written."""

    TEXT = "text"
    SVG = "svg"
    DOT = "dot"
    MERMAID = "mermaid"
    JSON = "json"
    YAML = "yaml"


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
    named = tree if tree is not None else directory_of(context, directory)
    place, *others = places(context, [named] if named is not None else [])
    if others:
        raise UsageError(f"{named} holds {len(others) + 1} clusters", hint=f"name one, such as {place}")
    seen = examine(context, place)
    found = _chosen(seen.graph, client=from_, server=to, nodes=nodes or (), ca=trusting)
    if output is GraphForm.TEXT:
        say_lines(graph_forms.lines(found, full=full))
    else:
        say(_written(found, output, seen, full=full))


def _written(found: TrustGraph, output: GraphForm, seen: Examined, *, full: bool) -> str:
    match output:
        case GraphForm.SVG:
            return svg(picture(found, full=full), cluster=seen.name, standalone=True)
        case GraphForm.DOT:
            return graph_forms.dot(picture(found, full=full), cluster=seen.name)
        case GraphForm.MERMAID:
            return graph_forms.mermaid(picture(found, full=full))
        case _:
            return structured.dump(graph_forms.structure(found, cluster=seen.name, now=seen.now), output)


def _chosen(
    found: TrustGraph, *, client: str | None, server: str | None, nodes: Iterable[str], ca: str | None
) -> TrustGraph:
    """The connections that all choices leave."""
    if client is not None:
        found = _of_component(found, client, "client")
    if server is not None:
        found = _of_component(found, server, "server")
    if nodes:
        found = _of_nodes(found, nodes)
    return found if ca is None else _trusting(found, ca)


def _of_component(graph: TrustGraph, wanted: str, role: str) -> TrustGraph:
    """The connections of a client, or to a server; `apiserver` is `kube-apiserver`, `etcd` also its peers."""

    def component(each: Connection) -> str:
        return each.client.component if role == "client" else each.server.component

    known = dict.fromkeys(map(component, graph.connections))
    meant = {each for each in known if wanted in {each, each.removeprefix("kube-"), each.partition(" ")[0]}}
    meant |= {each for each in known if each.partition(",")[0] == wanted or each == f"user {wanted}"}
    _require(meant, f"there is no {role} {wanted!r} here", wanted, known)
    return graph.only(lambda each: component(each) in meant)


def _of_nodes(graph: TrustGraph, names: Iterable[str]) -> TrustGraph:
    wanted = set(names)
    for name in sorted(wanted):
        _require(
            wanted & {name} & set(graph.nodes),
            f"there is no node {name!r} in this cluster",
            name,
            graph.nodes,
        )
    return graph.only(lambda each: bool({each.client.node, each.server.node} & wanted))


def _trusting(graph: TrustGraph, ca: str) -> TrustGraph:
    _require({ca} & set(graph.anchors), f"nobody here trusts a CA {ca!r}", ca, graph.anchors)
    return graph.only(lambda each: any(ca in shown.anchors for shown in each.presentations))


def _require(found: set[str], message: str, name: str, known: Iterable[str]) -> None:
    """Refuse a name that nothing has.

    Raises:
        UsageError: Nothing has it.
    """
    if not found:
        names = list(dict.fromkeys(known))
        raise UsageError(message, hint=suggestion(name, names) or f"choose from {', '.join(names)}")
