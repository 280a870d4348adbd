"""The published schemas of what `-o json` prints: whoever reads one finds what each field means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"
LEAST = {"rollout": 30, "plan": 110, "fleet": 220}
"""How many properties each has at least, so that none is passed over unseen."""


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property, after the definition that has it."""
    for name, definition in {**schema.get("$defs", {}), schema["title"]: schema}.items():
        for key, value in definition.get("properties", {}).items():
            yield f"{name}.{key}", value


@pytest.mark.parametrize("document", LEAST)
def test_a_schema_describes_every_field(document: str) -> None:
    found = list(properties(json.loads((DOCS / f"{document}.schema.json").read_text())))
    assert len(found) >= LEAST[document]
    assert [name for name, value in found if not value.get("description")] == []
