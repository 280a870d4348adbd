"""pydantic's errors in pkigen's voice."""

from __future__ import annotations

import difflib
import re
import typing
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from pkigen.crypto.keys import NOT_READ_YET
from pkigen.spec.model import ClusterSpec
from pkigen.spec.values import NEWEST_RELEASED
from pkigen.spec.yaml_nodes import MappingNode, ScalarNode, SequenceNode, YAMLNode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic_core import ErrorDetails

    from pkigen.spec.findings import Location

_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_BASE_SIXTY = re.compile(r"[-+]?[0-9]+(?::[0-5]?[0-9])+")
_OLD_BOOLEANS = frozenset({"y", "n", "yes", "no", "on", "off"})
_LONGEST_QUOTE = 60
UNKNOWN_KEY: Final = "is not a key here"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    by_lower = {name.lower(): name for name in known}
    # A key of the input may be any length, and difflib takes up to the square of it in time.
    near = difflib.get_close_matches(word[:_LONGEST_QUOTE].lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?` where a known word is near, else nothing."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""


def quote(value: object) -> str:
    """A value of the input, short enough for a message."""
    text = str(value)
    return repr(text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "...")


def message(error: ErrorDetails, node: YAMLNode | None) -> str:
    """What to tell a person about one of pydantic's errors; `node` is the value it is about."""
    kind = error["type"]
    context = error.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return _unknown_key(error["loc"])
    # Whatever type is wanted, an empty value is none of it: one sentence is clearer than each type's own.
    if isinstance(node, ScalarNode) and node.value is None:
        if node.text:
            return f"{node.text} is not a value here: put it in quotes if it is text, or remove the key"
        return "is empty: give it a value or remove the key"
    teller = _TELLERS.get(kind)
    if teller is not None:
        return teller(node, context)
    return str(error["msg"])  # pragma: no cover -- a test lists the kinds that the model can raise


def _unknown_key(location: Location) -> str:
    known = tuple(_keys_at(location[:-1]))
    return f"{UNKNOWN_KEY}{suggestion(str(location[-1]), known) or _listing(known)}"


def _listing(known: tuple[str, ...]) -> str:
    return f"; known are {', '.join(known)}"


def _keys_at(location: Location) -> Iterable[str]:
    """The keys that the model knows at a place."""
    model: type[BaseModel] = ClusterSpec
    for step in location:
        fields = [field for field in model.model_fields.values() if field.alias == step]
        if fields:  # else a list's index or a key of `overrides`, whose model is that of the field above
            model = _model_in(fields[0].annotation) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model within `Model | None`, `tuple[Model, ...]` and `dict[str, Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(part) for part in typing.get_args(annotation))
    return next((model for model in inner if model is not None), None)


def _value_error(node: YAMLNode | None, context: dict[str, Any]) -> str:
    del node
    return str(context["error"])


def text_wanted(node: YAMLNode | None) -> str:
    """What to tell a person about a value that is no text."""
    if isinstance(node, ScalarNode):
        return f'must be text: put it in quotes, "{_clipped(node.text)}"'
    return f"must be text, not {value_kind(node)}"


def _wants_text(node: YAMLNode | None, context: dict[str, Any]) -> str:
    del context
    return text_wanted(node)


def _clipped(text: str) -> str:
    """The beginning of a text as it is to be written, on one line."""
    short = text[:_LONGEST_QUOTE]
    return short if short.isprintable() else quote(short)


def value_kind(node: YAMLNode | None) -> str:
    """What a value is, after "must be …, not"."""
    if isinstance(node, MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, SequenceNode) else _described(node)


def _described(node: YAMLNode | None) -> str:
    return quote(node.text) if isinstance(node, ScalarNode) else "this"


def _wants_number(node: YAMLNode | None, context: dict[str, Any]) -> str:
    del context
    if not isinstance(node, ScalarNode):
        return f"must be a whole number, not {value_kind(node)}"
    text = node.text
    if node.plain and _LEADING_ZERO.fullmatch(text):
        meant = text.lstrip("+-0")[:20] or "0"
        return f"must not begin with 0: YAML readers disagree whether {text[:20]} is octal; write {meant}"
    if node.plain and _BASE_SIXTY.fullmatch(text):
        return f"must be a whole number; {quote(text)} is text, and a number of base 60 to old YAML readers"
    if not node.plain and re.fullmatch(r"[-+]?[0-9]+", text):
        return "must be a number: remove the quotes"
    return f"must be a whole number, not {quote(text)}"


def _wants_truth(node: YAMLNode | None, context: dict[str, Any]) -> str:
    del context
    if isinstance(node, ScalarNode):
        if node.text.lower() in _OLD_BOOLEANS:
            return f"must be true or false: {quote(node.text)} is text in YAML 1.2"
        if not node.plain and node.text in {"true", "false"}:
            return "must be true or false: remove the quotes"
    return f"must be true or false, not {value_kind(node)}"


def _wants_choice(node: YAMLNode | None, context: dict[str, Any]) -> str:
    # pydantic has the choices only as text: 'a', 'b' or 'c'.
    choices = re.findall(r"'([^']*)'", str(context["expected"]))
    if isinstance(node, ScalarNode) and node.text in NOT_READ_YET:
        return (
            f"{node.text} cannot be used yet: neither Kubernetes up to v1.{NEWEST_RELEASED} nor etcd reads "
            f"such keys (Go does from 1.27 on); choose {', '.join(choices[:-1])} or {choices[-1]}"
        )
    shown = [choice or '""' for choice in choices]
    listing = f"{', '.join(shown[:-1])} or {shown[-1]}" if len(shown) > 1 else shown[0]
    near = (
        suggestion(node.text, [choice for choice in choices if choice])
        if isinstance(node, ScalarNode)
        else ""
    )
    return f"must be {listing}, not {value_kind(node)}{near if len(choices) > 1 else ''}"


def _wants_list(node: YAMLNode | None, context: dict[str, Any]) -> str:
    del context
    if isinstance(node, ScalarNode):
        return f"must be a list: write [{_clipped(node.text)}]"
    return f"must be a list, not {value_kind(node)}"


def _wants_mapping(node: YAMLNode | None, context: dict[str, Any]) -> str:
    del context
    return f"must be a mapping of keys to values, not {value_kind(node)}"


def _too_short(node: YAMLNode | None, context: dict[str, Any]) -> str:
    del node
    return (
        "must not be empty" if context["min_length"] == 1 else f"needs at least {context['min_length']} items"
    )


def _too_long(node: YAMLNode | None, context: dict[str, Any]) -> str:
    unit = "characters" if isinstance(node, ScalarNode) else "items"
    return f"may have at most {context['max_length']} {unit}"


_TELLERS: Final[dict[str, Callable[[YAMLNode | None, dict[str, Any]], str]]] = {
    "value_error": _value_error,
    "string_type": _wants_text,
    "int_type": _wants_number,
    "bool_type": _wants_truth,
    "enum": _wants_choice,
    "literal_error": _wants_choice,
    "tuple_type": _wants_list,
    "dict_type": _wants_mapping,
    "model_type": _wants_mapping,
    "too_short": _too_short,
    "string_too_short": _too_short,
    "too_long": _too_long,
    "string_too_long": _too_long,
    "greater_than_equal": lambda node, context: f"must be at least {context['ge']}, not {_described(node)}",
    "less_than_equal": lambda node, context: f"must be at most {context['le']}, not {_described(node)}",
}
