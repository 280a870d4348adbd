"""One row for each site: what is different there, from a CSV file or from YAML."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Final

from pkigen.errors import Problem, SpecError
from pkigen.records import dataclass
from pkigen.spec.yaml_nodes import MappingNode, ScalarNode, SequenceNode, YAMLNode
from pkigen.spec.yaml_scalars import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pkigen.spec.yaml_scalars import Scalar

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
"""What a column may be called."""
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowValue:
    """One value: what it means where it stands alone and unquoted, and what it is as text."""

    value: Scalar
    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is different at one site; with problems, it is not used."""

    number: int
    file: str
    line: int
    column: int
    cells: Mapping[str, RowValue]
    problems: tuple[Problem, ...] = ()

    def problem(self, name: str, message: str) -> Problem:
        """What is wrong with one of its columns."""
        at = self.cells.get(name)
        line, column = (at.line, at.column) if at is not None else (self.line, self.column)
        return Problem(file=self.file, line=line, column=column, path=name, message=message)


def csv_rows(data: bytes, *, file: str) -> tuple[Row, ...]:
    """The rows of a CSV file (RFC 4180): its first line names the columns.

    Raises:
        SpecError: It cannot be read, or its first line names no columns; what is wrong with single rows is
            told of them.
    """
    records = _records(_text(data, file), file)
    line, names = next(records, (1, []))
    _require_columns(names, file=file, line=line)
    return tuple(
        _csv_row(number, names, cells, file=file, line=line)
        for number, (line, cells) in enumerate(records, start=1)
    )


def _text(data: bytes, file: str) -> str:
    try:
        # Spreadsheets begin their CSV with a byte-order mark.
        text = data.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"is not UTF-8: byte 0x{data[error.start]:02x}; save the file as UTF-8"
        raise SpecError([Problem(file=file, line=line, column=1, path="", message=message)]) from None
    found = _UNPRINTABLE.search(text)
    if found:
        line = text[: found.start()].count("\n") + 1
        message = f"has the unprintable character U+{ord(found[0]):04X}: remove it"
        raise SpecError([Problem(file=file, line=line, column=1, path="", message=message)])
    return text


def _records(text: str, file: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line that it begins at; empty lines are none."""
    # `newline=""`, or line ends within quoted cells would be changed before `csv` sees them; strict, since a
    # stray quote would else join a row with the next.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            if any(each.strip() for each in cells):
                yield line, [each.strip() for each in cells]
            # A record has several lines where a quoted cell has.
            line = reader.line_num + 1
    except csv.Error as error:
        message = f"is not CSV: {error}"
        raise SpecError([Problem(file=file, line=line, column=1, path="", message=message)]) from None


def _require_columns(names: list[str], *, file: str, line: int) -> None:
    """Refuse a first line that does not name columns.

    Raises:
        SpecError: It does not.
    """
    problems = [
        Problem(file=file, line=line, column=1, path="", message=message)
        for message in _faults_of_names(names)
    ]
    if problems:
        raise SpecError(problems)


def _faults_of_names(names: list[str]) -> Iterator[str]:
    if not names:
        yield "is empty: its first line names the columns, such as name,address"
    if len(names) == 1 and ";" in names[0]:
        yield "has semicolons between its columns: separate them by commas"
        return
    for name in dict.fromkeys(names):
        if not NAME.fullmatch(name):
            yield f"names a column {name[:60]!r}: a name is made of letters, digits, _ and -"
        if names.count(name) > 1:
            yield f"names the column {name[:60]!r} twice: keep one"


def _csv_row(number: int, names: list[str], cells: list[str], *, file: str, line: int) -> Row:
    problems = []
    if len(cells) != len(names):
        message = f"has {len(cells)} cells where the first line names {len(names)} columns"
        problems = [Problem(file=file, line=line, column=1, path="", message=message)]
    found = {
        name: RowValue(value=resolve(text), text=text, line=line, column=1)
        # A row of another length has a problem already, and is not used.
        for name, text in zip(names, cells, strict=False)
    }
    return Row(number=number, file=file, line=line, column=1, cells=found, problems=tuple(problems))


def yaml_rows(node: YAMLNode, *, file: str, path: str) -> tuple[Row, ...]:
    """The rows of a list of mappings.

    Args:
        node: The list.
        file: The file that it stands in.
        path: Where it stands there.

    Raises:
        SpecError: It is no list; what is wrong with single rows is told of them.
    """
    if not isinstance(node, SequenceNode):
        message = "must be a list of mappings, one for each site"
        raise SpecError([node.problem(message, file=file, path=path)])
    return tuple(
        _yaml_row(number, each, file=file, path=f"{path}[{number - 1}]")
        for number, each in enumerate(node.items, start=1)
    )


def _yaml_row(number: int, node: YAMLNode, *, file: str, path: str) -> Row:
    place = {"number": number, "file": file, "line": node.line, "column": node.column}
    if not isinstance(node, MappingNode):
        problem = node.problem("must be a mapping of columns to values", file=file, path=path)
        return Row(**place, cells={}, problems=(problem,))  # type: ignore[arg-type]
    cells: dict[str, RowValue] = {}
    problems: list[Problem] = []
    for name, (key, value) in node.entries.items():
        where = f"{path}.{name}"
        if not NAME.fullmatch(name):
            message = "is no name of a column: it is made of letters, digits, _ and -"
            problems.append(key.problem(message, file=file, path=where))
        elif not isinstance(value, ScalarNode):
            # A list or a mapping would change what the template is made of.
            message = "must be one value: text, a number, true or false"
            problems.append(value.problem(message, file=file, path=where))
        else:
            cells[name] = RowValue(value=value.value, text=value.text, line=value.line, column=value.column)
    return Row(**place, cells=cells, problems=tuple(problems))  # type: ignore[arg-type]
