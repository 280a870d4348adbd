"""`pkigen airgap authority encrypt`: unencrypted private files are sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from pkigen.cli.options import DirectoryOption, Format, FormatOption, YesOption
from pkigen.cli.unlock import (
    AuthorityFdOption,
    AuthorityFileOption,
    AuthorityIdentityOption,
    Locking,
    RecipientOption,
)

if TYPE_CHECKING:
    from pkigen.cli.session import Session
    from pkigen.state.vault import Vault
    from pkigen.store import Store


def encrypt(
    context: typer.Context,
    *,
    directory: DirectoryOption = None,
    passphrase_file: AuthorityFileOption = None,
    passphrase_fd: AuthorityFdOption = None,
    identity: AuthorityIdentityOption = None,
    recipient: RecipientOption = None,
    yes: YesOption = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Encrypt every private file of an unencrypted authority, all or none.

    All backups go, because they contain the keys unencrypted. The spec must not put CA keys on nodes
    (certificates.distributeCAKeys: false).
    """
    from pkigen.cli.resealed import carry_out
    from pkigen.cli.session import open_record
    from pkigen.reconcile.planner import require_no_ca_keys_on_nodes
    from pkigen.state.encryption import Resealing
    from pkigen.state.vault import PlainVault, SealedVault, sealed_identity

    locking = Locking(file=passphrase_file, descriptor=passphrase_fd, identity=identity, recipient=recipient)

    def ready(session: Session, store: Store) -> bool:
        # The node trees hold copies of what would be encrypted, and copies for nodes have to stay readable.
        require_no_ca_keys_on_nodes(session.inventory)
        return sealed_identity(store) is None

    def vaults(_session: Session, _store: Store) -> tuple[Vault, Vault]:
        return PlainVault(), SealedVault.new(locking.seal())

    session = open_record(context, None, directory)
    carry_out(session, Resealing.ENCRYPT, ready=ready, vaults=vaults, yes=yes, output=output)
