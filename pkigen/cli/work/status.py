"""The work of `pkigen status`: one look, and how it is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pkigen.airgap.offline.outstanding import outstanding
from pkigen.cli import watch
from pkigen.cli.console import note, say, say_lines
from pkigen.cli.options import StatusForm
from pkigen.cli.outputs import write_text
from pkigen.cli.problems import ExitCode
from pkigen.cli.reports import signed_forms, status_forms, timeline_text
from pkigen.cli.reports.cluster_text import cluster_lines
from pkigen.cli.reports.lines import Line
from pkigen.cli.reports.plan_text import offline_text, revoked_text, rotations_text
from pkigen.cli.reports.status import StatusRow, due
from pkigen.cli.reports.tables import page
from pkigen.cli.session import Session
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


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusLook:
    """What one look has found, and how it is written."""

    rows: list[StatusRow]
    content: str | list[Line]
    now: datetime

    def as_timeline(self, columns: int | None) -> StatusLook:
        """The same, drawn."""
        return replace(self, content=list(timeline_text.lines(self.rows, now=self.now, width=columns)))

    @property
    def lines(self) -> list[Line]:
        """It, for a person."""
        return self.content if isinstance(self.content, list) else []


def require_watchable(spec: Path | None, others: Mapping[str, bool]) -> None:
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


def deliver(content: str | list[Line], textfile: Path | None) -> None:
    """Say it, or write it to a file."""
    if textfile is not None:
        text = content if isinstance(content, str) else page(line.text for line in content) + "\n"
        write_text(textfile, text)
    elif isinstance(content, str):
        say(content)
    else:
        say_lines(content)


def look_at_cluster(
    session: Session,
    output: StatusForm,
    *,
    columns: int | None,
    choice: _Choice,
) -> StatusLook:
    """What there is in a cluster of pkigen's."""
    with session.reading() as store:
        tree = looked_at(store, session.inventory)
        session = session.at(tree)
        found = choice(session.rows(tree))
        pending = outstanding(tree)
        beside = _Beside(
            requests=pending.requests if pending is not None else None,
            in_cluster=session.in_cluster(tree),
            signed=signed_certificates(tree, now=session.now),
        )
    content = _written(found, session, output, beside, columns=columns)
    return StatusLook(rows=found, content=content, now=session.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Beside:
    """What there is beside certificates and tokens."""

    requests: RequestSet | None
    in_cluster: tuple[ClusterStep, ...]
    signed: tuple[SignedCertificate, ...]


def fail_if_due(found: list[StatusRow], now: datetime, window: timedelta | None) -> None:
    """End with findings where something expires too soon.

    Raises:
        Exit: Something does.
    """
    overdue = [row for row in found if due(row, now=now, within=window)]
    limit = "its renewBefore" if window is None else format_duration(window)
    for row in overdue:
        note(f"finding: {row.id}: {'; '.join(row.details) or f'expires within {limit}'}")
    if overdue:
        raise typer.Exit(ExitCode.FINDINGS)


def _written(
    found: list[StatusRow],
    session: Session,
    output: StatusForm,
    beside: _Beside,
    *,
    columns: int | None,
) -> str | list[Line]:
    cluster = session.inventory.cluster.name
    match output:
        case StatusForm.TEXT:
            return [
                *status_forms.lines(found, now=session.now, width=columns),
                *signed_forms.lines(beside.signed, now=session.now, width=columns),
                *map(Line, rotations_text(session.inventory.rotations.phases, str(session.root))),
                *map(Line, revoked_text(session.inventory.revocations.active)),
                *map(Line, offline_text(beside.requests, str(session.root))),
                *cluster_lines(beside.in_cluster, str(session.root)),
            ]
        case StatusForm.PROMETHEUS:
            return status_forms.prometheus(
                found, cluster=cluster, now=session.now, root=str(session.root.absolute())
            ) + signed_forms.prometheus(beside.signed, cluster=cluster)
        case StatusForm.ICS:
            return status_forms.calendar(found, cluster=cluster, now=session.now)
        case _:
            from pkigen.cli.reports import structured  # noqa: PLC0415 -- only these forms pay for it

            content = status_forms.structure(found, cluster=cluster, now=session.now)
            content["rotations"] = structured.rotations(session.inventory.rotations)
            content["revoked"] = list(map(structured.revocation, session.inventory.revocations.active))
            content["request"] = structured.request_out(beside.requests)
            content["inCluster"] = structured.in_cluster(beside.in_cluster)
            content["signed"] = signed_forms.structure(beside.signed)
            return structured.dump(content, output) + "\n"


def look_at_foreign(
    directory: Path, output: StatusForm, *, now: datetime, columns: int | None, choice: _Choice
) -> StatusLook:
    """The same of a cluster that pkigen did not make: its name is the directory's, nothing is in progress."""
    from pkigen.cli.foreign import foreign_rows  # noqa: PLC0415 -- only others' files need it

    found = choice(foreign_rows(directory, now=now))
    content = _foreign_written(found, output, directory=directory, now=now, columns=columns)
    return StatusLook(rows=found, content=content, now=now)


def _foreign_written(
    found: list[StatusRow], output: StatusForm, *, directory: Path, now: datetime, columns: int | None
) -> str | list[Line]:
    name = directory.resolve().name
    match output:
        case StatusForm.TEXT:
            return list(status_forms.lines(found, now=now, width=columns))
        case StatusForm.PROMETHEUS:
            return status_forms.prometheus(found, cluster=name, now=now, root=str(directory.absolute()))
        case StatusForm.ICS:
            return status_forms.calendar(found, cluster=name, now=now)
        case _:
            from pkigen.cli.reports import structured  # noqa: PLC0415 -- only these forms pay for it

            return structured.dump(status_forms.structure(found, cluster=name, now=now), output) + "\n"
