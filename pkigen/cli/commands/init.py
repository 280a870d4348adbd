"""`pkigen init`: the first run."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen import layout
from pkigen.cli.console import warn
from pkigen.cli.directory import first_directory
from pkigen.cli.examples import ExampleOption, ExamplesOption
from pkigen.cli.options import FirstDirectoryOption, Format, FormatOption, SpecArgument, TemplatesOption
from pkigen.cli.system import directory_of, system_of
from pkigen.cli.unlock import (
    AuthorityFdOption,
    AuthorityFileOption,
    AuthorityIdentityOption,
    Locking,
    RecipientOption,
    Unlocking,
)
from pkigen.errors import UsageError

if TYPE_CHECKING:
    from pkigen.crypto.algorithms import KeyAlgorithm
    from pkigen.desired.inventory import Inventory

app = typer.Typer(add_completion=False)

_LARGEST_GUESSED = 1 << 20  # bytes
_ALWAYS_MADE = 4
"""Three CAs and the service account key."""


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
    from pkigen.crypto.key_makers import making

    with making(() if dry_run else _guessed(spec)) as guessed:
        # Imported only now: with RSA, other processes make the keys while this one reads its own code.
        from pkigen.cli.spec_input import read_spec
        from pkigen.desired.inventory import derive

        loaded = read_spec(spec)
        warn(loaded.warnings)
        inventory = derive(loaded.spec)
        root = first_directory(directory_of(context, directory), spec, loaded.spec.file_name)
        expected = () if dry_run or (root / layout.LOCK_FILE).exists() else _keys_of(inventory)
        with making(expected, ahead=guessed) as makers:
            from pkigen.cli.session import session_of

            session = replace(
                session_of(system_of(context), inventory, root=root, templates=templates, makers=makers),
                named=spec,
                text=loaded.text,
                adopted=loaded.text,
            )
            if dry_run:
                from pkigen.cli import rehearsal

                rehearsal.show(session, output, full=full)
            else:
                from pkigen.cli import first_run

                session = session.with_keys(
                    Unlocking(file=passphrase_file, descriptor=passphrase_fd, identity=identity)
                )
                first_run.make(session, output, locking if encrypt_authority else None)


def _guessed(spec: Path) -> tuple[KeyAlgorithm, ...]:
    """The keys that every new PKI needs, where the spec's text names an algorithm whose keys take long.

    A wrong guess costs some work of another process; what is made depends on the spec as it is read.
    """
    from pkigen.crypto.keys import ALGORITHMS

    with suppress(OSError):
        # What can be read once only, such as a pipe, is left to whoever reads it.
        text = spec.read_bytes() if spec.is_file() and spec.stat().st_size <= _LARGEST_GUESSED else b""
        for name, algorithm in ALGORITHMS.items():
            if algorithm.slow_to_generate and name.encode() in text:
                return (name,) * _ALWAYS_MADE
    return ()


def _keys_of(inventory: Inventory) -> tuple[KeyAlgorithm, ...]:
    """What a run that finds nothing has to make."""
    from pkigen.desired.items import DesiredCertificate, DesiredKeyPair

    return tuple(
        item.key_algorithm
        for item in inventory.items
        if isinstance(item, DesiredCertificate | DesiredKeyPair)
        and not (isinstance(item, DesiredCertificate) and item.key_is_elsewhere)
    )
