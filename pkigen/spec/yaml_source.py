"""YAML text to values that remember where they stand.

Scalars follow the core schema of YAML 1.2 and nothing more: `no`, `10:20` and dates are text. Numbers that
not every reader reads alike, such as `012`, are no value at all (`yaml_scalars`). Duplicate keys and tags are
refused; aliases and nesting are bounded, so that no input costs more than its size. Merge keys (`<<`), which
1.2 has dropped and kubeadm reads, are those of yaml.org/type/merge.html.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import field
from typing import Final

import yaml

from pkigen.errors import Problem, SpecError
from pkigen.records import dataclass
from pkigen.spec.yaml_nodes import MappingNode, ScalarNode, SequenceNode, YAMLNode, show_path
from pkigen.spec.yaml_scalars import resolve

try:
    from yaml import CSafeLoader as Parser  # libyaml: ten times as fast
except ImportError:  # pragma: no cover -- depends on how PyYAML was built
    from yaml import SafeLoader as Parser  # type: ignore[assignment]

LARGEST_FILE: Final = 16 * 1024 * 1024
_LONGEST_SCALAR: Final = 64 * 1024
_MOST_VALUES: Final = 250_000  # 5,000 nodes with all their fields written out have half of it
_DEEPEST: Final = 64
_TOO_DEEP: Final = f"is nested more than {_DEEPEST} levels deep, which no spec needs"
# A "billion laughs" file of some hundred bytes would otherwise expand to gigabytes.
_MOST_ALIASED_VALUES: Final = 10_000

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# In this order: what UTF-32 begins with begins with what UTF-16 does.
_OTHER_ENCODINGS: Final = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_STANDARD_TAGS = "tag:yaml.org,2002:"
_MERGE_KEY: Final = "<<"


@dataclass(slots=True)
class _Open:
    """A collection whose end was not reached yet."""

    node: SequenceNode | MappingNode
    anchor: str | None
    key: ScalarNode | None = None
    """The key that waits for its value."""
    awaits_value: bool = False
    keys_seen: dict[str, YAMLNode] = field(default_factory=dict)
    merged: list[MappingNode] = field(default_factory=list)
    """The mappings of its merge key, the one that counts most first."""


def read_documents(data: bytes, *, file: str) -> tuple[list[YAMLNode], list[Problem]]:
    """Read every document of a file; empty documents are left out.

    Returns:
        The documents, and the problems that did not hinder reading on.

    Raises:
        SpecError: The rest of the file cannot be read; all problems until there.
    """
    text = _decoded(data, file)
    return _YAMLReader(text, file).documents()


def _decoded(data: bytes, file: str) -> str:
    """The text of a file; raises `SpecError` for one that is too large, not UTF-8, or not printable."""
    if len(data) > LARGEST_FILE:
        raise _refused_file(file, f"is larger than {LARGEST_FILE // 2**20} MiB, which no cluster needs")
    for encoding, mark in _OTHER_ENCODINGS.items():
        if data.startswith(mark):
            raise _refused_file(file, f"is {encoding}: save it as UTF-8")
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
    """Line and column after some text, as readers of YAML 1.1 count lines."""
    lines = _LINE_END.split(before)
    return len(lines), len(lines[-1]) + 1


def _problem(file: str, line: int, column: int, message: str) -> Problem:
    """A problem of the text itself, which is below no key."""
    return Problem(file=file, line=line, column=column, path="", message=message)


def _refused_file(file: str, message: str) -> SpecError:
    """An error about the file as a whole."""
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
            self.problems.append(_syntax_problem(error, self.text, self.file))
            raise SpecError(self.problems) from None
        except _StopReading:
            raise SpecError(self.problems) from None
        finally:
            # PyYAML's own parser refers to itself, and would keep the text in memory until the next
            # collection.
            parser.dispose()
        roots = [root for root in self.roots if root.value is not None]
        return roots, self.problems

    def _take(self, event: yaml.Event) -> None:
        """Take up one event of the parser."""
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
        # An anchor holds within its document only (YAML 1.2.2, 3.2.2.2).
        elif isinstance(event, yaml.DocumentStartEvent):
            self.anchors = {}

    def _report(self, node: YAMLNode, message: str) -> None:
        """Note a problem, and read on."""
        self.problems.append(node.problem(message, file=self.file, path=self._path()))

    def _stop(self, node: YAMLNode, message: str) -> _StopReading:
        """Note a problem, and give what ends the reading."""
        self._report(node, message)
        return _StopReading()

    def _path(self) -> str:
        """The way from the root to what is read now."""
        steps: list[str | int] = []
        for level in self.open:
            if isinstance(level.node, SequenceNode):
                steps.append(len(level.node.items))
            elif level.key is not None:
                steps.append(level.key.text)
        return show_path(steps)

    def _count(self, node: YAMLNode) -> None:
        """Count a value; raises `_StopReading` beyond what any cluster needs."""
        self.values += 1
        if self.values > _MOST_VALUES:
            raise self._stop(node, f"has more than {_MOST_VALUES} values, which no cluster needs")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        """A value that is no collection: by the core schema where it is plain, else text."""
        text = event.value
        line, column = _start(event)
        plain = event.implicit[0] and event.tag is None  # the tag "!" means text
        node = ScalarNode(line, column, resolve(text) if plain else text, text=text, plain=plain)
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
        """Open a collection; raises `_StopReading` where it would be too deep."""
        self._count(node)
        standard = "map" if isinstance(node, MappingNode) else "seq"
        if event.tag is not None and event.tag not in {"!", _STANDARD_TAGS + standard}:
            self._report(node, _refused_tag(event.tag))
        if len(self.open) >= _DEEPEST:
            raise self._stop(node, _TOO_DEEP)
        if event.anchor is not None:
            # Known, and not complete: an alias within its own anchor would make a tree without an end.
            self.anchors[event.anchor] = None
        self.open.append(_Open(node, event.anchor))

    def _end(self) -> None:
        """Close the innermost collection."""
        done = self.open.pop()
        # At the end, when all of its own keys are known: those count more than merged ones.
        for source in done.merged:
            _add_missing(source, done.node)
        if done.anchor is not None and self.anchors.get(done.anchor) is None:
            self.anchors[done.anchor] = done.node
        self._place_in_parent(done.node)

    def _alias(self, event: yaml.AliasEvent) -> None:
        """What an anchor stands for, in the place of its alias; bounded in size and depth."""
        here = ScalarNode(*_start(event), None)
        # Each alias is a value of the result, however little of the file it takes.
        self._count(here)
        name = event.anchor or ""
        if name not in self.anchors:
            raise self._stop(here, f"the alias *{name[:60]} has no anchor &{name[:60]} before it")
        target = self.anchors[name]
        if target is None:
            raise self._stop(
                here, f"the alias *{name[:60]} stands within its own anchor: write the value out"
            )
        # By what it stands for, not by one: the target may be large, and hold aliases itself.
        self.aliased_values += target.size
        if self.aliased_values > _MOST_ALIASED_VALUES:
            raise self._stop(here, f"aliases repeat more than {_MOST_ALIASED_VALUES} values: write them out")
        # An alias brings the depth of its target along.
        if len(self.open) + target.height > _DEEPEST:
            raise self._stop(here, _TOO_DEEP)
        self._place_in_parent(target)

    def _place_in_parent(self, node: YAMLNode) -> None:
        """Put a finished node where it belongs; it also adds to the size of what it is in."""
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
        first = level.keys_seen.setdefault(node.value, node)
        if first is not node:
            level.key = node
            self._report(node, f"is given twice, first at line {first.line}, column {first.column}: keep one")
            return None
        return node

    def _entry(self, level: _Open, parent: MappingNode, node: YAMLNode) -> None:
        """Complete an entry of a mapping, or note what its merge key brings."""
        if level.key is not None and level.key.plain and level.key.text == _MERGE_KEY:
            level.merged = self._mappings_to_merge(node)
        elif level.key is not None:
            parent.entries[level.key.text] = (level.key, node)
            parent.value[level.key.text] = node.value
        level.key = None
        level.awaits_value = False

    def _mappings_to_merge(self, node: YAMLNode) -> list[MappingNode]:
        """The mappings of a merge key, the first of which counts most (yaml.org/type/merge.html)."""
        given = node.items if isinstance(node, SequenceNode) else [node]
        mappings = [each for each in given if isinstance(each, MappingNode)]
        if len(mappings) < len(given):
            self._report(node, "must be a mapping or a list of mappings, whose keys are merged in here")
        return mappings


def _add_missing(source: MappingNode, node: YAMLNode) -> None:
    """Give a mapping what it has not itself, wherever the merge key stands among its keys."""
    if isinstance(node, MappingNode):
        for name, (key, value) in source.entries.items():
            if name not in node.entries:
                node.entries[name] = (key, value)
                node.value[name] = value.value


def _syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """What the parser stumbled over, and the way out where it is a usual one."""
    problem = (getattr(error, "problem", None) or "cannot be read").strip()
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    rest = text[mark.index :][:1] if mark else ""
    message = _usual_mistake(problem, rest) or f"is not YAML: {problem} {_context(error)}".rstrip()
    return _problem(file, line, column, message)


def _usual_mistake(problem: str, rest: str) -> str | None:
    """A helpful sentence for what people often get wrong; None where it is none of these."""
    if rest == "\t" or "tab character" in problem:
        return "has a tab where YAML wants spaces: indent with spaces"
    if "maximum nesting" in problem:  # libyaml's own limit, where it looks ahead in a line
        return _TOO_DEEP
    if "mapping values are not allowed" in problem:
        return "is not YAML: a ':' with a space after it must be quoted, or the indentation is wrong"
    if "cannot start any token" in problem:
        return f"is not YAML: {rest!r} cannot begin a value; put the value in quotes"
    return None


def _context(error: yaml.YAMLError) -> str:
    """What the parser was reading when it stumbled, and where that began."""
    context, begun = getattr(error, "context", None), getattr(error, "context_mark", None)
    if not context or not begun:
        return context or ""
    return f"{context} that began at line {begun.line + 1}, column {begun.column + 1}"


def _start(event: yaml.Event) -> tuple[int, int]:
    """Line and column at which an event begins."""
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _refused_tag(tag: str) -> str:
    """A sentence about a tag, which could make a value of any type."""
    shown = "!!" + tag.removeprefix(_STANDARD_TAGS) if tag.startswith(_STANDARD_TAGS) else tag
    return f"the tag {shown[:60]} is not understood: remove it"
