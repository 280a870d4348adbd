"""The work of `pkigen access csr manifest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pkigen.access.client_certificate import require_own_key
from pkigen.cli.directory import NoClusterError
from pkigen.cli.session import open_record

if TYPE_CHECKING:
    from pkigen.access.requests import Request


def require_no_cluster_key(request: Request, context: typer.Context, directory: Path | None) -> None:
    """Refuse a key of the cluster's, as far as a cluster is known: nobody needs one for this command."""
    try:
        session = open_record(context, None, directory, reports_only=True)
    # Requests are often made on a workstation that has no cluster's directory.
    except NoClusterError:
        return
    with session.reading() as store:
        session = session.at(store)
        require_own_key(request, session.inventory, store, now=session.now)
