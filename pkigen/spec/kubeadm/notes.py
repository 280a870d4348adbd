"""What is noticed while a configuration is converted."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from pkigen.records import dataclass

if TYPE_CHECKING:
    from pkigen.errors import Problem
    from pkigen.spec.findings import Location
    from pkigen.spec.yaml_nodes import YAMLNode


@dataclass(slots=True, kw_only=True)
class Notes:
    """What is noticed on the way.

    `absences` tell by place in the model's tree what a value's absence means (`builder.SpecSource`).
    """

    file: str
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    absences: dict[Location, tuple[str, str]] = field(default_factory=dict)

    def add_problem(self, node: YAMLNode, path: str, message: str) -> None:
        """Note what makes the configuration unusable; `path` is what people know the value by."""
        self.problems.append(node.problem(message, file=self.file, path=path))

    def add_warning(self, node: YAMLNode, path: str, message: str) -> None:
        """Note what is not taken over as it is written."""
        self.warnings.append(node.problem(message, file=self.file, path=path))
