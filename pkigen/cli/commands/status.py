"""`pkigen status`: what there is and how long it lasts."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.adoption.gathered import is_foreign
from pkigen.airgap.offline.pending import read_pending
from pkigen.cli.app import ExitCode
from pkigen.cli.console import note, say
from pkigen.cli.foreign import foreign_rows, open_examined
from pkigen.cli.options import DirectoryOption, ExaminedArgument, TemplatesOption
from pkigen.cli.outputs import write_text
from pkigen.cli.reports import status_forms, structured
from pkigen.cli.reports.plan_text import offline_text, rotations_text
from pkigen.cli.reports.status import StatusRow, due, rows
from pkigen.cli.session import Session
from pkigen.cli.system import system_of
from pkigen.cli.values import duration
from pkigen.notation import format_duration
from pkigen.reconcile.checkout import looked_at

if TYPE_CHECKING:
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
    templates: TemplatesOption = None,
) -> None:
    """Show every certificate of every node, and when it expires.

    CAs, kubeconfigs, kubelets and the service account key are included. A directory or a tar that pkigen did
    not make is read as it is, and what expires first comes first.
    """
    window = None if fail_within in {None, _RENEW_BEFORE} else duration(fail_within, "--fail-within")
    if spec is not None and is_foreign(spec):
        now = system_of(context).clock()
        found = foreign_rows(spec, now=now)
        content = _foreign(found, output, directory=spec, now=now)
    else:
        session = open_examined(context, spec, directory, templates=templates)
        found, content, now = _of_cluster(session, output)
    if textfile is not None:
        write_text(textfile, content)
    else:
        say(content)
    if fail_within is not None:
        _fail_if_due(found, now, window)


def _of_cluster(session: Session, output: Form) -> tuple[list[StatusRow], str, datetime]:
    with session.reading() as store:
        tree = looked_at(store, session.inventory)
        session = session.at(tree)
        found = list(rows(session.inventory, tree, session.renderer, now=session.now))
        pending = read_pending(tree)
    content = _written(found, session, output, pending.requests if pending is not None else None)
    return found, content, session.now


def _fail_if_due(found: list[StatusRow], now: datetime, window: timedelta | None) -> None:
    overdue = [row for row in found if due(row, now=now, within=window)]
    limit = "its renewBefore" if window is None else format_duration(window)
    for row in overdue:
        note(f"finding: {row.id}: {'; '.join(row.details) or f'expires within {limit}'}")
    if overdue:
        raise typer.Exit(ExitCode.FINDINGS)


def _written(found: list[StatusRow], session: Session, output: Form, requests: RequestSet | None) -> str:
    cluster = session.inventory.cluster.name
    match output:
        case Form.TEXT:
            lines = [
                status_forms.text(found, now=session.now),
                *rotations_text(session.inventory.rotations.phases),
                *offline_text(requests),
            ]
            return "\n".join(lines) + "\n"
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


def _foreign(found: list[StatusRow], output: Form, *, directory: Path, now: datetime) -> str:
    """The same of a cluster that pkigen did not make: its name is the directory's, nothing is in progress."""
    name = directory.resolve().name
    match output:
        case Form.TEXT:
            return status_forms.text(found, now=now) + "\n"
        case Form.PROMETHEUS:
            return status_forms.prometheus(found, cluster=name, now=now, root=str(directory.absolute()))
        case Form.ICS:
            return status_forms.calendar(found, cluster=name, now=now)
        case _:
            return structured.dump(status_forms.structure(found, cluster=name, now=now), output) + "\n"
