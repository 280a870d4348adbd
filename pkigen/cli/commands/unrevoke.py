"""`pkigen access unrevoke`: let a credential pass again that was revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.cli.options import DirectoryOption, TemplatesOption
from pkigen.cli.revision_input import Revising, revising
from pkigen.cli.unlock import Unlocking, unlocked

if TYPE_CHECKING:
    from pkigen.cli.session import Session
    from pkigen.desired.revocations import Revocation, RevocationChange
    from pkigen.store import Store

app = typer.Typer(add_completion=False)


@app.command()
@unlocked
@revising
def unrevoke(
    context: typer.Context,
    who: Annotated[
        list[str],
        typer.Argument(
            metavar="WHO…",
            help="Whose credentials, one by its id or the beginning of its SHA-256, or a file that holds it.",
        ),
    ],
    *,
    directory: DirectoryOption = None,
    templates: TemplatesOption = None,
    unlocking: Unlocking,
    terms: Revising,
) -> None:
    """Let a revoked credential pass again.

    One file has to be copied to each control-plane node; nothing restarts. What has expired comes off the
    list by itself.
    """
    from pkigen.access.revocation import lifted_by
    from pkigen.cli.revision import revise
    from pkigen.cli.session import open_record
    from pkigen.cli.work.unrevoke import credential_ids
    from pkigen.desired.revocations import RevocationChange, in_order

    session = open_record(context, None, directory, templates=templates).with_keys(unlocking)

    def wanted(session: Session, store: Store) -> RevocationChange:
        present = session.inventory.revocations.active
        lifted: list[Revocation] = []
        for word in who:
            lifted += lifted_by(word, credential_ids(word, session, store), present)
        return RevocationChange(lifted=in_order(lifted))

    revise(session, "access unrevoke", wanted, terms)
