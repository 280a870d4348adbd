"""A rollback can be reviewed first: saved, and carried out exactly, also in another copy of the directory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.program import DAY, HOME, InProcess, contents, copy_of

if TYPE_CHECKING:
    from pathlib import Path

WIDER = HOME.replace("  nodes:", "  apiServer: {certSANs: [api.example.com]}\n  nodes:")
API_SERVER = "nodes/cp-1/etc/kubernetes/pki/apiserver.crt"


@pytest.fixture
def saved(pkigen: InProcess, tree: Path, spec: Path, tmp_path: Path) -> Path:
    """How to go back before a name was added."""
    spec.write_text(WIDER)
    assert pkigen("apply", spec, "-C", tree, "--yes").code == 0
    file, before = tmp_path / "back.json", contents(tree)
    result = pkigen("rollback", "-C", tree, "--save", file)
    assert result.code == 0, result.err
    assert contents(tree) == before
    return file


def test_it_is_carried_out_in_another_copy_on_another_day(
    pkigen: InProcess, made: Path, tree: Path, spec: Path, tmp_path: Path, saved: Path
) -> None:
    content = json.loads(saved.read_text())
    assert content["rollback"]["undoes"] == [content["rollback"]["backup"]]
    assert API_SERVER in {each["id"] for each in content["actions"]}
    other = copy_of(tree, tmp_path / "other")
    pkigen.now += DAY
    done = pkigen("apply", spec, "-C", other, saved, "--yes")
    assert done.code == 0, done.err
    assert "rolled back to before" in done.out
    assert (other / API_SERVER).read_bytes() == (made / "home" / API_SERVER).read_bytes()
    before = contents(other)
    again = pkigen("apply", spec, "-C", other, saved, "--yes")
    assert (again.code, contents(other)) == (1, before)
    assert again.error.startswith("the saved plan is stale: ")


def test_it_is_shown(pkigen: InProcess, saved: Path) -> None:
    shown = pkigen("show", saved).out
    assert "+ create" not in shown
    assert "~ rewrite /etc/kubernetes/pki/apiserver.crt on cp-1 (rollback)" in shown
    assert (
        "None"
        not in shown + pkigen("show", saved, "--full").out + pkigen("show", saved, "-o", "markdown").out
    )


def test_it_is_reported_as_data(pkigen: InProcess, tree: Path, saved: Path) -> None:
    content = json.loads(saved.read_text())
    assert pkigen("rollback", "-C", tree, "--save", saved, "-o", "json").json == content
    listed = pkigen("rollback", "-C", tree, "--list", "-o", "json").json["backups"]
    assert listed[-1]["id"] == content["rollback"]["backup"]
    done = pkigen("rollback", "-C", tree, "--yes", "-o", "json")
    assert done.json["actions"] == content["actions"]
    assert done.json["backup"] not in {each["id"] for each in listed}
    assert "rolled back to before" in done.err


def test_a_change_since_then_makes_it_stale(pkigen: InProcess, tree: Path, spec: Path, saved: Path) -> None:
    pkigen.now += DAY
    assert pkigen("renew", spec, "admin.conf", "-C", tree, "--yes").code == 0
    before = contents(tree)
    stale = pkigen("apply", spec, "-C", tree, saved, "--yes")
    assert (stale.code, contents(tree)) == (1, before)
    assert stale.error.startswith("the saved plan is stale: ")


def test_what_would_be_replaced_is_bound(pkigen: InProcess, tree: Path, spec: Path, saved: Path) -> None:
    (tree / API_SERVER).write_bytes((tree / API_SERVER).read_bytes() + b"\n")
    before = contents(tree)
    stale = pkigen("apply", spec, "-C", tree, saved, "--yes")
    assert (stale.code, contents(tree)) == (1, before)
    assert stale.error.startswith("the saved plan is stale: ")
    assert "nodes/cp-1" in stale.error


def test_the_backup_is_bound(pkigen: InProcess, tree: Path, spec: Path, saved: Path) -> None:
    content = json.loads(saved.read_text())
    content["rollback"]["backup"] = "20000101T000000Z"
    saved.write_text(json.dumps(content))
    assert "was changed after it was saved" in pkigen("apply", spec, "-C", tree, saved).error
