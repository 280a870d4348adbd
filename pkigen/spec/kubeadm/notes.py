"""What is noticed while a configuration is converted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pkigen.errors import Problem

if TYPE_CHECKING:
    from pkigen.spec.findings import Location
    from pkigen.spec.yaml_nodes import YAMLNode


@dataclass(slots=True, kw_only=True)
class Notes:
    """What is noticed on the way.

    `absences` tell by place in the model's tree what a value's absence means (`builder.Source`).
    """

    file: str
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    absences: dict[Location, tuple[str, str]] = field(default_factory=dict)

    def problem(self, node: YAMLNode, path: str, message: str) -> None:
        """Note what makes the configuration unusable; `path` is what people know the value by."""
        self.problems.append(self._at(node, path, message))

    def warning(self, node: YAMLNode, path: str, message: str) -> None:
        """Note what is not taken over as it is written."""
        self.warnings.append(self._at(node, path, message))

    def _at(self, node: YAMLNode, path: str, message: str) -> Problem:
        return Problem(file=self.file, line=node.line, column=node.column, path=path, message=message)
