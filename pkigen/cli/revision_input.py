"""What the commands that revoke begin with: options that they share, as one value."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.grouped import grouped
from pkigen.cli.options import Format, FormatOption, SaveOption, YesOption
from pkigen.errors import UsageError
from pkigen.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Revising:
    """What becomes of the plan."""

    yes: bool
    output: Format
    save: Path | None = None
    dry_run: bool = False


def _revising(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; write nothing.")
    ] = False,
    save: SaveOption = None,
    yes: YesOption = False,
    output: FormatOption = Format.TEXT,
) -> Revising:
    if dry_run and save is not None:
        raise UsageError("--dry-run and --save cannot be combined", hint="--save changes nothing either")
    return Revising(yes=yes, output=output, save=save, dry_run=dry_run)


revising = grouped(_revising)
"""A command that is given its `Revising`, and the options that it is made of."""
