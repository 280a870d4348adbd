"""`pkigen access oidc`: what others verify the cluster's service account tokens by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.console import note, say
from pkigen.cli.options import DirectoryOption, OwnSpecArgument

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Render the OIDC discovery documents of the service account issuer.",
)


UriOption = Annotated[
    str | None,
    typer.Option(
        "--jwks-uri", metavar="URL", help="The URL where the keys are published.  [default: the API server's]"
    ),
]


@app.command()
def configuration(
    context: typer.Context,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    jwks_uri: UriOption = None,
) -> None:
    """Print `.well-known/openid-configuration`, as the API server serves it."""
    from pkigen.cli.work.oidc import documents

    say(documents(context, spec, directory, jwks_uri).configuration)


@app.command()
def jwks(context: typer.Context, spec: OwnSpecArgument = None, *, directory: DirectoryOption = None) -> None:
    """Print the JSON Web Key Set, as the API server serves it; both keys while they rotate."""
    from pkigen.cli.work.oidc import documents

    say(documents(context, spec, directory, None).jwks)


@app.command()
def write(
    context: typer.Context,
    spec: OwnSpecArgument = None,
    *,
    directory: DirectoryOption = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The root directory of what is published.")
    ],
    jwks_uri: UriOption = None,
) -> None:
    """Write both documents below DIR, at the paths where verifiers look for them."""
    from pkigen.access import discovery
    from pkigen.cli.outputs import make_directory, require_below, write_text
    from pkigen.cli.work.oidc import documents

    found = documents(context, spec, directory, jwks_uri or None)
    for name, content in (
        (discovery.CONFIGURATION_PATH, found.configuration),
        (discovery.JWKS_PATH, found.jwks),
    ):
        path = out / name
        # A web server's root may be writable for others: a link in it must not have this written elsewhere.
        require_below(out, path)
        make_directory(path.parent)
        write_text(path, content)
        say(str(path))
    note(f"note: publish {out} at {found.issuer}; verifiers fetch the keys from {found.jwks_uri}")
