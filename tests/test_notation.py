"""Durations as text, and back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pkigen.notation import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("8760h", 31_536_000), ("1h30m", 5_400), ("45s", 45), ("8760h0m0s", 31_536_000), ("90m", 5_400)],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert parse_duration(format_duration(parse_duration(text))) == timedelta(seconds=seconds)
