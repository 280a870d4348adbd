"""YAML in client-go's form reads back as what it was made from."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pkigen.access import yaml_text
from tests.access.made_requests import request

if TYPE_CHECKING:
    from tests.access.team_cluster import TeamCluster

# -- YAML --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        {
            "a": "no",
            "b": "012",
            "c": "1e3",
            "d": "~",
            "e": "",
            "f": " x ",
            "g": "a: b",
            "h": "#",
            "i": "'",
            "j": '"',
        },
        {
            "a": [],
            "b": {},
            "c": [[], {}, [1, [2]], {"x": {"y": ["z"]}}],
            "d": None,
            "e": True,
            "f": 1.5,
            "g": -3,
        },
        {
            "text": "one\ntwo\n",
            "odd": "one\n two",
            "end": "one\n\n",
            "tab": "a\tb\n",
            "back": "x \ny\n",
            "n": "\n",
        },
        {"text": " one\ntwo\n", "list": ["one\ntwo\n"], "1": {"yes": "no"}},
        {},
    ],
)
def test_yaml_reads_back(value: dict[str, Any]) -> None:
    assert yaml.safe_load(yaml_text.dump(value)) == value


def test_several_documents() -> None:
    assert list(yaml.safe_load_all(yaml_text.dump_all([{"a": 1}, {"b": 2}]))) == [{"a": 1}, {"b": 2}]


def test_base64_is_on_one_line(place: TeamCluster) -> None:
    path = place.write("client.csr", request())
    text = place.run("access", "csr", "manifest", "--csr", path).out
    (line,) = [line for line in text.splitlines() if "  request: " in line]
    assert base64.b64decode(line.split()[1]) == path.read_bytes()
