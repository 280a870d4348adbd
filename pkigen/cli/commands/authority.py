"""`pkigen airgap authority`: what is done to the authority itself, and with one that is never connected."""

from __future__ import annotations

import typer

from pkigen.cli.commands.authority_decrypt import decrypt
from pkigen.cli.commands.authority_encrypt import encrypt
from pkigen.cli.commands.authority_offline import init, renew, sign
from pkigen.cli.commands.authority_rekey import rekey
from pkigen.cli.commands.authority_site import accept, request

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def authority() -> None:
    """Encrypt the authority's private files, or work with an authority that is never connected.

    With certificates.authority: offline the site asks (`request`), the offline side signs (`sign`), and the
    site takes in (`accept`); what goes between them is two files. Both sides have the same spec.
    """


app.command("encrypt")(encrypt)
app.command("decrypt")(decrypt)
app.command("rekey")(rekey)
app.command("init")(init)
app.command("request")(request)
app.command("sign")(sign)
app.command("accept")(accept)
app.command("renew")(renew)
