"""YAML text to values that remember where they stand.

Scalars follow the core schema of YAML 1.2 and nothing more: `no`, `10:20` and dates are text. Numbers that
not every reader reads alike, such as `012`, are no value at all. Duplicate keys, merge keys and tags are
refused; aliases and nesting are bounded, so that no input costs more than its size.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import yaml

from pkigen.errors import Problem, SpecError

try:
    from yaml import CSafeLoader as Parser  # libyaml: ten times as fast
except ImportError:  # pragma: no cover -- depends on how PyYAML was built
    from yaml import SafeLoader as Parser  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGEST_FILE: Final = 16 * 1024 * 1024
_LONGEST_SCALAR: Final = 64 * 1024
_MOST_VALUES: Final = 250_000  # 5,000 nodes with all their fields written out have half of it
_DEEPEST: Final = 64
_TOO_DEEP: Final = f"is nested more than {_DEEPEST} levels deep, which no spec needs"
_MOST_ALIASED_VALUES: Final = 10_000
_LONGEST_NUMBER: Final = 40

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# In this order: what UTF-32 begins with begins with what UTF-16 does.
_OTHER_ENCODINGS: Final = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_NUMBER_STARTS = frozenset("0123456789+-.")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_BASED_INTEGER = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DIGITS = re.compile(r"[-+]?[0-9]+")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")

_STANDARD_TAGS = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Disputed:
    """A plain number that no field takes, because its author cannot know how it is read.

    YAML 1.1 reads `012` as ten, 1.2 as twelve, and past 40 digits a number is no number to most programs.
    """

    text: str

    def __str__(self) -> str:
        return self.text


Scalar = str | int | float | bool | Disputed | None


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


@dataclass(slots=True)
class _Open:
    """A collection whose end was not reached yet."""

    node: SequenceNode | MappingNode
    anchor: str | None
    key: ScalarNode | None = None
    """The key that waits for its value."""
    awaits_value: bool = False
    keys_seen: dict[str, YAMLNode] = field(default_factory=dict)


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


def read(data: bytes, *, file: str) -> tuple[list[YAMLNode], list[Problem]]:
    """Read every document of a file; empty documents are left out.

    Returns:
        The documents, and the problems that did not hinder reading on.

    Raises:
        SpecError: The rest of the file cannot be read; all problems until there.
    """
    text = _decoded(data, file)
    return _YAMLReader(text, file).documents()


def _decoded(data: bytes, file: str) -> str:
    if len(data) > LARGEST_FILE:
        raise _whole_file(file, f"is larger than {LARGEST_FILE // 2**20} MiB, which no cluster needs")
    for encoding, mark in _OTHER_ENCODINGS.items():
        if data.startswith(mark):
            raise _whole_file(file, f"is {encoding}: save it as UTF-8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line, column = _place(before)
        raise SpecError(
            [
                _problem(
                    file,
                    line,
                    column,
                    f"is not UTF-8: byte 0x{data[error.start]:02x}; save the file as UTF-8",
                )
            ]
        ) from None
    unprintable = _UNPRINTABLE.search(text)
    if unprintable:
        line, column = _place(text[: unprintable.start()])
        what = f"has the unprintable character U+{ord(unprintable[0]):04X}: remove it"
        raise SpecError([_problem(file, line, column, what)])
    return text


def _place(before: str) -> tuple[int, int]:
    lines = _LINE_END.split(before)
    return len(lines), len(lines[-1]) + 1


def _problem(file: str, line: int, column: int, message: str) -> Problem:
    return Problem(file=file, line=line, column=column, path="", message=message)


def _whole_file(file: str, message: str) -> SpecError:
    return SpecError([_problem(file, 1, 1, message)])


class _StopReading(Exception):  # noqa: N818 -- control flow: the problem is on the list already
    pass


class _YAMLReader:
    """One pass over the parser's events; no recursion, so that no nesting exhausts the stack."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.problems: list[Problem] = []
        self.roots: list[YAMLNode] = []
        self.open: list[_Open] = []
        self.anchors: dict[str, YAMLNode | None] = {}
        self.values = 0
        self.aliased_values = 0

    def documents(self) -> tuple[list[YAMLNode], list[Problem]]:
        parser = Parser(self.text)
        try:
            while parser.check_event():
                event = parser.get_event()
                if event is not None:  # pragma: no branch -- check_event said that there is one
                    self._take(event)
        except yaml.YAMLError as error:
            self._syntax(error)
            raise SpecError(self.problems) from None
        except _StopReading:
            raise SpecError(self.problems) from None
        finally:
            parser.dispose()
        roots = [root for root in self.roots if root.value is not None]
        return roots, self.problems

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.MappingStartEvent):
            self._begin(event, MappingNode(*_start(event), {}))
        elif isinstance(event, yaml.SequenceStartEvent):
            self._begin(event, SequenceNode(*_start(event), []))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()
        elif isinstance(event, yaml.DocumentStartEvent):
            self.anchors = {}

    def _report(self, node: YAMLNode, message: str) -> None:
        self.problems.append(
            Problem(file=self.file, line=node.line, column=node.column, path=self._path(), message=message)
        )

    def _stop(self, node: YAMLNode, message: str) -> _StopReading:
        self._report(node, message)
        return _StopReading()

    def _path(self) -> str:
        steps: list[str | int] = []
        for level in self.open:
            if isinstance(level.node, SequenceNode):
                steps.append(len(level.node.items))
            elif level.key is not None:
                steps.append(level.key.text)
        return show_path(steps)

    def _count(self, node: YAMLNode) -> None:
        self.values += 1
        if self.values > _MOST_VALUES:
            raise self._stop(node, f"has more than {_MOST_VALUES} values, which no cluster needs")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        text = event.value
        line, column = _start(event)
        plain = event.implicit[0] and event.tag is None  # the tag "!" means text
        node = ScalarNode(line, column, _core(text) if plain else text, text=text, plain=plain)
        self._count(node)
        if len(text) > _LONGEST_SCALAR:
            node.value = node.text = text[:_LONGEST_SCALAR]
            self._report(node, f"is longer than {_LONGEST_SCALAR} characters")
        if event.tag is not None and event.tag not in {"!", _STANDARD_TAGS + "str"}:
            self._report(node, _refused_tag(event.tag))
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        self._place_in_parent(node)

    def _begin(self, event: yaml.CollectionStartEvent, node: SequenceNode | MappingNode) -> None:
        self._count(node)
        standard = "map" if isinstance(node, MappingNode) else "seq"
        if event.tag is not None and event.tag not in {"!", _STANDARD_TAGS + standard}:
            self._report(node, _refused_tag(event.tag))
        if len(self.open) >= _DEEPEST:
            raise self._stop(node, _TOO_DEEP)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        self.open.append(_Open(node, event.anchor))

    def _end(self) -> None:
        done = self.open.pop()
        if done.anchor is not None and self.anchors.get(done.anchor) is None:
            self.anchors[done.anchor] = done.node
        self._place_in_parent(done.node)

    def _alias(self, event: yaml.AliasEvent) -> None:
        here = ScalarNode(*_start(event), None)
        self._count(here)
        name = event.anchor or ""
        if name not in self.anchors:
            raise self._stop(here, f"the alias *{name[:60]} has no anchor &{name[:60]} before it")
        target = self.anchors[name]
        if target is None:
            raise self._stop(
                here, f"the alias *{name[:60]} stands within its own anchor: write the value out"
            )
        self.aliased_values += target.size
        if self.aliased_values > _MOST_ALIASED_VALUES:
            raise self._stop(here, f"aliases repeat more than {_MOST_ALIASED_VALUES} values: write them out")
        if len(self.open) + target.height > _DEEPEST:
            raise self._stop(here, _TOO_DEEP)
        self._place_in_parent(target)

    def _place_in_parent(self, node: YAMLNode) -> None:
        if not self.open:
            self.roots.append(node)
            return
        level = self.open[-1]
        parent = level.node
        parent.size += node.size
        parent.height = max(parent.height, node.height + 1)
        if isinstance(parent, SequenceNode):
            parent.items.append(node)
            parent.value.append(node.value)
        elif level.awaits_value:
            self._entry(level, parent, node)
        else:
            level.awaits_value = True
            level.key = self._key(level, node)

    def _key(self, level: _Open, node: YAMLNode) -> ScalarNode | None:
        """The node, where it may be a key; else a problem, and its value will be left out."""
        if not isinstance(node, ScalarNode) or not isinstance(node.value, str):
            what = f"{node.text[:60]!r}" if isinstance(node, ScalarNode) and node.text else "this"
            self._report(node, f"a key must be text, which {what} is not: put it in quotes")
            return None
        if node.value == "<<" and node.plain:
            self._report(node, "merge keys (<<) are no part of YAML 1.2: write the keys out")
            return None
        first = level.keys_seen.setdefault(node.value, node)
        if first is not node:
            level.key = node
            self._report(node, f"is given twice, first at line {first.line}, column {first.column}: keep one")
            return None
        return node

    def _entry(self, level: _Open, parent: MappingNode, node: YAMLNode) -> None:
        if level.key is not None:
            parent.entries[level.key.text] = (level.key, node)
            parent.value[level.key.text] = node.value
        level.key = None
        level.awaits_value = False

    def _syntax(self, error: yaml.YAMLError) -> None:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        problem = (getattr(error, "problem", None) or "cannot be read").strip()
        context = getattr(error, "context", None) or ""
        begun = getattr(error, "context_mark", None)
        where = (
            f" that began at line {begun.line + 1}, column {begun.column + 1}" if context and begun else ""
        )
        message = f"is not YAML: {problem} {context}{where}".rstrip()
        rest = self.text[mark.index :][:1] if mark else ""
        if rest == "\t" or "tab character" in problem:
            message = "has a tab where YAML wants spaces: indent with spaces"
        elif "maximum nesting" in problem:  # libyaml's own limit, where it looks ahead in a line
            message = _TOO_DEEP
        elif "mapping values are not allowed" in problem:
            message = "is not YAML: a ':' with a space after it must be quoted, or the indentation is wrong"
        elif "cannot start any token" in problem:
            message = f"is not YAML: {rest!r} cannot begin a value; put the value in quotes"
        self.problems.append(_problem(self.file, line, column, message))


def _start(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _refused_tag(tag: str) -> str:
    shown = "!!" + tag.removeprefix(_STANDARD_TAGS) if tag.startswith(_STANDARD_TAGS) else tag
    return f"the tag {shown[:60]} is not understood: remove it"


def _core(text: str) -> Scalar:  # noqa: PLR0911 -- a table of the core schema's lines
    """What a plain scalar means in the YAML 1.2 core schema (section 10.3.2), but for disputed numbers."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if _LEADING_ZERO.fullmatch(text) or (len(text) > _LONGEST_NUMBER and _DIGITS.fullmatch(text)):
        return Disputed(text)
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED_INTEGER.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL_FLOAT.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


_SIMPLE_STEP = re.compile(r"[A-Za-z0-9_-]{1,60}")
_LONGEST_STEP: Final = 60
_MOST_STEPS: Final = 12  # the model has nine levels


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
