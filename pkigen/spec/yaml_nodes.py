"""Values of a YAML file that remember where they stand, and their paths for people."""

from __future__ import annotations

import json
import re
from dataclasses import field
from typing import TYPE_CHECKING, Final

from pkigen.errors import Problem
from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pkigen.spec.yaml_scalars import Scalar

_SIMPLE_STEP = re.compile(r"[A-Za-z0-9_-]{1,60}")
_LONGEST_STEP: Final = 60
_MOST_STEPS: Final = 12  # the model has nine levels


@dataclass(slots=True, eq=False)
class YAMLNode:
    """A value of a file: where it stands, and the plain value that it and everything below it make.

    `shown` is the path that people know it by where that is not its place in the tree: values that were
    converted from a kubeadm configuration keep their old path.
    """

    line: int
    column: int
    value: object
    shown: str | None = None
    size: int = 1
    height: int = 1

    def problem(self, message: str, *, file: str, path: str) -> Problem:
        """What is wrong here."""
        return Problem(file=file, line=self.line, column=self.column, path=path, message=message)


@dataclass(slots=True, eq=False)
class ScalarNode(YAMLNode):
    """A scalar; `text` is what was written, `plain` whether without quotes."""

    value: Scalar
    text: str = ""
    plain: bool = True


@dataclass(slots=True, eq=False)
class SequenceNode(YAMLNode):
    """A list. `places` are the items' indices in the file, where items were left out."""

    value: list[object]
    items: list[YAMLNode] = field(default_factory=list)
    places: list[int] | None = None


@dataclass(slots=True, eq=False)
class MappingNode(YAMLNode):
    """A mapping with text keys; each entry has the key's node and the value's."""

    value: dict[str, object]
    entries: dict[str, tuple[YAMLNode, YAMLNode]] = field(default_factory=dict)


def sequence(items: list[YAMLNode], *, at: YAMLNode, shown: str | None = None) -> SequenceNode:
    """A list that stands where `at` does."""
    return SequenceNode(at.line, at.column, [item.value for item in items], shown, items=items)


def mapping(entries: dict[str, YAMLNode], *, at: YAMLNode, shown: str | None = None) -> MappingNode:
    """A mapping that stands where `at` does."""
    return MappingNode(
        at.line,
        at.column,
        {key: node.value for key, node in entries.items()},
        shown,
        entries={key: (node, node) for key, node in entries.items()},
    )


def scalar(value: Scalar, *, at: YAMLNode, shown: str | None = None) -> ScalarNode:
    """A scalar that stands where `at` does."""
    return ScalarNode(at.line, at.column, value, shown, text=str(value))


def child(node: YAMLNode | None, *keys: str) -> YAMLNode | None:
    """What stands below a node by these keys; None where a step is missing or no mapping."""
    for key in keys:
        if not isinstance(node, MappingNode) or key not in node.entries:
            return None
        node = node.entries[key][1]
    return node


def entries_below(node: YAMLNode | None) -> Mapping[str, tuple[YAMLNode, YAMLNode]]:
    """A mapping's entries, each with its key's node and its value's; none if it is no mapping."""
    return node.entries if isinstance(node, MappingNode) else {}


def copy_entry(source: YAMLNode | None, old: str, entries: dict[str, YAMLNode], new: str) -> None:
    """Put what stands at the key `old` of a node, if anything does, among other entries as `new`."""
    value = child(source, old)
    if value is not None:
        entries[new] = value


def split_text(node: YAMLNode) -> list[YAMLNode]:
    """The parts of comma-separated text, each at its own column."""
    if not isinstance(node, ScalarNode) or not isinstance(node.value, str):
        return [node]
    parts: list[YAMLNode] = []
    # Behind the opening quote; what an escape in the text takes is not known any more.
    column = node.column + (0 if node.plain else 1)
    for part in node.value.split(","):
        indent = len(part) - len(part.lstrip())
        text = part.strip()
        parts.append(ScalarNode(node.line, column + indent, text, node.shown, text=text))
        column += len(part) + 1
    return parts


def show_path(steps: Iterable[str | int], *, below: str = "") -> str:
    """A path for people: `spec.nodes[2].addresses[0]`, `spec.certificates.overrides["admin.conf"]`."""
    shown = below
    for count, step in enumerate(steps):
        if count == _MOST_STEPS:
            return shown + "…"
        if isinstance(step, int):
            shown += f"[{step}]"
        elif _SIMPLE_STEP.fullmatch(step):
            shown += f".{step}" if shown else step
        else:
            short = step if len(step) <= _LONGEST_STEP else step[: _LONGEST_STEP - 3] + "..."
            shown += f"[{json.dumps(short)}]"
    return shown
