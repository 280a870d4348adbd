"""The host that a bundle is for: options that say which it is, and its root directory, read or held alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkigen.airgap.carrier.paths import IDENTITY
from pkigen.errors import UsageError

if TYPE_CHECKING:
    from pkigen.cli.system import System
    from pkigen.store import Store

RootOption = Annotated[Path, typer.Option("--root", metavar="DIR", help="The node's root directory.")]
NodeOption = Annotated[
    str | None, typer.Option("--node", metavar="NAME", help="This node's name.  [default: this host's name]")
]
IdentityOption = Annotated[
    Path | None,
    typer.Option(
        "--identity",
        metavar="FILE",
        help=f"The node's age identity.  [default: ROOT/{IDENTITY}, if it exists]",
    ),
]


def looking(system: System, root: Path) -> Store:
    """A node for reading."""
    from pkigen.store import Store
    from pkigen.store.paths import NODE_PRIVATE

    require_root(root)
    return Store.open_reading(root, filesystem=system.filesystem, private=NODE_PRIVATE)


def changing(system: System, root: Path, command: str) -> Store:
    """A node, held alone."""
    from pkigen.store import Store
    from pkigen.store.paths import NODE_PRIVATE

    require_root(root)
    return Store.open(
        root, command=command, now=system.clock(), filesystem=system.filesystem, private=NODE_PRIVATE
    )


def require_root(root: Path) -> None:
    """Refuse a root directory that is none: nothing may come into being beside the node.

    Raises:
        UsageError: There is no such directory.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is not a directory", hint="--root must be the node's root directory")
