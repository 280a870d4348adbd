"""Durations and moments as text."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta


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


IPAddress = IPv4Address | IPv6Address


def host_text(host: IPAddress | str) -> str:
    """A host as it stands in a URL: IPv6 in brackets."""
    return f"[{host}]" if isinstance(host, IPv6Address) else str(host)
