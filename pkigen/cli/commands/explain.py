"""`pkigen explain`: a credential, a component or an error in words."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from pkigen import layout
from pkigen.access import explanation, failures
from pkigen.access.file_text import file_text
from pkigen.access.handshakes import Known
from pkigen.access.kubeconfigs import LARGEST_KUBECONFIG
from pkigen.cli.access_input import open_cluster, read_bounded, read_reference
from pkigen.cli.console import say
from pkigen.cli.reports.tables import page
from pkigen.cli.system import System, system_of
from pkigen.crypto.csr import LARGEST_REQUEST
from pkigen.errors import AccessError, UsageError
from pkigen.state.authority import look_at_all

app = typer.Typer(add_completion=False)
_LONGEST_NAME = 250


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
    spec: Annotated[
        Path | None,
        typer.Argument(
            metavar="SPEC|DIR",
            help="The cluster: its spec, or its PKI directory.  [default: . if it is one]",
        ),
    ] = None,
    *,
    error: Annotated[
        str | None, typer.Option("--error", metavar="TEXT", help="An error message; - reads standard input.")
    ] = None,
    pki: Annotated[
        Path | None,
        typer.Option("--pki", metavar="DIR", help="The PKI directory of SPEC.  [default: ./<cluster name>]"),
    ] = None,
) -> None:
    """Explain a user, a certificate, a kubeconfig, a component or an error.

    Who presents it to whom, which setting verifies it, which identity and permissions result, when it expires
    and what then stops working; for an error, the next step.
    """
    system = system_of(context)
    now = system.clock()
    if error is not None:
        # With --error, the one argument is the cluster.
        place = spec if spec is not None or what is None else Path(what)
        say(page(_failure(system, _message(error), place, pki)))
        return
    if what is None:
        raise UsageError("give what to explain: a name, a file or --error TEXT")
    name = what
    if len(name) < _LONGEST_NAME and Path(name).is_dir():
        raise UsageError(
            f"{name} is a directory", hint=f"give a name too: `pkigen explain WHO {shlex.quote(name)}`"
        )
    if len(name) < _LONGEST_NAME and Path(name).is_file():
        with _known(system, _place(spec), pki) as cluster:
            data = read_bounded(Path(name), limit=LARGEST_KUBECONFIG)
            say(page(file_text(Path(name), data, cluster, read=read_reference, now=now)))
        return
    found = failures.explain(name, None)
    say(page(_failure(system, name, spec, pki) if found else _name(system, name, spec, pki)))


def _message(text: str) -> str:
    """A message as an argument, or from standard input for `-`."""
    if text != "-":
        return text
    return read_bounded(Path("-"), limit=LARGEST_REQUEST).decode("utf-8", "replace")


def _place(spec: Path | None) -> Path | None:
    """Where a cluster is looked up: what is given, or a PKI directory that one stands in."""
    if spec is not None:
        return spec
    return Path() if Path(layout.LOCK_FILE).is_file() else None


def _failure(system: System, text: str, spec: Path | None, pki: Path | None) -> tuple[str, ...]:
    known = None
    with _known(system, _place(spec), pki) as cluster:
        if cluster is not None:
            authorities, _ = look_at_all(cluster.reader, cluster.inventory, now=cluster.now)
            known = Known(inventory=cluster.inventory, authorities=authorities, now=cluster.now)
    found = failures.explain(text, known)
    if found is None:
        raise AccessError(
            "pkigen does not know this message",
            hint="it recognizes unknown authorities, wrong names and usages, system:anonymous, Unauthorized, "
            "Forbidden, and a missing kubeconfig",
        )
    return found


def _name(system: System, name: str, spec: Path | None, pki: Path | None) -> tuple[str, ...]:
    place = _place(spec)
    if place is None:
        raise UsageError(
            f"{name[:80]!r} is not a file, and no cluster was given to look it up in",
            hint="add its spec or its PKI directory",
        )
    with _known(system, place, pki) as cluster:
        if cluster is None:  # pragma: no cover -- a place was given
            raise AssertionError
        found = explanation.explain(cluster, name)
        known = explanation.names(cluster.inventory)
    if found is None:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "`pkigen status` lists the certificates"
        raise UsageError(f"this cluster has no {name[:80]!r}, and there is no such file", hint=hint)
    return found


@contextmanager
def _known(system: System, place: Path | None, pki: Path | None) -> Iterator[explanation.Cluster | None]:
    """The cluster to look things up in, where one is given or this directory is one."""
    if place is None:
        yield None
        return
    session = open_cluster(system, place, pki=pki, reports_only=True)
    with session.looking() as tree:
        session = session.at(tree)
        yield explanation.Cluster(inventory=session.inventory, reader=tree, now=session.now)
