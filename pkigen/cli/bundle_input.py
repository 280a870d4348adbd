"""Which bundle is looked at on which host: options that several commands share, as one value."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated

import typer

from pkigen.cli.grouped import grouped
from pkigen.cli.host import IdentityOption, NodeOption, RootOption
from pkigen.cli.options import PassphraseFdOption, PassphraseFileOption
from pkigen.records import dataclass

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The bundle.")]
PinOption = Annotated[
    str | None,
    typer.Option(
        "--pin",
        metavar="FINGERPRINT",
        help="The cluster's bundle key, as `init` and `bundle create` print it.  "
        "[default: the one of the last install]",
    ),
]
MaxAgeOption = Annotated[
    str, typer.Option("--max-age", metavar="DURATION", help="The oldest bundle to accept.")
]
AllowOlderOption = Annotated[
    bool, typer.Option("--allow-older", help="Accept a bundle older than what is installed.")
]
DirectoryOption = Annotated[
    str | None,
    typer.Option(
        "--certificates-dir",
        metavar="DIR",
        help="Accept certificates in this directory, if the spec's certificates.directory is not "
        "/etc/kubernetes/pki.",
    ),
]
# A medium that is older was lost or held back on its way: what it brings may be revoked or rotated since.
_A_MONTH = "720h"


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitOptions:
    """What the command line says of a bundle and its host; nothing of it is looked at yet."""

    context: typer.Context = field(repr=False)
    file: Path
    root: Path
    node: str | None = None
    pin: str | None
    identity: Path | None
    passphrase_file: Path | None
    passphrase_fd: int | None
    max_age: str = _A_MONTH
    allow_older: bool
    certificates_dir: str | None


def _visiting(
    context: typer.Context,
    file: FileArgument,
    *,
    root: RootOption = Path("/"),
    node: NodeOption = None,
    pin: PinOption = None,
    identity: IdentityOption = None,
    passphrase_file: PassphraseFileOption = None,
    passphrase_fd: PassphraseFdOption = None,
    max_age: MaxAgeOption = _A_MONTH,
    allow_older: AllowOlderOption = False,
    certificates_dir: DirectoryOption = None,
) -> VisitOptions:
    return VisitOptions(
        context=context,
        file=file,
        root=root,
        node=node,
        pin=pin,
        identity=identity,
        passphrase_file=passphrase_file,
        passphrase_fd=passphrase_fd,
        max_age=max_age,
        allow_older=allow_older,
        certificates_dir=certificates_dir,
    )


visiting = grouped(_visiting)
"""A command that is given its `VisitOptions`, and the arguments and options that they are made of."""
