"""Nothing stands in the package or in its scripts that nobody uses; tests do not count as use."""

from __future__ import annotations

import re
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
    "with": ("kind_", "trace"),
    "a spec or an option that gives the value": ("AESCBC", "AESGCM", "JSON"),
    "the published document of a plan": ("copies_in_turn",),
    "whoever wants all that stat says": ("links",),
}
REGISTERED = ["@app.command", "@app.callback", "@*.register"]


def unused(code: str = "") -> list[str]:
    """What vulture finds in the sources of the product, and in code that is added to them."""
    names = [name for group in USED_BY_NAME.values() for name in group]
    vulture = Vulture(ignore_names=names, ignore_decorators=REGISTERED)
    vulture.scavenge([str(TOP / folder) for folder in ("pkigen", "scripts", "benchmarks")])
    # The fields of a template's context are used where the template names them.
    pages = TOP / "pkigen/cli/reports/pages"
    for template in (*(TOP / "templates").rglob("*.j2"), *pages.glob("*.html"), *pages.glob("*.svg")):
        words = re.findall(r"[a-z_]+", template.read_text(encoding="utf-8"))
        vulture.used_names.update(words)
    vulture.scan(code)
    return [
        f"{Path(item.filename).resolve().relative_to(TOP) if item.filename.is_absolute() else 'added'}:"
        f"{item.first_lineno}: {item.message}"
        for item in vulture.get_unused_code(min_confidence=60)
    ]


def test_all_code_is_used() -> None:
    assert unused() == []


@pytest.mark.parametrize(
    "code", ["def left_behind() -> None: ...", "class LeftBehind: ...", "from os import left_behind"]
)
def test_what_is_forgotten_is_found(code: str) -> None:
    assert any(re.search("left_behind|LeftBehind", finding) for finding in unused(code))
