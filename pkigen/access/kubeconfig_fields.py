"""The fields that kubectl reads in a kubeconfig, each of its type (`clientcmd/api/v1/types.go`).

Go's decoder reads nothing at all of a file in which one field is of another type, so that a single entry
takes every other one with it.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pkigen.access.yaml_text import Value

    Check = Callable[[object, str], None]

_Read = TypeVar("_Read")


class BadField(Exception):  # noqa: N818 -- a finding on its way to becoming an AccessError
    """A sentence that names the place of a field and never its value."""


def mapping(value: object, where: str) -> Mapping[str, Value]:
    """A mapping."""
    if not isinstance(value, dict):
        msg = f"{where} is not a mapping"
        raise BadField(msg)
    return value


def entries(value: object, where: str) -> list[object]:
    """A list; null is none, as for Go's decoder."""
    if value is None:
        return []
    if not isinstance(value, list):
        msg = f"{where} is not a list"
        raise BadField(msg)
    return value


def text(value: object, where: str) -> str:
    """A text."""
    if not isinstance(value, str):
        msg = f"{where} is not a string"
        raise BadField(msg)
    return value


def text_or_nothing(value: object, where: str) -> str:
    """A text; null is an empty one, as for Go's decoder."""
    return "" if value is None else text(value, where)


def mapping_or_nothing(value: object, where: str) -> Mapping[str, Value]:
    """A mapping; null is an empty one, as for Go's decoder."""
    return {} if value is None else mapping(value, where)


def anything(value: object, _where: str) -> Value:
    """Any value at all, for what other programs understand."""
    return value  # type: ignore[return-value]


def _require_text(value: object, where: str) -> None:
    text(value, where)


def _require_flag(value: object, where: str) -> None:
    """Refuse what is not `true` or `false`: client-go does not take words for them."""
    if not isinstance(value, bool):
        msg = f"{where} is neither true nor false"
        raise BadField(msg)


def _require_data(value: object, where: str) -> None:
    """Standard base64 in one line or several: Go's decoder skips line breaks (`encoding/base64`)."""
    try:
        base64.b64decode(text(value, where).replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        msg = f"{where} is not base64"
        raise BadField(msg) from None


def _require_texts(value: object, where: str) -> None:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        msg = f"{where} is not a list of strings"
        raise BadField(msg)


def _require_text_lists(value: object, where: str) -> None:
    for key, item in mapping(value, where).items():
        if item is not None:
            _require_texts(item, f"{key} in {where}")


def _require_text_values(value: object, where: str) -> None:
    for key, item in mapping(value, where).items():
        text_or_nothing(item, f"{key} in {where}")


def _require_variables(value: object, where: str) -> None:
    """What an `exec` program finds in its environment."""
    for item in entries(value, where):
        variable = mapping(item, f"an entry of {where}")
        for key in ("name", "value"):
            text_or_nothing(variable.get(key), f"a {key} in {where}")


def _require_extensions(value: object, where: str) -> None:
    named(value, "extension", where, of=anything)


def _of(fields: Mapping[str, Check]) -> Check:
    """A mapping with these fields; what else it holds, kubectl ignores."""

    def require(value: object, where: str) -> None:
        for key, item in mapping(value, where).items():
            if key in fields and item is not None:
                fields[key](item, f"{key} of {where}")

    return require


def named(
    content: object, key: str, where: str, *, of: Callable[[object, str], _Read]
) -> Mapping[str, _Read]:
    """A list's entries by their names; client-go refuses two with one, too (`api/v1/conversion.go`)."""
    found: dict[str, _Read] = {}
    for item in entries(content, where):
        entry = mapping(item, f"an entry of {where}")
        name = text_or_nothing(entry.get("name"), f"a name in {where}")
        if name in found:
            msg = f"{where} has the name {name!r} twice"
            raise BadField(msg)
        found[name] = of(entry.get(key), f"{where}[{name}]")
    return found


_EXEC = _of(
    {
        "command": _require_text,
        "args": _require_texts,
        "env": _require_variables,
        "apiVersion": _require_text,
        "installHint": _require_text,
        "provideClusterInfo": _require_flag,
        "interactiveMode": _require_text,
    }
)
require_preferences = _of({"colors": _require_flag, "extensions": _require_extensions})
"""The preferences, which no kubectl uses any more and every kubectl reads."""

CLUSTER: Mapping[str, Check] = {
    "server": _require_text,
    "tls-server-name": _require_text,
    "insecure-skip-tls-verify": _require_flag,
    "certificate-authority": _require_text,
    "certificate-authority-data": _require_data,
    "proxy-url": _require_text,
    "disable-compression": _require_flag,
    "extensions": _require_extensions,
}
CONTEXT: Mapping[str, Check] = {
    "cluster": _require_text,
    "user": _require_text,
    "namespace": _require_text,
    "extensions": _require_extensions,
}
USER: Mapping[str, Check] = {
    "client-certificate": _require_text,
    "client-certificate-data": _require_data,
    "client-key": _require_text,
    "client-key-data": _require_data,
    "token": _require_text,
    "tokenFile": _require_text,
    "as": _require_text,
    "as-uid": _require_text,
    "as-groups": _require_texts,
    "as-user-extra": _require_text_lists,
    "username": _require_text,
    "password": _require_text,
    "auth-provider": _of({"name": _require_text, "config": _require_text_values}),
    "exec": _EXEC,
    "extensions": _require_extensions,
}
TOP = frozenset(
    {"apiVersion", "kind", "clusters", "contexts", "users", "current-context", "preferences", "extensions"}
)
