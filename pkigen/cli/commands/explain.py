"""`pkigen explain`: a credential, a component or an error in words."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pkigen.access import explanation, failures
from pkigen.access.file_text import file_text
from pkigen.access.handshakes import Known
from pkigen.access.kubeconfigs import LARGEST_KUBECONFIG
from pkigen.cli.access_sources import read_bounded, reference_reader
from pkigen.cli.console import say
from pkigen.cli.directory import NoClusterError
from pkigen.cli.document import document
from pkigen.cli.options import DirectoryOption, Format, FormatOption, OwnSpecArgument
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

app = typer.Typer(add_completion=False)
_LONGEST_NAME = 250
_TRIED = 5
"""How many names that are near are looked up."""


@app.command()
def explain(
    context: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="WHO|FILE",
            help="A user, a service account (namespace/name), a certificate (apiserver, cp-1/admin.conf), "
            "a component (kubelet, etcd), a kubeconfig, certificate, request or token, or an error message.",
        ),
    ] = None,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    error: Annotated[
        str | None, typer.Option("--error", metavar="TEXT", help="An error message; - reads standard input.")
    ] = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Explain a user, a certificate, a kubeconfig, a component or an error.

    Who presents it to whom, which setting verifies it, which identity and permissions result, when it expires
    and what then stops working; for an error, the next step.
    """
    if error is not None:
        # With --error, the one argument is the spec.
        spec = spec if spec is not None or what is None else Path(what)
        with _known(context, spec, directory) as cluster:
            _say(error, _failure(_message(error), cluster), output)
        return
    if what is None:
        raise UsageError("give what to explain: a name, a file or --error TEXT")
    name = what
    if len(name) < _LONGEST_NAME and Path(name).is_dir():
        raise UsageError(
            f"{name} is a directory", hint=f"give a name too: `pkigen explain WHO -C {shlex.quote(name)}`"
        )
    with _known(context, spec, directory) as cluster:
        if len(name) < _LONGEST_NAME and Path(name).is_file():
            data = read_bounded(Path(name), limit=LARGEST_KUBECONFIG)
            now = system_of(context).clock()
            _say(
                name, file_text(Path(name), data, cluster, read=reference_reader(Path(name)), now=now), output
            )
            return
        found = failures.explain(name, None)
        _say(name, _failure(name, cluster) if found else _name(name, cluster), output)


def _say(what: str, lines: Iterable[str], output: Format) -> None:
    with document(output) as content:
        said = list(lines)
        say(page(said))
        content.update(outcomes.explained(what, said))


def _message(text: str) -> str:
    """A message as an argument, or from standard input for `-`."""
    if text != "-":
        return text
    return read_bounded(Path("-"), limit=LARGEST_REQUEST).decode("utf-8", "replace")


def _failure(text: str, cluster: explanation.Cluster | None) -> tuple[str, ...]:
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


def _name(name: str, cluster: explanation.Cluster | None) -> tuple[str, ...]:
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
def _known(
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
