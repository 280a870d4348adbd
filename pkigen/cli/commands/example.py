"""`pkigen example`: commented specs to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import pkigen
from pkigen.cli.console import say, say_line
from pkigen.errors import UsageError

app = typer.Typer(add_completion=False)


def example_directory() -> Path:
    """Where the examples are: in the wheel, or at the top of a checkout."""
    package = Path(pkigen.__file__).parent
    shipped = package / "_examples"
    return shipped if shipped.is_dir() else package.parent / "examples"


@app.command()
def example(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The example's name; --list prints the names.")
    ] = "single",
    *,
    listing: Annotated[bool, typer.Option("--list", help="Print the names of the examples.")] = False,
) -> None:
    """Print a commented spec to start from."""
    directory = example_directory()
    names = sorted(path.stem for path in directory.glob("*.yaml"))
    if listing:
        for each in names:
            first = (directory / f"{each}.yaml").read_text(encoding="utf-8").partition("\n")[0]
            say_line(f"{each}: {first.removeprefix('#').strip()}")
        return
    if name not in names:
        raise UsageError(f"there is no example {name!r}", hint=f"choose one of {', '.join(names)}")
    say((directory / f"{name}.yaml").read_text(encoding="utf-8"))
