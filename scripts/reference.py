#!/usr/bin/env python3
"""Makes what the documentation says of the program from the program itself.

python scripts/reference.py

docs/reference/commands.md has every command, docs/*.schema.json are the JSON Schemas for editors and for
other programs, and docs/adr/README.md lists the decisions.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pkigen.cli.app import FAMILIES, PANELS
from pkigen.cli.reports.plan_document import plan_schema
from pkigen.cli.reports.rollout_document import rollout_schema
from pkigen.spec.json_schema import json_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).resolve().parent.parent / "docs"
HEAD = """\
# Every command

Made by `python scripts/reference.py` from the program itself; `pkigen COMMAND --help` explains each. Which
cluster a command works on is in [operations.md](../how-to/operations.md). Before the command may stand `-C`,
`-v`, `--color` and `--debug`.
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


def decisions() -> str:
    """The list of the decisions, by the headings of their pages."""
    lines = [
        "# Decisions\n",
        "What a reader of the code would otherwise have to guess: what was decided, why, what else was",
        "possible, and what it costs.\n",
    ]
    for page in sorted((DOCS / "adr").glob("[0-9]*.md")):
        heading = page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{heading.removeprefix('ADR ')}]({page.name})")
    return "\n".join(lines) + "\n"


def generated() -> dict[str, str]:
    """Every page and file that is made here, by its path below docs/."""
    return {
        "reference/commands.md": reference(),
        "adr/README.md": decisions(),
        "cluster.schema.json": json.dumps(json_schema(), indent=2) + "\n",
        "plan.schema.json": json.dumps(plan_schema(), indent=2) + "\n",
        "rollout.schema.json": json.dumps(rollout_schema(), indent=2) + "\n",
    }


def main() -> int:
    """Write them all."""
    for name, text in generated().items():
        (DOCS / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
