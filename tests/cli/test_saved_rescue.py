"""A rescue can be reviewed first: saved, carried to another copy of the directory, and applied exactly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pkigen.airgap.carrier.envelope import MAGIC
from tests.cli.program import DAY, HOME, InProcess, contents, copy_of, unaddressed

if TYPE_CHECKING:
    from pathlib import Path

CAS = {"ca", "etcd-ca", "front-proxy-ca"}


@pytest.fixture
def saved(pkigen: InProcess, tree: Path, spec: Path, tmp_path: Path) -> Path:
    """What would bring back a cluster whose CAs have expired."""
    pkigen.now += 4000 * DAY
    file = tmp_path / "rescue.json"
    before = contents(tree)
    result = pkigen("rescue", spec, "-C", tree, "--save", file, "-o", "json")
    assert result.code == 0, result.err
    assert "`pkigen rescue` again" in unaddressed(result.err)
    assert contents(tree) == before
    content = json.loads(file.read_text())
    assert result.json == content
    assert set(content["selection"]["revived"]) == set(content["selection"]["ids"]) == CAS
    return file


def test_it_is_carried_out_in_another_copy_on_another_day(
    pkigen: InProcess, tree: Path, spec: Path, tmp_path: Path, saved: Path
) -> None:
    reviewed = {each["id"]: each["action"] for each in json.loads(saved.read_text())["actions"]}
    other = copy_of(tree, tmp_path / "other")
    pkigen.now += 3 * DAY
    done = pkigen("apply", spec, "-C", other, saved, "--yes", "-o", "json")
    assert done.code == 0, done.err
    assert set(done.json["issued"]) >= CAS
    assert {each["id"]: each["action"] for each in done.json["actions"]} == reviewed
    assert pkigen("verify", "-C", other).code == 0
    # What must be done on the nodes is said by the command that was meant to be run.
    again = pkigen("rescue", spec, "-C", other, "--yes")
    assert (again.code, again.out.splitlines()[0]) == (0, "nothing to do")


def test_without_it_nothing_is_brought_back(pkigen: InProcess, tree: Path, spec: Path, saved: Path) -> None:
    """What the plan was asked for is in it: `apply` alone does not renew a CA."""
    assert saved.is_file()
    assert pkigen("apply", spec, "-C", tree, "--yes").code == 1


def test_what_moved_is_said(pkigen: InProcess, tree: Path, spec: Path, saved: Path) -> None:
    spec.write_text(HOME.replace("groups: [dev]", "groups: [ops]"))
    before = contents(tree)
    stale = pkigen("apply", spec, "-C", tree, saved, "--yes")
    assert (stale.code, contents(tree)) == (1, before)
    assert stale.error.startswith("the saved plan is stale: ")
    assert "user:dev1" in stale.err


def test_whom_it_brings_back_is_bound(pkigen: InProcess, tree: Path, spec: Path, saved: Path) -> None:
    content = json.loads(saved.read_text())
    content["selection"]["revived"].remove("ca")
    saved.write_text(json.dumps(content))
    refused = pkigen("apply", spec, "-C", tree, saved, "--yes")
    assert (refused.code, "was changed after it was saved" in refused.error) == (1, True)


def test_a_kit_is_not_restored_to_be_reviewed(pkigen: InProcess, tmp_path: Path) -> None:
    kit = tmp_path / "home.rescue"
    kit.write_bytes(MAGIC)
    refused = pkigen("rescue", kit, "-C", tmp_path / "new", "--save", tmp_path / "plan.json")
    assert refused.code == 2
    assert "restores the directory first" in refused.error
    assert not (tmp_path / "new").exists()
