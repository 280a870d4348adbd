"""The table of what versions change: it is whole, and the code asks it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pkigen
from pkigen.spec import versions
from pkigen.spec.values import NEWEST_MINOR, NEWEST_RELEASED, OLDEST_MINOR
from pkigen.spec.versions import CHANGES, ETCD_TAGS, NOT_RELEASED, VersionChange, tag_version
from tests.spec.sources import HEAD, NODE, assert_starts, warnings

ROWS = {name: value for name, value in vars(versions).items() if isinstance(value, VersionChange)}
SOURCE = re.compile(r"kubernetes#\d{4,}|KEP-\d{4}|CHANGELOG|apiserver pkg/features")


def test_every_row_is_in_the_table_in_order() -> None:
    assert sorted(map(id, ROWS.values())) == sorted(map(id, CHANGES))
    since = [each.since for each in CHANGES]
    assert since == sorted(since)
    assert since[0] > OLDEST_MINOR
    assert since[-1] <= NEWEST_MINOR
    assert NOT_RELEASED.since == NEWEST_RELEASED + 1


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_what_where_and_whence(name: str) -> None:
    row = ROWS[name]
    assert row.what
    assert row.follows
    assert row.touches
    assert SOURCE.search(row.source)
    assert "|" not in row.what + row.follows + row.touches + row.source


@pytest.mark.parametrize("name", ROWS)
def test_code_asks_the_row_or_it_says_that_nothing_follows(name: str) -> None:
    used = re.compile(rf"\b{name}\.(holds|since)\b|\({name}, |, {name}, ")
    code = (file.read_text() for file in Path(pkigen.__file__).parent.rglob("*.py"))
    assert any(map(used.search, code)) != ROWS[name].follows.startswith("nothing")


def test_images_of_etcd_never_go_back_within_a_branch() -> None:
    assert [since for since, _ in ETCD_TAGS] == sorted(since for since, _ in ETCD_TAGS)
    for minor in range(OLDEST_MINOR, NEWEST_MINOR + 1):
        tags = [tag_version(tag) for (of, _), tag in ETCD_TAGS if of == minor]
        assert tags
        assert tags == sorted(tags)


@pytest.mark.parametrize(
    ("version", "is_told"), [("v1.37.9", False), ("v1.38.0-alpha.2", True), ("v1.38.1", True)]
)
def test_what_is_not_released_is_said_at_its_line(version: str, *, is_told: bool) -> None:
    found = warnings((HEAD + NODE).replace("v1.36.2", version))
    expected = ("5:22: spec.kubernetesVersion: v1.38 was not released when this pkigen was made",)
    assert_starts(found, expected if is_told else ())
