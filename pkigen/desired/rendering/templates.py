"""Finds the templates and runs them in Jinja's sandbox, one environment per output language."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2.runtime import BlockReference, Context, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pkigen.desired.rendering.quoting import (
    Rendered,
    argument_line,
    environment_argument,
    unit_word,
    yaml_block_scalar,
    yaml_pem,
    yaml_scalar,
)
from pkigen.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

SUFFIX = ".j2"
# A name of its own kind, because a partial replaces no template and is still no misspelt one
# (`_require_overrides`).
PARTIAL_PREFIX = "_"
ORIGINALS = "pkigen"
"""`{% extends "pkigen/NAME" %}` in an override means the template that it overrides."""


class Language(enum.Enum):
    """An output language; each quotes values in its own way."""

    YAML = "yaml"
    UNIT = "unit"
    ENVIRONMENT = "environment"
    ARGUMENTS = "arguments"
    """One argument a line."""


_QUOTING: dict[Language, Callable[[object], Rendered]] = {
    Language.YAML: yaml_scalar,
    Language.UNIT: unit_word,
    Language.ENVIRONMENT: environment_argument,
    Language.ARGUMENTS: argument_line,
}


def template_directory() -> Path:
    """The folder of the built-in templates: inside the wheel, else at the top of the checkout.

    Raises:
        TemplateError: It is in neither place.
    """
    package = Path(__file__).resolve().parents[2]
    for candidate in (package / "_templates", package.parent / "templates"):
        if (candidate / f"kubeconfig.yaml{SUFFIX}").is_file():
            return candidate
    msg = f"the templates are missing from {package}"
    raise TemplateError(msg, hint="install pkigen again: its package is incomplete")


class _Environment(ImmutableSandboxedEnvironment):
    """A sandbox in which the output of macros and blocks, quoted inside, is not quoted once more."""

    def call(self, context: Context, called: Any, /, *args: Any, **kwargs: Any) -> Any:
        result = super().call(context, called, *args, **kwargs)
        return Rendered(result) if isinstance(called, Macro | BlockReference) else result


class Templates:
    """The templates, an override folder first, file by file.

    Args:
        overrides: The folder given with `--templates`, or None.
    """

    def __init__(self, overrides: Path | None) -> None:
        self._overrides = overrides
        built_in = template_directory()
        originals = jinja2.FileSystemLoader(built_in)
        loaders: list[jinja2.BaseLoader] = [originals, jinja2.PrefixLoader({ORIGINALS: originals})]
        if overrides is not None:
            _require_overrides(overrides, built_in)
            loaders.insert(0, jinja2.FileSystemLoader(overrides))
        loader = jinja2.ChoiceLoader(loaders)
        self._environments = {language: _environment(language, loader) for language in Language}
        self._templates: dict[tuple[str, Language], jinja2.Template] = {}
        self._folders = (built_in, *([overrides] if overrides is not None else []))

    @property
    def are_overridden(self) -> bool:
        """Whether some of them may be somebody else's."""
        return self._overrides is not None

    @property
    def folder(self) -> Path | None:
        """The override folder."""
        return self._overrides

    def digest(self) -> str:
        """The SHA-256 of every template and its name: with other templates a plan means something else.

        Raises:
            TemplateError: One of them cannot be read.
        """
        digest = hashlib.sha256()
        for folder in self._folders:
            digest.update(_listing(folder) + b"\0")
        return digest.hexdigest()

    def overrides_digest(self) -> str | None:
        """The SHA-256 of every template of the override folder; None where none replaces anything.

        Raises:
            TemplateError: One of them cannot be read.
        """
        listing = b"" if self._overrides is None else _listing(self._overrides)
        return hashlib.sha256(listing).hexdigest() if listing else None

    def render(self, name: str, language: Language, context: Any, *, secret: bool = False) -> str:
        """Render one template with the fields of a frozen dataclass as its variables.

        Args:
            name: The template's path below the folder, without `.j2`.
            language: How values are quoted.
            context: A dataclass instance.
            secret: The context holds a secret, so an error names only the place.

        Raises:
            TemplateError: With the template's file and line.
        """
        variables = {field.name: getattr(context, field.name) for field in dataclasses.fields(context)}
        try:
            return self._found(name, language).render(variables)
        except Exception as error:  # noqa: BLE001 -- a template is a program: whatever it raises is its author's to see
            raise _explained(error, name + SUFFIX, secret=secret) from None

    def _found(self, name: str, language: Language) -> jinja2.Template:
        """The template of that name, which Jinja would look for again each time."""
        key = (name, language)
        if key not in self._templates:
            self._templates[key] = self._environments[language].get_template(name + SUFFIX)
        return self._templates[key]

    def place(self, name: str, *flags: str) -> str:
        """Where to look for what is wrong with a result: the file, or the folder that has a piece of it.

        Args:
            name: Of the template.
            flags: What is wrong, by their names: the line that has the first that stands in one is named.
        """
        file = self._environments[Language.YAML].get_template(name + SUFFIX).filename or name
        if self._overrides is None:
            return file
        of_file = Path(file).is_relative_to(self._overrides)
        for each in [Path(file)] if of_file else sorted(self._overrides.rglob(f"*{SUFFIX}")):
            number = _line_of(each, flags)
            if number is not None:
                return f"{each}:{number}"
        return file if of_file else f"{self._overrides}, in what {name}{SUFFIX} renders"


def _line_of(file: Path, flags: Sequence[str]) -> int | None:
    """The line of a template that has the first of some flags that it has at all."""
    # Kubernetes' programs take `_` for `-`.
    lines = file.read_text(encoding="utf-8", errors="replace").replace("_", "-").splitlines()
    found = (number for flag in flags for number, line in enumerate(lines, start=1) if f"--{flag}=" in line)
    return next(found, None)


def _environment(language: Language, loader: jinja2.BaseLoader) -> _Environment:
    """Jinja for one language: every value is quoted, and a variable that is not there is an error."""
    quote = _QUOTING[language]

    def finalize(value: object) -> object:
        if isinstance(value, Undefined):
            str(value)  # StrictUndefined raises here, with the variable's name
        return quote(value)

    environment = _Environment(
        loader=loader,
        # A misspelt variable would otherwise render nothing, in silence.
        undefined=jinja2.StrictUndefined,
        finalize=finalize,
        autoescape=False,  # HTML escaping would not make YAML safe; finalize does
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        # A run renders everything from the same templates, whatever happens to the folder meanwhile.
        auto_reload=False,
    )
    # These make Markup, which is for HTML; its text would be quoted as a value, but it is no use here.
    for name in ("e", "escape", "forceescape", "safe", "tojson", "urlize", "xmlattr"):
        del environment.filters[name]
    if language is Language.YAML:
        environment.filters["block"] = yaml_block_scalar
        environment.filters["pem"] = yaml_pem
    return environment


def _require_overrides(overrides: Path, built_in: Path) -> None:
    """Refuse a folder with a file that overrides nothing: misspelt, it would have no effect, in silence.

    Partials are only reached from other files.
    """
    if not overrides.is_dir():
        msg = f"{overrides} is not a directory of templates"
        raise TemplateError(msg)
    known = _names(built_in)
    for name in sorted(_names(overrides)):
        if name not in known and not name.rpartition("/")[2].startswith(PARTIAL_PREFIX):
            msg = f"{overrides / name} overrides no template"
            names = ", ".join(sorted(known))
            raise TemplateError(msg, hint=f"the templates are {names}; names of partials begin with '_'")
        logger.info("read %s: overrides a built-in template", overrides / name)


def _listing(folder: Path) -> bytes:
    """The name and SHA-256 of every template in a folder."""
    lines = []
    for name in sorted(_names(folder)):
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise _explained(error, name, secret=False) from None
        lines.append(f"{name}\0{hashlib.sha256(content).hexdigest()}\0")
    return "".join(lines).encode()


def _names(folder: Path) -> set[str]:
    """The templates below a folder, by their relative names."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob(f"*{SUFFIX}")}


def _explained(error: Exception, name: str, *, secret: bool) -> TemplateError:
    """Whatever went wrong, as one sentence that begins with the template's file and line.

    Args:
        error: What Jinja, the template or the file system raised.
        name: The template that was asked for, for errors that do not say where they come from.
        secret: The text of an error may quote a value, which here may be a key: its type alone is told.
    """
    place = _place(error, name)
    match error:
        case jinja2.TemplateSyntaxError():
            return TemplateError(f"{error.filename or error.name or name}:{error.lineno}: {error.message}")
        case jinja2.TemplateNotFound():
            return TemplateError(f"{place}: there is no template {error.name}")
        case OSError():
            reason = (error.strerror or "input/output error").lower()
            return TemplateError(f"{error.filename or place} cannot be read: {reason}")
        case _:
            kind = type(error).__name__
            text = _OBJECT.sub("a value", str(error))
            return TemplateError(f"{place}: {kind if secret else text or kind}")


# Python's `repr` of what has none of its own says where in memory it is, and nothing else.
_OBJECT = re.compile(r"<[^<>]* at 0x[0-9a-fA-F]+>")


def _place(error: Exception, name: str) -> str:
    """The innermost line of a template that an error came through; Jinja rewrites tracebacks to show it."""
    place, traceback = name, error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if file.endswith(SUFFIX):
            place = f"{file}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
