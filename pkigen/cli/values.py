"""Values on the command line that the spec's own rules read."""

from __future__ import annotations

from datetime import timedelta

from pkigen.errors import UsageError
from pkigen.spec.model import parse_duration


def duration(text: str, option: str) -> timedelta:
    """A duration as in the spec.

    Raises:
        UsageError: It is none.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option} {error}", hint="write it as 720h, 90m or 1h30m") from None
