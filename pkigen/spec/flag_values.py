"""Values of flags that have a type: at one that it cannot read a program stops before it does anything."""

from __future__ import annotations

import re
from ipaddress import ip_address
from math import isinf
from typing import TYPE_CHECKING, Final

from pkigen.spec.component_flags import flag_types
from pkigen.spec.feature_gates import as_boolean
from pkigen.spec.translation import quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from pkigen.spec.component_flags import KnownProgram

_TRUE: Final = frozenset({"1", "t", "true"})
# strconv.ParseInt with base 0: a zero in front is octal, and underscores stand between digits only.
_INTEGER: Final = re.compile(
    r"(?P<sign>[+-]?)(?:0[xX](?P<x>(?:_?[0-9a-fA-F])+)|0[bB](?P<b>(?:_?[01])+)|0[oO]?(?P<o>(?:_?[0-7])+)"
    r"|(?P<d>0|[1-9](?:_?[0-9])*))"
)
_BASES: Final = {"x": 16, "b": 2, "o": 8, "d": 10}
# strconv.ParseFloat reads these as Python does not.
_HEXADECIMAL: Final = re.compile(r"[+-]?0[xX][0-9a-fA-F_.]+[pP][+-]?[0-9]+")
# time.ParseDuration
_UNITS: Final = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9}
_UNITS_ABOVE: Final = {"m": 60 * 10**9, "h": 3600 * 10**9}
_PART: Final = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION: Final = re.compile(rf"[+-]?(?:0|(?:{_PART.pattern})+)")
_LARGEST_DURATION: Final = 2**63


def value_fault(program: KnownProgram, name: str, value: str) -> str | None:
    """Why a program stops at the value of a flag; None where it does not, or nobody knows.

    Args:
        program: The program.
        name: The flag.
        value: What it is given; what stands for a variable is not known.
    """
    kind = flag_types(program).get(name)
    # Of masks `network_rules` says more.
    # The kubelet replaces $(NAME) in a container's command (third_party/forked/golang/expansion `Expand`).
    if kind is None or "$(" in value or name.startswith("node-cidr-mask-size"):
        return None
    reads, meant = _KINDS[kind]
    return None if reads(value) else f"must be {meant}, not {quote(value)}: {program} stops at it"


def is_true(value: str) -> bool:
    """Whether a boolean flag is set, in whatever case: how Go reads each, `strconv.ParseBool` says."""
    return value.lower() in _TRUE


def _is_integer(value: str, bits: int) -> bool:
    match = _INTEGER.fullmatch(value)
    if match is None:
        return False
    base, digits = next((base, match[group]) for group, base in _BASES.items() if match[group] is not None)
    number = int(f"{match['sign']}{digits.replace('_', '')}", base)
    return -(1 << bits - 1) <= number < 1 << bits - 1


def _is_int(value: str) -> bool:
    return _is_integer(value, 64)


def _is_int32(value: str) -> bool:
    return _is_integer(value, 32)


def _is_bool(value: str) -> bool:
    return as_boolean(value) is not None


def _is_number(value: str) -> bool:
    # Python trims blanks, knows other scripts' digits, and takes what is too large for infinite.
    if _HEXADECIMAL.fullmatch(value) is not None:
        return True
    try:
        number = float(value)
    except ValueError:
        return False
    is_plain = value.isascii() and not any(map(str.isspace, value))
    return is_plain and (not isinf(number) or "inf" in value.lower())


def _is_duration(value: str) -> bool:
    if _DURATION.fullmatch(value) is None:
        return False
    units = _UNITS | _UNITS_ABOVE
    # An int64 of nanoseconds, some 292 years (time.Duration).
    return sum(float(number) * units[unit] for number, unit in _PART.findall(value)) < _LARGEST_DURATION


def _is_address(value: str) -> bool:
    # pflag trims it, and takes none for none; Go's ParseIP knows no zone.
    text = value.strip()
    try:
        return not text or ("%" not in text and ip_address(text) is not None)
    except ValueError:
        return False


_KINDS: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    "bool": (_is_bool, "true or false"),
    "int": (_is_int, "a whole number"),
    "int32": (_is_int32, "a whole number"),
    "float": (_is_number, "a number"),
    "float32": (_is_number, "a number"),
    "duration": (_is_duration, "a duration with a unit, such as 30s or 1h30m"),
    "ip": (_is_address, "an IP address"),
}
