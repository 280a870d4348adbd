"""One cluster of a fleet: where its directory is, and where its spec comes from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.errors import Problem, SpecError
from pkigen.fleet.template import text_of, with_spread
from pkigen.notation import printable
from pkigen.records import dataclass
from pkigen.spec.dialects import Dialect
from pkigen.spec.loader import content_of, dialect_of, load_documents, load_text
from pkigen.spec.yaml_nodes import ScalarNode, child
from pkigen.spec.yaml_source import read_documents

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from pkigen.fleet.rows import Row
    from pkigen.fleet.template import Filled, Template
    from pkigen.spec.certificate_rules import OverridableKind
    from pkigen.spec.dialects import HostFacts
    from pkigen.spec.loader import LoadedSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSource:
    """A template and a row of values."""

    template: Template
    row: Row
    share: str
    comment: str
    faults: tuple[Problem, ...] = ()

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.row.file}:{self.row.line}"

    def refused(self, message: str) -> RowSource:
        """The same, which is not used."""
        file, line = self.row.file, self.row.line
        return replace(self, faults=(_fault(file, message, line=line, column=self.row.column),))

    @property
    def name(self) -> str | None:
        """What the cluster is called; None where that cannot be known."""
        if self.row.problems:
            return None
        named = child(self.template.root, "metadata", "name")
        if not isinstance(named, ScalarNode):
            return None
        # The name alone: it is asked for before the spec is loaded, and whatever else is wrong with that.
        filled = type(self.template)(root=named, file=self.template.file).filled(self.row)
        is_name = not filled.problems and isinstance(filled.root.value, str)
        return str(filled.root.value) if is_name and filled.root.value else None

    def load(self, *, kinds: Collection[OverridableKind], host: HostFacts) -> LoadedSpec:
        """The spec; raises `SpecError` with every problem, those of a value where the value stands."""
        filled = self.template.filled(self.row)
        problems = (*self.faults, *self.row.problems, *filled.problems)
        if problems:
            raise SpecError(problems)
        root = with_spread(filled.root, self.share)
        text = text_of(root, comment=printable(self.comment))
        try:
            return load_documents([root], text=text, file=self.template.file, kinds=kinds, host=host)
        except SpecError as error:
            raise SpecError([*self._told(error, filled)], hint=error.hint) from None

    def _told(self, error: SpecError, filled: Filled) -> Iterator[Problem]:
        """Problems with a row's value, at the row."""
        for problem in error.problems:
            columns = filled.columns.get((problem.line, problem.column))
            if not columns:
                yield problem
                continue
            message = f"{problem.path}: {problem.message}" if problem.path else problem.message
            told = self.row.problem(columns[0], message)
            yield Problem(
                file=told.file, line=told.line, column=told.column, path=", ".join(columns), message=message
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """A spec in a file of its own, in pkigen's format or kubeadm's."""

    path: Path
    share: str
    faults: tuple[Problem, ...] = ()

    @property
    def place(self) -> str:
        """Where it stands."""
        return str(self.path)

    def refused(self, message: str) -> FileSource:
        """The same, which is not used."""
        return replace(self, faults=(_fault(self.place, message),))

    def load(self, *, kinds: Collection[OverridableKind], host: HostFacts) -> LoadedSpec:
        """The spec: as it is, where it says how its expiries are spread, else with that added."""
        if self.faults:
            raise SpecError(self.faults)
        file, text = str(self.path), content_of(self.path)
        documents, problems = read_documents(text, file=file)
        # kubeadm's format has no place for it.
        if problems or len(documents) != 1 or dialect_of(documents) is Dialect.KUBEADM:
            return load_text(text, file=file, kinds=kinds, host=host)
        root = with_spread(documents[0], self.share)
        if root is not documents[0]:
            comment = printable(f"Made by `pkigen fleet` from {self.path.name}: edit that, not this file.")
            text = text_of(root, comment=comment)
        return load_documents([root], text=text, file=file, kinds=kinds, host=host)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSource:
    """A cluster that has its spec in its own directory."""

    root: Path
    faults: tuple[Problem, ...] = ()

    @property
    def place(self) -> str:
        """Where it stands."""
        return str(self.root / layout.SPEC_FILE)

    def refused(self, message: str) -> OwnSource:
        """The same, which is not used."""
        return replace(self, faults=(_fault(self.place, message),))

    def load(self, *, kinds: Collection[OverridableKind], host: HostFacts) -> LoadedSpec:
        """The spec."""
        if self.faults:
            raise SpecError(self.faults)
        path = self.root / layout.SPEC_FILE
        return load_text(content_of(path), file=str(path), kinds=kinds, host=host)


Source = RowSource | FileSource | OwnSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One cluster; without a name there is no directory, and its source says why."""

    label: str
    root: Path | None
    source: Source


def _fault(file: str, message: str, *, line: int = 0, column: int = 0) -> Problem:
    return Problem(file=file, line=line, column=column, path="", message=message)
