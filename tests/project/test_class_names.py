"""One name stands for one thing: no two classes of the package share a name."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.project.test_imports import modules


def classes(sources: dict[str, str]) -> dict[str, list[str]]:
    """The modules that define a class, by the class's name; a leading underscore makes no other name."""
    found: dict[str, list[str]] = defaultdict(list)
    for module, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                found[node.name.lstrip("_")].append(module)
    return found


def test_each_class_has_a_name_of_its_own() -> None:
    found = classes({module.name: module.source for module in modules()})
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def test_two_classes_of_one_name_are_found() -> None:
    found = classes({"a": "class Entry: ...", "b": "class _Entry: ...", "c": "def Entry(): ..."})
    assert found == {"Entry": ["a", "b"]}
