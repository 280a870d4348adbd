"""Commands that sentences hold in backquotes, made to find the cluster that the command line found.

Whatever refuses, in whatever room, says `pkigen plan`: only here is known how the cluster was named.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path  # Typer evaluates what callbacks take
from typing import TYPE_CHECKING, Any

import typer

from pkigen.notation import dir_option

if TYPE_CHECKING:
    from collections.abc import Sequence

place: ContextVar[Path | None] = ContextVar("place", default=None)
"""The cluster's directory, where no command finds it by itself: -C names it, or a spec does."""
# Not what runs or was interrupted: that was begun as somebody else has named the cluster.
_COMMAND = re.compile(r"(?<!is in use by )(?<!an interrupted )`pkigen ([a-z][^`]*)`")
_TREE = "TREE"
"""What stands for files that pkigen did not make: who examines them names no cluster."""
_ANY = "…"
"""What stands for a command that the sentence leaves open."""


def found_at(directory: Path) -> Path:
    """From now on, commands that are said in this run name this cluster."""
    place.set(directory)
    return directory


def named_place(directory: Path | None) -> Path | None:
    """Take what -C says, while the command line is read."""
    return directory if directory is None else found_at(directory)


def addressed_here(text: str) -> str:
    """A text whose commands find this run's cluster from where this run was begun."""
    directory = place.get()
    return text if directory is None else addressed(text, directory)


def addressed(text: str, directory: Path | str) -> str:
    """A text whose commands name a cluster's directory, if they work on one and name none."""
    option = dir_option(directory)

    def with_option(found: re.Match[str]) -> str:
        words = found[1].split()
        is_open = not {"-C", "--dir", "--help", _TREE} & set(words) and takes_directory(words)
        return f"{found[0][:-1]} {option}`" if is_open else found[0]

    return _COMMAND.sub(with_option, text)


def takes_directory(words: Sequence[str]) -> bool:
    """Whether a command works on a cluster's directory."""
    from pkigen.cli.app import LEAVES  # noqa: PLC0415 -- it imports this module

    leaf = next((leaf for leaf in LEAVES if tuple(words[: len(leaf)]) == leaf), None)
    if leaf is None:
        return False
    module = import_module(f"pkigen.cli.commands.{leaf[-1].replace('-', '_')}")
    command: Any = typer.main.get_command(module.app)
    for word in words[len(leaf) :]:
        below = getattr(command, "commands", {})
        # Whichever it is: they have this option alike.
        name = next(iter(below), word) if word == _ANY else word
        if name not in below:
            break
        command = below[name]
    return any(map(is_place, command.params))


def is_place(parameter: Any) -> bool:
    """Whether a parameter of a command is what names a cluster's directory."""
    return "-C" in parameter.opts
