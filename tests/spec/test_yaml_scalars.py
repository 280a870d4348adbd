"""What a plain scalar means."""

from __future__ import annotations

import pytest

from pkigen.spec.yaml_scalars import Disputed
from pkigen.spec.yaml_source import read_documents


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None), ("~", None), ("Null", None), ("nULL", "nULL"),
        ("true", True), ("FALSE", False), ("tRue", "tRue"), ("yes", "yes"), ("off", "off"), ("n", "n"),
        ("0", 0), ("-0", 0), ("+7", 7), ("012", Disputed("012")), ("-012", Disputed("-012")),
        ("0600", Disputed("0600")), ("00", Disputed("00")), ("1" * 40, int("1" * 40)),
        ("0o14", 12), ("0x1F", 31), ("0b11", "0b11"), ("1_000", "1_000"), ("10:20", "10:20"),
        ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("-1.5E-3", -0.0015), ("1.2.3", "1.2.3"),
        (".inf", float("inf")), ("-.INF", float("-inf")), ("+.Inf", float("inf")), ("inf", "inf"),
        ("2026-01-02", "2026-01-02"), ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"), ("=", "="),
        ("e3", "e3"), (".", "."), ("0.5", 0.5), ("1" * 41, Disputed("1" * 41)), ("012.5", 12.5),
        ("'012'", "012"), ("0" * 41 + "x", "0" * 41 + "x"),
        ("'5'", "5"), ('"true"', "true"), ("!!str 5", "5"), ("! 5", "5"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("parser")
def test_scalars_are_those_of_the_core_schema(text: str, value: object) -> None:
    documents, found = read_documents(f"[{text}]".encode(), file="f")
    assert not found
    assert documents[0].value == [value]
    assert [type(item) for item in documents[0].value] == [type(value)]


def test_not_a_number() -> None:
    documents, _ = read_documents(b"[.nan]", file="f")
    assert str(documents[0].value) == "[nan]"
