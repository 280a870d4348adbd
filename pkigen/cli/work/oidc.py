"""The work of `pkigen access oidc`."""

from __future__ import annotations

from pathlib import Path

import typer

from pkigen.access import discovery
from pkigen.cli.session import open_cluster


def documents(
    context: typer.Context, spec: Path | None, directory: Path | None, jwks_uri: str | None
) -> discovery.Discovery:
    """What verifiers fetch, as the API server serves it."""
    session = open_cluster(context, spec, directory)
    with session.reading() as store:
        return discovery.documents(session.at(store).inventory, store, jwks_uri=jwks_uri)
