"""Nothing stands in the package or in its scripts that nobody uses; tests do not count as use."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from vulture import Vulture  # type: ignore[import-untyped]

TOP = Path(__file__).resolve().parents[2]
# What is used by its name, by programs that vulture does not see.
USED_BY_NAME = {
    "typer": (
        "rich_markup_mode",
        "short_help",
        "format_commands",
        "expose_value",
        "__signature__",
        "__annotations__",
    ),
    "pydantic": ("model_config",),
    "Python": ("dont_write_bytecode", "whitespace_split"),
    "with": ("kind_", "trace"),
    "a spec or an option that gives the value": ("AESCBC", "AESGCM", "JSON"),
    "the published document of a plan": ("copies_in_turn",),
    "the published documents of fleets": ("expiries", "effective_expiry", "residual_seconds", "signed_by"),
    "whoever wants all that stat says": ("links",),
}
REGISTERED = ["@app.command", "@app.callback", "@*.register", "@pytest.hookimpl"]


# What somebody could leave behind, each under a name of its own.
FORGOTTEN = {
    "function": "def left_behind() -> None: ...",
    "class": "class LeftBehind: ...",
    "import": "from os import left_imported",
}


@cache
def unused() -> tuple[str, ...]:
    """What vulture finds in the sources of the product, and in `FORGOTTEN`: one look at all of it."""
    names = [name for group in USED_BY_NAME.values() for name in group]
    vulture = Vulture(ignore_names=names, ignore_decorators=REGISTERED)
    vulture.scavenge([str(TOP / folder) for folder in ("pkigen", "scripts", "benchmarks")])
    # The fields of a template's context are used where the template names them.
    pages = TOP / "pkigen/cli/reports/pages"
    for template in (*(TOP / "templates").rglob("*.j2"), *pages.glob("*.html"), *pages.glob("*.svg")):
        words = re.findall(r"[a-z_]+", template.read_text(encoding="utf-8"))
        vulture.used_names.update(words)
    vulture.scan("\n".join(FORGOTTEN.values()))
    return tuple(
        f"{Path(item.filename).resolve().relative_to(TOP) if item.filename.is_absolute() else 'added'}:"
        f"{item.first_lineno}: {item.message}"
        for item in vulture.get_unused_code(min_confidence=60)
    )


def unused_here(code: str) -> set[str]:
    """Private functions, methods and classes that their own module does not use: vulture looks in all."""
    tree = ast.parse(code)
    nodes = tuple(ast.walk(tree))
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    used |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return {name for name in defined - used if name.strip("_") and re.match("_[^_]", name)}


def test_all_code_is_used() -> None:
    assert [finding for finding in unused() if not finding.startswith("added")] == []


def test_private_code_is_used_where_it_is() -> None:
    sources = [path for folder in ("pkigen", "scripts") for path in (TOP / folder).rglob("*.py")]
    assert len(sources) > 100
    assert {path.name: found for path in sources if (found := unused_here(path.read_text("utf-8")))} == {}
    assert unused_here("def _left() -> None: ...\ndef _used() -> None: _used()") == {"_left"}


@pytest.mark.parametrize("kind", FORGOTTEN)
def test_what_is_forgotten_is_found(kind: str) -> None:
    assert any(finding.startswith("added") and f"unused {kind}" in finding for finding in unused())
