"""The work of `pkigen graph`: which connections are drawn, and how."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pkigen.cli.examination import Examined
from pkigen.cli.options import GraphForm
from pkigen.cli.reports import graph_forms, structured
from pkigen.cli.reports.trust_drawing import svg
from pkigen.cli.reports.trust_picture import picture
from pkigen.errors import UsageError
from pkigen.notation import suggestion

if TYPE_CHECKING:
    from pkigen.desired.trust_graph import Connection, TrustGraph


def written_graph(found: TrustGraph, output: GraphForm, seen: Examined, *, full: bool) -> str:
    """The graph in the form that was asked for; as text it has lines instead."""
    match output:
        case GraphForm.SVG:
            return svg(picture(found, full=full), cluster=seen.name, standalone=True)
        case GraphForm.DOT:
            return graph_forms.dot(picture(found, full=full), cluster=seen.name)
        case GraphForm.MERMAID:
            return graph_forms.mermaid(picture(found, full=full))
        case _:
            return structured.dump(graph_forms.structure(found, cluster=seen.name, now=seen.now), output)


def chosen_connections(
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
    # Names have what is published behind a comma, and whose kubeconfig it is in front.
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
