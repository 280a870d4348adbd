"""`pkigen authority`: what is done to the authority itself; one file per command."""

from __future__ import annotations

import typer

from pkigen.cli.authority_decrypt import decrypt
from pkigen.cli.authority_encrypt import encrypt
from pkigen.cli.authority_rekey import rekey

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def authority() -> None:
    """Encrypt the authority's private files, or change what opens them."""


app.command("encrypt")(encrypt)
app.command("decrypt")(decrypt)
app.command("rekey")(rekey)
