"""`pkigen next`: the one thing to do now, with the command that does it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Annotated

import typer

from pkigen.agenda.situation import (
    Lifetime,
    PendingRequest,
    Situation,
    has_expired_ca,
    last_change,
    rotating,
)
from pkigen.agenda.tasks import next_task, outlook
from pkigen.airgap.offline.pending import read_pending
from pkigen.cli.app import ExitCode
from pkigen.cli.console import note, say, say_lines
from pkigen.cli.options import DirectoryOption, Format, FormatOption, OwnSpecArgument, TemplatesOption
from pkigen.cli.reports import structured
from pkigen.cli.reports.agenda_forms import agenda_content, agenda_lines
from pkigen.cli.session import Session, open_cluster
from pkigen.reconcile.checkout import looked_at
from pkigen.rotation.live import look
from pkigen.state.ledger import read_ledger
from pkigen.state.observed import Tree
from pkigen.store import Store

app = typer.Typer(add_completion=False)


@app.command("next")
def next_(
    context: typer.Context,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    live: Annotated[
        bool, typer.Option("--live", help="Also look at what every endpoint of the cluster serves.")
    ] = False,
    assume_distributed: Annotated[
        bool,
        typer.Option(
            "--assume-distributed",
            help="Assume that every node has the present files and has restarted what must restart.",
        ),
    ] = False,
    templates: TemplatesOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Say the one thing to do now, with its command, or when something will be due.

    Exit code 3: there is something to do; 0: there is not. Nothing is changed, and no private file is needed.
    """
    session = open_cluster(context, spec, directory, templates=templates, reports_only=True)
    with session.reading() as store:
        tree = looked_at(store, session.inventory)
        session = session.at(tree)
        situation = _situation(session, store, tree, live=live, assume_distributed=assume_distributed)
    task, later = next_task(situation), outlook(situation)
    withheld = situation.plan.withheld if situation.plan is not None else ()
    if output is Format.TEXT:
        say_lines(agenda_lines(task, later))
        if withheld:
            note(f"note: {len(withheld)} objects cannot be judged without the private files")
    else:
        cluster = session.inventory.cluster.name
        content = agenda_content(task, later, cluster=cluster, withheld=withheld)
        say(f"{structured.dump(content, output)}\n")
    if task is not None:
        raise typer.Exit(ExitCode.CHANGES_PENDING)


def _situation(
    session: Session, store: Store, tree: Tree, *, live: bool, assume_distributed: bool
) -> Situation:
    """Read all that the next task is decided from."""
    inventory, now = session.inventory, session.now
    endings, ledger = tuple(_endings(session, tree)), read_ledger(tree)
    return Situation(
        now=now,
        spec=session.words,
        directory=shlex.join(["-C", str(session.root)]),
        plan=None if has_expired_ca(endings, now=now) else session.plan(tree),
        in_cluster=session.in_cluster(tree),
        endings=endings,
        rotating=rotating(
            inventory.rotations,
            ledger,
            longest_token=inventory.cluster.spec.service_accounts.max_token_lifetime,
        ),
        request=_request(tree),
        change=last_change(store.backups(), ledger),
        live=look(inventory, store, now=now, dial=session.system.dial) if live else None,
        distributed=assume_distributed,
    )


def _endings(session: Session, tree: Tree) -> Iterator[Lifetime]:
    for row in session.rows(tree):
        if row.effective is not None and row.due_from is not None:
            yield Lifetime(id=row.id, name=row.name, node=row.node, ends=row.effective, due=row.due_from)


def _request(tree: Tree) -> PendingRequest | None:
    pending = read_pending(tree)
    if pending is None:
        return None
    requests = pending.requests
    return PendingRequest(number=requests.nonce, created=requests.created, ids=pending.asked)
