"""`pkigen airgap bundle`: pack nodes for sites without a network, and install what was carried there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.commands.bundle_install import diff, inspect, install, rollback, verify
from pkigen.cli.document import document
from pkigen.cli.options import (
    DirectoryOption,
    Format,
    FormatOption,
    OwnSpecArgument,
    PassphraseFdOption,
    PassphraseFileOption,
    TemplatesOption,
)
from pkigen.cli.unlock import Unlocking, unlocked_beside
from pkigen.errors import UsageError

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def bundle() -> None:
    """Pack node bundles for sites without a network, and install them there."""


# -- at the authority -----------------------------------------------------------------------------------


@app.command("create")
@unlocked_beside
def create(
    context: typer.Context,
    spec: OwnSpecArgument = None,
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The medium: one file per node goes there.")
    ],
    directory: DirectoryOption = None,
    nodes: Annotated[
        list[str] | None, typer.Option("--node", metavar="NAME", help="Only this node; may be repeated.")
    ] = None,
    rescue: Annotated[
        bool,
        typer.Option(
            "--rescue",
            help="Pack the rescue kit instead: it recovers the cluster after its certificates have expired.",
        ),
    ] = False,
    recipient: Annotated[
        str | None,
        typer.Option(
            "--recipient", metavar="AGE1…", help="With --rescue: seal the kit for this age recipient."
        ),
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    passphrase_fd: PassphraseFdOption = None,
    unlocking: Unlocking,
    templates: TemplatesOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Pack one sealed and signed bundle for each node.

    A node with an ageRecipient in the spec gets its bundle sealed to that; the others' are sealed with a
    passphrase. The PKI directory must match the spec.
    """
    from pkigen.cli.passphrases import PassphraseSource
    from pkigen.cli.rescue_kit import make_kit
    from pkigen.cli.session import open_cluster
    from pkigen.cli.work.bundle import chosen, pack_all

    session = open_cluster(context, spec, directory, templates=templates).with_keys(unlocking)
    source = PassphraseSource(file=passphrase_file, descriptor=passphrase_fd)
    session.require_nodes("bundles are")
    if rescue:
        if nodes:
            raise UsageError("--rescue and --node cannot be combined: a kit is not for one node")
        with document(output) as content:
            content.update(make_kit(session, out, source=source, recipient=recipient))
        return
    if recipient is not None:
        raise UsageError(
            "--recipient can only be used with --rescue",
            hint="a node's recipient is its ageRecipient in the spec",
        )
    with document(output) as content:
        content.update(pack_all(session, chosen(session, nodes), source, out, named=bool(nodes)))


# -- on the node ----------------------------------------------------------------------------------------

app.command("verify")(verify)


app.command("inspect")(inspect)


app.command("diff")(diff)


app.command("install")(install)


app.command("rollback")(rollback)
