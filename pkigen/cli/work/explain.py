"""The work of `pkigen explain`: what a word means, and what a message does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import typer

from pkigen.access import explanation, failures
from pkigen.access.handshakes import Known
from pkigen.cli.access_sources import read_bounded
from pkigen.cli.addressed import addressed_here
from pkigen.cli.console import say
from pkigen.cli.directory import NoClusterError
from pkigen.cli.document import document
from pkigen.cli.options import Format
from pkigen.cli.reports import outcomes
from pkigen.cli.reports.graph_forms import small_picture
from pkigen.cli.reports.tables import page
from pkigen.cli.reports.trust_picture import picture
from pkigen.cli.session import open_record, open_spec
from pkigen.cli.system import system_of
from pkigen.crypto.csr import LARGEST_REQUEST
from pkigen.desired.connections import edges
from pkigen.desired.generations import CA_WORDS, certificate_named
from pkigen.desired.names import certificates_named
from pkigen.desired.trust_graph import TrustGraph
from pkigen.errors import AccessError, UsageError
from pkigen.reconcile.edge_verdicts import EdgeVerdicts
from pkigen.state.authority import look_at_all
from pkigen.state.observed import content_at
from pkigen.state.views import EmptyView

_TRIED = 5
"""How many names that are near are looked up."""


def say_explained(what: str, lines: Iterable[str], output: Format) -> None:
    """Say it, or give it as a document."""
    with document(output) as content:
        said = list(lines)
        say(addressed_here(page(said)))
        content.update(outcomes.explained(what, said))


def message_text(text: str) -> str:
    """A message as an argument, or from standard input for `-`."""
    if text != "-":
        return text
    # What was copied from a terminal may hold anything; the wordings that are looked for are ASCII.
    return read_bounded(Path("-"), limit=LARGEST_REQUEST).decode("utf-8", "replace")


def failure_text(text: str, cluster: explanation.Cluster | None) -> tuple[str, ...]:
    """What an error message means, and the next step.

    Raises:
        AccessError: pkigen does not know it.
    """
    known = None
    if cluster is not None:
        authorities, _ = look_at_all(cluster.reader, cluster.inventory, now=cluster.now)
        known = Known(
            inventory=cluster.inventory,
            authorities=authorities,
            now=cluster.now,
            read=partial(content_at, cluster.reader),
            signed=cluster.signed,
        )
    found = failures.explain(text, known)
    if found is None:
        raise AccessError(
            "pkigen does not know this message",
            hint="it recognizes unknown authorities, wrong names and usages, missing certificates, "
            "system:anonymous, Unauthorized, Forbidden, exec plugins, kubelets that renew, no kubeconfig",
        )
    return found


def name_text(name: str, cluster: explanation.Cluster | None) -> tuple[str, ...]:
    """What a name means in this cluster.

    Raises:
        UsageError: It means nothing there.
    """
    if cluster is None:
        raise UsageError(
            f"{name[:80]!r} is not a file, and no cluster was given to look it up in",
            hint="name the cluster's directory with -C DIR, or give its spec",
        )
    found = _found(cluster, name)
    if found is None:
        if any(node.name == name for node in cluster.inventory.cluster.spec.nodes):
            raise UsageError(f"{name} is a node", hint=f"`pkigen status --node {name}` shows what is on it")
        hint = _meant(cluster, name) or "`pkigen status` lists the certificates"
        raise UsageError(f"this cluster has no {name[:80]!r}, and there is no such file", hint=hint)
    return (*found, *_pictures(cluster, name))


def _pictures(cluster: explanation.Cluster, name: str) -> Iterator[str]:
    """Each kind of connection on which it is shown, as a small picture; none of a CA, which nobody shows."""
    if isinstance(cluster.reader, EmptyView):
        return  # a spec alone has no certificates
    ids = certificates_named(cluster.inventory, name)
    read = partial(content_at, cluster.reader)
    verdicts = EdgeVerdicts(cluster.inventory, cluster.reader, now=cluster.now)
    shown = [
        verdicts.connection(edge)
        for edge in edges(cluster.inventory, read)
        if {edge.client_certificate, edge.server_certificate} & set(ids)
    ]
    for arrow in picture(TrustGraph(connections=tuple(shown))).arrows:
        yield ""
        yield from (line.text for line in small_picture(arrow))


def _found(cluster: explanation.Cluster, name: str) -> tuple[str, ...] | None:
    """What is known of a name. What is a name of a CA only is that CA; `etcd` is the component."""
    return explanation.explain(cluster, name) or explanation.explain(cluster, certificate_named(name))


def _meant(cluster: explanation.Cluster, name: str) -> str:
    """The nearest name that can be explained, as a hint; empty where none is near."""
    known = (*explanation.names(cluster.inventory), *CA_WORDS)
    near = (each for each in get_close_matches(name, known, n=_TRIED) if _found(cluster, each) is not None)
    return next((f"did you mean {each}?" for each in near), "")


@contextmanager
def known_cluster(
    context: typer.Context, spec: Path | None, directory: Path | None
) -> Iterator[explanation.Cluster | None]:
    """The cluster to look things up in, where there is one; a spec alone says what would be."""
    try:
        session = open_record(context, spec, directory, reports_only=True)
    except NoClusterError:
        if spec is None:
            yield None
            return
        session = open_spec(system_of(context), spec, root=Path())
        yield explanation.Cluster(inventory=session.inventory, reader=EmptyView(), now=session.now)
        return
    with session.reading() as tree:
        session = session.at(tree)
        yield explanation.Cluster(inventory=session.inventory, reader=tree, now=session.now)
