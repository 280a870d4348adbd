"""`pkigen access revoke`: have API servers refuse a credential that is still valid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.cli.console import note
from pkigen.cli.options import DirectoryOption, TemplatesOption
from pkigen.cli.revision_input import Revising, revising
from pkigen.cli.system import system_of
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.cli.values import moment

if TYPE_CHECKING:
    from pkigen.cli.session import Session
    from pkigen.desired.revocations import RevocationChange
    from pkigen.store import Store

app = typer.Typer(add_completion=False)


@app.command()
@unlocked
@revising
def revoke(
    context: typer.Context,
    who: Annotated[
        list[str],
        typer.Argument(
            metavar="WHO…",
            help="A user (dev1), a node (worker-1), a certificate's id (cp-1/admin.conf), serial or SHA-256, "
            "JTI=… of a token, or a file: a certificate, a kubeconfig, a token.",
        ),
    ],
    *,
    directory: DirectoryOption = None,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded, and everybody may read it.")
    ],
    before: Annotated[
        str | None,
        typer.Option(
            "--before",
            metavar="TIME",
            help="Of a user or a node, only what was issued before: `now`, or a time such as "
            "2026-11-27T12:00:00Z.  [default: everything]",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="List also who is in system:masters, although no API server cares."),
    ] = False,
    templates: TemplatesOption = None,
    unlocking: Unlocking,
    terms: Revising,
) -> None:
    """Have API servers refuse a credential at once, without a restart.

    Its certificate or token stays valid and is refused all the same, for reading and writing; a renewed one
    of the same user passes. One file has to be copied to each control-plane node. Kubernetes v1.32 or later.
    """
    from pkigen.access.revocation import require_reason, revoked_by
    from pkigen.cli.revision import revise
    from pkigen.cli.session import open_record
    from pkigen.cli.work.revoke import found_of, revocation_notes, scope_of
    from pkigen.desired.revocations import RevocationChange

    # First, so that nobody types a passphrase for a reason that is then refused.
    why, limit = require_reason(reason), moment(before, "--before", now=system_of(context).clock())
    session = open_record(context, None, directory, templates=templates).with_keys(unlocking)

    def wanted(session: Session, store: Store) -> RevocationChange:
        scope = scope_of(session, store)
        found = [each for word in who for each in found_of(word, scope, before=limit)]
        present = session.inventory.revocations.active
        new = revoked_by(found, present, reason=why, now=session.now, force=force)
        for line in revocation_notes(new, found, session.inventory, store):
            note(line)
        return RevocationChange(revoked=new)

    revise(session, "access revoke", wanted, terms)
