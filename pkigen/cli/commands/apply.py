"""`pkigen apply`: make the PKI directory what the spec asks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.change import Consent, change
from pkigen.cli.options import (
    ForceOption,
    Format,
    FormatOption,
    OutOption,
    RunbookOption,
    SpecArgument,
    TemplatesOption,
    YesOption,
)
from pkigen.cli.session import open_spec
from pkigen.cli.system import system_of
from pkigen.cli.unlock import Unlocking, unlocked
from pkigen.errors import UsageError

_LARGEST_PLAN = 1 << 28

app = typer.Typer(add_completion=False)


@app.command()
@unlocked
def apply(
    context: typer.Context,
    spec: SpecArgument,
    out: OutOption = None,
    *,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="Apply this saved plan; refused if it is stale."),
    ] = None,
    yes: YesOption = False,
    force: ForceOption = False,
    runbook: RunbookOption = None,
    templates: TemplatesOption = None,
    unlocking: Unlocking,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show the plan, ask, and apply it: completely or not at all.

    What it replaces goes to a backup first.
    """
    session = open_spec(system_of(context), spec, out=out, templates=templates)
    session = session.with_keys(unlocking)
    digest = _saved_digest(plan) if plan is not None else None
    change(
        session,
        "apply",
        consent=Consent(yes=yes, force=force),
        digest=digest,
        output=output,
        runbook=runbook,
    )


def _saved_digest(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_PLAN:
            raise UsageError(f"{path} is too large to be a saved plan")
        digest = json.loads(path.read_bytes())["digest"]
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {(error.strerror or 'input/output error').lower()}"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        digest = None
    if not isinstance(digest, str):
        raise UsageError(f"{path} is not a saved plan", hint="save one with `pkigen plan --save FILE`")
    return digest
