"""`pkigen node`: what is done on a node before anything is carried to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.bundles.media import write_file
from pkigen.cli.bundle import IDENTITY, RootOption
from pkigen.cli.console import note, say
from pkigen.cli.passphrases import read_identity
from pkigen.errors import PkigenError
from pkigen.sealing import Identity

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def node() -> None:
    """Prepare a node: make the key that its bundles are sealed to."""


@app.command("identity")
def identity(
    *,
    root: RootOption = Path("/"),
    show: Annotated[
        bool, typer.Option("--show", help="Only show the recipient of the key that is there.")
    ] = False,
) -> None:
    """Make this node's age key, and print its public half for the spec's ageRecipient.

    The private half stays in ROOT/var/lib/pkigen/identity.age and is never shown.
    """
    path = root / IDENTITY
    if not show:
        if path.exists():
            raise PkigenError(
                f"{path} exists: a new key could not open what was sealed to it",
                hint="show its recipient with --show; move it away to have a new one made",
            )
        write_file(path, f"{Identity.generate().text}\n".encode())
        note("next: carry this line to the authority, into the node's ageRecipient in the spec")
    say(read_identity(path).recipient.text)
