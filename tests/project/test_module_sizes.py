"""No module grows until its docstring needs an "and"."""

from __future__ import annotations

from pathlib import Path

import pytest

import pkigen

PACKAGE = Path(pkigen.__file__).parent
MOST_LINES = 430


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_a_module_can_be_read_at_once(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
