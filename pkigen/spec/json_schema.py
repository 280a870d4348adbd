"""The spec's JSON Schema, for editors: the model's, with what its source says of each field.

pydantic can take the descriptions from the source itself, but then reads it whenever the model is imported,
which takes a tenth of a short run; only this schema shows them.
"""

from __future__ import annotations

import ast
import inspect
import itertools
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import GenerateJsonSchema

from pkigen.notation import format_duration
from pkigen.spec import authentication, certificates, components, model, users
from pkigen.spec.fields import Strict
from pkigen.spec.model import ClusterSpec
from pkigen.spec.values import Percent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


class _AsWritten(GenerateJsonSchema):
    """Writes defaults as a spec does; pydantic would write `PT4M`, which no spec may say.

    Before 2.12.4 it leaves out a default of networks, and cannot encode a model whose serializer is not built
    yet.
    """

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, tuple):
            return [self.encode_default(each) for each in dft]
        if isinstance(dft, IPv4Network | IPv6Network | Percent):
            return str(dft)
        if isinstance(dft, timedelta):
            return format_duration(dft)
        if isinstance(dft, Strict):
            return dft.model_dump(mode="json", by_alias=True)
        return super().encode_default(dft)


_MODULES: Final = (users, components, certificates, authentication, model)
"""Where the classes of a spec are."""


def json_schema() -> dict[str, Any]:
    """The schema (JSON Schema draft 2020-12) of what people write, with a description of every field."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ClusterSpec.model_json_schema(by_alias=True, schema_generator=_AsWritten),
        "title": "pkigen cluster spec",
    }
    written = {name: texts for module in _MODULES for name, texts in _docstrings(module)}
    for name, definition in {**schema["$defs"], ClusterSpec.__name__: schema}.items():
        described = next((vars(each)[name] for each in _MODULES if name in vars(each)), None)
        if isinstance(described, type) and issubclass(described, Strict):
            _describe(definition["properties"], described, written)
    return schema


def _describe(
    properties: dict[str, Any], described: type[Strict], written: dict[str, dict[str, str]]
) -> None:
    inherited = [written.get(base.__name__, {}) for base in described.__mro__]
    for name, field in described.model_fields.items():
        text = next((texts[name] for texts in inherited if name in texts), None)
        if text is not None:
            key = field.alias or name
            # Sorted like pydantic's own keys, so that the published file has no changes of order only.
            properties[key] = dict(sorted({**properties[key], "description": text}.items()))


def _docstrings(module: ModuleType) -> Iterator[tuple[str, dict[str, str]]]:
    """For each class of a module, the string that stands below a field."""
    for each in ast.parse(inspect.getsource(module)).body:
        if isinstance(each, ast.ClassDef):
            texts = {}
            for field, below in itertools.pairwise(each.body):
                match field, below:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name)),
                        ast.Expr(value=ast.Constant(value=str(text))),
                    ):
                        texts[name] = inspect.cleandoc(text)
            yield each.name, texts
