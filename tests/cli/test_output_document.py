"""docs/reference/output.md names every field that the commands print."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from pkigen.cli.reports.rollout_document import rollout_schema
from tests.cli.program import HOME, REPOSITORY, InProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FREE = frozenset({"phases", "rotations", "summary", "held"})
"""Fields whose own keys are identifiers, or values that the document lists."""


def fields(content: object) -> Iterator[str]:
    if isinstance(content, list):
        for item in content:
            yield from fields(item)
    elif isinstance(content, dict):
        for key, value in content.items():
            yield key
            if key not in _FREE:
                yield from fields(value)


def documented(kind: str) -> set[str]:
    """What the section of a kind names, and those that it refers to."""
    text = (REPOSITORY / "docs/reference/output.md").read_text()
    found: set[str] = {"apiVersion", "kind", "cluster"}
    wanted = [kind]
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    for name in wanted:
        words = re.findall(r"`(\w+)(?:\[\])?`", sections[name])
        found |= set(words)
        wanted += [word for word in words if word in sections and word not in wanted]
    return found


@pytest.fixture
def contents(tmp_path: Path, pkigen: InProcess) -> list[dict[str, Any]]:
    spec = tmp_path / "home.yaml"
    spec.write_text(HOME)
    place = (spec, "-C", tmp_path / "home")
    every = [
        pkigen("init", *place, "--dry-run", "-o", "json"),
        pkigen("init", *place, "-o", "json"),
        pkigen("renew", *place, "admin.conf", "--yes", "-o", "json"),
        pkigen("show", "-C", tmp_path / "home", "-o", "json"),
        pkigen("plan", *place, "-o", "json"),
        pkigen("next", "-C", tmp_path / "home", "-o", "json"),
        pkigen("inventory", "-C", tmp_path / "home", "-o", "json"),
        pkigen("status", "-C", tmp_path / "home", "-o", "json"),
        pkigen("verify", "-C", tmp_path / "home", "-o", "json"),
        pkigen("verify", tmp_path / "home/nodes", "-o", "json"),
        pkigen("rotate", "ca", "kubernetes", *place, "--prove", "-o", "json"),
        pkigen("rotate", "ca", "kubernetes", *place, "--yes", "-o", "json"),
        pkigen("rotate", "ca", "kubernetes", *place, "--phase", "prepare", "--yes", "-o", "json"),
        pkigen("rollback", "-C", tmp_path / "home", "--list", "-o", "json"),
        pkigen("rollback", "-C", tmp_path / "home", "--yes", "-o", "json"),
    ]
    spec.write_text(HOME.replace("groups: [dev]", "groups: [ops]"))
    every.append(pkigen("plan", *place, "-o", "json"))
    every.append(pkigen("verify", "-C", tmp_path / "home", spec, "-o", "json"))
    return [result.json for result in every]


def test_every_field_is_documented(contents: list[dict[str, Any]]) -> None:
    kinds = set()
    for content in contents:
        assert content["apiVersion"] == "pkigen/v1"
        missing = set(fields(content)) - documented(content["kind"])
        assert not missing, f"{content['kind']}: {sorted(missing)}"
        kinds.add(content["kind"])
    assert kinds == {
        "Plan",
        "Applied",
        "Status",
        "Verification",
        "Audit",
        "Proof",
        "Rotated",
        "Changes",
        "Next",
        "Nodes",
        "Backups",
    }
    assert "broken" not in documented("Plan"), "each kind has its own"


def test_the_steps_follow_their_schema(contents: list[dict[str, Any]]) -> None:
    validator = jsonschema.Draft202012Validator(rollout_schema())
    carriers = [content for content in contents if "steps" in content]
    assert {content["kind"] for content in carriers} == {"Plan", "Applied", "Rotated", "Changes"}
    for content in carriers:
        assert [error.message for error in validator.iter_errors(content)] == []
    # What was carried out says what endpoints must serve; a plan cannot know it yet.
    digests = {
        (content["kind"], each["sha256"] is None)
        for content in carriers
        for step in content["steps"]
        for each in step["evidence"]
    }
    assert ("Rotated", False) in digests
    assert ("Plan", False) not in digests
