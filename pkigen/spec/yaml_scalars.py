"""What a plain scalar means: the core schema of YAML 1.2 (section 10.3.2), but for disputed numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pkigen.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_NUMBER: Final = 40
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
# Most words of a spec begin otherwise, and need no pattern at all.
_NUMBER_STARTS = frozenset("0123456789+-.")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_BASED_INTEGER = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DIGITS = re.compile(r"[-+]?[0-9]+")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")


@dataclass(frozen=True, slots=True)
class Disputed:
    """A plain number that no field takes, because its author cannot know how it is read.

    YAML 1.1 reads `012` as ten, 1.2 as twelve, and past 40 digits a number is no number to most programs.
    """

    text: str

    def __str__(self) -> str:
        return self.text


Scalar = str | int | float | bool | Disputed | None

_NUMBERS: Final[tuple[tuple[re.Pattern[str], Callable[[str], Scalar]], ...]] = (
    # First: the patterns below would take it.
    (_LEADING_ZERO, Disputed),
    (_INTEGER, int),
    (_BASED_INTEGER, lambda text: int(text, 0)),
    (_FLOAT, float),
    (_SPECIAL_FLOAT, lambda text: float(text.replace(".", "", 1))),
)


def resolve(text: str) -> Scalar:
    """The value of a scalar that stands without quotes."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    return _number(text) if text[0] in _NUMBER_STARTS else text


def _number(text: str) -> Scalar:
    """The first row that fits; where none does, it is text after all."""
    if len(text) > _LONGEST_NUMBER:
        return Disputed(text) if _DIGITS.fullmatch(text) else text
    return next((read(text) for pattern, read in _NUMBERS if pattern.fullmatch(text)), text)
