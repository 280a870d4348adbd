"""`pkigen renew`: new validity for the same content."""

from __future__ import annotations

from typing import Annotated

import typer

from pkigen.cli.options import (
    DirectoryOption,
    ForceOption,
    Format,
    FormatOption,
    RunbookOption,
    SaveOption,
    TemplatesOption,
    YesOption,
)
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.cli.values import duration
from pkigen.errors import UsageError

app = typer.Typer(add_completion=False)


@app.command()
@unlocked
def renew(
    context: typer.Context,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SPEC] NAME",
            help="kubeadm's names (apiserver, admin.conf, …) for every node, cp-1/apiserver for one node's, "
            "user:dev1 for a person's, serviceaccount:web:bot for a token.",
        ),
    ] = None,
    *,
    directory: DirectoryOption = None,
    every: Annotated[bool, typer.Option("--all", help="Renew every leaf certificate.")] = False,
    within: Annotated[
        str | None,
        typer.Option(
            "--within",
            metavar="DURATION",
            help="Renew what expires within this time.  [default: renewBefore]",
        ),
    ] = None,
    reuse_keys: Annotated[
        bool, typer.Option("--reuse-keys", help="Keep the private keys instead of making new ones.")
    ] = False,
    save: SaveOption = None,
    yes: YesOption = False,
    force: ForceOption = False,
    runbook: RunbookOption = None,
    templates: TemplatesOption = None,
    unlocking: Unlocking,
    output: FormatOption = Format.TEXT,
) -> None:
    """Renew certificates: the same content with a new validity.

    Every kubeconfig that embeds one is written again.
    Without names, what is inside its renewBefore is renewed; with names, nothing else. A CA is renewed only
    by its name (ca, etcd-ca, front-proxy-ca), alone, and keeps its key. SPEC ends in .yaml, .yml or .json.
    """
    from pkigen.cli.change import Consent, change
    from pkigen.cli.session import open_cluster
    from pkigen.cli.spec_input import named_spec
    from pkigen.cli.work.renew import review_authorities
    from pkigen.reconcile.renewal import ids_of, leaf_ids, require_keys_here, require_renewals_only
    from pkigen.reconcile.surveyed import Selection

    spec, names = named_spec(arguments or ())
    session = open_cluster(context, spec, directory, templates=templates)
    session = session.with_keys(unlocking)
    if (every or within) and names:
        raise UsageError("names cannot be combined with --all or --within", hint="give one of them")
    if every:
        ids = leaf_ids(session.inventory)
    else:
        ids = frozenset(identifier for name in names for identifier in ids_of(session.inventory, name))
    require_keys_here(session.inventory, names, ids)
    window = duration(within, "--within") if within else None
    # Before the lock is taken and anything is planned: a CA that cannot be renewed here is refused by its
    # name, and a CA that ends soon is mentioned even where no leaf is due.
    with session.reading() as store:
        review_authorities(session.at(store), store, ids)
    change(
        session,
        "renew",
        consent=Consent(yes=yes, force=force),
        output=output,
        review=require_renewals_only,
        selection=Selection(within=window, ids=ids, only=bool(names)),
        reuse_keys=reuse_keys,
        runbook=runbook,
        save=save,
    )
