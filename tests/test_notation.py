"""Durations as text, and back; and as people read them; records in their one form."""

from __future__ import annotations

import json
from datetime import timedelta
from enum import StrEnum
from typing import Any

import pytest

from pkigen.notation import format_duration, json_text, parse_duration, residual


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("8760h", 31_536_000), ("1h30m", 5_400), ("45s", 45), ("8760h0m0s", 31_536_000), ("90m", 5_400)],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert parse_duration(format_duration(parse_duration(text))) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (timedelta(days=3650), "10y"),
        (timedelta(days=364, hours=23), "364d"),
        (timedelta(days=1), "1d"),
        (timedelta(hours=23, minutes=59), "23h"),
        (timedelta(minutes=45), "45m"),
        (timedelta(seconds=10), "10s"),
        (timedelta(), "0s"),
        (-timedelta(hours=5), "-5h"),
    ],
)
def test_residual_times(left: timedelta, text: str) -> None:
    assert residual(left) == text


@pytest.mark.parametrize("text", ["1753200h", "105192000m", "1753199h59m60s"])
def test_the_longest_duration_in_any_unit(text: str) -> None:
    assert parse_duration(text) == timedelta(days=200 * 365.25)


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("1753201h", 200),
        ("1753200h1s", 200),
        ("105192001m", 200),
        ("999999999m", 1902),
        ("999999999h", 114155),
        ("1753200h999999999m999999999s", 2134),
    ],
)
def test_what_is_too_long_in_any_unit(text: str, years: int) -> None:
    with pytest.raises(ValueError, match=rf"must be at most 200 years \(1753200h\), not {years}y"):
        parse_duration(text)


class _Word(StrEnum):
    ONE = "ünö"


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"none": None, "yes": True, "number": -12, "share": 0.5},
        {"empty": {}, "list": [], "pair": (), "within": {"empty": {}, "lists": [[], [{}]]}},
        {"text": 'a "b" \\ \x00 \u2028 \ud800', "é": "ü"},
        {"list": [1, "two", {"three": [3, ("four",)]}, None]},
        {_Word.ONE: _Word.ONE},
    ],
)
def test_records_have_the_form_of_the_library(content: dict[str, Any]) -> None:
    assert json_text(content) == json.dumps(content, indent=1).encode() + b"\n"
