"""Durations, moments, hosts, bytes and records as text; durations are read back, too."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

_MOST_HOURS: Final = 200 * 8766
_LONGEST_DURATION: Final = timedelta(hours=_MOST_HOURS)
_DURATION: Final = r"(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?"  # \d is all of Unicode's digits
_DAYS: Final = r"([0-9]{1,6})d"


def dir_option(directory: Path | str) -> str:
    """The option that names a cluster's directory, for a command that somebody is told to run in a shell."""
    return command_line("-C", directory)


def command_line(*words: object) -> str:
    """Words of a command that somebody is told to run in a shell."""
    return " ".join(map(quoted, words))


def quoted(word: object) -> str:
    """A word as a shell reads it: what does not print, and no terminal gets, as the bytes that it is."""
    text = str(word)
    if text.isprintable():
        return shlex.quote(text)
    return f"$'{''.join(map(_escaped, text))}'"  # POSIX.1-2024, 2.2.4


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))


def suggestion(name: str, known: Iterable[str]) -> str:
    """What somebody may have meant by a name that nothing has, as a hint; empty where nothing is near."""
    from difflib import get_close_matches  # noqa: PLC0415 -- only who has mistyped something pays for it

    near = get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""


def parse_duration(text: str) -> timedelta:
    """A Go duration in hours, minutes and seconds (`metav1.Duration`), positive, at most 200 years.

    Raises:
        ValueError: It is none; what it must be, without a subject.
    """
    match = re.fullmatch(_DURATION, text)
    if not text or match is None:
        days = re.fullmatch(_DAYS, text)
        way_out = f": write {int(days[1]) * 24}h" if days else " such as 8760h, 90m or 1h30m"
        msg = f"must be a duration in h, m and s{way_out}"
        raise ValueError(msg)
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    result = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if result > _LONGEST_DURATION:
        msg = f"must be at most 200 years ({_MOST_HOURS}h), not {residual(result)}"
        raise ValueError(msg)
    if not result:
        raise ValueError("must be longer than zero")
    return result


def format_duration(value: timedelta) -> str:
    """The Go notation of a duration, as people write it in a spec: `8760h`, `1h30m`, `45s`."""
    seconds = int(value.total_seconds())
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def residual(left: timedelta) -> str:
    """A remaining time in its largest whole unit: `9y`, `364d`, `23h`, `45m`, `10s`; years from two on."""
    seconds = int(left.total_seconds())
    for least, size, unit in _UNITS:
        if abs(seconds) >= least:
            return f"{int(seconds / size)}{unit}"
    return f"{seconds}s"


_UNITS = ((2 * 365 * 86400, 365 * 86400, "y"), (86400, 86400, "d"), (3600, 3600, "h"), (60, 60, "m"))


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def json_text(content: dict[str, Any]) -> bytes:
    """The one form of JSON in which records are written: what differs from it is not ours.

    It is that of `json.dumps(content, indent=1)`, which lists every word of it before it joins them: of
    thousands of nodes that is a hundred megabytes.
    """
    return _json_of(content, "\n").encode() + b"\n"


def _json_of(value: object, margin: str) -> str:
    """A value as JSON; `margin` begins a new line of what it stands in."""
    inner = margin + " "
    match value:
        case str():
            return json.encoder.encode_basestring_ascii(value)
        case dict() if value:
            members = [f"{_json_of(key, inner)}: {_json_of(each, inner)}" for key, each in value.items()]
            return "{" + inner + f",{inner}".join(members) + margin + "}"
        case list() | tuple() if value:
            return "[" + inner + f",{inner}".join([_json_of(each, inner) for each in value]) + margin + "]"
        case _:
            return json.dumps(value)


def base64_text(data: bytes) -> str:
    """Bytes as kubeconfigs and manifests hold them: on one line (RFC 4648 4)."""
    return base64.b64encode(data).decode("ascii")


IPAddress = IPv4Address | IPv6Address


def host_text(host: IPAddress | str) -> str:
    """A host as it stands in a URL: IPv6 in brackets."""
    return f"[{host}]" if isinstance(host, IPv6Address) else str(host)


def printable(text: str) -> str:
    r"""One line that shows a text of somebody else's: what does not print becomes an escape such as `\x1b`.

    That is control characters, line ends among them, undecodable bytes, and characters that change how others
    are shown or that nobody sees (`str.isprintable`).
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
