"""What `pkigen validate` finds in one spec, in many, or in every spec of a fleet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkigen.cli.reports.validation_forms import invalid, validated
from pkigen.cli.reports.version import API_VERSION
from pkigen.cli.spec_input import host_facts, read_spec
from pkigen.desired import certificates
from pkigen.desired.inventory import derive
from pkigen.errors import Problem, SpecError, UsageError
from pkigen.fleet.description import is_fleet, read_fleet
from pkigen.records import dataclass
from pkigen.spec.loader import content_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pkigen.spec.loader import LoadedSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What one spec is: a sentence where it is valid, problems where it is not."""

    content: dict[str, Any]
    sentence: str | None = None
    warnings: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()
    hint: str = ""


def validations(files: Sequence[Path]) -> list[Validation]:
    """Check every spec."""
    return [validation for file in files for validation in _of_file(file)]


def structure(found: Sequence[Validation], *, single: bool) -> dict[str, Any]:
    """The document: of one spec its own, of several all of theirs."""
    if single and len(found) == 1:
        return found[0].content
    documents = [each.content for each in found]
    return {"apiVersion": API_VERSION, "kind": "Validations", "validations": documents}


def require_valid(found: Sequence[Validation]) -> None:
    """End with every problem, if there is any.

    Raises:
        SpecError: There is.
    """
    invalid = [each for each in found if each.sentence is None]
    if not invalid:
        return
    # What a fleet's template has wrong is wrong at every site, and told once.
    problems = list(dict.fromkeys(problem for each in invalid for problem in each.problems))
    where = "the spec" if len(found) == 1 else f"{len(invalid)} of {len(found)} specs"
    raise SpecError(problems, hint=next((each.hint for each in invalid if each.hint), ""), where=where)


def _of_file(file: Path) -> Iterator[Validation]:
    if not is_of_fleet(file):
        yield _checked(str(file), lambda: read_spec(file))
        return
    try:
        fleet = read_fleet(file)
    except SpecError as error:
        yield _invalid(str(file), error)
        return
    host = host_facts()
    for site in fleet.sites:
        source = site.source

        # Bound as a default, so that it does not matter when it is called.
        def load(source: Any = source) -> LoadedSpec:
            found: LoadedSpec = source.load(kinds=certificates.CERTIFICATES, host=host)
            return found

        yield _checked(source.place, load)


def is_of_fleet(file: Path) -> bool:
    """Whether several specs are meant; a cluster's own directory is named with -C, as everywhere."""
    if file.is_dir():
        try:
            read_fleet(file)
        except UsageError:
            return False  # and `read_spec` says what it is
        return True
    if not file.is_file():  # standard input, and pipes, are read once
        return False
    try:
        data = content_of(file)
    except SpecError:
        return False
    # The word first: to parse every spec only for its kind would take most of the time.
    return b"Fleet" in data and is_fleet(data)


def _checked(file: str, load: Callable[[], LoadedSpec]) -> Validation:
    try:
        loaded = load()
    except SpecError as error:
        return _invalid(file, error)
    inventory, cluster = derive(loaded.spec), loaded.spec
    nodes, count = len(cluster.spec.nodes), len(inventory.certificates)
    return Validation(
        content=validated(file, inventory, loaded.warnings),
        sentence=f"{file} is valid: cluster {cluster.name}, Kubernetes {cluster.spec.kubernetes_version}, "
        f"{nodes} node{'s' if nodes != 1 else ''}, {count} certificates",
        warnings=loaded.warnings,
    )


def _invalid(file: str, error: SpecError) -> Validation:
    return Validation(content=invalid(file, error.problems), problems=error.problems, hint=error.hint)
