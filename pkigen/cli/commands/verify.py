"""`pkigen verify`: is the tree what the spec asks for, and does every TLS edge hold?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated

import typer

from pkigen.adoption.gathered import is_foreign
from pkigen.cli.console import note, say, say_lines, width
from pkigen.cli.examined import open_examined
from pkigen.cli.git_index import tracked_secrets
from pkigen.cli.options import (
    DirectoryOption,
    ExaminedArgument,
    TemplatesOption,
    TimeoutOption,
    VerifyForm,
    VerifyFormOption,
)
from pkigen.cli.problems import ExitCode
from pkigen.cli.reports.lines import Line, Tone
from pkigen.cli.reports.live_text import held_lines, live_lines
from pkigen.cli.session import Session
from pkigen.cli.system import system_of
from pkigen.cli.values import duration
from pkigen.errors import UsageError
from pkigen.notation import format_duration
from pkigen.reconcile.checkout import looked_at
from pkigen.reconcile.observations import Verified
from pkigen.reconcile.verify import verify as verify_tree
from pkigen.rotation.deadline import DEADLINE
from pkigen.rotation.live import look
from pkigen.rotation.live_revocations import Hold, Reviewer, ask_all

app = typer.Typer(add_completion=False)
_DEADLINE = format_duration(DEADLINE)

_PLAIN = frozenset({VerifyForm.JSON, VerifyForm.YAML})


@app.command()
def verify(
    context: typer.Context,
    spec: ExaminedArgument = None,
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
    timeout: TimeoutOption = _DEADLINE,
    templates: TemplatesOption = None,
    output: VerifyFormOption = VerifyForm.TEXT,
) -> None:
    """Verify every file, every certificate and every TLS edge.

    The ledger and the lock file are verified too. A directory or a tar that pkigen did not make, such as
    /etc/kubernetes of one node or a copy of several nodes, is examined as it is.
    """
    within = duration(timeout, "--timeout")
    if spec is not None and not live and is_foreign(spec):
        from pkigen.cli.foreign import verify_foreign

        verify_foreign(system_of(context), spec, output)
        return
    session = open_examined(context, spec, directory, templates=templates)
    if live:
        _verify_live(session, output, within=within)
        return
    with session.reading() as store:
        session = session.at(looked_at(store, session.inventory))
        verified = verify_tree(
            session.inventory, store, session.renderer, now=session.now, progress=session.planner.progress
        )
        verified = verified.with_tracked(tracked_secrets(session.root, store))
    _say_verified(verified, session, output)
    if verified.findings:
        raise typer.Exit(ExitCode.FINDINGS)


def _say_verified(verified: Verified, session: Session, output: VerifyForm) -> None:
    if output is VerifyForm.TEXT:
        for each in verified.remarks:
            note(f"remark: {each.subject}: {each.detail}")
        say_lines(_lines(verified))
    elif output in _PLAIN:
        from pkigen.cli.reports import structured

        say(structured.dump(structured.verified(verified), output))
    else:
        from pkigen.cli.foreign import say_report
        from pkigen.cli.reports.audit_forms import of_verified

        say_report(of_verified(verified, directory=str(session.root), now=session.now), output)


def _lines(verified: Verified) -> Iterator[Line]:
    for each in verified.findings:
        yield Line(f"{each.subject}: {each.reason}: {each.detail}", Tone.RISK)
    yield Line(
        f"{verified.objects} objects, {verified.edges} TLS edges, {len(verified.findings)} findings",
        Tone.RISK if verified.findings else Tone.WELL,
    )


def _verify_live(session: Session, output: VerifyForm, *, within: timedelta) -> None:
    if output not in _PLAIN and output is not VerifyForm.TEXT:
        raise UsageError(f"--live has no form {output}", hint="use -o text, json or yaml")
    with session.reading() as store:
        session = session.at(store)
        seen = look(session.inventory, store, now=session.now, dial=session.system.dial, within=within)
        ask = session.system.ask or Reviewer(session.inventory, store)
        held = ask_all(session.inventory, store, within=within, ask=ask)
    cluster = session.inventory.cluster.name
    if output is VerifyForm.TEXT:
        say_lines(held_lines(held, count=len(session.inventory.revocations.active)))
        say_lines(live_lines(seen, cluster=cluster, width=width()))
    else:
        from pkigen.cli.reports import structured

        say(structured.dump(structured.live(seen, held, cluster=cluster), output))
    if seen.findings or any(each.hold is not Hold.CURRENT for each in held):
        raise typer.Exit(ExitCode.FINDINGS)
