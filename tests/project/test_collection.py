"""The Ansible collection: it has what it says. Its playbooks run in `tests/live/test_ansible*.py`."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.program import REPOSITORY
from tests.live import ansible_control
from tests.pages.blocks import commands_for

COLLECTION = REPOSITORY / "ansible"
MODULES = sorted((COLLECTION / "plugins/modules").glob("*.py"))
GUIDE = (REPOSITORY / "docs/how-to/ansible.md").read_text()
README = (COLLECTION / "README.md").read_text()


def constants(module: Path) -> dict[str, Any]:
    """The texts that a module documents itself by, and the options that it takes."""
    tree = ast.parse(module.read_text())
    found: dict[str, Any] = {"options": None}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            found[ast.unparse(node.targets[0])] = node.value.value
        if isinstance(node, ast.keyword) and node.arg == "argument_spec":
            assert isinstance(node.value, ast.Dict)
            found["options"] = {
                ast.literal_eval(key): value
                for key, value in zip(node.value.keys, node.value.values, strict=True)
                if key
            }
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_a_module_documents_its_options(module: Path) -> None:
    content = constants(module)
    documented = yaml.safe_load(content["DOCUMENTATION"])
    assert documented["module"] == module.stem
    assert documented["attributes"]["check_mode"]["support"] == "full"
    assert yaml.safe_load(content["EXAMPLES"])
    assert yaml.safe_load(content["RETURN"])
    if content["options"] is not None:
        assert documented["options"].keys() == content["options"].keys()
    assert f"`pkigen.pki.{module.stem}`" in README


@pytest.mark.parametrize("role", ["distribute", "rotate"])
def test_the_guide_names_every_setting(role: str) -> None:
    settings = yaml.safe_load((COLLECTION / f"roles/{role}/defaults/main.yml").read_text())
    assert [name for name in settings if f"| `{name}` |" not in GUIDE] == []


def test_every_playbook_is_told() -> None:
    playbooks = {path.stem for path in (COLLECTION / "playbooks").glob("*.yml")}
    assert playbooks == {"gather", "distribute", "rotate", "renew", "enrol", "status", "rescue"}
    for name in playbooks:
        assert f"`pkigen.pki.{name}`" in README
        assert f"pkigen.pki.{name}" in GUIDE
        (*plays,) = yaml.safe_load((COLLECTION / f"playbooks/{name}.yml").read_text())
        assert all(play["gather_facts"] is False for play in plays), "facts may be cached"


def test_it_is_installed_as_documented(tmp_path: Path) -> None:
    """Beside an Ansible that is here already, which pip finds; then a playbook of the collection is found."""
    program = ansible_control.program("ansible-galaxy")
    if program is None or not Path(program).with_name("pip").exists():
        pytest.skip("no ansible-galaxy with a pip beside it: `pip install --group ansible`")
    (commands,) = commands_for("tests/project/test_collection.py", REPOSITORY / "docs/how-to/ansible.md")
    shutil.copytree(COLLECTION, tmp_path / "ansible")
    inspected = "ansible-playbook --syntax-check -i localhost, pkigen.pki.distribute"
    script = "\n".join((*(each.words for each in commands), inspected))
    environment = {
        **os.environ,
        "PATH": f"{Path(program).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "HOME": str(tmp_path),
        "PIP_NO_INDEX": "1",
    }
    done = subprocess.run(
        ["sh", "-ec", script],
        cwd=tmp_path,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    installed = tmp_path / ".ansible/collections/ansible_collections/pkigen/pki"
    assert (installed / "plugins/modules/node.py").read_bytes() == (
        COLLECTION / "plugins/modules/node.py"
    ).read_bytes()


def test_ansible_lint_finds_nothing(tmp_path: Path) -> None:
    program = ansible_control.program("ansible-lint")
    if program is None:
        pytest.skip("no ansible-lint: `pip install --group ansible`")
    place = tmp_path / "ansible_collections/pkigen/pki"
    shutil.copytree(COLLECTION, place)
    found = os.pathsep.join((str(Path(program).parent), os.environ.get("PATH", os.defpath)))
    environment = {
        **os.environ,
        "PATH": found,
        "HOME": str(tmp_path),
        "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
    }
    done = subprocess.run(
        [program, "--offline", "--nocolor"],
        cwd=place,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
