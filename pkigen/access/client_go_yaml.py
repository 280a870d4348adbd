"""Words that kubectl's YAML reader understands differently from pkigen's.

client-go reads by the rules of YAML 1.1 (sigs.k8s.io/yaml goyaml.v2 resolve.go), pkigen by those of 1.2. A
file in which the two differ would mean one thing to its author and another to kubectl, so it is refused.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from pkigen.spec.yaml_nodes import MappingNode, ScalarNode, SequenceNode, YAMLNode
from pkigen.spec.yaml_scalars import Disputed

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOOLEANS = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON"), "true"),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "off", "Off", "OFF"), "false"),
}
_NUMBER = re.compile(
    r"[-+]?(?:0b[01]+|0o[0-7]+|0x[0-9a-f]+|(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:e[-+]?[0-9]+)?)", re.IGNORECASE
)


def misread(node: YAMLNode) -> Iterator[tuple[ScalarNode, str]]:
    """Every unquoted word that is text here, or a number of one's own, and what kubectl makes of it."""
    match node:
        case ScalarNode():
            found = _meaning(node)
            if found is not None:
                yield node, found
        case SequenceNode():
            for item in node.items:
                yield from misread(item)
        case MappingNode():
            for key, value in node.entries.values():
                yield from misread(key)
                yield from misread(value)


def _meaning(node: ScalarNode) -> str | None:
    """What kubectl makes of a word; None where it is the same as here."""
    match node.value:
        case Disputed():
            return "a number that others read differently"
        case float() as number:
            return None if math.isfinite(number) else "a number that JSON does not have"
        # goyaml takes underscores out before it reads a number (`resolve`).
        case str() if node.plain and _NUMBER.fullmatch(node.text.replace("_", "")):
            return "a number"
        case str() if node.plain:
            return _BOOLEANS.get(node.text)
        case _:
            return None
