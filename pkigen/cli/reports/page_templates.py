"""The templates of pages and drawings: what a certificate or a spec says is text in them, never markup."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pkigen.notation import printable


def rendered(template: str, **values: Any) -> str:
    """A template with its values, every one of them escaped."""
    return _environment().get_template(template).render(**values)


def trusted(markup: str) -> Markup:
    """What one of these templates has made already, for another one to hold."""
    return Markup(markup)  # noqa: S704 -- only what `rendered` returns is given here


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "pages"),
        # A name that no value has would be nothing on the page, where nobody would miss it.
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        # Signs that reverse or hide what stands beside them are shown as escapes.
        finalize=_shown,
    )


def _shown(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
