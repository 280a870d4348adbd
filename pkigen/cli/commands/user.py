"""`pkigen access user`: kubeconfigs for people whose credential exists already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.access_input import Reaching, reaching
from pkigen.cli.console import note, say
from pkigen.cli.options import DirectoryOption, OwnSpecArgument
from pkigen.errors import UsageError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Make kubeconfigs from an existing certificate or token.",
)


@app.callback()
def group() -> None:
    """Make kubeconfigs from an existing certificate or token."""


@app.command()
@reaching
def kubeconfig(
    context: typer.Context,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", metavar="FILE", help="The issued client certificate.", allow_dash=True),
    ] = None,
    key_path: Annotated[
        str | None,
        typer.Option("--key-path", metavar="PATH", help="The path of its key on the owner's machine."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="A token instead, as `kubectl create token` prints it.",
            allow_dash=True,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="The output file (mode 0600).  [default: standard output]"
        ),
    ] = None,
    way: Reaching,
) -> None:
    """Put a certificate or a token into a kubeconfig for this cluster.

    What its API servers would refuse is refused here. A key that is at its path already must be the
    certificate's.
    """
    from pkigen.access.kubeconfig_summary import credential_lines
    from pkigen.access.kubeconfigs import assemble
    from pkigen.access.own_credential import home_of, service_account_keys
    from pkigen.cli.access_sources import trust_bundle
    from pkigen.cli.outputs import write_secret
    from pkigen.cli.session import open_cluster
    from pkigen.cli.work.user import key_beside, key_meant, note_certificate, of_certificate, of_token
    from pkigen.crypto.service_account_tokens import SERVICE_ACCOUNT_PREFIX

    if (certificate is None) == (token_file is None):
        raise UsageError("one of --certificate and --token-file is needed")
    session = open_cluster(context, spec, directory)
    with session.reading() as store:
        session = session.at(store)
        bundle = trust_bundle(session, store)
        keys = tuple(service_account_keys(session.inventory, store))
    # Checked as an API server would check it now: a kubeconfig that is refused at its first use costs a round
    # trip between two people.
    if certificate is not None:
        folder = out.parent if out is not None else Path()
        key = key_meant(Path(key_path), folder) if key_path else key_beside(certificate, folder)
        found, credential = of_certificate(certificate, session, bundle, key=key, folder=folder)
    else:
        found, credential = of_token(token_file or Path(), session, keys)
    for line in credential_lines(found, now=session.now):
        note(line)
    user = found.user.removeprefix(SERVICE_ACCOUNT_PREFIX) or "token"
    home = home_of(session.inventory, found)
    access = way.access(session.inventory.cluster, trust_bundle=bundle, user=user, home=home)
    content = assemble(access, credential)
    if found.certificate is not None:
        note_certificate(session, found.certificate)
    if out is not None:
        write_secret(out, content)
        note(f"kubeconfig: {out}")
    else:
        say(content)
