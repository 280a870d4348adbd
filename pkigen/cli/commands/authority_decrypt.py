"""`pkigen airgap authority decrypt`: private files are unencrypted again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from pkigen.cli.options import DirectoryOption, Format, FormatOption, YesOption
from pkigen.cli.unlock import Unlocking, unlocked

if TYPE_CHECKING:
    from pkigen.cli.session import Session
    from pkigen.state.vault import Vault
    from pkigen.store import Store


@unlocked
def decrypt(
    context: typer.Context,
    *,
    directory: DirectoryOption = None,
    unlocking: Unlocking,
    yes: YesOption = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Decrypt an authority's private files: they are then as `pkigen init` makes them by default."""
    from pkigen.cli.resealed import carry_out
    from pkigen.cli.session import open_record
    from pkigen.state.encryption import Resealing
    from pkigen.state.vault import PlainVault, sealed_identity

    def ready(_session: Session, store: Store) -> bool:
        return sealed_identity(store) is not None

    def vaults(session: Session, store: Store) -> tuple[Vault, Vault]:
        return session.unlocking.vault(store), PlainVault()

    session = open_record(context, None, directory)
    session = session.with_keys(unlocking)
    carry_out(session, Resealing.DECRYPT, ready=ready, vaults=vaults, yes=yes, output=output)
