"""Published schemas as they are of this version, for comparisons that notice a field too many."""

from __future__ import annotations

from typing import Any


def closed(schema: Any) -> Any:
    """The schema without any other field than those that it names."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    return {**inner, "additionalProperties": False} if "properties" in inner else inner
