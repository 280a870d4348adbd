"""`pkigen status`: what there is and how long it lasts."""

from __future__ import annotations

import enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.adoption.gathered import is_foreign
from pkigen.airgap.offline.pending import read_pending
from pkigen.cli.app import ExitCode
from pkigen.cli.console import note, say, say_lines, width
from pkigen.cli.foreign import foreign_rows, open_examined
from pkigen.cli.options import DirectoryOption, ExaminedArgument, TemplatesOption
from pkigen.cli.outputs import write_text
from pkigen.cli.reports import status_forms, structured
from pkigen.cli.reports.lines import Line
from pkigen.cli.reports.plan_text import offline_text, rotations_text
from pkigen.cli.reports.status import StatusRow, due
from pkigen.cli.reports.tables import page
from pkigen.cli.session import Session
from pkigen.cli.status_choice import Order, chosen
from pkigen.cli.system import system_of
from pkigen.cli.values import duration
from pkigen.notation import format_duration
from pkigen.reconcile.checkout import looked_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime, timedelta

    from pkigen.airgap.carrier.requests import RequestSet

app = typer.Typer(add_completion=False)

_RENEW_BEFORE = "renewBefore"


class Form(enum.StrEnum):
    """How the status is written."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    PROMETHEUS = "prometheus"
    ICS = "ics"


@app.command()
def status(
    context: typer.Context,
    spec: ExaminedArgument = None,
    *,
    directory: DirectoryOption = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="The output format.")] = Form.TEXT,
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
    templates: TemplatesOption = None,
) -> None:
    """Show every certificate of every node, and when it expires.

    CAs, kubeconfigs, kubelets and the service account key are included. A directory or a tar that pkigen did
    not make is read as it is, and what expires first comes first.
    """
    window = None if fail_within in {None, _RENEW_BEFORE} else duration(fail_within, "--fail-within")
    columns = width() if textfile is None else None
    choice = partial(chosen, nodes=nodes or (), order=order)
    if spec is not None and is_foreign(spec):
        now = system_of(context).clock()
        found = choice(foreign_rows(spec, now=now))
        content = _foreign(found, output, directory=spec, now=now, columns=columns)
    else:
        session = open_examined(context, spec, directory, templates=templates)
        found, content, now = _of_cluster(session, output, columns=columns, choice=choice)
    _deliver(content, textfile)
    if fail_within is not None:
        _fail_if_due(found, now, window)


def _deliver(content: str | list[Line], textfile: Path | None) -> None:
    if textfile is not None:
        text = content if isinstance(content, str) else page(line.text for line in content) + "\n"
        write_text(textfile, text)
    elif isinstance(content, str):
        say(content)
    else:
        say_lines(content)


def _of_cluster(
    session: Session,
    output: Form,
    *,
    columns: int | None,
    choice: Callable[[Iterable[StatusRow]], list[StatusRow]],
) -> tuple[list[StatusRow], str | list[Line], datetime]:
    with session.reading() as store:
        tree = looked_at(store, session.inventory)
        session = session.at(tree)
        found = choice(session.rows(tree))
        pending = read_pending(tree)
    content = _written(
        found, session, output, pending.requests if pending is not None else None, columns=columns
    )
    return found, content, session.now


def _fail_if_due(found: list[StatusRow], now: datetime, window: timedelta | None) -> None:
    overdue = [row for row in found if due(row, now=now, within=window)]
    limit = "its renewBefore" if window is None else format_duration(window)
    for row in overdue:
        note(f"finding: {row.id}: {'; '.join(row.details) or f'expires within {limit}'}")
    if overdue:
        raise typer.Exit(ExitCode.FINDINGS)


def _written(
    found: list[StatusRow],
    session: Session,
    output: Form,
    requests: RequestSet | None,
    *,
    columns: int | None,
) -> str | list[Line]:
    cluster = session.inventory.cluster.name
    match output:
        case Form.TEXT:
            return [
                *status_forms.lines(found, now=session.now, width=columns),
                *map(Line, rotations_text(session.inventory.rotations.phases)),
                *map(Line, offline_text(requests)),
            ]
        case Form.PROMETHEUS:
            return status_forms.prometheus(
                found, cluster=cluster, now=session.now, root=str(session.root.absolute())
            )
        case Form.ICS:
            return status_forms.calendar(found, cluster=cluster, now=session.now)
        case _:
            content = status_forms.structure(found, cluster=cluster, now=session.now)
            content["rotations"] = structured.rotations(session.inventory.rotations)
            content["request"] = structured.request_out(requests)
            return structured.dump(content, output) + "\n"


def _foreign(
    found: list[StatusRow], output: Form, *, directory: Path, now: datetime, columns: int | None
) -> str | list[Line]:
    """The same of a cluster that pkigen did not make: its name is the directory's, nothing is in progress."""
    name = directory.resolve().name
    match output:
        case Form.TEXT:
            return list(status_forms.lines(found, now=now, width=columns))
        case Form.PROMETHEUS:
            return status_forms.prometheus(found, cluster=name, now=now, root=str(directory.absolute()))
        case Form.ICS:
            return status_forms.calendar(found, cluster=name, now=now)
        case _:
            return structured.dump(status_forms.structure(found, cluster=name, now=now), output) + "\n"
