"""`pkigen verify`: is the tree what the spec asks for, and does every TLS edge hold?"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from pkigen.cli.app import ExitCode
from pkigen.cli.console import note, say, say_line
from pkigen.cli.options import DirectoryOption, Format, FormatOption, RecordArgument, TemplatesOption
from pkigen.cli.reports import structured
from pkigen.cli.reports.live_text import live_text
from pkigen.cli.session import Session, open_record
from pkigen.cli.values import duration
from pkigen.notation import format_duration
from pkigen.reconcile.verify import verify as verify_tree
from pkigen.rotation.live import DEADLINE, look

app = typer.Typer(add_completion=False)


@app.command()
def verify(
    context: typer.Context,
    spec: RecordArgument = None,
    *,
    directory: DirectoryOption = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Instead, connect to the cluster's API servers, etcd members and kubelets, and check that "
            "they serve what pki.lock says.",
        ),
    ] = False,
    timeout: Annotated[
        str,
        typer.Option(
            "--timeout",
            metavar="DURATION",
            help="With --live: how long it may take; who has not answered by then counts as unreachable.",
        ),
    ] = format_duration(DEADLINE),
    templates: TemplatesOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Verify every file, every certificate and every TLS edge.

    The ledger and the lock file are verified too.
    """
    within = duration(timeout, "--timeout")
    session = open_record(context, spec, directory, templates=templates, reports_only=True)
    if live:
        _verify_live(session, output, within=within)
        return
    with session.reading() as store:
        session = session.at(store)
        verified = verify_tree(session.inventory, store, session.renderer, now=session.now)
    if output is Format.TEXT:
        for each in verified.remarks:
            note(f"remark: {each.subject}: {each.detail}")
        for each in verified.findings:
            say_line(f"{each.subject}: {each.reason}: {each.detail}")
        say_line(f"{verified.objects} objects, {verified.edges} TLS edges, {len(verified.findings)} findings")
    else:
        say(structured.dump(structured.verified(verified), output))
    if verified.findings:
        raise typer.Exit(ExitCode.FINDINGS)


def _verify_live(session: Session, output: Format, *, within: timedelta) -> None:
    with session.reading() as store:
        session = session.at(store)
        seen = look(session.inventory, store, now=session.now, dial=session.system.dial, within=within)
    cluster = session.inventory.cluster.name
    if output is Format.TEXT:
        say(live_text(seen, cluster=cluster))
    else:
        say(structured.dump(structured.live(seen, cluster=cluster), output))
    if seen.findings:
        raise typer.Exit(ExitCode.FINDINGS)
