"""YAML files of people, read strictly, and values written in client-go's form.

That form has its keys sorted, its lists not indented, and every scalar unambiguous.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pkigen.desired.rendering.quoting import yaml_block_scalar, yaml_scalar
from pkigen.errors import AccessError, SpecError
from pkigen.spec import yaml_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pkigen.spec.yaml_nodes import YAMLNode

Value = str | int | float | bool | None | Sequence["Value"] | Mapping[str, "Value"]


def parse(data: bytes, file: str) -> list[YAMLNode]:
    """Read every document of a file; the first thing that is wrong with it ends the reading.

    Raises:
        AccessError: It is no YAML, or says something in a way that readers understand differently.
    """
    try:
        found, problems = yaml_source.read_documents(data, file=file)
    except SpecError as error:
        raise AccessError(str(error.problems[0])) from None
    if problems:
        raise AccessError(str(problems[0]))
    return found


def dump(value: Mapping[str, Value]) -> str:
    """One document."""
    return "".join(f"{line}\n" for line in _lines(value))


def dump_all(values: Iterable[Mapping[str, Value]]) -> str:
    """Several documents, each after its mark, so that such texts can be joined."""
    return "".join(f"---\n{dump(value)}" for value in values)


def _lines(value: Value) -> Iterator[str]:
    """A value line by line, with sorted keys: the same objects give the same text."""
    match value:
        case Mapping() if value:
            for key in sorted(value):
                yield from _entry(yaml_scalar(key), value[key])
        case Sequence() if value and not isinstance(value, str):
            for item in value:
                first, *rest = _lines(item)
                yield f"- {first}"
                yield from _indented(rest)
        case _:
            yield _leaf(value)


def _entry(key: str, value: Value) -> Iterator[str]:
    """A key and its value: on one line, as a block of text, or indented below."""
    match value:
        case str() if _is_text(value):
            yield f"{key}: |"
            yield from _indented(value.removesuffix("\n").split("\n"))
        case Mapping() if value:
            yield f"{key}:"
            yield from _indented(_lines(value))
        case Sequence() if value and not isinstance(value, str):
            yield f"{key}:"
            yield from _lines(value)  # not indented: the form of sigs.k8s.io/yaml
        case _:
            yield f"{key}: {_leaf(value)}"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield f"  {line}" if line else line


def _is_text(value: str) -> bool:
    """Whether a string is plain lines, each beginning with a word: those are read best as a literal block."""
    lines = value.split("\n")
    return (
        len(lines) > 1
        and not lines.pop()
        and not lines[0].startswith(" ")
        and all(line and line.isprintable() and line == line.rstrip() for line in lines)
    )


def _leaf(value: Value) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool | int | str):
        return yaml_block_scalar(value)
    if isinstance(value, float):
        return repr(value)
    return "{}" if isinstance(value, Mapping) else "[]"
