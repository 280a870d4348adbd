"""Templates that one command was given, and the next one is not."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.program import InProcess


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """A folder beside the tree, with one template: the bindings of admins below a line of its own."""
    folder = tmp_path / "templates"
    (folder / "addons").mkdir(parents=True)
    (folder / "addons/cluster-admins.yaml.j2").write_text(
        '# ours\n{% include "pkigen/addons/cluster-admins.yaml.j2" %}\n'
    )
    return folder


@pytest.fixture
def templated(pkigen: InProcess, tree: Path, spec: Path, templates: Path) -> Path:
    result = pkigen("apply", spec, "-C", tree, "--yes", "--templates", templates)
    assert result.code == 0, result.err
    assert ours(tree)
    return tree


def ours(tree: Path) -> bool:
    return (tree / "addons/cluster-admins.yaml").read_text().startswith("# ours\n")


def record(tree: Path) -> dict[str, str] | None:
    found: dict[str, str] | None = json.loads((tree / "pki.lock").read_text()).get("templates")
    return found


def test_the_next_commands_use_them_and_say_so(
    pkigen: InProcess, templated: Path, spec: Path, templates: Path
) -> None:
    said = f"note: the templates are those of {templates}, as pki.lock records\n"
    recorded = record(templated)
    assert recorded is not None
    assert recorded["directory"] == "../templates"
    for command in (
        ("plan", spec, "-C", templated, "--exit-code"),
        ("apply", spec, "-C", templated, "--yes"),
        ("renew", spec, "apiserver", "-C", templated, "--yes"),
        ("verify", "-C", templated),
        ("verify", "-C", templated, spec),
        ("status", "-C", templated),
        ("rotate", "sa", spec, "-C", templated, "--phase", "prepare", "--yes"),
    ):
        result = pkigen(*command)
        assert result.code == 0, (command, result)
        assert result.err.count(said) == 1, (command, result.err)
    assert ours(templated)
    assert record(templated) == recorded


def test_they_go_with_a_checkout_that_lies_elsewhere(
    pkigen: InProcess, templated: Path, spec: Path, tmp_path: Path
) -> None:
    assert templated.parent == tmp_path
    moved = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "templates", moved / "templates")
    templated.rename(moved / "home")
    shutil.rmtree(tmp_path / "templates")
    result = pkigen("plan", spec, "-C", moved / "home", "--exit-code")
    assert result.code == 0
    assert f"the templates are those of {moved}/templates" in result.err


def test_a_checkout_of_the_lock_file_alone_is_planned_with_them(
    pkigen: InProcess, templated: Path, spec: Path, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    shutil.copy(templated / "pki.lock", checkout)
    assert f"the templates are those of {tmp_path}/templates" in pkigen("plan", spec, "-C", checkout).err


def test_a_folder_far_away_is_recorded_whole(
    pkigen: InProcess, tree: Path, spec: Path, tmp_path_factory: pytest.TempPathFactory, templates: Path
) -> None:
    away = tmp_path_factory.mktemp("away") / "templates"
    templates.rename(away)
    assert pkigen("apply", spec, "-C", tree, "--yes", "--templates", away).code == 0
    assert (record(tree) or {})["directory"] == str(away)


def test_templates_that_changed_are_named(
    pkigen: InProcess, templated: Path, spec: Path, templates: Path
) -> None:
    with (templates / "addons/cluster-admins.yaml.j2").open("a") as file:
        file.write("# and more\n")
    result = pkigen("plan", spec, "-C", templated, "--exit-code")
    assert result.code == 3
    assert f"{templates}, as pki.lock records, and have changed since they were last applied" in result.err
    assert "~ rewrite addons/cluster-admins.yaml" in result.out
    assert pkigen("verify", "-C", templated).code == 4
    assert pkigen("apply", spec, "-C", templated, "--yes").code == 0
    assert "have changed" not in pkigen("plan", spec, "-C", templated).err


def test_templates_that_are_missing_are_not_replaced_in_silence(
    pkigen: InProcess, templated: Path, spec: Path, templates: Path
) -> None:
    templates.rename(templates.with_name("gone"))
    missing = f"{templates} is missing: pki.lock records it as the templates of this directory"
    for command in (
        ("plan", spec, "-C", templated),
        ("apply", spec, "-C", templated, "--yes"),
        ("renew", spec, "apiserver", "-C", templated, "--yes"),
        ("rotate", "sa", spec, "-C", templated, "--phase", "prepare", "--yes"),
    ):
        result = pkigen(*command)
        assert (result.code, result.error) == (1, missing)
        assert "--templates" in result.hint
    for name in ("status", "verify"):
        assert (
            f"warning: {missing}; files are compared with pkigen's own" in pkigen(name, "-C", templated).err
        )
    assert ours(templated)
    assert pkigen("plan", spec, "-C", templated, "--templates", templates.with_name("gone")).code == 0


def test_an_empty_directory_goes_back_to_the_built_in_ones(
    pkigen: InProcess, templated: Path, spec: Path, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    assert pkigen("apply", spec, "-C", templated, "--yes", "--templates", tmp_path / "none").code == 0
    assert not ours(templated)
    assert record(templated) is None
    result = pkigen("plan", spec, "-C", templated, "--exit-code")
    assert (result.code, result.err) == (0, "")


def test_an_edited_lock_file_does_not_decide_what_runs_on_nodes(
    pkigen: InProcess, tree: Path, spec: Path, templates: Path
) -> None:
    lock = json.loads((tree / "pki.lock").read_text())
    lock["templates"] = {"directory": "../templates", "sha256": "0" * 64}
    (tree / "pki.lock").write_text(json.dumps(lock, indent=1) + "\n")
    assert templates.is_dir()
    result = pkigen("plan", spec, "-C", tree)
    assert (result.code, result.out) == (1, "")
    assert result.error.startswith(f"the ledger does not confirm {tree}/pki.lock, which names templates: ")
    assert not ours(tree)


def test_a_rollback_goes_back_to_the_templates_of_then(
    pkigen: InProcess, templated: Path, spec: Path
) -> None:
    assert pkigen("rollback", "-C", templated, "--yes").code == 0
    assert record(templated) is None
    assert not ours(templated)
    assert pkigen("plan", spec, "-C", templated, "--exit-code").code == 0
