"""`pkigen airgap authority rekey`: another passphrase or identity opens the authority."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.cli.options import DirectoryOption, Format, FormatOption, YesOption
from pkigen.cli.unlock import Locking, RecipientOption, Unlocking, unlocked
from pkigen.errors import UsageError
from pkigen.notation import dir_option

if TYPE_CHECKING:
    from pkigen.cli.session import Session
    from pkigen.state.vault import Vault
    from pkigen.store import Store


@unlocked
def rekey(
    context: typer.Context,
    *,
    directory: DirectoryOption = None,
    unlocking: Unlocking,
    new_passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--new-passphrase-file",
            metavar="FILE",
            help="The new passphrase, from a file that only its owner can read.",
        ),
    ] = None,
    new_passphrase_fd: Annotated[
        int | None,
        typer.Option("--new-passphrase-fd", metavar="N", min=0, help="The same from this open descriptor."),
    ] = None,
    new_identity: Annotated[
        Path | None,
        typer.Option("--new-identity", metavar="FILE", help="The age identity that is to open it."),
    ] = None,
    recipient: RecipientOption = None,
    yes: YesOption = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Change the passphrase of an encrypted authority, or the identity that opens it.

    Every private file is sealed again, for a key that the old passphrase never opened, and all backups go. A
    copy that was made before can still be opened with the old one: if there may be one, rotate the keys.
    """
    from pkigen.cli.resealed import carry_out
    from pkigen.cli.session import open_record
    from pkigen.state.encryption import Resealing
    from pkigen.state.vault import SealedVault, sealed_identity

    locking = Locking(
        file=new_passphrase_file, descriptor=new_passphrase_fd, identity=new_identity, recipient=recipient
    )

    def ready(session: Session, store: Store) -> bool:
        if sealed_identity(store) is None:
            raise UsageError(
                f"the authority of {session.root} is not encrypted",
                hint=f"`pkigen airgap authority encrypt {dir_option(session.root)}` does it",
            )
        return True

    def vaults(session: Session, store: Store) -> tuple[Vault, Vault]:
        old = session.unlocking.vault(store)
        return old, SealedVault.new(locking.seal())

    session = open_record(context, None, directory)
    session = session.with_keys(unlocking)
    carry_out(session, Resealing.REKEY, ready=ready, vaults=vaults, yes=yes, output=output)
