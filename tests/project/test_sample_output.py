"""The committed sample is what pkigen makes today, and the comparison sees what it is there to see."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "sample_output.py"


def load() -> ModuleType:
    specification = importlib.util.spec_from_file_location("sample_output", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


sample = load()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sample")
    sample.fresh(place)
    return place


def test_the_sample_is_current(made: Path) -> None:
    assert sample.difference(sample.description(sample.SAMPLE), sample.description(made)) == []


def test_two_runs_have_one_description(made: Path, tmp_path: Path) -> None:
    sample.fresh(tmp_path)
    assert sample.description(made) == sample.description(tmp_path)


def test_every_key_is_withheld(made: Path) -> None:
    files = [path for path in made.rglob("*") if path.is_file()]
    keys = [path for path in files if path.suffix == ".key"]
    kubeconfigs = [path for path in files if path.suffix == ".conf"]
    assert keys
    assert kubeconfigs
    assert {path.read_bytes() for path in keys} == {sample.PRIVATE_KEY}
    assert all(b"client-key-data: WITHHELD\n" in path.read_bytes() for path in kubeconfigs)


def change(path: str, old: str, new: str) -> Callable[[Path], object]:
    def edit(place: Path) -> None:
        file = place / path
        content = file.read_text(encoding="utf-8")
        assert old in content
        file.write_text(content.replace(old, new), encoding="utf-8")

    return edit


def swap(one: str, other: str) -> Callable[[Path], object]:
    return lambda place: shutil.copyfile(place / other, place / one)


NODE = "prod/nodes/cp-1/etc/kubernetes"

CHANGES: dict[str, Callable[[Path], object]] = {
    "a flag": change(f"{NODE}/manifests/kube-apiserver.yaml", "--authorization-config=", "--authorization="),
    "a mode": change("modes.txt", "0600 nodes/cp-1/etc/kubernetes/admin.conf", "0644 nodes/cp-1/x"),
    "an executable file": lambda place: (place / NODE / "admin.conf").chmod(0o755),
    "a missing file": lambda place: (place / NODE / "admin.conf").unlink(),
    "a new file": lambda place: (place / NODE / "new.conf").write_text("", encoding="utf-8"),
    "another node's certificate": swap(
        f"{NODE}/pki/apiserver.crt", "prod/nodes/cp-2/etc/kubernetes/pki/apiserver.crt"
    ),
    "another CA": swap(f"{NODE}/pki/ca.crt", f"{NODE}/pki/front-proxy-ca.crt"),
    "another person": swap(f"{NODE}/admin.conf", f"{NODE}/super-admin.conf"),
    "another server": change(f"{NODE}/kubelet.conf", "server: https://", "server: http://"),
    "the lock's content": change("prod/pki.lock", '"cluster": "prod"', '"cluster": "production"'),
}


@pytest.mark.parametrize("edit", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_seen(edit: Callable[[Path], object], made: Path, tmp_path: Path) -> None:
    place = tmp_path / "changed"
    shutil.copytree(made, place)
    edit(place)
    assert sample.difference(sample.description(made), sample.description(place))
