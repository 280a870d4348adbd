"""What a fleet is: the file that names its template and its rows, or a directory of specs and clusters."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pkigen import layout
from pkigen.errors import Problem, SpecError, UsageError
from pkigen.fleet.rows import Row, csv_rows, yaml_rows
from pkigen.fleet.sites import FileSource, OwnSource, RowSource, Site
from pkigen.fleet.template import Template, missing_columns
from pkigen.notation import suggestion
from pkigen.records import dataclass
from pkigen.spec.loader import content_of
from pkigen.spec.model import API_VERSION
from pkigen.spec.translation import quote
from pkigen.spec.values import parse_share
from pkigen.spec.yaml_nodes import MappingNode, ScalarNode, YAMLNode, child
from pkigen.spec.yaml_source import read_documents

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

KIND: Final = "Fleet"
# Clusters that are made on one day by one template would otherwise all be due on one day, too.
SPREAD: Final = "10%"
DIRECTORY: Final = "clusters"
_ENDINGS: Final = frozenset({".yaml", ".yml", ".json"})
_FIELDS: Final = ("template", "rows", "directory", "expirySpread")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Clusters that are worked on together, in the order in which they are named."""

    name: str
    place: Path
    sites: tuple[Site, ...]
    warnings: tuple[Problem, ...] = ()
    left: tuple[Path, ...] = ()
    """Clusters' directories that no row is for any more."""


def read_fleet(place: Path) -> Fleet:
    """A fleet, from its file or its directory.

    Raises:
        SpecError: The file describes no fleet. What is wrong with single sites is told when they are read.
        UsageError: The directory holds none, or it is somebody else's file.
    """
    return _of_directory(place) if place.is_dir() else _of_file(place)


def is_fleet(data: bytes) -> bool:
    """Whether a file says that it describes a fleet; whoever reads it whole says what is wrong with it."""
    try:
        documents, _ = read_documents(data, file="")
    except SpecError:
        return False
    return bool(documents) and getattr(child(documents[0], "kind"), "value", None) == KIND


# -- a directory ------------------------------------------------------------------------------------------


def _of_directory(place: Path) -> Fleet:
    """Every spec in a directory, each with its cluster's directory beside it, and clusters without one.

    Raises:
        UsageError: It holds neither, or is itself a cluster's.
    """
    if (place / layout.LOCK_FILE).exists():
        raise UsageError(
            f"{place} is a cluster's directory, not a fleet",
            hint="name the directory that holds the clusters' directories, or the file of a fleet",
        )
    entries = sorted(place.iterdir())
    specs = [each for each in entries if _is_spec(each)]
    # A directory with a spec beside it is that spec's cluster, and is not listed a second time.
    beside = {each.stem for each in specs}
    clusters = [each for each in entries if (each / layout.LOCK_FILE).exists() and each.name not in beside]
    own = (Site(label=each.name, root=each, source=OwnSource(root=each)) for each in clusters)
    sites = [*map(_site_of_spec, specs), *own]
    if not sites:
        raise UsageError(
            f"{place} holds no spec and no cluster's directory",
            hint="name a directory with a spec for each cluster, or the file of a fleet",
        )
    return Fleet(name=place.resolve().name, place=place, sites=_apart(sites))


def _is_spec(path: Path) -> bool:
    return path.suffix in _ENDINGS and not path.name.startswith(".") and not path.is_dir()


def _site_of_spec(path: Path) -> Site:
    # Called by its file: two clusters of one name never share a directory.
    return Site(label=path.stem, root=path.with_suffix(""), source=FileSource(path=path, share=SPREAD))


# -- a file -----------------------------------------------------------------------------------------------


def _of_file(place: Path) -> Fleet:
    root = _one_document(place)
    file = str(place)
    problems = list(_wrong_fields(root, file))
    spec = child(root, "spec")
    name = _text(root, file, problems, "metadata", "name") or place.stem
    share = _share(spec, file, problems)
    directory = _text(spec, file, problems, "directory", above="spec.", optional=True) or DIRECTORY
    template = _template(spec, place, problems)
    rows = _rows(spec, place, problems)
    if template is not None and rows is not None:
        problems += _gaps_without_columns(template, rows)
    # Only here: all of the file's problems are told by one run.
    if problems or template is None or rows is None:
        raise SpecError(problems)
    above = place.parent / directory
    comment = (
        f"Made by `pkigen fleet` from {Path(template.file).name}: edit that and its rows, not this file."
    )
    sites = [_site_of_row(template, row, above=above, share=share, comment=comment) for row in rows]
    return Fleet(
        name=name,
        place=place,
        sites=_apart(sites),
        warnings=tuple(_unused(template, rows)),
        left=_left(above, {site.root for site in sites}),
    )


def _left(above: Path, known: Collection[Path | None]) -> tuple[Path, ...]:
    below = sorted(above.iterdir()) if above.is_dir() else []
    # Named, never removed: a row that was deleted by mistake must not take a cluster's authority with it.
    return tuple(each for each in below if each not in known and (each / layout.LOCK_FILE).exists())


def _one_document(place: Path) -> YAMLNode:
    """The file's only document.

    Raises:
        SpecError: It is another kind of file.
    """
    file = str(place)
    documents, problems = read_documents(content_of(place), file=file)
    if not documents:
        message = (
            f"is empty: write apiVersion: {API_VERSION}, kind: {KIND}, and a spec with template and rows"
        )
        raise SpecError([*problems, Problem(file=file, line=1, column=1, path="", message=message)])
    root = documents[0]
    for key, value in (("apiVersion", API_VERSION), ("kind", KIND)):
        node = child(root, key)
        if not isinstance(node, ScalarNode) or node.value != value:
            found = f", not {quote(node.text)}" if isinstance(node, ScalarNode) else ""
            at = node or root
            problems.append(at.problem(f"must be {value}{found}", file=file, path=key))
    problems += [
        extra.problem("a second document begins here: one file describes one fleet", file=file, path="")
        for extra in documents[1:]
    ]
    if problems:
        raise SpecError(problems)
    return root


def _wrong_fields(root: YAMLNode, file: str) -> Iterator[Problem]:
    known = {"": ("apiVersion", "kind", "metadata", "spec"), "metadata": ("name",), "spec": _FIELDS}
    for place, names in known.items():
        node = child(root, place) if place else root
        if not isinstance(node, MappingNode):
            message = "is missing" if node is None else "must be a mapping"
            yield (node or root).problem(message, file=file, path=place)
            continue
        for name, (key, _) in node.entries.items():
            if name not in names:
                hint = suggestion(name, names) or f"known are {', '.join(names)}"
                path = f"{place}.{name}" if place else name
                yield key.problem(f"is not a key here; {hint}", file=file, path=path)


def _text(
    node: YAMLNode | None,
    file: str,
    problems: list[Problem],
    *keys: str,
    above: str = "",
    optional: bool = False,
) -> str | None:
    """A text of the file; None, and a problem, where there is none."""
    found = child(node, *keys)
    path = above + ".".join(keys)
    if isinstance(found, ScalarNode) and isinstance(found.value, str) and found.value.strip():
        return found.value
    if found is not None:
        problems.append(found.problem("must be text", file=file, path=path))
    elif not optional and isinstance(child(node, *keys[:-1]), MappingNode):
        problems.append((child(node, *keys[:-1]) or node).problem("is missing", file=file, path=path))  # type: ignore[union-attr]
    return None


def _share(spec: YAMLNode | None, file: str, problems: list[Problem]) -> str:
    found = child(spec, "expirySpread")
    if found is None:
        return SPREAD
    try:
        return str(parse_share(found.value))
    except ValueError as error:
        problems.append(found.problem(str(error), file=file, path="spec.expirySpread"))
        return SPREAD


def _template(spec: YAMLNode | None, place: Path, problems: list[Problem]) -> Template | None:
    """The template: in the file itself, or in one that it names."""
    file, node = str(place), child(spec, "template")
    if isinstance(node, MappingNode):
        template = Template(root=node, file=file)
    elif isinstance(node, ScalarNode) and isinstance(node.value, str) and node.value:
        path = place.parent / node.value
        try:
            documents, wrong = read_documents(content_of(path), file=str(path))
        except SpecError as error:
            problems += error.problems
            return None
        problems += wrong
        if len(documents) != 1:
            message = f"must hold one document, and holds {len(documents)}"
            problems.append(Problem(file=str(path), line=1, column=1, path="", message=message))
            return None
        template = Template(root=documents[0], file=str(path))
    else:
        if isinstance(spec, MappingNode):
            message = "must be the name of a spec's file, or a spec"
            problems.append((node or spec).problem(message, file=file, path="spec.template"))
        return None
    problems += [
        key.problem("a key cannot have gaps: a row fills in values", file=template.file, path="")
        for key in template.keys_with_gaps()
    ]
    return template


def _rows(spec: YAMLNode | None, place: Path, problems: list[Problem]) -> tuple[Row, ...] | None:
    """The rows: in the file itself, or in one that it names."""
    file, node = str(place), child(spec, "rows")
    try:
        if isinstance(node, ScalarNode) and isinstance(node.value, str) and node.value:
            return _rows_of_file(place.parent / node.value)
        if node is not None:
            return yaml_rows(node, file=file, path="spec.rows")
    except SpecError as error:
        problems += error.problems
        return None
    if isinstance(spec, MappingNode):
        message = "is missing: name a CSV or YAML file, or give a list of mappings"
        problems.append(spec.problem(message, file=file, path="spec.rows"))
    return None


def _rows_of_file(path: Path) -> tuple[Row, ...]:
    data = content_of(path)
    if path.suffix.lower() == ".csv":
        return csv_rows(data, file=str(path))
    documents, problems = read_documents(data, file=str(path))
    if problems or len(documents) != 1:
        message = f"must hold one list of rows, and holds {len(documents)} documents"
        raise SpecError(problems or [Problem(file=str(path), line=1, column=1, path="", message=message)])
    return yaml_rows(documents[0], file=str(path), path="")


def _gaps_without_columns(template: Template, rows: Iterable[Row]) -> Iterator[Problem]:
    if any(row.problems for row in rows):
        return iter(())  # what is wrong with a row is told of it; which columns it should have is not known
    columns = [name for row in rows for name in row.cells]
    return missing_columns(template, dict.fromkeys(columns)) if columns else iter(())


def _unused(template: Template, rows: tuple[Row, ...]) -> Iterator[Problem]:
    """Columns that the template does not ask for, each told once."""
    wanted = {name for name, _ in template.gaps()}
    first: dict[str, Row] = {}
    for row in rows:
        for name in row.cells:
            first.setdefault(name, row)
    for name, row in first.items():
        if name not in wanted:
            hint = suggestion(name, wanted)
            yield row.problem(name, f"the template does not ask for this column{f'; {hint}' if hint else ''}")


def _site_of_row(template: Template, row: Row, *, above: Path, share: str, comment: str) -> Site:
    source = RowSource(template=template, row=row, share=share, comment=comment)
    name = source.name
    label = name if name is not None else f"{row.file}:{row.line}"
    root = above / layout.file_name_of(name) if name is not None else None
    return Site(label=label, root=root, source=source)


def _apart(sites: Iterable[Site]) -> tuple[Site, ...]:
    """The sites; those that would share a directory are refused, for nobody knows which one is meant."""
    sites = tuple(sites)
    sharing: defaultdict[Path, list[Site]] = defaultdict(list)
    for site in sites:
        if site.root is not None:
            sharing[site.root].append(site)

    def checked(site: Site) -> Site:
        others = sharing[site.root] if site.root is not None else []
        if len(others) < 2:  # noqa: PLR2004 -- a pair
            return site
        other = next(each for each in others if each is not site)
        message = f"its directory would be {site.root}, which is also that of {other.source.place}"
        return replace(site, source=site.source.refused(message), label=str(site.source.place))

    return tuple(map(checked, sites))
