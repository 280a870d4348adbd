"""`pkigen verify`: is the tree what the spec asks for, and does every TLS edge hold?"""

from __future__ import annotations

from typing import Annotated

import typer

from pkigen.cli.options import (
    TIMEOUT,
    DirectoryOption,
    ExaminedArgument,
    TemplatesOption,
    TimeoutOption,
    VerifyForm,
    VerifyFormOption,
)
from pkigen.cli.problems import ExitCode
from pkigen.cli.system import system_of
from pkigen.cli.values import duration

app = typer.Typer(add_completion=False)


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
    timeout: TimeoutOption = TIMEOUT,
    templates: TemplatesOption = None,
    output: VerifyFormOption = VerifyForm.TEXT,
) -> None:
    """Verify every file, every certificate and every TLS edge.

    The ledger and the lock file are verified too. A directory or a tar that pkigen did not make, such as
    /etc/kubernetes of one node or a copy of several nodes, is examined as it is.
    """
    from pkigen.adoption.gathered import is_foreign
    from pkigen.cli.examined import open_examined
    from pkigen.cli.git_index import tracked_secrets
    from pkigen.cli.work.verify import say_verified, verify_live
    from pkigen.reconcile.checkout import looked_at
    from pkigen.reconcile.verify import verify as verify_tree

    within = duration(timeout, "--timeout")
    if spec is not None and not live and is_foreign(spec):
        from pkigen.cli.foreign import verify_foreign

        verify_foreign(system_of(context), spec, output)
        return
    session = open_examined(context, spec, directory, templates=templates)
    if live:
        verify_live(session, output, within=within)
        return
    with session.reading() as store:
        session = session.at(looked_at(store, session.inventory))
        verified = verify_tree(
            session.inventory, store, session.renderer, now=session.now, progress=session.planner.progress
        )
        verified = verified.with_tracked(tracked_secrets(session.root, store))
    say_verified(verified, session, output)
    if verified.findings:
        raise typer.Exit(ExitCode.FINDINGS)
