"""`pkigen access applied`: the cluster has got what the addons make, and lost what they no longer make."""

from __future__ import annotations

import typer

from pkigen.cli.console import agreed, say_line, say_lines
from pkigen.cli.document import document
from pkigen.cli.options import DirectoryOption, Format, FormatOption, YesOption
from pkigen.errors import PkigenError

app = typer.Typer(add_completion=False)


@app.command()
def applied(
    context: typer.Context,
    *,
    directory: DirectoryOption = None,
    yes: YesOption = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Say that what changed of people's rights was done in the cluster, too.

    The kubectl commands of all changes since this was said last are shown, and it is asked whether they were
    run. pkigen speaks to no API server: it believes who says so, and puts it on record.
    """
    from pkigen.cli.reports.cluster_text import cluster_lines
    from pkigen.cli.reports.structured import told_applied
    from pkigen.cli.session import open_record
    from pkigen.reconcile.cluster_changes import remembered
    from pkigen.state.cluster_objects import confirmation
    from pkigen.state.issuance_record import record

    session = open_record(context, None, directory, reports_only=True)
    with session.writing("access applied") as store, document(output) as said:
        session = session.at(store)
        held, steps = remembered(store), session.in_cluster(store)
        said.update(told_applied(held, steps, str(session.root)))
        if not held:
            say_line("the cluster has got everything already, as far as was told")
            return
        say_lines(cluster_lines(steps, str(session.root), asks=True))
        if not yes and not agreed("has all of this been done?"):
            raise PkigenError(
                "not recorded: it stays to be done", hint="run the commands above, then say so again"
            )
        keep = session.inventory.cluster.spec.backups.keep
        record(store, confirmation(held), now=session.now, keep_backups=keep)
        say_line(f"recorded: the cluster has got what {session.root} asks for")
