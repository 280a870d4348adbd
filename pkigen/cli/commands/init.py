"""`pkigen init`: the first run."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from pkigen import layout
from pkigen.cli.console import warn
from pkigen.cli.directory import first_directory
from pkigen.cli.examples import ExampleOption, ExamplesOption
from pkigen.cli.key_forecast import keys_of
from pkigen.cli.options import FirstDirectoryOption, Format, FormatOption, SpecArgument, TemplatesOption
from pkigen.cli.system import directory_of, makers_of, system_of
from pkigen.cli.unlock import (
    AuthorityFdOption,
    AuthorityFileOption,
    AuthorityIdentityOption,
    Locking,
    RecipientOption,
    Unlocking,
)
from pkigen.errors import UsageError

app = typer.Typer(add_completion=False)


@app.command()
def init(
    context: typer.Context,
    spec: SpecArgument,
    *,
    directory: FirstDirectoryOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be made; write nothing.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="With --dry-run: show every object.")] = False,
    encrypt_authority: Annotated[
        bool,
        typer.Option(
            "--encrypt-authority",
            help="Encrypt every private file of DIR/pki with age, for a passphrase or an age identity.",
        ),
    ] = False,
    passphrase_file: AuthorityFileOption = None,
    passphrase_fd: AuthorityFdOption = None,
    identity: AuthorityIdentityOption = None,
    recipient: RecipientOption = None,
    templates: TemplatesOption = None,
    output: FormatOption = Format.TEXT,
    example: ExampleOption = None,  # noqa: ARG001 -- handled by its callback
    listing: ExamplesOption = False,  # noqa: ARG001 -- the same
) -> None:
    """Make a cluster's whole PKI from its spec.

    That is CAs, certificates, kubeconfigs, manifests and flags, for every node, and the spec itself as
    DIR/cluster.yaml: from then on that file is the cluster's spec, to be edited there.

    CAs that are already in DIR/pki are used. A second run with the same spec changes nothing; a changed spec
    is refused and left to `pkigen plan`.
    """
    locking = Locking(file=passphrase_file, descriptor=passphrase_fd, identity=identity, recipient=recipient)
    if locking.is_given and not encrypt_authority:
        raise UsageError("a passphrase, identity or recipient can only be used with --encrypt-authority")
    from pkigen.cli.session import session_of
    from pkigen.cli.spec_input import read_spec
    from pkigen.crypto.key_makers import making
    from pkigen.desired.inventory import derive

    loaded = read_spec(spec)
    warn(loaded.warnings)
    inventory = derive(loaded.spec)
    root = first_directory(directory_of(context, directory), spec, loaded.spec.file_name)
    # Neither a dry run nor a second run makes keys.
    expected = () if dry_run or (root / layout.LOCK_FILE).exists() else keys_of(inventory)
    with making(expected, ahead=makers_of(context)) as makers:
        session = replace(
            session_of(system_of(context), inventory, root=root, templates=templates, makers=makers),
            named=spec,
            text=loaded.text,
            adopted=loaded.text,
        )
        # Imported where they are used: a dry run pays for neither the vault nor the transaction.
        if dry_run:
            from pkigen.cli import rehearsal

            rehearsal.show(session, output, full=full)
        else:
            from pkigen.cli import first_run

            session = session.with_keys(
                Unlocking(file=passphrase_file, descriptor=passphrase_fd, identity=identity)
            )
            first_run.make(session, output, locking if encrypt_authority else None)
