"""No function decides more than ten things (radon's ranks A and B), or a comment above it says why."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest
from radon.complexity import cc_visit  # type: ignore[import-untyped]

from tests.project.conftest import TOP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST = 10
REASON = "# complexity: "
SOURCES = sorted(
    path for folder in ("pkigen", "scripts", "benchmarks") for path in (TOP / folder).rglob("*.py")
)


def too_complex(source: str) -> Iterator[str]:
    """The functions and methods over the bound that give no reason, with their complexity."""
    lines = source.splitlines()
    for block in cc_visit(source):
        # A class is as complex as its methods on average; each of them is a block of its own too.
        if not hasattr(block, "is_method") or block.complexity <= MOST:
            continue
        above = block.lineno - 2
        while lines[above].lstrip().startswith(("@", "#")):
            if lines[above].lstrip().startswith(REASON):
                break
            above -= 1
        else:
            yield f"{block.name}: {block.complexity}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(TOP)))
def test_no_function_decides_too_much(path: Path) -> None:
    assert list(too_complex(path.read_text(encoding="utf-8"))) == []


def function(decisions: int, *above: str) -> str:
    body = "".join(f"    if a == {number}:\n        return {number}\n" for number in range(decisions))
    return "\n".join(["import os", "", *above, "def f(a):", body + "    return a"])


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (function(MOST - 1), []),
        (function(MOST), ["f: 11"]),
        (function(MOST, "# one table in words"), ["f: 11"]),
        (function(MOST, "# complexity: one table in words"), []),
        (function(MOST, "# complexity: one table in words", "@os.decorated"), []),
        (f"class C:\n{textwrap.indent(function(MOST), '    ')}", ["f: 11"]),
    ],
)
def test_the_bound_is_held_unless_a_reason_is_given(source: str, found: list[str]) -> None:
    assert list(too_complex(source)) == found
