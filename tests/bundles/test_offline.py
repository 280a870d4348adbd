"""The tool goes where there is no network: wheelhouse, install script and zipapp, run under `unshare -n`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.program import HOME

if TYPE_CHECKING:
    from collections.abc import Sequence

TOP = Path(__file__).resolve().parents[2]
CUT_OFF = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--net")


def without_network(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(cwd), "PIP_NO_INDEX": "1", "SHIV_ROOT": str(cwd / ".shiv")}
    environment["PYTHON"] = sys.executable
    return subprocess.run(
        [*CUT_OFF, *map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kit, made where there is an index; that takes a minute: for CI, and for those who ask for it."""
    if not os.environ.get("CI") and not os.environ.get("PKIGEN_OFFLINE"):
        pytest.skip("set PKIGEN_OFFLINE=1 to build and install the offline kit")
    if shutil.which("unshare") is None or subprocess.run([*CUT_OFF, "true"], check=False).returncode:
        pytest.skip("the network cannot be cut off here")
    out = tmp_path_factory.mktemp("offline") / "kit"
    done = subprocess.run(
        [sys.executable, TOP / "scripts/offline.py", out], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"there is no package index here: {done.stderr[-200:]}")
    return out


def test_the_network_is_really_cut_off(tmp_path: Path) -> None:
    script = "import socket; socket.create_connection(('192.0.2.1', 9), 2)"
    done = without_network(sys.executable, "-c", script, cwd=tmp_path)
    assert "Network is unreachable" in done.stderr or shutil.which("unshare") is None


def test_installed_and_run_without_a_network(kit: Path, tmp_path: Path) -> None:
    installed = without_network("sh", kit / "install.sh", tmp_path / "pkigen", cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    assert installed.stdout.startswith("pkigen ")
    _works([tmp_path / "pkigen/bin/pkigen"], tmp_path)


def test_the_zipapp_runs_without_a_network(kit: Path, tmp_path: Path) -> None:
    if not (kit / "pkigen.pyz").exists():
        pytest.skip("shiv is not installed")
    _works([sys.executable, kit / "pkigen.pyz"], tmp_path)


def _works(program: Sequence[str | Path], place: Path) -> None:
    """A cluster is made and a node packed: templates, native libraries and all."""
    (place / "home.yaml").write_text(HOME)
    words = place / "words"
    words.write_text("correct horse battery staple")
    words.chmod(0o600)
    for arguments in (
        ("init", "home.yaml"),
        ("verify", "home"),
        ("bundle", "create", "home.yaml", "--out", "media", "--passphrase-file", "words"),
    ):
        done = without_network(*program, *arguments, cwd=place)
        assert done.returncode == 0, done.stderr
    assert (place / "media/home.cp-1.bundle").exists()


def test_what_was_changed_on_the_way_is_not_installed(kit: Path, tmp_path: Path) -> None:
    carried = tmp_path / "kit"
    shutil.copytree(kit, carried)
    victim = next((carried / "wheelhouse").glob("jinja2-*"))
    victim.write_bytes(victim.read_bytes() + b"\0")
    done = without_network("sh", carried / "install.sh", tmp_path / "pkigen", cwd=tmp_path)
    assert done.returncode != 0
    assert not (tmp_path / "pkigen").exists()


def test_the_bill_of_materials_names_every_wheel(kit: Path) -> None:
    content = json.loads((kit / "sbom.json").read_text())
    assert (content["bomFormat"], content["specVersion"]) == ("CycloneDX", "1.6")
    names = {component["name"] for component in content["components"]}
    assert {"pkigen", "cryptography", "pyrage", "jinja2"} <= names
    assert len(content["components"]) == len(list((kit / "wheelhouse").glob("*.whl")))


def test_every_dependency_is_locked_by_hash() -> None:
    text = (TOP / "requirements/runtime.txt").read_text()
    assert "http" not in text
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    blocks = re.split(r"\n(?=\S)", lines.strip())
    assert all("==" in block and "--hash=sha256:" in block for block in blocks)
    locked = {re.split(r"==|\s", block)[0].lower() for block in blocks}
    project = (TOP / "pyproject.toml").read_text()
    wanted = re.search(r"\ndependencies = \[\n(.*?)\n\]", project, re.DOTALL)
    assert wanted
    assert {re.split(r"[>=\"]", line.strip().lstrip('"'))[0] for line in wanted[1].splitlines()} <= locked
