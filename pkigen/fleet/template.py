"""A spec with gaps: `$(column)` stands for the value of a row, and never for more than one value.

Values are put into the tree that the template was read to, not into its text: whatever a row holds, it adds
no key, no item and no document. A gap that stands alone and without quotes takes the value with its type; in
quotes, or with other text around it, it takes the text. `$$(` is a `$(` of the spec's own, as in the
environment of a Kubernetes container, whose notation this is: YAML takes it in lists of one line, too.
"""

from __future__ import annotations

import re
from dataclasses import field, replace
from typing import TYPE_CHECKING, Final

import yaml

from pkigen.notation import suggestion
from pkigen.records import dataclass
from pkigen.spec.yaml_nodes import MappingNode, ScalarNode, SequenceNode, YAMLNode, mapping, scalar
from pkigen.spec.yaml_scalars import Disputed, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pkigen.errors import Problem
    from pkigen.fleet.rows import Row

# One that is never closed is a gap, too: its name is told as a column that is missing.
_GAP = re.compile(r"\$\$\(|\$\(([^)]*)\)?")
_ALONE = re.compile(r"\$\(([^)]*)\)")
_SPREAD: Final = "expirySpread"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What the specs of a fleet have in common."""

    root: YAMLNode
    file: str

    def gaps(self) -> Iterator[tuple[str, ScalarNode]]:
        """The name of every gap, and where it stands."""
        for node in _scalars(self.root):
            yield from ((name, node) for name in _names(node.text))

    def keys_with_gaps(self) -> Iterator[ScalarNode]:
        """Keys with gaps, which would let a row say what there is."""
        for node in _mappings(self.root):
            yield from (
                key for key, _ in node.entries.values() if isinstance(key, ScalarNode) and _names(key.text)
            )

    def filled(self, row: Row) -> Filled:
        """The spec of one site."""
        return _Filling(row).of(self.root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A template with a row's values in it, and which columns stand where (by line and column)."""

    root: YAMLNode
    columns: dict[tuple[int, int], tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


class _Filling:
    """One row on its way into a template."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._columns: dict[tuple[int, int], tuple[str, ...]] = {}
        self._problems: dict[str, Problem] = {}

    def of(self, root: YAMLNode) -> Filled:
        filled = _changed(root, self._scalar)
        return Filled(root=filled, columns=self._columns, problems=tuple(self._problems.values()))

    def _scalar(self, node: ScalarNode) -> ScalarNode:
        names = _names(node.text) if isinstance(node.value, str) else ()
        if not names and "$$(" not in node.text:
            return node
        self._columns[node.line, node.column] = names
        alone = _ALONE.fullmatch(node.text) if node.plain else None
        if alone is not None and not self._lacks(alone[1]):
            cell = self._row.cells[alone[1]]
            # A problem with it is the row's: it is told with the text that stands there.
            return replace(node, value=cell.value, text=cell.text)
        text = _GAP.sub(lambda found: "$(" if found[1] is None else self._text(found[1]), node.text)
        return replace(node, value=text, text=text, plain=False)

    def _text(self, name: str) -> str:
        return "" if self._lacks(name) else self._row.cells[name].text

    def _lacks(self, name: str) -> bool:
        """Whether the row has nothing for a gap, which is told once."""
        cell = self._row.cells.get(name)
        if cell is None:
            self._problems[name] = self._row.problem(name, "is missing, and the template asks for it")
        elif not cell.text:
            self._problems[name] = self._row.problem(name, "is empty, and the template asks for it")
        return cell is None or not cell.text


def missing_columns(template: Template, columns: Iterable[str]) -> Iterator[Problem]:
    """The gaps for which no row has anything."""
    known = tuple(dict.fromkeys(columns))
    for name, node in template.gaps():
        if name not in known:
            hint = (
                suggestion(name, known) or f"there are {', '.join(known) or 'none'}, and $$( stands for a $("
            )
            yield node.problem(f"no row has a column {name[:60]!r}; {hint}", file=template.file, path="")


def with_spread(root: YAMLNode, share: str) -> YAMLNode:
    """A spec whose expiries are spread, unless it says itself how much."""
    if not isinstance(root, MappingNode) or "spec" not in root.entries:
        return root  # whoever reads it says what is wrong
    key, inner = root.entries["spec"]
    if not isinstance(inner, MappingNode):
        return root
    below = inner.entries.get("certificates")
    settings = below[1] if below is not None else mapping({}, at=inner)
    if not isinstance(settings, MappingNode) or _SPREAD in settings.entries:
        return root
    spread = scalar(share, at=settings)
    more = {_SPREAD: (spread, spread)}
    settings = _of_entries(settings, {**settings.entries, **more})
    named = below[0] if below is not None else scalar("certificates", at=inner)
    inner = _of_entries(inner, {**inner.entries, "certificates": (named, settings)})
    return _of_entries(root, {**root.entries, "spec": (key, inner)})


def text_of(root: YAMLNode, *, comment: str) -> bytes:
    """A spec as a file, in the order of its keys; read again, it says the same."""
    text = yaml.dump(
        root.value,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=False,
        # Long values stay on their line.
        width=1 << 20,
        default_flow_style=False,
    )
    return f"# {comment}\n{text}".encode()


class _Dumper(yaml.CSafeDumper):
    """Writes what `yaml_scalars` reads; by YAML 1.1, PyYAML would leave `1e3` and `0o17` without quotes."""


def _represent_text(dumper: yaml.CSafeDumper, value: str) -> yaml.ScalarNode:
    is_plain = "\n" not in value and value and resolve(value) == value
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if is_plain else '"')


def _represent_disputed(dumper: yaml.CSafeDumper, value: Disputed) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value.text, style='"')


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(Disputed, _represent_disputed)


def _names(text: str) -> tuple[str, ...]:
    return tuple(found[1] for found in _GAP.finditer(text) if found[1] is not None)


def _changed(node: YAMLNode, change: Callable[[ScalarNode], ScalarNode]) -> YAMLNode:
    """A copy of a tree with other values; it is as deep as a spec may be, and no deeper."""
    if isinstance(node, ScalarNode):
        return change(node)
    if isinstance(node, SequenceNode):
        items = [_changed(item, change) for item in node.items]
        return replace(node, value=[item.value for item in items], items=items)
    if isinstance(node, MappingNode):
        entries = {name: (key, _changed(value, change)) for name, (key, value) in node.entries.items()}
        return _of_entries(node, entries)
    return node


def _of_entries(node: MappingNode, entries: dict[str, tuple[YAMLNode, YAMLNode]]) -> MappingNode:
    values = {name: value.value for name, (_, value) in entries.items()}
    return replace(node, value=values, entries=entries)


def _scalars(node: YAMLNode) -> Iterator[ScalarNode]:
    if isinstance(node, ScalarNode):
        yield node
    for each in _below(node):
        yield from _scalars(each)


def _mappings(node: YAMLNode) -> Iterator[MappingNode]:
    if isinstance(node, MappingNode):
        yield node
    for each in _below(node):
        yield from _mappings(each)


def _below(node: YAMLNode) -> list[YAMLNode]:
    if isinstance(node, SequenceNode):
        return node.items
    return [value for _, value in node.entries.values()] if isinstance(node, MappingNode) else []
