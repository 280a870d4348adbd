"""Flags that an operator's own template sets: what judges them says so, before and after they are applied."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.program import HOME, program, unaddressed

if TYPE_CHECKING:
    from pathlib import Path

OWN = "/etc/kubernetes/pki/others.crt"


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    file = tmp_path / "own/flags/kube-apiserver.j2"
    file.parent.mkdir(parents=True)
    file.write_text(f'{{% include "pkigen/flags/kube-apiserver.j2" %}}\n--client-ca-file={OWN}\n')
    return tmp_path / "own"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    spec = tmp_path / "home.yaml"
    spec.write_text(HOME)
    done = program("init", spec, "-C", tmp_path / "tree")
    assert done.code == 0, done
    return tmp_path / "tree"


def test_a_plan_names_what_it_does_not_judge(tree: Path, templates: Path) -> None:
    before = json.loads(program("plan", "-C", tree, "-o", "json").out)
    after = json.loads(program("plan", "-C", tree, "--templates", templates, "-o", "json").out)
    assert before["notJudged"] == []
    assert after["notJudged"] == [
        f"not judged: kube-apiserver on cp-1 reads {OWN} (--client-ca-file), which pkigen does not manage"
    ]


def test_a_rotation_says_where_the_flag_stands(tree: Path, templates: Path) -> None:
    done = program("apply", "-C", tree, "--templates", templates, "--yes")
    assert done.code == 0, done
    done = program("rotate", "ca", "kubernetes", "-C", tree, "--yes")
    assert done.code == 1, done
    assert f"kube-apiserver on cp-1 reads {OWN} (--client-ca-file)" in done.err
    assert f"take client-ca-file out of the templates in {templates} and `pkigen apply`" in unaddressed(
        done.err
    )


def test_a_flag_of_the_spec_is_called_one(tree: Path, templates: Path) -> None:
    spec = tree / "cluster.yaml"
    spec.write_text(HOME + f"  apiServer:\n    extraArgs: [{{name: client-ca-file, value: {OWN}}}]\n")
    done = program("apply", "-C", tree, "--templates", templates, "--yes")
    assert done.code == 0, done
    done = program("rotate", "ca", "kubernetes", "-C", tree, "--yes")
    assert "take client-ca-file out of extraArgs and `pkigen apply`" in unaddressed(done.err)
