"""`pkigen access token`: a service account's token, signed offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.access_input import Reaching, reaching
from pkigen.cli.console import note, say
from pkigen.cli.options import DirectoryOption, OwnSpecArgument
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.cli.values import duration
from pkigen.errors import UsageError

app = typer.Typer(add_completion=False)


@app.command()
@reaching
@unlocked
def token(
    context: typer.Context,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    service_account: Annotated[
        str, typer.Option("--service-account", metavar="NAMESPACE/NAME", help="Whose token.")
    ],
    uid: Annotated[
        str | None,
        typer.Option(
            "--uid", metavar="UID", help="The account's UID; without it the API server refuses the token."
        ),
    ] = None,
    audience: Annotated[
        list[str] | None,
        typer.Option(
            "--audience", metavar="AUDIENCE", help="An audience; may be repeated.  [default: the API server]"
        ),
    ] = None,
    validity: Annotated[str, typer.Option("--validity", metavar="DURATION", help="How long.")] = "1h",
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            "--kubeconfig",
            metavar="FILE",
            help="Write a kubeconfig with it (mode 0600) instead of printing it.",
        ),
    ] = None,
    way: Reaching,
    unlocking: Unlocking,
) -> None:
    """Sign a service account's token offline, for bootstrap and break-glass.

    It has the form of the API server's own bound tokens. The ledger records it, without its signature.
    """
    from pkigen.access.account_token import claims_of, parse_account, sign_token
    from pkigen.access.kubeconfigs import assemble
    from pkigen.cli.access_sources import trust_bundle
    from pkigen.cli.outputs import require_writable, write_secret
    from pkigen.cli.session import open_cluster
    from pkigen.cli.work.token import say_limits

    account = parse_account(service_account)
    lifetime = duration(validity, "--validity")
    # Audiences are printed, and recorded in the ledger line by line.
    if any(not each or not each.isprintable() for each in audience or ()):
        raise UsageError("--audience must be printable text")
    if kubeconfig is not None:
        require_writable(kubeconfig)
    session = open_cluster(context, spec, directory)
    session = session.with_keys(unlocking)
    cluster = session.inventory.cluster
    claims = claims_of(
        session.inventory, account, uid=uid, audiences=audience or (), validity=lifetime, now=session.now
    )
    with session.writing("access token") as store:
        session = session.at(store)
        text = sign_token(
            claims,
            inventory=session.inventory,
            store=store,
            keys=session.opened(store),
            now=session.now,
            entropy=session.system.entropy,
        )
        bundle = trust_bundle(session, store) if kubeconfig is not None else b""
    say_limits(session, claims)
    if kubeconfig is None:
        say(text)
        return
    access = way.access(cluster, trust_bundle=bundle, user=":".join(account), home=account[0])
    write_secret(kubeconfig, assemble(access, {"token": text}))
    note(f"kubeconfig: {kubeconfig}")
