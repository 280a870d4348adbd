"""A step of a rotation can be reviewed first: saved, and carried out exactly, in any copy of it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from pkigen.cli.reports import structured
from pkigen.cli.reports.plan_document import PlanDocument
from pkigen.cli.reports.plan_markdown import plan_markdown
from tests.cli.program import contents
from tests.rotation.phases import DAY, SMALL, Workshop, spec_text

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.program import Result


def saved(workshop: Workshop, *what: str) -> tuple[Path, dict[str, Any]]:
    """What a step would do; nothing is done."""
    file, before = workshop.place / "step.json", contents(workshop.tree)
    *names, options = what
    result = workshop.run(
        "rotate", *names, workshop.spec, "-C", workshop.tree, *options.split(), "--save", file
    )
    assert result.code == 0, result
    assert contents(workshop.tree) == before
    return file, json.loads(file.read_text())


def applied(workshop: Workshop, file: Path, *more: object) -> Result:
    return workshop.run("apply", workshop.spec, "-C", workshop.tree, file, "--yes", "-o", "json", *more)


def copy(workshop: Workshop, tmp_path: Path) -> Workshop:
    place = tmp_path / "another place"
    shutil.copytree(workshop.place, place, symlinks=True)
    return Workshop(place=place, now=workshop.now + 2 * DAY)


@pytest.mark.parametrize(
    ("what", "ids"),
    [
        (("ca", "kubernetes", "etcd"), ["ca", "etcd-ca"]),
        (("sa",), ["sa"]),
        (("encryption-key",), ["encryption-key"]),
    ],
    ids=["CAs", "sa", "encryption key"],
)
def test_every_step_in_another_copy_on_another_day(
    workshop: Workshop, tmp_path: Path, what: tuple[str, ...], ids: list[str]
) -> None:
    for step, phase in (("prepare", "prepared"), ("promote", "promoted"), ("rollback", "prepared")):
        # No step is named where the next one is meant: the plan says which it is.
        named = "" if step != "rollback" else "--phase rollback"
        file, content = saved(workshop, *what, f"{named} --assume-distributed")
        rotation = content["rotation"]
        assert (rotation["identifiers"], rotation["step"], rotation["distributed"]) == (ids, step, True)
        assert rotation["premises"]
        other = copy(workshop, tmp_path / step)
        force = ("--force",) if content["risks"] else ()
        done = applied(other, other.place / file.name, *force)
        assert done.code == 0, done
        assert {each["id"] for each in done.json["actions"]} >= {each["id"] for each in content["actions"]}
        assert other.phases() == dict.fromkeys(ids, phase)
        workshop = other


def test_it_is_shown_with_what_it_assumes(workshop: Workshop) -> None:
    place = (workshop.spec, "-C", workshop.tree, "--save", workshop.place / "step.json")
    shown = workshop.run("rotate", "ca", "kubernetes", *place)
    assert "\nassumed: every node has the present files" in shown.out
    document = PlanDocument.of(json.loads((workshop.place / "step.json").read_text()))
    assert "- `assumed: every node has the present files" in plan_markdown(document, full=False)


def test_a_directory_that_moved_on(workshop: Workshop) -> None:
    file, _ = saved(workshop, "ca", "kubernetes", "")
    workshop.step("ca etcd", "prepare")
    before = contents(workshop.tree)
    stale = applied(workshop, file)
    assert (stale.code, contents(workshop.tree)) == (1, before)
    assert stale.error.startswith("the saved plan is stale: ")
    assert "the command that it was saved with" in stale.hint


def test_another_spec(workshop: Workshop) -> None:
    file, _ = saved(workshop, "ca", "kubernetes", "")
    workshop.spec.write_text(spec_text({**SMALL, "controlPlaneEndpoint": "other.example.com:6443"}))
    refused = applied(workshop, file)
    assert (refused.code, workshop.phases()) == (1, {})
    assert "other changes are pending" in refused.error


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("step", "promote"),
        ("distributed", True),
        ("live", True),
        ("force", True),
        ("reuseKeys", True),
        ("crossSign", False),
    ],
)
def test_all_that_was_reviewed_is_bound(workshop: Workshop, field: str, value: object) -> None:
    file, content = saved(workshop, "ca", "kubernetes", "")
    content["rotation"][field] = value
    file.write_text(json.dumps(content))
    assert "was changed after it was saved" in applied(workshop, file).error
    # Even with a digest that fits, what would be done now is compared.
    content["rotation"]["premises"].append("the moon is full")
    file.write_text(json.dumps(structured.bound(content)))
    assert applied(workshop, file).code == 1
    assert workshop.phases() == {}


def test_what_stands_against_a_step_is_not_saved(workshop: Workshop) -> None:
    workshop.step("ca kubernetes", "prepare")
    file = workshop.place / "step.json"
    refused = workshop.run("rotate", "ca", "kubernetes", workshop.spec, "-C", workshop.tree, "--save", file)
    assert (refused.code, file.exists()) == (1, False)
    assert "it is not confirmed" in refused.error


def test_a_risk_is_agreed_to_where_it_is_applied(workshop: Workshop) -> None:
    workshop.step("sa", "prepare")
    workshop.step("sa", "promote")
    file, content = saved(workshop, "sa", "--force")
    assert content["risks"]
    refused = applied(workshop, file)
    assert (refused.code, workshop.phases()) == (1, {"sa": "promoted"})
    assert refused.error.startswith("the saved plan is dangerous: tokens of the previous key")
    assert applied(workshop, file, "--force").code == 0
    assert workshop.phases() == {}


@pytest.mark.parametrize("other", ["--prove", "--runbook"])
def test_what_does_not_go_with_it(workshop: Workshop, other: str) -> None:
    options = (other, workshop.place / "book") if other == "--runbook" else (other,)
    place = (workshop.spec, "-C", workshop.tree, "--save", workshop.place / "step.json")
    refused = workshop.run("rotate", "sa", *place, *options)
    assert (refused.code, refused.error) == (2, f"--save and {other} cannot be combined")


@pytest.mark.parametrize(("options", "crossed"), [((), True), (("--no-cross-sign",), False)])
def test_whether_the_next_ca_is_certified_is_saved(
    workshop: Workshop, options: tuple[str, ...], crossed: object
) -> None:
    file, content = saved(workshop, "ca", "kubernetes", *(options or ("",)))
    assert content["rotation"]["crossSign"] is crossed
    assert applied(workshop, file).code == 0
    assert (workshop.tree / "pki/ca-cross.crt").exists() is crossed
