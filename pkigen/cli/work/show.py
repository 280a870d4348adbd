"""The work of `pkigen show`: a change that was made."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pkigen import layout
from pkigen.cli.console import say, say_line, say_lines
from pkigen.cli.options import PlanFormat
from pkigen.cli.outputs import write_runbook
from pkigen.cli.reports import structured
from pkigen.cli.reports.cluster_text import cluster_lines
from pkigen.cli.reports.plan_text import consequences_text
from pkigen.cli.session import Session, open_record
from pkigen.errors import PkigenError
from pkigen.reconcile.cluster_changes import MAPPINGS, cluster_steps, manifests, mappings, remembered
from pkigen.reconcile.encrypted_data import stored_until_now
from pkigen.reconcile.restore import RestoredView, Rollback, plan_rollback
from pkigen.state.cluster_objects import superseded
from pkigen.state.lockfile import read_lock
from pkigen.state.observed import content_at
from pkigen.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkigen.reconcile.cluster_changes import ClusterStep
    from pkigen.reconcile.plan import Action

_MARKS = {"create": "+", "rewrite": "~", "remove": "-"}


def show_change(
    context: typer.Context,
    backup: str | None,
    directory: Path | None,
    runbook: Path | None,
    output: PlanFormat,
) -> None:
    """Say what a change did, and what it asks of nodes and cluster."""
    session = open_record(context, None, directory, reports_only=True)
    with session.reading() as store:
        session = session.at(store)
        planned = plan_rollback(store, backup)
        steps, told = _in_cluster(session, store, planned)
        # It is another one after every change, and no node has it.
        done = tuple(
            sorted((each for each in planned.undoes if each.id != layout.LOCK_FILE), key=lambda each: each.id)
        )
        content = structured.changes(planned.undone, done, session.inventory, steps, store)
    if output is PlanFormat.TEXT:
        for change in planned.undone:
            say_line(f"{change.id} ({change.command})")
        for line in (*_files(done), *consequences_text(session.inventory, done)):
            say(line)
        say_lines(cluster_lines(steps, str(session.root), told=told))
    else:
        say(structured.dump(content, output))
    if runbook is not None:
        write_runbook(runbook, session, done, steps)


def _in_cluster(session: Session, store: Store, planned: Rollback) -> tuple[tuple[ClusterStep, ...], bool]:
    """What the changes asked for in the cluster, and whether somebody has said since that it was done."""
    before = RestoredView(store, planned)
    paths = [each.id for each in planned.undoes if each.id.startswith(f"{layout.ADDONS}/")]
    # What the manifests were before the change is in its backup; what they are now, on disk. The difference
    # is what had to be done in the cluster.
    given = {path: tuple(filter(None, (content_at(before, path),))) for path in paths}
    lock = read_lock(before)
    with suppress(PkigenError):  # an older pkigen's spec
        given |= {MAPPINGS: (mappings(lock.cluster()),)} if lock is not None else {}
    given |= stored_until_now(planned.undoes, before, session.inventory, session.renderer)
    held = superseded(given, manifests(given, store, session.inventory))
    steps = cluster_steps(held, session.inventory, store, session.renderer)
    # What is remembered is what nobody has confirmed yet (`access applied`).
    return steps, not held.keys() & remembered(store).keys()


def _files(done: tuple[Action, ...]) -> Iterator[str]:
    for each in done:
        yield f"  {_MARKS[each.verb]} {each.id}"
