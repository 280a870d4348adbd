#!/usr/bin/env python3
"""Makes docs/reference.md: every command with its arguments and options, as the program itself declares them.

python scripts/reference.py [--check]
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pkigen.cli.app import FAMILIES, PANELS

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(__file__).resolve().parent.parent / "docs" / "reference.md"
HEAD = """\
# Every command

Made by `python scripts/reference.py` from the program itself; `pkigen COMMAND --help` explains each. Which
cluster a command works on is in [operations.md](operations.md). Before the command may stand `-C`, `-v`,
`--color` and `--debug`.
"""


def leaves() -> Iterator[tuple[str, str, Any]]:
    """The panel, the words and the click command of everything that can be run."""
    for panel, names in PANELS.items():
        for name in names:
            if name not in FAMILIES:
                yield from ((panel, words, leaf) for words, leaf in _within(name, name))
                continue
            for member in FAMILIES[name]:
                yield from ((panel, words, leaf) for words, leaf in _within(member, f"{name} {member}"))


def _within(name: str, words: str) -> Iterator[tuple[str, Any]]:
    """A command, or those below it."""
    module = import_module(f"pkigen.cli.commands.{name.replace('-', '_')}")
    command = typer.main.get_command(module.app)
    below = getattr(command, "commands", None)
    if below is None:
        yield words, command
    else:
        yield from ((f"{words} {each}", leaf) for each, leaf in below.items())


def reference() -> str:
    """The page's text."""
    lines, shown = [HEAD], ""
    for panel, words, command in leaves():
        if panel != shown:
            lines += [f"\n## {panel.capitalize()}", "| command | options |", "|---|---|"]
            shown = panel
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        usage = " ".join(["pkigen", words, *(_argument(each) for each in arguments)])
        options = [
            each for each in command.params if each.param_type_name == "option" and each.name != "help"
        ]
        listed = ", ".join(f"`{' '.join(sorted(each.opts))}`" for each in options)
        lines.append(
            f"| `{usage}` | {listed} |".replace("|KIT", "\\|KIT")
            .replace("|FILE", "\\|FILE")
            .replace("|TREE", "\\|TREE")
        )
    return "\n".join(lines) + "\n"


def _argument(argument: Any) -> str:
    shown = str(argument.metavar)
    if argument.nargs == -1 and not shown.endswith("..."):
        shown += "..."
    return shown if argument.required else f"[{shown}]"


def main() -> int:
    """Write the page, or compare it."""
    text = reference()
    if "--check" in sys.argv:
        return 0 if FILE.read_text(encoding="utf-8") == text else 1
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
