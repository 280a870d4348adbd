"""How a command gets at an encrypted authority: never by an argument's or a variable's content."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.cli.console import note
from pkigen.cli.grouped import grouped
from pkigen.errors import UsageError
from pkigen.records import dataclass

if TYPE_CHECKING:
    from pkigen.crypto.age import Seal, Unseal
    from pkigen.state.observed import Reader
    from pkigen.state.vault import Vault

_FILE = "Read the passphrase of an encrypted authority from a file that only its owner can read."
_DESCRIPTOR = "The same from this open descriptor."
_IDENTITY = "The age identity that opens an authority encrypted for one."

AuthorityFileOption = Annotated[Path | None, typer.Option("--passphrase-file", metavar="FILE", help=_FILE)]
AuthorityFdOption = Annotated[
    int | None, typer.Option("--passphrase-fd", metavar="N", min=0, help=_DESCRIPTOR)
]
AuthorityIdentityOption = Annotated[Path | None, typer.Option("--identity", metavar="FILE", help=_IDENTITY)]
_OtherFileOption = Annotated[
    Path | None, typer.Option("--authority-passphrase-file", metavar="FILE", help=_FILE)
]
_OtherFdOption = Annotated[
    int | None, typer.Option("--authority-passphrase-fd", metavar="N", min=0, help=_DESCRIPTOR)
]
_OtherIdentityOption = Annotated[
    Path | None, typer.Option("--authority-identity", metavar="FILE", help=_IDENTITY)
]

RecipientOption = Annotated[
    str | None,
    typer.Option(
        "--recipient",
        metavar="AGE1…",
        help="Encrypt the authority for this age recipient; its owner opens it.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlocking:
    """What the command line says about opening the authority; nothing of it is read before it is needed."""

    file: Path | None = None
    descriptor: int | None = None
    identity: Path | None = None

    def vault(self, reader: Reader) -> Vault:
        """The authority's private files: as they are, or opened.

        Raises:
            UsageError: They are encrypted in another way than the command line says.
            AuthorityError: They do not open.
        """
        # Here and below: the help of a command shows these options, and opens nothing.
        from pkigen.state.vault import PlainVault, SealedVault, sealed_identity

        sealed = sealed_identity(reader)
        if sealed is None:
            # Said, not refused: a script gives the passphrase for encrypted and open directories alike.
            if self.is_given:
                note("note: the authority is not encrypted: the passphrase or identity was not needed")
            return PlainVault()
        return SealedVault.unlock(reader, sealed, self._key(sealed))

    @property
    def is_given(self) -> bool:
        """Whether anything was said."""
        return self.file is not None or self.descriptor is not None or self.identity is not None

    def _key(self, sealed: bytes) -> Unseal:
        """What opens the authority, by how it was closed; raises `UsageError` where the other was given."""
        from pkigen.cli.passphrases import PassphraseSource, read_identity
        from pkigen.crypto.age_header import is_passphrase_sealed

        if is_passphrase_sealed(sealed):
            if self.identity is not None:
                raise UsageError(
                    "the authority is encrypted with a passphrase, not for an identity",
                    hint="give the passphrase with --passphrase-file, --passphrase-fd or at the prompt",
                )
            return PassphraseSource(file=self.file, descriptor=self.descriptor).read("the authority's keys")
        if self.identity is None:
            raise UsageError(
                "the authority is encrypted for an age identity", hint="give the identity: --identity FILE"
            )
        return read_identity(self.identity)


def _unlocked(
    *,
    passphrase_file: AuthorityFileOption = None,
    passphrase_fd: AuthorityFdOption = None,
    identity: AuthorityIdentityOption = None,
) -> Unlocking:
    """How an encrypted authority is opened, from the options that several commands share."""
    return Unlocking(file=passphrase_file, descriptor=passphrase_fd, identity=identity)


def _unlocked_beside(
    *,
    authority_passphrase_file: _OtherFileOption = None,
    authority_passphrase_fd: _OtherFdOption = None,
    authority_identity: _OtherIdentityOption = None,
) -> Unlocking:
    """The same where the plain names are taken by what else the command opens."""
    return Unlocking(
        file=authority_passphrase_file, descriptor=authority_passphrase_fd, identity=authority_identity
    )


unlocked = grouped(_unlocked)
"""A command that is given an `Unlocking`, and its options."""
unlocked_beside = grouped(_unlocked_beside)
"""The same where a passphrase and an identity belong to something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Locking:
    """What the command line says about whom an authority is to be encrypted for."""

    file: Path | None = None
    descriptor: int | None = None
    identity: Path | None = None
    recipient: str | None = None

    @property
    def is_given(self) -> bool:
        """Whether anything was said."""
        return any(each is not None for each in (self.file, self.descriptor, self.identity, self.recipient))

    def seal(self) -> Seal:
        """The passphrase, asked for twice at a terminal, or the recipient.

        Raises:
            UsageError: More than one was named, or one is none.
        """
        from pkigen.cli.passphrases import PassphraseSource, read_identity
        from pkigen.crypto.age import Recipient

        named = [self.file is not None or self.descriptor is not None, self.identity, self.recipient]
        if sum(map(bool, named)) > 1:
            raise UsageError("give only one of passphrase, identity and recipient")
        if self.identity is not None:
            return read_identity(self.identity).recipient
        if self.recipient is not None:
            return Recipient(self.recipient)
        return PassphraseSource(file=self.file, descriptor=self.descriptor).read(
            "the authority's keys", new=True
        )
