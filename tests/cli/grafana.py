"""What Grafana's own model finds wrong with a dashboard: what it does not know, and what is of another kind.

The model is `grafana-foundation-sdk`, which Grafana Labs generates from Grafana's schema: the dashboard, the
options of each kind of panel, and the queries of each kind of data source.
"""

from __future__ import annotations

import json
import warnings
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Iterator


def faults(content: dict[str, Any]) -> list[str]:
    """The places of a dashboard that are not as the schema has them."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: PLC0415
    from grafana_foundation_sdk.cog.plugins import register_default_plugins  # noqa: PLC0415

    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        # It would rather have the model of Grafana 13, which older ones do not load.
        from grafana_foundation_sdk.models.dashboard import Dashboard  # noqa: PLC0415

    register_default_plugins()
    read = Dashboard.from_json(content)
    kept = json.loads(json.dumps(read, cls=JSONEncoder))
    return [*_lost(content, kept, "dashboard"), *_mistyped(read, Dashboard, "dashboard")]


def _lost(given: Any, kept: Any, place: str) -> Iterator[str]:
    """What the model leaves out when it writes what it has read: it has no such field."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for name, value in given.items():
            if name in kept:
                yield from _lost(value, kept[name], f"{place}.{name}")
            elif value is not None:
                yield f"{place}.{name} is not known"
    elif isinstance(given, list) and isinstance(kept, list):
        for number, (one, other) in enumerate(zip(given, kept, strict=True)):
            yield from _lost(one, other, f"{place}[{number}]")
    elif given != kept:
        yield f"{place} is read as {kept!r}"


def _mistyped(value: Any, kind: Any, place: str) -> Iterator[str]:
    """What is not of the kind that the model says."""
    if isinstance(value, dict) and hasattr(kind, "from_json"):
        value = kind.from_json(value)  # which the model leaves as it is, such as transformations
    origin = get_origin(kind)
    if origin in {Union, UnionType}:
        found = [list(_mistyped(value, each, place)) for each in get_args(kind)]
        # Of the kinds that it may have, one of whose parts only some are not right.
        yield from min(found, key=lambda each: f"{place} is {value!r}" in each) if [] not in found else ()
    elif origin is list and isinstance(value, list):
        for number, each in enumerate(value):
            yield from _mistyped(each, get_args(kind)[0], f"{place}[{number}]")
    elif origin is dict and isinstance(value, dict):
        for name, each in value.items():
            yield from _mistyped(each, get_args(kind)[1], f"{place}.{name}")
    elif not _is_of(value, kind, origin):
        yield f"{place} is {value!r}"
    elif hasattr(value, "to_json"):
        for name, each in get_type_hints(type(value)).items():
            yield from _mistyped(getattr(value, name), each, f"{place}.{name}")


def _is_of(value: Any, kind: Any, origin: Any) -> bool:
    if origin is Literal:
        return value in get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return value in {each.value for each in kind}
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return kind is Any or isinstance(value, NoneType if kind is None else origin or kind)
