"""Paths for people."""

from __future__ import annotations

import pytest

from pkigen.spec.yaml_nodes import show_path


@pytest.mark.parametrize(
    ("steps", "shown"),
    [
        ((), ""),
        (("spec", "nodes", 2, "addresses", 0), "spec.nodes[2].addresses[0]"),
        (("spec", "admin.conf", "x"), 'spec["admin.conf"].x'),
        (('a"b\n\u202e',), '["a\\"b\\n\\u202e"]'),
        (("é",), '["\\u00e9"]'),
    ],
)
def test_paths(steps: tuple[str | int, ...], shown: str) -> None:
    assert show_path(steps) == shown
