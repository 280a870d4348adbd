"""`pkigen status`: what there is and how long it lasts."""

from __future__ import annotations

import enum
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.adoption.gathered import is_foreign
from pkigen.airgap.offline.pending import read_pending
from pkigen.cli import watch
from pkigen.cli.console import note, say, say_lines, width
from pkigen.cli.examined import open_examined
from pkigen.cli.options import DirectoryOption, ExaminedArgument, TemplatesOption
from pkigen.cli.outputs import write_text
from pkigen.cli.problems import ExitCode
from pkigen.cli.reports import signed_forms, status_forms, timeline_text
from pkigen.cli.reports.cluster_text import cluster_lines
from pkigen.cli.reports.lines import Line
from pkigen.cli.reports.plan_text import offline_text, revoked_text, rotations_text
from pkigen.cli.reports.status import StatusRow, due
from pkigen.cli.reports.tables import page
from pkigen.cli.session import Session
from pkigen.cli.status_choice import Order, chosen
from pkigen.cli.system import system_of
from pkigen.cli.values import duration
from pkigen.errors import UsageError
from pkigen.notation import format_duration
from pkigen.reconcile.checkout import looked_at
from pkigen.records import dataclass
from pkigen.state.signed_certificates import signed_certificates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime, timedelta

    from pkigen.airgap.carrier.requests import RequestSet
    from pkigen.reconcile.cluster_changes import ClusterStep
    from pkigen.state.signed_certificates import SignedCertificate

    _Choice = Callable[[Iterable[StatusRow]], list[StatusRow]]

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
    window = None if fail_within in {None, _RENEW_BEFORE} else duration(fail_within, "--fail-within")
    if timeline and output is not Form.TEXT:
        raise UsageError(f"--timeline and -o {output} cannot be combined")

    def look() -> _StatusLook:
        columns = width() if textfile is None else None
        choice = partial(chosen, nodes=nodes or (), order=order)
        if spec is not None and is_foreign(spec):
            seen = _foreign(spec, output, now=system_of(context).clock(), columns=columns, choice=choice)
        else:
            session = open_examined(context, spec, directory, templates=templates)
            seen = _of_cluster(session, output, columns=columns, choice=choice)
        return seen.as_timeline(columns) if timeline else seen

    if again:
        _require_watchable(
            spec,
            {
                "--output": output is not Form.TEXT,
                "--textfile": textfile is not None,
                "--fail-within": fail_within is not None,
            },
        )
        watch.watch(lambda: look().lines, system_of(context))
        return
    seen = look()
    _deliver(seen.content, textfile)
    if fail_within is not None:
        _fail_if_due(seen.rows, seen.now, window)


@dataclass(frozen=True, slots=True, kw_only=True)
class _StatusLook:
    """What one look has found, and how it is written."""

    rows: list[StatusRow]
    content: str | list[Line]
    now: datetime

    def as_timeline(self, columns: int | None) -> _StatusLook:
        """The same, drawn."""
        return replace(self, content=list(timeline_text.lines(self.rows, now=self.now, width=columns)))

    @property
    def lines(self) -> list[Line]:
        """It, for a person."""
        return self.content if isinstance(self.content, list) else []


def _require_watchable(spec: Path | None, others: Mapping[str, bool]) -> None:
    """Refuse what makes no sense again and again.

    Raises:
        UsageError: It would, or there is no terminal.
    """
    for option, is_given in others.items():
        if is_given:
            raise UsageError(f"--watch and {option} cannot be combined")
    if spec is not None and str(spec) == "-":
        raise UsageError("--watch cannot read the spec from standard input again", hint="name its file")
    watch.require_terminal()


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
    choice: _Choice,
) -> _StatusLook:
    with session.reading() as store:
        tree = looked_at(store, session.inventory)
        session = session.at(tree)
        found = choice(session.rows(tree))
        pending = read_pending(tree)
        beside = _Beside(
            requests=pending.requests if pending is not None else None,
            in_cluster=session.in_cluster(tree),
            signed=signed_certificates(tree, now=session.now),
        )
    content = _written(found, session, output, beside, columns=columns)
    return _StatusLook(rows=found, content=content, now=session.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Beside:
    """What there is beside certificates and tokens."""

    requests: RequestSet | None
    in_cluster: tuple[ClusterStep, ...]
    signed: tuple[SignedCertificate, ...]


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
    beside: _Beside,
    *,
    columns: int | None,
) -> str | list[Line]:
    cluster = session.inventory.cluster.name
    match output:
        case Form.TEXT:
            return [
                *status_forms.lines(found, now=session.now, width=columns),
                *signed_forms.lines(beside.signed, now=session.now, width=columns),
                *map(Line, rotations_text(session.inventory.rotations.phases)),
                *map(Line, revoked_text(session.inventory.revocations.active)),
                *map(Line, offline_text(beside.requests)),
                *cluster_lines(beside.in_cluster, str(session.root)),
            ]
        case Form.PROMETHEUS:
            return status_forms.prometheus(
                found, cluster=cluster, now=session.now, root=str(session.root.absolute())
            ) + signed_forms.prometheus(beside.signed, cluster=cluster)
        case Form.ICS:
            return status_forms.calendar(found, cluster=cluster, now=session.now)
        case _:
            from pkigen.cli.reports import structured

            content = status_forms.structure(found, cluster=cluster, now=session.now)
            content["rotations"] = structured.rotations(session.inventory.rotations)
            content["revoked"] = list(map(structured.revocation, session.inventory.revocations.active))
            content["request"] = structured.request_out(beside.requests)
            content["inCluster"] = structured.in_cluster(beside.in_cluster)
            content["signed"] = signed_forms.structure(beside.signed)
            return structured.dump(content, output) + "\n"


def _foreign(
    directory: Path, output: Form, *, now: datetime, columns: int | None, choice: _Choice
) -> _StatusLook:
    """The same of a cluster that pkigen did not make: its name is the directory's, nothing is in progress."""
    from pkigen.cli.foreign import foreign_rows

    found = choice(foreign_rows(directory, now=now))
    content = _foreign_written(found, output, directory=directory, now=now, columns=columns)
    return _StatusLook(rows=found, content=content, now=now)


def _foreign_written(
    found: list[StatusRow], output: Form, *, directory: Path, now: datetime, columns: int | None
) -> str | list[Line]:
    name = directory.resolve().name
    match output:
        case Form.TEXT:
            return list(status_forms.lines(found, now=now, width=columns))
        case Form.PROMETHEUS:
            return status_forms.prometheus(found, cluster=name, now=now, root=str(directory.absolute()))
        case Form.ICS:
            return status_forms.calendar(found, cluster=name, now=now)
        case _:
            from pkigen.cli.reports import structured

            return structured.dump(status_forms.structure(found, cluster=name, now=now), output) + "\n"
