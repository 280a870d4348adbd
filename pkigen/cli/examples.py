"""Commented specs to start from: `pkigen init --example`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import pkigen
from pkigen.cli.console import say, say_line
from pkigen.errors import UsageError


def example_directory() -> Path:
    """Where the examples are: in the wheel, or at the top of a checkout."""
    package = Path(pkigen.__file__).parent
    shipped = package / "_examples"
    return shipped if shipped.is_dir() else package.parent / "examples"


def _say_example(name: str | None) -> None:
    """Print an example and end, whatever else stands on the command line.

    Raises:
        UsageError: There is none of this name.
    """
    if name is None:
        return
    names = _names()
    if name not in names:
        raise UsageError(f"there is no example {name!r}", hint=f"choose one of {', '.join(names)}")
    say((example_directory() / f"{name}.yaml").read_text(encoding="utf-8"))
    raise typer.Exit


def _say_examples(*, value: bool) -> None:
    """List the examples and end."""
    if not value:
        return
    for each in _names():
        # Each example begins with a comment that says what it is for, so that the list cannot disagree with
        # it.
        first = (example_directory() / f"{each}.yaml").read_text(encoding="utf-8").partition("\n")[0]
        say_line(f"{each}: {first.removeprefix('#').strip()}")
    raise typer.Exit


def _names() -> list[str]:
    return sorted(path.stem for path in example_directory().glob("*.yaml"))


ExampleOption = Annotated[
    str | None,
    typer.Option(
        "--example",
        metavar="NAME",
        help="Print a commented spec to start from, and make nothing.",
        callback=_say_example,
        is_eager=True,
    ),
]
ExamplesOption = Annotated[
    bool,
    typer.Option(
        "--examples", help="List the examples, and make nothing.", callback=_say_examples, is_eager=True
    ),
]
