"""Values of flags that have a type: at one that it cannot read a program stops before it does anything."""

from __future__ import annotations

import csv
import re
from decimal import Decimal
from ipaddress import ip_address
from math import isinf
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pkigen.spec.component_flags import KnownProgram, flag_types
from pkigen.spec.feature_gates import as_boolean
from pkigen.spec.translation import quote
from pkigen.spec.values import has_variable

if TYPE_CHECKING:
    from collections.abc import Callable

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
_LARGEST_DURATION: Final = 2**63 - 1
# net.SplitHostPort behind net/url: digits or nothing behind the colon, a colon in brackets only.
_HOST_PORT: Final = re.compile(
    r"(?:[^@]*@)?(?:\[[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(?:%25[^]]+)?\]|[^][:%\s]*):[0-9]*"
)
_PORTS: Final = re.compile(r"0*(?P<first>[0-9]{1,5})(?:-0*(?P<last>[0-9]{1,5})|\+0*(?P<more>[0-9]{1,5}))?")
# In front of a part of an address.
_ZEROS: Final = re.compile(r"(?<![0-9a-fA-F])0+(?=[0-9a-fA-F])")
_HIGHEST_PORT: Final = 65535
_FILES_OF_PAIR: Final = 2


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
    if kind is None or has_variable(value) or name.startswith("node-cidr-mask-size"):
        return None
    reads, meant = _KINDS["sloppyIP" if kind == "ip" and program is KnownProgram.KUBELET else kind]
    return None if reads(value) else f"must be {meant}, not {quote(value)}: {program} stops at it"


def is_true(value: str) -> bool:
    """Whether a boolean flag is set, in whatever case: how Go reads each, `strconv.ParseBool` says."""
    return value.lower() in _TRUE


def is_false(value: str) -> bool:
    """Whether a boolean flag is unset, or a number 0."""
    return as_boolean(value) is False or integer_value(value) == 0


def listed(value: str) -> list[str]:
    """The parts of a list, as programs of Kubernetes read one: a line of CSV (pflag, `readAsCSV`)."""
    try:
        return next(csv.reader([value], strict=True), [])
    except csv.Error:  # which they stop at
        return value.split(",")


def integer_value(value: str) -> int | None:
    """The whole number that Go reads with base 0; None where it reads none."""
    match = _INTEGER.fullmatch(value)
    if match is None:
        return None
    base, digits = next((base, match[group]) for group, base in _BASES.items() if match[group] is not None)
    return int(f"{match['sign']}{digits.replace('_', '')}", base)


def duration_value(value: str) -> int | None:
    """The nanoseconds that Go reads; None where it reads none, or too many."""
    if _DURATION.fullmatch(value) is None:
        return None
    units = _UNITS | _UNITS_ABOVE
    time = sum(int(Decimal(number) * units[unit]) for number, unit in _PART.findall(value))
    is_negative = value.startswith("-")
    # An int64 of nanoseconds, some 292 years (time.Duration): one more below nothing than above.
    return None if time > _LARGEST_DURATION + is_negative else -time if is_negative else time


def _is_integer(value: str, bits: int) -> bool:
    number = integer_value(value)
    return number is not None and -(1 << bits - 1) <= number < 1 << bits - 1


def _is_int(value: str) -> bool:
    return _is_integer(value, 64)


def _is_int32(value: str) -> bool:
    return _is_integer(value, 32)


def _is_uint(value: str) -> bool:
    # strconv.ParseUint knows no sign.
    return value[:1].isdecimal() and _is_integer(value, 65)


def _is_uint32(value: str) -> bool:
    return value[:1].isdecimal() and _is_integer(value, 33)


def _is_level(value: str) -> bool:
    # klog's is decimal, of 31 bits (textlogger and component-base logs).
    return value.isascii() and value.isdecimal() and int(value) < 1 << 31


def _are_int32(value: str) -> bool:
    # pflag's Int32Slice reads them with base 0.
    return all(map(_is_int32, value.split(",")))


def _are_urls(value: str) -> bool:
    """As etcd's client/pkg/types `NewURLs`; an empty text stands for none."""
    return not value or all(map(_is_url, value.split(",")))


def _are_origins(value: str) -> bool:
    return value == "*" or (bool(value) and _are_urls(value))


def _is_url(value: str) -> bool:
    """With a port, without a path, of a scheme that etcd listens with."""
    try:
        url = urlsplit(value.strip())
    except ValueError:
        return False
    if url.scheme in ("unix", "unixs"):
        return True
    return url.scheme in ("http", "https") and not url.path and _HOST_PORT.fullmatch(url.netloc) is not None


def _are_ports(value: str) -> bool:
    """As apimachinery's `ParsePortRange`: a port, two of them, or one and how many more."""
    match = _PORTS.fullmatch(value.strip())
    if match is None:
        return not value.strip()
    first, last = int(match["first"]), int(match["last"] or match["first"])
    highest = first + int(match["more"]) if match["more"] else last
    return first <= highest <= _HIGHEST_PORT


def _is_key_pair(value: str) -> bool:
    """As component-base `NamedCertKey`: two paths, and names after a colon."""
    pair, colon, names = value.partition(":")
    files = [part.strip() for part in pair.split(",")]
    return len(files) == _FILES_OF_PAIR and all(files) and bool(names.strip() or not colon)


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
    return duration_value(value) is not None


def is_address(text: str) -> bool:
    """Whether Go's `net.ParseIP` reads an address, which knows no zone."""
    try:
        return "%" not in text and ip_address(text) is not None
    except ValueError:
        return False


def _is_address(value: str) -> bool:
    # pflag trims it, and takes none for none.
    text = value.strip()
    return not text or is_address(text)


def _is_sloppy_address(value: str) -> bool:
    # The kubelet's own flag: as Go read addresses before 1.17, with zeros in front (`ParseIPSloppy`).
    return value == value.strip() and _is_address(_ZEROS.sub("", value))


_KINDS: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    "bool": (_is_bool, "true or false"),
    "int": (_is_int, "a whole number"),
    "int32": (_is_int32, "a whole number"),
    "float": (_is_number, "a number"),
    "float32": (_is_number, "a number"),
    "duration": (_is_duration, "a duration with a unit, such as 30s or 1h30m"),
    "ip": (_is_address, "an IP address"),
    "sloppyIP": (_is_sloppy_address, "an IP address"),
    "uint": (_is_uint, "a whole number without a sign"),
    "uint32": (_is_uint32, "a whole number without a sign"),
    "Level": (_is_level, "a whole number"),
    "int32Slice": (_are_int32, "whole numbers"),
    "portRange": (_are_ports, "a range of ports, such as 30000-32767"),
    "namedCertKey": (_is_key_pair, "the paths of a certificate and its key, such as a.crt,a.key"),
    "urls": (_are_urls, "URLs with a port and without a path, such as https://192.0.2.1:2379"),
    "origins": (_are_origins, "* or URLs with a port and without a path"),
}
