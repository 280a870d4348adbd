"""Values as YAML in client-go's form: keys sorted, lists not indented, every scalar unambiguous."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pkigen.desired.rendering.quoting import yaml_block_scalar, yaml_scalar

if TYPE_CHECKING:
    from collections.abc import Iterator

Value = str | int | float | bool | None | Sequence["Value"] | Mapping[str, "Value"]


def dump(value: Mapping[str, Value]) -> str:
    """One document."""
    return "".join(f"{line}\n" for line in _lines(value))


def documents(values: Sequence[Mapping[str, Value]]) -> str:
    """Several documents."""
    return "---\n".join(dump(value) for value in values)


def _lines(value: Value) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key in sorted(value):
            yield from _entry(yaml_scalar(key), value[key])
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for item in value:
            first, *rest = _lines(item)
            yield f"- {first}"
            yield from (f"  {line}" if line else line for line in rest)
    else:
        yield _leaf(value)


def _entry(key: str, value: Value) -> Iterator[str]:
    if isinstance(value, str) and _is_text(value):
        yield f"{key}: |"
        yield from (f"  {line}" for line in value.removesuffix("\n").split("\n"))
    elif isinstance(value, Mapping) and value:
        yield f"{key}:"
        yield from (f"  {line}" if line else line for line in _lines(value))
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        yield f"{key}:"
        yield from _lines(value)
    else:
        yield f"{key}: {_leaf(value)}"


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
