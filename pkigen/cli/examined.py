"""Which cluster `verify` and `status` look at: what they are given may also be files of nodes.

What reads such files is a large part of pkigen: who looks at a cluster of pkigen's does not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.adoption.gathered import is_foreign
from pkigen.cli.addressed import place
from pkigen.cli.directory import NoClusterError
from pkigen.cli.session import open_record
from pkigen.cli.system import directory_of
from pkigen.errors import UsageError
from pkigen.notation import quoted

if TYPE_CHECKING:
    from pathlib import Path

    import typer

    from pkigen.cli.session import Session


def open_examined(
    context: typer.Context, spec: Path | None, directory: Path | None, *, templates: Path | None
) -> Session:
    """The cluster that `verify` and `status` look at, where they are not given files of nodes.

    Raises:
        NoClusterError: None is found; the hint names both things that can be looked at.
        UsageError: There is no lock file; the hint knows files of nodes.
        SpecError: The spec is invalid.
    """
    named = directory_of(context, directory)
    if named is not None and is_foreign(named):
        place.set(None)  # no command finds a cluster there
        raise UsageError(
            f"{named} is no cluster's directory: it has no {layout.LOCK_FILE}",
            hint=f"files of nodes are named without -C: `pkigen {context.info_name} {quoted(named)}`",
        )
    try:
        return open_record(context, spec, directory, templates=templates, reports_only=True)
    except NoClusterError as error:
        others = f"`pkigen {context.info_name} /etc/kubernetes`"
        raise NoClusterError(
            error.message,
            hint=f"{error.hint}; for nodes that pkigen did not make, name the path of their files: {others}",
        ) from None
