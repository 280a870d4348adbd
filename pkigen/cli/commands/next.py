"""`pkigen next`: the one thing to do now, with the command that does it."""

from __future__ import annotations

from typing import Annotated

import typer

from pkigen.cli.options import DirectoryOption, Format, FormatOption, OwnSpecArgument, TemplatesOption
from pkigen.cli.problems import ExitCode

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
    # The help of the command needs none of these, which take longer than all of it.
    from pkigen.agenda.tasks import next_task, outlook
    from pkigen.cli.console import note, say, say_lines
    from pkigen.cli.reports import structured
    from pkigen.cli.reports.agenda_forms import agenda_content, agenda_lines
    from pkigen.cli.session import open_cluster
    from pkigen.cli.situation_input import situation_of
    from pkigen.reconcile.checkout import looked_at
    from pkigen.rotation.live import look

    session = open_cluster(context, spec, directory, templates=templates, reports_only=True)
    with session.reading() as store:
        tree = looked_at(store, session.inventory)
        session = session.at(tree)
        answers = look(session.inventory, store, now=session.now, dial=session.system.dial) if live else None
        situation = situation_of(
            session,
            store,
            tree,
            seen=session.survey(tree),
            live=answers,
            assume_distributed=assume_distributed,
        )
    task, later = next_task(situation), outlook(situation)
    # There is no plan where a CA has expired: then `rescue` is the task, whatever else is due.
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
